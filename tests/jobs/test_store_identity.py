"""One store behind several URLs."""

from __future__ import annotations

from pathlib import Path

import pytest

from vestige_tui.jobs.known_stores import remember, watched, with_password
from vestige_tui.jobs.store_identity import distinct_stores, same_store, store_identity

SERVER = "postgresql://me@db1:5432/memories"


@pytest.fixture(autouse=True)
def no_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGHOST", "PGHOSTADDR", "PGPORT", "PGUSER", "PGDATABASE"):
        monkeypatch.delenv(name, raising=False)


def test_a_file_has_one_identity_in_every_spelling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.db"
    path.touch()
    (tmp_path / "link.db").symlink_to(path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    spellings = (
        str(path),
        f"sqlite:{path}",
        f"sqlite://{path}",
        "x.db",
        "sqlite:x.db",
        "./x.db",
        "~/x.db",
        f"{tmp_path}/../{tmp_path.name}/x.db",
        f"sqlite:{tmp_path}/link.db",
    )
    assert distinct_stores(spellings) == (str(path),)
    assert distinct_stores(spellings, leave_out=["sqlite:link.db"]) == ()
    assert distinct_stores(["x.db", "y.db", f"pgembed:{path}"]) == ("x.db", "y.db", f"pgembed:{path}")


def test_a_folder_of_a_server_has_one_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "server").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "server")
    monkeypatch.chdir(tmp_path)
    for spelling in ("pgembed:server", "pgembed:link", f"pgembed:{tmp_path}/server/"):
        assert same_store(spelling, f"pgembed:{tmp_path}/server")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:s3cret@db1:5432/memories",
        "postgresql://me:***@db1/memories",
        "postgresql://me@db1/memories",
        "postgres://me@DB1/memories",
        "postgresql://me@db1/memories?sslmode=require&application_name=console",
        "postgresql://db1/memories?user=me&password=s3cret",
        "postgresql:///memories?host=db1&port=5432&user=me",
        "postgresql://%6de@db1/%6demories",
    ],
)
def test_a_server_is_told_by_what_it_is_reached_by(url: str) -> None:
    assert same_store(url, SERVER)
    assert "s3cret" not in str(store_identity(url))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me@db2/memories",
        "postgresql://me@db1:5433/memories",
        "postgresql://me@db1/other",
        "postgresql://you@db1/memories",
        "postgresql://me@db1/Memories",
        "postgresql://me@db1/memories?options=-csearch_path%3Dother",
        "postgresql://me@db1,db2/memories",
        "postgresql://me@db1/memories?service=other",
    ],
)
def test_another_server_database_or_user_is_another_store(url: str) -> None:
    assert not same_store(url, SERVER)


def test_hosts_of_one_server_are_told_with_their_ports() -> None:
    assert same_store("postgresql://me@[::1]:5432,h2/d", "postgresql://me@/d?host=::1,h2")
    assert not same_store("postgresql://me@h1:1,h2/d", "postgresql://me@h1,h2:1/d")
    assert not same_store("postgresql://me@/d?host=/Run", "postgresql://me@/d?host=/run")


def test_what_a_url_leaves_out_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGUSER", "me")
    assert same_store("postgresql://db1", "postgresql://me@db1/me")
    for name, value in (("PGHOST", "db1"), ("PGPORT", "5433"), ("PGDATABASE", "memories")):
        monkeypatch.setenv(name, value)
    assert same_store("postgresql://", "postgresql://me@db1:5433/memories")
    assert not same_store("postgresql://", SERVER)
    assert same_store("postgresql://?service=s&port=5432", "postgresql:///?port=5432&service=s")


def test_a_store_of_the_index_is_watched_once(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.touch()
    (tmp_path / "link.db").symlink_to(path)
    for number, url in enumerate(
        (f"sqlite:{path}", f"sqlite:{tmp_path}/link.db", SERVER, "postgresql://me@db1/memories")
    ):
        remember(url, f"job-{number}", "copy")
    assert watched() == ("postgresql://me@db1/memories", f"sqlite:{tmp_path}/link.db")


def test_a_password_is_found_for_every_spelling_of_its_store() -> None:
    known = ["postgresql://me@db1/memories", "postgresql://me:one@db1/memories", "postgresql://me:two@db2/memories"]
    assert with_password(SERVER, known) == "postgresql://me:one@db1/memories"
    assert with_password(SERVER, [*known, "postgresql://me:three@db1:5432/memories"]).startswith(
        "postgresql://me:three@"
    )
    assert with_password("postgresql://me:mine@db1/memories", known) == "postgresql://me:mine@db1/memories"
    assert with_password("postgresql://me@db3/memories", known) == "postgresql://me@db3/memories"
    assert with_password("sqlite:/x", ["/x", *known]) == "sqlite:/x"
