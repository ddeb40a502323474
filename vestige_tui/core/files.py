"""Writing of documents to disk: exports, settings, indexes, reports, drafts.

A document appears under its name whole or not at all: it is written to a temporary file with an unguessable name beside
it, and renamed. An existing file is replaced only with the user's consent, a database or one of its side files never.
A pipe or a device is written into, never replaced.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import errno
import fcntl
import os
import secrets
import select
import stat
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn, Protocol, TypeAlias

from vestige_tui.core.errors import Refused, Unavailable

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
_LINK_UNSUPPORTED = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_SYNC_UNSUPPORTED = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}
_CHOWN_DENIED = {errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}
_ACL_MISSING = {errno.ENODATA, errno.ENOENT, errno.ENOTSUP, errno.EOPNOTSUPP}
_ACL_ATTRIBUTE = "system.posix_acl_access"
_PRIVATE_MODE = 0o600
"""Permissions of a new document: read and written by its owner alone."""
_STDOUT_DESCRIPTOR = 1  # POSIX STDOUT_FILENO
_MAX_SYMLINK_COUNT = 40
"""As many as Linux follows in one path."""
_POLL_SECONDS = 0.01
_BUFFER_BYTES = 1 << 16
# O_PATH opens a folder that may be searched but not read.
_DIRECTORY_FLAGS = os.O_DIRECTORY | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)


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


class Sink(Protocol):
    """Receiver of the text of a document."""

    async def write(self, text: str) -> None:
        """Add text. Raises Unavailable if writing fails."""


# Examining


def examine(name: str | Path, *, store: Path | None = None) -> FileTarget:
    """Examine the file behind ``name`` without writing; ``store`` is the SQLite file that this process has open.

    Raises Refused if writing would destroy a protected file, Unavailable if it would fail.
    """
    display_name = str(name)
    expanded = os.path.expanduser(display_name)
    with _as_unavailable(display_name):
        if (descriptor := _descriptor(expanded)) is not None:
            return _examine_descriptor(display_name, descriptor, store, is_stdout=descriptor == _STDOUT_DESCRIPTOR)
        status = _stat(expanded)
        _refuse_kind(display_name, status)
        protected = _store_files(store)
        if status is not None and not stat.S_ISREG(status.st_mode):
            return FileTarget(display_name, Path(expanded), status, protected)
        target = FileTarget(display_name, Path(os.path.realpath(expanded)), status, protected)
        _refuse_irreplaceable(target)
        # A server keeps some of its folders behind symlinks.
        _refuse_server(display_name, Path(os.path.abspath(expanded)).parent)
        _refuse_unwritable(target)
    return target


def examine_document(path: Path) -> FileTarget:
    """Examine the path of an own document. Raises like ``examine``, and Refused for a pipe."""
    target = examine(path)
    _refuse_stream(target)
    return target


def examine_stdout(*, store: Path | None = None) -> FileTarget:
    """Examine the file behind stdout. Raises like ``examine``."""
    return _examine_descriptor("The answer", sys.stdout.fileno(), store, is_stdout=True)


def _examine_descriptor(name: str, descriptor: int, store: Path | None, *, is_stdout: bool) -> FileTarget:
    with _as_unavailable(name):
        status = os.fstat(descriptor)
        is_writable_kind = stat.S_ISREG(status.st_mode) or stat.S_ISFIFO(status.st_mode) or stat.S_ISCHR(status.st_mode)
        # Any other kind may be the program's own, such as the event loop's epoll descriptor.
        if not (is_writable_kind or is_stdout):
            raise Refused(f"{name} is no file, pipe or device; name a file.")
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise Unavailable(f"{name} could not be written: it is open for reading only.")
        path = Path(os.path.realpath(f"/dev/fd/{descriptor}"))
        target = FileTarget(name, path, status, _store_files(store), descriptor, is_stdout)
        # A file that was deleted meanwhile has no name left to protect.
        if stat.S_ISREG(status.st_mode) and _is_same_file(_stat(target.path), status):
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


def _refuse_kind(name: str, status: os.stat_result | None) -> None:
    """Raise Refused unless this is a regular file, a pipe or a character device."""
    if not name:
        raise Refused("The name of the file is empty; name a file.")
    if stat.S_ISDIR(status.st_mode) if status is not None else name.endswith("/"):
        raise Refused(f"{name} is a directory; name a file in it.")
    if status is not None and stat.S_ISSOCK(status.st_mode):
        raise Refused(f"{name} is a socket; name a file.")
    if status is not None and stat.S_ISBLK(status.st_mode):
        raise Refused(f"{name} is a disk, which is never overwritten; name a file.")


def _refuse_stream(target: FileTarget) -> None:
    if target.is_stream:
        raise Refused(f"{target.name} is not a regular file; nothing was written to it.")


def _refuse_irreplaceable(target: FileTarget) -> None:
    """Raise Refused for a file that is never replaced, with or without consent."""
    if target.status is not None and not _is_same_file(_stat(target.path), target.status):
        raise Unavailable(f"{target.name} leads to a file that has no name any more; name a file.")
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
        raise Unavailable(f"{path} cannot be read, and so may be a database; name another file.") from None
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
            raise Refused(f"{name} lies in the data of a PostgreSQL server ({folder}); name a file elsewhere.")
    if os.path.isfile(parent / "vestige.lock") and any(os.path.isdir(parent / each) for each in ("data", "data.new")):
        raise Refused(f"{name} lies in the folder of an embedded PostgreSQL; name a file elsewhere.")


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
        _refuse_folder(target)


def _refuse_folder(target: FileTarget) -> NoReturn:
    raise Unavailable(
        f"{target.name} could not be written: nothing may be created in {target.path.parent}. "
        "Name a file in another directory."
    )


def _is_allowed(path: Path, right: int) -> bool:
    return os.access(path, right, effective_ids=os.access in os.supports_effective_ids)


# Writing


@contextlib.asynccontextmanager
async def written(
    target: FileTarget, *, overwrite: bool = False, waiting: Callable[[], None] | None = None
) -> AsyncIterator[Sink]:
    """Open a sink for a document or a stream of lines; the document is in place once the block has ended without error.

    Raises Refused if a file exists and ``overwrite`` is false, or if another file appeared meanwhile; Unavailable on
    system errors. ``waiting`` is called once if a pipe has no reader yet.
    """
    if not target.is_stream:
        with _replacing(target, overwrite) as draft:
            yield draft
        return
    descriptor = await _open_stream(target, waiting)
    try:
        yield _Stream(target, descriptor)
    finally:
        os.close(descriptor)


def write(target: FileTarget, text: str, *, overwrite: bool = False) -> None:
    """Write a whole document. Raises like ``written``, and Refused unless it is a regular file."""
    _refuse_stream(target)
    with _replacing(target, overwrite) as draft:
        draft.add(text)


class _DraftFile:
    """Temporary file that becomes the document."""

    def __init__(self, target: FileTarget, descriptor: int) -> None:
        self._target = target
        self._descriptor = descriptor
        self._buffer = bytearray()

    async def write(self, text: str) -> None:
        self.add(text)

    def add(self, text: str) -> None:
        self._buffer += text.encode("utf-8")
        if len(self._buffer) >= _BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        data, self._buffer = memoryview(self._buffer), bytearray()
        with _as_unavailable(self._target.name):
            while data:
                data = data[os.write(self._descriptor, data) :]


@contextlib.contextmanager
def _replacing(target: FileTarget, overwrite: bool) -> Iterator[_DraftFile]:
    if target.occupied and not overwrite:
        raise Refused(f"{target.name} exists; nothing was written.")
    draft = f".vestige-{secrets.token_hex(16)}"
    with _as_unavailable(target.name):
        folder = os.open(target.path.parent, _DIRECTORY_FLAGS)
    try:
        descriptor = _create(target, draft, folder)
        try:
            sink = _DraftFile(target, descriptor)
            yield sink
            sink.flush()
            with _as_unavailable(target.name):
                # Its permissions may have changed since it was examined.
                status = _lstat(target.path.name, folder)
                _copy_permissions(descriptor, replace(target, status=status if target.status is not None else None))
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        with _as_unavailable(target.name):
            _commit(target, draft, folder)
    finally:
        # After a commit there is nothing left to delete; an earlier error must not be masked.
        with contextlib.suppress(OSError):
            os.unlink(draft, dir_fd=folder)
        os.close(folder)


def _create(target: FileTarget, draft: str, folder: int) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with _as_unavailable(target.name):
        try:
            return os.open(draft, flags, _PRIVATE_MODE, dir_fd=folder)
        except PermissionError:
            _refuse_folder(target)


def _copy_permissions(descriptor: int, target: FileTarget) -> None:
    """Copy owner, mode and ACL of the replaced file as far as allowed; a new document is private."""
    mode, same_group = _PRIVATE_MODE, True
    if (replaced := target.status) is not None:
        mode = stat.S_IMODE(replaced.st_mode)
        draft = os.fstat(descriptor)
        same_group = replaced.st_gid == draft.st_gid or _chown(descriptor, -1, replaced.st_gid)
        if not same_group:
            mode &= ~(stat.S_IRWXG | stat.S_ISGID)  # granted to another group
        if replaced.st_uid != draft.st_uid and not _chown(descriptor, replaced.st_uid, -1):
            mode &= ~stat.S_ISUID
    if sys.platform == "linux":
        _copy_acl(descriptor, target.path if replaced is not None and same_group else None)
    if stat.S_IMODE(os.fstat(descriptor).st_mode) != mode:
        with contextlib.suppress(PermissionError):  # FAT and the like have one mode for all files
            os.fchmod(descriptor, mode)


def _chown(descriptor: int, user: int, group: int) -> bool:
    try:
        os.fchown(descriptor, user, group)
    except OSError as error:
        if error.errno not in _CHOWN_DENIED:
            raise
        return False
    return True


def _copy_acl(descriptor: int, path: Path | None) -> None:
    """Copy the access control list of the replaced file to a draft; remove the draft's if that file has none.

    Without it the group of a file would get every right that the list grants; and the draft may have inherited a list
    from its folder.
    """
    acl = None
    try:
        acl = os.getxattr(path, _ACL_ATTRIBUTE) if path is not None else None
    except OSError as error:
        if error.errno not in _ACL_MISSING:
            raise
    if acl is not None:
        os.setxattr(descriptor, _ACL_ATTRIBUTE, acl)
        return
    try:
        os.removexattr(descriptor, _ACL_ATTRIBUTE)
    except OSError as error:
        if error.errno not in _ACL_MISSING:
            raise


def _commit(target: FileTarget, draft: str, folder: int) -> None:
    name = target.path.name
    status = _lstat(name, folder)
    if status is not None and not _is_unchanged(target.status, status):
        _refuse_changed(target)
    _refuse_irreplaceable(replace(target, status=status))
    if status is None:
        _link_exclusively(target, draft, folder)
    else:
        os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
    _fsync_folder(folder)


def _link_exclusively(target: FileTarget, draft: str, folder: int) -> None:
    """Give a draft its name; fails, unlike a rename, if the name exists."""
    name = target.path.name
    try:
        os.link(draft, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        _refuse_changed(target)
    except OSError as error:
        if error.errno not in _LINK_UNSUPPORTED:
            raise
        if _lstat(name, folder) is not None:
            _refuse_changed(target)
        os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
    else:
        os.unlink(draft, dir_fd=folder)


def _refuse_changed(target: FileTarget) -> NoReturn:
    raise Refused(f"{target.name} was created or changed meanwhile and stays as it is; repeat the command.")


def _fsync_folder(folder: int) -> None:
    """Sync the folder, so that the new name survives a power failure."""
    try:
        descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    except PermissionError:
        return  # a folder that cannot be read cannot be synced
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _SYNC_UNSUPPORTED:
            raise
    finally:
        os.close(descriptor)


# Streams


class _Stream:
    """Pipe, device or inherited descriptor; a stalled reader never blocks the event loop."""

    def __init__(self, target: FileTarget, descriptor: int) -> None:
        self._target = target
        self._descriptor = descriptor
        self._ready = select.poll()
        self._ready.register(descriptor, select.POLLOUT)

    async def write(self, text: str) -> None:
        data = memoryview(text.encode("utf-8"))
        try:
            while data:
                data = data[await self._write_part(data) :]
        except BrokenPipeError:
            # For stdout a reader that closes early is no failure.
            if self._target.is_stdout:
                raise
            raise Unavailable(f"{self._target.name} could not be written: its reader went away.") from None
        except OSError as error:
            raise _write_error(self._target.name, error) from None

    async def _write_part(self, data: memoryview) -> int:
        """Write at most PIPE_BUF bytes, which never blocks once the descriptor is ready."""
        await self._wait_writable()
        try:
            return os.write(self._descriptor, data[: select.PIPE_BUF])
        except BlockingIOError:
            await asyncio.sleep(_POLL_SECONDS)
            return 0

    async def _wait_writable(self) -> None:
        # epoll rejects some descriptors, but those are always ready.
        if self._ready.poll(0):
            return
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        loop.add_writer(self._descriptor, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_writer(self._descriptor)


async def _open_stream(target: FileTarget, waiting: Callable[[], None] | None) -> int:
    if target.descriptor is not None:
        with _as_unavailable(target.name):
            return os.dup(target.descriptor)
    while True:
        descriptor = _open_nonblocking(target)
        if descriptor is not None:
            return descriptor
        if waiting is not None:
            waiting()
            waiting = None
        await asyncio.sleep(_POLL_SECONDS)


def _open_nonblocking(target: FileTarget) -> int | None:
    """Open a pipe or a device for writing; None for a pipe that has no reader yet."""
    assert target.status is not None
    kind = stat.S_IFMT(target.status.st_mode)
    try:
        descriptor = os.open(target.path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO and stat.S_ISFIFO(kind):
            return None
        raise _write_error(target.name, error) from None
    if stat.S_IFMT(os.fstat(descriptor).st_mode) != kind:
        os.close(descriptor)
        _refuse_changed(target)
    return descriptor


# File status and errors


@contextlib.contextmanager
def _as_unavailable(name: str) -> Iterator[None]:
    """Turn an OSError into Unavailable."""
    try:
        yield
    except OSError as error:
        raise _write_error(name, error) from None


def _write_error(name: str, error: OSError) -> Unavailable:
    return Unavailable(f"{name} could not be written: {error.strerror or error}.")


def _stat(path: str | Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _lstat(name: str, folder: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino


def _is_same_file(one: os.stat_result | None, other: os.stat_result) -> bool:
    return one is not None and _identity(one) == _identity(other)


def _is_unchanged(before: os.stat_result | None, now: os.stat_result) -> bool:
    return (
        before is not None
        and _is_same_file(before, now)
        and (before.st_size, before.st_mtime_ns) == (now.st_size, now.st_mtime_ns)
    )
