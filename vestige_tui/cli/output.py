"""Output of commands: text or one JSON document to stdout, notes and progress to stderr.

Stored text passes ``text.plain``; JSON carries terminal control characters only as escapes.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from vestige_tui.core.encodings import encodable, encoding_of, is_unicode, lacks
from vestige_tui.core.errors import VestigeError
from vestige_tui.core.json_text import dumps
from vestige_tui.core.text import cells, cut, grouped, plain, safe

DEFAULT_COLUMNS = 120
REFRESH_SECONDS = 0.1
ITEMS_PER_LINE = 1_000
ECHO_COLUMNS = 3
"""Columns that an updated line leaves free: the terminal echoes ``^C`` there, which must not wrap."""
_GAP = "  "
MIN_FLEXIBLE_COLUMNS = 12


class Unwritable(VestigeError):
    """The answer could not be written."""


class Output:
    """Output streams of one command."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.answered = False
        self._lacking = ""
        """Encoding of stdout, if a character of the answer was replaced because of it."""

    @property
    def width(self) -> int:
        """Width of the terminal in columns, at least 40; COLUMNS or 120 if stdout is no terminal."""
        return max(40, terminal_size(sys.stdout, (DEFAULT_COLUMNS, 24))[0])

    @property
    def terminal(self) -> bool:
        """True if stdout is a terminal. Output to files and pipes is never cut or folded."""
        return sys.stdout.isatty()

    def live(self) -> Live:
        """Return lines that are updated in place on stdout, a terminal."""
        return Live(sys.stdout)

    def document(self, data: Any) -> None:
        """Write the single JSON document of this run."""
        self.answered = True
        self._write(dumps(data, indent=2, ascii_only=not is_unicode(encoding_of(sys.stdout))) + "\n")

    def object(self, data: Any) -> None:
        """Write and flush one JSON object on its own line, for commands that stream."""
        self._write(dumps(data, ascii_only=not is_unicode(encoding_of(sys.stdout))) + "\n")
        self.flush()

    def line(self, text: str = "") -> None:
        """Write text to stdout, with its line breaks."""
        if not self.as_json:
            self._write(self._shown(text, newlines=True) + "\n")

    @property
    def _shown(self) -> Callable[..., str]:
        return plain if self.terminal else safe

    def note(self, text: str, *, fold: bool = True) -> None:
        """Write a sentence to stderr; ``fold=False`` keeps a command in it copyable."""
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
        """Write rows in aligned columns that fit the terminal; the ``flexible`` column takes the remaining width.

        ``wrap`` folds a cell of that column that is too long instead of cutting it; without a terminal it stays whole.
        """
        shown = self._shown
        lines = [tuple(shown(cell) for cell in row) for row in ([header, *rows] if header else rows)]
        if not lines:
            return
        widths = [max(cells(row[column]) for row in lines) for column in range(len(lines[0]))]
        other_columns = sum(widths) - widths[flexible] + len(_GAP) * (len(widths) - 1)
        if self.terminal or not wrap:
            widths[flexible] = min(widths[flexible], max(MIN_FLEXIBLE_COLUMNS, self.width - other_columns))
        for row in lines:
            flexible_width = widths[flexible]
            parts = folded(row[flexible], flexible_width) if wrap else [cut(row[flexible], flexible_width)]
            for part_number, part in enumerate(parts):
                line_cells = []
                for column, (cell, width) in enumerate(zip(row, widths, strict=True)):
                    text = part if column == flexible else "" if part_number else cell
                    padding = " " * (width - cells(text))
                    line_cells.append(padding + text if column in right else text + padding)
                self.line(_GAP.join(line_cells).rstrip())

    def progress(self, label: str) -> ProgressLine:
        """Return a progress line on stderr: updated in place on a terminal, else one line per thousand items."""
        return ProgressLine(label)

    def _write(self, text: str) -> None:
        encoding = encoding_of(sys.stdout)
        if lacks(encoding, text):
            self._lacking = encoding
        with writing():
            sys.stdout.write(encodable(text, encoding))

    def note_loss(self) -> None:
        """Say on stderr that letters of the answer were replaced, if any were."""
        if self._lacking:
            self.note(f"Characters that {self._lacking} lacks were replaced; set PYTHONIOENCODING=utf-8 to keep them.")

    def flush(self) -> None:
        with writing():
            sys.stdout.flush()


@contextmanager
def writing() -> Iterator[None]:
    """Turn an OSError of stdout into ``Unwritable``; a BrokenPipeError passes."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Unwritable(f"The output could not be written: {error.strerror}.") from None


def folded(text: str, width: int) -> list[str]:
    """Fold plain text to lines of at most ``width`` cells; only a word longer than a line is broken."""
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
    """Write a sentence to stderr in its encoding; ignore a closed stderr."""
    message = plain(text) if sys.stderr.isatty() else safe(text)
    try:
        if fold and sys.stderr.isatty():
            message = "\n".join(folded(message, terminal_size(sys.stderr)[0]))
        sys.stderr.write(encodable(message, encoding_of(sys.stderr)) + "\n")
        sys.stderr.flush()
    except OSError:
        return


class Live:
    """Last lines of a terminal, updated in place."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: list[str] = []

    def show(self, lines: Sequence[str]) -> None:
        """Replace the shown lines, each cut to the width of the terminal."""
        columns, rows = terminal_size(self._stream)
        max_columns = max(20, columns - ECHO_COLUMNS)
        erasure = self._erasure()
        self._lines = [cut(plain(line), max_columns) for line in lines][: max(1, rows - 1)]
        self._write(erasure + "\n".join(self._lines))

    def leave(self) -> None:
        """Keep the lines, without echoed keys, and continue below them."""
        if self._lines:
            erasure, lines, self._lines = self._erasure(), self._lines, []
            self._write(erasure + "\n".join(lines) + "\n")

    def end(self) -> None:
        """Erase the lines."""
        erasure, self._lines = self._erasure(), []
        self._write(erasure)

    def _erasure(self) -> str:
        return "\r\x1b[K" + "\x1b[A\x1b[K" * (len(self._lines) - 1) if self._lines else ""

    def _write(self, text: str) -> None:
        self._stream.write(encodable(text, encoding_of(self._stream)))
        self._stream.flush()


def terminal_size(stream: TextIO, fallback: tuple[int, int] = (80, 24)) -> tuple[int, int]:
    """Return columns and lines of the terminal behind a stream, else of the environment, else ``fallback``."""
    with suppress(OSError, ValueError):
        columns, rows = os.get_terminal_size(stream.fileno())
        if columns and rows:
            return columns, rows
    return shutil.get_terminal_size(fallback)


class ProgressLine:
    """Progress line on stderr."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._live = Live(sys.stderr) if sys.stderr.isatty() else None
        self._updated_at = 0.0
        self._lines = 0

    def __call__(self, done: int, total: int | None = None) -> None:
        """Show ``done`` items, of ``total`` if known."""
        of = f" of {grouped(total)}" if total else ""
        self.show(f"{self._label}: {grouped(done)}{of}", done)

    def show(self, text: str, done: int) -> None:
        """Show ``text``; without a terminal only once per ITEMS_PER_LINE items ``done``."""
        if self._live is not None:
            now = time.monotonic()
            if now - self._updated_at >= REFRESH_SECONDS:
                self._updated_at = now
                self._live.show([text])
        elif done // ITEMS_PER_LINE > self._lines:
            self._lines = done // ITEMS_PER_LINE
            say(text)

    def end(self) -> None:
        """Erase the line on a terminal."""
        if self._live is not None:
            self._live.end()
            self._updated_at = 0.0
