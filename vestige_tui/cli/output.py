"""Where a command's words go: text or one JSON document to stdout, notes and progress to stderr.

Everything stored passes ``text.plain`` here, and nothing that steers a terminal leaves in JSON but as an escape.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from vestige_tui.core.errors import VestigeError
from vestige_tui.core.text import REPLACEMENT, cells, cut, grouped, plain

WIDE = 120
REFRESH_SECONDS = 0.1
LINE_EVERY = 1_000
ECHO = 3
"""Columns that a line which is written anew leaves free: a terminal shows ``^C`` there, which must not wrap."""
_GAP = "  "
LEAST_FLEXIBLE = 12
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

    @property
    def terminal(self) -> bool:
        """Does a person read along? What goes into a file or to another program is never cut or folded."""
        return sys.stdout.isatty()

    def live(self) -> Live:
        """Lines of stdout that are written anew in their place; only for a terminal."""
        return Live(sys.stdout)

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

    def note(self, text: str, *, fold: bool = True) -> None:
        """A sentence to stderr; not folded where a command in it is to be copied."""
        say(text, fold=fold)

    def table(
        self,
        rows: Sequence[Sequence[str]],
        *,
        flexible: int,
        header: Sequence[str] = (),
        right: Collection[int] = (),
        wrap: bool = False,
    ) -> None:
        """Rows in aligned columns that fit the terminal; the flexible column takes, or gives up, what is left.

        ``wrap``: what finds no room in that column goes on below, and where there is no terminal nothing is cut.
        """
        lines = [tuple(plain(cell) for cell in row) for row in ([header, *rows] if header else rows)]
        if not lines:
            return
        widths = [max(cells(row[column]) for row in lines) for column in range(len(lines[0]))]
        others = sum(widths) - widths[flexible] + len(_GAP) * (len(widths) - 1)
        if self.terminal or not wrap:
            widths[flexible] = min(widths[flexible], max(LEAST_FLEXIBLE, self.width - others))
        for row in lines:
            room = widths[flexible]
            parts = folded(row[flexible], room) if wrap else [cut(row[flexible], room)]
            for place, part in enumerate(parts):
                shown = []
                for column, (cell, width) in enumerate(zip(row, widths, strict=True)):
                    text = part if column == flexible else "" if place else cell
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


def folded(text: str, width: int) -> list[str]:
    """Plain text in lines of at most ``width`` cells; a word, a path or an id is broken only where it fills a line."""
    lines = [""]
    for word in text.split(" "):
        if not lines[-1]:
            lines[-1] = word
        elif cells(lines[-1]) + 1 + cells(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
        while cells(lines[-1]) > width:
            head = cut(lines[-1], width + 1)[:-1] or lines[-1][:1]
            lines[-1:] = [head, lines[-1][len(head) :]]
    return lines


def say(text: str, *, fold: bool = True) -> None:
    """One sentence to stderr, whatever stderr can show; a closed stderr is no failure."""
    encoding = sys.stderr.encoding or "ascii"
    told = plain(text)
    try:
        if fold and sys.stderr.isatty():
            told = "\n".join(folded(told, _size(sys.stderr)[0]))
        sys.stderr.write(told.encode(encoding, "replace").decode(encoding) + "\n")
        sys.stderr.flush()
    except OSError:
        return


class Live:
    """The last lines of a terminal, written anew in their place as they change."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: list[str] = []

    def show(self, lines: Sequence[str]) -> None:
        """These lines instead of those before, each cut to the terminal."""
        columns, rows = _size(self._stream)
        room = max(20, columns - ECHO)
        back = self._back()
        self._lines = [cut(plain(line), room) for line in lines][: max(1, rows - 1)]
        self._write(back + "\n".join(self._lines))

    def leave(self) -> None:
        """Let the lines stand as they are, and begin a new one below; what a key left on the last of them goes."""
        if self._lines:
            back, lines, self._lines = self._back(), self._lines, []
            self._write(back + "\n".join(lines) + "\n")

    def end(self) -> None:
        """Take the lines away."""
        back, self._lines = self._back(), []
        self._write(back)

    def _back(self) -> str:
        return "\r\x1b[K" + "\x1b[A\x1b[K" * (len(self._lines) - 1) if self._lines else ""

    def _write(self, text: str) -> None:
        encoding = self._stream.encoding or "ascii"
        self._stream.write(text.encode(encoding, "replace").decode(encoding))
        self._stream.flush()


def _size(stream: TextIO) -> tuple[int, int]:
    """Columns and lines of the terminal behind a stream."""
    with suppress(OSError, ValueError):
        columns, rows = os.get_terminal_size(stream.fileno())
        if columns and rows:
            return columns, rows
    return shutil.get_terminal_size((80, 24))


class Progress:
    """How far something is, on stderr."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._live = Live(sys.stderr) if sys.stderr.isatty() else None
        self._shown = 0.0
        self._lines = 0

    def __call__(self, done: int, total: int | None = None) -> None:
        """So many are done, of so many where that is known."""
        of = f" of {grouped(total)}" if total else ""
        self.show(f"{self._label}: {grouped(done)}{of}", done)

    def show(self, text: str, done: int) -> None:
        """The same in words of one's own."""
        if self._live is not None:
            now = time.monotonic()
            if now - self._shown >= REFRESH_SECONDS:
                self._shown = now
                self._live.show([text])
        elif done // LINE_EVERY > self._lines:
            self._lines = done // LINE_EVERY
            say(text)

    def end(self) -> None:
        """Take the refreshing line away."""
        if self._live is not None:
            self._live.end()
            self._shown = 0.0
