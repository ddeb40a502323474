"""Stored text never steers a terminal: the console walks past hostile rows, and every byte that it writes is read.

What Textual writes is a short list of sequences; anything beside them came out of a row.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.terminal import Piece, Terminal, console, isolated_env, pieces
from tests.support.vestige_files import HOSTILE_ROWS, HOSTILE_TEXTS, HOSTILE_VECTORS, make_v18
from vestige_tui.core.links import Edge
from vestige_tui.core.memories import Draft, Memory
from vestige_tui.store.open import open_store

SIZE = (120, 40)
MARKERS = (
    "\x1b[31;5mPWNED\x1b[0m",
    "\x1b]0;PWNED\x07",
    "\x1b]52;c;UFdORUQ=\x07",
    "\x1b]8;;http://pwned.example\x1b\\PWNED\x1b]8;;\x1b\\",
    "\x1b[7777;1HPWNED",
    "\x1b[2J\x1b[?1049lPWNED",
    "\x1bcPWNED",
    "\x1bP1;1|PWNED\x1b\\",
    "\x9b31mPWNED \x9d0;PWNED\x9c \x90PWNED\x9c",
    "\u202eDENWP\u202c \u2066PWNED\u2069 \u200bPWNED\ufeff \U000e0050\u061c",
    "\x08\x08\x07\x0b\x0c\x7f\x00PWNED\x0e",
    "line\u2028PWNED\u2029\x85PWNED",
    "[/PWNED] [bold [@click=app.quit]PWNED[/] [link='x]",
    "```\x1b[31mPWNED\n```\n| a | \x1b[32mPWNED |\n|---|---|\n| [PWNED](javascript:\x1b]0;x\x07) | <b>\x9b1m</b> |",
    "# \x1b[1mPWNED\n- \x1b[2mPWNED\n> \u202ePWNED\n\n`\x1b[3mPWNED`\n\n![PWNED](\x1b[4m)",
)
"""Texts that would clear, colour, name, copy or reorder if any of them were taken at its word."""

MODES = frozenset({"7", "25", "1000", "1002", "1003", "1004", "1006", "1015", "1049", "2004", "2026", "2048"})
ASKED = frozenset({"?2026$p", "?2048$p", "c", "6n", "?u", "16t"})
SINGLE = frozenset({"0", "1", "2", "3", "4", "7", "9"})
CONTROLS = frozenset({"\r", "\n"})
STEERING = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e0fff]"
)


def fault(piece: Piece, size: tuple[int, int]) -> str:
    """Return what is wrong with a piece of what the console wrote, empty where Textual itself writes such."""
    body = piece.body
    if piece.kind == "text":
        return "a character that steers text" if STEERING.search(body) else ""
    if piece.kind == "control":
        return "" if body in CONTROLS else "a control character"
    if piece.kind == "csi":
        return "" if _is_textuals(body, size) else "a sequence that Textual does not write"
    if piece.kind == "osc":
        # The shape of the mouse pointer; a copy is looked at by the test that copied.
        return "" if re.fullmatch(r"22;(?:default|pointer|text)|52;c;[A-Za-z0-9+/]*=*", body) else "an OSC"
    return f"a sequence of kind {piece.kind}"


def _is_textuals(body: str, size: tuple[int, int]) -> bool:
    if body in ASKED:
        return True
    if found := re.fullmatch(r"(\d+);(\d+)H", body):
        return int(found[1]) <= size[1] and int(found[2]) <= size[0]
    if found := re.fullmatch(r"\?(\d+)[hl]", body):
        return found[1] in MODES
    if re.fullmatch(r">\d+u|<u", body):  # keyboard protocol, on and off
        return True
    return body.endswith("m") and _is_true_colour(body[:-1])


def _is_true_colour(parameters: str) -> bool:
    """Is this an attribute of ours, or a colour given in three parts? The themes here use no other."""
    left = parameters.split(";")
    while left:
        if left[0] in SINGLE:
            left = left[1:]
        elif left[0] in ("38", "48") and left[1:2] == ["2"] and len(left) >= 5:
            if not all(part.isdigit() and int(part) < 256 for part in left[2:5]):
                return False
            left = left[5:]
        else:
            return False
    return True


LEAVING = f"\x1b[{SIZE[1]};1H\x1b[0m\x1b[2K Closing the store; jobs keep running."
"""Line that the console writes by itself, once, if its store is slow to close."""


def check(terminal: Terminal, *, copies: int = 0) -> None:
    """Read every byte that was written; as many clipboards as copies were asked for, and each of plain text."""
    written = terminal.written.replace(LEAVING, "", 1)
    found = [(piece, wrong) for piece in pieces(written) if (wrong := fault(piece, SIZE))]
    assert not found, found[:5]
    clipboards = re.findall(r"\x1b\]52;c;([^\x07\x1b]*)", written)
    assert len(clipboards) == copies
    for payload in clipboards:
        text = base64.b64decode(payload).decode()
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", text)
        assert not STEERING.search(text)


async def _fill(path: Path) -> list[Memory]:
    async with open_store(f"sqlite:{path}", create=True) as store:
        evil = MARKERS[0] + MARKERS[2] + MARKERS[8] + MARKERS[9]
        ids: list[str] = []
        for number, marker in enumerate(MARKERS):
            draft = Draft(
                f"{marker} row{number:02d} needle",
                node_type=f"t{evil}"[:40],
                tags=(f"tag{evil}", marker[:30]),
                domains=(f"d{evil}",),
                codebase=f"c{evil}",
                metadata={f"k{marker}": f"v{marker}", "vestige": {"x\x1b[31m": marker}},
            )
            ids.append((await store.insert(draft, embed=False)).changed[0])
        for one, other in pairwise(ids):
            await store.links.add(Edge(one, other, f"e{evil}", 0.5))
        await store.links.supersede(ids[0], ids[1])
        return [await store.get(each) for each in ids[1:]]


@pytest.fixture
def own_file(tmp_path: Path) -> tuple[Path, list[Memory]]:
    """A file of our own with a marker in every field that a person can write."""
    path = tmp_path / "own.db"
    return path, asyncio.run(_fill(path))


def visit_rest(terminal: Terminal) -> None:
    """Go through the other five places, help, palette and the filters."""
    terminal.press("f3")
    terminal.until("▌F3 Browse")
    terminal.still()
    for _ in range(6):
        terminal.press("j")
        terminal.answer()
    terminal.press("enter")
    terminal.still()
    terminal.press("r")
    terminal.still()
    terminal.press("escape")
    terminal.until("enter open")
    terminal.press("s")
    terminal.until("Sort by")
    terminal.press("escape", "/")
    terminal.still()
    terminal.send("needle")
    terminal.still(0.4)
    terminal.press("escape", "f4")
    terminal.until("▌F4 Review")
    terminal.still()
    for _ in range(2):
        terminal.press("space")
        terminal.still()
    for key, title in (("f5", "▌F5 Jobs"), ("f6", "▌F6 Registry"), ("f7", "▌F7 Store")):
        terminal.press(key)
        terminal.until(title)
        terminal.still()
    terminal.press("?")
    terminal.still()
    terminal.press("escape", "ctrl+p")
    terminal.still()
    terminal.send("copy")
    terminal.still()
    terminal.press("escape")
    terminal.still()


def leave(terminal: Terminal) -> None:
    terminal.press("ctrl+q")
    assert terminal.wait() == 0, terminal.text
    assert terminal.now == terminal.before


def until_answered(terminal: Terminal) -> None:
    """Wait for the duration of a search: milliseconds, or seconds on a busy machine."""
    terminal.until(lambda: re.search(r"hits?, [\d.,]+ m?s\b", terminal.text) is not None)


@pytest.mark.slow
@pytest.mark.terminal
def test_a_walk_past_hostile_rows_of_a_vestige_file(tmp_path: Path) -> None:
    path = make_v18(tmp_path / "memory.db", 3, hostile=True)
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    with Terminal(console(f"sqlite:{path}"), size=SIZE, env=isolated_env(tmp_path)) as terminal:
        terminal.until("● live")
        terminal.still()
        for word in ("cleared", "copied", "needle"):
            terminal.send(word)
            until_answered(terminal)
            terminal.still()
            terminal.press("escape")
        terminal.press("f3")
        terminal.until("▌F3 Browse")
        terminal.still()
        rows = len(HOSTILE_TEXTS) + len(HOSTILE_ROWS) + len(HOSTILE_VECTORS) + 4
        for raw in (False, True):
            for _ in range(rows):
                terminal.press("k" if raw else "j")
                terminal.answer()
            if not raw:
                terminal.press("enter", "r")
                terminal.still()
                terminal.press("escape")
        seen = terminal.written
        for name in ("owned", "copied", "before\u2400after", "half", "[@click=app.quit]x[/]"):
            assert name in seen or name.replace("\u2400", "\ufffd") in seen, name
        visit_rest(terminal)
        leave(terminal)
        check(terminal)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before


@pytest.mark.slow
@pytest.mark.terminal
def test_a_walk_past_hostile_rows_of_our_own_file(tmp_path: Path, own_file: tuple[Path, list[Memory]]) -> None:
    path, memories = own_file
    with Terminal(console(f"sqlite:{path}"), size=SIZE, env=isolated_env(tmp_path)) as terminal:
        terminal.until("● live")
        terminal.still()
        terminal.send("needle")
        until_answered(terminal)
        terminal.press("down")
        terminal.still()
        shown: set[str] = set()
        for raw in (False, True):
            for _ in memories:
                terminal.still(0.06)
                shown.update(re.findall(r"row\d\d", terminal.text))
                terminal.press("k" if raw else "j")
            terminal.press("enter")
            terminal.still()
            terminal.press("r")
            terminal.still()
            terminal.press("w")
            terminal.still()
            terminal.press("escape")
            terminal.still()
        assert len(shown) >= len(memories) - 1
        terminal.press("y")
        terminal.still()
        terminal.press("d")
        terminal.until("Delete")
        terminal.still()
        terminal.press("escape")
        terminal.until("Delete", gone=True)
        visit_rest(terminal)
        leave(terminal)
        check(terminal, copies=1)


COMMANDS = (
    "search needle",
    "search needle --superseded",
    "list",
    "show ID",
    "history ID",
    "edges ID",
    "neighbors ID",
    "due",
    "forecast",
    "stats",
    "registry show",
    "schema info",
    "jobs list",
    "registry models",
)


@pytest.mark.slow
@pytest.mark.terminal
@pytest.mark.parametrize("kind", ["own", "vestige"])
def test_every_command_keeps_it_out_of_the_terminal(
    tmp_path: Path, own_file: tuple[Path, list[Memory]], kind: str
) -> None:
    path, memories = own_file
    memory_id = memories[3].id
    if kind == "vestige":
        path, memory_id = make_v18(tmp_path / "memory.db", 3, hostile=True), "hostile-clipboard"
    script = tmp_path / "all.py"
    runs = [[part.replace("ID", memory_id) for part in command.split()] for command in COMMANDS]
    script.write_text(
        "import sys\n"
        "from vestige_tui.__main__ import main\n"
        f"for arguments in {runs!r}:\n"
        "    for more in ([], ['--json']):\n"
        f"        status = main(['--store', 'sqlite:{path}', *more, *arguments])\n"
        "        print('status', status)\n"
        "print('all done')\n"
    )
    with Terminal([sys.executable, str(script)], size=(200, 50), env=isolated_env(tmp_path)) as terminal:
        assert terminal.wait(240) == 0
        written = terminal.written
    assert "all done" in written
    assert written.count("status 0") == 2 * len(COMMANDS), re.findall(r"status \d+", written)
    assert "PWNED" in written or kind == "vestige"
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", written)
    assert not STEERING.search(written)


def test_the_checks_can_fail() -> None:
    """Each marker, let through as it is, would be seen."""
    for marker in MARKERS:
        if marker.startswith("[/"):
            continue  # markup is no matter of bytes: the walk itself would end
        assert any(fault(piece, SIZE) for piece in pieces(marker)) or "\x1b]52" in marker, marker


def test_a_hostile_name_on_the_command_line(tmp_path: Path) -> None:
    missing = f"sqlite:{tmp_path}/\x1b]0;PWNED\x07\u202e.db"
    ran = subprocess.run(
        [sys.executable, "-m", "vestige_tui", "--store", missing, "list"], capture_output=True, text=True, check=False
    )
    assert ran.returncode != 0
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", ran.stdout + ran.stderr)
    assert not STEERING.search(ran.stdout + ran.stderr)
