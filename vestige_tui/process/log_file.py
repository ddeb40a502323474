"""Log file that several processes append to: each record is one write, and the file rotates under a lock of its own.

A well-kept handler for this exists (concurrent-log-handler), but its import takes longer than most commands do.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from contextlib import suppress
from pathlib import Path

from vestige_tui.process.file_lock import lock_within
from vestige_tui.process.private_directory import make_private_dir

MAX_BYTES = 1_000_000
FILES = 3
"""Number of files kept, the current one included: ``name``, ``name.1``, ``name.2``."""
LOCK_SECONDS = 0.25
"""Limit of the wait for the lock: a process that was stopped while it holds it must not stop the others."""
IMPATIENT_SECONDS = 10.0
"""Time after a wait in vain in which the lock is tried, but not waited for: a thousand lines must not add up."""


class SharedLogFile(logging.Handler):
    """Handler for a rotating file of mode 600 in a folder of mode 700, opened with the first record.

    A file that cannot be written never disturbs the program: the record is lost, and the next one tries again.
    """

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES, files: int = FILES) -> None:
        super().__init__()
        self.path = path
        self._max_bytes = max_bytes
        self._files = files
        self._descriptor: int | None = None
        self._patient_from = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._append(f"{self.format(record)}\n".encode("utf-8", "backslashreplace"))
        except Exception:
            # There is no place left to report it to.
            self._close_file()

    def close(self) -> None:
        """Close the file; a later record opens it again."""
        self.acquire()
        try:
            self._close_file()
        finally:
            self.release()
        super().close()

    def _append(self, line: bytes) -> None:
        while True:
            descriptor = self._open_file()
            is_locked = self._lock(descriptor)
            try:
                if self._is_replaced(descriptor):
                    self._close_file()
                    continue
                size = os.fstat(descriptor).st_size
                if is_locked and size and size + len(line) > self._max_bytes:
                    self._rotate()
                    self._close_file()
                    continue
                written = os.write(descriptor, line)
                if is_locked and written < len(line):
                    os.ftruncate(descriptor, size)  # the disk is full: no line is torn
                return
            finally:
                if self._descriptor is not None and is_locked:
                    fcntl.flock(descriptor, fcntl.LOCK_UN)

    def _open_file(self) -> int:
        if self._descriptor is None:
            make_private_dir(self.path.parent)
            # O_APPEND: even a writer that could not get the lock overwrites nothing. O_NONBLOCK: a pipe of this name
            # that nothing reads is refused, instead of waited for.
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
            self._descriptor = os.open(self.path, flags, 0o600)
        return self._descriptor

    def _close_file(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)  # releases the lock, too

    def _lock(self, descriptor: int) -> bool:
        """Lock an open file against other processes; return False if that takes too long or is not supported."""
        try:
            if lock_within(descriptor, LOCK_SECONDS if time.monotonic() >= self._patient_from else 0.0):
                return True
        except OSError:
            return False
        self._patient_from = time.monotonic() + IMPATIENT_SECONDS
        return False

    def _is_replaced(self, descriptor: int) -> bool:
        """Check whether another process rotated or deleted the file since it was opened."""
        try:
            return not os.path.samestat(os.stat(self.path), os.fstat(descriptor))
        except FileNotFoundError:
            return True

    def _rotate(self) -> None:
        """Rename each file to the next number; the oldest is overwritten. Only the holder of the lock may call it."""
        for number in reversed(range(1, self._files)):
            older = self.path.with_name(f"{self.path.name}.{number - 1}") if number > 1 else self.path
            with suppress(FileNotFoundError):
                os.replace(older, self.path.with_name(f"{self.path.name}.{number}"))
