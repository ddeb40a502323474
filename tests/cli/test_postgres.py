"""The main commands on a PostgreSQL store, and a copy into one."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.command_line import SENTENCES, Command, fill_sample, sample_id
from tests.support.postgres import run_in_thread


@pytest.fixture
def postgres(postgres_database: str) -> str:
    """A PostgreSQL store with the sample memories."""
    run_in_thread(fill_sample(postgres_database))
    return postgres_database


@pytest.mark.slow
def test_the_main_commands(run: Command, postgres: str, tmp_path: Path) -> None:
    document = run("--store", postgres, "search", "how do signing keys rotate", "--json").json
    assert (document["mode"], document["hits"][0]["memory"]["id"]) == ("hybrid", sample_id(0))
    assert SENTENCES[1][:20] in run("--store", postgres, "list").out
    assert len(run("--store", postgres, "show", sample_id(0)[:8], "--json").json["reviews"]) == 1
    assert run("--store", postgres, "due", "--count").out == "2\n"
    added = run("--store", postgres, "add", "In PostgreSQL.", "--tag", "new", "--json").json
    [memory_id] = added["changed"]
    assert run("--store", postgres, "edit", memory_id, "--content", "Edited in PostgreSQL.").status == 0
    assert run("--store", postgres, "tag", memory_id, "+more", "-new").status == 0
    assert run("--store", postgres, "review", memory_id, "good", "--json").json["scheduling"]["reps"] == 1
    assert run("--store", postgres, "review", "undo").status == 0
    assert run("--store", postgres, "link", memory_id, sample_id(1)).status == 0
    assert len(run("--store", postgres, "neighbors", memory_id, "--depth", "2", "--json").json["items"]) == 2
    assert run("--store", postgres, "supersede", memory_id, "--by", sample_id(1)).status == 0
    assert len(run("--store", postgres, "history", memory_id, "--json").json["items"]) == 1
    assert run("--store", postgres, "delete", memory_id).status == 0
    assert run("--store", postgres, "undo").status == 0
    assert run("--store", postgres, "stats", "--json").json["backend"] == "postgres"
    assert run("--store", postgres, "registry", "show", "--json").json["vectors"]["by_width"] == {"384": 7}
    assert run("--store", postgres, "vacuum").status == 0
    path = tmp_path / "out.jsonl"
    assert run("--store", postgres, "export", str(path), "--json").json["written"]["memory"] == 7
    assert run("--store", postgres, "import", str(path), "--json").json["inserted"] == 0
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"id": "no-uuid", "content": "x"}\n{"content": "y"}\n')
    mixed = run("--store", postgres, "import", str(bad), "--json")
    assert (mixed.status, mixed.json["inserted"], mixed.json["repaired"]) == (0, 2, 1)


@pytest.mark.slow
def test_an_empty_database_is_left_empty(run: Command, bare_postgres_database: str, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"content": "x"}\n')
    for arguments in (["search", "x"], ["add", "x"], ["import", str(path)], ["undo"]):
        ran = run("--store", bare_postgres_database, "--json", *arguments)
        assert (ran.status, ran.json["error"]["code"]) == (3, "refused")
    states = {
        step["state"] for step in run("--store", bare_postgres_database, "schema", "info", "--json").json["items"]
    }
    assert states == {"pending", "waiting"}
    assert run("--store", bare_postgres_database, "schema", "up").status == 0
    assert run("--store", bare_postgres_database, "add", "x").status == 0


def copy(sample: str, target: str, *more: str) -> list[str]:
    path = sample.removeprefix("sqlite:")
    return ["migrate", "--from", "sqlite", "--to", "postgres", "--sqlite-path", path, "--postgres-url", target, *more]


@pytest.mark.slow
def test_a_copy_is_counted_then_made_then_found_again(run: Command, sample: str, bare_postgres_database: str) -> None:
    planned = run("--json", *copy(sample, bare_postgres_database, "--dry-run"))
    assert planned.status == 0
    assert planned.json["tables"]["memories"]["total"] == 6
    info = run("--store", bare_postgres_database, "schema", "info", "--json").json
    assert "applied" not in {step["state"] for step in info["items"]}
    ran = run("--json", *copy(sample, bare_postgres_database, "--batch-size", "2"))
    assert ran.status == 0, ran
    job = ran.json["job"]
    assert {"id", "kind", "status", "attempt", "phase", "tables", "errors", "seconds", "error"} <= set(job)
    assert (job["kind"], job["status"], job["errors"], job["error"]) == ("copy", "completed", [], None)
    counts = {"read", "inserted", "present", "repaired", "failed", "left_behind"}
    assert all(counts <= set(table) for table in job["tables"].values())
    assert job["tables"]["memories"]["inserted"] == 6
    assert run("--store", bare_postgres_database, "search", "signing keys", "--json").json["mode"] == "hybrid"
    listed = run("jobs", "list", "--json").json["items"]
    assert [item["id"] for item in listed] == [job["id"]]
    shown = run("jobs", "show", job["id"][:8], "--json").json["job"]
    assert shown["tables"] == job["tables"]
    assert "verified" in run("jobs", "show", job["id"]).out
    watched = run("jobs", "watch", job["id"], "--json")
    assert (watched.status, watched.json["job"]["id"]) == (0, job["id"])
    assert watched.out.count("\n") == 1
    assert run("jobs", "cancel", job["id"], "--json").json["error"]["code"] == "conflict"
    again = run(*copy(sample, bare_postgres_database))
    assert again.status == 0
    assert "memories" in again.out
    detached = run("--json", *copy(sample, bare_postgres_database, "--detach"))
    assert detached.status == 0
    assert run("jobs", "watch", detached.json["job"]["id"]).status == 0


@pytest.mark.slow
def test_a_copy_goes_back_into_a_file(run: Command, sample: str, postgres_database: str, tmp_path: Path) -> None:
    assert run(*copy(sample, postgres_database, "--no-verify")).status == 0
    back = str(tmp_path / "back.db")
    named = ["--from", "postgres", "--to", "sqlite", "--postgres-url", postgres_database, "--sqlite-path", back]
    ran = run("--json", "migrate", *named)
    assert (ran.status, ran.json["job"]["tables"]["memories"]["inserted"]) == (0, 6), ran
    third = f"sqlite:{tmp_path / 'third.db'}"
    ran = run("--json", "migrate", "copy", "--source", back, "--target", third)
    assert (ran.status, ran.json["job"]["tables"]["memories"]["inserted"]) == (0, 6), ran
    assert run("--store", third, "search", "signing keys", "--json").json["mode"] == "hybrid"
    assert run("migrate", "copy", "--source", back, "--target", back).status == 2
    assert run("migrate", "copy", "--source", back, "--target", third, "--model", "another").status == 2


def test_an_unknown_job(run: Command, sample: str) -> None:
    for arguments in (["jobs", "show", "ffffffff"], ["jobs", "cancel", "ffffffff"], ["jobs", "watch", "ffffffff"]):
        ran = run("--store", sample, "--json", *arguments)
        assert (ran.status, ran.json["error"]["code"]) == (1, "not_found")
    assert run("--store", sample, "jobs", "list", "--json").json == {"items": [], "next": None}


def test_a_copy_is_refused_before_anything_is_made(run: Command, sample: str, bare_postgres_database: str) -> None:
    assert run(*copy("sqlite:/no/such/file.db", bare_postgres_database)).status == 1
    assert run("migrate", "copy", "--sqlite-path", sample.removeprefix("sqlite:")).status == 2
    assert (
        run("migrate", "copy", "--postgres-url", bare_postgres_database, "--store", bare_postgres_database).status == 2
    )
    info = run("--store", bare_postgres_database, "schema", "info", "--json").json
    assert "applied" not in {step["state"] for step in info["items"]}


@pytest.mark.slow
def test_ctrl_c_cancels_a_copy(run: Command, postgres_database: str, tmp_path: Path) -> None:
    from vestige_tui.core.memories import Draft
    from vestige_tui.store.open import open_store

    source = f"sqlite:{tmp_path / 'large.db'}"

    async def fill() -> None:
        async with open_store(source, create=True) as store:
            text = "words " * 400
            await store.memories.insert_many([Draft(text) for _ in range(12_000)], embed=False)

    asyncio.run(fill())
    arguments = ["--json", *copy(source, postgres_database, "--batch-size", "50")]
    out, err, status = interrupted(arguments, presses=1)
    assert status == 130, err
    assert '"error": "cancelled"' in out
    assert "The job is cancelled at its next checkpoint" in err
    out, err, status = interrupted(arguments, presses=2)
    assert status == 130, err
    job_id = json.loads(out)["job"]["id"]
    assert f"Job {job_id[:8]} keeps running" in err
    assert run("jobs", "watch", job_id).status == 1
    assert run(*copy(source, postgres_database)).status == 0
    assert run("--store", postgres_database, "stats", "--json").json["total_memories"] == 12_000


def interrupted(arguments: list[str], *, presses: int) -> tuple[str, str, int]:
    """Run the program, press ctrl-C so many times once its job has begun, and give stdout, stderr and the status."""
    process = subprocess.Popen(
        [sys.executable, "-m", "vestige_tui", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    assert "has started" in process.stderr.readline()
    time.sleep(0.3)
    for press in range(presses):
        if press:
            # Two that come at once are one.
            next(line for line in process.stderr if "cancelled at its next checkpoint" in line)
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return out, err, process.returncode
