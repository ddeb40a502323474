"""Repair a copy: write the rows that a comparison finds missing or different.

Unlike a copy it overwrites: the source wins. Rows that only the target has stay unless they are to be deleted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from vestige_tui.core.errors import Conflict
from vestige_tui.core.jobs import JobFinding, TableProgress
from vestige_tui.core.text import short_id
from vestige_tui.jobs.conflicts import live_jobs, refuse_reembedding
from vestige_tui.jobs.known_stores import without_password
from vestige_tui.jobs.start import JobRequest, ValidatedJob
from vestige_tui.jobs.store_identity import same_store
from vestige_tui.store.open import open_backend
from vestige_tui.transfer.catchup_deletions import delete_unused
from vestige_tui.transfer.comparison import KEYS_PAGE_ROWS, Comparison
from vestige_tui.transfer.comparison_reporters import LedgerReporter
from vestige_tui.transfer.copy_context import copy_target_of
from vestige_tui.transfer.differences import verdict
from vestige_tui.transfer.kept_ids import spellings
from vestige_tui.transfer.open import open_source, target_of
from vestige_tui.transfer.row_keys import name_of
from vestige_tui.transfer.sanitize import sentence
from vestige_tui.transfer.table_spec import MEMORIES, TABLES
from vestige_tui.transfer.verify import check as check_comparison
from vestige_tui.transfer.verify import dry_run as count_rows

if TYPE_CHECKING:
    from vestige_tui.jobs.context import JobContext
    from vestige_tui.store.backends.protocol import Backend, Transaction
    from vestige_tui.transfer.convert import TransferRow
    from vestige_tui.transfer.copy_context import CopyTarget
    from vestige_tui.transfer.protocols import Batch, Source, WriteOutcome
    from vestige_tui.transfer.table_spec import Table


async def check(request: JobRequest, *, dry: bool = False) -> ValidatedJob:
    """Refuse a repair that cannot succeed. Raises Conflict while a copy between the two stores is in flight."""
    comparison = await check_comparison(request, dry=dry)
    backend = open_backend(request.target, max_connections=1)
    await backend.open()
    try:
        now = datetime.now(UTC)
        await refuse_reembedding(backend, now)
        await _refuse_copy(backend, comparison.source, now)
        title = backend.title
    finally:
        await backend.close()
    return ValidatedJob(
        comparison.source,
        comparison.target,
        "",
        f"repair {title}",
        {"delete": True} if request.options.get("delete") else {},
        anew=True,
    )


async def _refuse_copy(backend: Backend, source: str, now: datetime) -> None:
    for row in await live_jobs(backend, now):
        if row["kind"] == "copy" and same_store(row["source"], source):
            job = short_id(str(row["delegation_id"]))
            raise Conflict(f"A copy of the same store is running as job {job}; wait for it to end, or cancel it.")


async def dry_run(request: JobRequest) -> dict[str, TableProgress]:
    """Count the rows that a repair would read, table by table."""
    await check(request, dry=True)
    return await count_rows(request)


async def run(context: JobContext) -> str:
    """Write the rows that differ, then compare everything; return a summary of both."""
    source = await context.with_retries(partial(asyncio.to_thread, open_source, context.source))
    try:
        copy_target = await context.with_retries(partial(copy_target_of, source, context.store))
        # A copy may have started since the check.
        await _refuse_copy(context.store.backend, without_password(source.location), context.store.now())
        repair = Repair(context, source, copy_target)
        await repair.run()
        comparison = Comparison(
            source,
            copy_target.target_reader,
            copy_target.transfer_context,
            LedgerReporter(context),
            counting=False,
            excused=repair.is_refused,
        )
        await comparison.run()
    finally:
        source.close()
    await context.phase("done")
    return _words(context)


def _words(context: JobContext) -> str:
    tables = context.meter.tables.values()
    counts = {
        "inserted": sum(table.inserted for table in tables),
        "updated": sum(table.updated for table in tables),
        "deleted": sum(table.deleted for table in tables),
    }
    words = [f"{count:,} {verb}" for verb, count in counts.items() if count]
    return ", ".join([*(words or ["nothing changed"]), verdict(context.meter.tables)])


class Repair:
    """One pass over all tables that writes missing and different rows."""

    def __init__(self, context: JobContext, source: Source, copy_target: CopyTarget) -> None:
        self._context = context
        self._source = source
        self._target_reader = copy_target.target_reader
        self._kept_ids = copy_target.transfer_context.kept_ids
        self._target = target_of(context.store, self._kept_ids)
        self._comparison = Comparison(
            source, copy_target.target_reader, copy_target.transfer_context, LedgerReporter(context)
        )
        self._refused: set[tuple[str, str]] = set()

    def is_refused(self, table: str, row: TransferRow) -> bool:
        """Check whether the target refused a row."""
        return (table, row.key) in self._refused

    async def run(self) -> None:
        """Write missing and different rows, table by table; delete rows that only the target has if requested."""
        self._target.model = await self._context.with_retries(self._context.store.models.registered)
        await self._comparison.load_users()
        for table in TABLES:
            await self._repair_table(table)
        if self._context.options.get("delete"):
            # Dependent rows first.
            for table in reversed(TABLES):
                await self._delete_others(table)
        await self._context.phase("checking replacements")
        await self._context.step(self._target.settle)

    async def _repair_table(self, table: Table) -> None:
        if table.embedded and not self._target_reader.vectors:
            return  # This target cannot hold vectors of another model.
        count = await self._context.with_retries(partial(asyncio.to_thread, self._source.count, table.name))
        self._context.meter.tables[table.name] = TableProgress(total=count.rows)
        await self._context.phase(f"repairing {table.name}")
        if count.keyless:
            await self._context.step(partial(self._count_keyless, table=table, rows=count.keyless))
        rows_before = 0
        async with aclosing(self._comparison.batches(table)) as batches:
            async for batch in batches:
                await self._repair_batch(table, batch, rows_before)
                rows_before += len(batch.rows)

    async def _count_keyless(self, transaction: Transaction, table: Table, rows: int) -> None:
        self._context.meter.add(table.name, read=rows, failed=rows)
        await self._add_findings(transaction, [JobFinding(table.name, "failed", "NULL", f"{rows:,} rows have no id.")])

    async def _repair_batch(self, table: Table, batch: Batch, rows_before: int) -> None:
        comparison = await self._comparison.compare_batch(table, batch, rows_before)
        missing = [batch.rows[position] for position in comparison.missing]
        differing = [batch.rows[position] for position in comparison.differ]

        async def repair(transaction: Transaction) -> tuple[WriteOutcome, WriteOutcome]:
            inserted = await self._target.write(transaction, table, missing, fresh=False)
            updated = await self._target.update(transaction, table, differing)
            if table is MEMORIES and not self._target_reader.vectors:
                # The vector was encoded here from the old text.
                memory_ids = [
                    {"id": spelling}
                    for position in comparison.differ
                    if "content" in comparison.rows.differ[position]
                    for spelling in spellings(batch.rows[position].values[0] or b"", self._kept_ids)
                ]
                await transaction.execute_many("delete_embedding", memory_ids)
            refused = len(inserted.refused) + len(updated.refused)
            failed = len(comparison.failed) + refused
            self._context.meter.add(
                table.name,
                read=batch.read,
                inserted=inserted.inserted,
                updated=updated.inserted,
                failed=failed,
                present=batch.read - inserted.inserted - failed,
            )
            await self._add_findings(
                transaction,
                [
                    *comparison.failed,
                    *_row_findings(table, missing, inserted, ""),
                    *_row_findings(table, differing, updated, _UPDATED),
                ],
            )
            return inserted, updated

        inserted, updated = await self._context.step(repair)
        for written, outcome in ((missing, inserted), (differing, updated)):
            self._refused |= {(table.name, written[position].key) for position in outcome.refused}

    async def _delete_others(self, table: Table) -> None:
        if table.embedded and not self._target_reader.vectors:
            return
        await self._context.phase(f"deleting {table.name}")
        keys: list[bytes] = []
        async with aclosing(self._comparison.others(table)) as pages:
            async for page in pages:
                keys += page
        # From the end, so that the ordinals of equal log lines stay valid.
        for end in range(len(keys), 0, -KEYS_PAGE_ROWS):
            await self._context.step(partial(self._delete, table=table, keys=keys[max(0, end - KEYS_PAGE_ROWS) : end]))

    async def _delete(self, transaction: Transaction, table: Table, keys: Sequence[bytes]) -> None:
        in_use = await delete_unused(self._target, transaction, table, keys)
        self._context.meter.add(table.name, deleted=len(keys) - len(in_use))
        await self._add_findings(
            transaction,
            [
                JobFinding(
                    table.name, "deleted", name_of(table.name, key, self._kept_ids), "The source does not have it."
                )
                for key in keys
                if key not in in_use
            ],
        )

    async def _add_findings(self, transaction: Transaction, findings: Sequence[JobFinding]) -> None:
        await self._context.ledger.add_findings(transaction, self._context.job_id, findings)


_UPDATED = "It was different in the target."


def _row_findings(table: Table, rows: Sequence[TransferRow], outcome: WriteOutcome, updated: str) -> list[JobFinding]:
    """Return the findings about single rows: refused and overwritten ones."""
    findings: list[JobFinding] = []
    for position, row in enumerate(rows):
        if position in outcome.refused:
            findings.append(JobFinding(table.name, "failed", row.key, sentence(outcome.refused[position])))
        elif updated and position not in outcome.present:
            findings.append(JobFinding(table.name, "updated", row.key, updated))
    return findings
