"""Health of a store: what its report, its checks and its migrations say."""

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
class HealthCheck:
    """What is the matter with a store, and what to do about it: a sentence each, the second empty where none helps."""

    what: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """``state`` is healthy, degraded or unavailable; the concerns say why."""

    state: Literal["healthy", "degraded", "unavailable"]
    concerns: tuple[HealthCheck, ...] = ()
    server: str = ""
    pool: str = ""


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """The server that a store is on, as one connection sees it; ``host`` is empty for a local socket.

    ``vector_version`` is pgvector's, empty before it is installed; ``vector_available`` what the server could have.
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


@dataclass(frozen=True, slots=True)
class SqliteFile:
    """The file that a store is; ``version`` is the library's, ``mode`` the permissions as in -rw-------.

    ``line`` names the line of a file that a Vestige server made, and ``notes`` say what was noticed about it.
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
    """The connections of this process: how many are open, how many of them idle, and how many there may be.

    ``waiting`` requests have none now, ``waited`` had to wait for one since the store was opened, ``waited_ms`` in all.
    ``writer`` says whether this process may write; on SQLite that is one connection more.
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
    """The vectors that this process holds of a SQLite store; none before they are needed.

    ``too_large`` is how many there are where ``limit`` bytes do not hold them, otherwise 0.
    """

    count: int
    dimension: int
    bytes: int
    limit: int
    too_large: int = 0


@dataclass(frozen=True, slots=True)
class Session:
    """A connection to the database, or a process that has the file open; ``mine`` is this process.

    ``state`` is None where the server shows it to others only. ``since`` is when it began; of a process, when that did.
    """

    pid: int
    application: str
    user: str
    state: str | None
    since: datetime | None
    mine: bool


@dataclass(frozen=True, slots=True)
class TableSize:
    """What one table takes on disk, in bytes: its rows, its indexes, and what lies outside its rows.

    ``rows`` and ``dead_rows`` are the server's estimates, and the times those of the last vacuum and analyze by
    whomever; None on SQLite, which keeps none.
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
    """How long one named query took since the store was opened; median and p95 are an eighth off at most."""

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
    """Is a store well, what does it run on, who is connected, what takes space, and which queries took long.

    A store that does not answer has only its health and ``queries``; those are of this process, the ones that took most
    time in all first. ``vectors`` is None where the database measures by itself; ``sizes`` come biggest first, and are
    None where they were not measured.
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
    """How many bytes a store took before a vacuum, and how many after it."""

    before: int
    after: int


MigrationState: TypeAlias = Literal["applied", "pending", "waiting"]


@dataclass(frozen=True, slots=True)
class MigrationInfo:
    """One schema migration: applied, pending, or waiting (for a model, or for a job that builds it last)."""

    version: int
    name: str
    state: MigrationState
    checksum: str
    applied_at: datetime | None = None
    duration_ms: float | None = None
    waits_for: str | None = None
