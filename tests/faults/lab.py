"""The place where faults are provoked: a folder, a PostgreSQL server, and the program as a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.command_line import CommandResult
from tests.support.postgres import new_database, run_in_thread, running_server
from tests.support.terminal import Terminal, isolated_env
from vestige_tui.store.backends import embedded_postgres
from vestige_tui.store.open import open_store

PROGRAM = (sys.executable, "-m", "vestige_tui")
PROGRAM_SECONDS = 150.0
BOUND = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")
OTHER_USER_ID = 65_534


@dataclass(slots=True)
class Lab:
    """A folder of one fault, and the server that all faults share."""

    folder: Path
    scale: float = 1.0
    stack: ExitStack = field(default_factory=ExitStack)
    """Closed when all faults were tried: the shared server runs until then."""
    server_url: str | None = None

    def tries(self, count: int) -> int:
        """Scale a number of tries; at least one is left."""
        return max(1, round(count * self.scale))

    def path(self, name: str) -> Path:
        return self.folder / name

    def server(self) -> str:
        """Return the URL of the shared server, which is started by the first fault that needs it."""
        if self.server_url is None:
            self.server_url = self.stack.enter_context(running_server(self.folder.parent / "server"))
        return self.server_url

    @contextmanager
    def database(self) -> Iterator[str]:
        """Create an empty database on the shared server for the block."""
        with new_database(self.server()) as url:
            yield url

    def processes(self) -> list[tuple[int, str]]:
        """Return the id and the command line of each process that was started with the home of these faults."""
        return processes_below(self.folder.parent)

    def new_store(self, name: str) -> str:
        """Create an empty SQLite store in the folder; return its URL."""
        url = f"sqlite:{self.path(name)}"
        create_store(url)
        return url

    def run(
        self, *arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None, bound: bool = False
    ) -> CommandResult:
        """Run the program to its end."""
        with self.start(*arguments, env=env, bound=bound) as process:
            out, err = process.communicate(stdin, timeout=PROGRAM_SECONDS)
        return CommandResult(
            process.returncode, out.decode("utf-8", "backslashreplace"), err.decode("utf-8", "backslashreplace")
        )

    def start(
        self, *arguments: str, env: Mapping[str, str] | None = None, bound: bool = False
    ) -> subprocess.Popen[bytes]:
        """Start the program as a process of its own, with pipes for its three streams.

        ``bound`` takes away the right of root to open the files of others.
        """
        return subprocess.Popen(
            [*(BOUND * bound), *PROGRAM, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})},
        )


def processes_below(root: Path) -> list[tuple[int, str]]:
    """Return the id and the command line of each other process whose home is in a folder."""
    home = f"HOME={root}/".encode()
    processes = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                if home in (entry / "environ").read_bytes():
                    processes.append((int(entry.name), (entry / "cmdline").read_bytes().decode("utf-8", "replace")))
    return processes


def kill_server(directory: Path, how: signal.Signals) -> None:
    """Send a signal to the server of a folder."""
    with suppress(OSError, IndexError):
        os.kill(int((directory / "data" / "postmaster.pid").read_text().splitlines()[0]), how)


@contextmanager
def leased(directory: Path) -> Iterator[str]:
    """Keep the server of a folder in use for the block; return its URL."""
    lease = run_in_thread(embedded_postgres.acquire(directory))
    try:
        yield lease.url
    finally:
        run_in_thread(embedded_postgres.release(lease))


def create_store(url: str) -> None:
    """Create an empty store."""

    async def create() -> None:
        async with open_store(url, create=True):
            pass

    asyncio.run(create())


def wait_while(holds: Callable[[], bool], seconds: float) -> None:
    """Wait until a condition no longer holds, or for so many seconds."""
    deadline = time.monotonic() + seconds
    while holds() and time.monotonic() < deadline:
        time.sleep(0.1)


def refusal(result: CommandResult) -> str:
    """Return the sentence of a command that must fail; raise AssertionError where it did not."""
    assert result.status in (1, 2, 3), f"ended with {result.status}: {result.out[:200]} {result.err[:200]}"
    return result.err.strip()


def answer(result: CommandResult) -> Any:
    """Return the JSON document of a command that must succeed."""
    assert result.status == 0, f"ended with {result.status}: {result.err[:300]}"
    return json.loads(result.out)


def job_of(result: CommandResult) -> Mapping[str, Any]:
    """Return the job in the JSON document of a command, whatever its end."""
    assert result.out, f"ended with {result.status}: {result.err[:300]}"
    document: Mapping[str, Any] = json.loads(result.out)
    assert "job" in document, str(document)[:300]
    job: Mapping[str, Any] = document["job"]
    return job


def console_env() -> dict[str, str]:
    """Return the environment of a program in a terminal: that of these faults, and nothing else."""
    names = ("HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "FASTEMBED_CACHE_PATH", "HF_HUB_OFFLINE", "PYTHONPATH")
    return {name: os.environ[name] for name in names}


def sentence_on(terminal: Terminal, words: str) -> str:
    """Wait until a screen says these words, whatever its line breaks; return them with the rest of their lines."""
    pattern = re.compile(r"[\s▌│]+".join(map(re.escape, words.split())))
    terminal.until(lambda: pattern.search(terminal.text) is not None)
    screen = terminal.text
    hit = pattern.search(screen)
    assert hit is not None, "the sentence went away at once"
    start = max(screen.rfind(edge, 0, hit.start()) for edge in ("  ", "\n", "▌", "│")) + 1
    end = re.search(r"\s{2,}|[▌│]|$", screen[hit.end() :])
    assert end is not None
    return " ".join(screen[start : hit.end() + end.start()].replace("▌", " ").replace("│", " ").split())


def set_up_environment(folder: Path) -> None:
    """Give this process, and all that it starts, a home of its own."""
    for name in [name for name in os.environ if name.startswith(("VESTIGE_", "XDG_")) or name in ("EDITOR", "VISUAL")]:
        if name != "VESTIGE_TEST_POSTGRES_URL":
            del os.environ[name]
    os.environ.update(isolated_env(folder))
    paths: Sequence[str] = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
