"""With --read-only no command writes to a store: every command of the parser, and every store that it can reach."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command_line import Command
from tests.support.old_schema import take_back
from tests.support.postgres import new_database
from tests.support.read_only_commands import COMMANDS, FINISHED, READ, REFUSED, VARIANTS, digest, fill_with_jobs
from vestige_tui.cli.program import parser


def leaves(program: argparse.ArgumentParser, prefix: str = "") -> Iterator[str]:
    """Yield the names of all commands of a parser that have no commands below them."""
    groups = [each for each in program._actions if isinstance(each, argparse._SubParsersAction)]
    for group in groups:
        for name, command in group.choices.items():
            yield from leaves(command, f"{prefix}{name} ")
    if not groups:
        yield prefix.strip()


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def stores(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Two stores of one kind that differ, with a job that sends no heartbeat."""
    if request.param == "sqlite":
        folder = tmp_path_factory.mktemp("stores")
        files = f"sqlite:{folder / 'store.db'}", f"sqlite:{folder / 'target.db'}"
        fill_with_jobs(*files)
        yield files
        return
    server = str(request.getfixturevalue("postgres_server"))
    with new_database(server) as store, new_database(server) as target:
        fill_with_jobs(store, target)
        yield store, target


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


@pytest.mark.slow
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
    fill_with_jobs(url)
    asyncio.run(take_back(url, "jobs"))
    return url


@pytest.mark.slow
@pytest.mark.parametrize("command", [name for name, (_, status) in COMMANDS.items() if status == READ])
def test_a_store_whose_schema_is_behind_is_read(run: Command, old_store: str, tmp_path: Path, command: str) -> None:
    before = digest(old_store)
    words = (*command.split(), *COMMANDS[command][0])
    ran = run("--store", old_store, "--read-only", *(word.format(folder=tmp_path) for word in words))
    assert digest(old_store) == before
    if command == "backup" and not old_store.startswith("sqlite:"):
        # The backup of a server is a store of this version.
        assert (ran.status, "schema up" in ran.err) == (REFUSED, True)
        return
    assert ran.status == READ, ran.err
    if command in ("list", "search", "stats", "due", "registry show"):
        assert "_jobs) and is open read-only; run `vestige-tui schema up` to update it." in ran.err.replace("\n", " ")


def test_a_store_whose_schema_is_behind_is_no_source_of_a_copy(run: Command, old_store: str, tmp_path: Path) -> None:
    ran = run("migrate", "copy", "--source", old_store, "--target", f"sqlite:{tmp_path / 'new.db'}")
    assert ran.status == REFUSED
    assert "schema up" in ran.err
    assert not (tmp_path / "new.db").exists()
