"""The console in a pseudo-terminal: from its start to its first paint, and from a key to what it paints."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.clock import Times, timing
from benchmarks.table import Figure
from benchmarks.terminal import Terminal
from vestige_tui.core.errors import Conflict
from vestige_tui.core.text import grouped

STARTS, PRESSES = 7, 30
LARGE = 100_000
"""From so many memories on a copy lasts longer than the keys that are pressed meanwhile."""
BROWSE, DOWN = "\x1bOR", "\x1b[B"

_EMPTY = """\
from textual.app import App
from textual.widgets import OptionList, Static

class Empty(App):
    def compose(self):
        yield Static("painted")
        yield OptionList(*[f"row {number}" for number in range(200)])

Empty().run()
"""


def environment(folder: Path) -> dict[str, str]:
    """That of whoever measures, without settings and state."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "VESTIGE_"))}
    return {**kept, "HOME": str(folder)}


def measure(folder: Path, stores: Mapping[str, str], size: int, target: str | None = None) -> list[Figure]:
    """Each of these stores of a size, by the name of its part, beside a list of 200 lines in an empty Textual app.

    ``target``: an empty database, which the first of them is copied into while keys are pressed once more.
    """
    script = folder / "empty.py"
    script.write_text(_EMPTY, encoding="utf-8")
    empty = [sys.executable, str(script)]
    found: list[Figure] = []
    for name, url in stores.items():
        command = [sys.executable, "-m", "vestige_tui", "--store", url]
        found += _starts(f"console, {name}", command, empty, environment(folder), f"{grouped(size)} memories")
        found.append(_keys(f"console, {name}", command, empty, environment(folder)))
    if target is not None and size >= LARGE:
        name, url = next(iter(stores.items()))
        command = [sys.executable, "-m", "vestige_tui", "--store", url]
        with _copying(url, target, environment(folder)):
            found.append(_keys(f"console, {name}", command, empty, environment(folder), "while it is copied"))
    return found


@contextmanager
def _copying(source: str, target: str, env: Mapping[str, str]) -> Iterator[None]:
    """Copy a store into another one meanwhile, and cancel that at the end."""
    command = [sys.executable, "-m", "vestige_tui", "migrate", "copy", "--source", source, "--target", target]
    with subprocess.Popen(command, env=dict(env), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as copy:
        try:
            yield
            if copy.poll() is not None:
                raise Conflict("The copy ended before the last key was pressed.")
        finally:
            copy.send_signal(signal.SIGINT)


def _starts(part: str, command: list[str], empty: list[str], env: Mapping[str, str], counted: str) -> list[Figure]:
    painted, bare, opened = list[float](), list[float](), list[float]()
    for _ in range(STARTS):
        with Terminal(command, env) as terminal:
            painted.append((terminal.until("F7") - terminal.started) * 1_000)
            opened.append((terminal.until(counted) - terminal.started) * 1_000)
        with Terminal(empty, env) as terminal:
            bare.append((terminal.until("painted") - terminal.started) * 1_000)
    app = "an empty Textual app"
    return [
        timing(part, "start to first paint", (Times(tuple(painted)), Times(tuple(bare))), app),
        timing(part, "start to the store's figures", (Times(tuple(opened)), Times(tuple(bare))), app),
    ]


def _keys(part: str, command: list[str], empty: list[str], env: Mapping[str, str], when: str = "") -> Figure:
    with Terminal(command, env) as ours, Terminal(empty, env) as raw:
        ours.until("memories")
        raw.until("painted")
        ours.painted(BROWSE)
        for terminal in (ours, raw):
            terminal.quiet(1.0)
        pressed, bare = list[float](), list[float]()
        for _ in range(PRESSES):
            for terminal, times in ((ours, pressed), (raw, bare)):
                times.append(terminal.painted(DOWN) * 1_000)
                terminal.quiet()
    said = f"down in Browse, key to paint{when and f' {when}'}"
    return timing(part, said, (Times(tuple(pressed)), Times(tuple(bare))), "an OptionList")
