"""Writes of memories as values: the rows of an insert, a patched memory, and the snapshot before a delete."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from vestige_tui.core.errors import Usage
from vestige_tui.core.memories import VISIBILITIES, Draft, Memory, Patch
from vestige_tui.core.storable import check_depth, check_labels, clean, storable_json
from vestige_tui.store.backends.protocol import Json, Transaction, Write
from vestige_tui.store.journal_snapshots import (
    edge_fields,
    event_fields,
    insert_params,
    marks_fields,
    memory_fields,
    review_fields,
    schedule_fields,
    schedule_params,
    stamp,
    vector_fields,
    vector_params,
)
from vestige_tui.store.schema import rows

if TYPE_CHECKING:
    from vestige_tui.store.backends.protocol import Row
    from vestige_tui.store.models import VectorBatch


NO_GROUP = "The memory is shared with no group, so that only its owner sees it; name one with --share-with."


def insert_writes(
    drafts: Iterable[tuple[str, Draft]], batch: VectorBatch | None, now: datetime
) -> tuple[list[Write], list[dict[str, str | None]]]:
    """Return the writes that insert these drafts, and the (id, updated_at) stamps for the journal.

    With vectors, the last write reads the store's model in the same transaction.
    """
    memories: list[dict[str, Any]] = []
    embeddings: list[dict[str, Any]] = []
    schedules: list[dict[str, Any]] = []
    for index, (memory_id, draft) in enumerate(drafts):
        params = insert_params(draft, memory_id, now)
        params["content"] = clean(draft.content)
        params["node_type"] = clean(params["node_type"])
        params["tags"] = [clean(tag) for tag in draft.tags]
        params["domains"] = [clean(domain) for domain in draft.domains]
        params["codebase"] = None if draft.codebase is None else clean(draft.codebase)
        params["metadata"] = Json(storable_json(draft.metadata))
        params["domain_scores"] = Json(storable_json(draft.domain_scores))
        memories.append(params)
        if batch:
            embeddings.append(vector_params(memory_id, batch.vectors[index], batch.key))
        if draft.scheduling is not None:
            schedules.append(schedule_params(memory_id, draft.scheduling))
    parts = {"insert_memory": memories, "insert_embedding": embeddings, "put_scheduling": schedules}
    writes = [Write(name, many=many) for name, many in parts.items() if many]
    if embeddings:
        writes.append(Write("get_model"))
    return writes, [stamp(params["id"], rows.as_time(params["updated_at"])) for params in memories]


def patched(memory: Memory, patch: Patch) -> Memory:
    """Return a memory with a patch applied. Raises Usage for an unknown visibility, and past the bounds of a memory."""
    _check_patch(memory, patch)
    values: dict[str, Any] = {}
    for name in ("content", "node_type", "visibility"):
        if (value := getattr(patch, name)) is not None:
            values[name] = clean(value)
    for name in ("tags", "domains"):
        if (items := getattr(patch, name)) is not None:
            values[name] = tuple(dict.fromkeys(clean(item) for item in items))
    if patch.owner_user_id is not None:
        values["owner_user_id"] = patch.owner_user_id
    if patch.shared_with_groups is not None:
        values["shared_with_groups"] = tuple(dict.fromkeys(patch.shared_with_groups))
    if patch.codebase is not None:
        values["codebase"] = clean(patch.codebase) or None
    if patch.metadata is not None:
        values["metadata"] = storable_json(patch.metadata)
    if values.get("visibility", "private") not in VISIBILITIES:
        raise Usage("Visibility must be private, group or public.")
    return dataclasses.replace(memory, **values)


def sharing_warning(memory: Memory, patch: Patch) -> tuple[str, ...]:
    """Return a sentence if an edit shares a memory with no group."""
    edited = patched(memory, patch)
    is_new = (edited.visibility, edited.shared_with_groups) != (memory.visibility, memory.shared_with_groups)
    if not is_new or edited.visibility != "group" or edited.shared_with_groups:
        return ()
    return (NO_GROUP,)


def new_sharing_warning(draft: Draft) -> tuple[str, ...]:
    """Return a sentence if a new memory is shared with no group."""
    return (NO_GROUP,) if draft.visibility == "group" and not draft.shared_with_groups else ()


def _check_patch(memory: Memory, patch: Patch) -> None:
    if patch.node_type is not None:
        check_labels("type", [patch.node_type], [memory.node_type])
    if patch.codebase is not None:
        check_labels("codebase", [patch.codebase], [memory.codebase or ""])
    check_labels("tag", patch.tags or (), memory.tags)
    check_labels("domain", patch.domains or (), memory.domains)
    if patch.metadata is not None and patch.metadata != memory.metadata:
        check_depth(patch.metadata)


async def snapshot(transaction: Transaction, memory: Memory) -> dict[str, Any]:
    """Return everything that a delete removes with a memory, for its journal entry."""
    [alone] = await snapshots(transaction, [memory])
    return alone


async def snapshots(transaction: Transaction, memories: Sequence[Memory]) -> list[dict[str, Any]]:
    """Return everything that a delete removes with each of these memories, for its journal entry."""
    params = {"ids": [memory.id for memory in memories]}

    async def by_memory(query: str, key: str = "memory_id") -> dict[str, list[Row]]:
        groups: dict[str, list[Row]] = {}
        for row in await transaction.fetch(query, params):
            groups.setdefault(str(row[key]), []).append(row)
        return groups

    marks, reviews = await by_memory("list_marks_of"), await by_memory("list_reviews_of")
    vectors, events = await by_memory("list_embeddings_of"), await by_memory("list_lost_events", "loser_id")
    losers, edges = await by_memory("list_losers", "superseded_by"), await transaction.fetch("list_edges", params)
    links = _edges_by_end([edge_fields(rows.edge(row)) for row in edges])
    return [
        {
            "id": memory.id,
            "memory": memory_fields(memory),
            **vector_fields(vectors.get(memory.id, [])),
            "scheduling": schedule_fields(memory.scheduling),
            "marks": marks_fields(rows.marks(marks[memory.id])) if memory.id in marks else None,
            "edges": links.get(memory.id, []),
            "reviews": [review_fields(rows.review(row)) for row in reviews.get(memory.id, [])],
            "events": [event_fields(rows.event(row)) for row in events.get(memory.id, [])],
            "losers": [str(row["id"]) for row in losers.get(memory.id, [])],
        }
        for memory in memories
    ]


def _edges_by_end(edges: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    by_end: dict[str, list[dict[str, Any]]] = {}
    for edge in edges:
        for end in {edge["source_id"], edge["target_id"]}:
            by_end.setdefault(end, []).append(edge)
    return by_end
