"""Re-embedding: the vectors of another model for every memory, made beside those in use, then put in their place.

Searches go on with the old vectors until one short transaction swaps tables, indexes and registry; the old ones stay,
to go back to. In place, the store takes the new model first and its memories get their vectors one by one. What is
still to be done is never noted anywhere: it is the memories that have no vector, and an edit takes a vector away.
"""

from __future__ import annotations

import asyncio
import re
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vestige_tui.core.embeddings import ModelSignature, SpareVectors
from vestige_tui.core.errors import EmbedderUnavailable, Refused, Usage
from vestige_tui.core.jobs import TableProgress
from vestige_tui.embedding import models
from vestige_tui.embedding.encoder_pool import other_build, shortened
from vestige_tui.embedding.models import signature
from vestige_tui.jobs.conflicts import refuse_rivals
from vestige_tui.jobs.known_stores import without_password
from vestige_tui.jobs.ledger import Ledger, plan_id
from vestige_tui.jobs.start import JobRequest, ValidatedJob
from vestige_tui.reembed.run import MOST_BATCH, PART, TABLE, Kind, Reembedding, Report, as_text, room
from vestige_tui.reembed.spare_vectors import (
    drop_spare,
    equal,
    history,
    named,
    read_spare,
    refuse_other_spare,
    refuse_unwritable,
    spare,
)
from vestige_tui.store.open import open_backend, open_store
from vestige_tui.store.schema import rows

if TYPE_CHECKING:
    from vestige_tui.jobs.context import JobContext
    from vestige_tui.store.store import Store

SAMPLE, SAMPLE_SECONDS = 64, 4.0
LEAST_DIMENSION = 8
"""Vectors that are cut to less tell nothing apart."""
PRECIOUS = ("knowledge_nodes", "node_embeddings", "embedding_model", "scheduling")
"""What a backup before a re-embedding should hold."""


# What there is, and what it would take


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a re-embedding, or a way back, would do. ``bytes`` is the room it needs; the old vectors take theirs on."""

    kind: Kind
    before: ModelSignature
    after: ModelSignature
    memories: int
    """How many are to be encoded."""
    texts_per_second: float | None
    """Measured on texts of the store; None where nothing was measured."""
    seconds: float | None
    bytes: int
    drops: SpareVectors | None
    """What goes to make room: vectors kept since an earlier re-embedding, or, in place, those in use."""
    loadable: bool = True
    """Can the model be loaded here? Where it cannot, that many memories would be without a vector."""


async def estimate(
    store: Store,
    model: str,
    *,
    dimension: int | None = None,
    in_place: bool = False,
    measure: bool = True,
    tell: Callable[[str], None] | None = None,
) -> Estimate | None:
    """What a re-embedding would do; None where the store belongs to that model already. Raises as ``check`` does.

    ``measure``: encode some texts of the store, for a few seconds, to say how long it would take. ``tell`` hears, in a
    thread of its own, how far the model is loaded.
    """
    await asyncio.to_thread(refuse_width, model, dimension)
    embedder = await _loaded(model, dimension, tell)
    found = await _stand(store, {"in_place": in_place}, signature(embedder), dry=True)
    if found is None:
        return None
    per_second = None
    if measure:
        texts = await store.backend.fetch("sample_texts", {"sample": SAMPLE})
        per_second = await asyncio.to_thread(_measured, embedder, [as_text(row["content"]) for row in texts])
    [there] = await store.backend.fetch("count_memories")
    in_use = SpareVectors(
        found.before, "kept", int((await store.backend.fetch("get_stats"))[0]["memories_with_embeddings"])
    )
    kept = found.spare if found.spare and found.spare.role == "kept" else None
    return Estimate(
        found.kind,
        found.before,
        found.after,
        found.missing,
        per_second,
        None if per_second is None else found.missing / per_second,
        room(store.backend.dialect, int(there["n"]), found.after.dimension),
        in_use if in_place else kept,
    )


async def estimate_rollback(store: Store) -> Estimate:
    """What going back to the model before would do. Raises Refused where there is no way back."""
    found = await _stand(store, {"rollback": True}, None, dry=True)
    assert found is not None
    loadable = True
    if found.missing:
        try:
            await _loaded(found.after.name, found.after.dimension)
        except EmbedderUnavailable:
            loadable = False
    return Estimate("rollback", found.before, found.after, found.missing, None, None, 0, None, loadable)


def advice(location: str, dialect: str) -> str:
    """How to keep a copy of what a person would miss most, in a sentence with the command for it."""
    if location.startswith("pgembed:"):
        copy = f"cp -a {shlex.quote(location.removeprefix('pgembed:'))} ELSEWHERE, while nobody has it open"
    elif dialect == "postgres":
        tables = " ".join(f"--table={name}" for name in PRECIOUS)
        copy = f"pg_dump --format=custom --file=before-reembed.dump {tables} {shlex.quote(without_password(location))}"
    else:
        path = location.removeprefix("sqlite:")
        into = "VACUUM INTO '" + f"{path}.before-reembed".replace("'", "''") + "'"
        copy = f"sqlite3 {_quoted(path)} {_quoted(into)}"
    return f"A backup first is good advice ({', '.join(PRECIOUS)}): {copy}"


def _quoted(word: str) -> str:
    """A word for a shell, in the form that is the easiest to read where several are right."""
    if shlex.quote(word) == word or "!" in word:
        return shlex.quote(word)
    return '"' + re.sub(r'(["$`\\])', r"\\\1", word) + '"'


def _measured(embedder: models.Embedder, texts: Sequence[str]) -> float | None:
    """Texts a second, over a few seconds at most."""
    if not texts:
        return None
    embedder.embed(texts[:1])
    began, done = time.perf_counter(), 0
    while done < len(texts) and (not done or time.perf_counter() - began < SAMPLE_SECONDS):
        part = [shortened(text) for text in texts[done : done + PART]]
        embedder.embed(part)
        done += len(part)
    return done / max(time.perf_counter() - began, 1e-6)


# Refusals


@dataclass(frozen=True, slots=True)
class _Stand:
    """Where a store stands before a job: which model it has, and which it is to have."""

    kind: Kind
    before: ModelSignature
    after: ModelSignature
    spare: SpareVectors | None
    missing: int
    """How many memories are to be encoded."""


async def check(work: JobRequest, *, dry: bool = False) -> ValidatedJob:
    """Refuse what cannot be done, before anything is written. Loads the model, to know what it is."""
    options = dict(work.options)
    batch = options.get("batch")
    if batch is not None and not 1 <= int(batch) <= MOST_BATCH:
        raise Usage(f"A batch has 1 to {MOST_BATCH:,} memories, not {batch:,}.")
    async with open_store(work.target, read_only=dry, max_connections=2) as store:
        found: ModelSignature | None = None
        if not options.get("rollback"):
            name = options.get("model")
            if not name:
                raise Usage("A re-embedding needs a model: --model NAME.")
            refuse_unwritable(store, dry=dry)
            await asyncio.to_thread(refuse_width, str(name), options.get("dimension"))
            found = signature(await _loaded(str(name), options.get("dimension")))
            begun = options.get("hash")
            if begun and begun != found.hash:
                raise Refused(other_build(replace(found, hash=str(begun)), found.hash))
        stand = await _stand(store, options, found, dry=dry)
        if stand is None:
            assert found is not None
            raise Refused(f"{store.title} belongs to {_named(found)} already; there is nothing to change.")
        if stand.kind == "rollback" and stand.missing and not options.get("partial"):
            await _loadable(stand)
        where = without_password(store.location)
        if store.backend.dialect == "postgres":
            open_backend(work.target, max_connections=1).use_model(stand.after)  # refuses vectors that are too wide
    verb = {"reembed": "re-embed", "in_place": "re-embed in place", "rollback": "roll back"}[stand.kind]
    kept = ("in_place", "drop_hnsw_first", "concurrent_index", "drop_old", "rollback", "partial")
    alike = models.same_model(stand.before.name, stand.after.name)
    before, after = (_named(model) if alike else model.name for model in (stand.before, stand.after))
    return ValidatedJob(
        where,
        where,
        key_of(stand.kind, stand.after),
        f"{verb} {store.title}: {before} to {after}",
        {
            "model": stand.after.name,
            "dimension": stand.after.dimension,
            "hash": stand.after.hash,
            **({"batch": int(batch)} if batch else {}),
            **{name: True for name in kept if options.get(name)},
        },
    )


async def dry_run(work: JobRequest) -> dict[str, TableProgress]:
    """How many memories would be encoded. Writes nothing; raises as ``check`` does."""
    checked = await check(work, dry=True)
    async with open_store(work.target, read_only=True, max_connections=2) as store:
        stand = await _stand(store, checked.options, named(checked.options), dry=True)
        return {TABLE: TableProgress(total=stand.missing if stand else 0)}


def refuse_width(name: str, dimension: int | None) -> None:
    """Raises Usage for a width that a model cannot be cut to. May import the encoder's library: call it in a thread."""
    if dimension is None:
        return
    if dimension < LEAST_DIMENSION:
        raise Usage(f"Vectors have {LEAST_DIMENSION} dimensions or more, not {dimension}.")
    known = _known(name)
    if known is not None and dimension > known.dimension:
        raise Usage(f"{known.name} gives {known.dimension:,} dimensions; it cannot be cut to {dimension:,}.")


def must_be_fetched(name: str) -> bool:
    """Is a model to be downloaded before anything can be said of it? As ``refuse_width``."""
    known = _known(name)
    return known is not None and not known.offline


def _known(name: str) -> models.CatalogModel | None:
    return next((model for model in models.catalog() if models.same_model(model.name, name)), None)


def _named(model: ModelSignature) -> str:
    return f"{model.name} ({model.dimension} dimensions)"


def key_of(kind: Kind, model: ModelSignature) -> str:
    """How a plan names what it is about."""
    return f"{kind} {model.name} {model.dimension}"


async def _loaded(name: str, dimension: int | None, tell: Callable[[str], None] | None = None) -> models.Embedder:
    return await asyncio.to_thread(models.load_embedder, name, dimension=dimension, progress=tell)


async def _loadable(stand: _Stand) -> None:
    """Raises Refused where the model of the vectors to go back to cannot be loaded, and some would be missing."""
    try:
        await _loaded(stand.after.name, stand.after.dimension)
    except EmbedderUnavailable as error:
        which = "memory that was" if stand.missing == 1 else "memories that were"
        raise Refused(
            f"{error.message} {stand.missing:,} {which} written since would be without a vector; "
            "repeat with --yes to go back all the same."
        ) from None


async def _stand(
    store: Store, options: Mapping[str, Any], found: ModelSignature | None, *, dry: bool = False
) -> _Stand | None:
    """What is to be done, None where the store belongs to that model. ``found``: the model as it can be loaded here."""
    refuse_unwritable(store, dry=dry)
    backend = store.backend
    registered = await backend.fetch("get_model")
    if not registered:
        raise Refused(f"{store.title} belongs to no model yet; `vestige-tui registry fill` makes its first vectors.")
    before, there = rows.model(registered[0]), read_spare(await backend.fetch("get_spare"))
    if options.get("rollback"):
        kind: Kind = "rollback"
        after, done = await _way_back(store, options, before, there)
    else:
        assert found is not None
        kind, after, done = "in_place" if options.get("in_place") else "reembed", found, False
        if there is not None and there.role == "building":
            refuse_other_spare(store, there.model, after, in_place=kind == "in_place")
    where = without_password(store.location)
    plan = str(plan_id("reembed", where, where, key_of(kind, after)))
    await refuse_rivals(backend, store, plan=plan)
    if not done and kind != "rollback" and equal(before, after):
        # Unless a job of ours was stopped between taking the store to its model and the last vectors.
        last = await backend.fetch("read_last_attempt", {"plan": plan})
        checkpoint = rows.as_map(last[0]["checkpoint"]) if last else {}
        done = bool(last) and last[0]["status"] != "completed" and bool(checkpoint.get("taken"))
        if not done:
            return None
    goes_on = kind == "rollback" or (there is not None and there.role == "building")
    [counted] = await backend.fetch(
        "count_without_vector" if done else "count_without_spare" if goes_on else "count_memories"
    )
    return _Stand(kind, before, after, there, int(counted["n"]))


async def _way_back(
    store: Store, options: Mapping[str, Any], before: ModelSignature, there: SpareVectors | None
) -> tuple[ModelSignature, bool]:
    """The model to go back to, and whether the store has been taken to it by an attempt that was stopped later."""
    last = await store.backend.fetch("get_last_reembedding")
    if last and last[0]["status"] != "completed":
        begun = rows.as_map(last[0]["options"])
        if begun.get("rollback") and rows.as_map(last[0]["checkpoint"]).get("taken"):
            stopped = named(begun)
            if equal(stopped, before) and options.get("model") in (None, stopped.name):
                return stopped, True
    if there is None or there.role != "kept":
        raise Refused(f"{store.title} keeps no vectors of an earlier model; there is nothing to go back to.")
    if options.get("model") and not equal(named(options), there.model):
        raise Refused(f"The kept vectors are of {there.model.name} now, not of {options['model']}.")
    return there.model, False


# The job


async def report(store: Store, job_id: str) -> Report | None:
    """What a re-embedding came to; None where it is not done."""
    told = rows.as_map((await Ledger(store).run(job_id)).checkpoint.get("report"))
    return Report(**told) if told else None


async def run(running: JobContext) -> str:
    """Give every memory a vector of the other model; gives what came of it in words."""
    work = Reembedding(running)
    try:
        return await work.run()
    finally:
        await work.close()


__all__ = [
    "Estimate",
    "Report",
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
