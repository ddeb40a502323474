"""Taking a journal entry back, inside one write. Refuses where somebody has changed the same memories since."""

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

Kept = Mapping[str, Any]


async def take_back(transaction: Transaction, entry: JournalEntry, now: datetime) -> tuple[list[str], dict[str, str]]:
    """Undo one entry; gives the ids that changed, and the texts by id of those whose kept vector is of another model.

    Raises Conflict where that would overwrite somebody's change.
    """
    inverse = _INVERSES.get(entry.verb)
    if inverse is None:
        raise Conflict(f"A change of the kind '{entry.verb}' cannot be taken back.")
    before, bare = await _with_fitting_vectors(transaction, entry)
    after = {str(kept["id"]): kept for kept in entry.after or []}
    await inverse(transaction, before, after, now)
    return list(after or before), bare


async def _with_fitting_vectors(
    transaction: Transaction, entry: JournalEntry
) -> tuple[dict[str, Kept], dict[str, str]]:
    """What was before, with those vectors alone that are of the store's model; and the texts that thereby lack one."""
    before: dict[str, Kept] = {str(kept["id"]): kept for kept in entry.before or []}
    if not any(kept.get("embedding") for kept in before.values()):
        return before, {}
    found = await transaction.fetch("get_model")
    model = rows.model(found[0]) if found else None
    [changes] = await transaction.fetch("count_model_changes", {"since": entry.at})
    bare: dict[str, str] = {}
    for memory_id, kept in before.items():
        if not kept.get("embedding"):
            continue
        made_by = kept.get("model")
        if model is None:
            fits = False
        elif made_by:
            fits = same_model(str(made_by["name"]), model.name) and made_by["dimension"] == model.dimension
        else:
            # Kept before models were noted.
            fits = not changes["n"] and vector_value(kept["embedding"]).shape == (model.dimension,)
        if model is not None and fits:
            before[memory_id] = {**kept, "model": {"name": model.name, "dimension": model.dimension}}
        else:
            before[memory_id] = {**kept, "embedding": None}
            bare[memory_id] = str(kept["memory"]["content"])
    return before, bare


async def locked(transaction: Transaction, memory_id: str) -> Memory:
    if not await transaction.fetch("lock_memory", {"id": memory_id}):
        raise Conflict(f"Memory {memory_id[:8]} is not there any more; nothing was undone.")
    [row] = await transaction.fetch("get_memory", {"id": memory_id})
    return rows.memory(row)


def _changed(memory_id: str) -> Conflict:
    return Conflict(f"Memory {memory_id[:8]} has changed since; nothing was undone.")


async def _remove(
    transaction: Transaction, before: Mapping[str, Kept], after: Mapping[str, Kept], now: datetime
) -> None:
    for memory_id, kept in after.items():
        memory = await locked(transaction, memory_id)
        if memory_fields(memory)["updated_at"] != kept["updated_at"]:
            raise _changed(memory_id)
    await transaction.execute("delete_memories", {"ids": list(after)})


async def _restore_fields(
    transaction: Transaction, before: Mapping[str, Kept], after: Mapping[str, Kept], now: datetime
) -> None:
    for memory_id, kept in before.items():
        memory = await locked(transaction, memory_id)
        if not unchanged(memory, after[memory_id]["memory"]):
            raise _changed(memory_id)
        fields = kept["memory"]
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
            await _put_vector(transaction, memory_id, kept)


async def _put_vector(transaction: Transaction, memory_id: str, kept: Kept) -> None:
    if text := kept.get("embedding"):
        model = kept["model"]["name"], kept["model"]["dimension"]
        await transaction.execute("insert_embedding", vector_params(memory_id, vector_value(text), model))


async def _bring_back(
    transaction: Transaction, before: Mapping[str, Kept], after: Mapping[str, Kept], now: datetime
) -> None:
    if await transaction.fetch("list_existing", {"ids": list(before)}):
        raise Conflict("One of the deleted memories is there again; nothing was undone.")
    for memory_id, kept in before.items():
        await transaction.execute("insert_memory", insert_params(kept["memory"], memory_id, now))
    for memory_id, kept in before.items():
        await _put_vector(transaction, memory_id, kept)
        if state := schedule_value(kept["scheduling"]):
            await transaction.execute("put_scheduling", schedule_params(memory_id, state))
        if kept.get("marks"):
            marks = marks_value(kept["marks"])
            await transaction.execute(
                "put_marks", {"id": memory_id, "suspended": marks.suspended, "buried_until": marks.buried_until}
            )
        await _bring_back_log(transaction, memory_id, kept)
    await _bring_back_links(transaction, before, now)


async def _bring_back_log(transaction: Transaction, memory_id: str, kept: Kept) -> None:
    numbers: dict[int, int] = {}
    for review in kept["reviews"]:
        [row] = await transaction.fetch(
            "insert_review",
            {
                "id": memory_id,
                "at": rows.as_time(review["at"]),
                "rating": review["rating"],
                "prior": Json(review["prior"]),
                "new": Json(review["new"]),
                "undoes": numbers.get(review["undoes"]),
            },
        )
        numbers[review["id"]] = int(row["id"])
    for event in kept["events"]:
        await transaction.fetch("insert_event", {**event, "decided_at": rows.as_time(event["decided_at"])})


async def _bring_back_links(transaction: Transaction, before: Mapping[str, Kept], now: datetime) -> None:
    ends = {end for kept in before.values() for edge in kept["edges"] for end in (edge["source_id"], edge["target_id"])}
    losers = {loser for kept in before.values() for loser in kept["losers"]}
    there = {str(row["id"]) for row in await transaction.fetch("list_existing", {"ids": sorted(ends | losers)})}
    for kept in before.values():
        for edge in kept["edges"]:
            if {edge["source_id"], edge["target_id"]} <= there:
                await transaction.execute("put_edge", {**edge, "created_at": rows.as_time(edge["created_at"])})
    for winner, kept in before.items():
        for loser in kept["losers"]:
            # A loser that was deleted with it has its own events; one that found another winner keeps that.
            if loser in there and loser not in before and not (await locked(transaction, loser)).superseded_by:
                await append_event(transaction, loser, winner, "supersede", now)


async def append_event(transaction: Transaction, loser: str, winner: str | None, kind: str, now: datetime) -> int:
    """One decision, dated so that it sorts last even where an earlier one was dated ahead."""
    earlier = [rows.event(row) for row in await transaction.fetch("list_lost_events", {"ids": [loser]})]
    decided = max([now, *(event.decided_at for event in earlier)])
    [row] = await transaction.fetch(
        "insert_event", {"loser_id": loser, "winner_id": winner, "kind": kind, "decided_at": decided}
    )
    return int(row["id"])


async def _restore_winner(
    transaction: Transaction, before: Mapping[str, Kept], after: Mapping[str, Kept], now: datetime
) -> None:
    await transaction.fetch("lock_supersession")
    for memory_id, kept in before.items():
        memory = await locked(transaction, memory_id)
        if memory.superseded_by != after[memory_id]["superseded_by"]:
            raise _changed(memory_id)
        winner = kept["superseded_by"]
        if winner is not None:
            if not await transaction.fetch("list_existing", {"ids": [winner]}):
                raise Conflict(
                    f"Memory {winner[:8]}, which replaced {memory_id[:8]}, is not there any more; nothing was undone."
                )
            await refuse_cycle(transaction, memory_id, winner)
        await append_event(transaction, memory_id, winner, "supersede" if winner else "unsupersede", now)


async def refuse_cycle(transaction: Transaction, loser: str, winner: str) -> None:
    """Raise Conflict where following the winners from ``winner`` leads to ``loser``."""
    seen: set[str] = set()
    current: str | None = winner
    while current is not None and current not in seen:
        if current == loser:
            raise Conflict(
                f"Memory {winner[:8]} was itself replaced by {loser[:8]}; that would be a circle. Nothing was changed."
            )
        seen.add(current)
        found = await transaction.fetch("get_winner", {"id": current})
        current = found[0]["superseded_by"] if found else None


async def _restore_edge(
    transaction: Transaction, before: Mapping[str, Kept], after: Mapping[str, Kept], now: datetime
) -> None:
    for memory_id in {*before, *after}:
        old, new = before.get(memory_id, {}).get("edge"), after.get(memory_id, {}).get("edge")
        some = old or new or {}
        key = {name: some[name] for name in ("source_id", "target_id", "edge_type")}
        found = [rows.edge(row) for row in await transaction.fetch("get_edge", key)]
        if (found[0].weight if found else None) != (new["weight"] if new else None):
            raise _changed(memory_id)
        if old is None:
            await transaction.execute("delete_edge", key)
        else:
            await transaction.execute("put_edge", {**old, "created_at": rows.as_time(old["created_at"])})


async def _restore_schedule(
    transaction: Transaction, before: Mapping[str, Kept], after: Mapping[str, Kept], now: datetime
) -> None:
    for memory_id, kept in before.items():
        memory = await locked(transaction, memory_id)
        done = after[memory_id]
        if schedule_fields(memory.scheduling) != done["scheduling"]:
            raise Conflict(f"Memory {memory_id[:8]} was graded again since; nothing was undone.")
        prior, new = schedule_value(kept["scheduling"]), schedule_value(done["scheduling"])
        if prior is None:
            await transaction.execute("delete_scheduling", {"id": memory_id})
        else:
            await transaction.execute("put_scheduling", schedule_params(memory_id, prior))
        await transaction.fetch(
            "insert_review",
            {
                "id": memory_id,
                "at": now,
                "rating": done["rating"],
                "prior": Json(schedule_fields(new) or {}),
                "new": Json(schedule_fields(prior) or {}),
                "undoes": done["review"],
            },
        )


async def _restore_marks(
    transaction: Transaction, before: Mapping[str, Kept], after: Mapping[str, Kept], now: datetime
) -> None:
    for memory_id, kept in before.items():
        await locked(transaction, memory_id)
        found = await transaction.fetch("get_marks", {"id": memory_id})
        current = marks_value(dict(found[0], buried_until=None)) if found else marks_value({})
        buried = rows.as_time(found[0]["buried_until"]) if found else None
        expected = marks_value(after[memory_id]["marks"])
        if (current.suspended, buried) != (expected.suspended, expected.buried_until):
            raise _changed(memory_id)
        marks = marks_value(kept["marks"])
        await transaction.execute(
            "put_marks", {"id": memory_id, "suspended": marks.suspended, "buried_until": marks.buried_until}
        )


_Inverse = Callable[["Transaction", Mapping[str, Kept], Mapping[str, Kept], datetime], Awaitable[None]]
_INVERSES: Mapping[str, _Inverse] = {
    "add": _remove,
    "import": _remove,
    "edit": _restore_fields,
    "tag": _restore_fields,
    "delete": _bring_back,
    "supersede": _restore_winner,
    "unsupersede": _restore_winner,
    "link": _restore_edge,
    "unlink": _restore_edge,
    "review": _restore_schedule,
    "suspend": _restore_marks,
    "bury": _restore_marks,
    "resume": _restore_marks,
}
