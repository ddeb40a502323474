"""Undo of one journal entry, within a transaction. Refused if its memories have changed since."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from vestige_tui.core.errors import Conflict
from vestige_tui.embedding.models import same_model
from vestige_tui.store.backends.protocol import Json
from vestige_tui.store.journal_snapshots import (
    insert_params,
    marks_value,
    memory_fields,
    schedule_fields,
    schedule_params,
    schedule_value,
    unchanged,
    vector_params,
    vector_value,
)
from vestige_tui.store.schema import rows

if TYPE_CHECKING:
    from vestige_tui.core.memories import JournalEntry, Memory
    from vestige_tui.store.backends.protocol import Transaction

Snapshot = Mapping[str, Any]


async def undo_entry(transaction: Transaction, entry: JournalEntry, now: datetime) -> tuple[list[str], dict[str, str]]:
    """Undo one entry; return the changed ids, and by id the texts without a vector of the current model.

    Raises Conflict if that would overwrite a later change.
    """
    inverse = _INVERSES.get(entry.verb)
    if inverse is None:
        raise Conflict(f"A change of the kind '{entry.verb}' cannot be undone.")
    before, texts = await _drop_outdated_vectors(transaction, entry)
    after = {str(snapshot["id"]): snapshot for snapshot in entry.after or []}
    await inverse(transaction, before, after, now)
    return list(after or before), texts


async def _drop_outdated_vectors(
    transaction: Transaction, entry: JournalEntry
) -> tuple[dict[str, Snapshot], dict[str, str]]:
    """Return the snapshots by id without vectors of other models, and by id the texts that lose their vector."""
    before: dict[str, Snapshot] = {str(snapshot["id"]): snapshot for snapshot in entry.before or []}
    if not any(snapshot.get("embedding") for snapshot in before.values()):
        return before, {}
    records = await transaction.fetch("get_model")
    model = rows.model(records[0]) if records else None
    [changes] = await transaction.fetch("count_model_changes", {"since": entry.at})
    texts: dict[str, str] = {}
    for memory_id, snapshot in before.items():
        if not snapshot.get("embedding"):
            continue
        snapshot_model = snapshot.get("model")
        if model is None:
            fits = False
        elif snapshot_model:
            fits = (
                same_model(str(snapshot_model["name"]), model.name) and snapshot_model["dimension"] == model.dimension
            )
        else:
            # Snapshots of older versions name no model.
            fits = not changes["n"] and vector_value(snapshot["embedding"]).shape == (model.dimension,)
        if model is not None and fits:
            before[memory_id] = {**snapshot, "model": {"name": model.name, "dimension": model.dimension}}
        else:
            before[memory_id] = {**snapshot, "embedding": None}
            texts[memory_id] = str(snapshot["memory"]["content"])
    return before, texts


async def lock_memory(transaction: Transaction, memory_id: str) -> Memory:
    if not await transaction.fetch("lock_memory", {"id": memory_id}):
        raise Conflict(f"Memory {memory_id[:8]} no longer exists; nothing was undone.")
    [row] = await transaction.fetch("get_memory", {"id": memory_id})
    return rows.memory(row)


def _changed_since(memory_id: str) -> Conflict:
    return Conflict(f"Memory {memory_id[:8]} has changed since; nothing was undone.")


async def _delete_inserted(
    transaction: Transaction, before: Mapping[str, Snapshot], after: Mapping[str, Snapshot], now: datetime
) -> None:
    for memory_id, snapshot in after.items():
        memory = await lock_memory(transaction, memory_id)
        if memory_fields(memory)["updated_at"] != snapshot["updated_at"]:
            raise _changed_since(memory_id)
    await transaction.execute("delete_memories", {"ids": list(after)})


async def _restore_fields(
    transaction: Transaction, before: Mapping[str, Snapshot], after: Mapping[str, Snapshot], now: datetime
) -> None:
    for memory_id, snapshot in before.items():
        memory = await lock_memory(transaction, memory_id)
        if not unchanged(memory, after[memory_id]["memory"]):
            raise _changed_since(memory_id)
        fields = snapshot["memory"]
        await transaction.execute(
            "update_memory",
            {
                "id": memory_id,
                "content": fields["content"],
                "node_type": fields["node_type"],
                "tags": list(fields["tags"]),
                "metadata": Json(fields["metadata"]),
                "domains": list(fields["domains"]),
                "codebase": fields["codebase"],
                "visibility": fields["visibility"],
                "updated_at": rows.as_time(fields["updated_at"]),
            },
        )
        if fields["content"] != memory.content:
            await transaction.execute("delete_embedding", {"id": memory_id})
            await _put_vector(transaction, memory_id, snapshot)


async def _put_vector(transaction: Transaction, memory_id: str, snapshot: Snapshot) -> None:
    if text := snapshot.get("embedding"):
        model = snapshot["model"]["name"], snapshot["model"]["dimension"]
        await transaction.execute("insert_embedding", vector_params(memory_id, vector_value(text), model))


async def _restore_memories(
    transaction: Transaction, before: Mapping[str, Snapshot], after: Mapping[str, Snapshot], now: datetime
) -> None:
    if await transaction.fetch("list_existing", {"ids": list(before)}):
        raise Conflict("One of the deleted memories exists again; nothing was undone.")
    for memory_id, snapshot in before.items():
        await transaction.execute("insert_memory", insert_params(snapshot["memory"], memory_id, now))
    for memory_id, snapshot in before.items():
        await _put_vector(transaction, memory_id, snapshot)
        if state := schedule_value(snapshot["scheduling"]):
            await transaction.execute("put_scheduling", schedule_params(memory_id, state))
        if snapshot.get("marks"):
            marks = marks_value(snapshot["marks"])
            await transaction.execute(
                "put_marks", {"id": memory_id, "suspended": marks.suspended, "buried_until": marks.buried_until}
            )
        await _restore_logs(transaction, memory_id, snapshot)
    await _restore_links(transaction, before, now)


async def _restore_logs(transaction: Transaction, memory_id: str, snapshot: Snapshot) -> None:
    new_ids: dict[int, int] = {}
    for review in snapshot["reviews"]:
        [row] = await transaction.fetch(
            "insert_review",
            {
                "id": memory_id,
                "at": rows.as_time(review["at"]),
                "rating": review["rating"],
                "prior": Json(review["prior"]),
                "new": Json(review["new"]),
                "undoes": new_ids.get(review["undoes"]),
            },
        )
        new_ids[review["id"]] = int(row["id"])
    for event in snapshot["events"]:
        await transaction.fetch("insert_event", {**event, "decided_at": rows.as_time(event["decided_at"])})


async def _restore_links(transaction: Transaction, before: Mapping[str, Snapshot], now: datetime) -> None:
    ends = {
        end
        for snapshot in before.values()
        for edge in snapshot["edges"]
        for end in (edge["source_id"], edge["target_id"])
    }
    losers = {loser for snapshot in before.values() for loser in snapshot["losers"]}
    existing = {str(row["id"]) for row in await transaction.fetch("list_existing", {"ids": sorted(ends | losers)})}
    for snapshot in before.values():
        for edge in snapshot["edges"]:
            if {edge["source_id"], edge["target_id"]} <= existing:
                await transaction.execute("put_edge", {**edge, "created_at": rows.as_time(edge["created_at"])})
    for winner, snapshot in before.items():
        for loser in snapshot["losers"]:
            # A loser deleted in the same change has its own events; one replaced by another memory since stays so.
            if loser in existing and loser not in before and not (await lock_memory(transaction, loser)).superseded_by:
                await append_event(transaction, loser, winner, "supersede", now)


async def append_event(transaction: Transaction, loser: str, winner: str | None, kind: str, now: datetime) -> int:
    """Insert a supersession event, dated no earlier than the loser's others, so that it sorts last; return its id."""
    events = [rows.event(row) for row in await transaction.fetch("list_lost_events", {"ids": [loser]})]
    decided_at = max([now, *(event.decided_at for event in events)])
    [row] = await transaction.fetch(
        "insert_event", {"loser_id": loser, "winner_id": winner, "kind": kind, "decided_at": decided_at}
    )
    return int(row["id"])


async def _restore_winner(
    transaction: Transaction, before: Mapping[str, Snapshot], after: Mapping[str, Snapshot], now: datetime
) -> None:
    await transaction.fetch("lock_supersession")
    for memory_id, snapshot in before.items():
        memory = await lock_memory(transaction, memory_id)
        if memory.superseded_by != after[memory_id]["superseded_by"]:
            raise _changed_since(memory_id)
        winner = snapshot["superseded_by"]
        if winner is not None:
            if not await transaction.fetch("list_existing", {"ids": [winner]}):
                raise Conflict(
                    f"Memory {winner[:8]}, which replaced {memory_id[:8]}, no longer exists; nothing was undone."
                )
            await refuse_cycle(transaction, memory_id, winner)
        await append_event(transaction, memory_id, winner, "supersede" if winner else "unsupersede", now)


async def refuse_cycle(transaction: Transaction, loser: str, winner: str) -> None:
    """Raise Conflict if the chain of winners from ``winner`` leads to ``loser``."""

    visited: set[str] = set()
    current: str | None = winner
    while current is not None and current not in visited:
        if current == loser:
            raise Conflict(
                f"Memory {winner[:8]} was itself replaced by {loser[:8]}; this would form a cycle. Nothing was changed."
            )
        visited.add(current)
        records = await transaction.fetch("get_winner", {"id": current})
        current = records[0]["superseded_by"] if records else None


async def _restore_edge(
    transaction: Transaction, before: Mapping[str, Snapshot], after: Mapping[str, Snapshot], now: datetime
) -> None:
    for memory_id in {*before, *after}:
        old, new = before.get(memory_id, {}).get("edge"), after.get(memory_id, {}).get("edge")
        edge = old or new or {}
        key = {name: edge[name] for name in ("source_id", "target_id", "edge_type")}
        edges = [rows.edge(row) for row in await transaction.fetch("get_edge", key)]
        if (edges[0].weight if edges else None) != (new["weight"] if new else None):
            raise _changed_since(memory_id)
        if old is None:
            await transaction.execute("delete_edge", key)
        else:
            await transaction.execute("put_edge", {**old, "created_at": rows.as_time(old["created_at"])})


async def _restore_schedule(
    transaction: Transaction, before: Mapping[str, Snapshot], after: Mapping[str, Snapshot], now: datetime
) -> None:
    for memory_id, snapshot in before.items():
        memory = await lock_memory(transaction, memory_id)
        after_review = after[memory_id]
        if schedule_fields(memory.scheduling) != after_review["scheduling"]:
            raise Conflict(f"Memory {memory_id[:8]} has been graded again since; nothing was undone.")
        prior, new = schedule_value(snapshot["scheduling"]), schedule_value(after_review["scheduling"])
        if prior is None:
            await transaction.execute("delete_scheduling", {"id": memory_id})
        else:
            await transaction.execute("put_scheduling", schedule_params(memory_id, prior))
        await transaction.fetch(
            "insert_review",
            {
                "id": memory_id,
                "at": now,
                "rating": after_review["rating"],
                "prior": Json(schedule_fields(new) or {}),
                "new": Json(schedule_fields(prior) or {}),
                "undoes": after_review["review"],
            },
        )


async def _restore_marks(
    transaction: Transaction, before: Mapping[str, Snapshot], after: Mapping[str, Snapshot], now: datetime
) -> None:
    for memory_id, snapshot in before.items():
        await lock_memory(transaction, memory_id)
        records = await transaction.fetch("get_marks", {"id": memory_id})
        current = marks_value(dict(records[0], buried_until=None)) if records else marks_value({})
        buried_until = rows.as_time(records[0]["buried_until"]) if records else None
        expected = marks_value(after[memory_id]["marks"])
        if (current.suspended, buried_until) != (expected.suspended, expected.buried_until):
            raise _changed_since(memory_id)
        marks = marks_value(snapshot["marks"])
        await transaction.execute(
            "put_marks", {"id": memory_id, "suspended": marks.suspended, "buried_until": marks.buried_until}
        )


_Inverse = Callable[["Transaction", Mapping[str, Snapshot], Mapping[str, Snapshot], datetime], Awaitable[None]]
_INVERSES: Mapping[str, _Inverse] = {
    "add": _delete_inserted,
    "import": _delete_inserted,
    "edit": _restore_fields,
    "tag": _restore_fields,
    "delete": _restore_memories,
    "supersede": _restore_winner,
    "unsupersede": _restore_winner,
    "link": _restore_edge,
    "unlink": _restore_edge,
    "review": _restore_schedule,
    "suspend": _restore_marks,
    "bury": _restore_marks,
    "resume": _restore_marks,
}
UNDOABLE_VERBS = frozenset(_INVERSES)
"""Verbs of the journal entries that can be undone."""
