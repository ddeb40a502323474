"""Re-embedding: vectors of another model for every memory, in a shadow table that is then swapped in.

Searches use the old vectors until one short transaction swaps tables, indexes and registry; the old ones are kept for a
rollback. In place, the store takes the new model first and its memories get their vectors one by one. The remaining
work is stored nowhere: it is the memories without a vector, and an edit deletes a vector.
"""

from __future__ import annotations

import asyncio
import logging
import re
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vestige_tui.core.embeddings import ModelSignature, SpareVectors
from vestige_tui.core.errors import EmbedderUnavailable, Refused, Usage
from vestige_tui.core.jobs import TableProgress
from vestige_tui.embedding import catalogue, loaders, models
from vestige_tui.embedding.encoder_pool import other_build, shortened
from vestige_tui.embedding.models import signature
from vestige_tui.jobs.conflicts import refuse_competing_jobs
from vestige_tui.jobs.known_stores import without_password
from vestige_tui.jobs.ledger import Ledger, plan_id
from vestige_tui.jobs.start import JobRequest, ValidatedJob
from vestige_tui.reembed.attempt import TABLE, Kind
from vestige_tui.reembed.checkpoint import ReembedCheckpoint, ReembedResult
from vestige_tui.reembed.encoding import ENCODER_BATCH, MAX_BATCH, as_text
from vestige_tui.reembed.index_build import room
from vestige_tui.reembed.run import Reembedding
from vestige_tui.reembed.spare_vectors import (
    drop_spare,
    equal,
    history,
    model_of,
    read_spare,
    refuse_other_spare,
    refuse_unwritable,
    spare,
)
from vestige_tui.store.open import open_backend, open_store
from vestige_tui.store.schema import rows

if TYPE_CHECKING:
    from vestige_tui.jobs.context import JobContext
    from vestige_tui.store.backends.protocol import Row
    from vestige_tui.store.store import Store

log = logging.getLogger(__name__)

SAMPLE_TEXTS, SAMPLE_SECONDS = 64, 4.0
MIN_DIMENSION = 8
"""Minimum width: shorter vectors distinguish nothing."""
BACKUP_NAME = "before-reembed.backup.db"
"""File of the backup that is recommended before a re-embedding."""


# Estimates


@dataclass(frozen=True, slots=True)
class Estimate:
    """Estimate of a re-embedding or a rollback. ``bytes`` is the space it needs; the old vectors keep theirs."""

    kind: Kind
    before: ModelSignature
    after: ModelSignature
    memories: int
    """Memories to encode."""
    texts_per_second: float | None
    """Measured on texts of the store; None if not measured."""
    seconds: float | None
    bytes: int
    drops: SpareVectors | None
    """Vectors deleted to make room: those kept since an earlier re-embedding, or, in place, those in use."""
    loadable: bool = True
    """False if the model cannot be loaded here: that many memories would then lack a vector."""


async def estimate(
    store: Store,
    model: str,
    *,
    dimension: int | None = None,
    in_place: bool = False,
    measure: bool = True,
    tell: Callable[[str], None] | None = None,
) -> Estimate | None:
    """Estimate a re-embedding; None if the store belongs to that model already. Raises as ``check`` does.

    ``measure``: encode some texts of the store, for a few seconds, to measure the speed. ``tell`` receives the progress
    of the loading, in a thread of its own.
    """
    await asyncio.to_thread(refuse_width, model, dimension)
    embedder = await _load(model, dimension, tell)
    change = await _find_change(store, {"in_place": in_place}, signature(embedder), dry=True)
    if change is None:
        return None
    per_second = None
    if measure:
        texts = await store.backend.fetch("sample_texts", {"sample": SAMPLE_TEXTS})
        per_second = await asyncio.to_thread(_measure, embedder, [as_text(row["content"]) for row in texts])
    [count] = await store.backend.fetch("count_memories")
    in_use = SpareVectors(
        change.before, "kept", int((await store.backend.fetch("get_stats"))[0]["memories_with_embeddings"])
    )
    kept_vectors = change.spare if change.spare and change.spare.role == "kept" else None
    return Estimate(
        change.kind,
        change.before,
        change.after,
        change.missing,
        per_second,
        None if per_second is None else change.missing / per_second,
        room(store.backend.capabilities, int(count["n"]), change.after.dimension),
        in_use if in_place else kept_vectors,
    )


async def estimate_rollback(store: Store) -> Estimate:
    """Estimate a rollback to the previous model. Raises Refused if there is none."""
    change = await _find_change(store, {"rollback": True}, None, dry=True)
    assert change is not None
    loadable = True
    if change.missing:
        try:
            await _load(change.after.name, change.after.dimension)
        except EmbedderUnavailable as error:
            log.debug("The previous model cannot be loaded: %s", error)
            loadable = False
    return Estimate("rollback", change.before, change.after, change.missing, None, None, 0, None, loadable)


def advice(location: str) -> str:
    """Return a sentence that recommends a backup of a store, with its command."""
    store = _quote(without_password(location))
    return f"Make a backup first: vestige-tui --store {store} backup {BACKUP_NAME}"


def _quote(word: str) -> str:
    """Quote a word for a shell, in the most readable form."""
    if shlex.quote(word) == word or "!" in word:
        return shlex.quote(word)
    return '"' + re.sub(r'(["$`\\])', r"\\\1", word) + '"'


def _measure(embedder: models.Embedder, texts: Sequence[str]) -> float | None:
    """Measure texts per second, over a few seconds at most."""
    if not texts:
        return None
    embedder.embed(texts[:1])
    start, count = time.perf_counter(), 0
    while count < len(texts) and (not count or time.perf_counter() - start < SAMPLE_SECONDS):
        batch = [shortened(text) for text in texts[count : count + ENCODER_BATCH]]
        embedder.embed(batch)
        count += len(batch)
    return count / max(time.perf_counter() - start, 1e-6)


# Refusals


@dataclass(frozen=True, slots=True)
class _PlannedChange:
    """Change of model that a job is to make."""

    kind: Kind
    before: ModelSignature
    after: ModelSignature
    spare: SpareVectors | None
    missing: int
    """Memories to encode."""


async def check(request: JobRequest, *, dry: bool = False) -> ValidatedJob:
    """Check a request before anything is written. Loads the model, to know its dimension and hash."""
    options = dict(request.options)
    batch = options.get("batch")
    if batch is not None and not 1 <= int(batch) <= MAX_BATCH:
        raise Usage(f"A batch can have 1 to {MAX_BATCH:,} memories, not {batch:,}.")
    async with open_store(request.target, read_only=dry, max_connections=2) as store:
        model: ModelSignature | None = None
        if not options.get("rollback"):
            name = options.get("model")
            if not name:
                raise Usage("Re-embedding needs a model: --model NAME.")
            refuse_unwritable(store, dry=dry)
            await asyncio.to_thread(refuse_width, str(name), options.get("dimension"))
            model = signature(await _load(str(name), options.get("dimension")))
            expected_hash = options.get("hash")
            if expected_hash and expected_hash != model.hash:
                raise Refused(other_build(replace(model, hash=str(expected_hash)), model.hash))
        change = await _find_change(store, options, model, dry=dry)
        if change is None:
            assert model is not None
            raise Refused(f"{store.title} already uses {_describe(model)}; there is nothing to change.")
        if change.kind == "rollback" and change.missing and not options.get("partial"):
            await _refuse_unloadable(change)
        location = without_password(store.location)
        if store.backend.capabilities.typed_vectors:
            open_backend(request.target, max_connections=1).use_model(change.after)  # refuses vectors that are too wide
    verb = {"reembed": "re-embed", "in_place": "re-embed in place", "rollback": "roll back"}[change.kind]
    flags = ("in_place", "drop_hnsw_first", "concurrent_index", "drop_old", "rollback", "partial")
    same_name = models.same_model(change.before.name, change.after.name)
    before, after = (_describe(model) if same_name else model.name for model in (change.before, change.after))
    return ValidatedJob(
        location,
        location,
        key_of(change.kind, change.after),
        f"{verb} {store.title}: {before} to {after}",
        {
            "model": change.after.name,
            "dimension": change.after.dimension,
            "hash": change.after.hash,
            **change.after.templates.to_options(),
            **({"batch": int(batch)} if batch else {}),
            **{name: True for name in flags if options.get(name)},
        },
    )


async def dry_run(request: JobRequest) -> dict[str, TableProgress]:
    """Count the memories to encode. Writes nothing; raises as ``check`` does."""
    job = await check(request, dry=True)
    async with open_store(request.target, read_only=True, max_connections=2) as store:
        change = await _find_change(store, job.options, model_of(job.options), dry=True)
        return {TABLE: TableProgress(total=change.missing if change else 0)}


def refuse_width(name: str, dimension: int | None) -> None:
    """Raise Usage for a width that a model cannot be cut to. May import the encoder's library: call it in a thread."""
    if dimension is None:
        return
    if dimension < MIN_DIMENSION:
        raise Usage(f"Vectors need at least {MIN_DIMENSION} dimensions, not {dimension}.")
    model = _catalog_model(name)
    if model is not None and dimension > model.dimension:
        raise Usage(f"{model.name} gives {model.dimension:,} dimensions; it cannot be shortened to {dimension:,}.")


def must_be_fetched(name: str) -> bool:
    """Check whether a model needs a download before it can be loaded. Call it like ``refuse_width``."""
    model = _catalog_model(name)
    return model is not None and not model.offline


def _catalog_model(name: str) -> catalogue.CatalogModel | None:
    return next((model for model in catalogue.catalog() if models.same_model(model.name, name)), None)


def _describe(model: ModelSignature) -> str:
    return f"{model.name} ({model.dimension} dimensions)"


def key_of(kind: Kind, model: ModelSignature) -> str:
    """Return the part of a plan's key that names kind and model."""
    return f"{kind} {model.name} {model.dimension}"


async def _load(name: str, dimension: int | None, tell: Callable[[str], None] | None = None) -> models.Embedder:
    return await asyncio.to_thread(loaders.load_embedder, name, dimension=dimension, progress=tell)


async def _refuse_unloadable(change: _PlannedChange) -> None:
    """Raise Refused if the model to roll back to cannot be loaded and some memories lack its vectors."""
    try:
        await _load(change.after.name, change.after.dimension)
    except EmbedderUnavailable as error:
        noun = "memory that was" if change.missing == 1 else "memories that were"
        raise Refused(
            f"{error.message} {change.missing:,} {noun} written since would be without a vector; "
            "add --yes to roll back anyway."
        ) from None


async def _find_change(
    store: Store, options: Mapping[str, Any], model: ModelSignature | None, *, dry: bool = False
) -> _PlannedChange | None:
    """Return the change to make, None if the store belongs to that model. ``model``: as it can be loaded here."""
    refuse_unwritable(store, dry=dry)
    backend = store.backend
    registry = await backend.fetch("get_model")
    if not registry:
        raise Refused(f"{store.title} has no model yet; run `vestige-tui registry fill` to compute its first vectors.")
    before, shadow = rows.model(registry[0]), read_spare(await backend.fetch("get_spare"))
    if options.get("rollback"):
        kind: Kind = "rollback"
        after, taken_over = await _rollback_target(store, options, before, shadow)
    else:
        assert model is not None
        kind, taken_over = "in_place" if options.get("in_place") else "reembed", False
        # Another build or width of the model reads texts as this one does.
        same = models.same_model(before.name, model.name)
        after = replace(model, templates=before.templates) if same else model
        if shadow is not None and shadow.role == "building":
            refuse_other_spare(store, shadow.model, after, in_place=kind == "in_place")
    location = without_password(store.location)
    plan = str(plan_id("reembed", location, location, key_of(kind, after)))
    await refuse_competing_jobs(backend, store, plan=plan)
    if not taken_over and kind != "rollback" and equal(before, after):
        # Unless a job was interrupted after it took the store to this model, and before the last vectors.
        last_rows = await backend.fetch("read_last_attempt", {"plan": plan})
        taken_over = bool(last_rows) and last_rows[0]["status"] != "completed" and _checkpoint(last_rows[0]).taken_over
        if not taken_over:
            return None
    continues = kind == "rollback" or (shadow is not None and shadow.role == "building")
    [count] = await backend.fetch(
        "count_without_vector" if taken_over else "count_without_spare" if continues else "count_memories"
    )
    return _PlannedChange(kind, before, after, shadow, int(count["n"]))


async def _rollback_target(
    store: Store, options: Mapping[str, Any], before: ModelSignature, shadow: SpareVectors | None
) -> tuple[ModelSignature, bool]:
    """Return the model to roll back to, and whether an interrupted attempt has taken the store to it already."""
    last_rows = await store.backend.fetch("get_last_reembedding")
    if last_rows and last_rows[0]["status"] != "completed":
        last_options = rows.as_map(last_rows[0]["options"])
        if last_options.get("rollback") and _checkpoint(last_rows[0]).taken_over:
            model = model_of(last_options)
            if equal(model, before) and options.get("model") in (None, model.name):
                return model, True
    if shadow is None or shadow.role != "kept":
        raise Refused(f"{store.title} keeps no vectors of an earlier model; there is nothing to roll back to.")
    if options.get("model") and not equal(model_of(options), shadow.model):
        raise Refused(f"The kept vectors are now those of {shadow.model.name}, not of {options['model']}.")
    return shadow.model, False


# The job


async def report(store: Store, job_id: str) -> ReembedResult | None:
    """Return the result of a re-embedding; None if it is unfinished."""
    return ReembedCheckpoint.from_json((await Ledger(store).run(job_id)).checkpoint).result


def _checkpoint(row: Row) -> ReembedCheckpoint:
    return ReembedCheckpoint.from_json(rows.as_map(row["checkpoint"]))


async def run(context: JobContext) -> str:
    """Give every memory a vector of the other model; return the result in words."""
    reembedding = Reembedding(context)
    try:
        return await reembedding.run()
    finally:
        await reembedding.close()


__all__ = [
    "Estimate",
    "ReembedResult",
    "advice",
    "check",
    "drop_spare",
    "dry_run",
    "estimate",
    "estimate_rollback",
    "history",
    "must_be_fetched",
    "refuse_unwritable",
    "refuse_width",
    "report",
    "run",
    "spare",
]
