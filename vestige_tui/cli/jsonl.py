"""Parser of JSON lines: each line of an import file as a checked value, with notes on repaired ones."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from vestige_tui.cli.account_lines import domain_line, group_line, membership_line, user_line
from vestige_tui.cli.line_values import (
    BadLine,
    IsId,
    ParsedLine,
    id_note,
    integer_of,
    is_number,
    list_of,
    object_of,
    reference_id,
    reference_line,
    required_id,
    stored_text,
    text_of,
    time_of,
    with_imported,
)
from vestige_tui.core.links import Edge, SupersessionEvent
from vestige_tui.core.memories import LOCAL_USER, Draft
from vestige_tui.core.reviews import MarkedMemory, Marks, Review, Scheduling
from vestige_tui.core.scheduling import MAX_DIFFICULTY, MAX_STABILITY_DAYS, MIN_DIFFICULTY, MIN_STABILITY, from_json
from vestige_tui.core.storable import MAX_LABEL_CHARS, MAX_METADATA_DEPTH, clean, stored_id
from vestige_tui.core.text import quoted
from vestige_tui.import_formats.items import derived_id
from vestige_tui.transfer.sanitize import RowSanitizer, json_value

EVENTS = ("supersede", "unsupersede", "winner_deleted", "imported")
_VISIBILITIES = ("private", "group", "public")
MAX_LINE_BYTES = 64 * 2**20
MAX_PLAIN_CONTAINERS = 100
"""Most containers of a line that cannot be nested too deeply for any of the limits."""
MAX_LAPSES = 2**31 - 1
"""Largest number of lapses that a column of PostgreSQL holds."""
_WRAPPING_DEPTH = 2
"""Containers around unknown keys: the metadata, and one for those of an earlier import."""


def read_line(raw: bytes, is_id: IsId) -> ParsedLine:
    """Parse, check and repair a line for a store whose ids pass ``is_id``. Raises BadLine with the reason."""
    try:
        text = raw.decode("utf-8-sig")
        numbers = _FiniteNumbers()
        data = json.loads(text, parse_constant=_refuse, parse_float=numbers.read)
    except UnicodeDecodeError:
        raise BadLine("is not UTF-8") from None
    except RecursionError:
        raise BadLine("is nested too deeply") from None
    except ValueError:
        raise BadLine("is not JSON") from None
    if not isinstance(data, dict):
        raise BadLine("is not a JSON object")
    kind = data.get("kind", "memory")
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        raise BadLine(f"has the kind {quoted(str(kind))}, which is not one of {', '.join(_READERS)}")
    try:
        return reader(data, RowSanitizer(plain=numbers.all and _is_plain(text)), is_id)
    except (RecursionError, OverflowError) as error:
        raise BadLine(f"has values that cannot be read ({type(error).__name__})") from None


def _refuse(name: str) -> object:
    raise ValueError(name)


class _FiniteNumbers:
    """Reader of the floats of one line; notes whether all are finite."""

    def __init__(self) -> None:
        self.all = True

    def read(self, text: str) -> float:
        number = float(text)
        self.all = self.all and math.isfinite(number)
        return number


def _is_plain(text: str) -> bool:
    """Check quickly that no text of a parsed line must be cleaned and that it is not deep; False where it may be."""
    return "\\u" not in text and text.count("{") + text.count("[") <= MAX_PLAIN_CONTAINERS


_MEMORY_KEYS = frozenset(
    {
        *("kind", "id", "content", "node_type", "tags", "domains", "domain_scores", "codebase", "metadata"),
        *("created_at", "updated_at", "owner_user_id", "visibility", "shared_with_groups", "scheduling"),
    }
)
_SCHEDULING_KEYS = frozenset(
    {"stability", "difficulty", "retrievability", "last_review", "next_review", "reps", "lapses"}
)


def _memory(data: Mapping[str, Any], sanitizer: RowSanitizer, is_id: IsId) -> ParsedLine:
    content = text_of(data, "content")
    if not content.strip():
        raise BadLine("has empty content")
    visibility = text_of(data, "visibility", "private")
    if visibility not in _VISIBILITIES:
        raise BadLine(f"has a visibility other than {', '.join(_VISIBILITIES)}")
    node_type = stored_text(sanitizer, "node_type", text_of(data, "node_type", "fact") or "fact", MAX_LABEL_CHARS)
    memory_id, imported = _own_id(data, sanitizer, is_id)
    if memory_id is None:
        # So that a second run of the same file finds it.
        memory_id = derived_id(f"memory {node_type}", content)
    draft = Draft(
        content=stored_text(sanitizer, "content", content),
        id=memory_id,
        node_type=node_type,
        tags=tuple(sanitizer.parsed_labels("tags", list_of(data, "tags"))),
        domains=tuple(sanitizer.parsed_labels("domains", list_of(data, "domains"))),
        domain_scores=_scores(sanitizer, object_of(data, "domain_scores")),
        codebase=None
        if data.get("codebase") is None
        else stored_text(sanitizer, "codebase", text_of(data, "codebase"), MAX_LABEL_CHARS),
        created_at=time_of(data, "created_at"),
        updated_at=time_of(data, "updated_at"),
        owner_user_id=reference_id(sanitizer, "owner_user_id", text_of(data, "owner_user_id", LOCAL_USER), is_id),
        visibility=visibility,
        shared_with_groups=tuple(
            reference_id(sanitizer, "shared_with_groups", each, is_id)
            for each in sanitizer.parsed_labels("shared_with_groups", list_of(data, "shared_with_groups"))
        ),
        scheduling=_scheduling(sanitizer, data.get("scheduling")),
        metadata=sanitizer.parsed("metadata", object_of(data, "metadata")),
    )
    unknown = _unknown_values(data)
    imported |= sanitizer.parsed("unknown_keys", unknown, MAX_METADATA_DEPTH - _WRAPPING_DEPTH)
    draft = replace(draft, metadata=with_imported(draft.metadata, imported, sanitizer))
    spelling = None if data.get("id") is None or memory_id == data["id"] else str(data["id"])
    return ParsedLine(draft, tuple(sanitizer.notes), _flat_names(unknown), spelling)


def _own_id(data: Mapping[str, Any], sanitizer: RowSanitizer, is_id: IsId) -> tuple[str | None, dict[str, Any]]:
    """Return the id of a line as the store holds it, and the raw one for the metadata if they differ."""
    value = data.get("id")
    if value is None:
        return None, {}
    if isinstance(value, int) and not isinstance(value, bool):
        raw = str(value)
    elif isinstance(value, str) and value.strip():
        raw = value
    else:
        is_text = isinstance(value, str)
        raise BadLine("has an empty id" if is_text else "has an id that is neither text nor a whole number")
    memory_id = stored_id(raw, is_id)
    if memory_id == value:
        return memory_id, {}
    sanitizer.notes.append(f"id {id_note(value, raw, memory_id)} (original in the metadata)")
    return memory_id, {"id": json_value(value)}


def _unknown_values(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a memory's line that have no field of their own, those of its scheduling together."""
    unknown = {name: value for name, value in data.items() if name not in _MEMORY_KEYS}
    if unknown.get("superseded_by", ...) is None:
        del unknown["superseded_by"]  # as `show --json` prints it; the decisions have lines of their own
    state = data.get("scheduling")
    if isinstance(state, dict) and (rest := {name: state[name] for name in state.keys() - _SCHEDULING_KEYS}):
        unknown["scheduling"] = dict(sorted(rest.items()))
    return unknown


def _flat_names(unknown: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(
        full_name
        for name, value in unknown.items()
        for full_name in ([f"scheduling.{each}" for each in value] if name == "scheduling" else [name])
    )


def _scheduling(sanitizer: RowSanitizer, state: Any) -> Scheduling | None:
    if state is None:
        return None
    if not isinstance(state, dict):
        raise BadLine("has a scheduling that is not an object")
    if not state:
        return None
    default, values = Scheduling(), {name: value for name, value in state.items() if value is not None}
    review = RowSanitizer()
    reps = review.count("reps", values.get("reps", 0))
    low_stability, low_difficulty = (MIN_STABILITY, MIN_DIFFICULTY) if reps else (0.0, 0.0)

    def number(name: str, low: float, high: float, default: float) -> float:
        return review.number(name, values[name], low, high, default) if name in values else max(low, default)

    scheduling = Scheduling(
        stability=number("stability", low_stability, MAX_STABILITY_DAYS, default.stability),
        difficulty=number("difficulty", low_difficulty, MAX_DIFFICULTY, default.difficulty),
        retrievability=number("retrievability", 0.0, 1.0, default.retrievability),
        last_review=review.moment("last_review", values.get("last_review")),
        next_review=review.moment("next_review", values.get("next_review")),
        reps=reps,
        lapses=review.count("lapses", values.get("lapses", 0)),
    )
    if review.originals:
        sanitizer.notes += review.notes
        sanitizer.originals["scheduling"] = review.originals
    return scheduling


def _scores(sanitizer: RowSanitizer, scores: dict[str, Any]) -> dict[str, float]:
    numbers = {clean(name): float(score) for name, score in scores.items() if is_number(score)}
    if numbers != scores:
        sanitizer.changed("domain_scores", json.dumps(scores), "had values that cannot be stored")
    return numbers


def _edge(data: Mapping[str, Any], sanitizer: RowSanitizer, is_id: IsId) -> ParsedLine:
    weight = data.get("weight", 1.0)
    if not is_number(weight) or not 0 <= weight <= 1:
        raise BadLine("has a weight that is not between 0 and 1")
    edge = Edge(
        required_id(data, "source_id", is_id),
        required_id(data, "target_id", is_id),
        stored_text(sanitizer, "edge_type", text_of(data, "edge_type", "related"), MAX_LABEL_CHARS),
        float(weight) + 0.0,
        time_of(data, "created_at"),
    )
    if edge.source_id == edge.target_id:
        raise BadLine("links a memory to itself")
    return reference_line(edge, data, sanitizer, "source_id", "target_id", "edge_type", "weight", "created_at")


def _review(data: Mapping[str, Any], sanitizer: RowSanitizer, is_id: IsId) -> ParsedLine:
    rating = data.get("rating")
    if rating not in (1, 2, 3, 4) or isinstance(rating, bool | float):
        raise BadLine("has a rating other than 1, 2, 3 or 4")
    at = time_of(data, "at")
    if at is None:
        raise BadLine("has no review time (at)")
    review = Review(
        id=integer_of(data, "id") or 0,
        memory_id=required_id(data, "memory_id", is_id),
        at=at,
        rating=int(rating),
        prior=_past_state(sanitizer, data, "prior"),
        new=_past_state(sanitizer, data, "new"),
        undoes=integer_of(data, "undoes"),
        weights_hash=None
        if data.get("weights") is None
        else stored_text(sanitizer, "weights", text_of(data, "weights"), MAX_LABEL_CHARS),
    )
    known_keys = ("id", "memory_id", "at", "rating", "prior", "new", "undoes", "weights")
    return reference_line(review, data, sanitizer, *known_keys)


def _past_state(sanitizer: RowSanitizer, data: Mapping[str, Any], name: str) -> Scheduling:
    state = data.get(name)
    if state is not None and (not isinstance(state, dict) or state.keys() - _SCHEDULING_KEYS):
        sanitizer.notes.append(f"{name} had unknown values, which were left out")
    return from_json(state)


def _supersession(data: Mapping[str, Any], sanitizer: RowSanitizer, is_id: IsId) -> ParsedLine:
    winner = None if data.get("winner_id") is None else required_id(data, "winner_id", is_id)
    event = data.get("event", "supersede" if winner else "unsupersede")
    if event not in EVENTS:
        raise BadLine(f"has an event other than {', '.join(EVENTS)}")
    decided_at = time_of(data, "decided_at")
    if decided_at is None:
        raise BadLine("has no decision time (decided_at)")
    loser = required_id(data, "loser_id", is_id)
    if loser == winner:
        raise BadLine("makes a memory replace itself")
    decision = SupersessionEvent(integer_of(data, "id") or 0, loser, winner, event, decided_at)
    return reference_line(decision, data, sanitizer, "id", "loser_id", "winner_id", "event", "decided_at")


def _mark(data: Mapping[str, Any], sanitizer: RowSanitizer, is_id: IsId) -> ParsedLine:
    for name in ("suspended", "pinned"):
        if not isinstance(data.get(name, False), bool):
            raise BadLine(f"has a {name} that is not true or false")
    lapses = integer_of(data, "cleared_lapses") or 0
    if not 0 <= lapses <= MAX_LAPSES:
        raise BadLine(f"has a cleared_lapses that is not a whole number from 0 to {MAX_LAPSES:,}")
    marks = Marks(data.get("suspended", False), time_of(data, "buried_until"), data.get("pinned", False), lapses)
    marked = MarkedMemory(required_id(data, "memory_id", is_id), marks)
    return reference_line(marked, data, sanitizer, "memory_id", "suspended", "buried_until", "pinned", "cleared_lapses")


_READERS: Mapping[str, Callable[[Mapping[str, Any], RowSanitizer, IsId], ParsedLine]] = {
    "memory": _memory,
    "edge": _edge,
    "review": _review,
    "supersession": _supersession,
    "mark": _mark,
    "domain": domain_line,
    "user": user_line,
    "group": group_line,
    "membership": membership_line,
}
