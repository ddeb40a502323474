"""Runs of the program in this process, on descriptors, in a home and in a folder of odd files of their own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol
from unittest import mock

from tests.fuzz.scratch_world import digest, make_world
from tests.support.command_line import CommandResult
from tests.support.store_rows import read_rows
from vestige_tui.__main__ import INTERRUPTED_STATUS, main
from vestige_tui.config.log import close_log
from vestige_tui.core.errors import Unavailable

ENDLESS_SECONDS = 1.0
"""Time after which a command that never ends by itself is interrupted."""
INTERRUPT_SECONDS = 30.0
"""Time after which any other command is interrupted."""


@dataclass(frozen=True, slots=True)
class Case:
    """A command line with what surrounds it; ``{world}`` and ``{store}`` stand for paths of the run."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str | None] = field(default_factory=dict)
    stdin: bytes = b""


@dataclass(frozen=True, slots=True)
class Run:
    """Result of a case: what the command answered, and what it changed."""

    arguments: tuple[str, ...]
    result: CommandResult
    interrupted: bool
    changed_rows: bool
    changed_files: frozenset[str]
    reports: tuple[str, ...]
    """Reports of uncaught exceptions."""
    log: str


class FuzzedStore(Protocol):
    """Store with the sample memories that commands run on."""

    file: Path | None
    """The SQLite file to be copied for each case; None on a server."""

    def url(self, world: Path) -> str:
        """Return its URL for a case."""

    def restore(self) -> None:
        """Undo what a case has changed."""


class CommandRunner:
    """Runner of cases on one store."""

    def __init__(self, store: FuzzedStore, folder: Path) -> None:
        self._store = store
        self._folder = folder
        self._world = folder / "world"
        self._rows: Mapping[str, Sequence[str]] | None = None

    def expand(self, text: str) -> str:
        """Replace the placeholders of a case."""
        return text.replace("{world}", str(self._world)).replace("{store}", self._store.url(self._world))

    def run(self, case: Case, *, endless: bool = False) -> Run:
        """Run a case in a world made anew; the store is restored afterwards."""
        home = self._folder / "home"
        home.mkdir(parents=True, exist_ok=True)
        make_world(self._world, self._store.file)
        url = self._store.url(self._world)
        before = self._rows if self._rows is not None else read_rows(url)
        self._rows = before
        files = digest(self._world)
        arguments = tuple(map(self.expand, case.arguments))
        with _patches(), _environment(self._folder, {k: v and self.expand(v) for k, v in case.environment.items()}):
            result, interrupted = _run(arguments, case.stdin, ENDLESS_SECONDS if endless else INTERRUPT_SECONDS)
        changed_rows = self._changed_rows(url, before)
        changed = {name for name, _ in set(files.items()) ^ set(digest(self._world).items())}
        reports = tuple(path.read_text(errors="replace") for path in self._folder.rglob("failure-*.log"))
        log = "".join(path.read_text(errors="replace") for path in self._folder.rglob("vestige-tui.log"))
        for path in [*self._folder.rglob("failure-*.log"), *self._folder.rglob("vestige-tui.log")]:
            path.unlink()
        if changed_rows:
            self._store.restore()
        return Run(arguments, result, interrupted, changed_rows, frozenset(changed), reports, log)

    def _changed_rows(self, url: str, before: Mapping[str, Sequence[str]]) -> bool:
        try:
            return read_rows(url) != before
        except Exception:
            return True


@contextlib.contextmanager
def _patches() -> Iterator[None]:
    """Keep a run from servers of its own, downloads, workers and the many vectors of a demo."""

    async def no_server(directory: Path) -> None:
        raise Unavailable(f"No server is started in {directory} here.")

    async def no_demo(url: str, *_: object) -> None:
        if url.startswith("pgembed:"):
            await no_server(Path(url))
        from vestige_tui.store.open import open_store

        async with open_store(url, create=True):
            pass

    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch("vestige_tui.store.backends.embedded_postgres.acquire", no_server))
        stack.enter_context(mock.patch("vestige_tui.cli.demo._fill", no_demo))
        stack.enter_context(mock.patch("vestige_tui.jobs.start.WORKER_COMMAND", ("false",)))
        stack.enter_context(mock.patch("vestige_tui.embedding.loaders._network", return_value=False))
        yield


@contextlib.contextmanager
def _environment(folder: Path, changes: Mapping[str, str | None]) -> Iterator[None]:
    """Set the environment and the working directory of a run; nothing outside the folder is named by them."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("VESTIGE_", "PG", "XDG_"))}
    home = {"HOME": str(folder / "home"), "COLUMNS": "100", "TMPDIR": str(folder / "tmp"), "EDITOR": "false"}
    environment = {**kept, **home, **changes}
    environment.pop("VISUAL", None)
    (folder / "tmp").mkdir(exist_ok=True)
    (folder / "cwd").mkdir(exist_ok=True)
    # Without a home the program asks the system for the one of the user.
    if not environment.get("HOME"):
        environment["HOME"] = "/nonexistent"
    cwd = os.getcwd()
    with mock.patch.dict(os.environ, {k: v for k, v in environment.items() if v is not None}, clear=True):
        os.chdir(folder / "cwd")
        try:
            yield
        finally:
            os.chdir(cwd)


def _run(arguments: Sequence[str], stdin: bytes, seconds: float) -> tuple[CommandResult, bool]:
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(_temporary_file()) for _ in range(3)]
        streams[0].write(stdin)
        streams[0].seek(0)
        stack.enter_context(_descriptors(streams))
        interrupt = stack.enter_context(_interrupted_after(seconds))
        try:
            status = main(arguments)
        except KeyboardInterrupt:
            status = INTERRUPTED_STATUS
        finally:
            close_log()
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError):
                    stream.flush()
        interrupted = interrupt.is_set()
        out, err = (_content(stream) for stream in streams[1:])
    return CommandResult(status, out, err), interrupted


def _temporary_file() -> Any:
    return tempfile.TemporaryFile(dir="/tmp")


def _content(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode("utf-8", "backslashreplace")


@contextlib.contextmanager
def _descriptors(streams: Sequence[IO[bytes]]) -> Iterator[None]:
    """Let the three standard descriptors, and the streams of Python on them, be these files."""
    saved = [os.dup(number) for number in range(3)]
    python = sys.stdin, sys.stdout, sys.stderr
    try:
        for number, stream in enumerate(streams):
            os.dup2(stream.fileno(), number)
        sys.stdin = os.fdopen(0, encoding="utf-8", errors="surrogateescape", closefd=False)
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
        yield
    finally:
        for wrapper in (sys.stdin, sys.stdout, sys.stderr):
            if wrapper not in python:
                with contextlib.suppress(OSError, ValueError):
                    wrapper.close()
        sys.stdin, sys.stdout, sys.stderr = python
        for number, descriptor in enumerate(saved):
            os.dup2(descriptor, number)
            os.close(descriptor)


@contextlib.contextmanager
def _interrupted_after(seconds: float) -> Iterator[threading.Event]:
    """Send ctrl-C to this process, again and again, once a block has taken so long."""
    fired, ended = threading.Event(), threading.Event()

    def press() -> None:
        wait = seconds
        while not ended.wait(wait):
            fired.set()
            os.kill(os.getpid(), signal.SIGINT)
            wait = 1.0

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=press, daemon=True)
    thread.start()
    try:
        yield fired
    finally:
        while True:
            # A press that comes while the block ends is meant for it.
            with contextlib.suppress(KeyboardInterrupt):
                ended.set()
                thread.join()
                break
        signal.signal(signal.SIGINT, before)


def run_alone(work: Any) -> Any:
    """Run a coroutine to its end, also where an event loop runs in this thread."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=1) as threads:
        return threads.submit(asyncio.run, work).result()
