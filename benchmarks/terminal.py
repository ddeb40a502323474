"""Minimal pseudo-terminal for measurements: keys in, bytes out, with the time of each."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

SIZE_CELLS = (120, 40)
PATIENCE_SECONDS = 60.0
_ESCAPE_SEQUENCE = re.compile(
    rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[PX^_][^\x1b]*\x1b\\|[ -/]*[0-~])"
)


class Terminal:
    """Running program; ``started`` is its start by ``time.perf_counter``."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", SIZE_CELLS[1], SIZE_CELLS[0], 0, 0))
        self._output = bytearray()
        self.started = time.perf_counter()
        self._process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env={**environment, "TERM": "xterm-256color"},
            start_new_session=True,
        )  # fmt: skip
        os.close(slave)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._master)

    def until(self, text: str) -> float:
        """Read until the program has written this text, escape sequences aside; return the time."""
        data = text.encode()
        while data not in _ESCAPE_SEQUENCE.sub(b"", self._output):
            if not self._read(PATIENCE_SECONDS):
                raise TimeoutError(f"waited in vain for {text!r}")
        return time.perf_counter()

    def quiet(self, seconds: float = 0.15) -> None:
        """Read until the program pauses this long."""
        while self._read(seconds):
            pass
        self._output.clear()

    def painted(self, key: str) -> float:
        """Press a key; return the seconds until the program writes."""
        began = time.perf_counter()
        os.write(self._master, key.encode())
        if not self._read(PATIENCE_SECONDS):
            raise TimeoutError(f"no answer to the key {key!r}")
        return time.perf_counter() - began

    def _read(self, patience: float) -> bool:
        if not select.select([self._master], [], [], patience)[0]:
            return False
        try:
            part = os.read(self._master, 65_536)
        except OSError:
            return False
        self._output += part
        return bool(part)
