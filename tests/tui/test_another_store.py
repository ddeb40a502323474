"""Another store in the same console: it goes over to it, keeps the old one if it cannot, and shows no password."""

from __future__ import annotations

import json
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.widgets import Input

from tests.support.console import Console, open_browse
from tests.support.corpus import clock, embedders
from tests.support.passwords import PASSWORD, with_password
from vestige_tui.config.settings import Config
from vestige_tui.core.memories import Draft
from vestige_tui.store.open import open_store
from vestige_tui.tui.app import VestigeApp
from vestige_tui.tui.console_state import MAX_STORES, STORES_FILE, ConsoleState
from vestige_tui.tui.dialogs.modals import Confirm
from vestige_tui.tui.dialogs.palette import Palette
from vestige_tui.tui.store_session_events import SessionState
from vestige_tui.tui.wizards.open_store import OpenStoreWizard


@asynccontextmanager
async def console_with_state(
    store: Path | str, folder: Path, size: tuple[int, int] = (120, 40), *, read_only: bool = False
) -> AsyncIterator[Console]:
    url = store if isinstance(store, str) else f"sqlite:{store}"
    state = ConsoleState(folder)
    app = VestigeApp(Config(path=folder / "none.toml"), url, read_only=read_only, embedders=embedders(), state=state)
    async with app.run_test(size=size) as pilot:
        console = Console(app, pilot)
        await console.until(lambda: app.session.store is not None and app.session.facts.memories is not None)
        await console.still()
        yield console


async def write_store(url: str, *texts: str) -> None:
    source = embedders()
    async with open_store(url, create=True, embedders=source, clock=clock) as store:
        for text in texts:
            await store.insert(Draft(text), embed=False)
    source.close()


async def type_store(console: Console, url: str) -> None:
    await console.press("ctrl+o")
    await console.until(lambda: isinstance(console.app.screen, OpenStoreWizard))
    await console.until(lambda: bool(console.app.screen.query(Input)))
    await console.paste(url)
    await console.press("enter")


async def opened(console: Console, end: str) -> None:
    await console.until(lambda: console.app.session.state is SessionState.LIVE and end in console.lines[0])
    await console.still()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgres", "pgembed"])
async def test_the_console_goes_over_to_it(
    corpus: Path, tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    url = {
        "sqlite": f"sqlite:{tmp_path / 'other.db'}",
        "postgres": "" if kind != "postgres" else str(request.getfixturevalue("postgres_database")),
        "pgembed": f"pgembed:{tmp_path / 'server'}",
    }[kind]
    await write_store(url, "only in the other store")
    async with console_with_state(corpus, tmp_path / "state") as console:
        await open_browse(console)
        await console.press("f5", "f3", "slash")
        before = console.store
        await type_store(console, url)
        await console.until(lambda: console.app.session.store not in (None, before))
        await console.until("only in the other store")
        await console.until("Opened ")
        assert "▌F3 Browse" in console.lines[1]
        # The old store is closed, and no place keeps anything of it.
        with pytest.raises(Exception, match=r"is not open|closed"):
            await before.page()
        for place in ("f2", "f4", "f5", "f6", "f7"):
            await console.press(place)
            await console.still()
        assert console.app.session.facts.memories == 1
        # A write goes to the new one, and back again.
        change = await console.store.insert(Draft("written after it"), embed=False)
        assert change.changed
        await type_store(console, f"sqlite:{corpus}")
        await opened(console, "vestige.db")
        await console.until(lambda: (console.app.session.facts.memories or 0) > 300)


@pytest.mark.slow
async def test_a_store_that_cannot_be_opened_leaves_the_present_one(corpus: Path, tmp_path: Path) -> None:
    odd = tmp_path / "odd.txt"
    odd.write_text("no database", encoding="utf-8")
    async with console_with_state(corpus, tmp_path / "state") as console:
        before = console.store
        await type_store(console, str(odd))
        await console.until(lambda: console.says("■") and "odd.txt" in console.text)
        assert isinstance(console.app.screen, OpenStoreWizard)
        await console.press("escape")
        assert console.store is before
        assert await before.page()
        await console.press("escape")
        await console.press("f3")
        await console.until("newest first")
        # A missing file is created only if the user agrees.
        await type_store(console, str(tmp_path / "missing.db"))
        await console.until(lambda: isinstance(console.app.screen, Confirm))
        await console.press("n")
        await console.until(lambda: isinstance(console.app.screen, OpenStoreWizard))
        await console.until("There is no store at")
        assert not (tmp_path / "missing.db").exists()


async def test_the_present_store_is_not_opened_again(corpus: Path, tmp_path: Path) -> None:
    async with console_with_state(corpus, tmp_path / "state") as console:
        await type_store(console, f"{corpus.parent}/./{corpus.name}")
        await console.until("This store is open already.")


@pytest.mark.slow
async def test_no_password_is_shown_or_kept(corpus: Path, tmp_path: Path, postgres_database: str) -> None:
    await write_store(postgres_database, "behind a password")
    async with console_with_state(corpus, tmp_path / "state") as console:
        await type_store(console, with_password(postgres_database))
        await console.until(lambda: console.app.session.store is not None and "PostgreSQL" in console.lines[0])
        await console.press("f3")
        await console.until("behind a password")
        file = tmp_path / "state" / STORES_FILE
        await console.until(lambda: "postgresql" in file.read_text(encoding="utf-8"))
        assert PASSWORD not in file.read_text(encoding="utf-8")
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert PASSWORD not in console.text
        # It is known while this console runs: the way back and forth asks for none.
        await type_store(console, f"sqlite:{corpus}")
        await opened(console, "vestige.db")
        await console.press("ctrl+p")
        await console.until(lambda: isinstance(console.app.screen, Palette))
        assert PASSWORD not in console.text
        await console.type("open postgresql")
        await console.press("enter")
        await console.until(lambda: "PostgreSQL" in console.lines[0])
        assert PASSWORD in console.app.session.url


@pytest.mark.slow
async def test_read_only_stays(corpus: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    await write_store(f"sqlite:{other}", "one")
    async with console_with_state(corpus, tmp_path / "state", read_only=True) as console:
        await type_store(console, str(other))
        await opened(console, "other.db")
        assert console.store.read_only


@pytest.mark.slow
async def test_recent_stores_are_offered_first(corpus: Path, tmp_path: Path) -> None:
    state = ConsoleState(tmp_path / "state")
    others = [tmp_path / f"{name}.db" for name in ("first", "second")]
    for each in others:
        await write_store(f"sqlite:{each}", each.name)
        state.note_store(f"sqlite:{each}")
    async with console_with_state(corpus, tmp_path / "state") as console:
        await console.press("ctrl+p")
        await console.until(lambda: isinstance(console.app.screen, Palette))
        await console.type("open first")
        await console.press("enter")
        await opened(console, "first.db")
        await console.until(
            lambda: [url.rpartition("/")[2] for url in state.recent_stores()] == ["first.db", "vestige.db", "second.db"]
        )


def test_recent_stores_are_bounded_private_and_robust(tmp_path: Path) -> None:
    state = ConsoleState(tmp_path / "state")
    for number in range(MAX_STORES + 5):
        state.note_store(f"sqlite:{tmp_path / f'{number}.db'}")
    assert len(state.recent_stores()) == MAX_STORES
    state.note_store(f"sqlite:{tmp_path / '10.db'}")
    assert state.recent_stores()[0].endswith("/10.db")
    assert len(state.recent_stores()) == MAX_STORES
    file = tmp_path / "state" / STORES_FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for damaged in ("", "[]", "{", '{"stores": 7}', '{"stores": [3]}', json.dumps({"stores": None})):
        file.write_text(damaged, encoding="utf-8")
        assert state.recent_stores() == ()
    # Without a folder nothing is written.
    ConsoleState(None).note_store("sqlite:/nowhere.db")
    assert ConsoleState(None).recent_stores() == ()


@pytest.mark.slow
async def test_a_finished_copy_is_opened_with_one_key(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    target = tmp_path / "copy.db"
    async with console_with_state(corpus, tmp_path / "console") as console:
        await console.press("f5")
        await console.until("No jobs yet.")
        await console.press("o")
        await console.until("There are no jobs yet.")
        await console.press("c")
        await console.until("Where to?")
        await console.paste(str(target))
        await console.press("enter")
        await console.until("in total")
        await console.press("enter")
        await console.until("start the copy")
        await console.press("y")
        await console.until("o open it")
        await console.press("o")
        await opened(console, "copy.db")
        assert "▌F5 Jobs" in console.lines[1]
        await console.until(lambda: (console.app.session.facts.memories or 0) > 300)
        await console.press("o")
        await console.until("This store is open already.")
