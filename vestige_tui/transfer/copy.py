"""Copy a whole store into another, in batches that each are one transaction with their checkpoint.

A value that the target would refuse never costs its batch: values are sanitized and rows that cannot be copied are left
out, each with a finding. For each table, at the end: read = inserted + present + failed.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar

from vestige_tui.core.embeddings import EncodingTemplates, ModelSignature
from vestige_tui.core.errors import Cancelled, ModelMismatch, OutOfResources, VestigeError
from vestige_tui.core.jobs import JobFinding, TableProgress
from vestige_tui.core.log import suppressed
from vestige_tui.jobs.context import COMPARING, INDEXES, VECTOR_INDEX
from vestige_tui.transfer.comparison import Comparison
from vestige_tui.transfer.comparison_reporters import NewDifferenceReporter
from vestige_tui.transfer.convert import TransferContext
from vestige_tui.transfer.copy_checkpoint import CopyCheckpoint, CopyPhase
from vestige_tui.transfer.copy_context import compatible
from vestige_tui.transfer.copy_plan import check, dry_run
from vestige_tui.transfer.copy_rows import RowCopier
from vestige_tui.transfer.copy_stages import stages
from vestige_tui.transfer.differences import verdict
from vestige_tui.transfer.dropped_indexes import DroppedIndexes
from vestige_tui.transfer.embed_missing import MissingEmbedder
from vestige_tui.transfer.follow import ChangeFollower
from vestige_tui.transfer.open import open_source, target_of
from vestige_tui.transfer.sanitize import shown
from vestige_tui.transfer.sync_state import REFUSED, SyncState, row_state_of
from vestige_tui.transfer.table_spec import MEMORIES, TABLES
from vestige_tui.transfer.target_readers import read_kept_ids, target_reader_of

if TYPE_CHECKING:
    from vestige_tui.jobs.context import JobContext
    from vestige_tui.store.backends.protocol import Transaction
    from vestige_tui.transfer.convert import TransferRow
    from vestige_tui.transfer.kept_ids import KeptIds
    from vestige_tui.transfer.postgres_target import PostgresTarget
    from vestige_tui.transfer.protocols import Count, Source

log = logging.getLogger(__name__)

T = TypeVar("T")

SWITCH_SECONDS = 0.0005
GRAPH_NODE_BYTES = 700
"""Upper estimate of the memory per vector in the HNSW graph, without the vector itself."""
MIN_BUILD_BYTES, MAX_BUILD_BYTES = 256 << 20, 1 << 30
"""Bounds of maintenance_work_mem while the vector index is built."""
MAX_CATCHUP_PASSES = 10
"""Maximum number of catch-up passes; a busier source needs --follow."""
POLL_SECONDS, IDLE_RATIO = 0.5, 9
"""Shortest pause between two passes of --follow, and the pause as a multiple of the last pass."""


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
            kept_ids = await context.with_retries(partial(read_kept_ids, context.store))
            return await Copy(context, source, source.model(), sync_state, kept_ids).run()
        finally:
            sync_state.close()
    finally:
        source.close()


class Copy:
    """One attempt of a copy, from its checkpoint."""

    def __init__(
        self,
        context: JobContext,
        source: Source,
        model: ModelSignature | None,
        sync_state: SyncState,
        kept_ids: KeptIds | None,
    ) -> None:
        self._context = context
        self._meter = context.meter
        self._source = source
        self._store = context.store
        self._kept_ids = kept_ids
        self._target = target_of(context.store, kept_ids)
        self._server: PostgresTarget | None = None
        if context.store.backend.capabilities.binary_copy:
            from vestige_tui.transfer.postgres_target import PostgresTarget

            self._target = self._server = PostgresTarget(context.store)
        encode = context.options.get("encode")
        self._encoding_model = _model_of(encode) if encode else None
        self._missing_embedder = MissingEmbedder(context, self._encoding_model) if self._encoding_model else None
        self._model = self._encoding_model or model
        self._target.model = self._model
        self._tables = [table for table in TABLES if self._encoding_model is None or not table.embedded]
        self._verifies = bool(context.options.get("verify", True))
        self._dropped_indexes: DroppedIndexes | None = None
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
        if self._server is not None:
            statements = (await self._context.ledger.run(self._context.job_id)).dropped_indexes
            self._dropped_indexes = DroppedIndexes(self._context, self._server, statements)
        self._token = None if self._resumed else await self._ask_source(self._source.token)
        interval = sys.getswitchinterval()
        # A short interval keeps the prefetch thread from starving the thread that feeds the server.
        sys.setswitchinterval(SWITCH_SECONDS)
        try:
            await self._begin()
            await self._copy_rows()
            await self._finish()
        except BaseException:
            if self._dropped_indexes is not None:
                await _run_to_end(self._dropped_indexes.restore())
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
            prefix = "before following: " if self._context.options.get("follow") else ""
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
                findings = [JobFinding(name, "left_behind", name, reason) for name, (_, reason) in left_behind.items()]
                await self._context.ledger.add_findings(transaction, self._context.job_id, findings)

            await self._context.step(begin, self._checkpoint.begun(self._sync_state.chain, frozenset(empty_tables)))
        elif self._sync_state.blind:
            begin_again = partial(self._sync_state.begin, now=self._store.now())
            await self._context.step(begin_again, replace(self._checkpoint, blind=True))
        if self._model is not None:
            await self._context.with_retries(partial(self._store.models.register, self._model, finalize=False))
        self._transfer_context = await self._ask_source(partial(self._make_transfer_context, self._model))
        self._meter.plan(
            stages(
                self._meter.tables,
                is_server=self._server is not None,
                encodes=self._encoding_model is not None,
                verifies=self._verifies,
            )
        )

    def _make_transfer_context(self, model: ModelSignature | None) -> TransferContext:
        return TransferContext(
            moment=self._context.moment,
            duplicate_ids=self._source.duplicate_ids(),
            width=model.dimension if model else None,
            half=self._server is not None and self._server.half,
            kept_ids=self._kept_ids,
        )

    def _count_source(self) -> tuple[Mapping[str, Count], Mapping[str, tuple[int, str]]]:
        """Return the counts of the tables to copy, and the counts and reasons of those left behind."""
        left_behind = {
            shown(name): (rows, f"The target has no table for its {rows:,} rows.")
            for name, rows in self._source.left_behind().items()
        }
        if self._encoding_model is not None:
            rows = self._source.count("vectors").rows
            left_behind["vectors"] = (
                rows,
                f"They are of another model; {self._encoding_model.name} computes new ones.",
            )
        return {table.name: self._source.count(table.name) for table in self._tables}, left_behind

    async def _finish(self) -> None:
        """Run all steps after the rows; each is idempotent and finds its remaining work by itself."""
        await self._context.phase("checking replacements")
        await self._context.step(self._target.settle)
        if self._dropped_indexes:
            self._meter.begin(INDEXES)
            await self._context.phase("building the indexes")
            await self._dropped_indexes.build()
        await self._catch_up()
        if await self._store.models.registered() is not None:
            self._meter.begin(VECTOR_INDEX)
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
        vectors = self._meter.tables.get("vectors", TableProgress())
        needed_bytes = vectors.inserted * (4 * dimension + GRAPH_NODE_BYTES)
        settings = {"maintenance_work_mem": f"{max(MIN_BUILD_BYTES, min(MAX_BUILD_BYTES, needed_bytes)) // 1024}kB"}

        async def build() -> None:
            try:
                await self._store.maintenance.finalize_schema(settings)
            except OutOfResources:
                if "max_parallel_maintenance_workers" in settings:
                    raise
                settings["max_parallel_maintenance_workers"] = "0"
                await self._store.maintenance.finalize_schema(settings)

        async with self._context.watching(VECTOR_INDEX, expected=vectors.read - vectors.failed):
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
            and (self._model is None or not compatible(self._model, model))
        ):
            before = f"{self._model.name} ({self._model.dimension} dimensions)" if self._model else "no model"
            raise ModelMismatch(
                f"The source used {before} when it was copied and now uses {model.name} ({model.dimension}); "
                "nothing more is copied. Copy it into another store."
            )

    @cached_property
    def _follower(self) -> ChangeFollower:
        return ChangeFollower(
            self._context,
            self._source,
            self._target,
            target_reader_of(self._store, self._kept_ids),
            self._sync_state,
            self._ask_source,
            vectors=self._encoding_model is None,
            kept_ids=self._kept_ids,
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
        with suppressed(log, "read whether the copy was cancelled", VestigeError):
            return await self._context.ledger.cancelled(self._context.job_id) is True
        return False

    async def _wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._context.stop.wait()
        self._context.check()

    async def _verify(self) -> None:
        """Compare every row; rows with an earlier finding are only counted."""
        self._meter.begin(COMPARING)
        await self._context.phase("comparing")
        indexes = {table.name: await self._sync_state.index_of(table.name) for table in TABLES}

        def excused(table: str, row: TransferRow) -> bool:
            state = indexes[table].get(row_state_of(table, row).key)
            return state is not None and bool(state.flags & REFUSED)

        target_reader = target_reader_of(self._store, self._kept_ids, vectors=self._encoding_model is None)
        transfer_context = await self._ask_source(partial(self._make_transfer_context, self._source.model()))
        reporter = await NewDifferenceReporter.begin(self._context)
        await Comparison(self._source, target_reader, transfer_context, reporter, counting=False, excused=excused).run()
        await reporter.end()

    # The rows

    async def _copy_rows(self) -> None:
        if self._checkpoint.phase is CopyPhase.FINISHING:
            return
        memories_were_empty = MEMORIES.name in self._checkpoint.empty_tables
        if self._dropped_indexes is not None and memories_were_empty and self._mostly_unread():
            await self._dropped_indexes.drop()
        await RowCopier(
            self._context,
            self._source,
            self._target,
            self._sync_state,
            self._tables,
            self._transfer_context,
            self._ask_source,
            parallel=self._server is not None,
        ).run()
        await self._context.save(self._checkpoint.all_read())

    def _mostly_unread(self) -> bool:
        """Check whether at least half of the rows are still to be read, so that dropping the indexes pays."""
        tables = [self._meter.tables[table.name] for table in self._tables]
        return 2 * sum(table.read for table in tables) <= sum(table.total or 0 for table in tables)


def _model_of(options: Mapping[str, Any]) -> ModelSignature:
    """Return the model that the options of a copy name for its vectors."""
    templates = EncodingTemplates.from_options(options)
    return ModelSignature(str(options["name"]), int(options["dimension"]), str(options["hash"]), templates=templates)


async def _run_to_end(coroutine: Coroutine[Any, Any, None]) -> None:
    """Await a coroutine to its end, even if this task is cancelled meanwhile."""
    task = asyncio.create_task(coroutine)
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.shield(task)


__all__ = ["Copy", "check", "dry_run", "run"]
