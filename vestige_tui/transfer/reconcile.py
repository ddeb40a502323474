"""The repair of a copy: what a comparison finds missing or different is brought from the source into the target.

Unlike a copy it overwrites: what the source has wins. Rows that only the target has stay unless they are to be deleted.
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
from vestige_tui.jobs.conflicts import refuse_reembedding
from vestige_tui.jobs.known_stores import without_password
from vestige_tui.jobs.ledger import IN_FLIGHT, LEASE
from vestige_tui.jobs.start import JobRequest, ValidatedJob
from vestige_tui.store.backends import pgbinary_decode
from vestige_tui.store.open import open_backend
from vestige_tui.store.schema.rows import as_time
from vestige_tui.transfer.convert import TABLES
from vestige_tui.transfer.follow import delete_unused
from vestige_tui.transfer.open import open_source, target_of
from vestige_tui.transfer.sanitize import sentence
from vestige_tui.transfer.sqlite_source import sqlite_path
from vestige_tui.transfer.verify import KEYS, Comparison, LedgerReporter, copy_target_of, name_of, verdict
from vestige_tui.transfer.verify import check as check_comparison
from vestige_tui.transfer.verify import dry_run as count_rows

if TYPE_CHECKING:
    from vestige_tui.jobs.context import JobContext
    from vestige_tui.store.backends.protocol import Backend, Transaction
    from vestige_tui.transfer.convert import Table, TransferRow
    from vestige_tui.transfer.protocols import Batch, Source, WriteOutcome
    from vestige_tui.transfer.verify import CopyTarget


async def check(work: JobRequest, *, dry: bool = False) -> ValidatedJob:
    """Refuse what cannot be compared, or written. Raises Conflict while a copy between the two is at work."""
    compared = await check_comparison(work, dry=dry)
    backend = open_backend(work.target, max_connections=1)
    await backend.open()
    try:
        now = datetime.now(UTC)
        await refuse_reembedding(backend, now)
        await _refuse_copy(backend, compared.source, now)
        title = backend.title
    finally:
        await backend.close()
    return ValidatedJob(
        compared.source,
        compared.target,
        "",
        f"repair {title}",
        {"delete": True} if work.options.get("delete") else {},
        anew=True,
    )


async def _refuse_copy(backend: Backend, source: str, now: datetime) -> None:
    for row in await backend.fetch("list_writing_jobs", {"in_flight": list(IN_FLIGHT)}):
        last = as_time(row["last_sign"])
        if row["kind"] == "copy" and _same(row["source"], source) and last is not None and now - last <= LEASE:
            job = short_id(str(row["delegation_id"]))
            raise Conflict(f"A copy of the same store is at work, as job {job}; wait for its end, or cancel it.")


def _same(one: str, other: str) -> bool:
    """Are two locations, without passwords, one store?"""
    if one.startswith("sqlite:") and other.startswith("sqlite:"):
        return sqlite_path(one).resolve() == sqlite_path(other).resolve()
    return one == other


async def dry_run(work: JobRequest) -> dict[str, TableProgress]:
    """What a repair would read, table by table."""
    await check(work, dry=True)
    return await count_rows(work)


async def run(running: JobContext) -> str:
    """Bring what differs, then compare everything; gives what came of both in words."""
    source = await running.with_retries(partial(asyncio.to_thread, open_source, running.source))
    assert source is not None
    try:
        copied = await running.with_retries(partial(copy_target_of, source, running.store))
        assert copied is not None
        # One may have begun since the person was asked.
        await _refuse_copy(running.store.backend, without_password(source.location), running.store.now())
        repair = Repair(running, source, copied)
        await repair.run()
        comparison = Comparison(
            source, copied.mirror, copied.setting, LedgerReporter(running), counting=False, excused=repair.is_refused
        )
        await comparison.run()
    finally:
        source.close()
    await running.phase("done")
    return _words(running)


def _words(running: JobContext) -> str:
    tables = running.meter.tables.values()
    counts = {
        "inserted": sum(table.inserted for table in tables),
        "updated": sum(table.updated for table in tables),
        "deleted": sum(table.deleted for table in tables),
    }
    words = [f"{count:,} {verb}" for verb, count in counts.items() if count]
    return ", ".join([*(words or ["nothing changed"]), verdict(running.meter.tables)])


class Repair:
    """One pass over everything that brings what differs."""

    def __init__(self, running: JobContext, source: Source, copied: CopyTarget) -> None:
        self._running = running
        self._source = source
        self._mirror = copied.mirror
        self._target = target_of(running.store)
        self._comparison = Comparison(source, copied.mirror, copied.setting, LedgerReporter(running))
        self._refused: set[tuple[str, str]] = set()

    def is_refused(self, table: str, fit: TransferRow) -> bool:
        """Whether the target has not taken a row."""
        return (table, fit.key) in self._refused

    async def run(self) -> None:
        """Bring what is missing or different, table by table; delete what only the target has where that is asked."""
        self._target.model = await self._running.with_retries(self._running.store.registered_model)
        await self._comparison.know_users()
        for table in TABLES:
            await self._bring_table(table)
        if self._running.options.get("delete"):
            # What belongs to a row goes before it.
            for table in reversed(TABLES):
                await self._delete_others(table)
        await self._running.phase("checking which memory replaces which")
        await self._running.step(self._target.settle)

    async def _bring_table(self, table: Table) -> None:
        if table.name == "vectors" and not self._mirror.vectors:
            return  # Vectors of another model are none that this target could hold.
        count = await self._running.with_retries(partial(asyncio.to_thread, self._source.count, table.name))
        assert count is not None
        self._running.meter.tables[table.name] = TableProgress(total=count.rows)
        await self._running.phase(f"repairing {table.name}")
        if count.keyless:
            await self._running.step(partial(self._count_keyless, table=table, rows=count.keyless))
        rows = 0
        async with aclosing(self._comparison.batches(table)) as batches:
            async for batch in batches:
                await self._bring(table, batch, rows)
                rows += len(batch.fits)

    async def _count_keyless(self, transaction: Transaction, table: Table, rows: int) -> None:
        self._running.meter.add(table.name, read=rows, failed=rows)
        await self._note(transaction, [JobFinding(table.name, "failed", "NULL", f"{rows:,} rows have no id.")])

    async def _bring(self, table: Table, batch: Batch, rows: int) -> None:
        judged = await self._comparison.judge(table, batch, rows)
        missing = [batch.fits[place] for place in judged.missing]
        differing = [batch.fits[place] for place in judged.differ]

        async def bring(transaction: Transaction) -> tuple[WriteOutcome, WriteOutcome]:
            inserted = await self._target.write(transaction, table, missing, fresh=False)
            updated = await self._target.update(transaction, table, differing)
            if table.name == "memories" and not self._mirror.vectors:
                # Its vector was made here, of the text before.
                many = [
                    {"id": pgbinary_decode.uuid(batch.fits[place].values[0] or b"")}
                    for place in judged.differ
                    if "content" in judged.compared.differ[place]
                ]
                await transaction.execute_many("delete_embedding", many)
            refused = len(inserted.refused) + len(updated.refused)
            failed = len(judged.failed) + refused
            self._running.meter.add(
                table.name,
                read=batch.read,
                inserted=inserted.inserted,
                updated=updated.inserted,
                failed=failed,
                present=batch.read - inserted.inserted - failed,
            )
            await self._note(
                transaction,
                [*judged.failed, *_told(table, missing, inserted, ""), *_told(table, differing, updated, _UPDATED)],
            )
            return inserted, updated

        inserted, updated = await self._running.step(bring)
        for fits, outcome in ((missing, inserted), (differing, updated)):
            self._refused |= {(table.name, fits[place].key) for place in outcome.refused}

    async def _delete_others(self, table: Table) -> None:
        if table.name == "vectors" and not self._mirror.vectors:
            return
        await self._running.phase(f"deleting {table.name}")
        keys: list[bytes] = []
        async with aclosing(self._comparison.others(table)) as pages:
            async for page in pages:
                keys += page
        # From the end: of lines that say the same, the places of the others stay as they were counted.
        for end in range(len(keys), 0, -KEYS):
            await self._running.step(partial(self._delete, table=table, keys=keys[max(0, end - KEYS) : end]))

    async def _delete(self, transaction: Transaction, table: Table, keys: Sequence[bytes]) -> None:
        used = await delete_unused(self._target, transaction, table, keys)
        self._running.meter.add(table.name, deleted=len(keys) - len(used))
        await self._note(
            transaction,
            [
                JobFinding(table.name, "deleted", name_of(table.name, key), "The source does not have it.")
                for key in keys
                if key not in used
            ],
        )

    async def _note(self, transaction: Transaction, findings: Sequence[JobFinding]) -> None:
        await self._running.ledger.add_findings(transaction, self._running.job_id, findings)


_UPDATED = "It was different in the target."


def _told(table: Table, fits: Sequence[TransferRow], outcome: WriteOutcome, updated: str) -> list[JobFinding]:
    """What is told of single rows: those that were refused, and those that were overwritten."""
    findings: list[JobFinding] = []
    for place, fit in enumerate(fits):
        if place in outcome.refused:
            findings.append(JobFinding(table.name, "failed", fit.key, sentence(outcome.refused[place])))
        elif updated and place not in outcome.present:
            findings.append(JobFinding(table.name, "updated", fit.key, updated))
    return findings
