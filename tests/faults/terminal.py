"""Stored text that would steer a terminal, and terminals that go away, change their size, or stop the program."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path

from tests.faults.lab import Lab, console_env
from tests.faults.registry import Attempt, FaultResult, fault, summarize
from tests.faults.rows import against_acknowledged, lost_and_doubled, row_digests, texts
from tests.support.command_line import FORBIDDEN_CHARACTERS
from tests.support.full_store import fill
from tests.support.jobs import begun_job, wait_for_job
from tests.support.terminal import Terminal, console, pieces
from vestige_tui.core.memories import Draft
from vestige_tui.store.open import open_store

STEERING = (
    "\x1b[31;5mPWNED\x1b[0m",
    "\x1b]0;PWNED\x07",
    "\x1b]52;c;UFdORUQ=\x07",
    "\x1b]8;;http://pwned.example\x1b\\PWNED\x1b]8;;\x1b\\",
    "\x1b[2J\x1b[7777;1HPWNED",
    "\x1bcPWNED \x1bP1;1|PWNED\x1b\\",
    "\x9b31mPWNED \x9d0;PWNED\x9c \x90PWNED\x9c",
    "\u202eDENWP\u202c \u2066PWNED\u2069 \u200bPWNED\ufeff",
    "\x08\x08\x07\x0b\x0c\x7fPWNED\x0e",
)
MARKUP = ("[/bogus] PWNED", "[link='x] PWNED", "[@click=app.quit]PWNED[/]", "[bold red]PWNED[/]", "$PWNED {x} %s \\[x]")
FORBIDDEN_IN_TEXT = FORBIDDEN_CHARACTERS | {"\u2066", "\u2069", "\u202c", "\u200b", "\ufeff"}

CONSOLE_MODES = {"1049", "1000"}
"""Modes that the console switches on: the other screen, and the mouse."""


async def _insert(url: str, contents: Sequence[str]) -> None:
    async with open_store(url, create=True) as store:
        for text in contents:
            await store.insert(Draft(text, tags=(text[:40],), domains=(text[:40],), codebase=text[:40]), embed=False)


def _assert_harmless(terminal: Terminal) -> None:
    """Read every byte that reached the terminal: no control, no title, no clipboard, no character that steers text."""
    for piece in pieces(terminal.written):
        assert piece.kind != "control" or piece.body in "\r\n", f"the control {piece.body!r} reached the terminal"
        assert piece.kind != "string", "a device control string reached the terminal"
        assert "PWNED" not in piece.body or piece.kind == "text", f"{piece} reached the terminal"
        assert "UFdORUQ" not in piece.body or piece.kind == "text", "the clipboard was written"
        assert piece.kind != "text" or not set(piece.body) & FORBIDDEN_IN_TEXT, f"{piece.body!r} reached the terminal"


def _walk(url: str, count: int) -> tuple[str, str]:
    """Walk through the places of the console and past every memory; return the written bytes and all screens."""
    screens = []
    with Terminal(console(url), env=console_env(), size=(160, 45)) as terminal:
        terminal.until(" memories")
        for place in ("f3", "f2", "f4", "f7", "f3"):
            terminal.press(place)
            terminal.still(0.3)
            screens.append(terminal.text)
        for _ in range(count):
            terminal.press("down")
            terminal.still(0.2)
            screens.append(terminal.text)
        terminal.press("enter")
        terminal.still(0.3)
        screens.append(terminal.text)
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
        # Not before: the last sequence may have come in part.
        _assert_harmless(terminal)
        assert "Traceback" not in terminal.written
        assert terminal.now == terminal.before, "the terminal is set otherwise than before"
        return terminal.written, "\n".join(screens)


def _commands(lab: Lab, url: str) -> list[str]:
    """Print the memories by commands; return the lines."""
    lines: list[str] = []
    for command in (("list",), ("search", "PWNED", "--mode", "text"), ("stats",), ("export", "-"), ("--json", "list")):
        result = lab.run("--store", url, *command)
        assert result.status == 0, result.err
        bad = set(result.out + result.err) & (FORBIDDEN_IN_TEXT - {"\n"})
        assert not bad, f"{command[0]} printed {sorted(bad)}"
        lines += result.out.splitlines()
    return lines


@fault(18, "stored text that steers a terminal")
def steering_text(lab: Lab) -> FaultResult:
    url = f"sqlite:{lab.path('store.db')}"
    asyncio.run(_insert(url, STEERING))
    lines = _commands(lab, url)
    _walk(url, len(STEERING))
    message = next(line for line in lines if "PWNED" in line)
    counts = against_acknowledged(STEERING, texts(url))
    return summarize([Attempt(message, *counts), *[Attempt(message)] * (len(STEERING) * 2 - 1)])


@fault(19, "stored text that is markup of the console")
def markup_text(lab: Lab) -> FaultResult:
    url = f"sqlite:{lab.path('store.db')}"
    asyncio.run(_insert(url, MARKUP))
    _, screens = _walk(url, len(MARKUP))
    for text in MARKUP:
        assert text in screens, f"{text!r} is not shown as it is"
    message = next(line.strip() for line in screens.splitlines() if MARKUP[0] in line)
    counts = against_acknowledged(MARKUP, texts(url))
    return summarize([Attempt(message, *counts), *[Attempt(message)] * (len(MARKUP) - 1)])


def _copy_in_terminal(source: Path, target: str) -> list[str]:
    arguments = ("--source", f"sqlite:{source}", "--target", target, "--batch-size", "10")
    return [*console(target)[:-2], "migrate", "copy", *arguments]


def _lose_terminal_under_copy(lab: Lab, source: Path, number: int) -> Attempt:
    """Take the terminal away from a command that waits for its copy; the copy goes on."""
    target = lab.new_store(f"target-{number}.db")
    with Terminal(_copy_in_terminal(source, target), env=console_env()) as terminal:
        job_id = asyncio.run(begun_job(target))
        terminal.hang_up()
        terminal.process.wait(60)
    job = asyncio.run(wait_for_job(target, job_id))
    assert job.status == "completed", job.error
    return Attempt(job.result or "", *lost_and_doubled(row_digests(f"sqlite:{source}"), row_digests(target)))


def _quit_during_copy(lab: Lab, source: Path) -> Attempt:
    """Leave a console that shows a running copy; the copy goes on."""
    target = lab.new_store("quit.db")
    arguments = ("--source", f"sqlite:{source}", "--target", target, "--batch-size", "10")
    assert lab.run("migrate", "copy", *arguments, "--detach").status == 0
    with Terminal(console(target), env=console_env()) as terminal:
        terminal.until("▌F2 Search")
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
        assert terminal.now == terminal.before
    job = asyncio.run(wait_for_job(target, asyncio.run(begun_job(target))))
    assert job.status == "completed", job.error
    return Attempt(job.result or "", *lost_and_doubled(row_digests(f"sqlite:{source}"), row_digests(target)))


def _resize_storm(url: str, sizes: int) -> None:
    chance = random.Random(23)
    with Terminal(console(url), env=console_env()) as terminal:
        terminal.until("▌F2 Search")
        for _ in range(sizes):
            terminal.resize((chance.randint(12, 200), chance.randint(3, 60)))
            terminal.press("down")
        terminal.resize((120, 40))
        terminal.until("▌F2 Search")
        assert "Traceback" not in terminal.written
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
        assert terminal.now == terminal.before


def _stop_and_continue(url: str) -> None:
    """Stop the console as a job of a shell, and take it up again."""
    with Terminal(["/bin/bash", "--norc", "-i"], env={**console_env(), "PS1": "shell> "}) as terminal:
        terminal.until("shell>")
        terminal.send(" ".join(console(url)) + "\n")
        terminal.until(" memories")
        terminal.press("ctrl+z")
        terminal.until("Stopped")
        terminal.until(lambda: not CONSOLE_MODES & terminal.modes)
        terminal.send("fg\n")
        terminal.until(lambda: terminal.modes >= CONSOLE_MODES)
        terminal.still(0.5)
        terminal.press("ctrl+q")
        terminal.until(lambda: not CONSOLE_MODES & terminal.modes)
        terminal.send("echo status=$?\n")
        terminal.until("status=0")


@fault(23, "terminal that goes away, or stops the program")
def lost_terminal(lab: Lab) -> FaultResult:
    source = lab.path("source.db")
    asyncio.run(fill(source, 600, dimension=16))
    attempts = [_lose_terminal_under_copy(lab, source, number) for number in range(lab.tries(2))]
    attempts.append(_quit_during_copy(lab, source))
    _resize_storm(f"sqlite:{source}", lab.tries(40))
    _stop_and_continue(f"sqlite:{source}")
    return summarize([*attempts, *[Attempt(attempts[0].message)] * 2])
