"""Copy a whole store into another, in batches that each are one transaction with their checkpoint.

A value that the target would refuse never costs its batch: values are sanitized and rows that cannot be copied are left
out, each with a finding. For each table, at the end: read = inserted + present + failed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence, Set
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from vestige_tui.core.embeddings import ModelSignature
from vestige_tui.core.errors import (
    Busy,
    Cancelled,
    ForeignStore,
    ModelMismatch,
    OutOfResources,
    ReadOnly,
    StoreMissing,
    Unavailable,
    Usage,
    VestigeError,
)
from vestige_tui.core.jobs import JobFinding, TableProgress
from vestige_tui.embedding.loaders import load_embedder
from vestige_tui.embedding.models import same_model, signature
from vestige_tui.jobs.conflicts import refuse_reembedding, refuse_repair
from vestige_tui.jobs.known_stores import without_password
from vestige_tui.jobs.start import JobRequest, ValidatedJob
from vestige_tui.store.open import open_backend, open_store
from vestige_tui.store.schema import migrations
from vestige_tui.store.schema.rows import model as read_model
from vestige_tui.transfer.checkpoint import CopyCheckpoint, CopyPhase, UnconfirmedBatch
from vestige_tui.transfer.convert import TransferContext, TransferRow
from vestige_tui.transfer.embed_missing import MissingEmbedder
from vestige_tui.transfer.follow import ChangeFollower
from vestige_tui.transfer.open import open_source, refuse_foreign, target_of
from vestige_tui.transfer.sanitize import sentence, shown
from vestige_tui.transfer.sqlite_source import sqlite_path
from vestige_tui.transfer.sync_state import REFUSED, SyncState, failed_row_state, row_state_of, written_states
from vestige_tui.transfer.table_spec import MEMORIES, TABLES, USERS, Table
from vestige_tui.transfer.target_readers import target_reader_of
from vestige_tui.transfer.verify import DIFFERENCES, LISTED_ROWS, Comparison, LedgerReporter, verdict

if TYPE_CHECKING:
    from vestige_tui.core.jobs import FindingKind
    from vestige_tui.jobs.context import JobContext
    from vestige_tui.store.backends.protocol import Backend, Transaction
    from vestige_tui.transfer.postgres_target import PostgresTarget
    from vestige_tui.transfer.protocols import Batch, Count, Key, Source, WriteOutcome
    from vestige_tui.transfer.sync_state import RowState

T = TypeVar("T")
_Identity: TypeAlias = "tuple[str, FindingKind, str]"
log = logging.getLogger(__name__)

BATCH_ROWS = 500
MAX_BATCH_ROWS = 4_000
MAX_BATCH_BYTES = 8_000_000
QUICK_SECONDS, SLOW_SECONDS = 0.3, 0.8
"""Write time of a batch below which the next one is larger, and above which it is smaller."""
SWITCH_SECONDS = 0.0005
LOG_ROWS = 1_000
GRAPH_NODE_BYTES = 700
"""Upper estimate of the memory per vector in the HNSW graph, without the vector itself."""
MIN_BUILD_BYTES, MAX_BUILD_BYTES = 256 << 20, 1 << 30
"""Bounds of maintenance_work_mem while the vector index is built."""
MAX_CATCHUP_PASSES = 10
"""Maximum number of catch-up passes; a busier source needs --follow."""
POLL_SECONDS, IDLE_RATIO = 0.5, 9
"""Shortest pause between two passes of --follow, and the pause as a multiple of the last pass."""


async def check(request: JobRequest, *, dry: bool = False) -> ValidatedJob:
    """Refuse a copy that cannot succeed, before a row or a table is created."""
    backend = open_backend(request.target, create=not dry, max_connections=1)
    async with open_store(request.source, read_only=True) as source_store:
        source = await asyncio.to_thread(open_source, request.source)
        try:
            model = source.model()
        finally:
            source.close()
        registered = None
        if await _exists(backend):
            try:
                await backend.open()
            except StoreMissing:
                if not dry:
                    raise
                # The copy would create this embedded server.
            else:
                try:
                    await _refuse_same(source_store.backend, backend)
                    registered = await _check_target(backend)
                finally:
                    await backend.close()
        target_model = await _target_model(model, registered, request.options)
        backend.use_model(target_model)  # refuses vectors that are too wide
        encodes_here = target_model is not None and model is not None and not _same(target_model, model)
        return ValidatedJob(
            without_password(source_store.location),
            without_password(backend.location()),
            target_model.name if target_model else "",
            f"copy {source_store.title} to {backend.title}",
            {
                "batch": int(request.options.get("batch", BATCH_ROWS)),
                **{name: True for name in ("follow", "reembed") if request.options.get(name)},
                **({"model": request.options["model"]} if request.options.get("model") else {}),
                **({} if request.options.get("verify", True) else {"verify": False}),
                **({"encode": _model_values(target_model)} if encodes_here and target_model is not None else {}),
            },
            creates=True,
        )


async def _exists(backend: Backend) -> bool:
    """Check whether the target exists; the copy alone creates a missing file. Raises Unavailable."""
    if backend.capabilities.is_server:
        return True
    path = sqlite_path(backend.location())
    if path.exists():
        return path.is_dir() or path.stat().st_size > 0
    folder = next(each for each in path.parents if each.exists())
    if not os.access(folder, os.W_OK | os.X_OK) or not folder.is_dir():
        raise Unavailable(f"{backend.title} cannot be made: its directory cannot be written.")
    return False


async def _refuse_same(source: Backend, target: Backend) -> None:
    if source.capabilities != target.capabilities:
        return
    if await _store_identity(source) == await _store_identity(target):
        raise Usage(f"{target.title} cannot be copied to itself.")


async def _store_identity(backend: Backend) -> tuple[object, ...]:
    """Return a value that is equal for two URLs of one store."""
    if not backend.capabilities.is_server:
        return (sqlite_path(backend.location()).resolve(),)
    [server] = await backend.fetch("describe_server")
    [store] = await backend.fetch("find_channel")
    return server["started_at"], server["database"], store["key"]


async def _check_target(backend: Backend) -> ModelSignature | None:
    """Refuse a target that cannot be written; return its registered model, if any."""
    refuse_foreign(backend)
    if backend.read_only:
        raise ReadOnly(f"{backend.title} is open read-only: {backend.reason}.")
    if not await migrations.is_ours(backend):
        if foreign_names := [str(row["name"]) for row in await backend.fetch("list_taken_names")]:
            raise ForeignStore(
                f"{backend.title} already has a {foreign_names[0]} that is not ours; it was not touched."
            )
        return None
    applied = {info.name for info in await migrations.status(backend) if info.state == "applied"}
    if not applied:
        return None
    if "jobs" in applied:
        await refuse_reembedding(backend, datetime.now(UTC))
        await refuse_repair(backend, datetime.now(UTC))
    rows = await backend.fetch("get_model")
    return read_model(rows[0]) if rows else None


async def _target_model(
    model: ModelSignature | None, registered: ModelSignature | None, options: Mapping[str, Any]
) -> ModelSignature | None:
    """Return the future model of the target. Raises ModelMismatch where the source's vectors are of another."""
    name = options.get("model")
    if not options.get("reembed"):
        if name:
            raise Usage("A model is named for a copy that makes new vectors: add --reembed.")
        if registered is not None and model is not None and not _same(registered, model):
            difference = (
                f"The source belongs to {model.name} ({model.dimension} dimensions), the target to {registered.name} "
                f"({registered.dimension})"
            )
            raise ModelMismatch(
                f"{difference}; nothing was copied. With --reembed the target's model makes new vectors.",
                difference=difference,
            )
        return registered or model
    if name and registered is not None and not same_model(str(name), registered.name):
        raise ModelMismatch(f"The target belongs to {registered.name}, so that {name} cannot make its vectors.")
    if registered is None and (not name or (model is not None and same_model(str(name), model.name))):
        return model
    if registered is not None and (model is None or _same(registered, model)):
        return registered
    # Load the model up front, so that a missing one is refused before the job starts.
    encoder_name, dimension = (registered.name, registered.dimension) if registered is not None else (str(name), None)
    loaded = signature(await asyncio.to_thread(load_embedder, encoder_name, dimension=dimension))
    return registered or loaded


def _model_values(model: ModelSignature) -> dict[str, Any]:
    return {"name": model.name, "dimension": model.dimension, "hash": model.hash}


def _same(one: ModelSignature, other: ModelSignature) -> bool:
    return same_model(one.name, other.name) and one.dimension == other.dimension


async def dry_run(request: JobRequest) -> dict[str, TableProgress]:
    """Count the rows that a copy would read and leave behind; write nothing. Raises as a copy does."""
    await check(request, dry=True)
    return await asyncio.to_thread(_count_tables, request.source)


def _count_tables(url: str) -> dict[str, TableProgress]:
    source = open_source(url)
    try:
        tables = {table.name: TableProgress(total=source.count(table.name).rows) for table in TABLES}
        left_behind = {name: TableProgress(left_behind=rows) for name, rows in source.left_behind().items()}
    finally:
        source.close()
    return tables | left_behind


async def run(context: JobContext) -> str:
    """Copy all missing rows; return a summary. Raises Cancelled at a checkpoint, CheckpointUnreadable before the first
    read."""
    CopyCheckpoint.from_json(context.checkpoint)
    if context.source.startswith(("postgresql:", "postgres:", "pgembed:")):
        source = await context.with_retries(partial(asyncio.to_thread, open_source, context.source))
    else:
        source = await asyncio.to_thread(open_source, context.source)
    try:
        sync_state = await SyncState.of_run(context)
        try:
            return await Copy(context, source, source.model(), sync_state).run()
        finally:
            sync_state.close()
    finally:
        source.close()


class Copy:
    """One attempt of a copy, from its checkpoint."""

    def __init__(
        self, context: JobContext, source: Source, model: ModelSignature | None, sync_state: SyncState
    ) -> None:
        self._context = context
        self._meter = context.meter
        self._source = source
        self._store = context.store
        self._target = target_of(context.store)
        self._server: PostgresTarget | None = None
        if context.store.backend.capabilities.binary_copy:
            from vestige_tui.transfer.postgres_target import PostgresTarget

            self._target = self._server = PostgresTarget(context.store)
        encode = context.options.get("encode")
        self._encoding_model = ModelSignature(**encode) if encode else None
        self._missing_embedder = MissingEmbedder(context, self._encoding_model) if self._encoding_model else None
        self._model = self._encoding_model or model
        self._target.model = self._model
        self._tables = [table for table in TABLES if self._encoding_model is None or not table.embedded]
        self._batch_rows = max(1, min(int(context.options.get("batch", BATCH_ROWS)), MAX_BATCH_ROWS))
        """Batch size, doubled while writes are quick and halved while they are slow."""
        self._verifies = bool(context.options.get("verify", True))
        self._dropped_indexes: tuple[str, ...] = ()
        self._resumed = self._checkpoint.resumed
        self._sync_state = sync_state
        if self._resumed:
            # The comparison of an earlier attempt no longer holds.
            self._meter.forget_comparison()
        self._token: object = None
        """Change token of the source at the last pass that found no change."""

    @property
    def _checkpoint(self) -> CopyCheckpoint:
        return CopyCheckpoint.from_json(self._context.checkpoint)

    async def run(self) -> str:
        self._dropped_indexes = (await self._context.ledger.run(self._context.job_id)).dropped_indexes
        self._token = None if self._resumed else await self._ask_source(self._source.token)
        interval = sys.getswitchinterval()
        # A short interval keeps the prefetch thread from starving the thread that feeds the server.
        sys.setswitchinterval(SWITCH_SECONDS)
        try:
            await self._begin()
            await self._copy_rows()
            await self._finish()
        except BaseException:
            await _run_to_end(self._rebuild_indexes())
            raise
        finally:
            sys.setswitchinterval(interval)
        return self._summary()

    def _summary(self) -> str:
        tables = [table for name, table in self._meter.tables.items() if name in {table.name for table in TABLES}]
        words = [
            f"{sum(table.inserted for table in tables):,} rows inserted",
            f"{sum(table.present for table in tables):,} present",
            f"{sum(table.failed for table in tables):,} failed",
        ]
        for field in ("updated", "deleted"):
            if count := sum(getattr(table, field) for table in tables):
                words.append(f"{count:,} {field}")
        if self._verifies:
            prefix = "before it followed: " if self._context.options.get("follow") else ""
            words.append(prefix + verdict(self._meter.tables))
        return ", ".join(words)

    async def _ask_source(self, query: Callable[[], T]) -> T:
        """Run a query on the source in a thread; with retries for a server, without for a file."""
        if self._source.location.startswith("sqlite:"):
            return await asyncio.to_thread(query)
        return await self._context.with_retries(partial(asyncio.to_thread, query))

    # Before and after the rows

    async def _begin(self) -> None:
        """Count the rows to read, record which target tables are empty, once; register the model in the target."""
        if not self._resumed:
            counts, left_behind = await self._ask_source(self._count_source)
            empty_tables = [table.name for table in self._tables if await self._target.empty(table.name)]

            async def begin(transaction: Transaction) -> None:
                await self._sync_state.begin(transaction, self._store.now())
                for name, count in counts.items():
                    self._meter.expect(name, count.rows)
                for name, (rows, _) in left_behind.items():
                    self._meter.tables[name] = TableProgress(left_behind=rows)
                await self._add_findings(
                    transaction,
                    [JobFinding(name, "left_behind", name, reason) for name, (_, reason) in left_behind.items()],
                )

            await self._context.step(begin, self._checkpoint.begun(self._sync_state.chain, frozenset(empty_tables)))
        elif self._sync_state.blind:
            begin_again = partial(self._sync_state.begin, now=self._store.now())
            await self._context.step(begin_again, replace(self._checkpoint, blind=True))
        if self._model is not None:
            await self._context.with_retries(partial(self._store.models.register, self._model, finalize=False))
        self._transfer_context = await self._ask_source(partial(self._make_transfer_context, self._model))

    def _make_transfer_context(self, model: ModelSignature | None) -> TransferContext:
        return TransferContext(
            moment=self._context.moment,
            duplicate_ids=self._source.duplicate_ids(),
            width=model.dimension if model else None,
            half=self._server is not None and self._server.half,
        )

    def _count_source(self) -> tuple[Mapping[str, Count], Mapping[str, tuple[int, str]]]:
        """Return the counts of the tables to copy, and the counts and reasons of those left behind."""
        left_behind = {
            shown(name): (rows, f"The target has no place for its {rows:,} rows.")
            for name, rows in self._source.left_behind().items()
        }
        if self._encoding_model is not None:
            rows = self._source.count("vectors").rows
            left_behind["vectors"] = (rows, f"They are of another model; {self._encoding_model.name} makes new ones.")
        return {table.name: self._source.count(table.name) for table in self._tables}, left_behind

    async def _finish(self) -> None:
        """Run all steps after the rows; each is idempotent and finds its remaining work by itself."""
        await self._context.phase("checking which memory replaces which")
        await self._context.step(self._target.settle)
        if self._dropped_indexes:
            await self._context.phase("building the indexes")
            await self._build_indexes()
        await self._catch_up()
        if await self._store.models.registered() is not None:
            await self._context.phase("building the vector index")
            await self._build_vectors()
        await self._context.step(self._target.analyze)
        await self._catch_up()
        if self._verifies:
            await self._verify()
        if self._context.options.get("follow"):
            await self._follow()
        self._meter.phase = "done"
        await self._context.complete(self._sync_state.forget, self._summary())

    async def _build_vectors(self) -> None:
        """Build the vector index in memory with parallel workers; with none where the server's shared memory is too
        small."""
        if self._server is None:
            await self._context.with_retries(self._store.maintenance.finalize_schema)
            return
        dimension = self._model.dimension if self._model else 0
        needed_bytes = self._meter.tables.get("vectors", TableProgress()).inserted * (4 * dimension + GRAPH_NODE_BYTES)
        settings = {"maintenance_work_mem": f"{max(MIN_BUILD_BYTES, min(MAX_BUILD_BYTES, needed_bytes)) // 1024}kB"}

        async def build() -> None:
            try:
                await self._store.maintenance.finalize_schema(settings)
            except OutOfResources:
                if "max_parallel_maintenance_workers" in settings:
                    raise
                settings["max_parallel_maintenance_workers"] = "0"
                await self._store.maintenance.finalize_schema(settings)

        await self._context.with_retries(build)

    # Catch-up

    async def _catch_up(self) -> None:
        """Repeat catch-up passes until one finds no change; then encode missing vectors."""
        for _ in range(MAX_CATCHUP_PASSES):
            token = await self._ask_source(self._source.token)
            if self._token is not None and token == self._token:
                break
            await self._refuse_changed_model()
            await self._context.phase("looking for later changes")
            self._transfer_context = await self._ask_source(partial(self._make_transfer_context, self._model))
            if not await self._follower.once(self._transfer_context):
                # Changes made during this pass are left to the next one.
                self._token = token
                break
        if self._missing_embedder is not None:
            await self._missing_embedder.once()

    async def _refuse_changed_model(self) -> None:
        """Raise ModelMismatch where the source has changed its model since the copy began."""
        model = await self._ask_source(self._source.model)
        if (
            self._encoding_model is None
            and model is not None
            and (self._model is None or not _same(self._model, model))
        ):
            before = f"{self._model.name} ({self._model.dimension} dimensions)" if self._model else "no model"
            raise ModelMismatch(
                f"The source belonged to {before} when it was copied, and belongs to {model.name} ({model.dimension}) "
                "now; nothing more is brought. Copy it into another store."
            )

    @cached_property
    def _follower(self) -> ChangeFollower:
        return ChangeFollower(
            self._context,
            self._source,
            self._target,
            target_reader_of(self._store),
            self._sync_state,
            self._ask_source,
            self._count_rows,
            vectors=self._encoding_model is None,
        )

    async def _follow(self) -> None:
        """Repeat catch-up passes until the user cancels, which completes the job; any other end is a failure."""
        try:
            await self._context.phase("following")
            while True:
                began = time.monotonic()
                await self._catch_up()
                if self._meter.phase != "following":
                    await self._context.phase("following")
                await self._wait(max(POLL_SECONDS, IDLE_RATIO * (time.monotonic() - began)))
        except (Cancelled, asyncio.CancelledError):
            # After a termination, or an end in the ledger, the state is kept for the next attempt.
            if not await self._is_cancelled():
                raise

    async def _is_cancelled(self) -> bool:
        with suppress(VestigeError):
            return await self._context.ledger.cancelled(self._context.job_id) is True
        return False

    async def _wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._context.stop.wait(), seconds)
        self._context.check()

    async def _verify(self) -> None:
        """Compare every row; rows with an earlier finding are only counted."""
        await self._context.phase("comparing")
        indexes = {table.name: await self._sync_state.index_of(table.name) for table in TABLES}

        def excused(table: str, row: TransferRow) -> bool:
            state = indexes[table].get(row_state_of(table, row).key)
            return state is not None and bool(state.flags & REFUSED)

        target_reader = target_reader_of(self._store, vectors=self._encoding_model is None)
        transfer_context = await self._ask_source(partial(self._make_transfer_context, self._source.model()))
        reporter = await _DifferenceReporter.begin(self._context)
        await Comparison(self._source, target_reader, transfer_context, reporter, counting=False, excused=excused).run()
        await reporter.end()

    async def _drop_indexes(self, server: PostgresTarget) -> None:
        """Drop the indexes: building one afterwards is faster than updating it row by row."""

        async def drop(transaction: Transaction) -> tuple[str, ...]:
            dropped = (*self._dropped_indexes, *await server.drop_indexes(transaction))
            await self._context.ledger.note_dropped(transaction, self._context.job_id, dropped)
            return dropped

        self._dropped_indexes = await self._context.step(drop)

    async def _build_indexes(self) -> None:
        """Build the dropped indexes, GIN indexes in a second transaction beside the others."""
        second_transaction = _SecondTransaction(self._store.backend)
        gin_indexes = [each for each in self._dropped_indexes if " USING gin " in each]
        other_indexes = [each for each in self._dropped_indexes if each not in gin_indexes]

        async def build(transaction: Transaction) -> None:
            assert self._server is not None
            await self._server.hold_indexes(transaction)
            other = await second_transaction.begin()
            for outcome in await asyncio.gather(
                self._build(transaction, other_indexes), self._build(other, gin_indexes), return_exceptions=True
            ):
                if outcome is not None:
                    raise outcome
            # After a failure between the two commits, an existing index is not built again.
            await second_transaction.commit()
            await self._context.ledger.note_dropped(transaction, self._context.job_id, ())

        try:
            await self._context.step(build)
        except BaseException:
            await second_transaction.roll_back()
            raise
        self._dropped_indexes = ()

    async def _build(self, transaction: Transaction, statements: Sequence[str]) -> None:
        assert self._server is not None
        for statement in statements:
            await self._server.build_index(transaction, statement)

    async def _rebuild_indexes(self) -> None:
        """Rebuild the dropped indexes after a copy that failed."""
        with suppress(VestigeError):
            while self._dropped_indexes:
                async with self._store.backend.write() as transaction:
                    if self._server is not None:
                        await self._server.hold_indexes(transaction)
                    await self._build(transaction, self._dropped_indexes[:1])
                    await self._context.ledger.note_dropped(
                        transaction, self._context.job_id, self._dropped_indexes[1:]
                    )
                self._dropped_indexes = self._dropped_indexes[1:]

    # The rows

    async def _copy_rows(self) -> None:
        if self._checkpoint.phase is CopyPhase.FINISHING:
            return
        if self._server is not None and self._was_empty(MEMORIES) and self._mostly_unread():
            await self._drop_indexes(self._server)
        await self._ask_source(self._read_users)
        await self._copy_tables()
        await self._context.step(_nothing, self._checkpoint.all_read())

    def _mostly_unread(self) -> bool:
        """Check whether at least half of the rows are still to be read, so that dropping the indexes pays."""
        tables = [self._meter.tables[table.name] for table in self._tables]
        return 2 * sum(table.read for table in tables) <= sum(table.total or 0 for table in tables)

    def _read_users(self) -> None:
        """Read all users as possible owners, also those that an earlier attempt has copied."""
        after = self._source.start(USERS.name)
        while (batch := self._read(USERS, after, MAX_BATCH_ROWS)).read:
            after = batch.after

    async def _copy_tables(self) -> None:
        """Copy table by table from the checkpoint, with prefetch of the next batches."""
        table_index, last_begun = 0, -1
        after = self._source.start(self._tables[0].name)
        if (position := self._checkpoint.position) is not None:
            last_begun = table_index = [table.name for table in self._tables].index(position.table)
            after = position.after
            await self._rewrite_unconfirmed(self._tables[table_index])
        read_task = asyncio.create_task(self._ask_source(partial(self._read_ahead, table_index, after)))
        try:
            while ahead := await asyncio.shield(read_task):
                # Prefetch: the next batches are read and converted while the database writes these.
                read_next = partial(self._read_ahead, ahead.table_index, ahead.batches[-1].batch.after)
                read_task = asyncio.create_task(self._ask_source(read_next))
                await self._begin_tables(last_begun + 1, ahead.table_index)
                last_begun = ahead.table_index
                await self._write_batches(self._tables[last_begun], ahead.batches)
            await self._begin_tables(last_begun + 1, len(self._tables) - 1)
        finally:
            # The thread cannot be stopped; closing the source interrupts its read.
            read_task.cancel()
            await asyncio.wait({read_task})
            if not read_task.cancelled():
                read_task.exception()

    async def _write_batches(self, table: Table, batches: Sequence[_PreparedBatch]) -> None:
        began, before = time.monotonic(), self._meter.tables[table.name]
        self._meter.phase = f"copying {table.name}"
        if len(batches) == 2 and _share_no_row(*batches):
            await self._write_in_parallel(table, *batches)
        else:
            for prepared in batches:
                await self._write(table, prepared, self._was_empty(table))
        elapsed, after = time.monotonic() - began, self._meter.tables[table.name]
        if before.read // LOG_ROWS != after.read // LOG_ROWS:
            log.info("%s: %s of %s rows read, %s inserted", table.name, after.read, after.total, after.inserted)
        if elapsed < QUICK_SECONDS and batches[0].batch.read == self._batch_rows:
            self._batch_rows = min(self._batch_rows * 2, MAX_BATCH_ROWS)
        elif elapsed > SLOW_SECONDS:
            self._batch_rows = max(self._batch_rows // 2, 1)

    def _was_empty(self, table: Table) -> bool:
        """Check whether the table was empty when the copy began."""
        return table.name in self._checkpoint.empty_tables

    def _read(self, table: Table, after: Key, limit: int) -> Batch:
        return self._source.read(table, after, limit, MAX_BATCH_BYTES, self._transfer_context)

    def _read_ahead(self, table_index: int, after: Key) -> _BatchesAhead | None:
        """Read the next one or two batches, of this table or a later one; None after the last."""
        for index in range(table_index, len(self._tables)):
            table = self._tables[index]
            if index > table_index:
                after = self._source.start(table.name)
            batch_count = 2 if self._server is not None and table.parallel and self._was_empty(table) else 1
            batches: list[_PreparedBatch] = []
            while len(batches) < batch_count and (batch := self._read(table, after, self._batch_rows)).read:
                batches.append(_PreparedBatch(batch, [row_state_of(table.name, row) for row in batch.rows]))
                after = batch.after
            if batches:
                return _BatchesAhead(index, batches)
        return None

    async def _begin_tables(self, first: int, last: int) -> None:
        """Begin a range of tables: count their rows without a key as failed."""
        for table in self._tables[first : last + 1]:
            keyless = (await self._ask_source(partial(self._source.count, table.name))).keyless
            if keyless:
                await self._count_keyless(table, keyless)

    async def _count_keyless(self, table: Table, keyless: int) -> None:
        finding = JobFinding(table.name, "failed", "NULL", f"{keyless:,} rows have no id.")

        async def count(transaction: Transaction) -> None:
            self._meter.add(table.name, read=keyless, failed=keyless)
            await self._add_findings(transaction, [finding])

        await self._context.step(count, self._checkpoint.written(table.name, self._source.start(table.name)))

    async def _write(self, table: Table, prepared: _PreparedBatch, fresh: bool) -> None:
        async def write(transaction: Transaction) -> None:
            outcome = await self._target.write(transaction, table, prepared.batch.rows, fresh=fresh)
            await self._count(transaction, table, prepared, outcome)

        await self._context.step(write, self._checkpoint.written(table.name, prepared.batch.after))

    async def _write_in_parallel(self, table: Table, first: _PreparedBatch, second: _PreparedBatch) -> None:
        """Write two batches at once, the second in a transaction that commits after the checkpoint that counts it.

        After a failure between the two commits the second batch is unconfirmed; it is written again, uncounted.
        """
        second_transaction = _SecondTransaction(self._store.backend)

        async def write(transaction: Transaction) -> None:
            other = await second_transaction.begin()
            outcomes = await asyncio.gather(
                self._target.write(transaction, table, first.batch.rows, fresh=True),
                self._target.write(other, table, second.batch.rows, fresh=True),
                return_exceptions=True,
            )
            for prepared, outcome in zip((first, second), outcomes, strict=True):
                if isinstance(outcome, BaseException):
                    raise outcome
                await self._count(transaction, table, prepared, outcome)

        unconfirmed = UnconfirmedBatch(first.batch.after, second.batch.read)
        try:
            await self._context.step(write, self._checkpoint.written(table.name, second.batch.after, unconfirmed))
        except BaseException:
            await second_transaction.roll_back()
            raise
        try:
            await second_transaction.commit()
        except (Unavailable, Busy):
            await self._rewrite_unconfirmed(table)
        else:
            self._context.amend(self._checkpoint.confirmed())

    async def _count(
        self, transaction: Transaction, table: Table, prepared: _PreparedBatch, outcome: WriteOutcome
    ) -> None:
        failed = prepared.batch.failed
        self._meter.add(table.name, read=len(failed), failed=len(failed))
        findings = [*failed, *self._count_rows(table, prepared.batch.rows, outcome)]
        await self._sync_state.add(
            transaction, table.name, [*written_states(prepared.states, outcome), *map(failed_row_state, failed)]
        )
        await self._add_findings(transaction, findings)

    async def _rewrite_unconfirmed(self, table: Table) -> None:
        """Write the unconfirmed batch again, which the last checkpoint has counted.

        Its rows are found by their recorded keys, because the source may have changed since.
        """
        unconfirmed = self._checkpoint.unconfirmed
        if unconfirmed is None:
            return
        after = unconfirmed.after
        rows: list[TransferRow] = []
        missing_keys: set[int] = set()
        if self._sync_state.blind:
            # Without sync state, the same number of rows behind the key is the best guess.
            batch = await self._ask_source(partial(self._read, table, after, unconfirmed.rows))
            rows += batch.rows
        else:
            missing_keys = await self._sync_state.last_keys()
        while (
            missing_keys and (batch := await self._ask_source(partial(self._read, table, after, MAX_BATCH_ROWS))).read
        ):
            after = batch.after
            for row in batch.rows:
                if (key := row_state_of(table.name, row).key) in missing_keys:
                    missing_keys.remove(key)
                    rows.append(row)

        async def write(transaction: Transaction) -> None:
            await self._target.write(transaction, table, rows, fresh=False)

        await self._context.step(write, self._checkpoint.confirmed())

    async def _add_findings(self, transaction: Transaction, findings: Sequence[JobFinding]) -> None:
        await self._context.ledger.add_findings(transaction, self._context.job_id, findings)

    def _count_rows(self, table: Table, rows: Sequence[TransferRow], outcome: WriteOutcome) -> list[JobFinding]:
        """Count the outcome of a write; return the findings about single rows."""
        findings: list[JobFinding] = []
        repaired = 0
        for position, row in enumerate(rows):
            if position in outcome.refused:
                findings.append(JobFinding(table.name, "failed", row.key, sentence(outcome.refused[position])))
                continue
            if row.notes and position not in outcome.present:
                repaired += 1
                findings.append(JobFinding(table.name, "repaired", row.key, sentence("; ".join(row.notes))))
            if row.zero:
                self._meter.zero_vectors += 1
                findings.append(
                    JobFinding(table.name, "zero_vector", row.key, "It is zero, so that no search by meaning finds it.")
                )
        self._meter.add(
            table.name,
            read=len(rows),
            inserted=outcome.inserted,
            present=len(rows) - outcome.inserted - len(outcome.refused),
            repaired=repaired,
            failed=len(outcome.refused),
        )
        return findings


@dataclass(frozen=True, slots=True)
class _PreparedBatch:
    """Batch that was read, with the row states for the sync state."""

    batch: Batch
    states: Sequence[RowState]


def _share_no_row(first: _PreparedBatch, second: _PreparedBatch) -> bool:
    """Check that two batches share no row, or else their transactions would deadlock."""
    return {state.key for state in first.states}.isdisjoint(state.key for state in second.states)


@dataclass(frozen=True, slots=True)
class _BatchesAhead:
    """Batches to write at once, one or two, of the table with this index."""

    table_index: int
    batches: Sequence[_PreparedBatch]


class _DifferenceReporter(LedgerReporter):
    """Reporter of the comparison at the end of a copy: lists only new differences and withdraws resolved ones."""

    def __init__(self, context: JobContext, reported: Set[_Identity]) -> None:
        super().__init__(context)
        self._reported = reported
        self._current: set[_Identity] = set()

    @classmethod
    async def begin(cls, context: JobContext) -> _DifferenceReporter:
        """Load the differences that this attempt and those that it continues have reported."""
        reported: set[_Identity] = set()
        after: str | None = ""
        while after is not None:
            page = await context.with_retries(
                partial(context.ledger.findings, context.job_id, LISTED_ROWS, after or None)
            )
            reported |= {_identity_of(each) for each in page.items if each.outcome in DIFFERENCES}
            after = page.next
        return cls(context, reported)

    async def note(self, table: str, counts: Mapping[str, int], findings: Sequence[JobFinding]) -> None:
        self._current |= {_identity_of(each) for each in findings}
        await super().note(table, counts, [each for each in findings if _identity_of(each) not in self._reported])

    async def end(self) -> None:
        """Withdraw the findings about rows that differ no longer."""
        # Beyond the limit of listed rows, a missing finding does not prove that a row is equal.
        complete_tables = {
            name for name, each in self.meter.tables.items() if each.differ + each.only_source <= LISTED_ROWS
        }
        resolved = [JobFinding(*each, "") for each in self._reported - self._current if each[0] in complete_tables]

        async def withdraw(transaction: Transaction) -> None:
            await self._context.ledger.withdraw_findings(transaction, self._context.job_id, resolved)

        if resolved:
            await self._context.step(withdraw)


def _identity_of(finding: JobFinding) -> _Identity:
    """Return the identity of a finding within a copy."""
    return finding.subject, finding.outcome, finding.source_key


class _SecondTransaction:
    """Second transaction, open during a step."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._open = AsyncExitStack()

    async def begin(self) -> Transaction:
        """Begin the transaction; roll back an earlier one first."""
        await self.roll_back()
        return await self._open.enter_async_context(self._backend.write())

    async def commit(self) -> None:
        await self._open.aclose()

    async def roll_back(self) -> None:
        cancelled = Cancelled("taken back")
        with suppress(VestigeError):
            await self._open.__aexit__(Cancelled, cancelled, None)


async def _run_to_end(coroutine: Coroutine[Any, Any, None]) -> None:
    """Await a coroutine to its end, even if this task is cancelled meanwhile."""
    task = asyncio.create_task(coroutine)
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.shield(task)


async def _nothing(transaction: Transaction) -> None:
    """Write only the checkpoint."""
