"""migrate reembed and registry rollback, as a person types them."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.command_line import Answer, Command, copy_store, fill_sample
from vestige_tui.reembed.plan import advice

NEW = "test-embedder-96"


@pytest.fixture
def url(store_url: str) -> str:
    """A store with the sample memories, on either database."""
    asyncio.run(fill_sample(store_url))
    return store_url


@pytest.mark.slow
def test_a_store_is_re_embedded_and_taken_back(run: Command, url: str) -> None:
    before = run("--store", url, "search", "signing keys", "--json").json["hits"]
    planned = run("--store", url, "migrate", "reembed", "--model", NEW, "--dry-run", "--json")
    assert planned.status == 0
    assert (planned.json["rows"], planned.json["to"]["name"], planned.json["drops"]) == (6, NEW, None)
    assert planned.json["texts_per_second"] > 0
    assert planned.json["bytes"] > 6 * 4 * 96
    assert run("--store", url, "jobs", "list", "--json").json["items"] == []
    refused = run("--store", url, "migrate", "reembed", "--model", NEW, "--json")
    assert (refused.status, refused.json["error"]["code"]) == (3, "refused")
    assert f"{NEW} (96 dimensions); add --yes to confirm" in refused.json["error"]["message"]
    assert run("--store", url, "jobs", "list", "--json").json["items"] == []
    ran = run("--store", url, "migrate", "reembed", "--model", NEW, "--yes", "--json", "--batch-size", "4")
    assert ran.status == 0, ran
    assert {"rows_updated", "duration_secs", "index_rebuild_secs", "swap_ms"} < set(ran.json)
    assert (ran.json["rows_updated"], ran.json["job"]["status"], ran.json["job"]["kind"]) == (6, "completed", "reembed")
    assert "Make a backup first: vestige-tui --store " in ran.err
    shown = run("--store", url, "registry", "show", "--json").json
    assert (shown["registered"]["name"], shown["vectors"]["by_width"]) == (NEW, {"96": 6})
    again = run("--store", url, "migrate", "reembed", "--model", NEW, "--yes")
    assert (again.status, "nothing to change" in again.out) == (0, True)
    asked = run("--store", url, "registry", "rollback", "--json")
    assert (asked.status, "add --yes" in asked.json["error"]["message"]) == (3, True)
    old = run("--store", url, "migrate", "reembed", "--model", "all-MiniLM-L6-v2", "--dry-run")
    kept = "6 vectors of all-MiniLM-L6-v2, 384 dimensions"
    assert f"deletes: The kept vectors of the previous model, {kept}, are deleted at the start." in old.out
    assert f"The current vectors of {NEW}, 96 dimensions, are kept; " in old.out
    said = run("--store", url, "registry", "show")
    kept = "sentence-transformers/all-MiniLM-L6-v2, 384 dimensions, 6 vectors"
    assert f"{kept}; `vestige-tui registry rollback` restores them" in said.out.split("kept vectors")[1]
    second = run("--store", url, "registry", "show", "--json").json["second"]
    assert (second["role"], second["vectors"], second["dimension"]) == ("kept", 6, 384)
    assert "`vestige-tui registry rollback` is faster than computing them again" in old.out
    back = run("--store", url, "registry", "rollback", "--yes")
    assert back.status == 0, back
    assert "state    done" in back.out
    assert "no new vector was needed" in back.out
    hits = run("--store", url, "search", "signing keys", "--json").json["hits"]
    assert [(hit["memory"]["id"], hit["score"]) for hit in hits] == [
        (hit["memory"]["id"], hit["score"]) for hit in before
    ]
    asked = run("--store", url, "migrate", "reembed", "--drop-old")
    assert asked.status == 3
    assert f"6 vectors of {NEW} (96 dimensions), kept for a rollback" in asked.err
    dropped = run("--store", url, "migrate", "reembed", "--drop-old", "--yes", "--json")
    assert (dropped.json["dropped"]["name"], dropped.json["dropped"]["vectors"]) == (NEW, 6)
    assert "keeps no vectors of an earlier model" in run("--store", url, "registry", "rollback").err
    assert run("--store", url, "registry", "rollback", "--yes", "--json").json["error"]["code"] == "refused"


@pytest.mark.slow
def test_in_place_says_what_it_means(run: Command, url: str) -> None:
    planned = run("--store", url, "migrate", "reembed", "--model", NEW, "--in-place", "--dry-run")
    assert planned.status == 0
    old = "6 vectors of all-MiniLM-L6-v2, 384 dimensions"
    assert f"deletes: The current vectors, {old}, are deleted first; no rollback is possible." in planned.out
    ran = run("--store", url, "migrate", "reembed", "--model", NEW, "--in-place", "--yes", "--json")
    assert (ran.status, ran.json["rows_updated"], ran.json["swap_ms"]) == (0, 6, None)
    assert run("--store", url, "registry", "show", "--json").json["vectors"]["by_width"] == {"96": 6}


@pytest.mark.slow
def test_a_person_is_asked(run: Command, sample: str, answer: Answer) -> None:
    answer("no\n")
    ran = run("--store", sample, "migrate", "reembed", "--model", NEW)
    assert (ran.status, "Start? [y/N]" in ran.err, "texts per second" in ran.err) == (1, True, True)
    assert run("--store", sample, "jobs", "list", "--json").json["items"] == []
    answer("y\n")
    assert run("--store", sample, "migrate", "reembed", "--model", NEW).status == 0
    answer("y\n")
    ran = run("--store", sample, "registry", "rollback")
    assert (ran.status, "Roll back to the previous model? [y/N]" in ran.err) == (0, True)


@pytest.mark.slow
def test_settings_that_name_the_old_model_are_told_of(run: Command, sample: str, home: Path) -> None:
    settings = home / "vestige.toml"
    settings.write_text('[embeddings]\nmodel = "all-MiniLM-L6-v2"\n')
    ran = run("--config", str(settings), "--store", sample, "migrate", "reembed", "--model", NEW, "--yes")
    assert ran.status == 0
    assert f"set `model` under `[embeddings]` to {NEW}" in ran.err
    ran = run("--config", str(settings), "--store", sample, "registry", "rollback", "--yes")
    assert "[embeddings]" not in ran.err


def test_a_job_can_be_left_running_and_watched(run: Command, sample: str) -> None:
    detached = run("--store", sample, "migrate", "reembed", "--model", NEW, "--yes", "--detach", "--json")
    assert detached.status == 0
    assert run("jobs", "watch", detached.json["job"]["id"]).status == 0
    [listed] = run("--store", sample, "jobs", "list", "--json").json["items"]
    assert (listed["kind"], listed["status"], listed["options"]["model"]) == ("reembed", "completed", NEW)


def test_what_is_refused(run: Command, sample: str) -> None:
    for arguments, status in (
        (["migrate", "reembed"], 2),
        (["migrate", "reembed", "--model", NEW, "--batch-size", "0"], 2),
        (["migrate", "reembed", "--model", "no-such-model", "--yes"], 3),
        (["--read-only", "migrate", "reembed", "--model", NEW, "--yes"], 3),
        (["registry", "rollback", "--yes"], 3),
        (["migrate", "reembed", "--drop-old"], 0),
        (["migrate", "reembed", "--model", "all-MiniLM-L6-v2", "--dimension", "1"], 2),
        (["migrate", "reembed", "--model", "all-MiniLM-L6-v2", "--dimension", "385"], 2),
        (["migrate", "reembed", "--model", NEW, "--drop-hnsw-first", "--yes"], 2),
        (["migrate", "reembed", "--model", NEW, "--in-place", "--drop-old", "--yes"], 2),
    ):
        assert run("--store", sample, *arguments).status == status, arguments
    # What cannot be done is said before anybody is asked to agree to it.
    for arguments, why in (
        (["migrate", "reembed", "--model", "nonsense/model"], "fastembed does not know"),
        (["registry", "rollback"], "keeps no vectors of an earlier model"),
        (["migrate", "reembed", "--model", "BAAI/bge-small-en-v1.5"], "This would download BAAI/bge-small-en-v1.5"),
    ):
        assert why in run("--store", sample, *arguments).err
    with closing(sqlite3.connect(sample.removeprefix("sqlite:"))) as file:
        assert file.execute("SELECT count(*) FROM delegations").fetchone() == (0,)
        assert file.execute("SELECT count(*) FROM spare_embeddings").fetchone() == (0,)


@pytest.mark.slow
def test_a_store_s_own_model_in_another_width(run: Command, url: str) -> None:
    own = "all-MiniLM-L6-v2"
    narrow = ("--dimension", "128")
    document = run("--store", url, "registry", "preview", own, *narrow, "--json").json
    assert (document["current"]["dimension"], document["other"]["dimension"]) == (384, 128)
    assert document["overlap"] > 0
    planned = run("--store", url, "migrate", "reembed", "--model", own, *narrow, "--drop-old", "--dry-run").out
    assert f"from: sentence-transformers/{own}, 384 dimensions\nto: sentence-transformers/{own}, 128 " in planned
    gone = f"The current vectors of sentence-transformers/{own}, 384 dimensions, are deleted at the end"
    assert f"{gone}; no rollback is possible." in planned
    ran = run("--store", url, "migrate", "reembed", "--model", own, *narrow, "--yes")
    assert ran.status == 0, ran
    assert f"6 vectors of sentence-transformers/{own} (128 dimensions)" in ran.out
    assert f"the vectors of sentence-transformers/{own} (384 dimensions) are kept" in ran.out
    assert f"model    sentence-transformers/{own}, 128 dimensions" in ran.out
    again = run("--store", url, "migrate", "reembed", "--model", own, *narrow, "--yes")
    assert "there is nothing to change" in again.out
    assert run("--store", url, "registry", "preview", own, *narrow, "--json").json["error"]["code"] == "mismatch"


@pytest.mark.parametrize("name", ["plain.db", "with space.db", "it's.db", 'a "$HOME" `x`.db'])
def test_the_backup_that_is_advised_is_one(
    run: Command, sample: str, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    copy_store(Path(sample.removeprefix("sqlite:")), path)
    said = advice(f"sqlite:{path}").partition(": ")[2]
    shell = ["sh", "-c", f"advised() {{ printf '%s\\n' \"$@\"; }}; {said.replace('vestige-tui', 'advised', 1)}"]
    words = subprocess.run(shell, capture_output=True, text=True, check=True).stdout.splitlines()
    assert words[:2] == ["--store", f"sqlite:{path}"]
    monkeypatch.chdir(tmp_path)
    ran = run(*words)
    assert ran.status == 0, ran
    assert "Backed up 6 memories" in ran.err
    assert "'\"'" not in said
