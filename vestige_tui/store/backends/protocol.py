"""The protocol of a backend: the few operations that the services need, each by the name of a query."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from vestige_tui.core.errors import Usage

if TYPE_CHECKING:
    from vestige_tui.core.doctor import Image, RowKey
    from vestige_tui.core.embeddings import ModelSignature, Vector
    from vestige_tui.core.health import Connections, HealthProblem, PostgresServer, Session, SqliteFile, VectorsHeld
    from vestige_tui.core.search import Fusion, SearchStep
    from vestige_tui.store.backends.inspection import Inspection
    from vestige_tui.store.backends.query_timings import Timings
    from vestige_tui.store.schema.named_sql import Dialect, Slots
    from vestige_tui.store.waits import Waits

Row: TypeAlias = Mapping[str, Any]
Params: TypeAlias = Mapping[str, Any]
MAX_INTEGER = 2**63 - 1
"""Largest integer of SQLite, and of a bigint of PostgreSQL."""
ModelKey: TypeAlias = tuple[str, int]
"""Model of a vector: name and dimension, as the registry spells them."""


def model_key(model: ModelSignature | None) -> ModelKey | None:
    """Return the key that tells the vectors of a model from those of another one."""
    return None if model is None else (model.name, model.dimension)


def fitting(number: int) -> int:
    """Return a number that every store can hold: one of 64 bits. Raises Usage."""
    if not -MAX_INTEGER - 1 <= number <= MAX_INTEGER:
        raise Usage("This number has more than 64 bits; use a smaller one.")
    return number


@dataclass(frozen=True, slots=True)
class Json:
    """A value that is stored as JSON; a plain list becomes an array where the database has those."""

    value: Any


@dataclass(frozen=True, slots=True)
class BackendQuery:
    """A search as a backend runs it.

    ``words`` rank (none: no text branch; ``newest`` lists the newest instead), ``vector`` is of ``model``, ``literal``
    is a string that must occur as it stands. ``filters`` are names of blocks, ``params`` their values. ``pieces`` are
    strings of a script without spaces that rank in place of words, with the ``spaced`` words beside them: the more of
    them occur, the better. ``limit`` rows are returned, or the one row of ``only``, at any rank.
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
    extended_depth: int = 0
    """Hits of each branch where more are needed than are ranked; the shares stay those of the ranked ones."""
    pieces: tuple[str, ...] = ()
    spaced: tuple[str, ...] = ()
    exact: bool = False
    """Measure every vector and rank every match, at any cost."""
    model: ModelKey | None = None

    @property
    def depth(self) -> int:
        """Return the number of hits of each branch."""
        return max(self.extended_depth, self.fusion.depth)

    def statement_params(self) -> dict[str, Any]:
        """Return the values of the statement that fuses both branches, without those of a branch."""
        return {
            **self.params,
            "depth": self.depth,
            "counted": self.fusion.depth,
            "limit": self.limit,
            "only": self.only,
            "text_weight": self.fusion.text_weight,
            "vector_weight": self.fusion.vector_weight,
            "floor": self.fusion.floor,
        }


@dataclass(frozen=True, slots=True)
class BackendResult:
    """Rows of a search, best first: memories with place, score, and rank, score and share of either branch."""

    rows: list[Row]
    steps: tuple[SearchStep, ...]
    warnings: tuple[str, ...] = ()
    """Why a branch did not answer, in sentences."""
    model: ModelKey | None = None
    """Model of the vectors that the query's vector was compared with. The rows are void where it is not the query's."""


@dataclass(frozen=True, slots=True)
class BackendStatus:
    """State of a backend, without a question to its database.

    ``sessions`` are the server's numbers of this process's own sessions; the rest is of a file: its path, its
    permissions, the size of its write-ahead log, and the schema line and notes of a Vestige file.
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
class Capabilities:
    """Differences between databases that services and jobs depend on; nothing else asks which database it is."""

    product: str
    """Name of the database."""
    is_server: bool
    """A server with clients of its own, not a file of this machine."""
    typed_vectors: bool
    """The width of the vectors is part of a column's type, and their index is part of the database."""
    computes_vectors: bool
    """The database itself computes norms, averages and cosines of vectors."""
    binary_copy: bool
    """Rows are loaded in bulk in binary form, and compared by digests that the database computes."""
    revised_stems: bool
    """The text index stems by Porter's later rules."""
    reports_progress: bool
    """The database reports how far a long statement is, such as the build of an index."""
    no_answer_remedy: str
    """Sentence for a store that does not answer."""


@dataclass(frozen=True, slots=True)
class BackendReport:
    """Description of a database: its server or file, and the other programs that have it open.

    ``measurable``: the sizes of its tables can be measured at once.
    """

    server: PostgresServer | SqliteFile
    sessions: tuple[Session, ...]
    measurable: bool


@dataclass(frozen=True, slots=True)
class VacuumStep:
    """One step of a vacuum: its label, and the statement and table for ``maintain``."""

    label: str
    statement: str
    table: str = ""


@dataclass(frozen=True, slots=True)
class Write:
    """One named write with its values; with ``many`` instead of ``params`` it runs once for each of them."""

    name: str
    params: Params | None = None
    many: Sequence[Params] | None = None


BeforeImages: TypeAlias = Mapping[Any, Any]
"""Values of the rows of a Vestige server before a change; only its backend looks into it."""


class Transaction(Protocol):
    """One write in progress: all of it is committed, or none."""

    @property
    def foreign(self) -> bool:
        """Whether the file is that of a Vestige server, which writes to it as well."""
        ...

    async def fetch(self, name: str, params: Params | None = None, slots: Slots | None = None) -> list[Row]:
        """Return the rows of a named query."""
        ...

    async def execute(self, name: str, params: Params | None = None, slots: Slots | None = None) -> int:
        """Run a named write and return the number of changed rows."""
        ...

    async def execute_many(self, name: str, many: Sequence[Params]) -> int:
        """Run a named write once for each set of values, in one trip; return the number of changed rows in all."""
        ...

    async def script(self, sql: str) -> None:
        """Run the statements of a migration file, one after the other."""
        ...

    async def row_keys(self, keys: Sequence[RowKey]) -> list[RowKey]:
        """Return keys by the number of a row as keys by the primary key, where its table has one."""
        ...

    async def read_rows(self, keys: Sequence[RowKey]) -> list[Image | None]:
        """Return whole rows of any table; None for one that is not there."""
        ...

    async def write_rows(self, rows: Sequence[tuple[RowKey, Image | None]]) -> None:
        """Insert, update or delete whole rows, each named once, so that it is as its image; None deletes."""
        ...

    def orphans_allowed(self, tables: Sequence[str]) -> AbstractAsyncContextManager[None]:
        """Allow rows of these tables without a parent in a block. Raises Refused for a role without the right to.

        The write must have been begun with ``orphans``.
        """
        ...

    async def note_parents(self, tables: Sequence[str]) -> None:
        """Note that all rows of these tables have a parent again, where the database keeps such a note."""
        ...

    async def images_of(self, entry: int) -> BeforeImages:
        """Return the values of a server's rows that an entry of the journal has overwritten, before its undo.

        Empty for a store of our own, of which a snapshot restores every value.
        """
        ...

    async def restore_images(self, images: BeforeImages, without_vector: Collection[str]) -> None:
        """Write these values after the undo, but the vectors of some memories, which are of another model."""
        ...


class Backend(Protocol):
    """A database that holds a store. A cancelled read stops in the database; errors are ``VestigeError``s.

    Values go in as Python's own (datetime, list, dict, float32 array) and come out as the driver returns them: ``rows``
    reads either spelling.
    """

    dialect: Dialect
    """Folder of its SQL."""
    capabilities: Capabilities
    lowest_id: str
    """Sort key before the id of every memory."""
    foreign: bool
    """Whether it is a Vestige file, in which times are text of several spellings."""
    logs_reviews: bool
    """False for a Vestige file that is not adopted: its server keeps no log of reviews for the console."""
    adoptable: bool
    """Whether it is a Vestige file that is read-only only until it is adopted."""

    timings: Timings
    """Durations of its queries."""

    @property
    def inspection(self) -> Inspection:
        """Return its examination by the doctor, beyond the named queries."""
        ...

    @property
    def waits(self) -> Waits:
        """Return its waits that last now."""
        ...

    @property
    def title(self) -> str:
        """Return the address of the store, without a password."""
        ...

    @property
    def read_only(self) -> bool: ...

    @property
    def reason(self) -> str:
        """Return the reason why it is read-only; empty where it is not."""
        ...

    @property
    def keeps_accounts(self) -> bool:
        """Return whether memories have owners here: not in a Vestige file before it is adopted."""
        ...

    @property
    def pooled(self) -> bool:
        """Return whether a pooler lends it sessions of the server, each for one transaction only."""
        ...

    def second_backend(self) -> Backend | None:
        """Return another backend of this store, not yet opened: one session that is its own, for settings and locks.

        None where only a pooler leads to the store.
        """
        ...

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def fetch(self, name: str, params: Params | None = None, slots: Slots | None = None) -> list[Row]:
        """Return the rows of a named query, read outside any write."""
        ...

    def write(self, *, orphans: bool = False) -> AbstractAsyncContextManager[Transaction]:
        """Begin a write; leaving the block commits, an exception rolls back.

        ``orphans``: rows without their parents may be written, and a deletion deletes no other rows.
        """
        ...

    async def write_all(self, writes: Sequence[Write]) -> list[list[Row]]:
        """Run several named writes as one transaction, in one trip.

        Returns the rows of each; none for one with ``many``.
        """
        ...

    async def describe(self, *, thorough: bool) -> BackendReport:
        """Describe the database; ``thorough`` makes the tables of a file of any size measurable."""
        ...

    def file_problems(self) -> Sequence[HealthProblem]:
        """Return the problems of the files of a store, without a question to them; none for a server."""
        ...

    async def find_damage(self, seconds: float) -> str:
        """Return the first damage of the pages of a file that is found within the time; empty if there is none."""
        ...

    async def vacuum_steps(self) -> Sequence[VacuumStep]:
        """Return the steps of a vacuum. Raises Refused where the role may not vacuum any table."""
        ...

    async def maintain(self, name: str, table: str = "") -> None:
        """Run a named statement that cannot be part of a transaction, on a table where it takes one.

        Cancelling it stops it in the database.
        """
        ...

    async def reopen(self) -> None:
        """Reconnect, as after a migration that added types."""
        ...

    async def read_without(self, versions: Sequence[int], reason: str) -> None:
        """Make the store read-only for ``reason``, and readable although these migrations are pending.

        Queries find the tables of the migrations empty, and their columns with the default values.
        """
        ...

    async def view_as(self, user_id: str, reason: str) -> None:
        """Make the store read-only for ``reason``, and let every query find only the rows that this user may see.

        Also the ranking of a search is as if the other memories did not exist.
        """
        ...

    def use_model(self, model: ModelSignature | None) -> None:
        """Set the model that the vectors of this store belong to."""
        ...

    def use_index(self, definition: str) -> None:
        """Build an index of new vectors by this definition, as the database spells it: method, columns, options."""
        ...

    def indexed(self, sql: str) -> str:
        """Return a statement with the kind and the definition of the vector index in its placeholders."""
        ...

    async def search(self, query: BackendQuery) -> BackendResult:
        """Run both branches of a search, fuse them, and read the memories.

        Returns instead of raising where the store has come to belong to another model: ``BackendResult.model`` tells.
        """
        ...

    async def word_counts(self, words: Sequence[str]) -> list[tuple[int, float]]:
        """Return for each word or phrase the number of memories that hold it, and its weight in the ranking (idf)."""
        ...

    async def warm(self) -> None:
        """Prepare for searches, so that the first one need not wait."""
        ...

    async def change_token(self) -> object:
        """Return the change token: a value that differs once the store has changed."""
        ...

    async def wait_for_change(self, seconds: float) -> bool:
        """Wait until any process, this one included, has changed the store; False where none does within the time.

        For one watcher. The first wait, and the first one after an outage, end at once.
        """
        ...

    def match(self, words: Sequence[str], *, every: bool) -> object:
        """Return a full-text expression for words and phrases: all of them, or any."""
        ...

    def is_id(self, text: str) -> bool:
        """Check whether this can be the id of a memory here."""
        ...

    def prefix_range(self, prefix: str) -> tuple[str, str] | None:
        """Return the lowest and the highest id with this prefix; None where no id can have it."""
        ...

    def location(self) -> str:
        """Return the URL by which another process opens the same store, without a password."""
        ...

    def pool_state(self) -> str:
        """Return the connections in use, in words."""
        ...

    def status(self) -> BackendStatus:
        """Return its connections, and the vectors that it holds in memory."""
        ...
