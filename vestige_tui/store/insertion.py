"""Insertion of many drafts that may be in the store already, in one transaction with their entry in the journal."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from vestige_tui.core.errors import Conflict, Usage
from vestige_tui.core.storable import check_draft, clean
from vestige_tui.core.text import quoted
from vestige_tui.store.memory_writes import insert_writes

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import Vector
    from vestige_tui.core.memories import Draft
    from vestige_tui.store.backends.protocol import Backend, Row, Transaction, Write
    from vestige_tui.store.context import StoreContext
    from vestige_tui.store.import_journal import ImportJournal
    from vestige_tui.store.models import ModelService, VectorBatch

Inserted: TypeAlias = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
"""Ids that were inserted, ids that were already present, and warnings."""


async def insert_drafts(
    context: StoreContext,
    models: ModelService,
    drafts: Sequence[Draft],
    *,
    embeddings: Sequence[Vector] | None,
    embed: bool,
    journal: ImportJournal | None,
) -> Inserted:
    """Insert the drafts with new ids, and add them to ``journal`` in the same transaction.

    Raises Usage for a draft past the bounds of a memory, before the first one is written.
    """
    for draft in drafts:
        check_draft(draft)
    ids = [draft.id or str(uuid.uuid4()) for draft in drafts]
    for memory_id in ids:
        if not context.backend.is_id(memory_id):
            raise Usage(f"{quoted(memory_id)} is not a valid id; PostgreSQL takes only UUIDs.")
    existing = await _existing_ids(context.backend, [draft.id for draft in drafts if draft.id])
    fresh = {
        memory_id: (index, draft)
        for index, (memory_id, draft) in enumerate(zip(ids, drafts, strict=True))
        if memory_id not in existing
    }
    batch: VectorBatch | None = None
    warnings: tuple[str, ...] = ()
    if embeddings is not None and fresh:
        batch = await models.caller_vectors([embeddings[index] for index, _ in fresh.values()])
    elif embeddings is None:
        batch, warnings = await models.vectors_for([draft.content for _, draft in fresh.values()], None, embed)
    new_drafts = {memory_id: draft for memory_id, (_, draft) in fresh.items()}
    while new_drafts:
        writes, stamps = insert_writes(new_drafts.items(), batch, context.now())
        try:
            results = await _write(context.backend, writes, stamps, journal)
        except Conflict:
            # Another process inserted some of these ids meanwhile: count those as present, retry the rest.
            conflicting = await _existing_ids(context.backend, list(new_drafts))
            if not conflicting:
                raise
            batch = _without(batch, list(new_drafts), conflicting)
            new_drafts = {each: draft for each, draft in new_drafts.items() if each not in conflicting}
            continue
        if batch and models.omits_vectors(batch, writes, results):
            texts = {memory_id: clean(draft.content) for memory_id, draft in new_drafts.items()}
            warnings += await models.encode_omitted(texts, by_caller=embeddings is not None)
        break
    present = tuple(memory_id for memory_id in dict.fromkeys(ids) if memory_id not in new_drafts)
    return tuple(new_drafts), present, warnings


async def _existing_ids(backend: Backend, ids: list[str]) -> set[str]:
    records = await backend.fetch("list_existing", {"ids": ids}) if ids else []
    return {str(row["id"]) for row in records}


def _without(batch: VectorBatch | None, ids: Sequence[str], removed: Collection[str]) -> VectorBatch | None:
    """Return the vectors of a batch without those of some ids."""
    if not batch:
        return batch
    pairs = zip(ids, batch.vectors, strict=True)
    return dataclasses.replace(batch, vectors=[vector for each, vector in pairs if each not in removed])


async def _write(
    backend: Backend, writes: Sequence[Write], stamps: Sequence[Mapping[str, Any]], journal: ImportJournal | None
) -> list[list[Row]]:
    if journal is None:
        return await backend.write_all(writes)
    async with backend.write() as transaction:
        await journal.lock(transaction)
        results = [await _run(transaction, write) for write in writes]
        await journal.add(transaction, stamps)
    journal.keep()
    return results


async def _run(transaction: Transaction, write: Write) -> list[Row]:
    """Run a write as part of a transaction; return its rows, none for one with ``many``."""
    if write.many is None:
        return await transaction.fetch(write.name, write.params)
    await transaction.execute_many(write.name, write.many)
    return []
