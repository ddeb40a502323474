"""The console as a job of the shell, and with an editor on its terminal: stopped, continued, told to end."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.corpus import MEMORIES
from tests.support.terminal import ALTERNATE, MOUSE, PASTE, Terminal, console, isolated_env

pytestmark = pytest.mark.terminal


def environment(folder: Path, script: str = "") -> dict[str, str]:
    """An environment with an editor that runs this script, and a folder of its own for drafts."""
    editor = folder / "an editor"
    editor.write_text(f"#!/bin/sh\n{script}\n")
    editor.chmod(0o700)
    (folder / "drafts").mkdir()
    return {**isolated_env(folder), "EDITOR": str(editor), "TMPDIR": str(folder / "drafts")}


def drafts(folder: Path) -> list[str]:
    return [path.read_text() for path in (folder / "drafts").glob("vestige-*/*")]


def go_to_list(terminal: Terminal) -> None:
    """Wait for the first list, and move the keyboard there."""
    terminal.until(f"{MEMORIES} memories")
    terminal.still()
    terminal.press("down")
    terminal.until("enter open")


def is_open(terminal: Terminal, before: list[str]) -> Callable[[], bool]:
    """A condition: the console has the terminal, in its modes, and shows what it showed."""
    return lambda: (
        terminal.lines == before
        and {ALTERNATE, PASTE} < terminal.modes
        and bool(terminal.modes & MOUSE)
        and terminal.now != terminal.before
    )


@pytest.mark.slow
def test_ctrl_z_stops_it_behind_a_dialog_and_fg_repaints_it(tmp_path: Path, filled: str) -> None:
    with Terminal(["/bin/sh", "-i"], env={**isolated_env(tmp_path), "PS1": "shell$ "}) as terminal:
        terminal.until("shell$")
        terminal.send(" ".join(console(filled)) + "\n")
        go_to_list(terminal)
        terminal.press("t")
        terminal.until("+add -remove")
        terminal.still()
        before = terminal.lines
        for _ in range(2):
            terminal.press("ctrl+z")
            terminal.until("shell$")
            terminal.until(lambda: terminal.is_restored)
            terminal.send("fg\n")
            terminal.until(is_open(terminal, before))
        terminal.send("+later")
        terminal.until("+later")
        terminal.press("escape", "ctrl+q")
        terminal.until("shell$")
        terminal.until(lambda: terminal.is_restored)


@pytest.mark.slow
def test_ctrl_z_without_a_shell_stops_nothing(tmp_path: Path, filled: str) -> None:
    with Terminal(console(filled), env=isolated_env(tmp_path)) as terminal:
        terminal.until(f"{MEMORIES} memories")
        terminal.still()
        before, written = terminal.lines, len(terminal.output)
        terminal.press("ctrl+z")
        # What it shows is what it showed, so that the screen alone does not say that the key has arrived.
        terminal.until(lambda: f"[?{ALTERNATE}l".encode() in terminal.output[written:])
        terminal.until(is_open(terminal, before))
        terminal.press("f3")
        terminal.until("▌F3 Browse")
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
        assert terminal.is_restored


@pytest.mark.slow
def test_a_stop_from_outside_leaves_no_trace(tmp_path: Path, filled: str) -> None:
    with Terminal(console(filled), env=isolated_env(tmp_path)) as terminal:
        terminal.until(f"{MEMORIES} memories")
        terminal.still()
        before = terminal.lines
        terminal.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, terminal.process.pid, os.WSTOPPED | os.WNOWAIT)
        terminal.run_another_program()
        terminal.until("another program")
        terminal.process.send_signal(signal.SIGCONT)
        terminal.until(is_open(terminal, before))
        terminal.send("every key once")
        terminal.until("every key once")
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
        assert terminal.is_restored


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, None], ids=["told", "terminal lost"])
def test_it_ends_with_its_editor_and_keeps_the_text(tmp_path: Path, filled: str, how: signal.Signals | None) -> None:
    env = environment(tmp_path, 'printf typed > "$1"; echo $$ > "$0.pid"; echo editing; exec sleep 1000')
    with Terminal(console(filled), env=env) as terminal:
        go_to_list(terminal)
        terminal.press("a")
        terminal.until("editing")
        assert terminal.is_restored
        if how is None:
            terminal.hang_up()
            terminal.process.wait(30)
        else:
            terminal.process.send_signal(how)
            assert terminal.wait() == 128 + how
            assert terminal.is_restored
            assert "Your text is kept in" in terminal.text
        assert drafts(tmp_path) == ["typed"]
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / "an editor.pid").read_text()), 0)


@pytest.mark.slow
def test_a_missing_or_a_killed_editor_gives_the_terminal_back(tmp_path: Path, filled: str) -> None:
    env = environment(tmp_path, "stty raw -echo; kill -KILL $$")
    with Terminal(console(filled), env=env) as terminal:
        go_to_list(terminal)
        terminal.press("e")
        terminal.until(lambda: "ended with signal 9; nothing was changed." in " ".join(terminal.text.split()))
        (tmp_path / "an editor").unlink()
        terminal.press("e")
        terminal.until(lambda: "cannot be started: No such file or directory." in " ".join(terminal.text.split()))
        terminal.press("f3")
        terminal.until("▌F3 Browse")
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
        assert terminal.is_restored
        assert drafts(tmp_path) == []
