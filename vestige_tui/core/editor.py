"""The user's editor and the private file that it edits, which is kept if its text cannot be saved.

`memory_template.py` describes the content of the file.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

from vestige_tui.core import file_targets, files
from vestige_tui.core.errors import Refused, VestigeError

log = logging.getLogger(__name__)

AT_ONCE_SECONDS = 2.0
"""An editor that ends sooner without a change may have left its window open."""
POLL_SECONDS = 0.05
STOPPED_POLLS = 4
"""An editor stopped for so many polls has stopped alone: a stop of the whole job stops this process too."""
END_SECONDS = 2.0
"""Time for an editor to save and end after SIGHUP, and again after SIGTERM."""
_BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"


def editor_command() -> tuple[str, ...]:
    """Return the command of $VISUAL, else of $EDITOR, else vi: quoted as in a shell, or a path with blanks as it is.

    Raises Refused if a quote does not end.
    """
    settings = (os.environ.get(name, "").strip() for name in ("VISUAL", "EDITOR"))
    setting = next(filter(None, settings), "vi")
    words = setting.split(" ")
    for end in range(len(words), 1, -1):
        path = os.path.expanduser(" ".join(words[:end]))
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return (path, *_split(" ".join(words[end:]), setting))
    program, *arguments = _split(setting, setting) or ["vi"]
    return (os.path.expanduser(program), *arguments)


def _split(words: str, setting: str) -> list[str]:
    try:
        return shlex.split(words)
    except ValueError:
        raise Refused(f"The editor {setting!r} has an unclosed quote. Correct $VISUAL or $EDITOR.") from None


class EditedText:
    """Text being edited, in a file that only its owner can read.

    ``text`` is the content after ``edit``, which may be called again; call ``discard`` once it is saved in the store.
    """

    def __init__(self, text: str, name: str = "memory") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="vestige-"))
        self.path = self.folder / f"{re.sub(r'[^0-9A-Za-z-]', '-', name)}.md"
        # A file cannot hold half a surrogate pair.
        self.before = self.text = text.encode("utf-8", "replace").decode("utf-8")
        self.editor = ""
        self.returned_at_once = False
        """True if the editor ended at once without a change: it may not wait for its window."""
        try:
            files.write(file_targets.examine_document(self.path), self.before)
        except VestigeError:
            self.discard()
            raise

    @property
    def changed(self) -> bool:
        return self.text != self.before

    @property
    def kept(self) -> str:
        """Sentence that names the file."""
        return f"Your text is kept in {self.path}."

    async def edit(
        self, lend: Callable[[], AbstractContextManager[None]] = nullcontext, *, stdout: int | None = None
    ) -> bool:
        """Run the editor on the terminal that ``lend`` frees; return whether the text has changed. Raises Refused.

        On an error, and where the wait is cancelled, changed text is kept; an error names its file.
        """
        try:
            command = editor_command()
            self.editor = command[0]
            with lend():
                start = time.monotonic()
                status = await _run([*command, str(self.path)], stdout)
        except OSError as error:
            fate = f" {self.kept}" if self._discard_unchanged() else ""
            raise Refused(
                f"The editor {self.editor} cannot be started: {error.strerror}. Set $EDITOR.{fate}"
            ) from error
        except BaseException:
            self._discard_unchanged()
            raise
        self.read()
        if status != 0:
            ending = f"status {status}" if status > 0 else f"signal {-status}"
            fate = f"nothing was saved. {self.kept}" if self._discard_unchanged() else "nothing was changed."
            raise Refused(f"The editor {self.editor} ended with {ending}; {fate}")
        self.returned_at_once = not self.changed and time.monotonic() - start < AT_ONCE_SECONDS
        return self.changed

    def read(self) -> None:
        """Read the file into ``text``. Raises Refused if it is gone, or not UTF-8 and therefore kept."""
        try:
            data = self.path.read_bytes()
            # An editor that replaces the file gives the new one the rights of its own.
            self.path.chmod(stat.S_IRUSR | stat.S_IWUSR)
        except OSError as error:
            if not self.path.exists():
                self.discard()
            raise Refused(f"The edited file {self.path} cannot be read: {error.strerror}.") from error
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            raise Refused(f"The edited text is not UTF-8; nothing was saved. {self.kept}") from None
        # Editors add a byte order mark, and end with a line break a file that has none.
        if not self.before.startswith(_BOM):
            text = text.removeprefix(_BOM)
        added = (f"{self.before}\n", f"{self.before}\r\n")
        self.text = self.before if text in added and not self.before.endswith("\n") else text

    def _discard_unchanged(self) -> bool:
        """Delete the file unless it holds another text; return whether it is kept."""
        try:
            self.read()
        except Refused as error:
            log.debug("An interrupted edit: %s", error)
        else:
            if not self.changed:
                self.discard()
        return self.path.exists()

    def discard(self) -> None:
        """Delete the file and all files that an editor left beside it."""
        shutil.rmtree(self.folder, ignore_errors=True)


async def edit_in_place(path: Path, lend: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
    """Run the editor on a file itself, on the terminal that ``lend`` frees. Raises Refused if it fails."""
    command = editor_command()
    try:
        with lend():
            status = await _run([*command, str(path)], None)
    except OSError as error:
        raise Refused(f"The editor {command[0]} cannot be started: {error.strerror}. Set $EDITOR.") from error
    if status != 0:
        raise Refused(
            f"The editor {command[0]} ended with {f'status {status}' if status > 0 else f'signal {-status}'}."
        )


async def _run(command: list[str], stdout: int | None) -> int:
    """Run an editor; return its exit status, negative for a signal. End it if the wait is cancelled."""
    with _keyboard_signals_ignored(), _settings_restored():
        process = _start(command, stdout)
        try:
            return await _status(process)
        except BaseException:
            _end(process)
            raise


def _start(command: list[str], stdout: int | None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdout=stdout)


async def _status(process: subprocess.Popen[bytes]) -> int:
    polls = 0
    while (status := process.poll()) is None:
        await asyncio.sleep(POLL_SECONDS)
        polls = polls + 1 if _is_stopped(process) else 0
        if polls > STOPPED_POLLS:
            # The shell sees the job stopped only when this process is; in a group without a shell nothing stops.
            os.kill(0, signal.SIGTSTP)
            await asyncio.sleep(POLL_SECONDS)
            process.send_signal(signal.SIGCONT)
            polls = 0
    return status


def _is_stopped(process: subprocess.Popen[bytes]) -> bool:
    with suppress(ChildProcessError):
        return os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the editor: SIGHUP, upon which editors save a recovery file, then SIGTERM. Blocks: the event loop ends."""
    for number in (signal.SIGHUP, signal.SIGTERM):
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
            return
    log.warning("The editor, process %s, is still running", process.pid)


@contextmanager
def _keyboard_signals_ignored() -> Iterator[None]:
    """Ignore ctrl+c and ctrl+\\ while the editor shares the terminal; the editor starts with the default handlers."""
    numbers = (signal.SIGINT, signal.SIGQUIT)
    before = [signal.signal(number, lambda number, frame: None) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@contextmanager
def _settings_restored() -> Iterator[None]:
    """Restore the settings of the terminal: an editor that is killed leaves its own."""
    settings = None
    with suppress(termios.error, ValueError, OSError):
        settings = termios.tcgetattr(sys.__stdin__.fileno()) if sys.__stdin__ is not None else None
    try:
        yield
    finally:
        if settings is not None and sys.__stdin__ is not None:
            with suppress(termios.error):
                termios.tcsetattr(sys.__stdin__.fileno(), termios.TCSADRAIN, settings)
