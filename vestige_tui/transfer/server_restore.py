"""Restore of a backup into a store on a server: one transaction deletes all rows and writes those of the backup.

Whenever the program or its connection dies, the server rolls back, and the store is as before.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg import errors

from vestige_tui.core.backups import Backup, BackupListener, BackupStep
from vestige_tui.core.errors import Refused, Unavailable
from vestige_tui.core.log import log_suppressed
from vestige_tui.core.text import short_id
from vestige_tui.jobs.conflicts import live_jobs
from vestige_tui.jobs.context import Meter
from vestige_tui.store.backends.postgres import PostgresBackend, PostgresTransaction
from vestige_tui.store.backends.sqlite_restore import backup_contents
from vestige_tui.store.open import open_store
from vestige_tui.store.schema.migrations import migrations
from vestige_tui.store.schema.named_sql import compose
from vestige_tui.store.schema.rows import model as read_model
from vestige_tui.transfer.comparison import Comparison
from vestige_tui.transfer.comparison_reporters import StdoutReporter
from vestige_tui.transfer.convert import TransferContext
from vestige_tui.transfer.differences import equal
from vestige_tui.transfer.file_tables import LOGS, FileTables, read
from vestige_tui.transfer.other_tables import (
    CHUNK_ROWS,
    FIRST_PLACE,
    RENUMBERING,
    SPARE_VECTORS,
    OtherTable,
    backup_sql,
    columns_sql,
    other_tables,
    quoted,
)
from vestige_tui.transfer.postgres_target import PostgresTarget
from vestige_tui.transfer.sqlite_source import SqliteSource
from vestige_tui.transfer.table_spec import BY_NAME, TABLES, VECTORS
from vestige_tui.transfer.target_readers import target_reader_of

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import ModelSignature
    from vestige_tui.store.store import Store
    from vestige_tui.transfer.convert import TransferRow

log = logging.getLogger(__name__)

COPIED = frozenset(table.stored_as for table in TABLES)
_STAMPED = {"stamp_width": VECTORS.stored_as, "stamp_spare": SPARE_VECTORS}
"""Tables whose column of vectors the statements give a width."""


async def restore_server(path: Path, url: str, tell: BackupListener) -> Backup:
    """Make the store at a URL equal to a backup. Raises as ``backups.restore`` does; the store is as before then."""
    await asyncio.to_thread(refuse_other_kind, path)
    source = await asyncio.to_thread(partial(SqliteSource, path, idle=True))
    try:
        async with open_store(url, create=True, max_connections=3, long_work=True) as store:
            store.refuse_read_only()
            restore = ServerRestore(source, store, tell)
            with read(path) as file:
                await restore.run(file)
            await store.maintenance.finalize_schema()
            await restore.compare()
            rows = await _count(store, restore.tables)
    finally:
        await asyncio.to_thread(source.close)
    size = (await asyncio.to_thread(os.stat, path)).st_size
    return Backup(path, size, rows, failed=restore.failed())


def refuse_other_kind(path: Path) -> None:
    """Raise Refused for a backup of a file of a Vestige server, which has other tables."""
    kind, _ = backup_contents(path)
    if kind != "ours":
        raise Refused(
            f"{path.name} is a backup of a file of a Vestige server; nothing was changed. `vestige-tui migrate copy` "
            "copies it into a server."
        )


async def _count(store: Store, tables: Sequence[OtherTable]) -> dict[str, int]:
    backend = store.backend
    assert isinstance(backend, PostgresBackend)
    async with backend.transaction() as transaction:
        names = sorted({*COPIED, *(table.name for table in tables)})
        rows = [await _rows(transaction, backup_sql("postgres", "count_rows", table=quoted(name))) for name in names]
    return {name: int(row["n"]) for name, [row] in zip(names, rows, strict=True)}


async def _rows(transaction: PostgresTransaction, statement: str, params: Any = None) -> list[dict[str, Any]]:
    cursor = await transaction.connection.execute(statement.encode(), params)
    return await cursor.fetchall() if cursor.description else []


async def read_other_tables(transaction: PostgresTransaction) -> list[OtherTable]:
    """Return the tables of the store that no copy knows, parents first."""
    columns = await _rows(transaction, columns_sql())
    references = await _rows(transaction, backup_sql("postgres", "list_references"))
    return [table for table in other_tables(columns, references) if table.ours]


async def read_server_rows(
    transaction: PostgresTransaction, table: OtherTable
) -> AsyncIterator[Sequence[tuple[Any, ...]]]:
    """Yield the rows of one of the other tables, as a file stores them."""
    statement = backup_sql("postgres", "read_rows", table=table.quoted, columns=table.read_columns())
    after = FIRST_PLACE
    while rows := await _rows(transaction, statement, {"after": after, "limit": CHUNK_ROWS}):
        yield [table.file_row(row) for row in rows]
        after = rows[-1]["ctid"]


class ServerRestore:
    """One restore of a backup into an open store."""

    def __init__(self, source: SqliteSource, store: Store, tell: BackupListener) -> None:
        assert isinstance(store.backend, PostgresBackend)
        self._source, self._store, self._tell = source, store, tell
        self._backend = store.backend
        self._target = PostgresTarget(store)
        self._refused: set[tuple[str, str]] = set()
        self.tables: list[OtherTable] = []

    def failed(self) -> dict[str, int]:
        """Return the rows that the server cannot hold, by table."""
        names = [BY_NAME[name].stored_as for name, _ in self._refused]
        return {name: names.count(name) for name in names}

    async def run(self, file: FileTables) -> None:
        """Replace all rows of the store by those of the backup, in one transaction."""
        model = await asyncio.to_thread(self._source.model)
        before = await self._store.models.refresh()
        try:
            async with self._backend.transaction() as transaction:
                await self._refuse_jobs(transaction)
                self.tables = await read_other_tables(transaction)
                indexes = await self._empty(transaction, model, before)
                await self._write(transaction, file)
                self._tell(BackupStep("indexing", 0))
                for statement in indexes:
                    await self._target.build_index(transaction, statement)
                await self._target.analyze(transaction)
        except BaseException:
            self._backend.use_model(before)
            raise
        await self._backend.reopen()
        await self._store.models.refresh()

    async def _refuse_jobs(self, transaction: PostgresTransaction) -> None:
        await transaction.fetch("lock_schema")
        for row in await live_jobs(transaction, self._store.now()):
            job = short_id(str(row["delegation_id"]))
            raise Refused(f"Job {job} is writing to {self._store.title}; wait for it to end, or cancel it.")

    async def _empty(
        self, transaction: PostgresTransaction, model: ModelSignature | None, before: ModelSignature | None
    ) -> Sequence[str]:
        """Delete all rows; return the statements that build the indexes again, which are dropped meanwhile."""
        names = [*(table.name for table in reversed(self.tables)), *(table.stored_as for table in reversed(TABLES))]
        tables = ", ".join(map(quoted, names))
        await _rows(transaction, backup_sql("postgres", "hold_tables", tables=tables))
        await transaction.connection.execute(self._backend.lift_timeouts(local=True))
        try:
            async with transaction.connection.transaction():
                await _rows(transaction, backup_sql("postgres", "empty_tables", tables=tables))
        except (errors.InsufficientPrivilege, errors.FeatureNotSupported) as error:
            log_suppressed(log, "empty all tables at once", error)
            for name in names:
                await _rows(transaction, backup_sql("postgres", "delete_rows", table=quoted(name)))
        index = await transaction.fetch("find_index")
        indexes = await self._target.drop_indexes(transaction)
        if model is None or before is None or model.dimension == before.dimension:
            return indexes
        # Its type follows from the width of the vectors.
        staged = [migration for migration in migrations("postgres") if migration.staged]
        for migration in staged:
            await transaction.execute("forget_applied", {"version": migration.version})
        return [statement for statement in indexes if not (index and f" {index[0]['name']} " in statement)]

    async def _write(self, transaction: PostgresTransaction, file: FileTables) -> None:
        """Write the rows of the backup: the tables without a reference to memories, the memories, and the others."""
        first = [table for table in self.tables if not table.parents & COPIED]
        for table in first:
            await self._write_other(transaction, file, table)
        if (model := await asyncio.to_thread(self._source.model)) is not None:
            await self._stamp(transaction, model, "stamp_width")
        self._target.model = model
        await self._write_copied(transaction)
        spare = await transaction.fetch("get_spare")
        if spare and model is not None:
            await self._stamp(transaction, read_model(spare[0]), "stamp_spare")
            self._backend.use_model(model)
        for table in self.tables:
            if table not in first:
                await self._write_other(transaction, file, table)
        await self._settle(transaction, file)

    async def _stamp(self, transaction: PostgresTransaction, model: ModelSignature, block: str) -> None:
        """Give a column of vectors the width of a model."""
        self._backend.use_model(model)
        [row] = await _rows(transaction, backup_sql("postgres", "read_type", table=_STAMPED[block]))
        if not str(row["type"]).endswith(self._backend.typed("{vector}({width})")):
            await transaction.script(compose("postgres", block))

    async def _write_copied(self, transaction: PostgresTransaction) -> None:
        comparison = await self._comparison(StdoutReporter(Meter(), lambda meter: None))
        await comparison.load_users()
        for table in TABLES:
            total, done = (await asyncio.to_thread(self._source.count, table.name)).rows, 0
            async with aclosing(comparison.batches(table)) as batches:
                async for batch in batches:
                    outcome = await self._target.write(transaction, table, batch.rows, fresh=True)
                    self._refused |= {(table.name, batch.rows[place].key) for place in outcome.refused}
                    self._refused |= {(table.name, finding.source_key) for finding in batch.failed}
                    done += batch.read
                    self._tell(BackupStep("restoring", done, total, table.stored_as))
        await self._target.settle(transaction)

    async def _write_other(self, transaction: PostgresTransaction, file: FileTables, table: OtherTable) -> None:
        """Write one of the other tables. Raises Unavailable if the server then has other rows than the backup."""
        if (common := file.common(table)) is None:
            return
        statement = backup_sql(
            "postgres",
            "insert_row",
            table=common.quoted,
            columns=common.column_list,
            values=common.given_values(),
        ).encode()
        digest = 0
        async with transaction.connection.cursor() as cursor:
            for rows in file.read(common):
                await cursor.executemany(statement, [common.params(row) for row in rows])
                digest += sum(map(common.digest, rows))
        async for written_rows in read_server_rows(transaction, common):
            digest -= sum(map(common.digest, written_rows))
        if digest:
            raise Unavailable(f"{self._store.title} changed rows of {table.name}; nothing was restored.")

    async def _settle(self, transaction: PostgresTransaction, file: FileTables) -> None:
        """Give the lines of logs the numbers that they have in the backup, and continue after the highest ones."""
        lasts = file.sequences()
        for log_table in LOGS:
            new = file.numbers(log_table.stored_as)
            lasts[log_table.stored_as] = max([lasts.get(log_table.stored_as, 0), *new[-1:]])
            statement = backup_sql("postgres", "read_numbers", table=quoted(log_table.stored_as))
            old = [int(row["id"]) for row in await _rows(transaction, statement)]
            if old != new and len(old) == len(new):
                params = {"old": old, "new": new}
                for block in RENUMBERING[log_table.name]:
                    await _rows(transaction, backup_sql("postgres", block), params)
        for row in await _rows(transaction, backup_sql("postgres", "list_sequences")):
            gap = lasts.get(row["name"], 0) - int(row["last"])
            if gap > 0:
                advance = {"sequence": row["sequence"], "gap": gap}
                await _rows(transaction, backup_sql("postgres", "advance_sequence"), advance)

    async def compare(self) -> None:
        """Compare every row of the store with the backup. Raises Unavailable for a difference."""

        def show(meter: Meter) -> None:
            self._tell(BackupStep("comparing", sum(table.read for table in meter.tables.values())))

        reporter = StdoutReporter(Meter(), show)
        await (await self._comparison(reporter)).run()
        if not equal(reporter.meter.tables):
            raise Unavailable(
                f"{self._store.title} was restored, but differs from the backup; unless another program has changed it "
                "already, `vestige-tui migrate verify` names the rows."
            )

    async def _comparison(self, reporter: StdoutReporter) -> Comparison:
        model = await asyncio.to_thread(self._source.model)
        context = TransferContext(
            moment=self._store.now(),
            duplicate_ids=await asyncio.to_thread(self._source.duplicate_ids),
            width=model.dimension if model else None,
            half=self._target.half,
        )

        def is_refused(table: str, row: TransferRow) -> bool:
            return (table, row.key) in self._refused

        return Comparison(self._source, target_reader_of(self._store), context, reporter, excused=is_refused)
