"""One run of a re-embedding: begin, encode, catch up, build the index, swap, encode later edits.

Each step is one transaction with its checkpoint. The checkpoint is not needed to find the remaining work: that is the
memories without a vector, and if there are none, the model that the store belongs to.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from vestige_tui.core.embeddings import ModelSignature, SpareVectors
from vestige_tui.core.errors import Conflict, Refused, VestigeError
from vestige_tui.embedding.models import same_model
from vestige_tui.jobs.conflicts import refuse_competing_jobs
from vestige_tui.reembed.attempt import OWN, SPARE, TABLE, Attempt
from vestige_tui.reembed.checkpoint import ReembedResult
from vestige_tui.reembed.encoding import VectorEncoder
from vestige_tui.reembed.index_build import INDEX, IndexBuilder
from vestige_tui.reembed.spare_vectors import equal, forget_spare, read_spare, refuse_other_spare
from vestige_tui.store.centroids import centroid_of
from vestige_tui.store.schema import rows

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import Vector
    from vestige_tui.jobs.context import JobContext
    from vestige_tui.store.backends.protocol import Transaction


class Reembedding:
    """One run: begin, encode, catch up, build the index, swap, encode later edits."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._backend = context.store.backend
        self._attempt = Attempt(context)
        self._model, self._kind = self._attempt.model, self._attempt.kind
        self._encoder = VectorEncoder(self._attempt)
        self._index = IndexBuilder(self._attempt)
        self._locked_at = 0.0

    async def close(self) -> None:
        """End the encoders."""
        await self._encoder.close()

    async def run(self) -> str:
        """Run every step. Raises Cancelled at a checkpoint, Refused if it may not begin, and errors of the store."""
        context = self._context
        await self._attempt.read_findings()
        await context.phase("counting")
        await self._begin()
        if self._kind == "in_place":
            await self._encoder.fill(OWN, "computing vectors")
            await self._index.build_own()
        else:
            if not self._attempt.checkpoint.taken_over:
                await self._encoder.fill(SPARE, "computing vectors")
                self._refuse_no_vectors()
                if self._backend.capabilities.typed_vectors:
                    await self._index.build_spare()
                    await self._encoder.fill(SPARE, "catching up", cursor=False)
                await self._swap()
            await self._encoder.fill(OWN, "computing vectors of memories written meanwhile", cursor=False)
        await self._centre()
        return await self._finish()

    # Begin

    async def _begin(self) -> None:
        registry = await self._attempt.ask("get_model")
        if self._attempt.checkpoint.taken_over and registry and equal(rows.model(registry[0]), self._model):
            return
        shadow = read_spare(await self._attempt.ask("get_spare"))
        continues = self._kind == "reembed" and shadow is not None and shadow.role == "building"
        in_place = self._kind == "in_place"
        domains = tuple(str(row["id"]) for row in await self._attempt.ask("list_centred")) if in_place else ()
        checkpoint = self._attempt.checkpoint.begun(domains, in_place=in_place, continues=continues)

        async def work(transaction: Transaction) -> bool:
            return await self._prepare(transaction, continues=continues)

        if await self._attempt.step(work, checkpoint):
            self._attempt.failed.clear()

    async def _prepare(self, transaction: Transaction, *, continues: bool) -> bool:
        """Prepare the store; return whether the encoding starts over."""
        context, store = self._context, self._context.store
        await transaction.fetch("lock_schema")
        await refuse_competing_jobs(transaction, store, job_id=context.job_id, only_begun=True)
        before = rows.model((await transaction.fetch("get_model"))[0])
        shadow = read_spare(await transaction.fetch("get_spare"))
        if self._kind == "rollback":
            if shadow is None or shadow.role != "kept" or not equal(shadow.model, self._model):
                raise Refused(
                    f"{store.title} keeps no vectors of {self._model.name}; there is nothing to roll back to."
                )
            return False
        if shadow is not None and shadow.role == "building":
            refuse_other_spare(store, shadow.model, self._model, in_place=self._kind == "in_place")
        if continues != (shadow is not None and shadow.role == "building"):
            raise Conflict("The unfinished vectors were deleted meanwhile; start the job again.")
        if continues:
            return False
        # The counts of an earlier attempt are of vectors that are gone.
        context.meter.tables.pop(TABLE, None)
        context.meter.zero_vectors = 0
        await context.ledger.withdraw_findings(transaction, context.job_id, self._attempt.findings)
        await forget_spare(transaction, self._backend)
        if self._kind == "reembed":
            await self._attempt.run_typed(transaction, "stamp_spare")
            await transaction.execute("put_spare_model", _model_fields(self._model, store.now()))
        else:
            await self._take_over(transaction, before)
        return True

    async def _take_over(self, transaction: Transaction, before: ModelSignature) -> None:
        """Give the store the new model and delete its vectors (in place)."""
        context = self._context
        await transaction.execute("set_model", _model_fields(self._model, context.store.now()))
        await self._note_change(transaction, before, 0)
        await transaction.execute("forget_centroids")
        await transaction.execute("empty_vectors")
        if not self._backend.capabilities.typed_vectors:
            return
        widens = before.dimension != self._model.dimension
        if widens or context.options.get("drop_hnsw_first"):
            await transaction.execute("drop_index")
            await context.ledger.note_dropped(transaction, context.job_id, [INDEX])
        if widens:
            await self._attempt.run_typed(transaction, "stamp_width")

    async def _note_change(self, transaction: Transaction, before: ModelSignature, memories: int) -> None:
        after = self._model
        await transaction.fetch(
            "insert_model_change",
            {
                "kind": self._kind,
                "from_name": before.name,
                "from_dimension": before.dimension,
                "from_hash": before.hash,
                "to_name": after.name,
                "to_dimension": after.dimension,
                "to_hash": after.hash,
                "memories": memories,
                "seconds": round(self._attempt.seconds, 3),
                "changed_at": self._context.store.now(),
                "job": self._context.job_id,
            },
        )

    def _refuse_no_vectors(self) -> None:
        progress = self._context.meter.tables[TABLE]
        if progress.failed and not progress.inserted and self._kind == "reembed":
            raise VestigeError(f"{self._model.name} could not encode any text; the store is unchanged.")

    # Swap

    async def _swap(self) -> None:
        await self._context.phase("swapping")
        domains = tuple(str(row["id"]) for row in await self._attempt.ask("list_centred"))
        await self._attempt.step(self._swap_tables, self._attempt.checkpoint.swapped(domains))
        milliseconds = (time.perf_counter() - self._locked_at) * 1_000
        await self._context.with_retries(self._context.store.models.refresh)
        await self._attempt.save(replace(self._attempt.checkpoint, swap_ms=round(milliseconds, 3)))

    async def _swap_tables(self, transaction: Transaction) -> None:
        self._locked_at = time.perf_counter()
        await transaction.fetch("lock_schema")
        await self._attempt.hold(transaction, SPARE)
        before = rows.model((await transaction.fetch("get_model"))[0])
        after = rows.model((await transaction.fetch("hold_spare"))[0])
        await transaction.execute("set_model", _model_fields(after))
        await transaction.execute("set_spare_model", _model_fields(before))
        progress = self._attempt.progress
        await self._note_change(transaction, before, progress.inserted)
        await transaction.execute("forget_centroids")
        if self._backend.capabilities.typed_vectors:
            await self._index.record(transaction)
            await transaction.fetch("wait_briefly")
            await transaction.execute("lock_tables")
            self._locked_at = time.perf_counter()
            await transaction.execute("swap_tables")
        else:
            for name in _SWAP_OF_A_FILE:
                await transaction.execute(name)

    # Finish

    async def _centre(self) -> None:
        """Compute centroids of the new vectors for domains that had one."""
        while domains := self._attempt.checkpoint.domains:
            self._context.meter.phase = "computing the centres of domains"
            domain, *remaining = domains
            by_database = self._backend.capabilities.computes_vectors
            dimension = self._model.dimension
            centroid = await centroid_of(self._attempt.ask, domain, dimension, by_database=by_database)

            async def work(transaction: Transaction, domain: str = domain, centroid: Vector | None = centroid) -> None:
                if centroid is not None:
                    await transaction.execute("set_centroid", {"id": domain, "centroid": centroid})

            await self._attempt.step(work, replace(self._attempt.checkpoint, domains=tuple(remaining)))

    async def _finish(self) -> str:
        context = self._context
        old = read_spare(await self._attempt.ask("get_spare"))
        drop_old = bool(context.options.get("drop_old")) and old is not None
        progress = self._attempt.progress
        context.meter.phase = "done"
        result = ReembedResult(
            progress.inserted,
            round(self._attempt.seconds, 3),
            self._attempt.checkpoint.index_seconds,
            self._attempt.checkpoint.swap_ms,
        )

        async def work(transaction: Transaction) -> None:
            await self._attempt.hold(transaction, OWN)
            if self._kind == "in_place":
                await transaction.execute(
                    "set_model_change", {"memories": progress.inserted, "seconds": result.duration_secs}
                )
            if drop_old:
                await forget_spare(transaction, self._backend)

        await self._attempt.step(work, self._attempt.checkpoint.done(result))
        return _words(result, self._model, None if drop_old else old, progress.failed)


_SWAP_OF_A_FILE = (
    "forget_spare_trigger",
    "lay_vectors_aside",
    "put_spare_in_place",
    "keep_laid_aside",
    "make_spare_trigger",
)


def _words(result: ReembedResult, model: ModelSignature, kept: SpareVectors | None, failed: int) -> str:
    alike = kept is not None and same_model(kept.model.name, model.name)
    both = (model, kept.model if kept is not None else model)
    new, old = (f"{each.name} ({each.dimension} dimensions)" if alike else each.name for each in both)
    parts = ["no new vector was needed"]
    if result.rows_updated:
        parts = [f"{result.rows_updated:,} vectors of {new} in {result.duration_secs:,.1f} s"]
    if result.index_rebuild_secs:
        parts.append(f"index built in {result.index_rebuild_secs:,.1f} s")
    if result.swap_ms is not None:
        parts.append(f"swapped in {result.swap_ms:,.1f} ms")
    if failed:
        parts.append(f"{failed:,} {'memory' if failed == 1 else 'memories'} without a vector")
    if kept is not None:
        parts.append(f"the vectors of {old} are kept")
    return "; ".join(parts)


def _model_fields(model: ModelSignature, now: datetime | None = None) -> dict[str, Any]:
    return {
        "name": model.name,
        "dimension": model.dimension,
        "hash": model.hash,
        "created_at": model.created_at or now,
        "document_template": model.templates.document,
        "query_template": model.templates.query,
    }
