"""Journal snapshots: memories and their records as JSON data and back, complete enough to undo a delete."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from vestige_tui.core.memories import Memory
from vestige_tui.core.reviews import Marks, Scheduling
from vestige_tui.core.scheduling import from_json, to_json
from vestige_tui.store.backends.protocol import Json
from vestige_tui.store.schema.rows import as_time, as_vector

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import Vector
    from vestige_tui.core.links import Edge, SupersessionEvent
    from vestige_tui.core.memories import Draft
    from vestige_tui.core.reviews import Review
    from vestige_tui.store.backends.protocol import ModelKey, Row

EDITABLE = (
    *("content", "node_type", "tags", "domains", "codebase", "metadata"),
    *("owner_user_id", "visibility", "shared_with_groups"),
)


def time_text(value: datetime | None) -> str | None:
    return value.isoformat() if value else None


def memory_fields(memory: Memory) -> dict[str, Any]:
    """Return all stored fields of a memory except its schedule."""
    return {
        "content": memory.content,
        "node_type": memory.node_type,
        "tags": list(memory.tags),
        "domains": list(memory.domains),
        "domain_scores": dict(memory.domain_scores),
        "codebase": memory.codebase,
        "metadata": dict(memory.metadata),
        "created_at": time_text(memory.created_at),
        "updated_at": time_text(memory.updated_at),
        "owner_user_id": memory.owner_user_id,
        "visibility": memory.visibility,
        "shared_with_groups": list(memory.shared_with_groups),
    }


def memory_value(snapshot: Mapping[str, Any]) -> Memory:
    """Return the memory of a snapshot that keeps it as a whole."""
    fields: Mapping[str, Any] = snapshot["memory"]
    return Memory(
        id=str(snapshot["id"]),
        content=str(fields["content"]),
        node_type=str(fields["node_type"]),
        tags=tuple(fields["tags"]),
        domains=tuple(fields["domains"]),
        domain_scores=dict(fields["domain_scores"]),
        codebase=fields["codebase"],
        metadata=dict(fields["metadata"]),
        created_at=as_time(fields["created_at"]),
        updated_at=as_time(fields["updated_at"]),
        owner_user_id=str(fields["owner_user_id"]),
        visibility=str(fields["visibility"]),
        shared_with_groups=tuple(fields["shared_with_groups"]),
        scheduling=schedule_value(snapshot.get("scheduling")),
        has_embedding=bool(snapshot.get("embedding")),
    )


def schedule_fields(state: Scheduling | None) -> dict[str, Any] | None:
    return None if state is None else to_json(state)


def schedule_version(state: Scheduling | Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the fields that tell one schedule of a memory from another: all but the recall, which fades by itself."""
    fields = to_json(state) if isinstance(state, Scheduling) else state
    return None if fields is None else {name: value for name, value in fields.items() if name != "retrievability"}


def schedule_value(data: Mapping[str, Any] | None) -> Scheduling | None:
    return None if not data else from_json(data)


def marks_fields(marks: Marks) -> dict[str, Any]:
    return {
        "suspended": marks.suspended,
        "buried_until": time_text(marks.buried_until),
        "pinned": marks.pinned,
        "cleared_lapses": marks.cleared_lapses,
    }


def marks_value(data: Mapping[str, Any]) -> Marks:
    """Return the marks of a snapshot; entries of earlier versions have no pin and no cleared lapses."""
    return Marks(
        bool(data.get("suspended")),
        as_time(data.get("buried_until")),
        bool(data.get("pinned")),
        int(data.get("cleared_lapses") or 0),
    )


def marks_params(memory_id: str, marks: Marks) -> dict[str, Any]:
    return {
        "id": memory_id,
        "suspended": marks.suspended,
        "buried_until": marks.buried_until,
        "pinned": marks.pinned,
        "cleared_lapses": marks.cleared_lapses,
    }


def vector_fields(records: Sequence[Row]) -> dict[str, Any]:
    """Return the stored vector of a memory (base64, little-endian float32), if any, and its model."""
    if not records:
        return {"embedding": None}
    vector = as_vector(records[0]["embedding"])
    return {
        "embedding": base64.b64encode(vector.astype("<f4").tobytes()).decode(),
        "model": {"name": records[0]["model"], "dimension": records[0]["dimension"]},
    }


def vector_value(text: str) -> Vector:
    return as_vector(base64.b64decode(text))


def vector_params(memory_id: str, vector: Vector, model: ModelKey) -> dict[str, Any]:
    """Return the parameters of ``insert_embedding``, which inserts only if the store has that model."""
    name, dimension = model
    return {"id": memory_id, "embedding": vector, "model": name, "dimension": dimension}


def edge_fields(edge: Edge) -> dict[str, Any]:
    return {
        "source_id": edge.source_id,
        "target_id": edge.target_id,
        "edge_type": edge.edge_type,
        "weight": edge.weight,
        "created_at": time_text(edge.created_at),
    }


def review_fields(review: Review) -> dict[str, Any]:
    return {
        "id": review.id,
        "at": time_text(review.at),
        "rating": review.rating,
        "prior": to_json(review.prior),
        "new": to_json(review.new),
        "undoes": review.undoes,
        "weights_hash": review.weights_hash,
    }


def event_fields(event: SupersessionEvent) -> dict[str, Any]:
    return {
        "loser_id": event.loser_id,
        "winner_id": event.winner_id,
        "kind": event.kind,
        "decided_at": time_text(event.decided_at),
    }


def snapshot_digest(snapshot: Mapping[str, Any], *, foreign: bool = False, **in_force: Any) -> str:
    """Return the SHA-256 of a snapshot in JSON without its vector and logs, but with the part of the logs in force.

    ``foreign``: without the columns that only a Vestige server writes.
    """
    if foreign:
        memory = snapshot["memory"]
        memory = {**memory, "metadata": _without_server_columns(memory["metadata"])}
        snapshot = {**snapshot, "memory": memory, "scheduling": schedule_version(snapshot["scheduling"])}
    kept = {name: value for name, value in snapshot.items() if name not in ("embedding", "model", "reviews", "events")}
    kept["in_force"] = in_force
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def insert_params(source: Draft | Mapping[str, Any], memory_id: str, now: datetime) -> dict[str, Any]:
    """Return the parameters of ``insert_memory`` from a draft or a journal snapshot."""
    fields: Mapping[str, Any] = (
        source if isinstance(source, Mapping) else {name: getattr(source, name) for name in source.__slots__}
    )
    created = as_time(fields["created_at"]) or now
    return {
        "id": memory_id,
        "content": fields["content"],
        "node_type": fields["node_type"] or "fact",
        "tags": list(fields["tags"]),
        "metadata": Json(dict(fields["metadata"])),
        "domains": list(fields["domains"]),
        "domain_scores": Json(dict(fields["domain_scores"])),
        "codebase": fields["codebase"],
        "owner_user_id": fields["owner_user_id"],
        "visibility": fields["visibility"],
        "shared_with_groups": list(fields["shared_with_groups"]),
        "created_at": created,
        "updated_at": as_time(fields["updated_at"]) or created,
    }


def update_params(memory_id: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of ``update_memory`` from all stored fields; it writes the editable ones."""
    return {
        "id": memory_id,
        "content": fields["content"],
        "node_type": fields["node_type"],
        "tags": list(fields["tags"]),
        "metadata": Json(dict(fields["metadata"])),
        "domains": list(fields["domains"]),
        "codebase": fields["codebase"],
        "owner_user_id": fields["owner_user_id"],
        "visibility": fields["visibility"],
        "shared_with_groups": list(fields["shared_with_groups"]),
        "updated_at": as_time(fields["updated_at"]),
    }


def review_params(
    memory_id: str,
    at: datetime | None,
    rating: int,
    prior: Mapping[str, Any] | None,
    new: Mapping[str, Any] | None,
    undoes: int | None = None,
    weights_hash: str | None = None,
) -> dict[str, Any]:
    """Return the parameters of ``insert_review`` from schedules in JSON; None is one that does not exist."""
    return {
        "id": memory_id,
        "at": at,
        "rating": rating,
        "prior": Json(dict(prior or {})),
        "new": Json(dict(new or {})),
        "undoes": undoes,
        "weights_hash": weights_hash,
    }


def schedule_params(memory_id: str, state: Scheduling) -> dict[str, Any]:
    return {
        "id": memory_id,
        "stability": state.stability,
        "difficulty": state.difficulty,
        "retrievability": state.retrievability,
        "last_review": state.last_review,
        "next_review": state.next_review,
        "reps": state.reps,
        "lapses": state.lapses,
    }


def unchanged(
    memory: Memory, snapshot: Mapping[str, Any], fields: Sequence[str] = EDITABLE, *, foreign: bool = False
) -> bool:
    """Check whether these fields of the memory still equal the snapshot.

    ``foreign``: of the metadata only the console's part, for a server rewrites its columns whenever it reads a memory.
    """
    current = memory_fields(memory)
    kept = _without_server_columns if foreign else dict
    return all(
        kept(current[name]) == kept(snapshot[name]) if name == "metadata" else current[name] == snapshot[name]
        for name in fields
    )


def _without_server_columns(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metadata.items() if name != "vestige"}


def stamp(memory_id: str, updated_at: datetime | None) -> dict[str, str | None]:
    """Return the version of a memory, for an entry that keeps nothing else of it."""
    return {"id": memory_id, "updated_at": time_text(updated_at)}
