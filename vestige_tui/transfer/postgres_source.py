"""PostgreSQL store as a source: one connection outside the pool, rows as the server's own bytes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg import errors, sql
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row

from vestige_tui.core.errors import Cancelled, ForeignStore, SchemaPending, Unavailable, Usage
from vestige_tui.core.log import suppressed
from vestige_tui.core.paths import user_path
from vestige_tui.store.backends import embedded_postgres, pgbinary_decode
from vestige_tui.store.backends.postgres import PostgresBackend
from vestige_tui.store.backends.postgres_connection import BlockingConnection, check_encoding, conninfo
from vestige_tui.store.backends.postgres_errors import translate
from vestige_tui.store.backends.postgres_pool import refuse_missing_server
from vestige_tui.store.backends.postgres_pooler import blocking_transaction
from vestige_tui.store.backends.postgres_preflight import check_row_security, check_server, server_settings
from vestige_tui.store.backends.postgres_request import extended
from vestige_tui.store.backends.postgres_rights import READER_RIGHTS, RightMissing
from vestige_tui.store.backends.postgres_settings import as_statement
from vestige_tui.store.schema.named_sql import compose, load
from vestige_tui.store.schema.rows import model as read_model
from vestige_tui.transfer.convert import TransferRow, check_vector, convert_all, model_of
from vestige_tui.transfer.copy_sql import AFTER_PARAMS, CopySql
from vestige_tui.transfer.protocols import Batch, Count, Key
from vestige_tui.transfer.row_keys import key_of
from vestige_tui.transfer.sanitize import shown
from vestige_tui.transfer.table_spec import BY_NAME

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import ModelSignature
    from vestige_tui.transfer.convert import Raw, TransferContext
    from vestige_tui.transfer.table_spec import Table

log = logging.getLogger(__name__)

CANCEL_SECONDS = 2.0

T = TypeVar("T")


class _BatchFull(Exception):
    """The batch has reached its size in bytes."""


class PostgresSource:
    """Open PostgreSQL source. Takes no lock and holds no snapshot; reconnects after a lost connection.

    ``url`` is a libpq URL or ``pgembed:DIR``; the embedded server is started if need be and leased until ``close``.
    With ``snapshot`` all reads are of one moment, and a lost connection ends them. Raises Usage, StoreMissing,
    ForeignStore, SchemaPending, Refused or Unavailable.
    """

    def __init__(self, url: str, *, snapshot: bool = False) -> None:
        self._holds_snapshot = False
        scheme, _, rest = url.partition(":")
        if scheme == "pgembed" and not rest:
            raise Usage("A pgembed: URL needs a folder, such as pgembed:~/memories.")
        self._directory = user_path(rest).absolute() if scheme == "pgembed" else None
        backend = PostgresBackend(self._directory or url, read_only=True)
        self.location = backend.location()
        self.title = backend.title
        self._lease: embedded_postgres.Lease | None = None
        self._conninfo = ""
        self._sql = CopySql("postgres")
        self._lock = threading.RLock()
        self._is_open, self._closing = True, False
        if self._directory is None:
            self._conninfo = backend.conninfo()
        else:
            refuse_missing_server(self._directory)
            self._acquire_lease(self._directory)
        try:
            self._connection = self._connect()
        except BaseException:
            self._release()
            raise
        try:
            self._check_schema()
            if snapshot:
                self._begin_snapshot()
        except BaseException:
            self.close()
            raise

    def _begin_snapshot(self) -> None:
        try:
            self._connection.execute(load("postgres", "backup")["begin_snapshot"].encode())
        except psycopg.Error as error:
            raise translate(error, self.title) from error
        self._holds_snapshot = True

    def _acquire_lease(self, directory: Path) -> None:
        lease, previous = embedded_postgres.acquire_now(directory), self._lease
        self._lease = lease
        if previous is not None:
            embedded_postgres.release_now(previous)
        # The new server may listen on another socket.
        self._conninfo = conninfo(lease.url, read_only=True, inherits=False, connect_timeout="10")

    def _release(self) -> None:
        if self._lease is not None:
            lease, self._lease = self._lease, None
            embedded_postgres.release_now(lease)

    def _connect(self) -> BlockingConnection:
        try:
            connection = BlockingConnection.connect(self._conninfo, autocommit=True, row_factory=dict_row)
            try:
                self._set_up(connection)
            except BaseException:
                connection.close()
                raise
            return connection
        except (psycopg.Error, OSError) as error:
            # The driver's message about an invalid URL may hold a password.
            raise translate(error, self.title) from None

    def _set_up(self, connection: BlockingConnection) -> None:
        """Check server and role, and apply the settings of this server to the session. Raises Refused."""
        with blocking_transaction(connection):
            server = connection.execute(compose("postgres", "preflight").encode()).fetchone() or {}
            check_server(server, self.title)
            if server["row_security"]:
                tables = connection.execute(compose("postgres", "list_row_security").encode()).fetchall()
                check_row_security(tables, server, self.title)
        settings = server_settings(server, long_work=True)
        if connection.local_settings is None:
            connection.execute(as_statement(settings).encode())
        else:
            connection.local_settings = extended(connection.local_settings, settings)

    def _check_schema(self) -> None:
        """Check that the database holds a memory store."""
        [bookkeeping] = self.rows(compose("postgres", "find_bookkeeping"))
        if not bookkeeping["n"]:
            for row in self.rows(compose("postgres", "list_taken_names")):
                raise ForeignStore(
                    f"{self.title} already has a table {row['name']} of another program; nothing was changed."
                )
            raise SchemaPending(f"{self.title} contains no memory store yet.")

    def close(self) -> None:
        """Close the connection; cancel a read in another thread first."""
        self._closing = True
        if self._connection.info.transaction_status == TransactionStatus.ACTIVE:
            with suppressed(log, "cancel a read of the source", psycopg.Error):
                self._connection.cancel_safe(timeout=CANCEL_SECONDS)
        with self._lock:
            self._is_open = False
            self._connection.close()
            self._release()

    # Queries

    @contextmanager
    def _locked_connection(self) -> Iterator[BlockingConnection]:
        """Yield the connection to one thread at a time; reconnect where it was lost."""
        with self._lock:
            if not self._is_open:
                raise Unavailable(f"{self.title} is not open.")
            if self._connection.closed:
                self._connect_again()
            try:
                with blocking_transaction(self._connection):
                    yield self._connection
            except (psycopg.Error, OSError) as error:
                if self._closing and isinstance(error, errors.QueryCanceled):
                    raise Cancelled("The read was cancelled.") from error
                translated = translate(error, self.title)
                if isinstance(translated, RightMissing):
                    translated = self._with_remedy(translated)
                raise translated from error

    def _with_remedy(self, error: RightMissing) -> RightMissing:
        """Add the statements that grant a right that the role lacks."""
        statement = compose("postgres", "list_missing_rights").encode()
        with suppressed(log, "list the rights that the role lacks", psycopg.Error):
            rows = self._connection.execute(statement, {"rights": list(READER_RIGHTS)}).fetchall()
            return error.with_remedy(self.title, rows)
        return error

    def _connect_again(self) -> None:
        if self._holds_snapshot:
            raise Unavailable(f"The connection to {self.title} was lost; nothing was written. Try again.")
        try:
            self._connection = self._connect()
        except Unavailable:
            if self._directory is None:
                raise
            self._acquire_lease(self._directory)
            self._connection = self._connect()

    def rows(self, statement: str, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return the rows of a statement."""
        return self._retry_once(lambda connection: connection.execute(statement.encode(), params).fetchall())

    def _retry_once(self, query: Callable[[BlockingConnection], T]) -> T:
        """Run a query; retry once where the connection turns out to be lost."""
        try:
            with self._locked_connection() as connection:
                return query(connection)
        except Unavailable:
            if not self._connection.closed:
                raise
        with self._locked_connection() as connection:
            return query(connection)

    def model(self) -> ModelSignature | None:
        """Return the model of the vectors; None where a target could register none."""
        rows = self.rows(compose("postgres", "get_model"))
        return model_of(read_model(rows[0])) if rows else None

    def count(self, table: str) -> Count:
        [row] = self.rows(self._sql.of("count", table))
        return Count(int(row["n"]), int(row.get("keyless", 0)))

    def start(self, table: str) -> Key:
        """Return the key before the first row of a table."""
        spec = BY_NAME[table]
        return (-(2**63),) if spec.log else ("",) * len(spec.key)

    def read(self, table: Table, after: Key, limit: int, max_bytes: int, transfer_context: TransferContext) -> Batch:
        """Read the next rows behind a key (keyset pagination), at most ``limit`` and about ``max_bytes``."""
        raw_rows = self._retry_once(lambda connection: self._copy_out(connection, table.name, after, limit, max_bytes))
        rows, failed, rejected = convert_all(
            table.name,
            partial(_transfer_row, table),
            raw_rows,
            transfer_context,
            row_name=partial(_row_name, table),
        )
        unread = [key_of(table.name, raw) for raw in rejected]
        return Batch(rows, failed, len(raw_rows), _next_key(table, raw_rows[-1]) if raw_rows else after, unread)

    def _copy_out(
        self, connection: BlockingConnection, table: str, after: Key, limit: int, max_bytes: int
    ) -> list[Raw]:
        params: dict[str, Any] = dict(zip(AFTER_PARAMS, after, strict=False)) | {"limit": limit}
        statement = f"COPY ({self._sql.of('read', table)}) TO STDOUT (FORMAT binary)"
        rows: list[Raw] = []
        size = 0
        # Only an exception makes the driver stop the server's output early.
        with (
            suppress(_BatchFull),
            closing(connection.cursor()) as cursor,
            cursor.copy(statement.encode(), params) as copy,
        ):
            for row in copy.rows():
                rows.append(row)
                size += sum(len(value) for value in row if value is not None)
                if size >= max_bytes:
                    raise _BatchFull
        # In another encoding the bytes would be read as wrong text without an error.
        check_encoding(connection.info)
        return rows

    def left_behind(self) -> Mapping[str, int]:
        """Return the non-empty tables that have no counterpart in a target, with their counts."""
        counts: dict[str, int] = {}
        for row in self.rows(self._sql["list_left_behind"]):
            quoted = sql.Identifier(row["name"]).as_string(None)
            [row_count] = self.rows(self._sql["count_rows"].replace("{table}", quoted))
            if row_count["n"]:
                counts[row["name"]] = int(row_count["n"])
        return counts

    def duplicate_ids(self) -> Mapping[str, str]:
        """Return no duplicates: a UUID has one spelling here."""
        return {}

    def token(self) -> object:
        """Return the change token, which differs some time after a change of the store."""
        [row] = self.rows(compose("postgres", "read_change_token"))
        return row["token"]


def _next_key(table: Table, row: Raw) -> Key:
    """Return the key at which a read continues behind a row: the number of a log's line, else the key's values."""
    return (_number(row),) if table.log else _page_key(table, row)


def _page_key(table: Table, row: Raw) -> tuple[str, ...]:
    values: list[str] = []
    for column, position in zip(table.key_columns, table.key_positions, strict=True):
        assert column.codec.text is not None
        values.append(column.codec.text(row[position]))
    return tuple(values)


def _number(row: Raw) -> int:
    """Return the number of a log's line, which a read appends to its values."""
    return int.from_bytes(row[-1], "big", signed=True)


def _row_name(table: Table, row: Raw) -> str:
    """Return the name of a row in findings."""
    if table.log:
        return table.line_name.format(pgbinary_decode.uuid(row[0]), number=_number(row))
    return table.row_name.format(*map(shown, _page_key(table, row)))


def _transfer_row(table: Table, row: Raw, transfer_context: TransferContext) -> TransferRow:
    """Convert a row, which needs no sanitizing; only its vector may not fit the target."""
    if table.embedded:
        [position] = table.embedding_positions
        vector = pgbinary_decode.vector(row[position])
        check_vector(vector, transfer_context)
        return TransferRow(_row_name(table, row), row, zero=not vector.any())
    return TransferRow(_row_name(table, row), row[:-1] if table.log else row)
