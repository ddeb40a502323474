"""The SQLite file that a copy reads: ours or one that a Vestige server made, never written, never held for long."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

from vestige_tui.errors import Unavailable, Usage
from vestige_tui.jobs.repair import as_uuid, new_id
from vestige_tui.store.queries import load
from vestige_tui.store.vestige import survey

Key: TypeAlias = tuple[Any, ...]
"""Where a read continues: a number, or one to three texts (with half surrogates for bytes that are no UTF-8)."""

_AFTER = ("after", "after_second", "after_third")
_BUSY_SECONDS = 5.0


def sqlite_path(url: str) -> Path:
    """The file that a store URL names. Raises Usage where it names something else."""
    scheme, _, rest = url.partition(":")
    if scheme in ("postgresql", "postgres", "pgembed"):
        raise Usage("A copy goes from a SQLite file to PostgreSQL.")
    path = rest.removeprefix("//") if scheme == "sqlite" else url
    return Path(path).expanduser().absolute()


@dataclass(frozen=True, slots=True)
class Count:
    """Rows of one table; ``keyless`` of them cannot be told apart and are not read."""

    rows: int
    keyless: int


class SqliteSource:
    """An open source. Every read is short, so that a live server's checkpoints go on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # A -shm cannot be made where the folder cannot be written; nothing may then wait in a -wal.
        sealed = not os.access(path.parent, os.W_OK) and not Path(f"{path}-wal").exists()
        mode = "mode=ro&immutable=1" if sealed else "mode=ro"
        try:
            self._connection = sqlite3.connect(
                f"file:{quote(str(path))}?{mode}",
                uri=True,
                isolation_level=None,
                timeout=_BUSY_SECONDS,
                # Batches are read by threads, one at a time.
                check_same_thread=False,
            )
        except sqlite3.Error as error:
            raise Unavailable(f"{path} cannot be opened: {error}.") from error
        try:
            self.line = survey(self._connection).line
            if script := survey(self._connection).script:
                self._connection.executescript(script)
        except sqlite3.Error as error:
            self._connection.close()
            raise Unavailable(f"{path} cannot be read: {error}.") from error
        self._connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        self._sql: Mapping[str, str] = load("sqlite", "copy")
        self._reading = threading.RLock()

    def close(self) -> None:
        """Close the file; a read that another thread is at is broken off first."""
        self._connection.interrupt()
        with self._reading:
            self._connection.close()

    def _rows(self, name: str, params: Mapping[str, Any] | None = None, table: str = "") -> list[tuple[Any, ...]]:
        sql = self._sql[name].replace("{table}", table)
        try:
            with self._reading, closing(self._connection.execute(sql, params or {})) as cursor:
                return cursor.fetchall()
        except sqlite3.Error as error:
            raise Unavailable(f"{self.path} cannot be read: {error}.") from error

    def count(self, table: str) -> Count:
        [(rows, keyless)] = self._rows(f"count_{table}")
        return Count(int(rows), int(keyless))

    def read(self, table: str, after: Key, limit: int, max_bytes: int) -> list[tuple[Any, ...]]:
        """The next rows behind a key, at most ``limit``, and not many more bytes than ``max_bytes``."""
        params: dict[str, Any] = {"limit": limit}
        for name, value in zip(_AFTER, after, strict=False):
            params[name] = value if isinstance(value, int) else value.encode("utf-8", "surrogateescape")
        found: list[tuple[Any, ...]] = []
        size = 0
        try:
            with self._reading, closing(self._connection.execute(self._sql[f"read_{table}"], params)) as cursor:
                for row in cursor:
                    found.append(row)
                    size += sum(len(value) for value in row if isinstance(value, str | bytes))
                    if size >= max_bytes:
                        break
        except sqlite3.Error as error:
            raise Unavailable(f"{self.path} cannot be read: {error}.") from error
        return found

    def left_behind(self) -> dict[str, int]:
        """Tables that the target has no place for, with their counts; empty ones do not count."""
        found: dict[str, int] = {}
        for (name,) in self._rows("list_left_behind"):
            quoted = '"' + str(name).replace('"', '""') + '"'
            [(rows,)] = self._rows("count_rows", table=quoted)
            if rows:
                found[str(name)] = int(rows)
        return found

    def rivals(self) -> Mapping[str, str]:
        """Ids that are one UUID with another id, which came first: {the later: the first}, in the source's spelling."""
        lost: dict[str, str] = {}
        first: dict[bytes, tuple[int, str]] = {}
        after = -(2**63)
        while rows := self._rows("read_odd_ids", {"after": after, "limit": 4_000}):
            after = int(rows[-1][0])
            for seq, raw in rows:
                if isinstance(raw, str):
                    self._meet(int(seq), raw, first, lost)
        return lost

    def _meet(self, seq: int, raw: str, first: dict[bytes, tuple[int, str]], lost: dict[str, str]) -> None:
        key = new_id(raw)
        canonical = "-".join(key.hex()[start:end] for start, end in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32)))
        found = self._rows("find_seq", {"id": canonical})
        if found and int(found[0][0]) < seq:
            lost[raw] = canonical
            return
        if key in first:
            lost[raw] = first[key][1]
            return
        if found:
            lost[canonical] = raw
        # Only spellings of a UUID can meet one another; any other id stands for its own.
        if as_uuid(raw) is not None:
            first[key] = (seq, raw)


def start_key(table: str) -> Key:
    """The key before the first row of a table."""
    if table in ("memories", "reviews", "supersession"):
        return (-(2**63),)
    return ("",) * {"memberships": 2, "edges": 3}.get(table, 1)


def end_key(table: str, rows: Sequence[tuple[Any, ...]]) -> Key:
    """The key of the last of some rows: their last columns."""
    return tuple(rows[-1][-len(start_key(table)) :])
