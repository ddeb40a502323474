"""Reader of a JSON document too large for memory: values are taken one by one from pieces of its text."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from vestige_tui.core.errors import Unavailable, VestigeError
from vestige_tui.core.text import quoted

_SPACE = re.compile(r"[ \t\r\n]*")
_OF_NUMBERS = "+-.eE0123456789"
_DECODER = json.JSONDecoder()


class JsonStream:
    """Position in a JSON document. All methods raise Unavailable for a text that is no JSON, no UTF-8 or ends early."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = _decoded(pieces)
        self._text = ""
        self._at = 0

    def peek(self) -> str:
        """Return the next character that is no space; empty at the end."""
        while True:
            self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._refill():
                return ""

    def take(self, expected: str) -> None:
        """Go past a character."""
        if self.peek() != expected:
            raise self._broken()
        self._at += 1

    def value(self) -> Any:
        """Return the next value."""
        if not self.peek():
            raise self._broken()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except RecursionError:
                raise Unavailable("The file has a value that is nested too deeply.") from None
            except ValueError:
                if not self._refill(len(self._text) - self._at):
                    raise self._broken() from None
                continue
            # A number at the end of a piece, such as "-2.", may go on in the next one.
            rest = self._text[end : end + 1]
            if (rest and rest not in _OF_NUMBERS) or not self._refill(len(self._text) - self._at + 1):
                self._at = end
                return value

    def array_items(self) -> Iterator[None]:
        """Stop at each item of an array; the caller takes it."""
        yield from self._members("[", "]")

    def object_keys(self) -> Iterator[str]:
        """Yield each key of an object; the caller takes its value."""
        for _ in self._members("{", "}"):
            key = self.value()
            if not isinstance(key, str):
                raise self._broken()
            self.take(":")
            yield key

    def _members(self, first: str, last: str) -> Iterator[None]:
        self.take(first)
        if self.peek() != last:
            yield
            while self.peek() == ",":
                self.take(",")
                yield
        self.take(last)

    def _refill(self, at_least: int = 1) -> bool:
        """Read at least so many more characters; return False at the end."""
        pieces = [self._text[self._at :]]
        size = 0
        while size < at_least and (piece := next(self._pieces, None)) is not None:
            pieces.append(piece)
            size += len(piece)
        self._text, self._at = "".join(pieces), 0
        return size > 0

    def _broken(self) -> VestigeError:
        at = f" at {quoted(rest)}" if (rest := self._text[self._at : self._at + 20]) else ""
        return Unavailable(f"The file is damaged or ends early: its JSON cannot be read further{at}.")


def _decoded(pieces: Iterable[bytes]) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    try:
        for piece in pieces:
            if text := decoder.decode(piece):
                yield text
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise Unavailable("The file is not UTF-8.") from None
