"""Writing of documents to disk: exports, settings, indexes, reports, drafts.

A document appears under its name whole or not at all: it is written to a temporary file with an unguessable name beside
it, and renamed. An existing file is replaced only with the user's consent, a database or one of its side files never.
A pipe or a device is written into, never replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import secrets
import select
import stat
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NoReturn, Protocol

from vestige_tui.core.drafts import draft_name
from vestige_tui.core.errors import Refused, Unavailable
from vestige_tui.core.file_targets import (
    FileTarget,
    as_unavailable,
    is_unchanged,
    lstat,
    refuse_folder,
    refuse_irreplaceable,
    refuse_stream,
    write_error,
)

_LINK_UNSUPPORTED = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_SYNC_UNSUPPORTED = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}
_CHOWN_DENIED = {errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}
_ACL_MISSING = {errno.ENODATA, errno.ENOENT, errno.ENOTSUP, errno.EOPNOTSUPP}
_ACL_ATTRIBUTE = "system.posix_acl_access"
_PRIVATE_MODE = 0o600
"""Permissions of a new document: read and written by its owner alone."""
_POLL_SECONDS = 0.01
_BUFFER_BYTES = 1 << 16
# O_PATH opens a folder that may be searched but not read.
_DIRECTORY_FLAGS = os.O_DIRECTORY | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)


class Sink(Protocol):
    """Receiver of the text of a document."""

    async def write(self, text: str) -> None:
        """Add text. Raises Unavailable if writing fails."""


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
    refuse_stream(target)
    with _replacing(target, overwrite) as draft:
        draft.add(text)


@contextlib.contextmanager
def drafted(target: FileTarget) -> Iterator[Path]:
    """Yield the path of an empty private file that becomes the document once the block has ended without error.

    Another program may write it, such as SQLite, and close it. Raises Refused if the document exists, at the beginning
    or at the end; Unavailable on system errors. Drafts that dead processes have left in the folder are removed.
    """
    refuse_stream(target)
    if target.occupied:
        raise Refused(f"{target.name} already exists; nothing was written.")
    with as_unavailable(target.name):
        folder = os.open(target.path.parent, _DIRECTORY_FLAGS)
    try:
        with draft_name(target.path.parent, folder) as name:
            draft = target.path.parent / name
            os.close(_create(target, name, folder))
            yield draft
            with as_unavailable(target.name):
                _fsync_file(draft)
                _commit(target, name, folder)
    finally:
        os.close(folder)


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
        with as_unavailable(self._target.name):
            while data:
                data = data[os.write(self._descriptor, data) :]


@contextlib.contextmanager
def _replacing(target: FileTarget, overwrite: bool) -> Iterator[_DraftFile]:
    if target.occupied and not overwrite:
        raise Refused(f"{target.name} already exists; nothing was written.")
    draft = f".vestige-{secrets.token_hex(16)}"
    with as_unavailable(target.name):
        folder = os.open(target.path.parent, _DIRECTORY_FLAGS)
    try:
        descriptor = _create(target, draft, folder)
        try:
            sink = _DraftFile(target, descriptor)
            yield sink
            sink.flush()
            with as_unavailable(target.name):
                # Its permissions may have changed since it was examined.
                status = lstat(target.path.name, folder)
                _copy_permissions(descriptor, replace(target, status=status if target.status is not None else None))
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        with as_unavailable(target.name):
            _commit(target, draft, folder)
    finally:
        # After a commit there is nothing left to delete; an earlier error must not be masked.
        with contextlib.suppress(OSError):
            os.unlink(draft, dir_fd=folder)
        os.close(folder)


def _create(target: FileTarget, draft: str, folder: int) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with as_unavailable(target.name):
        try:
            return os.open(draft, flags, _PRIVATE_MODE, dir_fd=folder)
        except PermissionError:
            refuse_folder(target)


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
    status = lstat(name, folder)
    if status is not None and not is_unchanged(target.status, status):
        _refuse_changed(target)
    refuse_irreplaceable(replace(target, status=status))
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
        if lstat(name, folder) is not None:
            _refuse_changed(target)
        os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
    else:
        os.unlink(draft, dir_fd=folder)


def _refuse_changed(target: FileTarget) -> NoReturn:
    raise Refused(f"{target.name} was created or changed meanwhile and was not overwritten; run the command again.")


def _fsync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
            raise Unavailable(
                f"{self._target.name} could not be written: the program that reads it has ended."
            ) from None
        except OSError as error:
            raise write_error(self._target.name, error) from None

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
        with as_unavailable(target.name):
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
        raise write_error(target.name, error) from None
    if stat.S_IFMT(os.fstat(descriptor).st_mode) != kind:
        os.close(descriptor)
        _refuse_changed(target)
    return descriptor
