"""Store report in words, the same for console and command line; every string is safe to show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

from vestige_tui.core.health import PostgresServer, SqliteFile
from vestige_tui.core.text import ago, below_home, bytes_size, duration, grouped, plain
from vestige_tui.presenters.job_progress import step_in_words

if TYPE_CHECKING:
    from vestige_tui.core.health import (
        Connections,
        HealthProblem,
        MigrationInfo,
        Session,
        Stats,
        StoreReport,
        TableSize,
        Vacuumed,
        VectorsHeld,
    )
    from vestige_tui.core.jobs import StepProgress
    from vestige_tui.store.store import Store

Pair: TypeAlias = tuple[str, str]
"""A name and its value."""

_VACUUM_EFFECTS = {
    "sqlite": (
        "The file is rewritten without its unused pages.",
        "Writers wait until it is done; reads continue.",
        "The disk needs space for a second copy meanwhile.",
        "Stopping it leaves the file unchanged.",
    ),
    "postgres": (
        "Table by table, the space of dead rows becomes reusable.",
        "Reads and writes continue; schema changes wait.",
        "Files shrink only if the free space is at their end.",
        "Stopping it keeps the tables already done.",
    ),
}
_STATE_WORDS = {"idle in transaction": "in a transaction", "idle in transaction (aborted)": "in a failed transaction"}


def problems(problems: Sequence[HealthProblem]) -> list[str]:
    """Return each problem with its remedy, one line each."""
    return [plain(f"{each.problem} {each.remedy}".rstrip()) for each in problems]


def contents(stats: Stats) -> list[tuple[str, int, bool]]:
    """Return the name and the number of each kind of row, and whether it is a part of the memories."""
    return [
        ("memories", stats.total_memories, False),
        ("with a vector", stats.memories_with_embeddings, True),
        ("replaced", stats.superseded, True),
        ("links", stats.total_edges, False),
        ("reviews", stats.total_reviews, False),
        ("named domains", stats.total_domains, False),
    ]


def migration_state(info: MigrationInfo) -> str:
    """Return the state of a migration in words."""
    if info.state == "waiting":
        return f"waits for {plain(info.waits_for or 'a model')}"
    return "not applied yet" if info.state == "pending" else info.state


def pooler_note(store: Store) -> str:
    """Return the sentence about the pooler in front of a store's server; empty without one."""
    if not store.pooled:
        return ""
    return "The server is behind a pooler: changes by others appear slightly later."


def server(server: PostgresServer | SqliteFile, now: datetime) -> list[Pair]:
    """Return the facts about a store's server or file; notes have no name."""
    return _postgres(server, now) if isinstance(server, PostgresServer) else _sqlite(server)


def _postgres(server: PostgresServer, now: datetime) -> list[Pair]:
    address = server.host or "a local socket"
    if server.host and server.port:
        address = f"{server.host}, port {server.port}"
    pairs = [
        ("PostgreSQL", server.version),
        ("pgvector", server.vector_version or "not installed yet"),
        ("host", address),
        ("database", f"{server.database}, as {server.user}"),
        ("encoding", server.encoding),
    ]
    if server.started_at is not None:
        pairs.append(("up for", duration(max(0.0, (now - server.started_at).total_seconds()))))
    if server.pooler:
        pairs.append(("pooler", "between console and server"))
    pairs.append(("recovery", "a standby, read-only" if server.recovering else "no"))
    if server.vector_index:
        pairs.append(("vector index", f"{server.vector_index}, created by others: never changed"))
    if server.replica:
        pairs.append(("replica", server.replica))
    return _shown(pairs)


def _sqlite(file: SqliteFile) -> list[Pair]:
    free = file.free_pages * file.page_size
    pairs = [
        ("SQLite", file.version),
        ("file", below_home(file.path)),
        ("mode", f"{file.mode}, readable by other users" if file.mode[7:8] == "r" else file.mode or "unknown"),
        (
            "journal",
            f"write-ahead log, {bytes_size(file.wal_bytes)}" if file.journal_mode == "wal" else file.journal_mode,
        ),
        ("pages", f"{grouped(file.pages)} of {grouped(file.page_size)} B"),
        ("free pages", f"{grouped(file.free_pages)}, {bytes_size(free)}" if file.free_pages else "none"),
        ("encoding", file.encoding),
    ]
    if file.line:
        pairs += [("written by", file.line), ("access", "read-only, through views")]
    return _shown([*pairs, *(("", note) for note in file.notes)])


def _shown(pairs: list[Pair]) -> list[Pair]:
    return [(name, plain(value)) for name, value in pairs]


def connections(report: StoreReport) -> list[Pair]:
    """Return the connections of this process, and the number of other sessions."""
    pool = report.connections
    others = sum(not each.mine for each in report.sessions)
    if not isinstance(report.server, PostgresServer):
        pairs = [
            ("readers", f"{pool.in_use} of {pool.opened} in use"),
            ("writer", "one" if pool.writer else "none"),
        ]
        if report.sessions:
            pairs.append(("others", f"{others} with the file open" if others else "no other process has the file open"))
        return pairs
    return [
        ("pool", f"{pool.opened} open, {pool.idle} idle, at most {pool.most}"),
        ("waiting", _waiting(pool)),
        ("others", f"{others} on this database" if others else "no other session on this database"),
    ]


def _waiting(pool: Connections) -> str:
    now = f"{grouped(pool.waiting)} now" if pool.waiting else "none now"
    if not pool.waited:
        return f"{now}, none before"
    return f"{now}, {grouped(pool.waited)} before for {milliseconds(pool.waited_ms)} in total"


def vectors_in_memory(cache: VectorsHeld | None) -> list[Pair]:
    """Return the vectors in memory; empty if the database compares vectors itself."""
    if cache is None:
        return []
    if cache.too_large:
        return [("in RAM", f"none: {grouped(cache.too_large)} vectors exceed the limit, {bytes_size(cache.limit)}")]
    if not cache.count:
        return [("in RAM", "none yet; the first vector search loads them")]
    return [
        ("in RAM", f"{grouped(cache.count)} vectors of {grouped(cache.dimension)} dimensions"),
        ("size", f"{bytes_size(cache.bytes)} used, limit {bytes_size(cache.limit)}"),
    ]


def session_state(session: Session, now: datetime) -> str:
    """Return a session's state and its duration; for a process, the time since its start."""
    if session.state is None:
        return "not shown to this role"
    words = plain(_STATE_WORDS.get(session.state, session.state))
    if session.since is None:
        return words
    return f"{words}, {duration((now - session.since).total_seconds())}"


def session_states(sessions: Sequence[Session], now: datetime) -> str:
    """Summarize the states of several sessions; of a single one, also the duration."""
    if len(sessions) == 1:
        return session_state(sessions[0], now)
    tally = Counter(session_state(replace(each, since=None), now) for each in sessions)
    return ", ".join(f"{count} {words}" for words, count in tally.most_common())


def not_measured(report: StoreReport) -> str:
    """Return why the tables of a report have no sizes."""
    server = report.server
    if not isinstance(server, SqliteFile):
        return "Not measured: another session has locked a table."
    # The module of the backend is slow to import.
    from vestige_tui.store.backends.sqlite import MAX_MEASURED_FILE_BYTES

    if server.page_size * server.pages > MAX_MEASURED_FILE_BYTES:
        limit = bytes_size(MAX_MEASURED_FILE_BYTES)
        return f"Not measured: the file is larger than {limit}; vestige-tui stats measures files of any size."
    return "Not measured: this SQLite was built without dbstat."


def maintenance_ages(table: TableSize, now: datetime) -> tuple[str, str, str]:
    """Return a table's dead rows, and the age of its last vacuum and analyze; empty if unknown."""
    if table.dead_rows is None:
        return "", "", ""
    return grouped(table.dead_rows), _age(table.vacuumed_at, now), _age(table.analyzed_at, now)


def _age(moment: datetime | None, now: datetime) -> str:
    return "never" if moment is None else ago(moment, now).removeprefix("just ").removesuffix(" ago")


def vacuum_effects(kind: str) -> tuple[str, ...]:
    """Describe the effects of a vacuum and its locks, before it starts."""
    return _VACUUM_EFFECTS[kind]


def vacuum_step(label: str, step: StepProgress | None = None) -> str:
    """Return the table that is vacuumed, and how far the server is with it."""
    return ": ".join(filter(None, (plain(label), step_in_words(step) if step is not None else "")))


def vacuum_result(sizes: Vacuumed) -> str:
    """Return the disk space that a vacuum freed, in words."""
    before, now = bytes_size(sizes.before), bytes_size(sizes.after)
    if sizes.after < sizes.before:
        return f"Freed {bytes_size(sizes.before - sizes.after)}: {before} before, {now} now."
    return f"There was nothing to free: {before} before, {now} now."


def milliseconds(ms: float) -> str:
    """Format a short duration with sensible digits: ``0.04 ms``, ``3.1 ms``, ``120 ms``, ``2.4 s``."""
    if ms >= 999.5:
        return duration(ms / 1000)
    return f"{ms:.2f} ms" if ms < 0.995 else f"{ms:.1f} ms" if ms < 9.95 else f"{ms:.0f} ms"
