"""JSON printed by commands: one function for each shape, from core types to plain JSON data.

Times are RFC 3339 in UTC; NaN and infinity become null.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeAlias

from vestige_tui.core.embeddings import ModelSignature, VectorCensus
from vestige_tui.core.health import Health, MigrationInfo, PostgresServer, SqliteFile, Stats, StoreReport
from vestige_tui.core.jobs import Job, JobFinding, JobWait, StepProgress, TableProgress
from vestige_tui.core.journal import JournalLine
from vestige_tui.core.links import Edge, Neighbor, SupersessionEvent
from vestige_tui.core.memories import Change, Memory
from vestige_tui.core.reviews import MarkedMemory, QueueCounts, Review, Scheduling
from vestige_tui.core.scheduling import DEFAULT_WEIGHTS, is_leech, retrievability, to_json
from vestige_tui.core.search import Answer, Explanation, Hit, WhyNot
from vestige_tui.core.storable import EXACT_FLOAT, rebuilt
from vestige_tui.core.text import redact
from vestige_tui.core.times import format_time
from vestige_tui.presenters import job_progress
from vestige_tui.presenters.empty_answers import empty_document
from vestige_tui.presenters.passages import passage_document

Document: TypeAlias = dict[str, Any]


def time(moment: datetime | None) -> str | None:
    return None if moment is None else format_time(moment)


def number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def scheduling(state: Scheduling, now: datetime, weights: Sequence[float] = DEFAULT_WEIGHTS) -> Document:
    """Return a schedule; retrievability is that of ``now``, null for a memory never reviewed."""
    return {**to_json(state), "retrievability": number(retrievability(state, now, weights))}


def memory(memory: Memory, now: datetime, weights: Sequence[float] = DEFAULT_WEIGHTS) -> Document:
    return {
        "id": memory.id,
        "content": memory.content,
        "node_type": memory.node_type,
        "tags": list(memory.tags),
        "domains": list(memory.domains),
        "domain_scores": {name: number(score) for name, score in memory.domain_scores.items()},
        "codebase": memory.codebase,
        "metadata": finite(memory.metadata),
        "created_at": time(memory.created_at),
        "updated_at": time(memory.updated_at),
        "owner_user_id": memory.owner_user_id,
        "visibility": memory.visibility,
        "shared_with_groups": list(memory.shared_with_groups),
        "superseded_by": memory.superseded_by,
        "scheduling": scheduling(memory.scheduling, now, weights) if memory.scheduling else None,
        "marks": {
            "suspended": memory.marks.suspended,
            "buried_until": time(memory.marks.buried_until),
            "leech": is_leech(memory.scheduling, memory.marks.cleared_lapses),
            "pinned": memory.marks.pinned,
        },
    }


def finite(data: Any) -> Any:
    """Return JSON data that every reader accepts: NaN and infinity become null."""
    return rebuilt(data, _finite)


def _finite(value: Any) -> Any:
    return number(value) if isinstance(value, float) else value


def canonical(data: Any) -> Any:
    """Return JSON data as every store gives it back: keys sorted, and a number in one form where PostgreSQL has one."""
    return rebuilt(data, _canonical_scalar, sort_keys=True)


def _canonical_scalar(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return None
    # PostgreSQL's numbers have no exponent and no negative zero.
    return int(Decimal(repr(value))) if abs(value) >= EXACT_FLOAT else value + 0.0


def hit(hit: Hit, now: datetime, weights: Sequence[float] = DEFAULT_WEIGHTS) -> Document:
    return {
        "memory": memory(hit.memory, now, weights),
        "score": number(hit.score),
        "text_rank": hit.text_rank,
        "text_score": number(hit.text_score),
        "vector_rank": hit.vector_rank,
        "vector_score": number(hit.vector_score),
    }


def answer(answer: Answer, now: datetime, weights: Sequence[float] = DEFAULT_WEIGHTS) -> Document:
    return {
        "hits": [
            {**hit(each, now, weights), "passage": passage_document(each.memory.content, answer.terms)}
            for each in answer.hits
        ],
        "mode": answer.mode,
        "elapsed_ms": round(answer.elapsed_ms, 3),
        "warnings": list(answer.warnings),
        "empty_because": empty_document(answer.empty_because),
    }


def explanation(explanation: Explanation, now: datetime, weights: Sequence[float] = DEFAULT_WEIGHTS) -> Document:
    """Return an explained answer; the branches refer to memories by id, and are longer than the answer."""
    return {
        "query": explanation.query,
        "answer": {
            **answer(explanation.answer, now, weights),
            "hits": [_shared(each, now, weights) for each in explanation.answer],
        },
        "text": [placed(each) for each in explanation.text],
        "vector": [placed(each) for each in explanation.vector],
        "words": [
            {"text": each.text, "use": each.use, "documents": each.documents, "weight": number(each.weight)}
            for each in explanation.words
        ],
        "filters": [{"text": each.text, "memories": each.memories} for each in explanation.filters],
        "passing": explanation.passing,
        "total": explanation.total,
        "fusion": {
            "text_weight": explanation.fusion.text_weight,
            "vector_weight": explanation.fusion.vector_weight,
            "floor": explanation.fusion.floor,
            "depth": explanation.fusion.depth,
        },
        "steps": [
            {"what": each.what, "how": each.how, "ms": None if each.ms is None else round(each.ms, 3)}
            for each in explanation.steps
        ],
    }


def why_not(why_not: WhyNot, now: datetime, weights: Sequence[float] = DEFAULT_WEIGHTS) -> Document:
    return {
        "memory": memory(why_not.memory, now, weights),
        "reason": why_not.reason,
        "place": why_not.rank,
        "hit": why_not.hit and placed(why_not.hit),
        "fails": list(why_not.fails),
        "missing": list(why_not.missing),
        "last": number(why_not.last),
    }


def placed(hit: Hit) -> Document:
    """Return ranks and scores of a hit, with the memory's id alone."""
    return {
        "id": hit.memory.id,
        "score": number(hit.score),
        "text_rank": hit.text_rank,
        "text_score": number(hit.text_score),
        "text_share": number(hit.text_share),
        "vector_rank": hit.vector_rank,
        "vector_score": number(hit.vector_score),
        "vector_share": number(hit.vector_share),
    }


def _shared(result: Hit, now: datetime, weights: Sequence[float]) -> Document:
    return {
        **hit(result, now, weights),
        "text_share": number(result.text_share),
        "vector_share": number(result.vector_share),
    }


def listed(items: Iterable[Document], cursor: str | None = None) -> Document:
    return {"items": list(items), "next": cursor}


def edge(edge: Edge) -> Document:
    return {
        "source_id": edge.source_id,
        "target_id": edge.target_id,
        "edge_type": edge.edge_type,
        "weight": number(edge.weight),
        "created_at": time(edge.created_at),
    }


def neighbor(neighbor: Neighbor, now: datetime, weights: Sequence[float] = DEFAULT_WEIGHTS) -> Document:
    return {
        "memory": memory(neighbor.memory, now, weights),
        "weight": number(neighbor.weight),
        "depth": neighbor.depth,
    }


def review(review: Review) -> Document:
    return {
        "id": review.id,
        "memory_id": review.memory_id,
        "at": time(review.at),
        "rating": review.rating,
        "prior": to_json(review.prior),
        "new": to_json(review.new),
        "undoes": review.undoes,
        "weights": review.weights_hash,
    }


def event(event: SupersessionEvent) -> Document:
    return {
        "id": event.id,
        "loser_id": event.loser_id,
        "winner_id": event.winner_id,
        "kind": event.kind,
        "decided_at": time(event.decided_at),
    }


def journal_line(line: JournalLine) -> Document:
    return {
        "entry": line.id,
        "at": time(line.at),
        "actor": line.actor,
        "origin": line.origin,
        "verb": line.verb,
        "ids": list(line.ids),
        "undone_by": line.undone_by,
    }


def change(change: Change) -> Document:
    return {"changed": list(change.changed), "undo": change.undo}


def stats(stats: Stats) -> Document:
    return {
        "total_memories": stats.total_memories,
        "memories_with_embeddings": stats.memories_with_embeddings,
        "total_edges": stats.total_edges,
        "total_domains": stats.total_domains,
        "total_reviews": stats.total_reviews,
        "superseded": stats.superseded,
        "registered_model_name": stats.registered_model_name,
        "registered_model_dim": stats.registered_model_dim,
        "backend": stats.backend,
        "schema_version": stats.schema_version,
        "size_bytes": stats.size_bytes,
    }


def health(health: Health) -> Document:
    return {
        "state": health.state,
        "concerns": [{"what": each.problem, "remedy": each.remedy or None} for each in health.problems],
    }


def report(report: StoreReport) -> Document:
    """Return the report on a store, sizes in bytes; null if not available or not measured."""
    connections = report.connections
    return {
        "health": health(report.health),
        "server": report.server and _server(report.server),
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
            for each in report.sessions
        ],
        "sizes": None
        if report.sizes is None
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
            for each in report.sizes
        ],
        "vectors": report.vectors
        and {
            "count": report.vectors.count,
            "dimension": report.vectors.dimension,
            "bytes": report.vectors.bytes,
            "limit": report.vectors.limit,
            "too_large": report.vectors.too_large,
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
            for each in report.queries
        ],
    }


def _server(server: PostgresServer | SqliteFile) -> Document:
    if isinstance(server, PostgresServer):
        return {
            "product": "PostgreSQL",
            "version": server.version,
            "vector_version": server.vector_version or None,
            "vector_available": server.vector_available or None,
            "host": server.host or None,
            "port": server.port,
            "database": server.database,
            "user": server.user,
            "encoding": server.encoding,
            "started_at": time(server.started_at),
            "recovering": server.recovering,
            "pooler": server.pooler,
        }
    return {
        "product": "SQLite",
        "version": server.version,
        "path": server.path,
        "mode": server.mode,
        "journal_mode": server.journal_mode,
        "encoding": server.encoding,
        "page_size": server.page_size,
        "pages": server.pages,
        "free_pages": server.free_pages,
        "wal_bytes": server.wal_bytes,
        "line": server.line or None,
        "notes": list(server.notes),
    }


def queue(counts: QueueCounts) -> Document:
    """Return the review queue; ``count`` is the number that ``due`` lists: due by tonight."""
    return {
        "count": counts.overdue + counts.today,
        "overdue": counts.overdue,
        "today": counts.today,
        "week": counts.week,
        "new": counts.new,
        "new_today": counts.new_today,
    }


def migration(migration: MigrationInfo) -> Document:
    return {
        "version": migration.version,
        "name": migration.name,
        "state": migration.state,
        "checksum": migration.checksum,
        "applied_at": time(migration.applied_at),
        "duration_ms": number(migration.duration_ms),
        "waits_for": migration.waits_for,
    }


def model(model: ModelSignature) -> Document:
    return {
        "name": model.name,
        "dimension": model.dimension,
        "hash": model.hash,
        "created_at": time(model.created_at),
        "templates": {"document": model.templates.document, "query": model.templates.query},
    }


def census(census: VectorCensus) -> Document:
    return {
        "by_width": {str(width): count for width, count in sorted(census.by_width.items())},
        "without": census.without,
        "zero": census.zero,
        "non_finite": census.non_finite,
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


def finding(finding: JobFinding) -> Document:
    return {
        "subject": finding.subject,
        "outcome": finding.outcome,
        "source_key": finding.source_key,
        "reason": finding.reason,
    }


def job(job: Job, now: datetime, findings: Sequence[JobFinding] = ()) -> Document:
    """Return one job; ``seconds`` is its duration so far, ``notes`` are findings about rows that did not fail."""
    ended = job.finished_at or (now if job.in_flight else job.updated_at)
    seconds = (ended - job.created_at).total_seconds() if ended and job.created_at else None
    return {
        "id": job.id,
        "kind": job.kind,
        "status": job.status,
        "attempt": job.attempt,
        "phase": job.progress.phase,
        "tables": {name: table(progress) for name, progress in job.progress.tables.items()},
        "errors": [finding(each) for each in findings if each.outcome == "failed"],
        "notes": [finding(each) for each in findings if each.outcome != "failed"],
        "seconds": seconds,
        "error": job.error,
        "result": job.result,
        "rate": number(job.progress.rate),
        "eta": number(job.progress.eta),
        "share": number(job_progress.fraction(job)),
        "step": step(job.progress.step) if job.in_flight and job.progress.step is not None else None,
        "zero_vectors": job.progress.zero_vectors,
        "store": job.store,
        "source": job.source,
        "target": job.target,
        "task": job.task,
        "plan": job.plan,
        "options": finite(job.options),
        "owner": job.owner,
        "caller": job.caller,
        "callee": job.callee,
        "retry_count": job.retry_count,
        "created_at": time(job.created_at),
        "updated_at": time(job.updated_at),
        "last_heartbeat": time(job.last_heartbeat),
        "deadline": time(job.deadline),
        "finished_at": time(job.finished_at),
        "cancel_requested": job.cancel_requested,
        "waiting": wait(job.wait) if job.in_flight and job.wait is not None else None,
    }


def step(progress: StepProgress) -> Document:
    """Return the progress of a long statement on the server; ``eta`` in seconds."""
    return {
        "phase": progress.name,
        "done": progress.done,
        "total": progress.total,
        "unit": progress.unit,
        "eta": number(progress.eta),
    }


def wait(cause: JobWait) -> Document:
    """Return the wait of a job's worker."""
    return {"reason": redact(cause.reason), "since": time(cause.since)}


def memory_line(memory: Memory) -> Document:
    """Return a memory as a line of an export: stored values only, nothing computed."""
    state = None
    if memory.scheduling:
        state = {name: value for name, value in to_json(memory.scheduling).items() if name != "retrievability"}
    return {
        "kind": "memory",
        "id": memory.id,
        "content": memory.content,
        "node_type": memory.node_type,
        "tags": list(memory.tags),
        "domains": list(memory.domains),
        "domain_scores": canonical(memory.domain_scores),
        "codebase": memory.codebase,
        "metadata": canonical(memory.metadata),
        "created_at": time(memory.created_at),
        "updated_at": time(memory.updated_at),
        "owner_user_id": memory.owner_user_id,
        "visibility": memory.visibility,
        "shared_with_groups": list(memory.shared_with_groups),
        "scheduling": state,
    }


def edge_line(link: Edge) -> Document:
    return {"kind": "edge", **edge(link)}


def review_line(entry: Review) -> Document:
    return {"kind": "review", **review(entry)}


def mark_line(marked: MarkedMemory) -> Document:
    return {
        "kind": "mark",
        "memory_id": marked.memory_id,
        "suspended": marked.marks.suspended,
        "buried_until": time(marked.marks.buried_until),
        "pinned": marked.marks.pinned,
        "cleared_lapses": marked.marks.cleared_lapses,
    }


def supersession_line(decision: SupersessionEvent) -> Document:
    """Return a decision as a line; ``kind`` is the kind of line, so that of the decision is ``event``."""
    line = event(decision)
    return {**line, "event": line["kind"], "kind": "supersession"}
