"""State of a console that is kept between two starts: the stores opened last, and that the first hints were shown."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from vestige_tui.config.directories import make_private_dir
from vestige_tui.core import file_targets, files
from vestige_tui.core.errors import VestigeError
from vestige_tui.core.log import suppressed
from vestige_tui.jobs.known_stores import without_password
from vestige_tui.jobs.store_identity import distinct_stores

log = logging.getLogger(__name__)

MAX_STORES = 20
STORES_FILE, HINTS_FILE = "recent-stores.json", "hints-shown"


class ConsoleState:
    """Files of a state folder, each 0600; with None instead of a folder nothing is read or written.

    A file that cannot be read counts as empty, and one that cannot be written leaves a line in the log: a console works
    without them.
    """

    def __init__(self, folder: Path | None, *, shows_hints: bool = True) -> None:
        self._folder = folder
        self._shows_hints = shows_hints and folder is not None

    def recent_stores(self) -> tuple[str, ...]:
        """Return the URLs of the stores opened last, without passwords, the latest first."""
        if self._folder is None or not (path := self._folder / STORES_FILE).exists():
            return ()
        with suppressed(log, "read the recent stores", OSError, ValueError, LookupError, TypeError):
            urls = json.loads(path.read_text(encoding="utf-8"))["stores"]
            return tuple(url for url in urls if isinstance(url, str))[:MAX_STORES]
        return ()

    def note_store(self, url: str) -> None:
        """Put a store in front of the recent ones."""
        if self._folder is not None:
            stores = distinct_stores((without_password(url), *self.recent_stores()))[:MAX_STORES]
            self._write(STORES_FILE, json.dumps({"version": 1, "stores": stores}, indent=1))

    @property
    def is_kept(self) -> bool:
        """True if there is a state folder: the console is a person's own, not one under test."""
        return self._folder is not None

    @property
    def wants_hints(self) -> bool:
        """True until the hints of the first start have been shown."""
        return self._shows_hints and self._folder is not None and not (self._folder / HINTS_FILE).exists()

    def note_hints(self) -> None:
        """Note that the hints were shown, so that they are never shown again."""
        self._shows_hints = False
        if self._folder is not None:
            self._write(HINTS_FILE, "The hints of the first start were shown; delete this file to see them again.\n")

    def _write(self, name: str, text: str) -> None:
        assert self._folder is not None
        with suppressed(log, "write the state of the console", OSError, VestigeError):
            make_private_dir(self._folder)
            files.write(file_targets.examine_document(self._folder / name), text, overwrite=True)
