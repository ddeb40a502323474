"""Drafts of documents that another program writes, such as backups: their names, and the removal of abandoned ones.

The process that writes a draft holds a lock on a file beside it. The lock ends with the process, however that ends, so
that a later one can tell an abandoned draft from one that is being written. The draft itself is not locked: on NFS that
would keep SQLite from writing it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from vestige_tui.core.file_targets import SIDES
from vestige_tui.core.log import log_suppressed, suppressed
from vestige_tui.process.file_lock import lock_within, try_lock

log = logging.getLogger(__name__)

_LOCK_SUFFIX = ".lock"
_LOCK_NAME = re.compile(r"(\.vestige-[0-9a-f]{32})" + re.escape(_LOCK_SUFFIX))
_OPEN_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
_PRIVATE_MODE = 0o600
LOCK_SECONDS = 5.0
"""Longest wait for a process that looks at a new lock just now."""


@contextlib.contextmanager
def draft_name(folder: Path, descriptor: int) -> Iterator[str]:
    """Yield an unguessable name for a draft in an open folder, held by this process until the block has ended.

    Drafts of processes that have ended are removed from the folder before.
    """
    remove_abandoned(folder, descriptor)
    while True:
        name = f".vestige-{secrets.token_hex(16)}"
        lock = _create_lock(name + _LOCK_SUFFIX, descriptor)
        if lock is None or (lock_within(lock, LOCK_SECONDS) and _is_at(lock, name + _LOCK_SUFFIX, descriptor)):
            break
        # Another process has removed it, between its creation and its lock.
        os.close(lock)
    try:
        yield name
    finally:
        _remove(name, descriptor)
        if lock is not None:
            _unlink(name + _LOCK_SUFFIX, descriptor)
            os.close(lock)


def remove_abandoned(folder: Path, descriptor: int) -> None:
    """Remove the drafts in a folder that no living process writes."""
    with suppressed(log, "list the drafts of a folder", OSError):
        names = [match[1] for name in os.listdir(folder) if (match := _LOCK_NAME.fullmatch(name))]
        for name in names:
            with suppressed(log, "remove an abandoned draft", OSError):
                _remove_if_abandoned(name, descriptor)


def _remove_if_abandoned(name: str, descriptor: int) -> None:
    lock = os.open(name + _LOCK_SUFFIX, _OPEN_FLAGS, dir_fd=descriptor)
    try:
        if try_lock(lock) and _is_at(lock, name + _LOCK_SUFFIX, descriptor):
            _remove(name, descriptor)
            _unlink(name + _LOCK_SUFFIX, descriptor)
    finally:
        os.close(lock)


def _create_lock(name: str, descriptor: int) -> int | None:
    """Create the file of a lock; None where the file system has no locks, on which nothing is ever removed."""
    try:
        lock = os.open(name, _OPEN_FLAGS | os.O_CREAT | os.O_EXCL, _PRIVATE_MODE, dir_fd=descriptor)
    except OSError as error:
        # The creation of the draft itself names the reason.
        log_suppressed(log, "create the lock of a draft", error)
        return None
    try:
        try_lock(lock)
    except OSError as error:
        log_suppressed(log, "lock a draft", error)
        os.close(lock)
        _unlink(name, descriptor)
        return None
    return lock


def _is_at(lock: int, name: str, descriptor: int) -> bool:
    """Check whether an open file still has its name."""
    try:
        status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(status, os.fstat(lock))


def _remove(name: str, descriptor: int) -> None:
    for side in ("", *SIDES):
        _unlink(f"{name}{side}", descriptor)


def _unlink(name: str, descriptor: int) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=descriptor)
