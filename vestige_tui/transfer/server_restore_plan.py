"""Losses of a restore into a store on a server, row by row, without changes: rows deleted and rows overwritten."""

from __future__ import annotations

import asyncio
import logging
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vestige_tui.core.backups import EXAMPLE_COUNT, RestorePlan, TableLoss
from vestige_tui.core.errors import NotFound, SchemaPending, StoreMissing
from vestige_tui.core.log import log_suppressed
from vestige_tui.jobs.context import Meter
from vestige_tui.store.backends.sqlite_backup import count_rows, opened
from vestige_tui.store.open import open_backend, open_store
from vestige_tui.transfer.comparison_reporters import StdoutReporter
from vestige_tui.transfer.file_tables import FileTables, read
from vestige_tui.transfer.postgres_source import PostgresSource
from vestige_tui.transfer.server_backup import server_rows, source_tables
from vestige_tui.transfer.server_restore import refuse_other_kind
from vestige_tui.transfer.sqlite_source import SqliteSource
from vestige_tui.transfer.table_spec import BY_NAME, MEMORIES
from vestige_tui.transfer.verify import prepare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vestige_tui.core.jobs import JobFinding
    from vestige_tui.store.store import Store
    from vestige_tui.transfer.other_tables import OtherTable

log = logging.getLogger(__name__)


async def plan_server_restore(path: Path, url: str) -> RestorePlan:
    """Return the rows that the store at a URL has and a backup lacks. Raises as ``backups.plan_restore`` does."""
    await asyncio.to_thread(refuse_other_kind, path)
    rows = await asyncio.to_thread(_count, path)
    title = open_backend(url, read_only=True).title
    try:
        others = await asyncio.to_thread(_other_losses, path, url)
    except (SchemaPending, StoreMissing) as error:
        log_suppressed(log, "compare a backup with a store that does not exist yet", error)
        return RestorePlan(path, title, rows)
    losses, examples = await _copied_losses(path, url)
    return RestorePlan(path, title, rows, (*losses, *others), examples)


def _count(path: Path) -> dict[str, int]:
    with closing(opened(path, idle=True)) as connection:
        return count_rows(connection)


async def _copied_losses(path: Path, url: str) -> tuple[list[TableLoss], tuple[str, ...]]:
    """Return the losses in the tables of a copy, and texts of some memories that only the store has."""
    source = await asyncio.to_thread(partial(SqliteSource, path, idle=True))
    reporter = StdoutReporter(Meter(), lambda meter: None)
    try:
        async with open_store(url, read_only=True, max_connections=2) as store:
            await (await prepare(source, store, reporter, strict=True)).run()
            examples = await _examples(store, reporter.findings)
    finally:
        await asyncio.to_thread(source.close)
    losses = [
        TableLoss(BY_NAME[name].stored_as, each.only_target, each.differ)
        for name, each in reporter.meter.tables.items()
        if each.only_target or each.differ
    ]
    return losses, examples


async def _examples(store: Store, findings: Sequence[JobFinding]) -> tuple[str, ...]:
    keys = [each.source_key for each in findings if (each.subject, each.outcome) == (MEMORIES.name, "only_target")]
    texts = []
    for key in keys[:EXAMPLE_COUNT]:
        try:
            texts.append((await store.get(key)).content)
        except NotFound as error:
            log_suppressed(log, "read a memory that the backup lacks", error)
    return tuple(texts)


def _other_losses(path: Path, url: str) -> list[TableLoss]:
    """Return the losses in the tables that no copy knows."""
    source = PostgresSource(url, snapshot=True)
    try:
        with read(path) as file:
            losses = [_loss(source, file, table) for table in source_tables(source) if table.ours and table.is_content]
    finally:
        source.close()
    return [loss for loss in losses if loss.missing or loss.changed]


def _loss(source: PostgresSource, file: FileTables, table: OtherTable) -> TableLoss:
    common = file.common(table)
    kept = {}
    if common is not None:
        kept = {common.key_of(row): common.digest(row) for rows in file.read(common) for row in rows}
    missing = changed = 0
    known = common or table
    for rows in server_rows(source, known):
        for row in rows:
            digest = kept.get(known.key_of(row))
            missing += digest is None
            changed += digest is not None and digest != known.digest(row)
    return TableLoss(table.name, missing, changed)
