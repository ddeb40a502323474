"""The door of every document: what it never replaces, what it keeps, and that nothing is ever half there."""

from __future__ import annotations

import asyncio
import errno
import os
import pty
import resource
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from vestige_tui.core import file_targets
from vestige_tui.core.errors import Refused, Unavailable
from vestige_tui.core.file_targets import FileTarget, examine
from vestige_tui.core.files import write, written

NOBODY = 65534
ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not ROOT, reason="only root may do this")


def database(path: Path, *, wal: bool = False) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        if wal:
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (x)")
        connection.commit()
    return path


def put(path: Path, text: str = "new\n", *, overwrite: bool = True) -> None:
    write(examine(path), text, overwrite=overwrite)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights of root, which no mode of a file holds up."""
    if not ROOT:
        yield
        return
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.fixture
def theirs() -> Iterator[Path]:
    """A folder that a user without rights owns, and reaches: those of pytest are private."""
    with tempfile.TemporaryDirectory() as private:
        os.chmod(private, 0o755)
        folder = Path(private) / "theirs"
        folder.mkdir()
        if ROOT:
            os.chown(folder, NOBODY, NOBODY)
        yield folder
        folder.chmod(0o755)


def give_list(path: Path, kind: str, entries: Iterable[tuple[int, int, int]]) -> bytes:
    """Give a file an access list, or a folder the one of its new files; each entry is who (kind, id) may do what."""
    rights = b"\2\0\0\0" + b"".join(
        tag.to_bytes(2, "little") + right.to_bytes(2, "little") + who.to_bytes(4, "little")
        for tag, right, who in entries
    )
    try:
        os.setxattr(path, f"system.posix_acl_{kind}", rights)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        pytest.skip("this file system has no access lists")
    return rights


# What is replaced


def test_a_new_file_is_its_owners_alone(tmp_path: Path) -> None:
    put(tmp_path / "new")
    assert ((tmp_path / "new").read_text(), mode(tmp_path / "new"), names(tmp_path)) == ("new\n", 0o600, ["new"])


@pytest.mark.parametrize("rights", [0o600, 0o644, 0o660, 0o604])
def test_a_file_is_replaced_by_agreement_alone_and_keeps_its_rights(tmp_path: Path, rights: int) -> None:
    path = tmp_path / "old"
    path.write_text("old\n")
    path.chmod(rights)
    with pytest.raises(Refused, match=r"old already exists; nothing was written\."):
        put(path, overwrite=False)
    assert path.read_text() == "old\n"
    put(path)
    assert (path.read_text(), mode(path), names(tmp_path)) == ("new\n", rights, ["old"])


def test_an_empty_file_is_replaced_by_agreement_alone_and_keeps_its_rights(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    path.chmod(0o640)
    assert examine(path).occupied
    with pytest.raises(Refused, match="empty already exists"):
        put(path, overwrite=False)
    put(path)
    assert (path.read_text(), mode(path)) == ("new\n", 0o640)


@needs_root
def test_owner_and_group_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "old"
    path.write_text("old\n")
    os.chown(path, NOBODY, NOBODY)
    put(path)
    assert (path.stat().st_uid, path.stat().st_gid) == (NOBODY, NOBODY)


@needs_root
def test_a_group_that_cannot_be_kept_leaves_nobody_elses_group_its_rights(theirs: Path) -> None:
    path = theirs / "old"
    path.write_text("old\n")
    os.chown(path, NOBODY, 12)
    path.chmod(0o660)
    with as_nobody():
        put(path)
    assert (path.read_text(), path.stat().st_gid, mode(path)) == ("new\n", NOBODY, 0o600)


@pytest.mark.skipif(sys.platform != "linux", reason="access lists as Linux has them")
def test_the_list_of_who_may_read_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "old"
    path.write_text("old\n")
    # Version 2; owner rw-, a user by name r--, group ---, mask r--, others ---.
    entries = ((1, 6, 0xFFFFFFFF), (2, 4, os.getuid()), (4, 0, 0xFFFFFFFF), (16, 4, 0xFFFFFFFF), (32, 0, 0xFFFFFFFF))
    rights = give_list(path, "access", entries)
    put(path)
    assert os.getxattr(path, "system.posix_acl_access") == rights


def test_a_list_that_the_folder_gives_to_new_files_opens_no_old_one(tmp_path: Path) -> None:
    path = tmp_path / "old"
    path.write_text("old\n")
    path.chmod(0o640)
    # Version 2; what new files get: owner rwx, a user by name rwx, group r-x, mask rwx, others ---.
    entries = ((1, 7, 0xFFFFFFFF), (2, 7, 1234), (4, 5, 0xFFFFFFFF), (16, 7, 0xFFFFFFFF), (32, 0, 0xFFFFFFFF))
    give_list(tmp_path, "default", entries)
    put(path)
    put(tmp_path / "new")
    for each, expected in ((path, 0o640), (tmp_path / "new", 0o600)):
        assert mode(each) == expected
        assert "system.posix_acl_access" not in os.listxattr(each)


def test_a_file_that_was_closed_to_others_meanwhile_stays_closed(tmp_path: Path) -> None:
    path = tmp_path / "old"
    path.write_text("old\n")
    path.chmod(0o644)
    target = examine(path)
    path.chmod(0o600)
    write(target, "new\n", overwrite=True)
    assert (path.read_text(), mode(path)) == ("new\n", 0o600)


def test_a_descriptor_of_our_own_is_no_file(tmp_path: Path) -> None:
    one, other = socket.socketpair()
    with closing(one), closing(other), pytest.raises(Refused, match="is not a file, pipe or device"):
        examine(f"/dev/fd/{one.fileno()}")


# Links


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    real, link, chain = tmp_path / "real", tmp_path / "link", tmp_path / "below" / "chain"
    chain.parent.mkdir()
    real.write_text("old\n")
    link.symlink_to("real")
    chain.symlink_to("../link")
    with pytest.raises(Refused):
        put(chain, overwrite=False)
    put(chain)
    assert (real.read_text(), os.readlink(link), os.readlink(chain)) == ("new\n", "real", "../link")
    assert names(chain.parent) == ["chain"]


def test_a_dangling_link_creates_its_target(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("real")
    put(link, overwrite=False)
    assert (link.is_symlink(), (tmp_path / "real").read_text()) == (True, "new\n")


def test_a_loop_of_links_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    with pytest.raises(Unavailable, match=r"one could not be written: Too many levels of symbolic links\."):
        examine(tmp_path / "one")


# What is never replaced


@pytest.mark.parametrize("way", ["itself", "link", "hard link", "with log", "encrypted", "its log", "its journal"])
def test_a_database_is_never_replaced(tmp_path: Path, way: str) -> None:
    path = tmp_path / "s.db"
    if way == "encrypted":
        path.write_bytes(bytes(range(128, 256)) * 32)
    elif way == "its log":
        path.write_bytes(b"\x37\x7f\x06\x82" + bytes(28))
    elif way == "its journal":
        path.write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + bytes(28))
    else:
        database(path)
    name = path
    if way == "link":
        name = tmp_path / "link"
        name.symlink_to(path)
    elif way == "hard link":
        name = tmp_path / "other"
        os.link(path, name)
    elif way == "with log":
        path.write_bytes(b"")
        (tmp_path / "s.db-wal").write_bytes(b"log")
    before = path.read_bytes()
    with pytest.raises(Refused, match=r" is never overwritten; name another file\."):
        put(name)
    assert path.read_bytes() == before


@pytest.mark.parametrize("side", file_targets.SIDES)
def test_what_lies_beside_a_database_is_never_written(tmp_path: Path, side: str) -> None:
    path = database(tmp_path / "s.db")
    for exists in (False, True):
        with pytest.raises(Refused, match=rf"s\.db{side} belongs to the SQLite database s\.db"):
            put(tmp_path / f"s.db{side}")
        (tmp_path / f"s.db{side}").write_text("theirs")
        assert (tmp_path / f"s.db{side}").exists(), exists
    with pytest.raises(Refused, match=rf"is a SQLite database with s\.db{side} beside it"):
        put(path)
    path.unlink()
    with pytest.raises(Refused, match="beside it"):
        put(path)
    assert not path.exists()


@pytest.mark.parametrize("side", file_targets.SIDES)
def test_another_file_may_end_like_one_of_a_database(tmp_path: Path, side: str) -> None:
    (tmp_path / "text").write_text("no database")
    (tmp_path / "notes").symlink_to("text")
    put(tmp_path / f"notes{side}")
    assert (tmp_path / f"notes{side}").read_text() == "new\n"


def test_an_open_store_is_never_replaced_nor_opened(tmp_path: Path) -> None:
    path = database(tmp_path / "s.db", wal=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("INSERT INTO t VALUES (1)")
        for side in ("", "-wal", "-shm"):
            os.link(f"{path}{side}", tmp_path / f"other{side or '-db'}")
        connection.execute("BEGIN IMMEDIATE")
        for name in ("s.db", "s.db-wal", "s.db-shm", "other-db", "other-wal", "other-shm"):
            with pytest.raises(Refused, match="belongs to the store that is being read"):
                examine(tmp_path / name, store=path)
        # Had one of them been opened and closed, the system would have dropped the lock of this process.
        attempt = f"import sqlite3; sqlite3.connect({str(path)!r}, timeout=0).execute('BEGIN IMMEDIATE')"
        tried = subprocess.run([sys.executable, "-c", attempt], capture_output=True, text=True, check=False)
        assert "database is locked" in tried.stderr
        connection.execute("ROLLBACK")


@pytest.mark.parametrize("text", ["x" * 512, "ä" * 2048, "\t{}\r\n" * 512, "\0" * 1024])
def test_text_in_whole_pages_is_no_encrypted_database(tmp_path: Path, text: str) -> None:
    (tmp_path / "old").write_bytes(text.encode())
    put(tmp_path / "old")
    assert (tmp_path / "old").read_text() == "new\n"


@pytest.mark.parametrize("name", ["data/base/5/1259", "data/postgresql.conf", "data/new", "vestige.lock", "new"])
def test_the_files_of_a_server_are_never_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "data" / "base" / "5").mkdir(parents=True)
    for each in ("data/PG_VERSION", "data/base/5/1259", "data/postgresql.conf", "vestige.lock"):
        (tmp_path / each).write_text("18\n")
    with pytest.raises(Refused, match="name a file elsewhere"):
        put(tmp_path / name)
    assert not (tmp_path / name).exists() or (tmp_path / name).read_text() == "18\n"


def test_a_folder_that_a_server_keeps_elsewhere_is_its_own_too(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("18\n")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "data" / "pg_wal").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Refused, match="name a file elsewhere"):
        put(tmp_path / "data" / "pg_wal" / "new")
    assert names(tmp_path / "elsewhere") == []


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as line:
        line.bind(str(tmp_path / "socket"))
        with pytest.raises(Refused, match="socket is a socket"):
            put(tmp_path / "socket")
    for name, sentence in ((str(tmp_path), "is a directory"), (f"{tmp_path}/new/", "is a directory"), ("", "is empty")):
        with pytest.raises(Refused, match=sentence):
            examine(name)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Refused, match="pipe is not a regular file"):
        put(tmp_path / "pipe")


@needs_root
def test_a_disk_is_refused(tmp_path: Path) -> None:
    try:
        os.mknod(tmp_path / "disk", stat.S_IFBLK | 0o600, os.makedev(7, 250))
    except PermissionError:
        pytest.skip("no device can be made here")
    with pytest.raises(Refused, match="disk is a disk"):
        examine(tmp_path / "disk")


# Faults


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("no/such/file", "could not be written: there is no directory .*/no/such"),
        ("file/below", "could not be written: Not a directory"),
        ("n" * 256, "could not be written: File name too long"),
    ],
)
def test_a_name_that_leads_nowhere_is_one_sentence(tmp_path: Path, name: str, sentence: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match=sentence):
        examine(tmp_path / name)
    assert names(tmp_path) == ["file"]


def test_the_longest_name_finds_room_for_its_draft(tmp_path: Path) -> None:
    put(tmp_path / ("n" * 255))
    assert (tmp_path / ("n" * 255)).read_text() == "new\n"


@pytest.mark.parametrize("name", ["old", "new"])
def test_a_folder_that_may_not_be_written_is_one_sentence(theirs: Path, name: str) -> None:
    (theirs / "old").write_text("old\n")
    (theirs / "old").chmod(0o666)
    theirs.chmod(0o555)
    try:
        with (
            as_nobody(),
            pytest.raises(Unavailable, match=r"no file can be created in .*theirs"),
        ):
            examine(theirs / name)
    finally:
        theirs.chmod(0o755)
    assert ((theirs / "old").read_text(), names(theirs)) == ("old\n", ["old"])


def test_a_folder_that_may_be_written_and_not_be_read_is_enough(theirs: Path) -> None:
    theirs.chmod(0o300)
    try:
        with as_nobody():
            put(theirs / "new")
    finally:
        theirs.chmod(0o755)
    assert (theirs / "new").read_text() == "new\n"


@pytest.mark.parametrize(
    ("rights", "sentence"), [(0o444, "Permission denied"), (0o200, "cannot be read and may be a database")]
)
def test_a_file_that_may_not_be_written_stays(theirs: Path, rights: int, sentence: str) -> None:
    path = theirs / "old"
    path.write_text("old\n")
    path.chmod(rights)
    if ROOT:
        os.chown(path, NOBODY, NOBODY)
    with as_nobody(), pytest.raises(Unavailable, match=sentence):
        put(path)
    path.chmod(0o600)
    assert path.read_text() == "old\n"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if not ROOT or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder], check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("name", ["old", "new"])
def test_a_full_disk_destroys_nothing(small: Path, name: str) -> None:
    (small / "old").write_text("old\n")
    with pytest.raises(Unavailable, match="could not be written: No space left on device"):
        put(small / name, "x" * 200_000)
    assert ((small / "old").read_text(), names(small)) == ("old\n", ["old"])


@pytest.mark.parametrize("name", ["old", "new"])
def test_a_read_only_file_system_is_one_sentence(small: Path, name: str) -> None:
    (small / "old").write_text("old\n")
    subprocess.run(["mount", "-o", "remount,ro", small], check=True)
    with pytest.raises(Unavailable, match="could not be written: Read-only file system"):
        examine(small / name)
    assert (small / "old").read_text() == "old\n"


@pytest.mark.parametrize("name", ["old", "new"])
def test_a_limit_on_sizes_destroys_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / "old").write_text("old\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(Unavailable, match="could not be written: File too large"):
            put(tmp_path / name, "x" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert ((tmp_path / "old").read_text(), names(tmp_path)) == ("old\n", ["old"])


@pytest.mark.parametrize("call", ["write", "fsync", "fchmod", "rename"])
def test_a_fault_at_any_step_destroys_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    path = tmp_path / "old"
    path.write_text("old\n")
    path.chmod(0o644)

    def fail(*arguments: object, **named: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(Unavailable, match=r"old could not be written: Input/output error\."):
            put(path)
    assert (path.read_text(), names(tmp_path)) == ("old\n", ["old"])


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, asyncio.CancelledError, RuntimeError])
async def test_who_breaks_off_leaves_the_file_as_it_was(tmp_path: Path, interrupt: type[BaseException]) -> None:
    path = tmp_path / "old"
    path.write_text("old\n")

    async def break_off() -> None:
        async with written(examine(path), overwrite=True) as sink:
            await sink.write("x" * 200_000)
            [draft] = [name for name in names(tmp_path) if name != "old"]
            assert mode(tmp_path / draft) == 0o600
            raise interrupt

    with pytest.raises(interrupt):
        await break_off()
    assert (path.read_text(), names(tmp_path)) == ("old\n", ["old"])


# Others at the same time


def create(path: Path) -> None:
    path.write_text("theirs\n")


def append(path: Path) -> None:
    with path.open("a") as file:
        file.write("theirs\n")


def exchange(path: Path) -> None:
    path.with_name("other").write_text("theirs\n")
    path.with_name("other").replace(path)


def turn_into_database(path: Path) -> None:
    path.unlink()
    database(path)


def put_a_log_beside(path: Path) -> None:
    Path(f"{path}-wal").write_text("theirs\n")


def put_a_link(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("elsewhere")


@pytest.mark.parametrize(
    ("exists", "change"),
    [
        (False, create),
        (False, put_a_link),
        (False, put_a_log_beside),
        (True, append),
        (True, exchange),
        (True, turn_into_database),
        (True, put_a_log_beside),
        (True, put_a_link),
    ],
)
async def test_what_came_meanwhile_is_not_overwritten(
    tmp_path: Path, exists: bool, change: Callable[[Path], None]
) -> None:
    path = tmp_path / "out"
    if exists:
        path.write_text("old\n")
    before: dict[str, bytes] = {}

    async def write_meanwhile() -> None:
        async with written(examine(path), overwrite=True) as sink:
            await sink.write("new\n")
            change(path)
            before.update({name: data for name, data in contents(tmp_path).items() if not name.startswith(".")})

    with pytest.raises(Refused):
        await write_meanwhile()
    assert contents(tmp_path) == before


@pytest.mark.parametrize("links", [True, False])
def test_what_comes_at_the_last_moment_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """Between the last look and the step itself; also on a file system without hard links."""
    path = tmp_path / "out"
    link = os.link

    def late(*arguments: str, **named: int) -> None:
        path.write_text("theirs\n")
        if not links:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        link(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "link", late)
    with pytest.raises(Refused, match="was created or changed meanwhile and was not overwritten"):
        put(path)
    assert (path.read_text(), names(tmp_path)) == ("theirs\n", ["out"])


def test_a_file_system_without_hard_links_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: str, **named: int) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    put(tmp_path / "new")
    assert ((tmp_path / "new").read_text(), names(tmp_path)) == ("new\n", ["new"])


async def test_a_file_that_went_meanwhile_is_created_again(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("old\n")
    async with written(examine(path), overwrite=True) as sink:
        await sink.write("new\n")
        path.unlink()
    assert (path.read_text(), names(tmp_path)) == ("new\n", ["out"])


@needs_root
def test_a_draft_that_another_user_planted_takes_nothing_over(theirs: Path) -> None:
    planted = theirs / f".out.{os.getpid()}"
    planted.touch()
    os.chown(planted, NOBODY, NOBODY)
    planted.chmod(0o666)
    theirs.chmod(0o777)
    put(theirs / "out")
    out = (theirs / "out").stat()
    assert (out.st_uid, stat.S_IMODE(out.st_mode), planted.read_text()) == (0, 0o600, "")


# Streams


@contextmanager
def reading(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as reader:
        try:
            yield reader
        finally:
            reader.kill()


async def test_a_pipe_is_written_into_and_stays_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    text = "line\n" * 100_000
    with reading(pipe) as reader:
        task = asyncio.create_task(asyncio.to_thread(reader.communicate))
        async with written(examine(pipe)) as sink:
            await sink.write(text)
        assert (await task)[0].decode() == text
    assert (pipe.is_fifo(), names(tmp_path)) == (True, ["pipe"])


async def test_a_pipe_without_a_reader_is_waited_for_and_can_be_left(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    event = asyncio.Event()

    async def wait() -> None:
        async with written(examine(pipe), waiting=event.set) as sink:
            await sink.write("late\n")

    task = asyncio.create_task(wait())
    await event.wait()
    with reading(pipe) as reader:
        await task
        assert reader.communicate()[0] == b"late\n"
    event.clear()
    task = asyncio.create_task(wait())
    await event.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_reader_that_stands_still_can_be_left(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    full = asyncio.Event()

    async def fill() -> None:
        async with written(examine(pipe)) as sink:
            asyncio.get_running_loop().call_soon(full.set)
            await sink.write("x" * 1_000_000)

    task = asyncio.create_task(fill())
    try:
        await full.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    finally:
        os.close(reader)


async def test_a_reader_that_went_away_is_told(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    async with written(examine(pipe)) as sink:
        os.close(reader)
        with pytest.raises(Unavailable, match=r"pipe could not be written: the program that reads it has ended\."):
            await sink.write("x")


async def test_a_terminal_is_written_into(tmp_path: Path) -> None:
    person, terminal = pty.openpty()
    try:
        link = tmp_path / "link"
        link.symlink_to(os.ttyname(terminal))
        async with written(examine(link)) as sink:
            await sink.write("shown\n")
        assert os.read(person, 100) == b"shown\r\n"
        assert (stat.S_ISCHR(os.stat(link).st_mode), link.is_symlink()) == (True, True)
    finally:
        os.close(person)
        os.close(terminal)


@needs_root
@pytest.mark.parametrize("minor", [3, 7])
async def test_a_device_is_written_into(tmp_path: Path, minor: int) -> None:
    """1:3 is /dev/null, 1:7 is /dev/full."""
    device = tmp_path / "device"
    try:
        os.mknod(device, stat.S_IFCHR | 0o600, os.makedev(1, minor))
        os.close(os.open(device, os.O_WRONLY))
    except PermissionError:
        pytest.skip("no device can be made here")
    async with written(examine(device)) as sink:
        if minor == 3:
            await sink.write("x")
        else:
            with pytest.raises(Unavailable, match="device could not be written: No space left on device"):
                await sink.write("x")
    assert (stat.S_ISCHR(device.stat().st_mode), names(tmp_path)) == (True, ["device"])


@pytest.mark.parametrize("folder", ["/dev/fd", "/proc/self/fd"])
async def test_an_open_descriptor_is_written_into(tmp_path: Path, folder: str) -> None:
    with (tmp_path / "out").open("a") as file:
        file.write("before\n")
        file.flush()
        (tmp_path / "link").symlink_to(f"{folder}/{file.fileno()}")
        async with written(examine(tmp_path / "link")) as sink:
            await sink.write("new\n")
        file.write("after\n")
    assert (tmp_path / "out").read_text() == "before\nnew\nafter\n"


def test_an_open_descriptor_of_a_database_is_refused(tmp_path: Path) -> None:
    path = database(tmp_path / "s.db")
    with path.open("ab") as file, pytest.raises(Refused, match="is a SQLite database"):
        examine(f"/dev/fd/{file.fileno()}")
    with path.open("rb") as file, pytest.raises(Unavailable, match="it is open for reading only"):
        examine(f"/dev/fd/{file.fileno()}")


# Killed

KILLED = """
import asyncio, sys
from vestige_tui.core.file_targets import examine
from vestige_tui.core.files import written

async def main():
    async with written(examine(sys.argv[1]), overwrite=True) as sink:
        await sink.write("x" * 200_000)
        print("half", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("exists", [True, False])
def test_who_is_killed_leaves_the_file_as_it_was(tmp_path: Path, end: signal.Signals, exists: bool) -> None:
    path = tmp_path / "out"
    if exists:
        path.write_text("old\n")
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"half\n"
        process.send_signal(end)
    assert path.exists() == exists
    assert not exists or path.read_text() == "old\n"
    left = [name for name in names(tmp_path) if name != "out"]
    assert len(left) == (1 if end == signal.SIGKILL else 0)
    assert all(mode(tmp_path / name) == 0o600 for name in left)


def test_a_target_says_what_it_is(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "full").write_text("x")

    def said(target: FileTarget) -> tuple[bool, bool, bool]:
        return target.is_stream, target.occupied, target.is_stdout

    assert said(examine(tmp_path / "pipe")) == (True, False, False)
    assert said(examine(tmp_path / "full")) == (False, True, False)
    assert said(examine(tmp_path / "none")) == (False, False, False)
