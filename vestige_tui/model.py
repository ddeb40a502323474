"""The words of this program: frozen values that every room shares. Imports nothing of ours.

Times are timezone-aware UTC datetimes, ids the strings that the store holds, vectors float32 arrays
of shape (dimension,).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypeVar, overload

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector: TypeAlias = NDArray[np.float32]

LOCAL_USER = "00000000-0000-0000-0000-000000000001"

Mode: TypeAlias = Literal["hybrid", "text", "vector", "literal"]
Sort: TypeAlias = Literal["created", "updated", "due"]
Visibility: TypeAlias = Literal["private", "group", "public"]
EventKind: TypeAlias = Literal["supersede", "unsupersede", "winner_deleted", "imported"]

T = TypeVar("T")


class Rating(IntEnum):
    """How well a memory was recalled (FSRS)."""

    AGAIN = 1
    HARD = 2
    GOOD = 3
    EASY = 4


@dataclass(frozen=True, slots=True)
class Scheduling:
    """FSRS state of one memory. ``stability`` in days, ``difficulty`` 1..10; ``reps`` 0 means new, never due.

    ``retrievability`` is the stored value, that of the last review; ``scheduling.retrievability`` gives the value now.
    """

    stability: float = 0.0
    difficulty: float = 0.0
    retrievability: float = 1.0
    last_review: datetime | None = None
    next_review: datetime | None = None
    reps: int = 0
    lapses: int = 0


@dataclass(frozen=True, slots=True)
class Marks:
    """What the console itself notes about a memory's reviews: suspended, or buried until a moment."""

    suspended: bool = False
    buried_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """One memory as the store holds it. ``id`` is the stored string, a UUID in all stores but some Vestige files."""

    id: str
    content: str
    node_type: str = "fact"
    tags: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    domain_scores: Mapping[str, float] = field(default_factory=dict)
    codebase: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    created_at: datetime | None = None
    updated_at: datetime | None = None
    owner_user_id: str = LOCAL_USER
    visibility: str = "private"
    shared_with_groups: tuple[str, ...] = ()
    superseded_by: str | None = None
    scheduling: Scheduling | None = None
    has_embedding: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """A memory to be written. Without ``id`` the store makes one; without times it takes now."""

    content: str
    id: str | None = None
    node_type: str = "fact"
    tags: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    domain_scores: Mapping[str, float] = field(default_factory=dict)
    codebase: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    created_at: datetime | None = None
    updated_at: datetime | None = None
    owner_user_id: str = LOCAL_USER
    visibility: str = "private"
    shared_with_groups: tuple[str, ...] = ()
    scheduling: Scheduling | None = None


@dataclass(frozen=True, slots=True)
class Patch:
    """What an edit changes; a field left at None stays as it is. ``codebase=""`` clears the codebase."""

    content: str | None = None
    node_type: str | None = None
    tags: tuple[str, ...] | None = None
    domains: tuple[str, ...] | None = None
    codebase: str | None = None
    visibility: str | None = None
    metadata: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Filter:
    """Which memories a question is about. Fields are ANDed; several values in one field are ORed."""

    domains: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    node_types: tuple[str, ...] = ()
    codebase: str | None = None
    owner: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    min_retrievability: float | None = None
    superseded: bool = False
    """Also those that another memory has replaced."""
    without_embedding: bool = False
    """Only those that lack a vector."""


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """A question. ``embedding`` spares the encoder: shape (dimension,), for the registered model."""

    text: str = ""
    embedding: Vector | None = None
    mode: Mode = "hybrid"
    limit: int = 10
    domains: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    node_types: tuple[str, ...] = ()
    codebase: str | None = None
    owner: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    min_retrievability: float | None = None
    superseded: bool = False
    without_embedding: bool = False

    @classmethod
    def within(cls, filter: Filter, text: str, *, mode: Mode = "hybrid", limit: int = 10) -> SearchQuery:
        """A question about the memories that a filter leaves."""
        return cls(text, mode=mode, limit=limit, **{each.name: getattr(filter, each.name) for each in fields(filter)})

    @property
    def filter(self) -> Filter:
        return Filter(
            domains=self.domains,
            tags=self.tags,
            node_types=self.node_types,
            codebase=self.codebase,
            owner=self.owner,
            since=self.since,
            until=self.until,
            min_retrievability=self.min_retrievability,
            superseded=self.superseded,
            without_embedding=self.without_embedding,
        )


@dataclass(frozen=True, slots=True)
class Hit:
    """One answer to a search. Ranks count from 1, None where the branch did not have it among its first ones.

    ``text_score`` is BM25's or a sum of idf x rank, ``vector_score`` the cosine, also of what only the other branch
    found. The shares, 0..1, are what each branch counts for with the figures of ``Fusion``; ``score``, 0..1, is their
    weighted mean (convex combination of normalised scores, Bruch 2023).
    """

    memory: Memory
    score: float
    text_rank: int | None = None
    text_score: float | None = None
    vector_rank: int | None = None
    vector_score: float | None = None
    text_share: float = 0.0
    vector_share: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer(Sequence[Hit]):
    """The hits of one search, best first, with the mode that was answered and what the person should know."""

    hits: tuple[Hit, ...]
    mode: Mode
    elapsed_ms: float
    warnings: tuple[str, ...] = ()

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Hit, ...]: ...
    def __getitem__(self, index: int | slice) -> Hit | tuple[Hit, ...]:
        return self.hits[index]

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)


@dataclass(frozen=True, slots=True)
class Fusion:
    """How two branches become one list. Each branch gives ``depth`` hits, and each of them has a share of both.

    Of words: its score / the best score. Of meaning: (its cosine - base) / (the best cosine - base), where base lies
    below the lowest cosine c of the branch by (1 - ``floor``) x abs(c). The weights add up to 1.
    """

    text_weight: float
    vector_weight: float
    floor: float
    depth: int


@dataclass(frozen=True, slots=True)
class Step:
    """One part of a search as it was done: ``what`` it was for, ``how`` in words, ``ms`` where it was timed alone."""

    what: str
    how: str
    ms: float | None = None


@dataclass(frozen=True, slots=True)
class QueryWord:
    """What became of one word or phrase of a query. ``documents``: how many memories hold it; ``weight``: its idf."""

    text: str
    use: Literal["ranked", "must", "must_not", "dropped"]
    documents: int | None = None
    weight: float | None = None


@dataclass(frozen=True, slots=True)
class FilterCount:
    """One filter of a query in words, ``type decision``, and how many memories pass it by itself."""

    text: str
    memories: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """A search laid open: the answer, and the two branches, words, filters and steps that it was made of.

    ``text`` and ``vector`` are the branches in their own order, ``fusion.depth`` long at most; ``passing`` of ``total``
    memories pass all filters.
    """

    query: str
    answer: Answer
    text: tuple[Hit, ...]
    vector: tuple[Hit, ...]
    words: tuple[QueryWord, ...]
    filters: tuple[FilterCount, ...]
    passing: int
    total: int
    fusion: Fusion
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class WhyNot:
    """Where one memory stands for a query, far beyond what the answer shows, and what keeps it from it.

    ``place`` counts from 1 in the fused list, None where no branch found it; ``hit`` has its ranks and scores;
    ``fails`` names the filters that it does not pass; ``missing`` the words that it does not hold; ``last`` is the
    score of the last hit of the answer, 0 where the answer was not full; ``reason`` says the matter in one sentence.
    """

    memory: Memory
    place: int | None
    hit: Hit | None
    fails: tuple[str, ...]
    missing: tuple[str, ...]
    last: float
    reason: str


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list; ``next`` is the cursor of the following page, None at the end."""

    items: tuple[T, ...]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class Review:
    """One row of the append-only review log. ``undoes`` names the row that this one takes back."""

    id: int
    memory_id: str
    at: datetime
    rating: int
    prior: Scheduling
    new: Scheduling
    undoes: int | None = None


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """How many memories wait: due before today, due today, due in the six days after, never reviewed (and how many
    of those are still offered today)."""

    overdue: int
    today: int
    week: int
    new: int
    new_today: int

    @property
    def due(self) -> int:
        """What is due now: overdue and today. New memories are offered, never due."""
        return self.overdue + self.today

    @property
    def offered(self) -> int:
        """What a sitting would show now: what is due, and today's share of the new ones."""
        return self.due + self.new_today


@dataclass(frozen=True, slots=True)
class Edge:
    """A directed link between two memories; ``weight`` 0..1."""

    source_id: str
    target_id: str
    edge_type: str = "related"
    weight: float = 1.0
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Neighbor:
    """A memory reached over edges: the best product of weights along any path, and how many edges that path has."""

    memory: Memory
    weight: float
    depth: int


@dataclass(frozen=True, slots=True)
class ModelSignature:
    """Which embedding model the vectors of a store come from."""

    name: str
    dimension: int
    hash: str = ""
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class VectorCensus:
    """What vectors are really there: count by width, memories without one, unusable ones of the registered width."""

    by_width: Mapping[int, int]
    without: int
    zero: int
    non_finite: int


@dataclass(frozen=True, slots=True)
class SupersessionEvent:
    """One row of the append-only log: since ``decided_at`` ``winner_id`` (None: nothing) replaces ``loser_id``."""

    id: int
    loser_id: str
    winner_id: str | None
    kind: str
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class Lineage:
    """A memory and those that it replaced, each with what it replaced in turn."""

    memory: Memory
    replaces: tuple[Lineage, ...] = ()


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One change by a person, with what was there before and after (plain JSON data)."""

    id: int
    at: datetime
    actor: str
    verb: str
    before: Any
    after: Any
    undone_by: int | None = None

    @property
    def ids(self) -> tuple[str, ...]:
        """The memories that this entry changed."""
        rows: list[Mapping[str, Any]] = list(self.after or []) or list(self.before or [])
        return tuple(str(row["id"]) for row in rows)


@dataclass(frozen=True, slots=True)
class Change:
    """What a command changed, and the journal entry that takes it back."""

    changed: tuple[str, ...]
    undo: int | None = None
    scheduling: Scheduling | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeletePreview:
    """What a delete would take along: edges and reviews lost, memories that would come back (their winner goes)."""

    memories: tuple[Memory, ...]
    edges: int
    reviews: int
    resurrected: tuple[Memory, ...]


@dataclass(frozen=True, slots=True)
class Facet:
    """One value that memories can be filtered by, with the number of memories that have it.

    ``alias`` stands for the value in a filter and ``title`` is its name in full: an owner's handle and display name.
    """

    value: str
    count: int
    alias: str = ""
    title: str = ""


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
class Concern:
    """What is the matter with a store, and what to do about it: a sentence each, the second empty where none helps."""

    what: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """``state`` is healthy, degraded or unavailable; the concerns say why."""

    state: Literal["healthy", "degraded", "unavailable"]
    concerns: tuple[Concern, ...] = ()
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
class Occupied:
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
    sizes: tuple[Occupied, ...] | None
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


JobStatus: TypeAlias = Literal["queued", "dispatched", "in_progress", "completed", "failed", "stuck"]


@dataclass(frozen=True, slots=True)
class TableProgress:
    """Rows of one table in a job. For each table, at the end of a copy: read = inserted + present + failed.

    ``repaired`` counts among inserted; ``left_behind`` is a table that the target has no place for; ``total`` is what
    there was to read when the job began (None: not counted yet). ``updated`` and ``deleted`` are what a copy brought of
    later changes of its source. A comparison counts what it compared as ``read``, and ``differ``, ``only_source`` and
    ``only_target``.
    """

    read: int = 0
    inserted: int = 0
    present: int = 0
    repaired: int = 0
    failed: int = 0
    left_behind: int = 0
    total: int | None = None
    updated: int = 0
    deleted: int = 0
    differ: int = 0
    only_source: int = 0
    only_target: int = 0


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far a job is. ``rate`` in rows a second, ``eta`` in seconds, ``rates`` the recent rates, oldest first."""

    phase: str = ""
    tables: Mapping[str, TableProgress] = field(default_factory=dict)
    rate: float | None = None
    eta: float | None = None
    rates: tuple[float, ...] = ()
    zero_vectors: int = 0


LEASE_SECONDS = 30
"""A worker that gave no sign for so long is gone, and another one may take its job up."""


@dataclass(frozen=True, slots=True)
class Job:
    """One delegation: a job of ours (``kind`` copy), or work that an agent was given (``kind`` delegation).

    ``id`` is the delegation_id; ``store`` says in which store the row lies; source and target carry no password.
    """

    id: str
    kind: str
    status: str
    store: str
    task: str = ""
    source: str = ""
    target: str = ""
    plan: str | None = None
    attempt: int = 1
    """Which of all attempts of the plan."""
    tries: int = 1
    """Which of those that go on from one another: 1 where it began anew."""
    owner: str = ""
    progress: JobProgress = field(default_factory=JobProgress)
    created_at: datetime | None = None
    updated_at: datetime | None = None
    last_heartbeat: datetime | None = None
    deadline: datetime | None = None
    finished_at: datetime | None = None
    error: str | None = None
    result: str | None = None
    cancel_requested: bool = False
    caller: str = ""
    callee: str = ""
    retry_count: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    """What a job of ours was told besides source and target, so that it can be taken up anywhere."""

    @property
    def resumed(self) -> bool:
        """Did it go on from where an earlier attempt was?"""
        return self.tries > 1

    @property
    def resumable(self) -> bool:
        """Does its next attempt go on from its checkpoint? A comparison, and a repair by one, begin anew."""
        return self.kind not in ("verify", "repair")

    @property
    def in_flight(self) -> bool:
        """Not ended yet; ``stuck`` can recover."""
        return self.status not in ("completed", "failed")

    def silence(self, now: datetime) -> float | None:
        """For how many seconds a job of ours gave no sign of life; None while that is no reason to worry.

        What an agent does may give signs as seldom as it likes: the ledger decides when that is stuck.
        """
        sign = self.last_heartbeat or self.created_at
        if not self.in_flight or self.kind == "delegation" or sign is None:
            return None
        seconds = (now - sign).total_seconds()
        return seconds if seconds > LEASE_SECONDS else None


FindingKind: TypeAlias = Literal[
    "repaired",
    "failed",
    "left_behind",
    "zero_vector",
    "differs",
    "only_source",
    "only_target",
    "updated",
    "deleted",
]


@dataclass(frozen=True, slots=True)
class JobFinding:
    """What became of one row of a job that could not simply be copied, or that differs on both sides."""

    subject: str
    outcome: FindingKind
    source_key: str
    reason: str


@dataclass(frozen=True, slots=True)
class SpareVectors:
    """The vectors of a second model that a store holds: those being made for it, or those of the model before."""

    model: ModelSignature
    role: Literal["building", "kept"]
    vectors: int


@dataclass(frozen=True, slots=True)
class ModelChange:
    """A store came to belong to another model; ``memories`` got new vectors in ``seconds``."""

    kind: Literal["reembed", "in_place", "rollback"]
    before: ModelSignature
    after: ModelSignature
    memories: int
    seconds: float
    changed_at: datetime
    job_id: str | None = None
