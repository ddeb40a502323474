"""A store that cannot be written is seen before a key is pressed: every key that writes is dim, with its reason."""

from __future__ import annotations

import importlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from textual.binding import Binding
from textual.dom import DOMNode
from textual.screen import ModalScreen
from textual.widgets import Input

from tests.support.console import Console, open_console
from tests.support.corpus import embedders
from tests.support.documented_grants import logged_in
from tests.support.open_console import console_on
from tests.support.read_only_commands import digest
from tests.support.replicas import ReplicatedPair
from tests.support.source_tree import modules
from tests.support.vestige_files import make_v18, realistic
from vestige_tui.config.settings import Config
from vestige_tui.presenters.stores import read_only_sentence
from vestige_tui.tui.app import VestigeApp
from vestige_tui.tui.command_screen import CONSOLE_READ_ONLY, CommandScreen
from vestige_tui.tui.commands.catalogue import action_names, catalogue
from vestige_tui.tui.commands.command import Command
from vestige_tui.tui.commands.everywhere import Interrupt, Quit, SuspendConsole
from vestige_tui.tui.commands.places import PLACES
from vestige_tui.tui.dialogs.help import HelpScreen, Sheet
from vestige_tui.tui.dialogs.modals import Ask, Confirm
from vestige_tui.tui.doctor.fault_sheet import FaultSheet
from vestige_tui.tui.doctor.page import DoctorScreen
from vestige_tui.tui.domains.page import DomainsScreen
from vestige_tui.tui.journal.page import JournalScreen
from vestige_tui.tui.place import Place
from vestige_tui.tui.review.statistics_page import StatisticsScreen
from vestige_tui.tui.widgets.key_line import KeyLine

WRITING = [command for command in catalogue().values() if command.writes]
JOURNAL, DOMAINS, DOCTOR, STATISTICS = "journal", "domains", "doctor", "statistics"
"""Names of the pages that write, beside those of the places."""
WRITING_ELSEWHERE = [command for command in catalogue().values() if command.writes_elsewhere]


@pytest.fixture
def reading_role(postgres_database: str) -> Iterator[str]:
    """The URL of a store for a role that may only read it."""
    name = f"reader_{secrets.token_hex(4)}"
    with psycopg.connect(postgres_database, autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
        owner.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}").format(sql.Identifier(name)))
    yield logged_in(postgres_database, name)
    with psycopg.connect(postgres_database, autocommit=True) as owner:
        for statement in ("DROP OWNED BY {}", "DROP ROLE {}"):
            owner.execute(sql.SQL(statement).format(sql.Identifier(name)))


def url_by_cause(cause: str, request: pytest.FixtureRequest, corpus: Path, folder: Path) -> tuple[str, str]:
    """Return the URL of a store that is read-only by this cause, and words of the reason."""
    match cause:
        case "flag, SQLite":
            return f"sqlite:{corpus}", "opened with --read-only"
        case "flag, PostgreSQL":
            return str(request.getfixturevalue("postgres_database")), "opened with --read-only"
        case "role":
            return str(request.getfixturevalue("reading_role")), "may only read; run GRANT "
        case "server setting":
            url = str(request.getfixturevalue("postgres_database"))
            with psycopg.connect(url, autocommit=True) as owner:
                name = sql.Identifier(owner.info.dbname)
                owner.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name))
            return url, "default_transaction_read_only"
        case "standby":
            pair: ReplicatedPair = request.getfixturevalue("replicated_pair")
            return pair.standby_url, "the server is a standby"
        case "Vestige file":
            return f"sqlite:{make_v18(folder / 'v18.db')}", "a Vestige V18 file"
    refused = corpus if cause == "file" else corpus.parent
    access = os.access

    def no_write(path: Any, mode: int, **options: Any) -> bool:
        # Root may write any file.
        return not (mode & os.W_OK and Path(path) == refused) and access(path, mode, **options)

    request.getfixturevalue("monkeypatch").setattr(os, "access", no_write)
    return f"sqlite:{corpus}", "the file cannot be written" if cause == "file" else "its directory cannot be written"


CAUSES = (*("flag, SQLite", "flag, PostgreSQL", "role", "server setting", "standby", "Vestige file", "file", "folder"),)


async def go_to(console: Console, place: str) -> CommandScreen:
    """Go to a place, or to a page of one, and leave the input line, so that letters are keys."""
    if place == JOURNAL:
        await console.app.run_action("show_journal")
        await console.until(lambda: isinstance(console.app.screen, JournalScreen))
    elif place == DOMAINS:
        await go_to(console, "browse")
        await console.press("D")
        await console.until(lambda: isinstance(console.app.screen, DomainsScreen))
    elif place == DOCTOR:
        await go_to(console, "store")
        await console.press("d")
        await console.until(lambda: isinstance(console.app.screen, DoctorScreen))
    elif place == STATISTICS:
        await go_to(console, "review")
        await console.press("h")
        await console.until(lambda: isinstance(console.app.screen, StatisticsScreen))
    else:
        await console.app.switch_mode(place)
    await console.still()
    screen = console.app.screen
    assert isinstance(screen, CommandScreen)
    if isinstance(console.app.focused, Input):
        screen.set_focus(None)
    await console.pilot.pause()
    return screen


def bound_keys(screen: CommandScreen, command: type[Command]) -> list[str]:
    return [key for key, active in screen.active_bindings.items() if active.binding.id == command.id]


def shown_keys(screen: CommandScreen) -> set[str]:
    """Return the keys with labels of the key line that write to the store."""
    line = screen.query_one(KeyLine).render().plain
    keys = (f"{key} {command.label}" for command in WRITING for key in bound_keys(screen, command))
    return {key for key in keys if f" {key} " in f" {line} "}


def dim_keys(screen: CommandScreen) -> set[str]:
    """Return the keys with labels of the key line that are dim."""
    line = screen.query_one(KeyLine).render()
    return {line.plain[span.start : span.end] for span in line.spans if "text-disabled" in str(span.style)}


@pytest.mark.slow
@pytest.mark.parametrize("cause", CAUSES)
async def test_every_key_that_writes_is_dim_with_the_reason(
    request: pytest.FixtureRequest, corpus: Path, tmp_path: Path, cause: str
) -> None:
    url, reason = url_by_cause(cause, request, corpus, tmp_path)
    offered: set[type[Command]] = set()
    async with console_on(url, read_only=cause.startswith("flag")) as console:
        assert "read-only" in console.lines[0]
        sentence = read_only_sentence(console.store.read_only_reason)
        assert reason in sentence
        for place in (*(command.place for command in PLACES), DOMAINS, DOCTOR, STATISTICS, JOURNAL):
            screen = await go_to(console, place)
            for command in WRITING:
                keys = bound_keys(screen, command)
                for key in keys:
                    assert not screen.active_bindings[key].enabled, (place, command)
                [name] = action_names([command])
                assert not keys or screen.reason_against(name) == sentence
                offered |= {command} if keys else set()
            assert shown_keys(screen) <= dim_keys(screen)
    # Every command that writes was met; one that only a page binds is to be looked at here too.
    assert offered == set(WRITING)


@pytest.mark.slow
async def test_pressing_a_dim_key_says_the_reason_and_writes_nothing(corpus: Path) -> None:
    before = digest(f"sqlite:{corpus}")
    async with open_console(corpus, read_only=True) as console:
        sentence = read_only_sentence("opened with --read-only")
        for place in PLACES:
            screen = await go_to(console, place.place)
            for command in WRITING:
                for key in bound_keys(screen, command):
                    screen._status.clear()
                    await console.press(key)
                    await console.until(sentence)
                    assert not isinstance(console.app.screen, ModalScreen), command
            for command in WRITING_ELSEWHERE:
                for key in bound_keys(screen, command):
                    assert not screen.active_bindings[key].enabled
                    await console.press(key)
                    await console.until(CONSOLE_READ_ONLY)
    assert digest(f"sqlite:{corpus}") == before


@pytest.mark.slow
async def test_help_says_why_keys_are_dim(corpus: Path) -> None:
    async with open_console(corpus, read_only=True) as console:
        await go_to(console, "browse")
        await console.press("question_mark")
        await console.until(lambda: isinstance(console.app.screen, HelpScreen))
        sheet = console.app.screen.query_one(Sheet).render().plain
        assert "Disabled now: e t E M d R l S p X u U a. This store is read-only: opened with --read-only." in sheet


async def test_keys_are_dim_before_the_store_is_open(corpus: Path) -> None:
    app = VestigeApp(Config(), f"sqlite:{corpus}", read_only=True, embedders=embedders())
    async with app.run_test(size=(160, 50)) as pilot:
        # Asked before the event loop could open anything.
        screen = app.screen
        assert isinstance(screen, CommandScreen)
        assert screen.reason_against("edit_memory").startswith("This store is read-only")
        await Console(app, pilot).until(lambda: app.session.store is not None)


CLOSED_BY_ITSELF = (FaultSheet,)
"""Dialogs that offer a key that writes and are told why it does not work; tests of their pages show that."""


def test_a_command_that_writes_is_bound_on_a_screen_that_disables_it() -> None:
    for name, _ in modules():
        if name.startswith("tui/") and not name.endswith("__init__.py"):
            importlib.import_module("vestige_tui." + name.removesuffix(".py").replace("/", "."))
    ids = {command.id for command in (*WRITING, *WRITING_ELSEWHERE)}
    nodes = [DOMNode]
    for node in nodes:
        nodes += node.__subclasses__()
    for node in nodes:
        if node.__module__.startswith("vestige_tui"):
            bound = {each.id for each in vars(node).get("BINDINGS", ()) if isinstance(each, Binding)}
            assert not bound & ids or issubclass(node, (CommandScreen, *CLOSED_BY_ITSELF)), (node, bound & ids)


async def answer(console: Console) -> None:
    """Answer the dialogs that a command opens: yes, a word, the first choice; leave any other one."""
    entered: set[object] = set()
    for _ in range(8):
        await console.still()
        screen = console.app.screen
        if isinstance(screen, Place):
            return
        if isinstance(screen, CommandScreen):
            await console.press("escape")
            continue
        if isinstance(screen, Confirm):
            await console.press("y")
        elif isinstance(screen, Ask):
            # A line that was refused is not repeated.
            await console.press(*(("escape",) if screen.query("#sheet-fault") else ("x", "enter")))
        else:
            # A wizard stays the same screen from step to step.
            await console.press("enter" if isinstance(screen, ModalScreen) and screen not in entered else "escape")
            entered.add(screen)


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES, ids=lambda place: str(place.place))
async def test_a_command_that_is_not_declared_to_write_does_not(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Any
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    left_out = {Quit.id, Interrupt.id, SuspendConsole.id, *(each.id for each in (*WRITING, *WRITING_ELSEWHERE))}
    async with open_console(corpus) as console:
        before = digest(f"sqlite:{corpus}")
        screen = await go_to(console, place.place)
        ids = {active.binding.id for active in screen.active_bindings.values() if active.enabled}
        commands = [command for id, command in catalogue().items() if id in ids - left_out]
        assert len(commands) > 8
        for command in commands:
            screen = await go_to(console, place.place)
            active = next((each for each in screen.active_bindings.values() if each.binding.id == command.id), None)
            if active is not None and active.enabled:
                await console.app.run_action(active.binding.action, active.node)
                await answer(console)
                assert digest(f"sqlite:{corpus}") == before, command


async def test_a_reviewed_memory_without_the_time_of_its_last_review_is_not_new(tmp_path: Path) -> None:
    row = {**realistic(1), "content": "The nightly backup runs twice.", "reps": 3, "next_review": None}
    async with console_on(f"sqlite:{make_v18(tmp_path / 'vestige.db', [row])}") as console:
        await console.until("R ─")
        assert console.says("last reviewed time unknown")
