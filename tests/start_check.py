"""Starts the installed console in a terminal many times in a row, and tells whether each start came to what it should.

``python -m tests.start_check [--starts N] [--busy] [VESTIGE_TUI]``: each must paint the Search place of a sample store,
say how many memories that holds, and leave with status 0 and the terminal as it was. ``--busy`` keeps every core busy
meanwhile. Exit status 0 where all of them did.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.terminal import Terminal, isolated_env

PLACE, COUNTED, CRASH = "▌F2 Search", " memories", "Traceback"
FILL_SECONDS = 180.0


@contextmanager
def busy(cores: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Keep so many cores busy, each with a process that does nothing else."""
    with ExitStack() as running:
        loops = []
        for _ in range(cores):
            loop = running.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            running.callback(loop.kill)
            loops.append(loop)
        yield loops


def sample_store(program: str, folder: Path) -> str:
    """Fill a store as the demo does; gives its URL."""
    demo = folder / "demo"
    filled = subprocess.run(
        [program, "demo", str(demo), "--no-console"],
        env={**isolated_env(folder), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=FILL_SECONDS,
        check=False,
    )
    if filled.returncode:
        raise AssertionError(f"the sample store was not filled: status {filled.returncode}\n{filled.stderr}")
    return f"sqlite:{demo / 'demo.db'}"


def start(command: Sequence[str], folder: Path) -> float:
    """Start the console once and leave it; gives the seconds to its first paint. Raises AssertionError."""
    with Terminal(command, env=isolated_env(folder)) as terminal:
        painted = terminal.until(PLACE)
        terminal.until(COUNTED)
        terminal.press("ctrl+q")
        try:
            status = terminal.wait()
        except subprocess.TimeoutExpired:
            raise AssertionError(f"did not leave\n{terminal.text}") from None
        if status:
            raise AssertionError(f"left with status {status}\n{terminal.text}")
        if CRASH in terminal.written:
            raise AssertionError(f"wrote a traceback\n{terminal.text}")
        if terminal.now != terminal.before:
            raise AssertionError("left the terminal set otherwise than it found it")
    return painted


def check(program: str, starts: int, cores: int = 0) -> int:
    """Start the console so many times, with so many cores busy; gives how many starts failed."""
    painted, failed = [], 0
    with tempfile.TemporaryDirectory(prefix="vestige-starts-") as name, ExitStack() as load:
        folder = Path(name)
        command = [program, "--store", sample_store(program, folder)]
        load.enter_context(busy(cores))
        for number in range(1, starts + 1):
            try:
                painted.append(start(command, folder))
            except AssertionError as error:
                failed += 1
                print(f"start {number} failed: {error}", file=sys.stderr, flush=True)
    print(f"{len(painted)} of {starts} starts painted the Search place and left with status 0", end="")
    print(f", {cores} cores busy" if cores else "", flush=True)
    if painted:
        best, middle, longest = min(painted), statistics.median(painted), max(painted)
        print(f"first paint after {best:.2f} s at best, {middle:.2f} s in the middle, {longest:.2f} s at most")
    return failed


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="start_check", description=__doc__)
    parser.add_argument("program", nargs="?", default=str(Path(sys.executable).with_name("vestige-tui")))
    parser.add_argument("--starts", type=int, default=50, help="how many times (50)")
    parser.add_argument("--busy", action="store_true", help="keep every core busy meanwhile")
    options = parser.parse_args(arguments)
    if options.starts < 1:
        parser.error("--starts must be 1 or more")
    cores = (os.cpu_count() or 1) if options.busy else 0
    try:
        failed = check(str(Path(options.program).absolute()), options.starts, cores)
    except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
        print(f"start-check failed: {error}", file=sys.stderr)
        return 1
    print("start-check failed" if failed else "start-check passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
