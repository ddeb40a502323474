"""Embedding model of a store, and the vectors that it makes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vestige_tui.core.embeddings import ModelSignature, VectorCensus
from vestige_tui.core.errors import EmbedderUnavailable, ModelMismatch, Refused, Usage
from vestige_tui.core.memories import Filter
from vestige_tui.core.text import short_id
from vestige_tui.embedding.models import same_model, signature
from vestige_tui.store.backends.protocol import Write, model_key
from vestige_tui.store.journal_snapshots import vector_params
from vestige_tui.store.schema import migrations, rows

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import Vector
    from vestige_tui.embedding.embedder_source import EmbedderSource
    from vestige_tui.store.backends.protocol import ModelKey, Row
    from vestige_tui.store.context import StoreContext

FILL_BATCH = 32
CENSUS_PAGE_ROWS = 4_000
MAX_ENCODE_ATTEMPTS = 3
"""Encodings of the same texts before ModelMismatch, while other processes keep changing the store's model."""


@dataclass(frozen=True, slots=True)
class VectorBatch:
    """Vectors in the order of their texts, with the model that made them."""

    model: ModelSignature
    vectors: Sequence[Vector]

    @property
    def key(self) -> ModelKey:
        return self.model.name, self.model.dimension


class ModelService:
    """The registered model of a store: reading and registering it, encoding texts, and counting vectors."""

    def __init__(self, context: StoreContext, embedders: EmbedderSource) -> None:
        self._context = context
        self._backend = context.backend
        self._embedders = embedders
        self._model: ModelSignature | None = None
        self._in_place_job: str | None = None
        self._reading_model = asyncio.Lock()

    async def registered(self) -> ModelSignature | None:
        """Return the store's embedding model as last read; None if it has none yet."""
        return self._model or await self.refresh()

    async def refresh(self) -> ModelSignature | None:
        """Read the store's embedding model again: another process may have changed it."""
        async with self._reading_model:
            self._set_model(await self._backend.fetch("get_model"))
            self._in_place_job = await self._find_in_place_job()
            return self._model

    async def in_place_job(self) -> str | None:
        """Return the id of a job that re-embeds the store in place, if any: vector searches wait for it."""
        if self._in_place_job is not None:
            self._in_place_job = await self._find_in_place_job()
        return self._in_place_job

    async def _find_in_place_job(self) -> str | None:
        if self._backend.foreign:
            return None
        records = await self._backend.fetch("find_in_place")
        return str(records[0]["delegation_id"]) if records else None

    def _set_model(self, records: Sequence[Row]) -> None:
        model = rows.model(records[0]) if records else None
        if model_key(model) != model_key(self._model):
            self._backend.use_model(model)
        self._model = model

    async def register(self, model: ModelSignature, *, finalize: bool = True) -> ModelSignature:
        """Register the store's model. Raises ModelMismatch if it already has another.

        A different hash alone is recorded, not refused: the same model in another build.
        """
        self._context.refuse_read_only()
        async with self._backend.write() as transaction:
            await transaction.fetch("lock_schema")
            records = await transaction.fetch("get_model")
            if records:
                current = rows.model(records[0])
                if not same_model(current.name, model.name) or current.dimension != model.dimension:
                    raise ModelMismatch(
                        f"The store uses {current.name} ({current.dimension} dimensions), "
                        f"not {model.name} ({model.dimension})."
                    )
                if current.templates != model.templates:
                    raise ModelMismatch(
                        f"The store encodes texts as {current.templates.document!r} and queries as "
                        f"{current.templates.query!r}, not as {model.templates.document!r} and "
                        f"{model.templates.query!r}."
                    )
                if model.hash and current.hash != model.hash:
                    await transaction.execute("set_model_hash", {"hash": model.hash})
            else:
                self._backend.use_model(model)
                await transaction.fetch("stamp_width")
                await transaction.execute(
                    "put_model",
                    {
                        "name": model.name,
                        "dimension": model.dimension,
                        "hash": model.hash,
                        "created_at": model.created_at or self._context.now(),
                        "document_template": model.templates.document,
                        "query_template": model.templates.query,
                    },
                )
        self._model = None
        if finalize:
            await migrations.finalize(self._backend)
        registered = await self.registered()
        assert registered is not None
        return registered

    async def census(self) -> VectorCensus:
        """Count the stored vectors by dimension, and the missing, zero and non-finite ones."""
        import numpy as np

        widths = {int(row["width"]): int(row["n"]) for row in await self._backend.fetch("count_vectors_by_width")}
        model = await self.refresh()
        zero = non_finite = seq = 0
        while model:
            records = await self._backend.fetch(
                "list_embeddings_by_width", {"width": model.dimension, "seq": seq, "limit": CENSUS_PAGE_ROWS}
            )
            for row in records:
                norm = float(np.linalg.norm(rows.as_vector(row["embedding"])))
                zero += norm == 0
                non_finite += not np.isfinite(norm)
            if len(records) < CENSUS_PAGE_ROWS or self._backend.capabilities.computes_vectors:
                break
            seq = int(records[-1]["seq"])
        without = await self._context.count(Filter(superseded=True, states=("without-vector",)))
        return VectorCensus(widths, without, zero, non_finite)

    async def fill(self, progress: Callable[[int, int], None] | None = None) -> int:
        """Encode memories without a vector; return their number. ``progress`` receives (done, total) after each batch.

        Stops when a job begins to re-embed the store in place. Raises Refused if one is running at the start.
        """

        self._context.refuse_read_only()
        total = await self._context.count(Filter(superseded=True, states=("without-vector",)))
        filled, after = 0, self._backend.lowest_id
        while batch := await self._backend.fetch("list_without_embedding", {"after_id": after, "limit": FILL_BATCH}):
            if job := await self._find_in_place_job():
                if filled:
                    break
                raise Refused(f"Job {short_id(job)} is re-embedding this store and computes the missing vectors, too.")
            await self._fill_vectors({str(row["id"]): str(row["content"]) for row in batch})
            after = str(batch[-1]["id"])
            filled += len(batch)
            if progress:
                progress(filled, max(total, filled))
        return filled

    async def _fill_vectors(self, texts: Mapping[str, str]) -> None:
        """Encode texts by id; insert each vector if the memory still has that text and no vector.

        Encodes again if the store's model changes meanwhile, MAX_ENCODE_ATTEMPTS in all. Raises ModelMismatch.
        """
        for _ in range(MAX_ENCODE_ATTEMPTS):
            batch = await self._encode(list(texts.values()))
            params = [
                {**vector_params(memory_id, vector, batch.key), "content": text}
                for (memory_id, text), vector in zip(texts.items(), batch.vectors, strict=True)
            ]
            _, model_records = await self._backend.write_all(
                [Write("insert_embedding_if_current", many=params), Write("get_model")]
            )
            if not self.is_of_other_model(batch, model_records):
                return
        raise ModelMismatch("The embedding model of the store keeps changing; try again later.")

    async def encode_omitted(self, texts: Mapping[str, str], *, by_caller: bool = False) -> tuple[str, ...]:
        """Encode texts again by the current model after their vectors were not stored; return warnings."""
        if by_caller:
            name = self._model.name if self._model else "another model"
            return (f"The store now uses {name}; stored without the given vector.",)
        try:
            await self._fill_vectors(texts)
        except (ModelMismatch, EmbedderUnavailable) as error:
            return (f"{error.message} Stored without a vector.",)
        return ()

    def omits_vectors(self, batch: VectorBatch, writes: Sequence[Write], results: Sequence[Sequence[Row]]) -> bool:
        """Check whether the writes of ``insert_writes`` skipped the vectors because the store's model differs."""
        by_name = {write.name: records for write, records in zip(writes, results, strict=True)}
        return self.is_of_other_model(batch, by_name["get_model"])

    def is_of_other_model(self, batch: VectorBatch, model_records: Sequence[Row]) -> bool:
        """Check whether the store's current model differs from the model of these vectors."""
        self._set_model(model_records)
        return model_key(self._model) != batch.key

    async def _encode(self, texts: Sequence[str]) -> VectorBatch:
        registered = await self.registered()
        try:
            embedder = await self._embedders.get(registered)
        except (ModelMismatch, EmbedderUnavailable):
            cached, registered = registered, await self.refresh()
            if model_key(registered) == model_key(cached):
                raise
            embedder = await self._embedders.get(registered)
        if registered is None:
            registered = await self.register(signature(embedder))
        return VectorBatch(registered, await self._embedders.embed(texts, registered=registered))

    async def vectors_for(
        self, texts: Sequence[str], embedding: Vector | None, embed: bool
    ) -> tuple[VectorBatch | None, tuple[str, ...]]:
        if embedding is not None:
            return await self.caller_vectors([embedding]), ()
        if not embed or not texts:
            return None, ()
        try:
            return await self._encode(texts), ()
        except (ModelMismatch, EmbedderUnavailable) as error:
            return None, (f"{error.message} Stored without a vector.",)

    async def caller_vectors(self, vectors: Sequence[Vector]) -> VectorBatch:
        """Return the caller's vectors, attributed to the registered model. Raises Usage or ModelMismatch."""
        import numpy as np

        registered = await self.registered()
        if registered is None:
            raise Usage(
                "This store has no embedding model yet; the first text that it encodes sets one. Add a memory without "
                "giving a vector, then try again."
            )
        if any(vector.shape != (registered.dimension,) for vector in vectors):
            registered = await self.refresh() or registered
        for vector in vectors:
            if vector.shape != (registered.dimension,):
                raise ModelMismatch(
                    f"This vector has {vector.shape[-1]} dimensions, but the store's have {registered.dimension}."
                )
            if not np.isfinite(vector).all():
                raise Usage("This vector contains NaN or infinity; nothing was changed.")
        return VectorBatch(registered, vectors)
