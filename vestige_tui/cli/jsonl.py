"""Parser of JSON lines: each line of an import file as a checked value, with notes on repaired ones."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias

from vestige_tui.core.errors import VestigeError
from vestige_tui.core.links import Edge, SupersessionEvent
from vestige_tui.core.memories import LOCAL_USER, Draft
from vestige_tui.core.reviews import MarkedMemory, Marks, Review, Scheduling
from vestige_tui.core.scheduling import MAX_DIFFICULTY, MAX_STABILITY_DAYS, MIN_DIFFICULTY, MIN_STABILITY, from_json
from vestige_tui.core.storable import MAX_LABEL_CHARS, MAX_METADATA_DEPTH, as_uuid, clean, is_canonical, stored_id
from vestige_tui.core.text import quoted
from vestige_tui.core.times import parse_stored
from vestige_tui.import_formats.items import derived_id
from vestige_tui.transfer.sanitize import RowSanitizer, json_value

Line: TypeAlias = Draft | Edge | Review | SupersessionEvent | MarkedMemory
IsId: TypeAlias = Callable[[str], bool]

EVENTS = ("supersede", "unsupersede", "winner_deleted", "imported")
_VISIBILITIES = ("private", "group", "public")
MAX_LINE_BYTES = 64 * 2**20
MAX_PLAIN_CONTAINERS = 100
"""Most containers of a line that cannot be nested too deeply for any of the limits."""
MAX_LAPSES = 2**31 - 1
"""Largest number of lapses that a column of PostgreSQL holds."""
_WRAPPING_DEPTH = 2
"""Containers around unknown keys: the metadata, and one for those of an earlier import."""


class BadLine(VestigeError):
    """The line could not be read."""


@dataclass(frozen=True, slots=True)
class ParsedLine:
    """Value of a line, with notes on what was repaired in it and the keys that are none of ours."""

    entry: Line
    notes: tuple[str, ...] = ()
    unknown_keys: tuple[str, ...] = ()
    spelling: str | None = None
    """The id as the line spells it, where the store holds another one."""


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
    content = _text(data, "content")
    if not content.strip():
        raise BadLine("has empty content")
    visibility = _text(data, "visibility", "private")
    if visibility not in _VISIBILITIES:
        raise BadLine(f"has a visibility other than {', '.join(_VISIBILITIES)}")
    node_type = _stored(sanitizer, "node_type", _text(data, "node_type", "fact") or "fact", MAX_LABEL_CHARS)
    memory_id, imported = _own_id(data, sanitizer, is_id)
    if memory_id is None:
        # So that a second run of the same file finds it.
        memory_id = derived_id(f"memory {node_type}", content)
    draft = Draft(
        content=_stored(sanitizer, "content", content),
        id=memory_id,
        node_type=node_type,
        tags=tuple(sanitizer.parsed_labels("tags", _list(data, "tags"))),
        domains=tuple(sanitizer.parsed_labels("domains", _list(data, "domains"))),
        domain_scores=_scores(sanitizer, _object(data, "domain_scores")),
        codebase=None
        if data.get("codebase") is None
        else _stored(sanitizer, "codebase", _text(data, "codebase"), MAX_LABEL_CHARS),
        created_at=_time(data, "created_at"),
        updated_at=_time(data, "updated_at"),
        owner_user_id=_reference(sanitizer, "owner_user_id", _text(data, "owner_user_id", LOCAL_USER), is_id),
        visibility=visibility,
        shared_with_groups=tuple(
            _reference(sanitizer, "shared_with_groups", each, is_id)
            for each in sanitizer.parsed_labels("shared_with_groups", _list(data, "shared_with_groups"))
        ),
        scheduling=_scheduling(sanitizer, data.get("scheduling")),
        metadata=sanitizer.parsed("metadata", _object(data, "metadata")),
    )
    unknown = _unknown_values(data)
    imported |= sanitizer.parsed("unknown_keys", unknown, MAX_METADATA_DEPTH - _WRAPPING_DEPTH)
    draft = replace(draft, metadata=_with_imported(draft.metadata, imported, sanitizer))
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
    sanitizer.notes.append(f"id {_id_note(value, raw, memory_id)} (original in the metadata)")
    return memory_id, {"id": json_value(value)}


def _id_note(value: object, raw: str, memory_id: str) -> str:
    """Return what was done to an id of a line, the rest of a sentence that begins with its name."""
    if isinstance(value, str) and as_uuid(raw) is not None:
        return "was a UUID in another spelling; stored in the usual one"
    problem = "was not a UUID" if isinstance(value, str) else "was a number"
    if is_canonical(memory_id):
        return f"{problem}; a UUID was made from it"
    return f"{problem}; stored as the text {quoted(memory_id)}"


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


def _with_imported(metadata: Mapping[str, Any], imported: dict[str, Any], sanitizer: RowSanitizer) -> Mapping[str, Any]:
    """Return metadata with the unknown keys and the originals of repaired values under "imported"."""
    if sanitizer.originals:
        if "original" in imported:
            sanitizer.originals["original"] = imported["original"]
        imported["original"] = dict(sanitizer.originals)
    if not imported:
        return metadata
    earlier = metadata.get("imported", {})
    if isinstance(earlier, dict) and all(earlier.get(name, value) == value for name, value in imported.items()):
        return {**metadata, "imported": {**earlier, **imported}}
    return {**metadata, "imported": {**imported, "imported": earlier}}


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
    numbers = {clean(name): float(score) for name, score in scores.items() if _is_number(score)}
    if numbers != scores:
        sanitizer.changed("domain_scores", json.dumps(scores), "had values that cannot be stored")
    return numbers


def _edge(data: Mapping[str, Any], sanitizer: RowSanitizer, is_id: IsId) -> ParsedLine:
    weight = data.get("weight", 1.0)
    if not _is_number(weight) or not 0 <= weight <= 1:
        raise BadLine("has a weight that is not between 0 and 1")
    edge = Edge(
        _required_id(data, "source_id", is_id),
        _required_id(data, "target_id", is_id),
        _stored(sanitizer, "edge_type", _text(data, "edge_type", "related"), MAX_LABEL_CHARS),
        float(weight) + 0.0,
        _time(data, "created_at"),
    )
    if edge.source_id == edge.target_id:
        raise BadLine("links a memory to itself")
    return _parsed(edge, data, sanitizer, "source_id", "target_id", "edge_type", "weight", "created_at")


def _review(data: Mapping[str, Any], sanitizer: RowSanitizer, is_id: IsId) -> ParsedLine:
    rating = data.get("rating")
    if rating not in (1, 2, 3, 4) or isinstance(rating, bool | float):
        raise BadLine("has a rating other than 1, 2, 3 or 4")
    at = _time(data, "at")
    if at is None:
        raise BadLine("has no review time (at)")
    review = Review(
        id=_integer(data, "id") or 0,
        memory_id=_required_id(data, "memory_id", is_id),
        at=at,
        rating=int(rating),
        prior=_past_state(sanitizer, data, "prior"),
        new=_past_state(sanitizer, data, "new"),
        undoes=_integer(data, "undoes"),
        weights_hash=None
        if data.get("weights") is None
        else _stored(sanitizer, "weights", _text(data, "weights"), MAX_LABEL_CHARS),
    )
    return _parsed(review, data, sanitizer, "id", "memory_id", "at", "rating", "prior", "new", "undoes", "weights")


def _past_state(sanitizer: RowSanitizer, data: Mapping[str, Any], name: str) -> Scheduling:
    state = data.get(name)
    if state is not None and (not isinstance(state, dict) or state.keys() - _SCHEDULING_KEYS):
        sanitizer.notes.append(f"{name} had unknown values, which were left out")
    return from_json(state)


def _supersession(data: Mapping[str, Any], sanitizer: RowSanitizer, is_id: IsId) -> ParsedLine:
    winner = None if data.get("winner_id") is None else _required_id(data, "winner_id", is_id)
    event = data.get("event", "supersede" if winner else "unsupersede")
    if event not in EVENTS:
        raise BadLine(f"has an event other than {', '.join(EVENTS)}")
    decided_at = _time(data, "decided_at")
    if decided_at is None:
        raise BadLine("has no decision time (decided_at)")
    loser = _required_id(data, "loser_id", is_id)
    if loser == winner:
        raise BadLine("makes a memory replace itself")
    decision = SupersessionEvent(_integer(data, "id") or 0, loser, winner, event, decided_at)
    return _parsed(decision, data, sanitizer, "id", "loser_id", "winner_id", "event", "decided_at")


def _mark(data: Mapping[str, Any], sanitizer: RowSanitizer, is_id: IsId) -> ParsedLine:
    for name in ("suspended", "pinned"):
        if not isinstance(data.get(name, False), bool):
            raise BadLine(f"has a {name} that is not true or false")
    lapses = _integer(data, "cleared_lapses") or 0
    if not 0 <= lapses <= MAX_LAPSES:
        raise BadLine(f"has a cleared_lapses that is not a whole number from 0 to {MAX_LAPSES:,}")
    marks = Marks(data.get("suspended", False), _time(data, "buried_until"), data.get("pinned", False), lapses)
    marked = MarkedMemory(_required_id(data, "memory_id", is_id), marks)
    return _parsed(marked, data, sanitizer, "memory_id", "suspended", "buried_until", "pinned", "cleared_lapses")


def _parsed(entry: Line, data: Mapping[str, Any], sanitizer: RowSanitizer, *known_keys: str) -> ParsedLine:
    """Return the value of a line that refers to memories; it has no metadata that could keep unknown keys."""
    unknown = [name for name in data if name != "kind" and name not in known_keys]
    notes = [*sanitizer.notes, *(f"{shown_name(name)} is not known here and was left out" for name in unknown)]
    return ParsedLine(entry, tuple(notes), tuple(unknown))


_READERS: Mapping[str, Callable[[Mapping[str, Any], RowSanitizer, IsId], ParsedLine]] = {
    "memory": _memory,
    "edge": _edge,
    "review": _review,
    "supersession": _supersession,
    "mark": _mark,
}


def shown_name(name: str) -> str:
    """Return the name of a key for a report, at most 60 characters."""
    return name if len(name) <= 60 else f"{name[:59]}…"


def _stored(sanitizer: RowSanitizer, name: str, text: str, limit: int = 0) -> str:
    return sanitizer.text(name, text, limit=limit).decode()


def _reference(sanitizer: RowSanitizer, name: str, raw: str, is_id: IsId) -> str:
    """Return the id of a user or a group as the store holds it."""
    value = stored_id(raw, is_id)
    if value != raw and name not in sanitizer.originals:
        sanitizer.changed(name, raw, _id_note(raw, raw, value))
    return value


def _text(data: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = data.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise BadLine(f"has no {name}" if value is None else f"has a {name} that is not text")
    return value


def _list(data: Mapping[str, Any], name: str) -> list[Any]:
    value = data.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise BadLine(f"has {name} that are not a list of texts")
    return value


def _object(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = data.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadLine(f"has {name} that is not an object")
    return value


def _required_id(data: Mapping[str, Any], name: str, is_id: IsId) -> str:
    value = data.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        raise BadLine(f"has no {name}" if value is None else f"has a {name} that is not an id")
    return stored_id(value, is_id)


def _time(data: Mapping[str, Any], name: str) -> datetime | None:
    value = data.get(name)
    if value is None:
        return None
    time = parse_stored(value) if isinstance(value, str) else None
    if time is None:
        raise BadLine(f"has a {name} that is not a time")
    return time


def _integer(data: Mapping[str, Any], name: str) -> int | None:
    value = data.get(name)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise BadLine(f"has a {name} that is not a whole number")
    return value


def _is_number(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return -sys.float_info.max <= value <= sys.float_info.max
