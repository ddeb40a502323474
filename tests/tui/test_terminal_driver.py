"""The console on terminals with exported sizes, another encoding, broken keys, and characters of uncertain width."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.terminal import Terminal, console, isolated_env
from vestige_tui import Draft, open_store

pytestmark = pytest.mark.terminal

UNCERTAIN = ("कि हिन्दी में", "👩‍👩‍👧 👍🏽 ❤️ 1️⃣", "🇩🇪🇫🇷 flags", "கோப்பு", "a\u200db joined", "┌ größer 漢字")


@pytest.fixture
def store(tmp_path: Path) -> str:
    """The URL of a store of memories whose width terminals do not agree on."""

    async def fill(url: str) -> None:
        async with open_store(url, create=True) as opened:
            for text in UNCERTAIN:
                await opened.insert(Draft(text, tags=("tag",)))

    url = f"sqlite:{tmp_path / 'store.db'}"
    asyncio.run(fill(url))
    return url


@pytest.mark.slow
def test_the_terminal_has_its_own_size_and_every_column_its_place(tmp_path: Path, store: str) -> None:
    env = {**isolated_env(tmp_path), "COLUMNS": "200", "LINES": "70"}
    with Terminal(console(store), env=env, size=(120, 30)) as terminal:
        terminal.until(f"{len(UNCERTAIN)} memories")
        terminal.still()
        assert terminal.lines[0].endswith("● live")
        assert terminal.lines[-1].endswith("ctrl+p commands")
        borders = [terminal.cells(y).index("▌", 5) for y in range(5, 5 + 2 * len(UNCERTAIN))]
        assert set(borders) == {75}
        terminal.press("ctrl+q")
        assert terminal.wait() == 0


@pytest.mark.slow
def test_a_terminal_without_utf8_gets_shapes_and_broken_keys_are_read_over(tmp_path: Path, store: str) -> None:
    env = {**isolated_env(tmp_path), "PYTHONIOENCODING": "ascii"}
    with Terminal(console(store), env=env) as terminal:
        terminal.until(f"{len(UNCERTAIN)} memories")
        terminal.until("+ gro?er ????")
        terminal.send_bytes(b"gr\xfc\xff\x1b[:1R\x1b[1:u")
        terminal.until("| gr??")
        terminal.send_bytes(b"n\xc3")
        terminal.send_bytes(b"\xbc!")
        terminal.until("| gr??nu!")
        assert terminal.written.isascii()
        assert "\\u" not in terminal.written
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
        assert terminal.is_restored
