"""Conversion of rows of either driver to values; tolerates malformed data of other programs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from vestige_tui.core.accounts import Domain, Group, Membership, User
from vestige_tui.core.doctor import FaultyRow, RowKey
from vestige_tui.core.domains import CENTROID_AT, DomainScore, DomainSummary
from vestige_tui.core.embeddings import INPUT, EncodingTemplates, ModelSignature
from vestige_tui.core.health import ContentFault, PostgresServer, Session, SqliteFile, TableSize
from vestige_tui.core.history import DeletedMemory
from vestige_tui.core.journal import JournalLine
from vestige_tui.core.links import Edge, SupersessionEvent
from vestige_tui.core.memories import LOCAL_USER, JournalEntry, Memory
from vestige_tui.core.review_statistics import GradeInForce
from vestige_tui.core.reviews import NO_MARKS, Marks, Rating, Review, Scheduling
from vestige_tui.core.scheduling import MAX_STABILITY_DAYS, from_json
from vestige_tui.core.times import parse_stored
from vestige_tui.core.weights import StoredWeights, Weights

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import Vector
    from vestige_tui.store.backends.protocol import BackendStatus, Row

_MAX_COUNT = 2**31
_FIRST_DAY = datetime(1970, 1, 1, tzinfo=UTC)
"""Time of a row without a readable one."""
_MAX_CACHED_LIST_CHARS = 200


def as_time(value: object) -> datetime | None:
    if isinstance(value, str):
        return parse_stored(value)
    if isinstance(value, datetime):
        return value if value.tzinfo is UTC else value.astimezone(UTC)
    return None


def as_json(value: object) -> Any:
    """Return JSON data, parsed by the driver or here; None if it is invalid."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def as_list(value: object) -> tuple[str, ...]:
    """Return the strings of a list or of its JSON text; empty for any other value."""
    if isinstance(value, str):
        return _short_list(value) if len(value) <= _MAX_CACHED_LIST_CHARS else _strings(as_json(value))
    return _strings(value)


@lru_cache(maxsize=2_048)
def _short_list(text: str) -> tuple[str, ...]:
    # Rows repeat the same few tags, domains and groups.
    return () if text == "[]" else _strings(as_json(text))


def _strings(data: object) -> tuple[str, ...]:
    return tuple([str(item) for item in data if item is not None]) if isinstance(data, list) else ()


def as_map(value: object) -> dict[str, Any]:
    if value == "{}":
        return {}
    data = as_json(value)
    return data if isinstance(data, dict) else {}


def as_vector(value: object) -> Vector:
    """Return a float32 array of shape (dimension,) from a little-endian blob or pgvector's own type."""
    import numpy as np

    if isinstance(value, bytes):
        return np.frombuffer(value[: len(value) - len(value) % 4], dtype="<f4").astype(np.float32)
    to_numpy = getattr(value, "to_numpy", None)
    return np.asarray(to_numpy() if to_numpy else value, dtype=np.float32)


def clamped(value: object, low: float, high: float, default: float) -> float:
    """Return a stored figure within its bounds; ``default`` for a value that is no number."""
    if type(value) is float and low <= value <= high:
        return value
    if not isinstance(value, (int, float)) or math.isnan(value):
        return default
    return min(max(float(value), low), high)


def _count(value: object) -> int:
    return value if type(value) is int and 0 <= value <= _MAX_COUNT else int(clamped(value, 0, _MAX_COUNT, 0))


def scheduling(row: Row) -> Scheduling | None:
    """Return the schedule in a row, clamped to the bounds of FSRS; None if the memory has none."""
    if row["scheduled"] is None:
        return None
    reps = _count(row["reps"])
    return Scheduling(
        clamped(row["stability"], 0.001 if reps else 0.0, MAX_STABILITY_DAYS, 0.001),
        clamped(row["difficulty"], 1.0 if reps else 0.0, 10.0, 5.0),
        clamped(row["retrievability"], 0.0, 1.0, 1.0),
        as_time(row["last_review"]),
        as_time(row["next_review"]),
        reps,
        _count(row["lapses"]),
    )


def memory(row: Row) -> Memory:
    scores, codebase, winner = row["domain_scores"], row["codebase"], row["superseded_by"]
    # Positional, in field order: keywords double the cost, and a page builds many memories.

    return Memory(
        str(row["id"]),
        _text(row["content"]),
        _text(row["node_type"]) or "fact",
        as_list(row["tags"]),
        as_list(row["domains"]),
        {} if scores == "{}" else _scores(as_map(scores)),
        None if codebase is None else _text(codebase),
        as_map(row["metadata"]),
        as_time(row["created_at"]),
        as_time(row["updated_at"]),
        str(row["owner_user_id"] or LOCAL_USER),
        str(row["visibility"] or "private"),
        as_list(row["shared_with_groups"]),
        None if winner is None else str(winner),
        scheduling(row),
        bool(row["has_embedding"]),
        NO_MARKS if row["marks"] is None else _packed_marks(as_json(row["marks"])),
    )


def _packed_marks(data: Any) -> Marks:
    suspended, buried_until, pinned, cleared_lapses = data
    return Marks(bool(suspended), as_time(buried_until), bool(pinned), _count(cleared_lapses))


def _scores(scores: Mapping[str, Any]) -> dict[str, float]:
    return {key: float(score) for key, score in scores.items() if isinstance(score, (int, float))}


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return "" if value is None else str(value)


def marks(records: Sequence[Row]) -> Marks:
    """Return the marks in the rows of a memory's query; unset if it has none."""
    if not records:
        return NO_MARKS
    [row, *_] = records
    return Marks(
        bool(row["suspended"]), as_time(row["buried_until"]), bool(row["pinned"]), _count(row["cleared_lapses"])
    )


def review(row: Row) -> Review:
    return Review(
        id=int(row["id"]),
        memory_id=str(row["memory_id"]),
        at=as_time(row["timestamp"]) or datetime.fromtimestamp(0, UTC),
        rating=int(row["rating"]),
        prior=from_json(as_map(row["prior_state"])),
        new=from_json(as_map(row["new_state"])),
        undoes=row["undoes"],
        weights_hash=None if row["weights_hash"] is None else _text(row["weights_hash"]),
    )


def grade(row: Row) -> GradeInForce:
    return GradeInForce(
        memory_id=str(row["memory_id"]),
        at=as_time(row["timestamp"]) or datetime.fromtimestamp(0, UTC),
        rating=Rating(min(max(int(row["rating"]), 1), 4)),
        first=_count(row["prior_reps"]) == 0,
        node_type=_text(row["node_type"]) or "fact",
        tags=as_list(row["tags"]),
        created_at=as_time(row["created_at"]),
    )


def weights(row: Row) -> StoredWeights:
    """Return stored weights; a value that is not a number, which only another program writes, is NaN: not usable."""
    values = as_json(row["weights"])
    numbers = values if isinstance(values, list) else []
    return StoredWeights(
        Weights(
            tuple(float(value) if isinstance(value, int | float) else math.nan for value in numbers),
            _text(row["algorithm"]),
        ),
        _text(row["hash"]),
        as_time(row["created_at"]),
        as_time(row["applied_at"]),
    )


def edge(row: Row) -> Edge:
    return Edge(
        source_id=str(row["source_id"]),
        target_id=str(row["target_id"]),
        edge_type=_text(row["edge_type"]),
        weight=clamped(row["weight"], 0.0, 1.0, 1.0),
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


def user(row: Row) -> User:
    return User(**_account(row))


def group(row: Row) -> Group:
    return Group(**_account(row))


def _account(row: Row) -> dict[str, Any]:
    display_name = row["display_name"]
    return {
        "id": _text(row["id"]),
        "handle": _text(row["handle"]),
        "display_name": None if display_name is None else _text(display_name),
        "created_at": as_time(row["created_at"]) or _FIRST_DAY,
        "metadata": as_map(row["metadata"]),
    }


def membership(row: Row) -> Membership:
    joined_at = as_time(row["joined_at"]) or _FIRST_DAY
    return Membership(_text(row["user_id"]), _text(row["group_id"]), joined_at, _text(row["role"]))


def domain(row: Row) -> Domain:
    """Return a domain without its centroid."""
    return Domain(
        id=_text(row["id"]),
        label=_text(row["label"]),
        top_terms=as_list(row["top_terms"]),
        memory_count=_count(row["memory_count"]),
        created_at=as_time(row["created_at"]) or _FIRST_DAY,
        metadata=as_map(row["metadata"]),
    )


def deleted_memory(row: Row) -> DeletedMemory:
    return DeletedMemory(
        id=str(row["id"]),
        content=_text(row["content"]),
        node_type=_text(row["node_type"]) or "fact",
        tags=as_list(row["tags"]),
        created_at=as_time(row["created_at"]),
        deleted_at=as_time(row["at"]) or datetime.fromtimestamp(0, UTC),
        actor=str(row["actor"]),
        entry=int(row["entry"]),
    )


def deleted_labels(row: Row) -> Memory:
    """Return the labels that a deleted memory had, without its text."""
    return Memory(
        id=str(row["id"]),
        content="",
        node_type=_text(row["node_type"]) or "fact",
        tags=as_list(row["tags"]),
        domains=as_list(row["domains"]),
        codebase=None if row["codebase"] is None else _text(row["codebase"]),
        owner_user_id=_text(row["owner_user_id"]) or LOCAL_USER,
        visibility=_text(row["visibility"]) or "private",
        shared_with_groups=as_list(row["shared_with_groups"]),
        created_at=as_time(row["created_at"]),
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
        origin=row["origin"],
    )


def journal_line(row: Row) -> JournalLine:
    return JournalLine(
        id=int(row["id"]),
        at=as_time(row["at"]) or datetime.fromtimestamp(0, UTC),
        actor=str(row["actor"]),
        origin=row["origin"],
        verb=str(row["verb"]),
        ids=tuple(str(each) for each in as_json(row["ids"]) if each is not None),
        undone_by=row["undone_by"],
        before=_light_snapshots(row["before_first"], row["before_tags"]),
        after=_light_snapshots(row["after_first"], row["after_tags"]),
    )


def _light_snapshots(first: object, tags: object) -> list[Mapping[str, Any]]:
    """Return the first snapshot of an entry, and of each other one the tags if they were read."""
    head = [] if first is None else [as_json(first)]
    others = [] if tags is None else as_json(tags)[1:]
    # Of a change of very many memories, the entry has only the ids of the others.
    return [*head, *({"memory": {"tags": each}} for each in others if each is not None)]


def model(row: Row) -> ModelSignature:
    return ModelSignature(
        name=_text(row["name"]),
        dimension=int(row["dimension"]),
        hash=_text(row["hash"]),
        created_at=as_time(row["created_at"]),
        templates=EncodingTemplates(_template(row["document_template"]), _template(row["query_template"])),
    )


def _template(stored: object) -> str:
    """Return a template of a store; one without its placeholder, which only another program writes, is none."""
    template = _text(stored)
    return template if INPUT in template else INPUT


def foreign_index(found: Sequence[Row]) -> str:
    """Return a vector index that is not of this program, in words; empty where it is, or where there is none."""
    return "" if not found or found[0]["own"] else f"{found[0]['name']} ({found[0]['method']})"


def postgres_server(row: Row, replica: str = "", vector_index: str = "") -> PostgresServer:
    return PostgresServer(
        version=str(row["version"]),
        vector_version=str(row["vector_version"] or ""),
        vector_available=str(row["available"] or ""),
        host=str(row["host"] or ""),
        port=row["port"],
        database=str(row["database"]),
        user=str(row["username"]),
        encoding=str(row["encoding"] or ""),
        started_at=as_time(row["started_at"]),
        recovering=bool(row["recovering"]),
        replica=replica,
        vector_index=vector_index,
    )


def sqlite_file(row: Row, status: BackendStatus) -> SqliteFile:
    return SqliteFile(
        version=str(row["version"]),
        path=status.path,
        mode=status.mode,
        journal_mode=str(row["journal_mode"]),
        encoding=str(row["encoding"]),
        page_size=int(row["page_size"]),
        pages=int(row["pages"]),
        free_pages=int(row["free_pages"]),
        wal_bytes=status.wal_bytes,
        line=status.line,
        notes=status.notes,
    )


def session(row: Row) -> Session:
    state = row["state"]
    return Session(
        pid=int(row["pid"]),
        application=str(row["application"] or ""),
        user=str(row["username"]),
        state=None if state is None else str(state),
        since=as_time(row["since"]),
        mine=bool(row["mine"]),
    )


def faulty_row(row: Row) -> FaultyRow:
    return FaultyRow(
        kind=str(row["kind"]),
        row=RowKey.of(str(row["place"]), as_json(row["key"])),
        subject=str(row["id"]),
        action=row["action"],
        sets=as_json(row["sets"]) or {},
    )


def content_fault(row: Row) -> ContentFault:
    return ContentFault(str(row["fault"]), int(row["n"]), str(row["id"]))


def table_size(row: Row) -> TableSize:
    return TableSize(
        name=str(row["name"]),
        heap=int(row["heap"]),
        indexes=int(row["indexes"]),
        outside=int(row["outside"]),
        rows=row["rows"],
        dead_rows=row["dead_rows"],
        vacuumed_at=as_time(row["vacuumed_at"]),
        analyzed_at=as_time(row["analyzed_at"]),
    )


def domain_with_centroid(row: Row) -> Domain:
    centroid = row["centroid"]
    return replace(domain(row), centroid=None if centroid is None else as_vector(centroid))


def domain_summary(row: Row) -> DomainSummary:
    """Return a domain with a row; the numbers of its memories are counted elsewhere."""
    width = row["width"]
    return DomainSummary(
        str(row["id"]),
        label=_text(row["label"]),
        top_terms=as_list(row["top_terms"]),
        has_row=True,
        dimension=int(width) if width else None,
        centroid_at=as_time(as_map(row["metadata"]).get(CENTROID_AT)),
        created_at=as_time(row["created_at"]),
    )


def domain_score(row: Row) -> DomainScore:
    return DomainScore(str(row["id"]), _text(row["label"]), float(row["similarity"]))
