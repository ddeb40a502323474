"""The JSON that commands print: one function for each shape, from the shared words to plain JSON data.

Times are RFC 3339 in UTC; a figure that is no number becomes null.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from vestige_tui.core.embeddings import ModelSignature, VectorCensus
from vestige_tui.core.health import Health, MigrationInfo, PostgresServer, SqliteFile, Stats, StoreReport
from vestige_tui.core.jobs import Job, JobFinding, TableProgress
from vestige_tui.core.links import Edge, Neighbor, SupersessionEvent
from vestige_tui.core.memories import Change, Memory
from vestige_tui.core.reviews import QueueCounts, Review, Scheduling
from vestige_tui.core.scheduling import DEFAULT_WEIGHTS, retrievability, to_json
from vestige_tui.core.search import Answer, Explanation, Hit, WhyNot
from vestige_tui.core.times import format_time

Document: TypeAlias = dict[str, Any]


def time(moment: datetime | None) -> str | None:
    return None if moment is None else format_time(moment)


def number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def scheduling(state: Scheduling, now: datetime, weights: Sequence[float] = DEFAULT_WEIGHTS) -> Document:
    """A schedule; retrievability is that of ``now``, null for a memory never reviewed."""
    return {**to_json(state), "retrievability": number(retrievability(state, now, weights))}


def memory(found: Memory, now: datetime, weights: Sequence[float] = DEFAULT_WEIGHTS) -> Document:
    return {
        "id": found.id,
        "content": found.content,
        "node_type": found.node_type,
        "tags": list(found.tags),
        "domains": list(found.domains),
        "domain_scores": {name: number(score) for name, score in found.domain_scores.items()},
        "codebase": found.codebase,
        "metadata": finite(found.metadata),
        "created_at": time(found.created_at),
        "updated_at": time(found.updated_at),
        "owner_user_id": found.owner_user_id,
        "visibility": found.visibility,
        "superseded_by": found.superseded_by,
        "scheduling": scheduling(found.scheduling, now, weights) if found.scheduling else None,
    }


def finite(data: Any) -> Any:
    """Stored JSON data as every reader of JSON takes it: what is no number becomes null."""
    if isinstance(data, float):
        return number(data)
    if isinstance(data, Mapping):
        return {str(key): finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [finite(value) for value in data]
    return data


def hit(found: Hit, now: datetime, weights: Sequence[float] = DEFAULT_WEIGHTS) -> Document:
    return {
        "memory": memory(found.memory, now, weights),
        "score": number(found.score),
        "text_rank": found.text_rank,
        "text_score": number(found.text_score),
        "vector_rank": found.vector_rank,
        "vector_score": number(found.vector_score),
    }


def answer(found: Answer, now: datetime, weights: Sequence[float] = DEFAULT_WEIGHTS) -> Document:
    return {
        "hits": [hit(each, now, weights) for each in found.hits],
        "mode": found.mode,
        "elapsed_ms": round(found.elapsed_ms, 3),
        "warnings": list(found.warnings),
    }


def explanation(found: Explanation, now: datetime, weights: Sequence[float] = DEFAULT_WEIGHTS) -> Document:
    """An answer laid open; the branches name their memories by id, and hold more of them than the answer."""
    return {
        "query": found.query,
        "answer": {
            **answer(found.answer, now, weights),
            "hits": [_shared(each, now, weights) for each in found.answer],
        },
        "text": [placed(each) for each in found.text],
        "vector": [placed(each) for each in found.vector],
        "words": [
            {"text": each.text, "use": each.use, "documents": each.documents, "weight": number(each.weight)}
            for each in found.words
        ],
        "filters": [{"text": each.text, "memories": each.memories} for each in found.filters],
        "passing": found.passing,
        "total": found.total,
        "fusion": {
            "text_weight": found.fusion.text_weight,
            "vector_weight": found.fusion.vector_weight,
            "floor": found.fusion.floor,
            "depth": found.fusion.depth,
        },
        "steps": [
            {"what": each.what, "how": each.how, "ms": None if each.ms is None else round(each.ms, 3)}
            for each in found.steps
        ],
    }


def why_not(found: WhyNot, now: datetime, weights: Sequence[float] = DEFAULT_WEIGHTS) -> Document:
    return {
        "memory": memory(found.memory, now, weights),
        "reason": found.reason,
        "place": found.place,
        "hit": found.hit and placed(found.hit),
        "fails": list(found.fails),
        "missing": list(found.missing),
        "last": number(found.last),
    }


def placed(found: Hit) -> Document:
    """Where a memory stands, without the memory itself."""
    return {
        "id": found.memory.id,
        "score": number(found.score),
        "text_rank": found.text_rank,
        "text_score": number(found.text_score),
        "text_share": number(found.text_share),
        "vector_rank": found.vector_rank,
        "vector_score": number(found.vector_score),
        "vector_share": number(found.vector_share),
    }


def _shared(found: Hit, now: datetime, weights: Sequence[float]) -> Document:
    return {
        **hit(found, now, weights),
        "text_share": number(found.text_share),
        "vector_share": number(found.vector_share),
    }


def listed(items: Iterable[Document], cursor: str | None = None) -> Document:
    return {"items": list(items), "next": cursor}


def edge(found: Edge) -> Document:
    return {
        "source_id": found.source_id,
        "target_id": found.target_id,
        "edge_type": found.edge_type,
        "weight": number(found.weight),
        "created_at": time(found.created_at),
    }


def neighbor(found: Neighbor, now: datetime, weights: Sequence[float] = DEFAULT_WEIGHTS) -> Document:
    return {
        "memory": memory(found.memory, now, weights),
        "weight": number(found.weight),
        "depth": found.depth,
    }


def review(found: Review) -> Document:
    return {
        "id": found.id,
        "memory_id": found.memory_id,
        "at": time(found.at),
        "rating": found.rating,
        "prior": to_json(found.prior),
        "new": to_json(found.new),
        "undoes": found.undoes,
    }


def event(found: SupersessionEvent) -> Document:
    return {
        "id": found.id,
        "loser_id": found.loser_id,
        "winner_id": found.winner_id,
        "kind": found.kind,
        "decided_at": time(found.decided_at),
    }


def change(made: Change) -> Document:
    return {"changed": list(made.changed), "undo": made.undo}


def stats(found: Stats) -> Document:
    return {
        "total_memories": found.total_memories,
        "memories_with_embeddings": found.memories_with_embeddings,
        "total_edges": found.total_edges,
        "total_domains": found.total_domains,
        "total_reviews": found.total_reviews,
        "superseded": found.superseded,
        "registered_model_name": found.registered_model_name,
        "registered_model_dim": found.registered_model_dim,
        "backend": found.backend,
        "schema_version": found.schema_version,
        "size_bytes": found.size_bytes,
    }


def health(found: Health) -> Document:
    return {
        "state": found.state,
        "concerns": [{"what": each.what, "remedy": each.remedy or None} for each in found.concerns],
    }


def report(found: StoreReport) -> Document:
    """What a store runs on and what it costs, sizes in bytes; null for what cannot be asked, or was not measured."""
    connections = found.connections
    return {
        "health": health(found.health),
        "server": found.server and _server(found.server),
        "connections": {
            "open": connections.opened,
            "idle": connections.idle,
            "most": connections.most,
            "waiting": connections.waiting,
            "waited": connections.waited,
            "waited_ms": round(connections.waited_ms, 3),
            "writer": connections.writer,
        },
        "sessions": [
            {
                "pid": each.pid,
                "application": each.application,
                "user": each.user,
                "state": each.state,
                "since": time(each.since),
                "mine": each.mine,
            }
            for each in found.sessions
        ],
        "sizes": None
        if found.sizes is None
        else [
            {
                "name": each.name,
                "bytes": each.bytes,
                "heap": each.heap,
                "indexes": each.indexes,
                "outside": each.outside,
                "rows": each.rows,
                "dead_rows": each.dead_rows,
                "vacuumed_at": time(each.vacuumed_at),
                "analyzed_at": time(each.analyzed_at),
            }
            for each in found.sizes
        ],
        "vectors": found.vectors
        and {
            "count": found.vectors.count,
            "dimension": found.vectors.dimension,
            "bytes": found.vectors.bytes,
            "limit": found.vectors.limit,
            "too_large": found.vectors.too_large,
        },
        "queries": [
            {
                "name": each.name,
                "count": each.count,
                "total_ms": round(each.total_ms, 3),
                "median_ms": round(each.median_ms, 3),
                "p95_ms": round(each.p95_ms, 3),
                "longest_ms": round(each.longest_ms, 3),
                "last_ms": round(each.last_ms, 3),
                "last_at": time(each.last_at),
            }
            for each in found.queries
        ],
    }


def _server(found: PostgresServer | SqliteFile) -> Document:
    if isinstance(found, PostgresServer):
        return {
            "product": "PostgreSQL",
            "version": found.version,
            "vector_version": found.vector_version or None,
            "vector_available": found.vector_available or None,
            "host": found.host or None,
            "port": found.port,
            "database": found.database,
            "user": found.user,
            "encoding": found.encoding,
            "started_at": time(found.started_at),
            "recovering": found.recovering,
        }
    return {
        "product": "SQLite",
        "version": found.version,
        "path": found.path,
        "mode": found.mode,
        "journal_mode": found.journal_mode,
        "encoding": found.encoding,
        "page_size": found.page_size,
        "pages": found.pages,
        "free_pages": found.free_pages,
        "wal_bytes": found.wal_bytes,
        "line": found.line or None,
        "notes": list(found.notes),
    }


def queue(counts: QueueCounts) -> Document:
    """``count`` is what ``due`` lists: what is due by tonight."""
    return {
        "count": counts.overdue + counts.today,
        "overdue": counts.overdue,
        "today": counts.today,
        "week": counts.week,
        "new": counts.new,
        "new_today": counts.new_today,
    }


def migration(found: MigrationInfo) -> Document:
    return {
        "version": found.version,
        "name": found.name,
        "state": found.state,
        "checksum": found.checksum,
        "applied_at": time(found.applied_at),
        "duration_ms": number(found.duration_ms),
        "waits_for": found.waits_for,
    }


def model(found: ModelSignature) -> Document:
    return {
        "name": found.name,
        "dimension": found.dimension,
        "hash": found.hash,
        "created_at": time(found.created_at),
    }


def census(found: VectorCensus) -> Document:
    return {
        "by_width": {str(width): count for width, count in sorted(found.by_width.items())},
        "without": found.without,
        "zero": found.zero,
        "non_finite": found.non_finite,
    }


def table(progress: TableProgress) -> Document:
    return {
        "read": progress.read,
        "inserted": progress.inserted,
        "present": progress.present,
        "repaired": progress.repaired,
        "failed": progress.failed,
        "left_behind": progress.left_behind,
        "total": progress.total,
        "updated": progress.updated,
        "deleted": progress.deleted,
        "differ": progress.differ,
        "only_source": progress.only_source,
        "only_target": progress.only_target,
    }


def finding(found: JobFinding) -> Document:
    return {
        "subject": found.subject,
        "outcome": found.outcome,
        "source_key": found.source_key,
        "reason": found.reason,
    }


def job(found: Job, now: datetime, findings: Sequence[JobFinding] = ()) -> Document:
    """One job; ``seconds`` is how long it ran, or has been running, ``notes`` what befell rows that did not fail."""
    ended = found.finished_at or (now if found.in_flight else found.updated_at)
    seconds = (ended - found.created_at).total_seconds() if ended and found.created_at else None
    return {
        "id": found.id,
        "kind": found.kind,
        "status": found.status,
        "attempt": found.attempt,
        "phase": found.progress.phase,
        "tables": {name: table(progress) for name, progress in found.progress.tables.items()},
        "errors": [finding(each) for each in findings if each.outcome == "failed"],
        "notes": [finding(each) for each in findings if each.outcome != "failed"],
        "seconds": seconds,
        "error": found.error,
        "result": found.result,
        "rate": number(found.progress.rate),
        "eta": number(found.progress.eta),
        "zero_vectors": found.progress.zero_vectors,
        "store": found.store,
        "source": found.source,
        "target": found.target,
        "task": found.task,
        "plan": found.plan,
        "options": finite(found.options),
        "owner": found.owner,
        "caller": found.caller,
        "callee": found.callee,
        "retry_count": found.retry_count,
        "created_at": time(found.created_at),
        "updated_at": time(found.updated_at),
        "last_heartbeat": time(found.last_heartbeat),
        "deadline": time(found.deadline),
        "finished_at": time(found.finished_at),
        "cancel_requested": found.cancel_requested,
    }


def memory_line(found: Memory) -> Document:
    """A memory as a line of an export: what is stored of it, and nothing that is computed."""
    state = None
    if found.scheduling:
        state = {name: value for name, value in to_json(found.scheduling).items() if name != "retrievability"}
    line: Document = {
        "kind": "memory",
        "id": found.id,
        "content": found.content,
        "node_type": found.node_type,
        "tags": list(found.tags),
        "domains": list(found.domains),
        "domain_scores": {name: number(score) for name, score in found.domain_scores.items()},
        "codebase": found.codebase,
        "metadata": finite(found.metadata),
        "created_at": time(found.created_at),
        "updated_at": time(found.updated_at),
        "owner_user_id": found.owner_user_id,
        "visibility": found.visibility,
        "scheduling": state,
    }
    if found.shared_with_groups:
        line["shared_with_groups"] = list(found.shared_with_groups)
    return line


def edge_line(found: Edge) -> Document:
    return {"kind": "edge", **edge(found)}


def review_line(found: Review) -> Document:
    return {"kind": "review", **review(found)}


def supersession_line(found: SupersessionEvent) -> Document:
    """``kind`` says which kind of line it is, so the kind of the decision is called ``event``."""
    line = event(found)
    return {**line, "event": line["kind"], "kind": "supersession"}
