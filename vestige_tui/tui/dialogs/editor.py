"""Editing a text in the user's own editor, through a private file that is kept if the text cannot be saved."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from textual.app import SuspendNotSupported

from vestige_tui.core import file_targets, files
from vestige_tui.core.errors import VestigeError

if TYPE_CHECKING:
    from textual.app import App


class EditedText:
    """Text being edited, in a file that only its owner can read.

    ``text`` is the content after ``edit``; call ``discard`` once it is saved in the store.
    """

    def __init__(self, text: str, name: str = "memory") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="vestige-"))
        self.path = self.folder / f"{re.sub(r'[^0-9A-Za-z-]', '-', name)}.md"
        # A file cannot hold half a surrogate pair.
        self.before = self.text = text.encode("utf-8", "replace").decode("utf-8")
        try:
            files.write(file_targets.examine_document(self.path), self.before)
        except VestigeError:
            self.discard()
            raise

    def edit(self, app: App[object]) -> bool:
        """Suspend the console and run the editor; return whether the text has changed. Raises VestigeError.

        On an error typed text is kept, and the message names its file.
        """
        setting = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
        try:
            command = shlex.split(setting) or ["vi"]
        except ValueError:
            self.discard()
            raise VestigeError(f"The editor {setting!r} has a quote that does not end. Set $EDITOR.") from None
        try:
            with app.suspend(), _interrupts_ignored():
                process = subprocess.run([*command, str(self.path)], check=False)
        except OSError as error:
            self.discard()
            raise VestigeError(f"The editor {command[0]} cannot be started: {error.strerror}. Set $EDITOR.") from error
        except SuspendNotSupported:
            self.discard()
            raise VestigeError("An editor cannot be opened from this kind of terminal.") from None
        self._read()
        if process.returncode != 0:
            raise VestigeError(f"The editor {command[0]} ended with {_status(process.returncode)}; {self._fate()}")
        return self.text != self.before

    def _read(self) -> None:
        try:
            with self.path.open(encoding="utf-8", errors="replace", newline="") as file:
                self.text = file.read()
        except OSError as error:
            raise VestigeError(f"The edited file {self.path} cannot be read: {error.strerror}.") from error
        # Editors end a file with a newline that the memory did not have.
        if not self.before.endswith("\n"):
            self.text = self.text.removesuffix("\n").removesuffix("\r")

    def _fate(self) -> str:
        if self.text == self.before:
            self.discard()
            return "nothing was changed."
        return f"nothing was saved. Your text is kept in {self.path}."

    def discard(self) -> None:
        """Delete the file and all files that an editor left beside it."""
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Ignore SIGINT while the editor shares the terminal; the editor itself starts with the default handler."""
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _status(returncode: int) -> str:
    return f"status {returncode}" if returncode > 0 else f"signal {-returncode}"
