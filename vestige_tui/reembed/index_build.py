"""Build the vector index over new vectors, concurrently or at once, with the memory that its graph needs."""

from __future__ import annotations

import logging
import time
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from vestige_tui.core.errors import OutOfResources, VestigeError
from vestige_tui.core.log import log_suppressed, suppressed
from vestige_tui.jobs.context import VECTOR_INDEX
from vestige_tui.reembed.index_queries import OWN_INDEX, SPARE_INDEX, IndexQueries
from vestige_tui.store.schema import migrations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vestige_tui.reembed.attempt import Attempt
    from vestige_tui.store.backends.protocol import Backend, Capabilities, Row, Transaction
    from vestige_tui.store.store import Store

log = logging.getLogger(__name__)

MAX_MEMORY_BYTES = 1_000_000_000
MIN_MEMORY_BYTES = 64_000_000
INDEX_WORKER_PROCESSES = 2
INDEX = "idx_node_embeddings_hnsw"


class IndexBuilder:
    """Builds the vector index of the store's own table, or of the shadow table."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._context = attempt.context
        self._backend = attempt.backend

    async def build_spare(self) -> None:
        await self._build("building the vector index", SPARE_INDEX)
        await self._context.with_retries(lambda: self._backend.maintain("analyze_spare"))

    async def build_own(self) -> None:
        """Rebuild the index if it was dropped or left incomplete (in place)."""
        if not self._backend.capabilities.typed_vectors:
            return
        context = self._context
        if context.options.get("concurrent_index"):
            await self._build("building the vector index", OWN_INDEX)
        elif not await self._has_index(OWN_INDEX):
            context.meter.phase = "building the vector index"
            await self._attempt.save()
            start = time.monotonic()
            async with self._watching():
                await self._attempt.step(partial(self._build_at_once, OWN_INDEX))
            await self._note_built(start)

        async def settle(transaction: Transaction) -> None:
            await context.ledger.note_dropped(transaction, context.job_id, [])
            await self.record(transaction)

        await self._attempt.step(settle)

    async def _build_at_once(self, index: IndexQueries, transaction: Transaction) -> None:
        await transaction.fetch(
            "prepare_build", {**self._memory(), "workers": str(INDEX_WORKER_PROCESSES), "local": True}
        )
        self._keep_method(self._backend, index, await transaction.fetch(OWN_INDEX.find))
        await transaction.execute(index.drop_at_once)
        await self._attempt.run_typed(transaction, index.build_at_once)

    @staticmethod
    def _keep_method(backend: Backend, index: IndexQueries, current: Sequence[Row]) -> None:
        """Give new vectors an index of the method that was chosen for this store's present ones."""
        if index is SPARE_INDEX and current and not current[0]["own"]:
            backend.use_index(str(current[0]["definition"]))

    async def _build(self, phase: str, index: IndexQueries) -> None:
        """Build an index, unless it exists and is valid: concurrently, where a session of our own is to be had."""
        if await self._has_index(index):
            return
        second = self._backend.second_backend()
        await self._context.phase(phase if second else f"{phase} in one transaction (writers wait)")
        start = time.monotonic()
        async with self._watching():
            if second is None:
                await self._attempt.step(partial(self._build_at_once, index))
            else:
                await self._context.with_retries(lambda: self._build_concurrently(index))
        await self._note_built(start)

    def _watching(self) -> AbstractAsyncContextManager[None]:
        progress = self._attempt.progress
        self._context.meter.begin(VECTOR_INDEX)
        return self._context.watching(VECTOR_INDEX, expected=progress.read - progress.failed)

    async def _note_built(self, start: float) -> None:
        log.info("Built the vector index in %.1f s", time.monotonic() - start)
        seconds = round(self._attempt.checkpoint.index_seconds + time.monotonic() - start, 3)
        await self._attempt.save(replace(self._attempt.checkpoint, index_seconds=seconds))

    async def _has_index(self, index: IndexQueries) -> bool:
        records = await self._attempt.ask(index.find)
        return bool(records) and bool(records[0]["valid"])

    async def _build_concurrently(self, index: IndexQueries) -> None:
        # A separate connection, because settings apply to all of it.
        backend = self._backend.second_backend()
        assert backend is not None
        backend.use_model(self._attempt.model)
        await backend.open()
        try:
            await backend.fetch("wait_long")
            with suppressed(log, "ask the server to notice a hangup", VestigeError):  # not supported on every platform
                await backend.fetch("notice_hangup")
            self._keep_method(backend, index, await backend.fetch(OWN_INDEX.find))
            records = await backend.fetch(index.find)
            if records:
                # Left by an interrupted build, or by one that still runs: then this waits for its end.
                await backend.maintain(index.drop)
            try:
                await backend.fetch(
                    "prepare_build", {**self._memory(), "workers": str(INDEX_WORKER_PROCESSES), "local": False}
                )
                await backend.maintain(index.build)
            except OutOfResources as error:
                log_suppressed(log, "build the index with parallel workers", error)
                # Parallel workers need shared memory that a container may not have.
                await backend.maintain(index.drop)
                await backend.fetch("prepare_build", {**self._memory(), "workers": "0", "local": False})
                await backend.maintain(index.build)
        finally:
            await backend.close()

    def _memory(self) -> dict[str, str]:
        """Return the memory for the index build: a graph that does not fit is built several times more slowly."""
        progress = self._attempt.progress
        size = int(1.2 * room(self._backend.capabilities, progress.inserted, self._attempt.model.dimension))
        return {"memory": f"{max(MIN_MEMORY_BYTES, min(MAX_MEMORY_BYTES, size)) // 1_024}kB"}

    async def record(self, transaction: Transaction) -> None:
        """Record the staged migration that makes this index as applied, unless it is."""
        applied = {int(row["version"]) for row in await transaction.fetch("list_applied")}
        for migration in migrations.migrations(self._backend.dialect):
            if migration.staged and migration.version not in applied:
                record = {
                    "version": migration.version,
                    "name": migration.name,
                    "sha256": migration.checksum,
                    "duration_ms": 0.0,
                }
                await transaction.execute("record_applied", {**record, "applied_at": self._context.store.now()})


def index_note(store: Store) -> str:
    """Return a sentence on an index build that writers have to wait for; empty where they need not."""
    if not store.backend.pooled or store.backend.second_backend() is not None:
        return ""
    return (
        "The server is behind a pooler: the vector index is built in one transaction, and writers wait; "
        "set storage.postgres.direct_url to avoid this."
    )


def room(capabilities: Capabilities, memories: int, dimension: int) -> int:
    """Return the bytes of so many vectors and their index, as rows and nodes fit into pages."""
    if not capabilities.typed_vectors:
        return memories * (4 * dimension + 130)
    width = (4 if dimension <= 2_000 else 2) * dimension + 8
    row, node = width + 48, width + 300
    pages = -(-memories // max(1, 8_160 // row)) + -(-memories // max(1, 8_160 // node))
    return pages * 8_192 + memories * 40
