"""Past moments in words, the same for console and command line: decisions, edits, and differences of two moments."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from vestige_tui.core.scheduling import DEFAULT_WEIGHTS
from vestige_tui.core.text import ago, grouped, plain, short_id
from vestige_tui.core.times import moment_text
from vestige_tui.presenters import json_shapes

if TYPE_CHECKING:
    from vestige_tui.core.history import DecidedMemory, DeletedMemory, Difference, DifferenceCounts
    from vestige_tui.core.links import Lineage, SupersessionEvent

EDITED_SINCE = "text edited since"
DECISIONS = {
    "supersede": "replaced by",
    "unsupersede": "active again",
    "winner_deleted": "active again, replacement deleted:",
    "imported": "replaced by (imported):",
}
GROUPS = ("superseded", "active_again", "deleted", "appeared")
"""Groups of a difference, in the order in which they are shown: the memories that appeared are often the most."""
GROUP_TITLES = {
    "appeared": "Appeared",
    "superseded": "Replaced",
    "active_again": "Active again",
    "deleted": "Deleted in between",
}
TODAYS_MARKS = "marks as of today"
"""Words beside the marks of a memory at a past moment: suspended, buried, leech, pinned."""
UNTOLD_OF_DELETED = "Filters by state and by recall do not apply to deleted memories."
RECORDED_LATE = "recorded late"
TODAYS_TEXTS = "Texts, tags and marks are those of today."


def as_of_sentence(moment: datetime) -> str:
    """Return which moment an answer is for."""
    return f"As of {moment_text(moment)}. {TODAYS_TEXTS}"


def span_sentence(difference: Difference) -> str:
    """Return which two moments are compared."""
    return f"From {moment_text(difference.start)} to {moment_text(difference.end)}"


def counts_sentence(counts: DifferenceCounts) -> str:
    """Return the numbers of a difference; that nothing differs, if so."""
    if not counts.total:
        return "Nothing differs between these moments."
    parts = [
        (counts.appeared, "appeared"),
        (counts.superseded, "replaced"),
        (counts.active_again, "active again"),
        (counts.deleted, "deleted"),
    ]
    return ", ".join(f"{grouped(count)} {words}" for count, words in parts if count) + "."


def decision_words(event: SupersessionEvent | None, now: datetime) -> str:
    """Return a decision without its loser, such as ``replaced by 8f2a11c0, 3 d ago``; empty without one."""
    if event is None:
        return ""
    winner = f" {short_id(event.winner_id)}" if event.winner_id else ""
    verb = DECISIONS.get(event.kind, plain(event.kind)).removesuffix(":")
    return f"{verb}{winner}, {ago(event.decided_at, now)}"


def decision_sentence(event: SupersessionEvent, names: Mapping[str, str]) -> str:
    """Return a decision with its moment as a sentence; ``names`` are the quoted texts of its memories by id."""
    return f"{moment_text(event.decided_at)}: {decision_clause(event, names)}."


def decision_clause(event: SupersessionEvent, names: Mapping[str, str]) -> str:
    """Return a decision without its moment, with the quoted texts of its memories."""
    loser = names.get(event.loser_id, short_id(event.loser_id))
    verb = DECISIONS.get(event.kind, plain(event.kind)).removesuffix(":")
    winner = f" {names.get(event.winner_id, short_id(event.winner_id))}" if event.winner_id else ""
    return f"{loser} {verb}{winner}"


def past_moment_reason(moment: datetime, key: str = "T") -> str:
    """Return why nothing is written while a past moment is shown, and the key that ends it."""
    return f"The console shows a past moment, {moment_text(moment)}, and writes nothing; {key} returns to now."


def only_now_reason(moment: datetime, key: str = "T") -> str:
    """Return why a page with figures of now does not open at a past moment, and the key that ends it."""
    return f"The console shows a past moment, {moment_text(moment)}; this page is of now. {key} returns to now."


def deletion_words(memory: DeletedMemory, now: datetime) -> str:
    """Return the time and the author of a deletion, and the number of its change."""
    return f"deleted {ago(memory.deleted_at, now)} by {plain(memory.actor)}, change {memory.entry}"


def late_events(events: Sequence[SupersessionEvent]) -> frozenset[int]:
    """Return the ids of decisions that were recorded after a later one on the same memory.

    The order of the ids is that of the records, ``decided_at`` that of the decisions.
    """
    late: set[int] = set()
    latest: dict[str, datetime] = {}
    for event in sorted(events, key=lambda event: event.id):
        last = latest.get(event.loser_id)
        if last is not None and event.decided_at < last:
            late.add(event.id)
        latest[event.loser_id] = max(event.decided_at, last or event.decided_at)
    return frozenset(late)


def lineage_note(lineage: Lineage, known: Collection[str]) -> str:
    """Return the fault of a lineage as a sentence: a cycle, or a winner that is gone; empty if nothing is.

    ``known`` are the ids of the memories that exist, of those that its decisions name.
    """
    winner = lineage.memory.superseded_by
    if winner is None:
        return ""
    if winner in _members(lineage):
        return "These memories replace each other in a cycle, so all of them are hidden; make one of them active again."
    if winner not in known:
        return f"The memory on top is replaced by {short_id(winner)}, which does not exist; make it active again."
    return ""


def _members(lineage: Lineage) -> set[str]:
    return {lineage.memory.id}.union(*map(_members, lineage.replaces))


def difference_document(difference: Difference, weights: Sequence[float] = DEFAULT_WEIGHTS) -> dict[str, Any]:
    """Return the difference of two moments; recalls are those of the second."""
    at = difference.end

    def decided(each: DecidedMemory) -> dict[str, Any]:
        event = None if each.decision is None else json_shapes.event(each.decision)
        return {"memory": json_shapes.memory(each.memory, at, weights), "event": event}

    return {
        "from": json_shapes.time(difference.start),
        "to": json_shapes.time(at),
        "counts": asdict(difference.counts),
        "appeared": [json_shapes.memory(each, at, weights) for each in difference.appeared],
        "superseded": [decided(each) for each in difference.superseded],
        "active_again": [decided(each) for each in difference.active_again],
        "deleted": [
            {
                "id": each.id,
                "content": each.content,
                "node_type": each.node_type,
                "tags": list(each.tags),
                "created_at": json_shapes.time(each.created_at),
                "deleted_at": json_shapes.time(each.deleted_at),
                "actor": each.actor,
                "entry": each.entry,
            }
            for each in difference.deleted
        ],
    }
