"""Search history: the last queries, a line each, in a file of the state directory that only its owner may read."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vestige_tui.config.directories import make_private_dir, own_home, state_dir
from vestige_tui.config.settings import Config
from vestige_tui.core import file_targets, files
from vestige_tui.core.errors import HomeUnknown, Unavailable
from vestige_tui.core.text import safe
from vestige_tui.process.file_lock import lock_within

log = logging.getLogger(__name__)

MAX_LINES = 200
MAX_LINE_CHARS = 2_000
"""A longer query is not kept."""
LOCK_SECONDS = 2.0
"""Limit of the wait for another console that is writing."""


def history_path() -> Path:
    """Return the path of the history. Raises HomeUnknown."""
    return state_dir() / "search-history"


def search_history(config: Config) -> SearchHistory | None:
    """Return the history that the settings allow; without a file where the state is not the user's own."""
    if not config.history:
        return None
    try:
        return SearchHistory(None if own_home() is not None else history_path())
    except HomeUnknown as error:
        log.debug("The search history is not kept: %s", error)
        return SearchHistory(None)


class SearchHistory:
    """Search history in a file, shared by all consoles of a user; the newest line is the last one.

    Without a ``path`` it lasts as long as this object.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lines: tuple[str, ...] = ()

    def read(self) -> tuple[str, ...]:
        """Return the lines; none if there is no file, or it cannot be read."""
        if self.path is None:
            return self._lines
        try:
            with self.path.open("rb") as file:
                data = file.read(4 * MAX_LINES * MAX_LINE_CHARS)
        except OSError:
            return ()
        return _kept(data.decode("utf-8", "replace").split("\n"))

    def add(self, line: str) -> tuple[str, ...]:
        """Add a line at the end, where it moves if it is there already; return all lines.

        Raises OSError, Unavailable or Refused if the file cannot be written.
        """
        if self.path is None:
            self._lines = _kept([*self._lines, line])
            return self._lines
        make_private_dir(self.path.parent)
        with _locked(self.path.with_suffix(".lock")):
            lines = _kept([*self.read(), line])
            target = file_targets.examine_document(self.path)
            files.write(target, "".join(f"{each}\n" for each in lines), overwrite=True)
            # A file that was there keeps its mode when it is replaced.
            self.path.chmod(0o600)
        return lines


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        if not lock_within(lock, LOCK_SECONDS):
            raise Unavailable("The search history is locked by another process.")
        yield
    finally:
        os.close(lock)


def _kept(lines: Iterable[str]) -> tuple[str, ...]:
    """Return the newest lines, each once, where it stands last."""
    clean = (safe(line).strip() for line in lines)
    newest = dict.fromkeys(line for line in reversed([*clean]) if line and len(line) <= MAX_LINE_CHARS)
    return tuple(reversed([*newest][:MAX_LINES]))


@dataclass(frozen=True, slots=True)
class HistoryWalk:
    """Walk through the history from a ``draft``, the line before it: ``position`` counts from the newest line, 0."""

    lines: tuple[str, ...]
    draft: str
    position: int = -1

    @property
    def line(self) -> str:
        """Return the line at the position; the draft before the first step."""
        return self.draft if self.position < 0 else self.lines[-1 - self.position]

    def older(self) -> HistoryWalk:
        """Go to the next older line that is not the present one; stay at the oldest."""
        for position in range(self.position + 1, len(self.lines)):
            if self.lines[-1 - position] != self.line:
                return HistoryWalk(self.lines, self.draft, position)
        return self

    def newer(self) -> HistoryWalk | None:
        """Go to the next newer line, after the newest one to the draft; None at the draft, where the walk ends."""
        return HistoryWalk(self.lines, self.draft, self.position - 1) if self.position >= 0 else None
