"""Rows to values: reads what either driver gives, and never trips over what somebody else stored."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from vestige_tui.model import (
    LOCAL_USER,
    Edge,
    JournalEntry,
    Memory,
    ModelSignature,
    Review,
    Scheduling,
    SupersessionEvent,
)
from vestige_tui.scheduling import from_json
from vestige_tui.times import parse_stored

if TYPE_CHECKING:
    from vestige_tui.model import Vector
    from vestige_tui.store.backend import Row

MAX_STABILITY = 36_500.0


def as_time(value: object) -> datetime | None:
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return parse_stored(value) if isinstance(value, str) else None


def as_json(value: object) -> Any:
    """JSON data, whether the driver parsed it or not; None where it is broken."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return None


def as_list(value: object) -> tuple[str, ...]:
    """A list of strings; anything that is none of that becomes empty."""
    data = as_json(value)
    return tuple(str(item) for item in data if item is not None) if isinstance(data, list) else ()


def as_map(value: object) -> dict[str, Any]:
    data = as_json(value)
    return data if isinstance(data, dict) else {}


def as_vector(value: object) -> Vector:
    """A float32 array of shape (dimension,), from a little-endian blob or from pgvector's own type."""
    import numpy as np

    if isinstance(value, bytes):
        return np.frombuffer(value[: len(value) - len(value) % 4], dtype="<f4").astype(np.float32)
    to_numpy = getattr(value, "to_numpy", None)
    return np.asarray(to_numpy() if to_numpy else value, dtype=np.float32)


def _number(value: object, low: float, high: float, default: float) -> float:
    if not isinstance(value, int | float) or math.isnan(value):
        return default
    return min(max(float(value), low), high)


def scheduling(row: Row) -> Scheduling | None:
    """The schedule in a row, its figures put inside the bounds of FSRS; None where the memory has none."""
    if row["scheduled"] is None:
        return None
    reps = int(_number(row["reps"], 0, 2**31, 0))
    return Scheduling(
        stability=_number(row["stability"], 0.001 if reps else 0.0, MAX_STABILITY, 0.001),
        difficulty=_number(row["difficulty"], 1.0 if reps else 0.0, 10.0, 5.0),
        retrievability=_number(row["retrievability"], 0.0, 1.0, 1.0),
        last_review=as_time(row["last_review"]),
        next_review=as_time(row["next_review"]),
        reps=reps,
        lapses=int(_number(row["lapses"], 0, 2**31, 0)),
    )


def memory(row: Row) -> Memory:
    scores: Mapping[str, Any] = as_map(row["domain_scores"])
    return Memory(
        id=str(row["id"]),
        content=_text(row["content"]),
        node_type=_text(row["node_type"]) or "fact",
        tags=as_list(row["tags"]),
        domains=as_list(row["domains"]),
        domain_scores={key: float(score) for key, score in scores.items() if isinstance(score, int | float)},
        codebase=None if row["codebase"] is None else _text(row["codebase"]),
        metadata=as_map(row["metadata"]),
        created_at=as_time(row["created_at"]),
        updated_at=as_time(row["updated_at"]),
        owner_user_id=str(row["owner_user_id"] or LOCAL_USER),
        visibility=str(row["visibility"] or "private"),
        shared_with_groups=as_list(row["shared_with_groups"]),
        superseded_by=None if row["superseded_by"] is None else str(row["superseded_by"]),
        scheduling=scheduling(row),
        has_embedding=bool(row["has_embedding"]),
    )


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return "" if value is None else str(value)


def review(row: Row) -> Review:
    return Review(
        id=int(row["id"]),
        memory_id=str(row["memory_id"]),
        at=as_time(row["timestamp"]) or datetime.fromtimestamp(0, UTC),
        rating=int(row["rating"]),
        prior=from_json(as_map(row["prior_state"])),
        new=from_json(as_map(row["new_state"])),
        undoes=row["undoes"],
    )


def edge(row: Row) -> Edge:
    return Edge(
        source_id=str(row["source_id"]),
        target_id=str(row["target_id"]),
        edge_type=_text(row["edge_type"]),
        weight=_number(row["weight"], 0.0, 1.0, 1.0),
        created_at=as_time(row["created_at"]),
    )


def event(row: Row) -> SupersessionEvent:
    return SupersessionEvent(
        id=int(row["id"]),
        loser_id=str(row["loser_id"]),
        winner_id=None if row["winner_id"] is None else str(row["winner_id"]),
        kind=str(row["kind"]),
        decided_at=as_time(row["decided_at"]) or datetime.fromtimestamp(0, UTC),
    )


def journal_entry(row: Row) -> JournalEntry:
    return JournalEntry(
        id=int(row["id"]),
        at=as_time(row["at"]) or datetime.fromtimestamp(0, UTC),
        actor=str(row["actor"]),
        verb=str(row["verb"]),
        before=as_json(row["before"]),
        after=as_json(row["after"]),
        undone_by=row["undone_by"],
    )


def model(row: Row) -> ModelSignature:
    return ModelSignature(
        name=_text(row["name"]),
        dimension=int(row["dimension"]),
        hash=_text(row["hash"]),
        created_at=as_time(row["created_at"]),
    )
