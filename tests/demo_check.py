"""Drives the installed demo in a terminal of its own, as a person would, and tells whether it did what it should.

``python tests/demo_check.py [VESTIGE_TUI]``: search, see hits, review one memory, quit; then the review must be in the
store. Needs nothing but the installed program. Exit status 0 where all of it held.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROWS, COLUMNS = 40, 120
TAIL_LINES = 40
QUESTION = "how do we rotate the webhook secret"
EXPECTED = "Rotating a webhook secret"
FILL_SECONDS, PAINT_SECONDS, STEP_SECONDS, END_SECONDS = 180.0, 60.0, 30.0, 20.0
F4, CTRL_Q = b"\x1bOS", b"\x11"

# What a terminal answers when it is asked where its cursor is, what it is, and whether it can paint in one go.
_ANSWERS = {b"\x1b[6n": b"\x1b[1;1R", b"\x1b[c": b"\x1b[?62;22c", b"\x1b[?2026$p": b"\x1b[?2026;2$y"}
_STYLE = re.compile(r"\x1b\[[0-9;:]*m")
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[PX^_][^\x1b]*\x1b\\|[ -/]*[0-~])")


class Failure(Exception):
    """The demo did not do what it should."""


class Terminal:
    """A program in a pseudo-terminal: keys go in, what it painted can be searched."""

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        self.process, self.master = pty.fork()
        if self.process == 0:
            os.execve(command[0], command, dict(environment))
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.raw = b""
        self.mark = 0
        self.status: int | None = None

    def painted(self) -> str:
        """What was painted since the last key, styles taken out, each jump of the cursor as a line break."""
        text = self.raw[self.mark :].decode("utf-8", "replace")
        return _ESCAPE.sub("\n", _STYLE.sub("", text))

    def press(self, keys: bytes) -> None:
        """Type, one key after the other as fingers do; what is painted from now on counts as the answer."""
        self.mark = len(self.raw)
        for key in [keys] if keys.startswith(b"\x1b") else [bytes([byte]) for byte in keys]:
            os.write(self.master, key)
            self.listen(0.02)

    def listen(self, seconds: float) -> bool:
        """Read what comes within so many seconds, and answer its questions; False once the program has ended."""
        ready, _, _ = select.select([self.master], [], [], seconds)
        if not ready:
            return True
        try:
            part = os.read(self.master, 65_536)
        except OSError:  # Linux says so when the other end is closed
            part = b""
        for question, answer in _ANSWERS.items():
            for _ in range(part.count(question)):
                os.write(self.master, answer)
        self.raw += part
        return bool(part)

    def wait_for(self, pattern: str, seconds: float, what: str) -> str:
        """Wait until something is painted. Raises Failure with what was painted instead."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := re.search(pattern, self.painted()):
                return found.group()
            if not self.listen(0.1):
                raise Failure(f"The program ended before {what} was seen.\n{self.tail()}")
        raise Failure(f"{what} was not seen within {seconds:.0f} s.\n{self.tail()}")

    def tail(self) -> str:
        lines = [line.strip() for line in self.painted().splitlines() if line.strip()]
        # A blinking cursor paints its line over and over; the last of each says enough.
        latest = list(dict.fromkeys(reversed(lines)))[:TAIL_LINES]
        return "\n".join(f"  | {line[:COLUMNS]}" for line in reversed(latest))

    def ended(self, seconds: float) -> int:
        """The program's exit status, once it has ended by itself."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            done, status = os.waitpid(self.process, os.WNOHANG)
            if done:
                self.status = os.waitstatus_to_exitcode(status)
                return self.status
            self.listen(0.1)
        raise Failure(f"The program did not end within {seconds:.0f} s.\n{self.tail()}")

    def close(self) -> None:
        if self.status is None:
            os.kill(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)
        os.close(self.master)


def asked(program: str, environment: Mapping[str, str], *arguments: str) -> Any:
    """What a command answers in JSON."""
    done = subprocess.run(
        [program, "--json", *arguments], capture_output=True, env=dict(environment), check=False, timeout=60
    )
    if done.returncode:
        raise Failure(f"`{' '.join(arguments)}` ended with {done.returncode}: {done.stderr.decode()}")
    return json.loads(done.stdout)


def check(program: str, folder: Path) -> None:
    """Walk through the demo. Raises Failure at the first thing that is not as it should be."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("VESTIGE", "XDG_"))}
    environment |= {"HOME": str(folder), "TERM": "xterm-256color", "COLORTERM": "truecolor", "LC_ALL": "C.UTF-8"}
    for name in ("LINES", "COLUMNS", "NO_COLOR"):
        environment.pop(name, None)
    demo = folder / "demo"
    begun = datetime.now(UTC)
    clock = time.monotonic()

    def tell(what: str) -> None:
        print(f"{time.monotonic() - clock:6.1f} s  {what}", flush=True)

    terminal = Terminal([program, "demo", str(demo)], environment)
    try:
        terminal.wait_for("Search", FILL_SECONDS, "the console's first paint")
        tell("the demo store is filled, and the console has painted")
        terminal.wait_for(r"\d+ memories", PAINT_SECONDS, "the number of memories")
        terminal.press(QUESTION.encode())
        hits = terminal.wait_for(r"\d+(?: hits?)?, \d+ ms", STEP_SECONDS, "how many hits there are")
        terminal.wait_for(EXPECTED, STEP_SECONDS, "the memory that answers the question")
        tell(f"a search answered: {hits}")
        terminal.press(F4)
        terminal.wait_for(r"1 of \d+", STEP_SECONDS, "the first card to review")
        terminal.press(b" ")
        terminal.wait_for(r"in \d+ (?:d|mo|y)", STEP_SECONDS, "the dates that the grades would give")
        tell("a card is revealed")
        terminal.press(b"3")
        terminal.wait_for(r"\S", STEP_SECONDS, "an answer to the grade")
        deadline = time.monotonic() + STEP_SECONDS
        store = f"sqlite:{demo / 'demo.db'}"
        while not (
            graded := just_reviewed(asked(program, environment, "--store", store, "list", "--limit", "1000"), begun)
        ):
            terminal.listen(0.2)
            if time.monotonic() > deadline:
                raise Failure(f"The grade did not reach the store.\n{terminal.tail()}")
        tell("the grade is in the store")
        terminal.press(CTRL_Q)
        status = terminal.ended(END_SECONDS)
        if status:
            raise Failure(f"The console ended with status {status}.\n{terminal.tail()}")
        tell("the console has closed")
    finally:
        terminal.close()
    review = asked(program, environment, "--store", store, "show", graded)["reviews"][-1]
    if review["rating"] != 3:
        raise Failure(f"The review has the rating {review['rating']}, not 3.")
    if (folder / ".vestige").exists():
        raise Failure("The demo wrote settings.")


def just_reviewed(listed: Any, since: datetime) -> str | None:
    """The memory that was reviewed since a moment."""
    for memory in listed["items"]:
        last = (memory["scheduling"] or {}).get("last_review")
        if last and datetime.fromisoformat(last) >= since:
            return str(memory["id"])
    return None


def main(arguments: list[str]) -> int:
    beside = Path(sys.executable).with_name("vestige-tui")
    program = str(Path(arguments[0] if arguments else beside).absolute())
    with tempfile.TemporaryDirectory(prefix="vestige-demo-") as folder:
        try:
            check(program, Path(folder))
        except Failure as failure:
            print(f"demo-check failed: {failure}", file=sys.stderr)
            return 1
    print("demo-check passed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
