"""The first key that writes to the file of a Vestige server offers to adopt it; the console then writes there."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from tests.support.console import Console
from tests.support.open_console import console_on
from tests.support.vestige_files import make_v18
from vestige_tui.store.backends.sqlite_adoption import adopt_file
from vestige_tui.tui.dialogs.modals import Ask, Confirm


def tags(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as server:
        return {text for (text,) in server.execute("SELECT tags FROM knowledge_nodes")}


def backup_of(path: Path) -> Path:
    [backup] = path.parent.glob(f"{path.name}.before-adoption-*")
    return backup


async def ask(console: Console) -> None:
    """Press a key that writes, and wait for the question."""
    await console.press("f3")
    await console.until("▌F3 Browse")
    await console.still()
    await console.press("t")
    await console.until(lambda: isinstance(console.app.screen, Confirm))


async def test_the_first_key_that_writes_adopts_the_file(tmp_path: Path) -> None:
    path = make_v18(tmp_path / "vestige.db", 5)
    async with console_on(f"sqlite:{path}") as console:
        await ask(console)
        for words in ("to write to it?", "Vestige V18 with 5 memories", "adds 4 columns and 12 tables", "A backup"):
            assert console.says(words), words
        await console.press("y")
        await console.until("as many as before")
        await console.until(lambda: console.app.session.store is not None and not console.app.session.facts.read_only)
        await console.still()
        await console.press("t")
        await console.until(lambda: isinstance(console.app.screen, Ask))
        await console.type("+adopted")
        await console.press("enter")
        await console.until("Tagged")
    assert any("adopted" in text for text in tags(path))
    assert not any("adopted" in text for text in tags(backup_of(path)))


async def test_no_leaves_the_file_as_it_is(tmp_path: Path) -> None:
    path = make_v18(tmp_path / "vestige.db", 5)
    before = sha256(path.read_bytes()).digest()
    async with console_on(f"sqlite:{path}") as console:
        await ask(console)
        await console.press("escape")
        await console.until(lambda: not isinstance(console.app.screen, Confirm))
        assert console.app.session.facts.read_only
    assert sha256(path.read_bytes()).digest() == before


async def test_a_console_that_writes_to_no_store_offers_nothing(tmp_path: Path) -> None:
    path = make_v18(tmp_path / "vestige.db", 5)
    async with console_on(f"sqlite:{path}", read_only=True) as console:
        await console.press("f3")
        await console.still()
        await console.press("t")
        await console.until("This store is read-only")
        assert not isinstance(console.app.screen, Confirm)


async def test_a_file_that_its_server_rebuilds_is_opened_again_read_only_and_offered_again(tmp_path: Path) -> None:
    path = make_v18(tmp_path / "vestige.db", 5)
    adopt_file(path, datetime.now(UTC))
    async with console_on(f"sqlite:{path}") as console:
        await console.press("f3")
        await console.until("▌F3 Browse")
        await console.still()
        assert not console.app.session.facts.read_only
        original = str(backup_of(path))
        command = [sys.executable, "-m", "tests.support.rebuilt_tables", str(path), original]
        await asyncio.to_thread(subprocess.run, command, check=True, cwd=Path(__file__).parents[2])
        await console.until("adopt it again")
        await console.until(lambda: console.app.session.facts.read_only)
        assert console.says("its server has rebuilt it since the adoption")
        assert not console.says("no such column")
        await console.still()
        await console.press("t")
        await console.until(lambda: isinstance(console.app.screen, Confirm))
        for words in ("adopted before", "adds 4 columns;"):
            assert console.says(words), words
        backup_of(path).rename(tmp_path / "first")
        await console.press("y")
        await console.until("as many as before")
        await console.until(lambda: console.app.session.store is not None and not console.app.session.facts.read_only)
