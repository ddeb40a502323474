"""The real program in a pseudo-terminal: keys in, every byte out, and the screen as a terminal would draw it."""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeAlias

import pyte

PATIENCE_SECONDS = 45.0
ALTERNATE, CURSOR, PASTE = "1049", "25", "2004"
MOUSE = {"1000", "1002", "1003", "1006", "1015"}
KEYS: Mapping[str, str] = {
    "enter": "\r",
    "escape": "\x1b",
    "tab": "\t",
    "space": " ",
    "backspace": "\x7f",
    "up": "\x1b[A",
    "down": "\x1b[B",
    "right": "\x1b[C",
    "left": "\x1b[D",
    "pagedown": "\x1b[6~",
    "f1": "\x1bOP",
    "f2": "\x1bOQ",
    "f3": "\x1bOR",
    "f4": "\x1bOS",
    "f5": "\x1b[15~",
    "f6": "\x1b[17~",
    "f7": "\x1b[18~",
    **{f"ctrl+{letter}": chr(ord(letter) - 96) for letter in "abcdefghklnopqrstuvwxyz"},
}
"""What a terminal sends for a key; any other key is the character itself."""

Kind: TypeAlias = Literal["text", "control", "csi", "osc", "string", "escape"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of what a program wrote: text, one control character, or one whole escape sequence.

    ``body`` is what stands between the introducer and the end: for ``csi`` its parameters and final letter, for ``osc``
    and ``string`` (DCS, APC, PM, SOS) the payload, for ``escape`` the letters after ESC.
    """

    kind: Kind
    body: str


_CSI = re.compile(r"\x1b\[([0-?]*[ -/]*[@-~])")
_OSC = re.compile(r"\x1b\]([^\x07\x1b]*)(?:\x07|\x1b\\)")
_STRING = re.compile(r"\x1b([PX^_][^\x1b]*)\x1b\\")
_ESCAPE = re.compile(r"\x1b([ -/]*[0-OQ-WYZ`-~=>])")
_TEXT = re.compile(r"[^\x00-\x1f\x7f-\x9f]+")


def pieces(written: str) -> Iterator[Piece]:
    """Return what a program wrote, piece by piece. An escape sequence that is not whole is the control ESC."""
    at = 0
    patterns: tuple[tuple[Kind, re.Pattern[str]], ...] = (
        ("text", _TEXT),
        ("csi", _CSI),
        ("osc", _OSC),
        ("string", _STRING),
        ("escape", _ESCAPE),
    )
    while at < len(written):
        for kind, pattern in patterns:
            if found := pattern.match(written, at):
                yield Piece(kind, found.group(found.lastindex or 0))
                at = found.end()
                break
        else:
            yield Piece("control", written[at])
            at += 1


class Terminal:
    """A program in a terminal of ``size`` (columns, rows): ``with Terminal([...]) as terminal: terminal.press("f3")``.

    It answers what a program asks of a terminal, and keeps all that was written in ``output``.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        size: tuple[int, int] = (120, 40),
        env: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.output = bytearray()
        self.first_byte: float | None = None
        self._size = size
        self._master, self._slave = os.openpty()
        self._resize(size)
        self.before = termios.tcgetattr(self._slave)
        """How the terminal was set before the program began."""
        self._screen = pyte.Screen(*size)
        self._stream = pyte.Stream(self._screen)
        self._lock = threading.Lock()
        self._unread = ""
        self._raw = bytearray()
        self.modes: set[str] = set()
        """The private modes that are on, by number."""
        name = os.ttyname(self._slave)
        base = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8", "PATH": os.environ["PATH"]}
        # The first terminal that the leader of a session opens becomes its own.
        shell = ["/bin/sh", "-c", 'exec "$@" <"$0" >"$0" 2>"$0"', name]
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [*shell, *command],
            env={**base, **(env or {})},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._closing = threading.Event()
        self._pauses = 0
        """How often there was nothing to read."""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the program, if it still runs, and give the terminal back."""
        if self.process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self._closing.set()
        self._reader.join()
        for descriptor in (self._master, self._slave):
            with suppress(OSError):
                os.close(descriptor)

    # Reading ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _read(self) -> None:
        while not self._closing.is_set():
            try:
                ready, _, _ = select.select([self._master], [], [], 0.05)
                data = os.read(self._master, 65_536) if ready else b""
            except (OSError, ValueError):
                return
            if not ready:
                self._pauses += 1
            if data:
                with self._lock:
                    self.first_byte = self.first_byte or time.monotonic()
                    self.output += data
                    self._take(data)

    def _take(self, data: bytes) -> None:
        self._raw += data
        whole = self._raw.decode("utf-8", "ignore" if len(self._raw) > 1_000_000 else "surrogateescape")
        # A character or a sequence may come in two parts.
        keep = len(whole) - len(whole.rstrip("".join(map(chr, range(0xDC80, 0xDD00)))))
        if 0 < keep < 4:
            self._raw = self._raw[-keep:]
            whole = whole[:-keep]
        else:
            self._raw.clear()
        self._unread += whole
        cut = self._unread.rfind("\x1b")
        tail = ""
        if cut >= 0 and next(pieces(self._unread[cut:])).kind == "control" and len(self._unread) - cut < 100_000:
            self._unread, tail = self._unread[:cut], self._unread[cut:]
        for piece in pieces(self._unread):
            self._draw(piece)
        self._unread = tail

    def _draw(self, piece: Piece) -> None:
        if piece.kind in ("text", "control"):
            self._stream.feed(piece.body)
        elif piece.kind == "csi":
            self._answer(piece.body)
            if piece.body[:1] == "?" and piece.body[-1] in "hl":
                numbers = piece.body[1:-1].split(";")
                (self.modes.update if piece.body[-1] == "h" else self.modes.difference_update)(numbers)
            elif piece.body[:1] not in ("<", "=", ">", "?") and piece.body[-1] in "ABCDEFGHJKXLMPdfm@":
                self._stream.feed(f"\x1b[{piece.body}")

    def _answer(self, asked: str) -> None:
        cursor = self._screen.cursor
        answers = {
            "6n": f"\x1b[{cursor.y + 1};{cursor.x + 1}R",
            "c": "\x1b[?62;22c",
            "0c": "\x1b[?62;22c",
            ">c": "\x1b[>1;10;0c",
            "?2026$p": "\x1b[?2026;2$y",
            "?2048$p": "\x1b[?2048;0$y",
            "?u": "\x1b[?0u",
            "14t": f"\x1b[4;{self._size[1] * 16};{self._size[0] * 8}t",
            "16t": "\x1b[6;16;8t",
        }
        if asked in answers:
            self.send(answers[asked])

    @property
    def written(self) -> str:
        """Everything that the program has written."""
        with self._lock:
            return self.output.decode("utf-8", "surrogateescape")

    @property
    def lines(self) -> list[str]:
        """The screen from top to bottom, without the spaces at the ends of its lines."""
        with self._lock:
            return [line.rstrip() for line in self._screen.display]

    def cells(self, y: int) -> list[str]:
        """The characters in the cells of a line; the second cell of a wide one is empty."""
        with self._lock:
            return [self._screen.buffer[y][x].data for x in range(self._screen.columns)]

    @property
    def text(self) -> str:
        """The screen as one text."""
        return "\n".join(self.lines)

    @property
    def now(self) -> list[object]:
        """Settings of the terminal, to compare with ``before``."""
        return termios.tcgetattr(self._slave)

    @property
    def is_restored(self) -> bool:
        """Is the terminal as it was: its settings, its own screen, a cursor, no mouse and no pasting mode?"""
        quiet = not self.modes & {ALTERNATE, PASTE, *MOUSE}
        return self.now == self.before and quiet and CURSOR in self.modes

    def until(self, said: str | Callable[[], bool], *, gone: bool = False, patience: float = PATIENCE_SECONDS) -> float:
        """Wait until the screen says this (or no longer does), or until something is so; gives the seconds it took."""
        began = time.monotonic()
        while True:
            seen = said in self.text if isinstance(said, str) else said()
            if seen != gone:
                return time.monotonic() - began
            if self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.returncode} before {said!r}\n{self.text}")
            if time.monotonic() - began > patience:
                raise AssertionError(f"waited in vain for {said!r}\n{self.text}")
            time.sleep(0.01)

    def still(self, seconds: float = 0.2, *, patience: float = PATIENCE_SECONDS) -> None:
        """Wait until for so long nothing was written, nothing that was typed was unread, and the program did nothing.

        On a busy machine a program may write nothing for longer than that because others have the processor.
        """
        began, length, since = time.monotonic(), -1, time.monotonic()
        while time.monotonic() - since < seconds and time.monotonic() - began < patience:
            if len(self.output) != length or self._unread_keys() or self._is_at_work():
                length, since = len(self.output), time.monotonic()
            time.sleep(0.01)

    def answer(self, seconds: float = 0.05, *, patience: float = 0.5) -> None:
        """Wait until something was written, for a while, and then until nothing was written for so long."""
        began, length = time.monotonic(), len(self.output)
        while len(self.output) == length and time.monotonic() - began < patience:
            time.sleep(0.01)
        self.still(seconds)

    def _is_at_work(self) -> bool:
        """Does a thread of the program in the foreground run, or wait for the processor or a disk?

        False where there is no /proc.
        """
        try:
            program = os.tcgetpgrp(self._master)
        except OSError:  # hung up
            return False
        for thread in Path(f"/proc/{program}/task").glob("*/stat"):
            with suppress(OSError):
                if thread.read_text(errors="replace").rpartition(")")[2].split()[0] in "RD":
                    return True
        return False

    # Writing ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def send(self, text: str) -> None:
        """Send characters as they are."""
        with suppress(OSError):
            os.write(self._master, text.encode())

    def send_bytes(self, data: bytes) -> None:
        """Send bytes, also such as are no character."""
        os.write(self._master, data)

    def press(self, *keys: str) -> None:
        """Press keys, by the names of ``KEYS`` or as characters."""
        for key in keys:
            self.send(KEYS.get(key, key))
            if key == "escape":
                # Alone only when nothing follows it for a while after it was read: a busy machine reads late.
                self._wait_until_read()
                time.sleep(0.25)

    def _wait_until_read(self, patience: float = PATIENCE_SECONDS) -> None:
        """Wait until the program has read all that was typed, or has ended."""
        began = time.monotonic()
        while self._unread_keys() and self.process.poll() is None and time.monotonic() - began < patience:
            time.sleep(0.01)

    def _unread_keys(self) -> int:
        """Bytes that were typed and that the program has not read."""
        try:
            return int.from_bytes(fcntl.ioctl(self._slave, termios.FIONREAD, bytes(4)), sys.byteorder)
        except OSError:  # hung up
            return 0

    def resize(self, size: tuple[int, int]) -> None:
        """Give the terminal another size; the program is told by a signal."""
        with self._lock:
            self._screen.resize(size[1], size[0])
        self._resize(size)

    def _resize(self, size: tuple[int, int]) -> None:
        self._size = size
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))

    def run_another_program(self) -> None:
        """Let another program have the terminal for a moment, which sets it as a shell does and writes over it."""
        termios.tcsetattr(self._slave, termios.TCSANOW, self.before)
        os.write(
            self._slave, b"\x1b[?1049l\x1b[?25h\x1b[?1000l\x1b[?1003l\x1b[?2004l\x1b[H" + b"another program\r\n" * 9
        )

    def hang_up(self) -> None:
        """Take the terminal away, as a lost connection does."""
        self._closing.set()
        self._reader.join()
        os.close(self._master)

    def wait(self, patience: float = PATIENCE_SECONDS) -> int:
        """Wait for the end of the program; gives its status."""
        status = self.process.wait(patience)
        # The pause that the reader is in may have begun before the last byte was written; the next one has not.
        read, began = self._pauses + 2, time.monotonic()
        while self._pauses < read and self._reader.is_alive() and time.monotonic() - began < patience:
            time.sleep(0.01)
        return status


def console(store: str, *more: str) -> list[str]:
    """Return the command that opens the console on a store."""
    return [sys.executable, "-m", "vestige_tui", "--store", store, *more]


def isolated_env(folder: Path) -> dict[str, str]:
    """Return an environment with a home of its own, in which no model is looked for on the network."""
    return {
        "HOME": str(folder),
        "XDG_STATE_HOME": str(folder / "state"),
        "XDG_DATA_HOME": str(folder / "data"),
        "FASTEMBED_CACHE_PATH": str(folder / "models"),
        "HF_HUB_OFFLINE": "1",
    }
