"""The index of stores that hold jobs."""

from __future__ import annotations

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.stopped import stopped_file_lock
from vestige_tui.core.errors import Unavailable
from vestige_tui.jobs import known_stores
from vestige_tui.jobs.known_stores import MAX_JOBS, index_path, remember, watched, with_passwords, without_password


@pytest.mark.parametrize(
    ("url", "bare"),
    [
        ("postgresql://me:s3cret@h:5433/d", "postgresql://me@h:5433/d"),
        ("postgresql://me:***@h/d", "postgresql://me@h/d"),
        ("postgresql://h/d?user=me&password=s3cret&sslmode=require", "postgresql://h/d?user=me&sslmode=require"),
        ("postgresql://h/d?password=s3cret", "postgresql://h/d"),
        ("postgresql://me:a:c@h1,h2:5/d?host=/run", "postgresql://me@h1,h2:5/d?host=/run"),
        ("postgresql://me:a@b:c@h1,h2:5/d?host=/run", "postgresql://me:***"),
        ("postgresql://me@/d?host=/run", "postgresql://me@/d?host=/run"),
        ("sqlite:/a/b.db", "sqlite:/a/b.db"),
        ("pgembed:/a/b", "pgembed:/a/b"),
    ],
)
def test_a_url_loses_its_password_only(url: str, bare: str) -> None:
    assert without_password(url) == bare


def test_a_store_is_reached_by_the_first_url_that_has_its_password() -> None:
    ours = ["postgresql://me:one@h/d", "postgresql://me:two@h/d"]
    for urls in (ours, ["postgresql://me@h/d", *ours], [*ours, "postgresql://me@h/d"]):
        assert with_passwords([*urls, "sqlite:/a"]) == {"postgresql://me@h/d": ours[0], "sqlite:/a": "sqlite:/a"}
    assert with_passwords(["postgresql://me@h/d"]) == {"postgresql://me@h/d": "postgresql://me@h/d"}


def test_stores_are_remembered_in_a_private_file(state: Path, tmp_path: Path) -> None:
    assert watched() == ()
    remember("postgresql://me:s3cret@h/d", "job-1", "copy")
    here = tmp_path / "here.db"
    here.touch()
    remember(f"sqlite:{here}", "job-2", "copy")
    remember(f"sqlite:{tmp_path / 'gone.db'}", "job-3", "copy")
    remember(f"pgembed:{tmp_path / 'gone'}", "job-4", "copy")
    assert watched() == (f"sqlite:{here}", "postgresql://me@h/d")
    assert index_path() == state / "jobs.json"
    assert "s3cret" not in index_path().read_text()
    assert stat.S_IMODE(index_path().stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert sorted(path.name for path in state.iterdir()) == ["jobs.json", "jobs.lock"]


def test_many_writers_lose_nothing(state: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: remember("postgresql://h/d", f"job-{n}", "copy"), range(40)))
    assert len(json.loads(index_path().read_text())["stores"]["postgresql://h/d"]) == 40


def test_a_link_of_the_index_stays_and_a_planted_draft_is_not_written(state: Path, tmp_path: Path) -> None:
    state.mkdir(parents=True)
    victim, elsewhere = tmp_path / "victim", tmp_path / "elsewhere.json"
    victim.write_text("precious")
    index_path().symlink_to(elsewhere)
    index_path().with_suffix(f".{os.getpid()}.new").symlink_to(victim)
    for job in ("job-1", "job-2"):
        remember("postgresql://h/d", job, "copy")
    assert (index_path().is_symlink(), victim.read_text()) == (True, "precious")
    assert len(json.loads(elsewhere.read_text())["stores"]["postgresql://h/d"]) == 2


def test_old_entries_go_and_a_broken_file_is_begun_anew(state: Path) -> None:
    state.mkdir(parents=True)
    index_path().write_text("{not json")
    assert watched() == ()
    old = {"kind": "copy", "at": "2020-01-01T00:00:00+00:00"}
    index_path().write_text(json.dumps({"stores": {"postgresql://old/d": {"a": old}, "postgresql://odd/d": 7}}))
    assert watched() == ()
    for n in range(MAX_JOBS + 5):
        remember("postgresql://h/d", f"job-{n}", "copy")
    stores = json.loads(index_path().read_text())["stores"]
    assert list(stores) == ["postgresql://h/d"]
    assert len(stores["postgresql://h/d"]) == MAX_JOBS
    assert "job-0" not in stores["postgresql://h/d"]


def test_a_stopped_process_that_holds_the_lock_is_named_and_not_waited_for(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember("postgresql://h/d", "job-1", "copy")
    with monkeypatch.context() as patch, stopped_file_lock(state / "jobs.lock") as pid:
        patch.setattr(known_stores, "LOCK_SECONDS", 0.05)
        with pytest.raises(Unavailable, match=rf"^The index of jobs is locked by process {pid} \(.*, stopped\); wait "):
            remember("postgresql://h/d", "job-2", "copy")
        assert watched() == ("postgresql://h/d",)
    remember("postgresql://h/d", "job-3", "copy")
    assert set(json.loads(index_path().read_text())["stores"]["postgresql://h/d"]) == {"job-1", "job-3"}


BROKEN_URLS = [
    "sqlite:/a\0b",
    "pgembed:\0",
    "sqlite:~no_such_user/v.db",
    "\ud800",
    "postgresql://[::1/d",
    "",
    "http://h/d",
]


def test_a_broken_url_hides_no_other_store(state: Path) -> None:
    for url in BROKEN_URLS:
        remember(url, "job-1", "copy")
    remember("postgresql://h/d", "job-2", "copy")
    assert "postgresql://h/d" in watched()
    notes = {"job": {"kind": "copy", "at": "2999-01-01T00:00:00+00:00"}}
    index_path().write_text(json.dumps({"stores": dict.fromkeys([*BROKEN_URLS, "postgresql://h/d"], notes)}))
    assert "postgresql://h/d" in watched()


@pytest.mark.parametrize("damage", [b"\xff\xfe", b'"', b"{", b'"kind": 7, '])
def test_the_readable_stores_of_a_damaged_index_stay(state: Path, damage: bytes) -> None:
    for name in ("one", "two", "three"):
        remember(f"postgresql://h/{name}", f"job-{name}", "copy")
    text = index_path().read_bytes()
    index_path().write_bytes(text.replace(b'"job-two"', b'"job-' + damage + b'two"'))
    assert {"postgresql://h/one", "postgresql://h/three"} <= set(watched())
    remember("postgresql://h/four", "job-four", "copy")
    assert {f"postgresql://h/{name}" for name in ("one", "three", "four")} <= set(watched())
