"""SQLite file as a source, our own or a Vestige file; never written, and locked only for short reads."""

from __future__ import annotations

import sqlite3
import stat
import threading
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vestige_tui.core.errors import (
    ForeignStore,
    Refused,
    SchemaPending,
    StoreMissing,
    StoreReplaced,
    Unavailable,
    Usage,
    VestigeError,
)
from vestige_tui.core.paths import kind_of, user_path
from vestige_tui.core.storable import as_uuid, new_id
from vestige_tui.core.text import below_home
from vestige_tui.store.backends.sqlite_address import address_of
from vestige_tui.store.backends.sqlite_errors import is_busy, is_full, translate
from vestige_tui.store.backends.sqlite_file import OpenedFile
from vestige_tui.store.backends.sqlite_wal import is_stale
from vestige_tui.store.schema.named_sql import compose
from vestige_tui.store.schema.rows import model as read_model
from vestige_tui.store.schema.vestige_files import survey
from vestige_tui.transfer.convert import convert_all, model_of
from vestige_tui.transfer.copy_sql import AFTER_PARAMS, CopySql
from vestige_tui.transfer.protocols import Batch, Count, Key
from vestige_tui.transfer.row_keys import bound, probable_key
from vestige_tui.transfer.table_spec import BY_NAME

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import ModelSignature
    from vestige_tui.transfer.convert import TransferContext
    from vestige_tui.transfer.table_spec import Table

_BUSY_SECONDS = 5.0


def sqlite_path(url: str) -> Path:
    """Return the file of a store URL. Raises Usage for a URL of another kind."""
    scheme, _, rest = url.partition(":")
    if scheme in ("postgresql", "postgres", "pgembed"):
        raise Usage(f"A {scheme} URL does not name a SQLite file.")
    path = rest.removeprefix("//") if scheme == "sqlite" else url
    if not path:
        raise Usage("A sqlite: URL needs a path.")
    return user_path(path).absolute()


class SqliteSource:
    """Open SQLite source. Every read is short, so that checkpoints of a live server go on.

    No other program opens an ``idle`` one meanwhile, such as a backup. Raises StoreMissing, ForeignStore, SchemaPending
    or Unavailable.
    """

    def __init__(self, path: Path, *, idle: bool = False) -> None:
        self.path = path
        self.location = f"sqlite:{path}"
        self.title = below_home(str(path))
        kind = kind_of(path, self.title)
        if not kind:
            raise StoreMissing(f"There is no store at {self.title}; check the path.")
        if kind == stat.S_IFDIR:
            raise ForeignStore(f"{self.title} is a directory, not a store.")
        if kind != stat.S_IFREG:
            raise ForeignStore(f"{self.title} is a pipe, a socket or a device, not a store.")
        self._file = OpenedFile(path)
        self._file.note_opened()
        if is_stale(path):
            raise Refused(f"{self.title}-wal was written for another file; move it and {self.title}-shm away first.")
        try:
            self._connection = sqlite3.connect(
                address_of(path, idle=idle),
                uri=True,
                isolation_level=None,
                timeout=_BUSY_SECONDS,
                # Threads read batches, one at a time.
                check_same_thread=False,
            )
        except sqlite3.Error as error:
            raise Unavailable(f"{self.title} cannot be opened: {error}.") from error
        try:
            self._check_schema()
        except BaseException:
            self._connection.close()
            raise
        self._connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        self._sql = CopySql("sqlite")
        self._lock = threading.RLock()

    def _check_schema(self) -> None:
        """Check the kind of the file and create the temporary views that reading it needs."""
        try:
            description = survey(self._connection)
            if description.script:
                self._connection.executescript(description.script)
        except sqlite3.Error as error:
            raise self._translate(error) from error
        if description.kind == "foreign":
            raise ForeignStore(f"{self.title} is a SQLite file, but not a memory store; it was not touched.")
        if description.kind == "empty":
            raise SchemaPending(f"{self.title} contains no memory store yet.")
        self.line = description.line

    def _translate(self, error: sqlite3.Error) -> VestigeError:
        if "no such table" in str(error) or "no such column" in str(error):
            return SchemaPending(f"{self.title} lacks tables for this ({error}); run `vestige-tui schema up` on it.")
        if is_busy(error) or is_full(error):
            return translate(error, self.title, self.path)
        return Unavailable(f"{self.title} cannot be read: {error}.")

    def _refuse_replaced(self) -> None:
        if self._file.replaced():
            raise StoreReplaced(
                f"Reading {self.title} stopped: {self._file.event}. Put the right file in its place and start the job "
                "again."
            )

    def close(self) -> None:
        """Close the file; interrupt a read in another thread first."""
        self._connection.interrupt()
        with self._lock:
            self._connection.close()

    def _rows(self, sql: str, params: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        try:
            with self._lock, closing(self._connection.execute(sql, params or {})) as cursor:
                rows = cursor.fetchall()
        except sqlite3.Error as error:
            raise self._translate(error) from error
        self._refuse_replaced()
        return rows

    def model(self) -> ModelSignature | None:
        """Return the model of the vectors; None where a target could register none."""
        columns = ("name", "dimension", "hash", "created_at", "document_template", "query_template")
        rows = self._rows(compose("sqlite", "get_model"))
        return model_of(read_model(dict(zip(columns, rows[0], strict=True)))) if rows else None

    def count(self, table: str) -> Count:
        [(rows, keyless)] = self._rows(self._sql.of("count", table))
        return Count(int(rows), int(keyless))

    def start(self, table: str) -> Key:
        """Return the key before the first row of a table."""
        spec = BY_NAME[table]
        return (-(2**63),) if spec.read_by_number else ("",) * len(spec.key)

    def read(self, table: Table, after: Key, limit: int, max_bytes: int, transfer_context: TransferContext) -> Batch:
        """Read the next rows behind a key (keyset pagination), at most ``limit`` and about ``max_bytes``."""
        raw_rows = self._read(table.name, after, limit, max_bytes)
        rows, failed, rejected = convert_all(table.name, table.convert, raw_rows, transfer_context)
        unread = [probable_key(table.name, raw) for raw in rejected]
        # The last values of a raw row are its key.
        return Batch(rows, failed, len(raw_rows), tuple(raw_rows[-1][-len(after) :]) if raw_rows else after, unread)

    def _read(self, table: str, after: Key, limit: int, max_bytes: int) -> list[tuple[Any, ...]]:
        params: dict[str, Any] = {"limit": limit}
        for name, value in zip(AFTER_PARAMS, after, strict=False):
            params[name] = value if isinstance(value, int) else bound(value)
        rows: list[tuple[Any, ...]] = []
        size = 0
        try:
            with self._lock, closing(self._connection.execute(self._sql.of("read", table), params)) as cursor:
                for row in cursor:
                    rows.append(row)
                    size += sum(len(value) for value in row if isinstance(value, str | bytes))
                    if size >= max_bytes:
                        break
        except sqlite3.Error as error:
            raise self._translate(error) from error
        self._refuse_replaced()
        return rows

    def left_behind(self) -> Mapping[str, int]:
        """Return the non-empty tables that have no counterpart in a target, with their counts."""
        counts: dict[str, int] = {}
        for (name,) in self._rows(self._sql["list_left_behind"]):
            quoted = '"' + str(name).replace('"', '""') + '"'
            [(rows,)] = self._rows(self._sql["count_rows"].replace("{table}", quoted))
            if rows:
                counts[str(name)] = int(rows)
        return counts

    def duplicate_ids(self) -> Mapping[str, str]:
        """Return ids that spell the UUID of another, earlier id: {later: earlier}, as the source spells them."""
        duplicates: dict[str, str] = {}
        first_ids: dict[bytes, tuple[int, str]] = {}
        after = -(2**63)
        while rows := self._rows(self._sql["read_odd_ids"], {"after": after, "limit": 4_000}):
            after = int(rows[-1][0])
            for seq, raw in rows:
                if isinstance(raw, str):
                    self._note_duplicate(int(seq), raw, first_ids, duplicates)
        return duplicates

    def _note_duplicate(
        self, seq: int, raw: str, first_ids: dict[bytes, tuple[int, str]], duplicates: dict[str, str]
    ) -> None:
        key = new_id(raw)
        canonical = "-".join(key.hex()[start:end] for start, end in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32)))
        rows = self._rows(self._sql["find_seq"], {"id": canonical})
        if rows and int(rows[0][0]) < seq:
            duplicates[raw] = canonical
            return
        if key in first_ids:
            duplicates[raw] = first_ids[key][1]
            return
        if rows:
            duplicates[canonical] = raw
        # Only spellings of a UUID can collide; any other id has a UUID of its own.
        if as_uuid(raw) is not None:
            first_ids[key] = (seq, raw)

    def token(self) -> object:
        """Return the change token, which differs after any change of the file."""
        [(version,)] = self._rows(compose("sqlite", "read_change_token"))
        return version
