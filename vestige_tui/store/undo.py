"""Undo of one journal entry, within a transaction. Refused if its memories have changed since.

An undo keeps values that a redo needs and the snapshots of the change lack (``Reversal.kept``); ``redo.py`` uses it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from vestige_tui.core.domains import DOMAIN_VERBS
from vestige_tui.core.errors import Conflict
from vestige_tui.core.journal import REPAIR
from vestige_tui.core.reviews import undone_reviews
from vestige_tui.embedding.models import same_model
from vestige_tui.store.domain_undo import name_params, restore_domains
from vestige_tui.store.edge_writes import put_edge
from vestige_tui.store.journal_snapshots import (
    EDITABLE,
    insert_params,
    marks_params,
    marks_value,
    memory_fields,
    review_params,
    schedule_fields,
    schedule_params,
    schedule_value,
    schedule_version,
    snapshot_digest,
    unchanged,
    update_params,
    vector_fields,
    vector_params,
    vector_value,
)
from vestige_tui.store.locked_memories import changed_since, gone
from vestige_tui.store.memory_writes import snapshot as full_snapshot
from vestige_tui.store.row_snapshots import restore_rows
from vestige_tui.store.schema import rows

if TYPE_CHECKING:
    from vestige_tui.core.memories import JournalEntry, Memory
    from vestige_tui.store.backends.protocol import Transaction

Snapshot = Mapping[str, Any]
Snapshots = Mapping[str, Snapshot]
"""Snapshots by the id of their memory."""

OF_THE_STORE = ""
"""Key of a snapshot without an id: of the store itself."""
BATCH_ROWS = 500
"""Schedules that are restored by one statement."""
MAX_KEPT_MEMORIES = 1_000
"""Memories that the undo of an import keeps for a redo; more would make its entry too large."""


@dataclass(frozen=True, slots=True)
class Reversal:
    """Result of an undo or a redo: changed ids, texts without a vector of the current model, and the kept values."""

    changed: list[str]
    texts: dict[str, str] = field(default_factory=dict)
    kept: Snapshots = field(default_factory=dict)


async def undo_entry(transaction: Transaction, entry: JournalEntry, now: datetime) -> Reversal:
    """Undo one entry. Raises Conflict if that would overwrite a later change."""
    if entry.verb in DOMAIN_VERBS:
        return Reversal(await restore_domains(transaction, entry.before, entry.after, now))
    inverse = _INVERSES.get(entry.verb)
    if inverse is None:
        raise Conflict(f"A change of the kind '{entry.verb}' cannot be undone.")
    before, texts = await drop_outdated_vectors(transaction, by_id(entry.before), entry.at)
    after = by_id(entry.after)
    kept = await inverse(transaction, before, after, now)
    return Reversal([memory_id for memory_id in after or before if memory_id != OF_THE_STORE], texts, kept or {})


def by_id(snapshots: Sequence[Snapshot] | None) -> dict[str, Snapshot]:
    """Return the snapshots of one side of an entry by the id of their memory, or OF_THE_STORE."""
    return {str(snapshot.get("id", OF_THE_STORE)): snapshot for snapshot in snapshots or []}


async def drop_outdated_vectors(
    transaction: Transaction, before: dict[str, Snapshot], at: datetime
) -> tuple[dict[str, Snapshot], dict[str, str]]:
    """Return the snapshots by id without vectors of other models, and by id the texts that lose their vector.

    ``at`` is the time of the snapshots.
    """
    if not any(snapshot.get("embedding") for snapshot in before.values()):
        return before, {}
    records = await transaction.fetch("get_model")
    model = rows.model(records[0]) if records else None
    [changes] = await transaction.fetch("count_model_changes", {"since": at})
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
        raise gone(memory_id)
    [row] = await transaction.fetch("get_memory", {"id": memory_id})
    return rows.memory(row)


async def _delete_inserted(transaction: Transaction, before: Snapshots, after: Snapshots, now: datetime) -> Snapshots:
    kept: dict[str, Snapshot] = {}
    for memory_id, snapshot in after.items():
        memory = await lock_memory(transaction, memory_id)
        if memory_fields(memory)["updated_at"] != snapshot["updated_at"]:
            raise changed_since(memory_id)
        if len(after) <= MAX_KEPT_MEMORIES:
            kept[memory_id] = await full_snapshot(transaction, memory)
    await transaction.execute("delete_memories", {"ids": list(after)})
    return kept


async def restore_fields(transaction: Transaction, before: Snapshots, after: Snapshots, now: datetime) -> Snapshots:
    kept: dict[str, Snapshot] = {}
    for memory_id, snapshot in before.items():
        memory = await lock_memory(transaction, memory_id)
        changed = after[memory_id]["memory"]
        if not unchanged(memory, changed, [name for name in EDITABLE if name in changed], foreign=transaction.foreign):
            raise changed_since(memory_id)
        # A change of many memories keeps only the fields that it changes.
        fields = {**memory_fields(memory), **snapshot["memory"]}
        await transaction.execute("update_memory", update_params(memory_id, fields))
        await _restore_scores(transaction, memory, snapshot["memory"], changed)
        if fields["content"] != memory.content:
            kept[memory_id] = vector_fields(await transaction.fetch("get_embedding", {"id": memory_id}))
            await transaction.execute("delete_embedding", {"id": memory_id})
            await _put_vector(transaction, memory_id, snapshot)
    return kept


async def _restore_scores(transaction: Transaction, memory: Memory, goal: Snapshot, changed: Snapshot) -> None:
    """Restore the scores of domains, where the change set one. Raises Conflict if they have changed since."""
    if goal.get("domain_scores") == changed.get("domain_scores"):
        return
    if memory_fields(memory)["domain_scores"] != changed["domain_scores"]:
        raise changed_since(memory.id)
    await transaction.execute("update_domains", name_params(memory.id, goal["domains"], goal["domain_scores"]))


async def _put_vector(transaction: Transaction, memory_id: str, snapshot: Snapshot) -> None:
    if text := snapshot.get("embedding"):
        model = snapshot["model"]["name"], snapshot["model"]["dimension"]
        await transaction.execute("insert_embedding", vector_params(memory_id, vector_value(text), model))


async def restore_memories(transaction: Transaction, before: Snapshots, after: Snapshots, now: datetime) -> Snapshots:
    if await transaction.fetch("list_existing", {"ids": list(before)}):
        raise Conflict("One of the deleted memories exists again; nothing was changed.")
    for memory_id, snapshot in before.items():
        await transaction.execute("insert_memory", insert_params(snapshot["memory"], memory_id, now))
    for memory_id, snapshot in before.items():
        await _put_vector(transaction, memory_id, snapshot)
        if state := schedule_value(snapshot["scheduling"]):
            await transaction.execute("put_scheduling", schedule_params(memory_id, state))
        if snapshot.get("marks"):
            await transaction.execute("put_marks", marks_params(memory_id, marks_value(snapshot["marks"])))
        await _restore_logs(transaction, memory_id, snapshot)
    await _restore_links(transaction, before, now)
    return {memory_id: {"digest": await current_digest(transaction, memory_id)} for memory_id in before}


async def current_digest(transaction: Transaction, memory_id: str) -> str:
    """Lock a memory and return the digest of its state and of all that a delete removes with it.

    Of the logs it has the reviews in force and the decision in force: undo and redo append rows that cancel out. The
    vector does not count, which a change of the model replaces.
    """
    memory = await lock_memory(transaction, memory_id)
    reviews = [rows.review(row) for row in await transaction.fetch("list_reviews", {"id": memory_id})]
    undone = undone_reviews(reviews)
    return snapshot_digest(
        await full_snapshot(transaction, memory),
        foreign=transaction.foreign,
        superseded_by=memory.superseded_by,
        reviews=[review.id for review in reviews if review.undoes is None and review.id not in undone],
    )


async def _restore_logs(transaction: Transaction, memory_id: str, snapshot: Snapshot) -> None:
    numbers = [int(review["id"]) for review in snapshot["reviews"]]
    # Other entries of the journal name the numbers; another program may have given one of them to another review.
    keeps_numbers = not (numbers and await transaction.fetch("list_taken_reviews", {"numbers": numbers}))
    new_ids: dict[int, int] = {}
    for review in snapshot["reviews"]:
        params = review_params(
            memory_id,
            rows.as_time(review["at"]),
            review["rating"],
            review["prior"],
            review["new"],
            new_ids.get(review["undoes"]),
            review.get("weights_hash"),
        )
        if keeps_numbers:
            await transaction.execute("restore_review", {**params, "number": review["id"]})
            new_ids[review["id"]] = int(review["id"])
        else:
            [row] = await transaction.fetch("insert_review", params)
            new_ids[review["id"]] = int(row["id"])
    for event in snapshot["events"]:
        await transaction.fetch("insert_event", {**event, "decided_at": rows.as_time(event["decided_at"])})


async def _restore_links(transaction: Transaction, before: Snapshots, now: datetime) -> None:
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
                await put_edge(transaction, edge, rows.as_time(edge["created_at"]))
    for winner, snapshot in before.items():
        pointed = snapshot.get("pointed", {})
        for loser in snapshot["losers"]:
            # A loser deleted in the same change has its own events; one replaced by another memory since stays so.
            if loser not in existing or loser in before:
                continue
            if (await lock_memory(transaction, loser)).superseded_by == pointed.get(loser):
                await append_event(transaction, loser, winner, "supersede", now)


async def append_event(transaction: Transaction, loser: str, winner: str | None, kind: str, now: datetime) -> int:
    """Insert a supersession event, dated no earlier than the loser's others, so that it sorts last; return its id."""
    events = [rows.event(row) for row in await transaction.fetch("list_lost_events", {"ids": [loser]})]
    decided_at = max([now, *(event.decided_at for event in events)])
    [row] = await transaction.fetch(
        "insert_event", {"loser_id": loser, "winner_id": winner, "kind": kind, "decided_at": decided_at}
    )
    return int(row["id"])


async def restore_winner(transaction: Transaction, before: Snapshots, after: Snapshots, now: datetime) -> None:
    await transaction.fetch("lock_supersession")
    for memory_id, snapshot in before.items():
        memory = await lock_memory(transaction, memory_id)
        if memory.superseded_by != after[memory_id]["superseded_by"]:
            raise changed_since(memory_id)
        winner = snapshot["superseded_by"]
        if winner is not None:
            if not await transaction.fetch("list_existing", {"ids": [winner]}):
                raise Conflict(
                    f"Memory {winner[:8]}, which replaced {memory_id[:8]}, no longer exists; nothing was changed."
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


async def restore_edge(transaction: Transaction, before: Snapshots, after: Snapshots, now: datetime) -> None:
    for memory_id in {*before, *after}:
        old, new = before.get(memory_id, {}).get("edge"), after.get(memory_id, {}).get("edge")
        edge = old or new or {}
        key = {name: edge[name] for name in ("source_id", "target_id", "edge_type")}
        edges = [rows.edge(row) for row in await transaction.fetch("get_edge", key)]
        if (edges[0].weight if edges else None) != (new["weight"] if new else None):
            raise changed_since(memory_id)
        if old is None:
            await transaction.execute("delete_edge", key)
        else:
            await put_edge(transaction, old, rows.as_time(old["created_at"]))


async def _restore_schedule(transaction: Transaction, before: Snapshots, after: Snapshots, now: datetime) -> Snapshots:
    kept: dict[str, Snapshot] = {}
    for memory_id, snapshot in before.items():
        memory = await lock_memory(transaction, memory_id)
        after_review = after[memory_id]
        if schedule_version(memory.scheduling) != schedule_version(after_review["scheduling"]):
            raise Conflict(f"Memory {memory_id[:8]} has been graded again since; nothing was changed.")
        prior, new = schedule_value(snapshot["scheduling"]), schedule_value(after_review["scheduling"])
        if prior is None:
            await transaction.execute("delete_scheduling", {"id": memory_id})
        else:
            await transaction.execute("put_scheduling", schedule_params(memory_id, prior))
        rating, undoes = after_review["rating"], after_review["review"]
        params = review_params(memory_id, now, rating, schedule_fields(new), schedule_fields(prior), undoes)
        [row] = await transaction.fetch("insert_review", params)
        kept[memory_id] = {"undo_review": int(row["id"])}
    return kept


async def restore_marks(transaction: Transaction, before: Snapshots, after: Snapshots, now: datetime) -> None:
    for memory_id, snapshot in before.items():
        memory = await lock_memory(transaction, memory_id)
        if memory.marks != marks_value(after[memory_id]["marks"]):
            raise changed_since(memory_id)
        await transaction.execute("put_marks", marks_params(memory_id, marks_value(snapshot["marks"])))


async def restore_weights(transaction: Transaction, before: Snapshots, after: Snapshots, now: datetime) -> None:
    """Take weights out of force, or put them in force again, with the schedules that changed with them."""
    await transaction.fetch("lock_weights")
    in_force = await transaction.fetch("get_applied_weights")
    old, new = before[OF_THE_STORE]["weights"], after[OF_THE_STORE]["weights"]
    if (rows.weights(in_force[0]).hash if in_force else None) != new["in_force"]:
        raise Conflict("Other weights have been applied since; nothing was changed.")
    params = {"hash": old["hash"], "applied_at": rows.as_time(old["applied_at"])}
    await transaction.execute("set_weights_applied", params)
    ids = sorted(memory_id for memory_id in before if memory_id != OF_THE_STORE)
    for start in range(0, len(ids), BATCH_ROWS):
        await _put_schedules(transaction, ids[start : start + BATCH_ROWS], before, after)


async def _put_schedules(transaction: Transaction, ids: Sequence[str], before: Snapshots, after: Snapshots) -> None:
    params = {"ids": list(ids)}
    await transaction.fetch("lock_memories", params)
    states = {str(row["id"]): rows.scheduling(row) for row in await transaction.fetch("get_memories", params)}
    writes = []
    for memory_id in ids:
        if memory_id not in states:
            raise Conflict(f"Memory {memory_id[:8]} no longer exists; nothing was changed.")
        if schedule_version(states[memory_id]) != schedule_version(after[memory_id]["scheduling"]):
            raise Conflict(f"Memory {memory_id[:8]} has been graded since; nothing was changed.")
        state = schedule_value(before[memory_id]["scheduling"])
        assert state is not None, "only a memory with a schedule is rescheduled"
        writes.append(schedule_params(memory_id, state))
    await transaction.execute_many("put_scheduling", writes)


_Inverse = Callable[["Transaction", Snapshots, Snapshots, datetime], Awaitable[Snapshots | None]]
"""Restores the ``before`` of a change whose ``after`` still holds; returns further values that a redo needs, if any."""
_INVERSES: Mapping[str, _Inverse] = {
    "add": _delete_inserted,
    "import": _delete_inserted,
    "edit": restore_fields,
    "tag": restore_fields,
    "delete": restore_memories,
    "supersede": restore_winner,
    "unsupersede": restore_winner,
    "link": restore_edge,
    "unlink": restore_edge,
    "review": _restore_schedule,
    "suspend": restore_marks,
    "bury": restore_marks,
    "resume": restore_marks,
    "pin": restore_marks,
    "unpin": restore_marks,
    "clear_marks": restore_marks,
    "optimize": restore_weights,
    REPAIR: restore_rows,
}
UNDOABLE_VERBS = frozenset(_INVERSES) | DOMAIN_VERBS
"""Verbs of the journal entries that can be undone."""
