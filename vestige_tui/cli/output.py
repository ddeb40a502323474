"""Where a command's words go: text or one JSON document to stdout, notes and progress to stderr.

Everything stored passes ``text.plain`` here, and nothing that steers a terminal leaves in JSON but as an escape.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from vestige_tui.errors import VestigeError
from vestige_tui.text import REPLACEMENT, cells, cut, grouped, plain

WIDE = 120
REFRESH_SECONDS = 0.1
LINE_EVERY = 1_000
_GAP = "  "
_MAYBE_UNSAFE = re.compile(r"[^\n\x20-\x7e]")


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    if character != REPLACEMENT and plain(character) == character:
        return character
    return json.dumps(character)[1:-1] if character != "\x7f" else "\\u007f"


def _speaks_unicode(stream: TextIO) -> bool:
    return (stream.encoding or "").lower().replace("-", "") in ("utf8", "utf8sig", "cp65001")


def dumps(data: Any, *, indent: int | None = None, ascii_only: bool = False) -> str:
    """JSON in which control and bidi characters are escapes."""
    text = json.dumps(data, ensure_ascii=ascii_only, allow_nan=False, indent=indent)
    return _MAYBE_UNSAFE.sub(_escape, text)


class Unwritable(VestigeError):
    """The answer could not be written."""


class Output:
    """The two streams of one command."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.answered = False

    @property
    def width(self) -> int:
        """The columns there are; where stdout is no terminal, COLUMNS or 120."""
        return max(40, shutil.get_terminal_size((WIDE, 24)).columns)

    def document(self, data: Any) -> None:
        """The one JSON document of this run."""
        self.answered = True
        self._write(dumps(data, indent=2, ascii_only=not _speaks_unicode(sys.stdout)) + "\n")

    def object(self, data: Any) -> None:
        """One object on a line of its own, for commands that go on."""
        self._write(dumps(data, ascii_only=not _speaks_unicode(sys.stdout)) + "\n")
        self.flush()

    def line(self, text: str = "") -> None:
        """Text to stdout; line breaks in it stay."""
        if not self.as_json:
            self._write(plain(text, newlines=True) + "\n")

    def note(self, text: str) -> None:
        """A sentence to stderr."""
        say(text)

    def table(
        self, rows: Sequence[Sequence[str]], *, flexible: int, header: Sequence[str] = (), right: Collection[int] = ()
    ) -> None:
        """Rows in aligned columns that fit the terminal; the flexible column takes, or gives up, what is left."""
        lines = [tuple(plain(cell) for cell in row) for row in ([header, *rows] if header else rows)]
        if not lines:
            return
        widths = [max(cells(row[column]) for row in lines) for column in range(len(lines[0]))]
        others = sum(widths) - widths[flexible] + len(_GAP) * (len(widths) - 1)
        widths[flexible] = min(widths[flexible], max(12, self.width - others))
        for row in lines:
            shown = []
            for column, (cell, width) in enumerate(zip(row, widths, strict=True)):
                text = cut(cell, width)
                space = " " * (width - cells(text))
                shown.append(space + text if column in right else text + space)
            self.line(_GAP.join(shown).rstrip())

    def progress(self, label: str) -> Progress:
        """Progress to stderr: one refreshing line on a terminal, else a line for each thousand."""
        return Progress(label)

    def _write(self, text: str) -> None:
        stream = sys.stdout
        if not _speaks_unicode(stream):
            encoding = stream.encoding or "ascii"
            text = text.encode(encoding, "replace").decode(encoding)
        with writing():
            stream.write(text)

    def flush(self) -> None:
        with writing():
            sys.stdout.flush()


@contextmanager
def writing() -> Iterator[None]:
    """Turns what stdout refuses into ``Unwritable``; a reader that went away stays a BrokenPipeError."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Unwritable(f"The answer could not be written: {error.strerror}.") from None


def say(text: str) -> None:
    """One sentence to stderr, whatever stderr can show; a closed stderr is no failure."""
    encoding = sys.stderr.encoding or "ascii"
    try:
        sys.stderr.write(plain(text).encode(encoding, "replace").decode(encoding) + "\n")
        sys.stderr.flush()
    except OSError:
        return


class Progress:
    """How far something is, on stderr."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._live = sys.stderr.isatty()
        self._shown = 0.0
        self._lines = 0
        self._open = False

    def __call__(self, done: int, total: int | None = None) -> None:
        """So many are done, of so many where that is known."""
        of = f" of {grouped(total)}" if total else ""
        self.show(f"{self._label}: {grouped(done)}{of}", done)

    def show(self, text: str, done: int) -> None:
        """The same in words of one's own."""
        if self._live:
            now = time.monotonic()
            if now - self._shown >= REFRESH_SECONDS:
                self._shown, self._open = now, True
                shown = cut(plain(text), max(20, shutil.get_terminal_size((80, 24)).columns - 1))
                sys.stderr.write(f"\r\x1b[K{shown}")
                sys.stderr.flush()
        elif done // LINE_EVERY > self._lines:
            self._lines = done // LINE_EVERY
            say(text)

    def end(self) -> None:
        """Take the refreshing line away."""
        if self._open:
            self._open = False
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
