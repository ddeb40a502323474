"""A copy: one SQLite file into one PostgreSQL store, in batches that are each one transaction with their checkpoint.

What PostgreSQL would refuse never costs its batch: values are mended and rows that cannot be copied are left out, each
with a finding. For each table, at the end: read = inserted + present + failed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import errors

from vestige_tui.embedding import same_model
from vestige_tui.errors import Cancelled, ForeignStore, ModelMismatch, ReadOnly, StoreMissing, Usage
from vestige_tui.jobs import wire
from vestige_tui.jobs.index import without_password
from vestige_tui.jobs.launch import Checked, Work
from vestige_tui.jobs.ledger import CANCELLED, Ledger
from vestige_tui.jobs.repair import shown
from vestige_tui.jobs.running import Meter, Running
from vestige_tui.jobs.source import Key, SqliteSource, end_key, sqlite_path, start_key
from vestige_tui.jobs.tables import TABLES, Fit, Setting, Table, Unfit, model_of
from vestige_tui.model import JobFinding, JobProgress, ModelSignature, TableProgress
from vestige_tui.store import open_backend, open_store, schema
from vestige_tui.store.postgres import MAX_VECTOR, PostgresBackend
from vestige_tui.store.queries import load
from vestige_tui.store.rows import model as read_model
from vestige_tui.text import redact

if TYPE_CHECKING:
    from vestige_tui.jobs.source import Count
    from vestige_tui.store.backend import Backend
    from vestige_tui.store.postgres import PostgresTransaction
    from vestige_tui.store.service import Store

log = logging.getLogger(__name__)

BATCH = 500
MAX_BATCH = 4_000
MAX_BATCH_BYTES = 8_000_000
QUICK_SECONDS, SLOW_SECONDS = 0.3, 0.8
"""A batch that was written faster than this is followed by a larger one, a slower one by a smaller."""
LOG_ROWS = 1_000

# What the server says of a row, not of itself.
_REFUSALS = (psycopg.DataError, psycopg.IntegrityError, errors.ProgramLimitExceeded, errors.StatementTooComplex)


@dataclass(frozen=True, slots=True)
class _Batch:
    """Rows as they are staged: ``fits`` by their place, ``failed`` those that cannot be, ``after`` the last key."""

    fits: Sequence[Fit]
    failed: Sequence[JobFinding]
    read: int
    after: Key


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of staged rows, by place: how many are new, which were there, which were refused and why."""

    inserted: int
    present: frozenset[int]
    refused: Mapping[int, str]


async def check(work: Work, *, dry: bool = False) -> Checked:
    """Refuse what cannot be copied, before a row or a table is made."""
    sqlite_path(work.source)
    backend = open_backend(work.target, create=not dry, max_connections=1)
    if backend.dialect != "postgres":
        raise Usage("A copy goes from a SQLite file to PostgreSQL.")
    async with open_store(work.source, read_only=True) as opened:
        model = model_of(await opened.registered_model())
        checked = Checked(
            opened.location,
            without_password(backend.location()),
            model.name if model else "",
            f"copy {opened.title} to {backend.title}",
            {"batch": int(work.options.get("batch", BATCH))},
            creates=True,
        )
    backend.use_model(model)  # refuses vectors that are too wide
    try:
        await backend.open()
    except StoreMissing:
        if dry:  # an embedded server that the copy would make
            return checked
        raise
    try:
        await _check_target(backend, model)
    finally:
        await backend.close()
    return checked


async def _check_target(backend: Backend, model: ModelSignature | None) -> None:
    if backend.read_only:
        raise ReadOnly(f"{backend.title} is open read-only: {backend.reason}.")
    if not await schema.is_ours(backend):
        if taken := [str(row["name"]) for row in await backend.fetch("list_taken_names")]:
            raise ForeignStore(f"{backend.title} already has a {taken[0]} that is not ours; it was not touched.")
        return
    if not any(info.state == "applied" for info in await schema.status(backend)):
        return
    found = await backend.fetch("get_model")
    if not found or model is None:
        return
    there = read_model(found[0])
    if not same_model(there.name, model.name) or there.dimension != model.dimension:
        raise ModelMismatch(
            f"The source belongs to {model.name} ({model.dimension} dimensions), the target to {there.name} "
            f"({there.dimension}); nothing was copied."
        )


async def dry_run(work: Work) -> dict[str, TableProgress]:
    """What a copy would read, table by table, and what it would leave behind. Makes nothing; raises as a copy would."""
    await check(work, dry=True)
    return await asyncio.to_thread(_counted, sqlite_path(work.source))


def _counted(path: Path) -> dict[str, TableProgress]:
    source = SqliteSource(path)
    try:
        tables = {table.name: TableProgress(total=source.count(table.name).rows) for table in TABLES}
        left = {name: TableProgress(left_behind=rows) for name, rows in source.left_behind().items()}
    finally:
        source.close()
    return tables | left


async def run(running: Running) -> str:
    """Copy everything that is missing; gives what came of it in words."""
    async with open_store(running.source, read_only=True) as opened:
        model = model_of(await opened.registered_model())
    source = await asyncio.to_thread(SqliteSource, sqlite_path(running.source))
    try:
        progress = await Copy(
            source,
            running.store,
            running.job_id,
            model=model,
            moment=running.moment,
            batch=int(running.options.get("batch", BATCH)),
            stop=running.stop,
        ).run()
    finally:
        source.close()
    tables = progress.tables.values()
    inserted, failed = sum(table.inserted for table in tables), sum(table.failed for table in tables)
    await running.ledger.heartbeat(running.job_id, progress)
    return f"{inserted:,} rows inserted, {sum(table.present for table in tables):,} present, {failed:,} failed"


class Copy:
    """One run of a copy. ``stop``: set when it should end at its next checkpoint."""

    def __init__(
        self,
        source: SqliteSource,
        target: Store,
        job_id: str,
        *,
        model: ModelSignature | None,
        moment: datetime,
        batch: int,
        stop: asyncio.Event,
    ) -> None:
        backend = target.backend
        assert isinstance(backend, PostgresBackend)
        self._backend = backend
        self._source = source
        self._target = target
        self._ledger = Ledger(target)
        self._job_id = job_id
        self._model = model
        self._moment = moment
        self._limit = max(1, min(batch, MAX_BATCH))
        self._stop = stop
        self._sql = load("postgres", "copy")
        self.meter = Meter()

    async def run(self) -> JobProgress:
        """Copy everything that is missing. Raises Cancelled at a checkpoint, and whatever the stores raise."""
        counts = await asyncio.to_thread(self._count)
        await self._leave_behind(await asyncio.to_thread(self._source.left_behind))
        setting = Setting(
            moment=self._moment,
            rivals=await asyncio.to_thread(self._source.rivals),
            width=self._model.dimension if self._model else None,
            half=self._model is not None and self._model.dimension > MAX_VECTOR,
        )
        if self._model is not None:
            await self._target.register_model(self._model, finalize=False)
        for table in TABLES:
            self.meter.phase = f"copying {table.name}"
            await self._copy(table, counts[table.name], setting)
        await self._finish()
        return self.meter.snapshot()

    def _count(self) -> Mapping[str, Count]:
        counts = {table.name: self._source.count(table.name) for table in TABLES}
        for name, count in counts.items():
            self.meter.expect(name, count.rows)
        return counts

    async def _leave_behind(self, tables: Mapping[str, int]) -> None:
        findings = []
        for name, rows in tables.items():
            self.meter.tables[name] = TableProgress(left_behind=rows)
            findings.append(
                JobFinding(shown(name), "left_behind", shown(name), f"The target has no place for its {rows:,} rows.")
            )
        async with self._backend.transaction() as transaction:
            await self._ledger.add_findings(transaction, self._job_id, findings)
            await self._note(transaction, None)

    async def _finish(self) -> None:
        self.meter.phase = "checking which memory replaces which"
        await self._note_now()
        async with self._backend.transaction() as transaction:
            await transaction.connection.execute(self._sql["rebuild_winners"].encode())
        if await self._target.registered_model() is not None:
            self.meter.phase = "building the vector index"
            await self._note_now()
            await self._target.finalize_schema()
        async with self._backend.transaction() as transaction:
            await transaction.connection.execute(self._sql["analyze_target"].encode())
        self.meter.phase = "done"

    async def _note_now(self) -> None:
        self._check()
        async with self._backend.transaction() as transaction:
            await self._note(transaction, None)

    async def _note(self, transaction: PostgresTransaction, checkpoint: Mapping[str, Any] | None) -> None:
        if not await self._ledger.note(transaction, self._job_id, self.meter.snapshot(), checkpoint):
            # Somebody has ended this job in the ledger: what is in this transaction is taken back, too.
            raise Cancelled(CANCELLED)

    def _check(self) -> None:
        if self._stop.is_set():
            raise Cancelled(CANCELLED)

    # One table

    async def _copy(self, table: Table, count: Count, setting: Setting) -> None:
        if count.keyless:
            await self._refuse_keyless(table, count.keyless)
        limit = self._limit
        reading = asyncio.create_task(asyncio.to_thread(self._read, table, start_key(table.name), limit, setting))
        try:
            while (batch := await asyncio.shield(reading)).read:
                # The next batch is read and converted while the server works on this one.
                reading = asyncio.create_task(asyncio.to_thread(self._read, table, batch.after, limit, setting))
                self._check()
                began = time.monotonic()
                await self._write(table, batch)
                took = time.monotonic() - began
                if took < QUICK_SECONDS and batch.read == limit:
                    limit = min(limit * 2, MAX_BATCH)
                elif took > SLOW_SECONDS:
                    limit = max(limit // 2, 1)
        finally:
            # A thread cannot be stopped: its read must end before the source may be closed.
            await asyncio.wait({reading})
            if not reading.cancelled():
                reading.exception()

    def _read(self, table: Table, after: Key, limit: int, setting: Setting) -> _Batch:
        rows = self._source.read(table.name, after, limit, MAX_BATCH_BYTES)
        fits: list[Fit] = []
        failed: list[JobFinding] = []
        for raw in rows:
            try:
                fits.append(table.convert(raw, setting))
            except (Unfit, ValueError, TypeError, OverflowError, RecursionError) as error:
                reason = str(error) if isinstance(error, Unfit) else f"it could not be converted ({error!r})"
                failed.append(JobFinding(table.name, "failed", shown(raw[0]), _sentence(reason)))
        return _Batch(fits, failed, len(rows), end_key(table.name, rows) if rows else after)

    async def _refuse_keyless(self, table: Table, keyless: int) -> None:
        before = self.meter.tables[table.name]
        self.meter.add(table.name, read=keyless, failed=keyless)
        finding = JobFinding(table.name, "failed", "NULL", f"{keyless:,} rows have no id.")
        try:
            async with self._backend.transaction() as transaction:
                await self._ledger.add_findings(transaction, self._job_id, [finding])
                await self._note(transaction, None)
        except BaseException:
            self.meter.tables[table.name] = before
            raise

    async def _write(self, table: Table, batch: _Batch) -> None:
        before, zero_before = self.meter.tables[table.name], self.meter.zero_vectors
        try:
            async with self._backend.transaction() as transaction:
                await transaction.connection.execute(self._sql[f"stage_{table.name}"].encode())
                outcome = await self._settle(transaction, table, batch.fits, 0, len(batch.fits) - 1)
                if table.linked:
                    await transaction.connection.execute(self._sql[f"link_{table.name}"].encode())
                findings = self._record(table, batch, outcome)
                await self._ledger.add_findings(transaction, self._job_id, findings)
                await self._note(transaction, {"table": table.name, "after": [shown(part) for part in batch.after]})
        except BaseException:
            # What was rolled back was not copied.
            self.meter.tables[table.name], self.meter.zero_vectors = before, zero_before
            raise
        after = self.meter.tables[table.name]
        if before.read // LOG_ROWS != after.read // LOG_ROWS:
            log.info("%s: %s of %s rows read, %s inserted", table.name, after.read, after.total, after.inserted)

    async def _settle(
        self, transaction: PostgresTransaction, table: Table, fits: Sequence[Fit], low: int, high: int
    ) -> _Outcome:
        """Write the rows from one place to another; where the server refuses, find the row and leave only that out."""
        if high < low:
            return _Outcome(0, frozenset(), {})
        try:
            async with transaction.connection.transaction():
                return await self._merge(transaction, table, fits, low, high)
        except _REFUSALS as error:
            if low == high:
                said = str(error).splitlines()
                return _Outcome(0, frozenset(), {low: f"PostgreSQL refused it: {redact(said[0]) if said else ''}"})
        middle = (low + high) // 2
        first = await self._settle(transaction, table, fits, low, middle)
        second = await self._settle(transaction, table, fits, middle + 1, high)
        return _Outcome(
            first.inserted + second.inserted, first.present | second.present, {**first.refused, **second.refused}
        )

    async def _merge(
        self, transaction: PostgresTransaction, table: Table, fits: Sequence[Fit], low: int, high: int
    ) -> _Outcome:
        connection = transaction.connection
        body = b"".join(wire.row(wire.integer(place), *fits[place].values) for place in range(low, high + 1))
        async with connection.cursor() as cursor:
            async with cursor.copy(self._sql[f"load_{table.name}"].encode()) as copy:
                await copy.write(wire.HEADER + body + wire.TRAILER)
            refused: dict[int, str] = {}
            if table.owned:
                await cursor.execute(self._sql[f"orphans_{table.name}"].encode())
                refused = {row["ord"]: row["reason"] for row in await cursor.fetchall() if low <= row["ord"] <= high}
            present: frozenset[int] = frozenset()
            if any(fits[place].notes for place in range(low, high + 1)):
                await cursor.execute(self._sql[f"present_{table.name}"].encode())
                present = frozenset(row["ord"] for row in await cursor.fetchall())
            merge = self._backend.typed(self._sql[f"merge_{table.name}"]).encode()
            await cursor.execute(merge, {"low": low, "high": high})
            return _Outcome(cursor.rowcount, present, refused)

    def _record(self, table: Table, batch: _Batch, outcome: _Outcome) -> list[JobFinding]:
        findings = list(batch.failed)
        repaired = 0
        for place, fit in enumerate(batch.fits):
            if place in outcome.refused:
                findings.append(JobFinding(table.name, "failed", fit.key, _sentence(outcome.refused[place])))
                continue
            if fit.notes and place not in outcome.present:
                repaired += 1
                findings.append(JobFinding(table.name, "repaired", fit.key, _sentence("; ".join(fit.notes))))
            if fit.zero:
                self.meter.zero_vectors += 1
                findings.append(
                    JobFinding(table.name, "zero_vector", fit.key, "It is zero, so that no search by meaning finds it.")
                )
        failed = len(batch.failed) + len(outcome.refused)
        self.meter.add(
            table.name,
            read=batch.read,
            inserted=outcome.inserted,
            present=batch.read - outcome.inserted - failed,
            repaired=repaired,
            failed=failed,
        )
        return findings


def _sentence(text: str) -> str:
    text = shown(text).rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."
