"""Parser of JSON lines: each line of an import file as a checked value."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeAlias

from vestige_tui.core.errors import VestigeError
from vestige_tui.core.links import Edge, SupersessionEvent
from vestige_tui.core.memories import LOCAL_USER, Draft
from vestige_tui.core.reviews import Review, Scheduling
from vestige_tui.core.scheduling import clamped, from_json
from vestige_tui.core.times import parse_stored

Line: TypeAlias = Draft | Edge | Review | SupersessionEvent

EVENTS = ("supersede", "unsupersede", "winner_deleted", "imported")
_VISIBILITIES = ("private", "group", "public")


class BadLine(VestigeError):
    """The line could not be read."""


def read_line(raw: bytes) -> Line:
    """Parse and check a line. Raises BadLine with the reason."""
    try:
        data = json.loads(raw.decode("utf-8-sig"), parse_constant=_refuse)
    except UnicodeDecodeError:
        raise BadLine("is not UTF-8") from None
    except (ValueError, RecursionError):
        raise BadLine("is not JSON") from None
    if not isinstance(data, dict):
        raise BadLine("is no JSON object")
    kind = data.get("kind", "memory")
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        raise BadLine(f"has the kind {str(kind)[:40]!r}, which is none of {', '.join(_READERS)}")
    return reader(data)


def _refuse(name: str) -> object:
    raise ValueError(name)


def _memory(data: Mapping[str, Any]) -> Draft:
    content = _text(data, "content")
    if not content.strip():
        raise BadLine("has an empty content")
    state = data.get("scheduling")
    if state is not None and not isinstance(state, dict):
        raise BadLine("has a scheduling that is no object")
    scores = _object(data, "domain_scores")
    if not all(_is_number(score) for score in scores.values()):
        raise BadLine("has domain_scores that are no numbers")
    visibility = _text(data, "visibility", "private")
    if visibility not in _VISIBILITIES:
        raise BadLine(f"has a visibility that is none of {', '.join(_VISIBILITIES)}")
    return Draft(
        content=content,
        id=_id(data, "id", required=False),
        node_type=_text(data, "node_type", "fact") or "fact",
        tags=_texts(data, "tags"),
        domains=_texts(data, "domains"),
        domain_scores={name: float(score) for name, score in scores.items()},
        codebase=None if data.get("codebase") is None else _text(data, "codebase"),
        metadata=_object(data, "metadata"),
        created_at=_time(data, "created_at"),
        updated_at=_time(data, "updated_at"),
        owner_user_id=_text(data, "owner_user_id", LOCAL_USER),
        visibility=visibility,
        shared_with_groups=_texts(data, "shared_with_groups"),
        scheduling=_schedule(state),
    )


def _schedule(state: Any) -> Scheduling | None:
    return clamped(from_json(state)) if state else None


def _edge(data: Mapping[str, Any]) -> Edge:
    weight = data.get("weight", 1.0)
    if not _is_number(weight) or not 0 <= weight <= 1:
        raise BadLine("has a weight that does not lie between 0 and 1")
    edge = Edge(
        _required_id(data, "source_id"),
        _required_id(data, "target_id"),
        _text(data, "edge_type", "related"),
        float(weight),
        _time(data, "created_at"),
    )
    if edge.source_id == edge.target_id:
        raise BadLine("links a memory to itself")
    return edge


def _review(data: Mapping[str, Any]) -> Review:
    rating = data.get("rating")
    if rating not in (1, 2, 3, 4) or isinstance(rating, bool | float):
        raise BadLine("has a rating that is none of 1 to 4")
    at = _time(data, "at")
    if at is None:
        raise BadLine("has no time of review (at)")
    return Review(
        id=_integer(data, "id") or 0,
        memory_id=_required_id(data, "memory_id"),
        at=at,
        rating=int(rating),
        prior=from_json(data.get("prior")),
        new=from_json(data.get("new")),
        undoes=_integer(data, "undoes"),
    )


def _supersession(data: Mapping[str, Any]) -> SupersessionEvent:
    winner = _id(data, "winner_id", required=False)
    event = data.get("event", "supersede" if winner else "unsupersede")
    if event not in EVENTS:
        raise BadLine(f"has an event that is none of {', '.join(EVENTS)}")
    decided_at = _time(data, "decided_at")
    if decided_at is None:
        raise BadLine("has no time of decision (decided_at)")
    loser = _required_id(data, "loser_id")
    if loser == winner:
        raise BadLine("has a memory replace itself")
    return SupersessionEvent(_integer(data, "id") or 0, loser, winner, event, decided_at)


_READERS: Mapping[str, Callable[[Mapping[str, Any]], Line]] = {
    "memory": _memory,
    "edge": _edge,
    "review": _review,
    "supersession": _supersession,
}


def _text(data: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = data.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise BadLine(f"has no {name}" if value is None else f"has a {name} that is no text")
    return value


def _texts(data: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = data.get(name)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise BadLine(f"has {name} that are no list of texts")
    return tuple(dict.fromkeys(value))


def _object(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = data.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadLine(f"has {name} that is no object")
    return value


def _id(data: Mapping[str, Any], name: str, *, required: bool = True) -> str | None:
    value = data.get(name)
    if value is None and not required:
        return None
    if not isinstance(value, str) or not value.strip():
        raise BadLine(f"has no {name}" if value is None else f"has a {name} that is no id")
    try:
        return str(uuid.UUID(value))  # one spelling for every store
    except ValueError:
        return value


def _required_id(data: Mapping[str, Any], name: str) -> str:
    return str(_id(data, name))


def _time(data: Mapping[str, Any], name: str) -> datetime | None:
    value = data.get(name)
    if value is None:
        return None
    time = parse_stored(value) if isinstance(value, str) else None
    if time is None:
        raise BadLine(f"has a {name} that is no time")
    return time


def _integer(data: Mapping[str, Any], name: str) -> int | None:
    value = data.get(name)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise BadLine(f"has a {name} that is no whole number")
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
