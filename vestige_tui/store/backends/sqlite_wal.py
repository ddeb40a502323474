"""Write-ahead log found beside a SQLite file: whether it belongs to that file.

SQLite finds a log by its name and applies it to whatever file lies beside it, such as a backup that was moved into the
place of the file that the log was written for.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import struct
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from vestige_tui.core.log import log_suppressed
from vestige_tui.store.backends.open_files import open_files
from vestige_tui.store.backends.sqlite_file import check, is_signed_for_another

log = logging.getLogger(__name__)

FIT_SECONDS = 2.0
"""Longest check of the pages where nothing cheaper decides."""
_HEADER = struct.Struct(">8I")
"""Magic number, format, page size, checkpoint number, two salts, two checksums."""
_FRAME = struct.Struct(">6I")
"""Page number, size of the database in pages after a commit (otherwise 0), two salts, two checksums."""
_MAGIC_NUMBERS = (0x377F0682, 0x377F0683)
_LOCK_BYTE = 1 << 30
"""Offset of the page that SQLite never writes."""


@dataclass(frozen=True, slots=True)
class WriteAheadLog:
    """Committed content of a write-ahead log: its page size, the pages it holds, and the database's size in pages."""

    page_bytes: int
    pages: frozenset[int]
    size: int


def is_stale(path: Path) -> bool:
    """Check whether the write-ahead log beside a file was written for another file."""
    # Twice: a log that a server just starts over is read half old and half new.
    return _looks_stale(path) and _looks_stale(path)


def _looks_stale(path: Path) -> bool:
    wal = read_log(Path(f"{path}-wal"))
    if wal is None:
        return False
    if is_signed_for_another(path):
        return True
    status = path.stat()
    if status.st_size and _page_bytes(path) not in (0, wal.page_bytes):
        return True
    return (_lacks_pages(status, wal) or _changed_after_log(path, status)) and _is_broken_by_log(path)


def _lacks_pages(status: os.stat_result, wal: WriteAheadLog) -> bool:
    """Check whether the last commit knows pages that are neither in the file nor in the log."""
    beyond = range(status.st_size // wal.page_bytes + 1, wal.size + 1)
    return any(page not in wal.pages and page != _LOCK_BYTE // wal.page_bytes + 1 for page in beyond)


def _changed_after_log(path: Path, status: os.stat_result) -> bool:
    """Check whether the file was moved here, or written, after the log: by a checkpoint of its own, or as another one.

    A program that has the file open wrote the log for it.
    """
    is_younger = status.st_ctime_ns >= os.stat(f"{path}-wal").st_mtime_ns
    return is_younger and not open_files(str(path))


def _is_broken_by_log(path: Path) -> bool:
    """Check whether the content is sound without the log and not with it."""
    if check(path, "integrity_check", FIT_SECONDS) in ("ok", None):
        return False
    return check(path, "integrity_check", FIT_SECONDS, "mode=ro&immutable=1") == "ok"


def read_log(path: Path) -> WriteAheadLog | None:
    """Read the headers of the frames of a write-ahead log; None where no commit is in it."""
    try:
        with path.open("rb", buffering=0) as file:
            return _read_frames(file.fileno())
    except OSError:
        return None


def _read_frames(descriptor: int) -> WriteAheadLog | None:
    header = os.pread(descriptor, _HEADER.size, 0)
    if len(header) < _HEADER.size:
        return None
    magic, _, page_bytes, _, *salts = _HEADER.unpack(header)[:6]
    if magic not in _MAGIC_NUMBERS or not page_bytes:
        return None
    pages: list[int] = []
    size = committed = 0
    frame_bytes = _FRAME.size + page_bytes
    end = os.fstat(descriptor).st_size - frame_bytes
    for offset in range(_HEADER.size, end + 1, frame_bytes):
        frame = os.pread(descriptor, _FRAME.size, offset)
        if len(frame) < _FRAME.size:
            break
        page, size_after, *frame_salts = _FRAME.unpack(frame)[:4]
        if frame_salts != salts:
            break
        pages.append(page)
        if size_after:
            committed, size = len(pages), size_after
    return WriteAheadLog(page_bytes, frozenset(pages[:committed]), size) if size else None


def _page_bytes(path: Path) -> int:
    """Return the page size of a file without its log; 0 where SQLite cannot read it."""
    address = f"file:{quote(bytes(path))}?mode=ro&immutable=1"
    try:
        # By SQLite: closing a descriptor of our own would end the locks that this process has on the file.
        with closing(sqlite3.connect(address, uri=True)) as connection:
            connection.execute("PRAGMA schema_version").fetchone()
            return int(connection.execute("PRAGMA page_size").fetchone()[0])
    except sqlite3.Error as error:
        log_suppressed(log, "read the page size of the file", error)
        return 0
