"""Backup of a store on a server into one SQLite file: every row of one moment, compared row by row.

The tables of a copy go through its source and its target; the other tables (journal, jobs, kept vectors) follow as they
are. The lines of logs keep their numbers, by which the journal names them, so that undo works in the file as well.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import aclosing, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from vestige_tui.core import files
from vestige_tui.core.backups import Backup, BackupListener, BackupStep
from vestige_tui.core.errors import Unavailable
from vestige_tui.jobs.context import Meter
from vestige_tui.store.backends.sqlite_backup import count_rows, examined, opened
from vestige_tui.store.open import open_store, writing_drafts
from vestige_tui.transfer.comparison import Comparison
from vestige_tui.transfer.comparison_reporters import StdoutReporter
from vestige_tui.transfer.convert import TransferContext
from vestige_tui.transfer.differences import equal
from vestige_tui.transfer.file_tables import LOGS, FileTables, written
from vestige_tui.transfer.kept_ids import KeptIds
from vestige_tui.transfer.other_tables import (
    CHUNK_ROWS,
    FIRST_PLACE,
    FileRow,
    OtherTable,
    backup_sql,
    columns_sql,
    other_tables,
    quoted,
)
from vestige_tui.transfer.postgres_source import PostgresSource
from vestige_tui.transfer.sqlite_target import SqliteTarget
from vestige_tui.transfer.table_spec import BY_NAME, TABLES, USERS
from vestige_tui.transfer.target_readers import target_reader_of

if TYPE_CHECKING:
    from vestige_tui.store.store import Store
    from vestige_tui.transfer.convert import TransferRow

RowName: TypeAlias = tuple[str, str]
"""Table and key of a row."""


async def back_up_server(url: str, path: Path, tell: BackupListener) -> Backup:
    """Write a backup of the store at a URL into a new file. Raises as ``backups.back_up`` does."""
    document = await asyncio.to_thread(examined, path)
    source = await asyncio.to_thread(partial(PostgresSource, url, snapshot=True))
    try:
        with files.drafted(document) as draft:
            with writing_drafts():
                refused = await _copy(source, draft, tell)
            left_behind = await asyncio.to_thread(_copy_others, source, draft, tell)
            await _compare(source, draft, refused, tell)
            rows = await asyncio.to_thread(_count, draft)
            size = draft.stat().st_size
    finally:
        await asyncio.to_thread(source.close)
    return Backup(document.path, size, rows, left_behind, Counter(BY_NAME[name].stored_as for name, _ in refused))


def _count(draft: Path) -> dict[str, int]:
    with closing(opened(draft, idle=True)) as connection:
        return count_rows(connection)


async def _copy(source: PostgresSource, draft: Path, tell: BackupListener) -> frozenset[RowName]:
    """Copy the tables of a copy into a new store; return the rows that it cannot hold: table and key."""
    async with open_store(f"sqlite:{draft}", create=True):
        pass
    with written(draft) as file:
        # A new store has a user of its own.
        file.clear(OtherTable(USERS.stored_as, {}, ()))
    refused: set[RowName] = set()
    async with open_store(f"sqlite:{draft}") as store:
        target = SqliteTarget(store, KeptIds())
        comparison = await _comparison(source, store, StdoutReporter(Meter(), lambda meter: None))
        if (model := await asyncio.to_thread(source.model)) is not None:
            target.model = await store.models.register(model)
        await comparison.load_users()
        for table in TABLES:
            total, done = (await asyncio.to_thread(source.count, table.name)).rows, 0
            async with aclosing(comparison.batches(table)) as batches:
                async for batch in batches:
                    async with store.backend.write() as transaction:
                        outcome = await target.write(transaction, table, batch.rows, fresh=True)
                    refused |= {(table.name, batch.rows[position].key) for position in outcome.refused}
                    refused |= {(table.name, finding.source_key) for finding in batch.failed}
                    done += batch.read
                    tell(BackupStep("copying", done, total, table.stored_as))
        async with store.backend.write() as transaction:
            await target.settle(transaction)
    return frozenset(refused)


async def _comparison(
    source: PostgresSource, store: Store, reporter: StdoutReporter, refused: frozenset[RowName] = frozenset()
) -> Comparison:
    model = await asyncio.to_thread(source.model)
    context = TransferContext(
        moment=store.now(), duplicate_ids={}, width=model.dimension if model else None, half=False, kept_ids=None
    )

    def is_refused(table: str, row: TransferRow) -> bool:
        return (table, row.key) in refused

    return Comparison(source, target_reader_of(store), context, reporter, excused=is_refused)


def _copy_others(source: PostgresSource, draft: Path, tell: BackupListener) -> Mapping[str, int]:
    """Copy the other tables and the numbers of the logs; return the tables of which the file has none, with rows."""
    left_behind: dict[str, int] = {}
    with written(draft) as file:
        for table in source_tables(source):
            if not table.ours or (common := file.common(table)) is None:
                if rows := _count_server(source, table):
                    left_behind[table.name] = rows
                continue
            _copy_table(source, file, common, tell)
        lasts = {row["name"]: int(row["last"]) for row in source.rows(backup_sql("postgres", "list_sequences"))}
        for log in LOGS:
            numbers = [int(row["id"]) for row in source.rows(_numbers_sql(log.stored_as))]
            present = file.numbers(log.stored_as)
            if present != numbers and len(present) == len(numbers):
                file.renumber(log, present, numbers)
            # A role without the right to a sequence sees no last number.
            lasts[log.stored_as] = max([lasts.get(log.stored_as, 0), *numbers[-1:]])
        file.set_sequences({name: last for name, last in lasts.items() if last and name in _numbered(file, lasts)})
    return left_behind


def source_tables(source: PostgresSource) -> list[OtherTable]:
    """Return the tables that the store has beside those of a copy, with those of other programs."""
    return other_tables(source.rows(columns_sql()), source.rows(backup_sql("postgres", "list_references")))


def _numbers_sql(stored_as: str) -> str:
    return backup_sql("postgres", "read_numbers", table=quoted(stored_as))


def _numbered(file: FileTables, lasts: Mapping[str, int]) -> set[str]:
    """Return the tables whose last number the file may get: it has rows of them, or had."""
    logs = {log.stored_as for log in LOGS}
    return {name for name in lasts if name in logs or file.common(OtherTable(name, {"id": "int8"}, ("id",)))}


def _count_server(source: PostgresSource, table: OtherTable) -> int:
    [row] = source.rows(backup_sql("postgres", "count_rows", table=table.quoted))
    return int(row["n"])


def server_rows(source: PostgresSource, table: OtherTable) -> Iterator[list[FileRow]]:
    """Yield the rows of one of the other tables in chunks, as a file stores them."""
    statement = backup_sql("postgres", "read_rows", table=table.quoted, columns=table.read_columns())
    after = FIRST_PLACE
    while rows := source.rows(statement, {"after": after, "limit": CHUNK_ROWS}):
        yield [table.file_row(row) for row in rows]
        after = rows[-1]["ctid"]


def _copy_table(source: PostgresSource, file: FileTables, table: OtherTable, tell: BackupListener) -> None:
    """Copy one of the other tables. Raises Unavailable if the file holds other rows than were read."""
    file.clear(table)
    count = digest = 0
    for rows in server_rows(source, table):
        file.insert(table, rows)
        count, digest = count + len(rows), digest + sum(map(table.digest, rows))
        tell(BackupStep("copying", count, None, table.name))
    if file.digest(table) != digest:
        raise Unavailable(f"The backup has other rows of {table.name} than {source.title}; it was deleted.")


async def _compare(source: PostgresSource, draft: Path, refused: frozenset[RowName], tell: BackupListener) -> None:
    """Compare every row of the file with the server. Raises Unavailable for a difference."""

    def show(meter: Meter) -> None:
        tell(BackupStep("comparing", sum(table.read for table in meter.tables.values())))

    reporter = StdoutReporter(Meter(), show)
    async with open_store(f"sqlite:{draft}", read_only=True) as store:
        await (await _comparison(source, store, reporter, refused)).run()
    tables = reporter.meter.tables
    if not equal(tables):
        names = ", ".join(name for name, each in tables.items() if each.differ or each.only_source or each.only_target)
        raise Unavailable(f"The backup differs from {source.title} in {names}; it was deleted.")
