"""Servers that hang, addresses that never answer, and connections that are cut right after the login."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress

from tests.faults.lab import PROGRAM_SECONDS, Lab, answer, console_env, create_store, leased, refusal, sentence_on
from tests.faults.registry import Attempt, FaultResult, fault, summarize
from tests.faults.rows import against_acknowledged, texts
from tests.support.command_line import CommandResult
from tests.support.line import line_to
from tests.support.own_server import frozen
from tests.support.terminal import Terminal, console

KEPT = "there before the silence"
INTERRUPTED_STATUS = 130


def _first_line(process: subprocess.Popen[bytes]) -> str:
    """Return the first sentence of a command, which it says while it waits."""
    assert process.stderr is not None
    return process.stderr.readline().decode().strip()


def _wait_and_interrupt(lab: Lab, url: str) -> Attempt:
    """Wait until a command says that nothing answers, and end it by ctrl-C."""
    with lab.start("--store", url, "list") as process:
        message = _first_line(process)
        assert "ctrl-C cancels" in message, message
        process.send_signal(signal.SIGINT)
        assert process.wait(PROGRAM_SECONDS) == INTERRUPTED_STATUS, "ctrl-C did not end the wait"
    return Attempt(message)


def _cancel_in_console(terminal: Terminal) -> Attempt:
    """Type a search that is not answered: the console says so, and esc ends the wait."""
    terminal.send("silence")
    terminal.until("◐ no answer")
    message = sentence_on(terminal, "for an answer from")
    terminal.until("esc cancel")
    terminal.press("escape")
    terminal.until("searching …", gone=True)
    return Attempt(message)


@fault(44, "server that hangs with all its sessions")
def hanging_server(lab: Lab) -> FaultResult:
    directory = lab.path("server")
    with leased(directory) as url:
        create_store(url)
        answer(lab.run("--store", url, "add", KEPT, "--json"))
        with Terminal(console(url), env=console_env()) as terminal:
            terminal.until("1 memor")
            terminal.still()
            with frozen(directory, url):
                attempts = [_cancel_in_console(terminal), _wait_and_interrupt(lab, url)]
            terminal.until("● live")
            terminal.until("no answer", gone=True)
            terminal.press("ctrl+q")
            assert terminal.wait() == 0
            assert terminal.is_restored
        return summarize([*attempts, Attempt(attempts[0].message, *against_acknowledged([KEPT], texts(url)))])


@contextmanager
def _mute_listener() -> Iterator[int]:
    """Take connections at a port of this machine, and never say a word; yield the port."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield int(server.getsockname()[1])


@contextmanager
def _black_hole() -> Iterator[int]:
    """Listen without room for another connection, so that packets of further ones are dropped; yield the port."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=0)) as server, ExitStack() as stack:
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with suppress(BlockingIOError):
                waiting.connect(server.getsockname())
        yield int(server.getsockname()[1])


def _console_without_answer(url: str) -> Attempt:
    """Open the console on an address that never answers: it says so, and can be left."""
    with Terminal(console(url), env=console_env()) as terminal:
        message = sentence_on(terminal, "127.0.0.1")
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
        assert terminal.is_restored
    return Attempt(message)


@fault(45, "address that drops packets, or never answers")
def black_hole(lab: Lab) -> FaultResult:
    attempts: list[Attempt] = []
    for opened in (_mute_listener, _black_hole):
        with opened() as port:
            url = f"postgresql://me@127.0.0.1:{port}/none"
            with lab.start("--store", url, "stats") as patient:
                attempts.append(_wait_and_interrupt(lab, url))
                # Without ctrl-C it ends, too.
                _, err = patient.communicate(timeout=PROGRAM_SECONDS)
            result = CommandResult(patient.returncode, "", err.decode().splitlines()[-1])
            attempts.append(Attempt(refusal(result)))
            attempts.append(_console_without_answer(url))
    return summarize(attempts)


async def _cut(lab: Lab, server: str) -> list[CommandResult]:
    """Run commands on a line that is cut at the first question after each login."""
    async with line_to(server) as (line, url):
        line.fails = "login"
        commands = (("list",), ("add", "through a line that is cut"))
        return [await asyncio.to_thread(lab.run, "--store", url, *command) for command in commands]


@fault(46, "connection that is cut right after the login")
def cut_after_login(lab: Lab) -> FaultResult:
    with lab.database() as server:
        create_store(server)
        answer(lab.run("--store", server, "add", KEPT, "--json"))
        results = asyncio.run(_cut(lab, server))
        attempts = [Attempt(refusal(result).splitlines()[-1]) for result in results]
        assert all(result.status == 1 for result in results), [result.status for result in results]
        stored = texts(server)
        assert stored.total() == 1, "a refused text was stored nevertheless"
        return summarize([*attempts, Attempt(attempts[0].message, *against_acknowledged([KEPT], stored))])
