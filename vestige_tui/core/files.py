"""The one door through which a document reaches the disk: an export, the settings, an index, a report, a draft.

A document appears under its name whole or not at all: it is written beside it under a name that nobody can guess, and
put in place by one step. A file that is there is replaced only where a person agreed; databases, and what belongs to
them, never. A pipe or a device is written into and stays what it is.
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
"""The device and the inode of a file, by which it is known under each of its names."""

SIDES = ("-wal", "-shm", "-journal")
"""What SQLite appends to the name of a database for the files beside it."""

_MAGIC = {
    b"SQLite format 3\0": "is a SQLite database",
    b"\x37\x7f\x06\x82": "is the write-ahead log of a SQLite database",
    b"\x37\x7f\x06\x83": "is the write-ahead log of a SQLite database",
    b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7": "is the journal of a SQLite database",
}
_HEAD_BYTES = 16
_LEAST_PAGE_BYTES = 512
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_UNSYNCED = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}
_NOT_OURS_TO_GIVE = {errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}
_NO_LIST = {errno.ENODATA, errno.ENOENT, errno.ENOTSUP, errno.EOPNOTSUPP}
_ACL = "system.posix_acl_access"
_PRIVATE = 0o600
_STDOUT = 1
_MOST_LINKS = 40
_WAIT_SECONDS = 0.01
_PART_BYTES = 1 << 16
_FOLDER = os.O_DIRECTORY | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)


@dataclass(frozen=True, slots=True)
class Target:
    """What a name leads to, looked at before anything is written there."""

    name: str
    """The name as the person wrote it, for sentences."""
    path: Path
    """Where it leads, every link followed."""
    found: os.stat_result | None
    """What is there."""
    held: frozenset[Identity] = frozenset()
    """The files of the store that this process has open."""
    descriptor: int | None = None
    """The open descriptor that the name stands for, as ``/dev/stdout`` does."""
    is_stdout: bool = False

    @property
    def is_stream(self) -> bool:
        """Is it written into, and never replaced?"""
        return self.descriptor is not None or (self.found is not None and not stat.S_ISREG(self.found.st_mode))

    @property
    def occupied(self) -> bool:
        """Is a file there that a person must agree to lose? An empty one, too: an empty database is nothing else."""
        return self.found is not None and not self.is_stream


class Sink(Protocol):
    """Where the text of a document goes."""

    async def write(self, text: str) -> None:
        """Add text. Raises Unavailable where that fails."""


# Looking


def examine(name: str | Path, *, store: Path | None = None) -> Target:
    """Look at what ``name`` leads to, and write nothing; ``store`` is the SQLite file that this process has open.

    Raises Refused where writing there would destroy something that nobody may replace, Unavailable where it would fail.
    """
    shown = str(name)
    given = os.path.expanduser(shown)
    with _told(shown):
        if (descriptor := _descriptor(given)) is not None:
            return _examine_descriptor(shown, descriptor, store, is_stdout=descriptor == _STDOUT)
        found = _stat(given)
        _refuse_kind(shown, found)
        held = _held(store)
        if found is not None and not stat.S_ISREG(found.st_mode):
            return Target(shown, Path(given), found, held)
        target = Target(shown, Path(os.path.realpath(given)), found, held)
        _check(target)
        # A server keeps some of its folders behind links.
        _refuse_server(shown, Path(os.path.abspath(given)).parent)
        _refuse_unwritable(target)
    return target


def examine_document(path: Path) -> Target:
    """Look at where a document of our own lies or is to lie. Raises like ``examine``, and Refused for a pipe."""
    target = examine(path)
    _refuse_stream(target)
    return target


def examine_stdout(*, store: Path | None = None) -> Target:
    """Look at where stdout leads. Raises like ``examine``."""
    return _examine_descriptor("The answer", sys.stdout.fileno(), store, is_stdout=True)


def _examine_descriptor(name: str, descriptor: int, store: Path | None, *, is_stdout: bool) -> Target:
    with _told(name):
        found = os.fstat(descriptor)
        usual = stat.S_ISREG(found.st_mode) or stat.S_ISFIFO(found.st_mode) or stat.S_ISCHR(found.st_mode)
        # Other descriptors than the caller's may be the program's own, such as those that its event loop waits with.
        if not (usual or is_stdout):
            raise Refused(f"{name} is no file, pipe or device; name a file.")
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise Unavailable(f"{name} could not be written: it is open for reading only.")
        path = Path(os.path.realpath(f"/dev/fd/{descriptor}"))
        target = Target(name, path, found, _held(store), descriptor, is_stdout)
        # One that was deleted meanwhile has no name under which anybody would miss it.
        if stat.S_ISREG(found.st_mode) and _same(_stat(target.path), found):
            _refuse_database(target)
    return target


def _descriptor(given: str) -> int | None:
    """The descriptor of this process that a name stands for, as ``/dev/stdout`` and ``/dev/fd/3`` do."""
    own = {os.path.realpath(folder) for folder in ("/dev/fd", "/proc/self/fd", "/proc/thread-self/fd")}
    path = os.path.abspath(given) if not os.path.dirname(given) else given
    for _ in range(_MOST_LINKS):
        folder, name = os.path.split(path)
        if name.isdecimal() and os.path.realpath(folder) in own:
            return int(name)
        if not os.path.islink(path):
            return None
        path = os.path.join(folder, os.readlink(path))
    return None


def _held(store: Path | None) -> frozenset[Identity]:
    """The files of a SQLite store."""
    if store is None:
        return frozenset()
    every = (_stat(f"{os.path.realpath(store)}{side}") for side in ("", *SIDES))
    return frozenset(_identity(each) for each in every if each is not None)


def _refuse_kind(name: str, found: os.stat_result | None) -> None:
    """Raises Refused for what is neither a file nor something to write into."""
    if not name:
        raise Refused("The name of the file is empty; name a file.")
    if stat.S_ISDIR(found.st_mode) if found is not None else name.endswith("/"):
        raise Refused(f"{name} is a directory; name a file in it.")
    if found is not None and stat.S_ISSOCK(found.st_mode):
        raise Refused(f"{name} is a socket; name a file.")
    if found is not None and stat.S_ISBLK(found.st_mode):
        raise Refused(f"{name} is a disk, which is never overwritten; name a file.")


def _refuse_stream(target: Target) -> None:
    if target.is_stream:
        raise Refused(f"{target.name} is not a regular file; nothing was written to it.")


def _check(target: Target) -> None:
    """Raises Refused for a file that is never replaced, whoever agreed to it."""
    if target.found is not None and not _same(_stat(target.path), target.found):
        raise Unavailable(f"{target.name} leads to a file that has no name any more; name a file.")
    _refuse_database(target)
    _refuse_server(target.name, target.path.parent)


def _refuse_database(target: Target) -> None:
    """Raises Refused for a SQLite file, for what lies beside one, and for what may be an encrypted one."""
    path, found = target.path, target.found
    if found is not None and _identity(found) in target.held:
        _refuse(target, "belongs to the store that is being read")
    for side in SIDES:
        base = path.with_name(path.name[: -len(side)]) if path.name.casefold().endswith(side) else path
        if base.name and base != path and _is_database(base, target.held):
            _refuse(target, f"belongs to the SQLite database {base.name}")
        if os.path.lexists(f"{path}{side}"):
            _refuse(target, f"is a SQLite database with {path.name}{side} beside it")
    if found is not None and found.st_size and (reason := _database(path, found)):
        _refuse(target, reason)


def _refuse(target: Target, reason: str) -> NoReturn:
    raise Refused(f"{target.name} {reason} and is never overwritten; name another file.")


def _is_database(path: Path, held: frozenset[Identity]) -> bool:
    """Is this a database, be it one that nothing was written to so far?"""
    found = _stat(path)
    if found is None or not stat.S_ISREG(found.st_mode):
        return False
    if not found.st_size or _identity(found) in held:
        return True
    return _database(Path(os.path.realpath(path)), found) is not None


def _database(path: Path, found: os.stat_result) -> str | None:
    """What the first bytes of a file tell of it, where that is a database.

    Not for a file that SQLite has open in this process: the locks of SQLite end where anybody in it closes the file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except PermissionError:
        raise Unavailable(f"{path} cannot be read, and so may be a database; name another file.") from None
    try:
        head = os.read(descriptor, _HEAD_BYTES)
    finally:
        os.close(descriptor)
    for magic, reason in _MAGIC.items():
        if head.startswith(magic):
            return reason
    # All bytes of an encrypted database are random, from the first on; and it has whole pages.
    if found.st_size % _LEAST_PAGE_BYTES == 0 and head.strip(b"\0") and not _is_text(head):
        return "may be an encrypted database"
    return None


def _is_text(head: bytes) -> bool:
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return all(character >= " " or character in "\t\n\f\r\x1b" for character in text)


def _refuse_server(name: str, parent: Path) -> None:
    """Raises Refused for what lies in the data directory of a PostgreSQL server, or beside an embedded one."""
    for folder in (parent, *parent.parents):
        if os.path.isfile(folder / "PG_VERSION"):
            raise Refused(f"{name} lies in the data of a PostgreSQL server ({folder}); name a file elsewhere.")
    if os.path.isfile(parent / "vestige.lock") and any(os.path.isdir(parent / each) for each in ("data", "data.new")):
        raise Refused(f"{name} lies in the folder of an embedded PostgreSQL; name a file elsewhere.")


def _refuse_unwritable(target: Target) -> None:
    """Raises Unavailable where no draft could be made, before any work is done for it."""
    parent = target.path.parent
    if not os.path.isdir(parent):
        raise Unavailable(f"{target.name} could not be written: there is no directory {parent}.")
    if os.statvfs(parent).f_flag & os.ST_RDONLY:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))
    if target.found is not None and not _may(target.path, os.W_OK):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))
    if not _may(parent, os.W_OK | os.X_OK):
        _refuse_folder(target)


def _refuse_folder(target: Target) -> NoReturn:
    raise Unavailable(
        f"{target.name} could not be written: nothing may be created in {target.path.parent}. "
        "Name a file in another directory."
    )


def _may(path: Path, right: int) -> bool:
    return os.access(path, right, effective_ids=os.access in os.supports_effective_ids)


# Writing


@contextlib.asynccontextmanager
async def written(
    target: Target, *, overwrite: bool = False, waiting: Callable[[], None] | None = None
) -> AsyncIterator[Sink]:
    """Where to write a document, or a stream of lines; a document is in place once the block has ended without a fault.

    Raises Refused where a file is there and ``overwrite`` does not allow its loss, or where another file
    came meanwhile; Unavailable where the system refuses. ``waiting`` is told where a pipe has no reader yet.
    """
    if not target.is_stream:
        with _draft(target, overwrite) as draft:
            yield draft
        return
    descriptor = await _open_stream(target, waiting)
    try:
        yield _Stream(target, descriptor)
    finally:
        os.close(descriptor)


def write(target: Target, text: str, *, overwrite: bool = False) -> None:
    """Put a whole document in place. Raises like ``written``, and Refused for what is no regular file."""
    _refuse_stream(target)
    with _draft(target, overwrite) as draft:
        draft.add(text)


class _Draft:
    """The file that becomes the document."""

    def __init__(self, target: Target, descriptor: int) -> None:
        self._target = target
        self._descriptor = descriptor
        self._waiting = bytearray()

    async def write(self, text: str) -> None:
        self.add(text)

    def add(self, text: str) -> None:
        self._waiting += text.encode("utf-8")
        if len(self._waiting) >= _PART_BYTES:
            self.flush()

    def flush(self) -> None:
        data, self._waiting = memoryview(self._waiting), bytearray()
        with _told(self._target.name):
            while data:
                data = data[os.write(self._descriptor, data) :]


@contextlib.contextmanager
def _draft(target: Target, overwrite: bool) -> Iterator[_Draft]:
    if target.occupied and not overwrite:
        raise Refused(f"{target.name} exists; nothing was written.")
    draft = f".vestige-{secrets.token_hex(16)}"
    with _told(target.name):
        folder = os.open(target.path.parent, _FOLDER)
    try:
        descriptor = _create(target, draft, folder)
        try:
            sink = _Draft(target, descriptor)
            yield sink
            sink.flush()
            with _told(target.name):
                # Somebody may have closed the file to others since it was looked at.
                now = _lstat(target.path.name, folder)
                _keep_rights(descriptor, replace(target, found=now if target.found is not None else None))
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        with _told(target.name):
            _put_in_place(target, draft, folder)
    finally:
        # It is gone where it was put in place; and what went wrong before is what there is to say.
        with contextlib.suppress(OSError):
            os.unlink(draft, dir_fd=folder)
        os.close(folder)


def _create(target: Target, draft: str, folder: int) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with _told(target.name):
        try:
            return os.open(draft, flags, _PRIVATE, dir_fd=folder)
        except PermissionError:
            _refuse_folder(target)


def _keep_rights(descriptor: int, target: Target) -> None:
    """Give a draft the rights of the file that it replaces, as far as we may; a new document is its owner's alone."""
    mode, same_group = _PRIVATE, True
    if (before := target.found) is not None:
        mode = stat.S_IMODE(before.st_mode)
        own = os.fstat(descriptor)
        same_group = before.st_gid == own.st_gid or _give(descriptor, -1, before.st_gid)
        if not same_group:
            mode &= ~(stat.S_IRWXG | stat.S_ISGID)  # they were another group's
        if before.st_uid != own.st_uid and not _give(descriptor, before.st_uid, -1):
            mode &= ~stat.S_ISUID
    if sys.platform == "linux":
        _keep_access_list(descriptor, target.path if before is not None and same_group else None)
    if stat.S_IMODE(os.fstat(descriptor).st_mode) != mode:
        with contextlib.suppress(PermissionError):  # a file system such as FAT has one mode for all
            os.fchmod(descriptor, mode)


def _give(descriptor: int, user: int, group: int) -> bool:
    try:
        os.fchown(descriptor, user, group)
    except OSError as error:
        if error.errno not in _NOT_OURS_TO_GIVE:
            raise
        return False
    return True


def _keep_access_list(descriptor: int, path: Path | None) -> None:
    """Give a draft the access control list of the file that it replaces: none where that has none, or is none.

    Without it the group of a file would get all that the list gives to anybody; and the folder may have given the draft
    a list of its own.
    """
    rights = None
    try:
        rights = os.getxattr(path, _ACL) if path is not None else None
    except OSError as error:
        if error.errno not in _NO_LIST:
            raise
    if rights is not None:
        os.setxattr(descriptor, _ACL, rights)
        return
    try:
        os.removexattr(descriptor, _ACL)
    except OSError as error:
        if error.errno not in _NO_LIST:
            raise


def _put_in_place(target: Target, draft: str, folder: int) -> None:
    name = target.path.name
    now = _lstat(name, folder)
    if now is not None and not _unchanged(target.found, now):
        _refuse_changed(target)
    _check(replace(target, found=now))
    if now is None:
        _link(target, draft, folder)
    else:
        os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
    _sync(folder)


def _link(target: Target, draft: str, folder: int) -> None:
    """Give a draft its name, unlike a rename only where nobody has it."""
    name = target.path.name
    try:
        os.link(draft, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        _refuse_changed(target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if _lstat(name, folder) is not None:
            _refuse_changed(target)
        os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
    else:
        os.unlink(draft, dir_fd=folder)


def _refuse_changed(target: Target) -> NoReturn:
    raise Refused(f"{target.name} was created or changed meanwhile and stays as it is; repeat the command.")


def _sync(folder: int) -> None:
    """Let the new name outlive a power cut."""
    try:
        descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    except PermissionError:
        return  # it may be written and not be read, and so not be synced
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _UNSYNCED:
            raise
    finally:
        os.close(descriptor)


# Streams


class _Stream:
    """A pipe, a device, or what is open already; a reader that stands still stops nobody from leaving."""

    def __init__(self, target: Target, descriptor: int) -> None:
        self._target = target
        self._descriptor = descriptor
        self._ready = select.poll()
        self._ready.register(descriptor, select.POLLOUT)

    async def write(self, text: str) -> None:
        data = memoryview(text.encode("utf-8"))
        try:
            while data:
                data = data[await self._part(data) :]
        except BrokenPipeError:
            # Of stdout it is no failure that its reader has seen enough.
            if self._target.is_stdout:
                raise
            raise Unavailable(f"{self._target.name} could not be written: its reader went away.") from None
        except OSError as error:
            raise _unwritten(self._target.name, error) from None

    async def _part(self, data: memoryview) -> int:
        """Write what surely finds room, and so never waits inside the system."""
        await self._room()
        try:
            return os.write(self._descriptor, data[: select.PIPE_BUF])
        except BlockingIOError:
            await asyncio.sleep(_WAIT_SECONDS)
            return 0

    async def _room(self) -> None:
        # Not everything that is written to can be waited for; but that is always ready.
        if self._ready.poll(0):
            return
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        loop.add_writer(self._descriptor, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_writer(self._descriptor)


async def _open_stream(target: Target, waiting: Callable[[], None] | None) -> int:
    if target.descriptor is not None:
        with _told(target.name):
            return os.dup(target.descriptor)
    while True:
        descriptor = _open_at_once(target)
        if descriptor is not None:
            return descriptor
        if waiting is not None:
            waiting()
            waiting = None
        await asyncio.sleep(_WAIT_SECONDS)


def _open_at_once(target: Target) -> int | None:
    """A pipe or a device, open for writing; None for a pipe that has no reader yet."""
    assert target.found is not None
    kind = stat.S_IFMT(target.found.st_mode)
    try:
        descriptor = os.open(target.path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO and stat.S_ISFIFO(kind):
            return None
        raise _unwritten(target.name, error) from None
    if stat.S_IFMT(os.fstat(descriptor).st_mode) != kind:
        os.close(descriptor)
        _refuse_changed(target)
    return descriptor


# Files and their faults


@contextlib.contextmanager
def _told(name: str) -> Iterator[None]:
    """Makes a sentence of what the system refuses."""
    try:
        yield
    except OSError as error:
        raise _unwritten(name, error) from None


def _unwritten(name: str, error: OSError) -> Unavailable:
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


def _identity(found: os.stat_result) -> Identity:
    return found.st_dev, found.st_ino


def _same(one: os.stat_result | None, other: os.stat_result) -> bool:
    return one is not None and _identity(one) == _identity(other)


def _unchanged(before: os.stat_result | None, now: os.stat_result) -> bool:
    return (
        before is not None
        and _same(before, now)
        and (before.st_size, before.st_mtime_ns) == (now.st_size, now.st_mtime_ns)
    )
