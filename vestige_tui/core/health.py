"""Health of a store: its report, its health checks and its migrations."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class Stats:
    """Figures of a whole store."""

    total_memories: int
    memories_with_embeddings: int
    total_edges: int
    total_domains: int
    total_reviews: int
    superseded: int
    registered_model_name: str | None
    registered_model_dim: int | None
    backend: str
    schema_version: int
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class HealthProblem:
    """Problem of a store and its remedy, one sentence each; the remedy is empty if there is none.

    ``kinds`` are the kinds of fault of the doctor that it is about.
    """

    problem: str
    remedy: str = ""
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ContentFault:
    """Memories whose rows cannot be used: their number, and the first of them.

    ``kind``: "width", "infinite" or "zero" of a vector, "time" or "json" of the others.
    """

    kind: str
    count: int
    memory_id: str


@dataclass(frozen=True, slots=True)
class Health:
    """State of a store: healthy, degraded or unavailable, with the problems that explain it."""

    state: Literal["healthy", "degraded", "unavailable"]
    problems: tuple[HealthProblem, ...] = ()
    server: str = ""
    pool: str = ""


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """Server of a store, as seen by one connection; ``host`` is empty for a local socket.

    ``vector_version`` is pgvector's, empty until it is installed; ``vector_available`` the version that could be
    installed. ``replica`` is the one that read_url names and its part, in words; ``vector_index``
    the index of the vectors that is not of this program. Both may be empty.
    """

    version: str
    vector_version: str
    vector_available: str
    host: str
    port: int | None
    database: str
    user: str
    encoding: str
    started_at: datetime | None
    recovering: bool
    replica: str = ""
    vector_index: str = ""
    pooler: bool = False
    """Whether a pooler is in front of it."""


@dataclass(frozen=True, slots=True)
class SqliteFile:
    """File of a store; ``version`` is the library's, ``mode`` the permissions as in -rw-------.

    For a Vestige file ``line`` names its schema line, and ``notes`` are remarks about it.
    """

    version: str
    path: str
    mode: str
    journal_mode: str
    encoding: str
    page_size: int
    pages: int
    free_pages: int
    wal_bytes: int
    line: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Connections:
    """Connections of this process: open, idle, and the maximum.

    ``waiting`` requests have none now; ``waited`` had to wait since the store was opened, ``waited_ms`` in total.
    ``writer`` is whether this process may write; on SQLite that takes one more connection.
    """

    opened: int
    idle: int
    most: int
    waiting: int = 0
    waited: int = 0
    waited_ms: float = 0.0
    writer: bool = True

    @property
    def in_use(self) -> int:
        return self.opened - self.idle


@dataclass(frozen=True, slots=True)
class VectorsHeld:
    """Vectors of a SQLite store in this process's memory; none until the first vector search.

    ``too_large`` is their count if they exceed ``limit`` bytes, otherwise 0.
    """

    count: int
    dimension: int
    bytes: int
    limit: int
    too_large: int = 0


@dataclass(frozen=True, slots=True)
class Session:
    """Database connection, or a process that has the file open; ``mine`` is this process.

    ``state`` is None if the server hides it. ``since`` is the start of that state, or of the process.
    """

    pid: int
    application: str
    user: str
    state: str | None
    since: datetime | None
    mine: bool


@dataclass(frozen=True, slots=True)
class TableSize:
    """Disk space of one table, in bytes: its rows, its indexes, and values stored outside the rows.

    ``rows`` and ``dead_rows`` are the server's estimates, the times those of the last vacuum and analyze, manual or
    not; None on SQLite, which keeps none.
    """

    name: str
    heap: int
    indexes: int
    outside: int = 0
    rows: int | None = None
    dead_rows: int | None = None
    vacuumed_at: datetime | None = None
    analyzed_at: datetime | None = None

    @property
    def bytes(self) -> int:
        return self.heap + self.indexes + self.outside


@dataclass(frozen=True, slots=True)
class QueryTiming:
    """Durations of one named query since the store was opened; median and p95 are off by an eighth at most."""

    name: str
    count: int
    total_ms: float
    median_ms: float
    p95_ms: float
    longest_ms: float
    last_ms: float
    last_at: datetime


@dataclass(frozen=True, slots=True)
class StoreReport:
    """Report on a store: health, server, connections, sessions, disk space, slowest queries.

    An unreachable store has only ``health`` and ``queries``; the latter are this process's, by total time, longest
    first. ``vectors`` is None if the database compares vectors itself; ``sizes`` are sorted, largest first, None if not
    measured.
    """

    health: Health
    stats: Stats | None
    server: PostgresServer | SqliteFile | None
    connections: Connections
    sessions: tuple[Session, ...]
    sizes: tuple[TableSize, ...] | None
    vectors: VectorsHeld | None
    queries: tuple[QueryTiming, ...]


@dataclass(frozen=True, slots=True)
class Vacuumed:
    """Size of a store in bytes before and after a vacuum."""

    before: int
    after: int


SQLITE_RECOVERY = "`sqlite3 FILE .recover | sqlite3 NEW_FILE`"
"""Command that saves what can be read of a damaged SQLite file, as a person types it."""

MigrationState: TypeAlias = Literal["applied", "pending", "waiting"]


@dataclass(frozen=True, slots=True)
class MigrationInfo:
    """One migration: applied, pending, or waiting (for a model, or for a job that builds it last)."""

    version: int
    name: str
    state: MigrationState
    checksum: str
    applied_at: datetime | None = None
    duration_ms: float | None = None
    waits_for: str | None = None
