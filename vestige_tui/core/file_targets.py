"""Targets of a write: examined before anything is written, and refused where the write would destroy something.

A database or one of its side files is never overwritten, another file only with the user's consent.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import fcntl
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeAlias

from vestige_tui.core.errors import Refused, Unavailable
from vestige_tui.core.paths import user_path
from vestige_tui.core.text import file_name

Identity: TypeAlias = tuple[int, int]
"""Device and inode of a file, the same under each of its names."""

SIDES = ("-wal", "-shm", "-journal")
"""Suffixes of the files that SQLite keeps beside a database."""

_MAGIC_NUMBERS = {
    b"SQLite format 3\0": "is a SQLite database",
    b"\x37\x7f\x06\x82": "is the write-ahead log of a SQLite database",
    b"\x37\x7f\x06\x83": "is the write-ahead log of a SQLite database",
    b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7": "is the journal of a SQLite database",
}
_HEAD_BYTES = 16
_MIN_PAGE_BYTES = 512
_STDOUT_DESCRIPTOR = 1  # POSIX STDOUT_FILENO
_MAX_SYMLINK_COUNT = 40
"""As many as Linux follows in one path."""


@dataclass(frozen=True, slots=True)
class FileTarget:
    """File, pipe or device behind a name, as examined before anything is written to it."""

    name: str
    """The name as the user wrote it, for messages."""
    path: Path
    """The path with every symlink resolved."""
    status: os.stat_result | None
    """Its status before the write; None if nothing exists."""
    open_files: frozenset[Identity] = frozenset()
    """Files of the store that this process has open."""
    descriptor: int | None = None
    """Open descriptor that the name stands for, as ``/dev/stdout`` does."""
    is_stdout: bool = False

    @property
    def is_stream(self) -> bool:
        """True if it is written into and never replaced."""
        return self.descriptor is not None or (self.status is not None and not stat.S_ISREG(self.status.st_mode))

    @property
    def occupied(self) -> bool:
        """True if writing loses a file; an empty file counts, as an empty database is one too."""
        return self.status is not None and not self.is_stream


def examine(name: str | Path, *, store: Path | None = None) -> FileTarget:
    """Examine the file behind ``name`` without writing; ``store`` is the SQLite file that this process has open.

    Raises Refused if writing would destroy a protected file, Unavailable if it would fail.
    """
    expanded = str(user_path(str(name))) if str(name) else ""
    display_name = file_name(name)
    with as_unavailable(display_name):
        if (descriptor := _descriptor(expanded)) is not None:
            return _examine_descriptor(display_name, descriptor, store, is_stdout=descriptor == _STDOUT_DESCRIPTOR)
        status = _stat(expanded)
        _refuse_kind(display_name, str(name), status)
        protected = _store_files(store)
        if status is not None and not stat.S_ISREG(status.st_mode):
            return FileTarget(display_name, Path(expanded), status, protected)
        target = FileTarget(display_name, Path(os.path.realpath(expanded)), status, protected)
        refuse_irreplaceable(target)
        # A server keeps some of its folders behind symlinks.
        _refuse_server(display_name, Path(os.path.abspath(expanded)).parent)
        _refuse_unwritable(target)
    return target


def examine_document(path: Path) -> FileTarget:
    """Examine the path of an own document. Raises like ``examine``, and Refused for a pipe."""
    target = examine(path)
    refuse_stream(target)
    return target


def examine_stdout(*, store: Path | None = None) -> FileTarget:
    """Examine the file behind stdout. Raises like ``examine``."""
    return _examine_descriptor("The output", sys.stdout.fileno(), store, is_stdout=True)


def _examine_descriptor(name: str, descriptor: int, store: Path | None, *, is_stdout: bool) -> FileTarget:
    with as_unavailable(name):
        status = os.fstat(descriptor)
        is_writable_kind = stat.S_ISREG(status.st_mode) or stat.S_ISFIFO(status.st_mode) or stat.S_ISCHR(status.st_mode)
        # Any other kind may be the program's own, such as the event loop's epoll descriptor.
        if not (is_writable_kind or is_stdout):
            raise Refused(f"{name} is not a file, pipe or device; name a file.")
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise Unavailable(f"{name} could not be written: it is open for reading only.")
        path = Path(os.path.realpath(f"/dev/fd/{descriptor}"))
        target = FileTarget(name, path, status, _store_files(store), descriptor, is_stdout)
        # A file that was deleted meanwhile has no name left to protect.
        if stat.S_ISREG(status.st_mode) and is_same_file(_stat(target.path), status):
            _refuse_database(target)
    return target


def _descriptor(path_name: str) -> int | None:
    """Return the descriptor of this process that a path such as ``/dev/stdout`` or ``/dev/fd/3`` stands for."""
    own = {os.path.realpath(folder) for folder in ("/dev/fd", "/proc/self/fd", "/proc/thread-self/fd")}
    path = os.path.abspath(path_name) if not os.path.dirname(path_name) else path_name
    for _ in range(_MAX_SYMLINK_COUNT):
        folder, name = os.path.split(path)
        if name.isdecimal() and os.path.realpath(folder) in own:
            return int(name)
        if not os.path.islink(path):
            return None
        path = os.path.join(folder, os.readlink(path))
    return None


def _store_files(store: Path | None) -> frozenset[Identity]:
    """Return the identities of the files of a SQLite store."""
    if store is None:
        return frozenset()
    every = (_stat(f"{os.path.realpath(store)}{side}") for side in ("", *SIDES))
    return frozenset(_identity(each) for each in every if each is not None)


def _refuse_kind(name: str, typed: str, status: os.stat_result | None) -> None:
    """Raise Refused unless this is a regular file, a pipe or a character device."""
    if not name:
        raise Refused("The file name is empty; name a file.")
    if stat.S_ISDIR(status.st_mode) if status is not None else typed.endswith("/"):
        raise Refused(f"{name} is a directory; name a file in it.")
    if status is not None and stat.S_ISSOCK(status.st_mode):
        raise Refused(f"{name} is a socket; name a file.")
    if status is not None and stat.S_ISBLK(status.st_mode):
        raise Refused(f"{name} is a disk, which is never overwritten; name a file.")


def refuse_stream(target: FileTarget) -> None:
    """Raise Refused for anything but a regular file."""
    if target.is_stream:
        raise Refused(f"{target.name} is not a regular file; nothing was written to it.")


def refuse_side_name(path: Path) -> None:
    """Raise Refused if a store at ``path``, or a missing parent of it, would have the name of a side file of a file.

    SQLite cannot read a database beside which a directory, or another database, has the name of its write-ahead log.
    """
    for each in (path, *path.parents):
        if os.path.isdir(each):
            return
        for side in SIDES:
            base = each.with_name(each.name.removesuffix(side)) if each.name != side else each
            # Only the name is looked at: closing a descriptor of an open database would drop the locks of SQLite.
            if base != each and os.path.isfile(base):
                raise Refused(
                    f"{each} would be taken by SQLite for the {side} file of {base.name}; choose another name."
                )


def refuse_irreplaceable(target: FileTarget) -> None:
    """Raise Refused for a file that is never replaced, with or without consent."""
    if target.status is not None and not is_same_file(_stat(target.path), target.status):
        raise Unavailable(f"{target.name} leads to a file that was deleted; name another file.")
    _refuse_database(target)
    _refuse_server(target.name, target.path.parent)


def _refuse_database(target: FileTarget) -> None:
    """Raise Refused for a SQLite file, for a side file of one, and for a possibly encrypted one."""
    path, status = target.path, target.status
    if status is not None and _identity(status) in target.open_files:
        _refuse(target, "belongs to the store that is being read")
    for side in SIDES:
        base = path.with_name(path.name[: -len(side)]) if path.name.casefold().endswith(side) else path
        if base.name and base != path and _is_database(base, target.open_files):
            _refuse(target, f"belongs to the SQLite database {base.name}")
        if os.path.lexists(f"{path}{side}"):
            _refuse(target, f"is a SQLite database with {path.name}{side} beside it")
    if status is not None and status.st_size and (reason := _database_reason(path, status)):
        _refuse(target, reason)


def _refuse(target: FileTarget, reason: str) -> NoReturn:
    raise Refused(f"{target.name} {reason} and is never overwritten; name another file.")


def _is_database(path: Path, protected: frozenset[Identity]) -> bool:
    """Check whether this is a database; an empty file counts as one."""
    status = _stat(path)
    if status is None or not stat.S_ISREG(status.st_mode):
        return False
    if not status.st_size or _identity(status) in protected:
        return True
    return _database_reason(Path(os.path.realpath(path)), status) is not None


def _database_reason(path: Path, status: os.stat_result) -> str | None:
    """Return the reason to take a file for a database, from its first bytes; None if it is none.

    Not for a file that SQLite has open in this process: closing any descriptor of it drops SQLite's locks.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except PermissionError:
        raise Unavailable(f"{path} cannot be read and may be a database; name another file.") from None
    try:
        head = os.read(descriptor, _HEAD_BYTES)
    finally:
        os.close(descriptor)
    for magic, reason in _MAGIC_NUMBERS.items():
        if head.startswith(magic):
            return reason
    # An encrypted database is random from its first byte, and has whole pages.
    if status.st_size % _MIN_PAGE_BYTES == 0 and head.strip(b"\0") and not _is_text(head):
        return "may be an encrypted database"
    return None


def _is_text(head: bytes) -> bool:
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return all(character >= " " or character in "\t\n\f\r\x1b" for character in text)


def _refuse_server(name: str, parent: Path) -> None:
    """Raise Refused inside the data directory of a PostgreSQL server, or beside an embedded one."""
    for folder in (parent, *parent.parents):
        if os.path.isfile(folder / "PG_VERSION"):
            raise Refused(
                f"{name} is inside the data directory of a PostgreSQL server ({folder}); name a file elsewhere."
            )
    if os.path.isfile(parent / "vestige.lock") and any(os.path.isdir(parent / each) for each in ("data", "data.new")):
        raise Refused(f"{name} is inside the folder of an embedded PostgreSQL; name a file elsewhere.")


def _refuse_unwritable(target: FileTarget) -> None:
    """Raise Unavailable if no temporary file could be made, before any work is done for it."""
    parent = target.path.parent
    if not os.path.isdir(parent):
        raise Unavailable(f"{target.name} could not be written: there is no directory {parent}.")
    if os.statvfs(parent).f_flag & os.ST_RDONLY:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))
    if target.status is not None and not _is_allowed(target.path, os.W_OK):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))
    if not _is_allowed(parent, os.W_OK | os.X_OK):
        refuse_folder(target)


def refuse_folder(target: FileTarget) -> NoReturn:
    """Raise Unavailable for a folder in which nothing may be created."""
    raise Unavailable(
        f"{target.name} could not be written: no file can be created in {target.path.parent}; "
        "name a file in another directory."
    )


def _is_allowed(path: Path, right: int) -> bool:
    return os.access(path, right, effective_ids=os.access in os.supports_effective_ids)


# File status and errors


@contextlib.contextmanager
def as_unavailable(name: str) -> Iterator[None]:
    """Turn an OSError into Unavailable."""
    try:
        yield
    except OSError as error:
        raise write_error(name, error) from None


def write_error(name: str, error: OSError) -> Unavailable:
    """Return the Unavailable for a failed write."""
    return Unavailable(f"{name} could not be written: {error.strerror or error}.")


def _stat(path: str | Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def lstat(name: str, folder: int) -> os.stat_result | None:
    """Return the status of a name in an open folder, links not followed; None if nothing exists."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino


def is_same_file(one: os.stat_result | None, other: os.stat_result) -> bool:
    return one is not None and _identity(one) == _identity(other)


def is_unchanged(before: os.stat_result | None, now: os.stat_result) -> bool:
    """Check whether a file is the same, with the same size and time, as before."""
    return (
        before is not None
        and is_same_file(before, now)
        and (before.st_size, before.st_mtime_ns) == (now.st_size, now.st_mtime_ns)
    )
