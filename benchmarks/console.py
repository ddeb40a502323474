"""Console in a pseudo-terminal: start to first paint, and key to paint."""

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

START_COUNT, PRESS_COUNT = 7, 30
LARGE_ROWS = 100_000
"""Size from which a copy lasts longer than the key presses."""
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
    """Return the caller's environment without settings and state."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "VESTIGE_"))}
    return {**variables, "HOME": str(folder)}


def measure(folder: Path, stores: Mapping[str, str], size: int, target: str | None = None) -> list[Figure]:
    """Measure stores of one size, by part name, beside a list of 200 lines in an empty Textual app.

    ``target``: empty database that the first store is copied into while keys are pressed once more.
    """
    script = folder / "empty.py"
    script.write_text(_EMPTY, encoding="utf-8")
    empty = [sys.executable, str(script)]
    figures: list[Figure] = []
    for name, url in stores.items():
        command = [sys.executable, "-m", "vestige_tui", "--store", url]
        figures += _starts(f"console, {name}", command, empty, environment(folder), f"{grouped(size)} memories")
        figures.append(_keys(f"console, {name}", command, empty, environment(folder)))
    if target is not None and size >= LARGE_ROWS:
        name, url = next(iter(stores.items()))
        command = [sys.executable, "-m", "vestige_tui", "--store", url]
        with _copying(url, target, environment(folder)):
            figures.append(_keys(f"console, {name}", command, empty, environment(folder), "while it is copied"))
    return figures


@contextmanager
def _copying(source: str, target: str, env: Mapping[str, str]) -> Iterator[None]:
    """Copy a store during the block, and cancel the copy at its end."""
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
    for _ in range(START_COUNT):
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
        for _ in range(PRESS_COUNT):
            for terminal, times in ((ours, pressed), (raw, bare)):
                times.append(terminal.painted(DOWN) * 1_000)
                terminal.quiet()
    name = f"down in Browse, key to paint{when and f' {when}'}"
    return timing(part, name, (Times(tuple(pressed)), Times(tuple(bare))), "an OptionList")
