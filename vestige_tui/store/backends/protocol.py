"""The few verbs that a database must offer the service, each by query name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import ModelSignature, Vector
    from vestige_tui.core.health import Connections, VectorsHeld
    from vestige_tui.core.search import Fusion, SearchStep
    from vestige_tui.store.backends.query_timings import Timings
    from vestige_tui.store.schema.named_sql import Dialect, Slots

Row: TypeAlias = Mapping[str, Any]
Params: TypeAlias = Mapping[str, Any]
ModelKey: TypeAlias = tuple[str, int]
"""Which model a vector is of: name and dimension, as the registry spells them."""


def model_key(model: ModelSignature | None) -> ModelKey | None:
    """By what the vectors of a model are told from those of another one."""
    return None if model is None else (model.name, model.dimension)


@dataclass(frozen=True, slots=True)
class Json:
    """A value that is stored as JSON, told apart from a list, which is an array where the database has those."""

    value: Any


@dataclass(frozen=True, slots=True)
class BackendQuery:
    """A search as a backend answers it.

    ``words`` rank (none: no branch by words; ``newest`` lists the newest instead), ``vector`` is of ``model``,
    ``literal`` a string that has to occur as it stands. ``filters`` are names of blocks, ``params`` their values.
    ``pieces`` are strings of a script without spaces: the more of them occur, the better, in place of words.
    ``limit`` rows are wanted, or the one row of ``only``, wherever it stands.
    """

    words: tuple[str, ...]
    vector: Vector | None
    literal: str | None
    newest: bool
    filters: tuple[str, ...]
    params: Params
    fusion: Fusion
    limit: int
    only: str | None = None
    far: int = 0
    """How many hits each branch gives where that is more than counts; shares stay those of the ones that count."""
    pieces: tuple[str, ...] = ()
    exact: bool = False
    """Measure everything, whatever it costs."""
    model: ModelKey | None = None

    @property
    def depth(self) -> int:
        """How many hits each branch gives."""
        return max(self.far, self.fusion.depth)


@dataclass(frozen=True, slots=True)
class BackendResult:
    """The rows of a search, best first: memories with place, score, and rank, score and share of either branch."""

    rows: list[Row]
    steps: tuple[SearchStep, ...]
    warnings: tuple[str, ...] = ()
    """What kept a branch from answering, in sentences."""
    model: ModelKey | None = None
    """Which model the vectors are of that a vector was compared with. Where that is another one, rows mean nothing."""


@dataclass(frozen=True, slots=True)
class BackendStatus:
    """What a backend knows of itself without asking its database.

    ``sessions`` are the numbers that the server gave this process's own; the rest is of a file: where it is, its
    permissions, the size of its write-ahead log, and what a Vestige server made of it.
    """

    connections: Connections
    sessions: tuple[int, ...] = ()
    vectors: VectorsHeld | None = None
    path: str = ""
    mode: str = ""
    wal_bytes: int = 0
    line: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Write:
    """One named write with its values; ``many`` instead of ``params`` runs it once for each of them."""

    name: str
    params: Params | None = None
    many: Sequence[Params] | None = None


class Transaction(Protocol):
    """One write in progress: everything in it happens, or nothing does."""

    async def fetch(self, name: str, params: Params | None = None, slots: Slots | None = None) -> list[Row]:
        """The rows of a named query."""
        ...

    async def execute(self, name: str, params: Params | None = None, slots: Slots | None = None) -> int:
        """How many rows a named write changed."""
        ...

    async def execute_many(self, name: str, many: Sequence[Params]) -> int:
        """Run a named write once for each set of values, in one trip; gives how many rows changed in all."""
        ...

    async def script(self, sql: str) -> None:
        """The statements of a migration file, one after the other."""
        ...


class Backend(Protocol):
    """A database that holds a store. A cancelled read stops in the database; errors are ``VestigeError``s.

    Values go in as Python's own (datetime, list, dict, float32 array) and come out as the driver gives them:
    ``rows`` reads either spelling.
    """

    dialect: Dialect
    read_only: bool
    reason: str
    """Why it is read-only; empty where it is not."""
    lowest_id: str
    """Sorts before the id of every memory."""
    foreign: bool
    """A file that a Vestige server made: its times are text of several spellings."""

    timings: Timings
    """How long its queries took."""

    @property
    def title(self) -> str:
        """Where the store is, without a password."""
        ...

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def fetch(self, name: str, params: Params | None = None, slots: Slots | None = None) -> list[Row]:
        """The rows of a named query, read outside any write."""
        ...

    def write(self) -> AbstractAsyncContextManager[Transaction]:
        """Begin a write; leaving the block commits, an exception takes all of it back."""
        ...

    async def write_all(self, writes: Sequence[Write]) -> list[list[Row]]:
        """Several named writes as one, in one trip: all of them happen, or nothing does.

        Gives the rows of each; none for one that ran for many.
        """
        ...

    async def maintain(self, name: str, table: str = "") -> None:
        """Run a named statement that refuses to be part of a transaction, about a table where it has a place for one.

        Cancelling it ends it in the database.
        """
        ...

    async def reopen(self) -> None:
        """Connect anew, as after the schema brought new types."""
        ...

    def use_model(self, model: ModelSignature | None) -> None:
        """The vectors of this store are of this model from now on."""
        ...

    async def search(self, asked: BackendQuery) -> BackendResult:
        """Both branches of a search fused, and the memories read.

        Raises nothing where the store belongs to another model than the vector by now: ``BackendResult.model`` tells.
        """
        ...

    async def word_counts(self, words: Sequence[str]) -> list[tuple[int, float]]:
        """How many memories hold each of these words or phrases, and what it weighs in the ranking (its idf)."""
        ...

    async def warm(self) -> None:
        """Make ready what searches need, so that the first one need not wait for it."""
        ...

    async def change_token(self) -> object:
        """Something that differs once anybody has changed the store."""
        ...

    async def wait_for_change(self, seconds: float) -> bool:
        """Wait until anybody, this process included, has changed the store; False where nobody did for so long.

        For one watcher. The first wait, and the first one after an outage, end at once.
        """
        ...

    def match(self, words: Sequence[str], *, every: bool) -> object:
        """Words and phrases as the text index wants them: all of them, or any."""
        ...

    def is_id(self, text: str) -> bool:
        """Can this be the id of a memory here?"""
        ...

    def prefix_range(self, prefix: str) -> tuple[str, str] | None:
        """The lowest and the highest id that a prefix stands for; None where no id begins so."""
        ...

    def location(self) -> str:
        """The URL by which another process opens the same store, without a password."""
        ...

    def pool_state(self) -> str:
        """The connections in use, in words."""
        ...

    def inside(self) -> BackendStatus:
        """Its connections, and what it holds in memory."""
        ...
