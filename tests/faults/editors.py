"""Editors that cannot be started, end at once or without the terminal, and jobs of a shell that are stopped in one."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.faults.lab import Lab, answer, console_env, refusal, sentence_on, wait_while
from tests.faults.registry import Attempt, FaultResult, fault, summarize
from tests.faults.rows import against_acknowledged, texts
from tests.support.editor_scripts import types
from tests.support.terminal import Terminal, console

KEPT = "the text before"
END_SECONDS = 60.0


def _store(lab: Lab, name: str) -> str:
    url = lab.new_store(name)
    answer(lab.run("--store", url, "add", KEPT, "--json"))
    return url


def _env(folder: Path, script: str) -> dict[str, str]:
    """Return an environment with an editor that runs this script, and a folder of its own for drafts."""
    (folder / "drafts").mkdir(parents=True)
    path = folder / "editor"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    return {**console_env(), "EDITOR": str(path), "TMPDIR": str(folder / "drafts")}


def _drafts(folder: Path) -> list[str]:
    return [path.read_text() for path in (folder / "drafts").glob("vestige-*/*")]


def _go_to_list(terminal: Terminal) -> None:
    terminal.until("1 memor")
    terminal.still()
    terminal.press("down")
    terminal.until("enter open")


def _edit_in_console(url: str, folder: Path, script: str, sentence: str) -> str:
    """Press e in the console; return the sentence, once the console has its terminal back and still works."""
    with Terminal(console(url), env=_env(folder, script)) as terminal:
        _go_to_list(terminal)
        if not script:
            (folder / "editor").unlink()
        terminal.press("e")
        message = sentence_on(terminal, sentence)
        terminal.press("escape", "f3")
        terminal.until("▌F3 Browse")
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
        assert terminal.is_restored
    return message


@fault(42, "editor that cannot start, fails or ends at once")
def failing_editor(lab: Lab) -> FaultResult:
    url, attempts = _store(lab, "store.db"), []
    for name, script, sentence in (
        ("missing", "", "cannot be started: No such file or directory."),
        ("killed", "stty raw -echo; kill -KILL $$", "ended with signal 9; nothing was changed."),
        ("failing", 'printf typed > "$1"; exit 3', "ended with status 3; nothing was saved."),
    ):
        folder = lab.path(name)
        attempts.append(Attempt(_edit_in_console(url, folder, script, sentence)))
        assert _drafts(folder) == (["typed"] if name == "failing" else []), f"{name}: {_drafts(folder)} was kept"
    [memory] = (each["id"] for each in answer(lab.run("--store", url, "list", "--json"))["items"])
    result = lab.run("--store", url, "edit", memory, env={"EDITOR": "/no/such/editor --wait"})
    attempts.append(Attempt(refusal(result)))
    assert texts(url)[KEPT] == 1, "an edit that failed changed the memory"
    attempts.append(_return_at_once(lab, url))
    return summarize([*attempts, Attempt(attempts[0].message, *against_acknowledged(["typed later"], texts(url)))])


def _return_at_once(lab: Lab, url: str) -> Attempt:
    """Edit by a program that leaves its window open: the console waits for the text that comes later."""
    folder = lab.path("window")
    later = f'for each in 1 2 3 4 5; do sleep 1; done; {types("typed later")}; touch "$0.done"'
    script = f"(exec </dev/null >/dev/null 2>&1; {later}) & exit 0"
    with Terminal(console(url), env=_env(folder, script)) as terminal:
        _go_to_list(terminal)
        terminal.press("e")
        message = sentence_on(terminal, "closed at once")
        terminal.until(lambda: (folder / "editor.done").exists())
        terminal.press("enter")
        terminal.until("typed later")
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
        assert terminal.is_restored
    return Attempt(message)


def _has_ended(path: Path) -> Callable[[], bool]:
    def ended() -> bool:
        with suppress(ProcessLookupError):
            os.kill(int(path.read_text()), 0)
            return False
        return True

    return ended


def _lose_terminal(lab: Lab, url: str, how: signal.Signals | None) -> Attempt:
    """Take the terminal away, or tell the console to end, while the editor is open: the text is kept."""
    folder = lab.path(how.name if how else "lost")
    script = 'printf typed > "$1"; echo $$ > "$0.pid"; echo editing; exec sleep 1000'
    with Terminal(console(url), env=_env(folder, script)) as terminal:
        _go_to_list(terminal)
        terminal.press("e")
        terminal.until("editing")
        if how is None:
            terminal.hang_up()
            terminal.process.wait(END_SECONDS)
            message = "typed"
        else:
            terminal.process.send_signal(how)
            assert terminal.wait() == 128 + how
            assert terminal.is_restored
            message = sentence_on(terminal, "Your text is kept in")
    assert _drafts(folder) == ["typed"], f"{_drafts(folder)} was kept"
    ended = _has_ended(folder / "editor.pid")
    wait_while(lambda: not ended(), END_SECONDS)
    assert ended(), "the editor goes on without a terminal"
    return Attempt(message)


def _stop_in_editor(lab: Lab, url: str) -> Attempt:
    """Stop the console and its editor as one job of a shell, and go on with both."""
    folder = lab.path("stopped")
    script = f"echo editing; read line; {types('typed after a stop')}"
    env = {**_env(folder, script), "PS1": "shell> "}
    with Terminal(["/bin/bash", "--norc", "-i"], env=env) as terminal:
        terminal.until("shell>")
        terminal.send(" ".join(console(url)) + "\n")
        _go_to_list(terminal)
        terminal.press("e")
        terminal.until("editing")
        terminal.press("ctrl+z")
        terminal.until("Stopped")
        terminal.send("fg\n")
        terminal.still(0.5)
        terminal.send("\n")
        terminal.until("typed after a stop")
        terminal.until(lambda: texts(url)["typed after a stop"] == 1)
        message = next(line.strip(" ▌│") for line in terminal.lines if "typed after a stop" in line)
        terminal.still()
        terminal.press("ctrl+q")
        terminal.until(lambda: terminal.is_restored)
        terminal.send("echo status=$?\n")
        terminal.until("status=0")
    assert _drafts(folder) == []
    return Attempt(message)


@fault(43, "terminal that goes away while an editor is open")
def terminal_lost_in_editor(lab: Lab) -> FaultResult:
    url = _store(lab, "store.db")
    attempts = [_lose_terminal(lab, url, how) for how in (signal.SIGTERM, None)]
    counts = against_acknowledged([KEPT], texts(url))
    return summarize([*attempts, Attempt(attempts[0].message, *counts), _stop_in_editor(lab, url)])
