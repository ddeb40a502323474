"""With --read-only no command writes to a store: every command of the parser, and every store that it can reach."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.support.command_line import Command, fill_sample, sample_id
from tests.support.old_schema import take_back
from tests.support.postgres import new_database
from vestige_tui.cli.program import parser

JOB = "5f0c1f7e-1111-4000-8000-000000000001"
READ, REFUSED = 0, 3
MODEL = "BAAI/bge-small-en-v1.5"
COMMANDS: Mapping[str, tuple[tuple[str, ...], int]] = {
    "about": ((), READ),
    "demo": (("{folder}/demo", "--no-console"), REFUSED),
    "search": (("keys",), READ),
    "list": ((), READ),
    "show": ((sample_id(0),), READ),
    "add": (("a new memory",), REFUSED),
    "edit": ((sample_id(0), "--type", "fact"), REFUSED),
    "tag": ((sample_id(0), "+new"), REFUSED),
    "delete": ((sample_id(0), "--yes"), REFUSED),
    "undo": ((), REFUSED),
    "due": ((), READ),
    "review": ((sample_id(0), "good"), REFUSED),
    "forecast": ((), READ),
    "supersede": ((sample_id(2), "--by", sample_id(3)), REFUSED),
    "unsupersede": ((sample_id(5),), REFUSED),
    "history": ((sample_id(5),), READ),
    "edges": ((sample_id(0),), READ),
    "link": ((sample_id(2), sample_id(3)), REFUSED),
    "unlink": ((sample_id(0), sample_id(1)), REFUSED),
    "neighbors": ((sample_id(0),), READ),
    "import": ((os.devnull,), REFUSED),
    "export": (("{folder}/memories.jsonl",), READ),
    "schema info": ((), READ),
    "schema up": ((), REFUSED),
    "schema down": (("--to", "0", "--yes"), REFUSED),
    "stats": ((), READ),
    "vacuum": ((), REFUSED),
    "migrate": (("copy", "--source", "{store}", "--target", "{target}"), REFUSED),
    "registry show": ((), READ),
    "registry models": ((), READ),
    "registry fill": ((), REFUSED),
    "registry rollback": (("--yes",), REFUSED),
    "registry preview": ((MODEL, "--dimension", "1"), 2),
    "jobs list": ((), READ),
    "jobs show": ((JOB,), READ),
    "jobs watch": (("{finished}",), 1),
    "jobs cancel": ((JOB,), REFUSED),
    "jobs retry": ((JOB,), REFUSED),
    "jobs fail": ((JOB,), REFUSED),
    "jobs sweep": ((), REFUSED),
    "doctor": ((), READ),
    "config show": ((), READ),
    "config path": ((), READ),
    "config init": ((), READ),
}
"""Arguments of each command that would write where it can, and the exit status with --read-only."""
FINISHED = "5f0c1f7e-2222-4000-8000-000000000002"
VARIANTS: tuple[tuple[tuple[str, ...], int], ...] = (
    (("migrate", "copy", "--source", "{store}", "--target", "{new}"), REFUSED),
    (("migrate", "copy", "--source", "{store}", "--target", "{new}", "--detach"), REFUSED),
    (("migrate", "copy", "--source", "{store}", "--target", "{new}", "--dry-run"), READ),
    (("migrate", "copy", "--source", "{store}", "--target", "{target}", "--dry-run"), READ),
    (("migrate", "copy", "--source", "{store}", "--target", "pgembed:{folder}/server"), REFUSED),
    (("migrate", "verify", "--source", "{store}", "--target", "{target}"), READ),
    (("migrate", "verify", "--source", "{store}", "--target", "{target}", "--dry-run"), READ),
    (("migrate", "verify", "--source", "{store}", "--target", "{target}", "--repair", "--yes"), REFUSED),
    (("migrate", "verify", "--source", "{store}", "--target", "{target}", "--repair", "--dry-run"), READ),
    (("migrate", "verify", "--source", "{store}", "--target", "{target}", "--detach"), REFUSED),
    (("migrate", "reembed", "--model", MODEL, "--yes"), REFUSED),
    (("migrate", "reembed", "--drop-old", "--yes"), REFUSED),
    (("migrate", "reembed", "--drop-old", "--dry-run"), READ),
    (("review", "undo"), REFUSED),
    (("review", "suspend", sample_id(0)), REFUSED),
    (("review", "bury", sample_id(0)), REFUSED),
    (("review", "resume", sample_id(0)), REFUSED),
    (("schema", "up", "--dry-run"), READ),
    (("schema", "down", "--dry-run"), READ),
    (("add", "x", "--store", "{new}"), 1),
    (("schema", "up", "--store", "{new}"), REFUSED),
)


def leaves(program: argparse.ArgumentParser, prefix: str = "") -> Iterator[str]:
    """Yield the names of all commands of a parser that have no commands below them."""
    groups = [each for each in program._actions if isinstance(each, argparse._SubParsersAction)]
    for group in groups:
        for name, command in group.choices.items():
            yield from leaves(command, f"{prefix}{name} ")
    if not groups:
        yield prefix.strip()


def digest(url: str) -> str:
    """Return a digest of all rows of a store."""
    hashed = hashlib.sha256()
    if url.startswith("sqlite:"):
        connection = sqlite3.connect(f"file:{url.removeprefix('sqlite:')}?mode=ro", uri=True)
        for line in connection.iterdump():
            hashed.update(line.encode())
        connection.close()
        return hashed.hexdigest()
    with psycopg.connect(url) as postgres:
        names = postgres.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1").fetchall()
        for (name,) in names:
            rows = sql.SQL("SELECT t::text FROM {} t ORDER BY 1").format(sql.Identifier(name))
            hashed.update(repr((name, postgres.execute(rows).fetchall())).encode())
    return hashed.hexdigest()


def execute(url: str, statement: str) -> None:
    if url.startswith("sqlite:"):
        connection = sqlite3.connect(url.removeprefix("sqlite:"))
        with connection:
            connection.execute(statement)
        connection.close()
        return
    with psycopg.connect(url, autocommit=True) as postgres:
        postgres.execute(statement.encode())


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def stores(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Two stores of one kind that differ, with a job that gives no sign of life."""
    if request.param == "sqlite":
        folder = tmp_path_factory.mktemp("stores")
        files = f"sqlite:{folder / 'store.db'}", f"sqlite:{folder / 'target.db'}"
        _filled(*files)
        yield files
        return
    server = str(request.getfixturevalue("postgres_server"))
    with new_database(server) as store, new_database(server) as target:
        _filled(store, target)
        yield store, target


def _filled(*urls: str) -> None:
    for url in urls:
        asyncio.run(fill_sample(url))
        for job, status in ((JOB, "in_progress"), (FINISHED, "failed")):
            execute(
                url,
                "INSERT INTO delegations (delegation_id, caller_id, callee_id, task_preview, status, created_at) "
                f"VALUES ('{job}', '{JOB}', '{job}', 'look', '{status}', '2026-01-01 00:00:00.000000+00:00')",
            )
    execute(urls[-1], "UPDATE knowledge_nodes SET content = 'differs' WHERE id = '" + sample_id(3) + "'")


def refuse_changes(run: Command, stores: tuple[str, str], folder: Path, words: tuple[str, ...], status: int) -> None:
    store, target = stores
    before = digest(store), digest(target)
    places = {"store": store, "target": target, "new": f"sqlite:{folder / 'new.db'}", "folder": str(folder)}
    arguments = [word.format(finished=FINISHED, **places) for word in words]
    own = () if "--store" in arguments or arguments[0] == "demo" else ("--store", store)
    ran = run(*own, "--read-only", *arguments)
    assert ran.status == status or (arguments[:2] == ["migrate", "verify"] and ran.status == 1), (ran.out, ran.err)
    if status == REFUSED:
        assert ran.err.count("\n") == 1 or ran.err.replace("\n", " ").count(". ") <= 1, ran.err
    assert (digest(store), digest(target)) == before
    assert not (folder / "new.db").exists()
    assert not (folder / "server").exists()
    assert not (folder / "demo").exists()


def test_every_command_has_a_line_here() -> None:
    assert set(COMMANDS) == set(leaves(parser()))


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_writes(run: Command, stores: tuple[str, str], tmp_path: Path, command: str) -> None:
    arguments, status = COMMANDS[command]
    refuse_changes(run, stores, tmp_path, (*command.split(), *arguments), status)


@pytest.mark.parametrize(
    ("words", "status"), VARIANTS, ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_no_variant_writes(
    run: Command, stores: tuple[str, str], tmp_path: Path, words: tuple[str, ...], status: int
) -> None:
    refuse_changes(run, stores, tmp_path, words, status)


@pytest.fixture(scope="module")
def old_store(
    stores: tuple[str, str], request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A store as an earlier version left it, without the tables of the last two migrations."""
    if stores[0].startswith("sqlite:"):
        url = f"sqlite:{tmp_path_factory.mktemp('old') / 'old.db'}"
        yield _aged(url)
        return
    with new_database(str(request.getfixturevalue("postgres_server"))) as url:
        yield _aged(url)


def _aged(url: str) -> str:
    _filled(url)
    asyncio.run(take_back(url, "jobs"))
    return url


@pytest.mark.parametrize("command", [name for name, (_, status) in COMMANDS.items() if status == READ])
def test_a_store_whose_schema_is_behind_is_read(run: Command, old_store: str, tmp_path: Path, command: str) -> None:
    before = digest(old_store)
    words = (*command.split(), *COMMANDS[command][0])
    ran = run("--store", old_store, "--read-only", *(word.format(folder=tmp_path) for word in words))
    assert ran.status == READ, ran.err
    assert digest(old_store) == before
    if command in ("list", "search", "stats", "due", "registry show"):
        assert "_jobs) and is open read-only; `vestige-tui schema up` brings it up to date." in ran.err.replace(
            "\n", " "
        )


def test_a_store_whose_schema_is_behind_is_no_source_of_a_copy(run: Command, old_store: str, tmp_path: Path) -> None:
    ran = run("migrate", "copy", "--source", old_store, "--target", f"sqlite:{tmp_path / 'new.db'}")
    assert ran.status == REFUSED
    assert "schema up" in ran.err
    assert not (tmp_path / "new.db").exists()
