"""Table of the tables: each copied table is described here once, in the order of a copy.

The statements of a copy (``copy_sql``), the keys of rows, their digests, the values of a SQLite file and the texts of
findings all follow from it. A row has its values in the order of its columns: stored columns first, then derived ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from vestige_tui.transfer import convert
from vestige_tui.transfer.codecs import (
    BOOLEAN,
    DOUBLE,
    EMBEDDING,
    INTEGER,
    JSON,
    MOMENT,
    SMALLINT,
    TEXT,
    TEXTS,
    UUID,
    UUIDS,
    VECTOR,
)

if TYPE_CHECKING:
    from vestige_tui.transfer.codecs import Codec
    from vestige_tui.transfer.convert import Convert


@dataclass(frozen=True, slots=True)
class Column:
    """Value of a row."""

    name: str
    codec: Codec
    unique: bool = False
    """True where a value that another row of the target has gets the head of the row's id appended."""
    nullable_key: bool = False
    """True for a part of the key that may be NULL."""
    derived: bool = False
    """True for a value that reads compute and the table does not store."""
    shown: bool = True
    """True where findings give the value, if its codec can."""
    references: str = ""
    """Table of the rows that its ids name, as it is stored; empty where they name memories, or the row itself."""


@dataclass(frozen=True, slots=True)
class Parent:
    """Reference to the row that owns a row: without that one it cannot exist."""

    column: str
    table: str
    version: str = ""
    """Column with the version of the parent that the row belongs to; empty where it belongs to any."""


@dataclass(frozen=True, eq=False)
class Table:
    """Copied table. Instances compare by identity, so that they can be keys of a cache."""

    name: str
    """Name in progress, findings and checkpoints."""
    stored_as: str
    """Name in both databases."""
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    """Columns that identify a row, in the order of its key."""
    convert: Convert
    """Converter of a raw row of a SQLite file."""
    parents: tuple[Parent, ...] = ()
    orphan_reason: str = "its memory does not exist"
    """Reason to refuse a row without one of its parents."""
    version: str = ""
    """Column that every edit changes."""
    time: str = ""
    """Column with the time of a line, for a log. Logs are append-only, and the ids of lines differ between stores: a
    line is identified by its values and by ``alike``, the number of equal lines before it."""
    link: str = ""
    """Column that is set where a line references another one of its log."""
    parallel: bool = False
    """True where two batches of a copy into an empty server may be written at once."""
    read_by_number: bool = False
    """True where a SQLite file is read in the order of its row numbers."""
    row_name: str = "{0}"
    """Name of a row in findings, from its values by position among the columns."""
    line_name: str = ""
    """The same for a line of a log whose number in the source is known."""
    blocks: Mapping[str, str] = field(default_factory=dict)
    """SQL blocks that replace the common one of a verb: {verb: block}."""

    @property
    def log(self) -> bool:
        return bool(self.time)

    @property
    def owned(self) -> bool:
        """True where rows belong to rows of other tables, which may be missing."""
        return bool(self.parents)

    @property
    def embedded(self) -> bool:
        """True for vectors of the registered model: left out where the target encodes the texts itself."""
        return bool(self.embedding_positions)

    @property
    def versioned_parent(self) -> Parent | None:
        """Parent of which a row belongs to one version."""
        return next((parent for parent in self.parents if parent.version), None)

    @property
    def staged_only(self) -> bool:
        """True where rows are never copied directly, because a value may change on the way."""
        return any(column.unique for column in self.columns)

    @property
    def updatable(self) -> bool:
        """True where a row has values beside its key."""
        return any(column.name not in self.key for column in self.stored)

    @cached_property
    def stored(self) -> tuple[Column, ...]:
        """Columns of the table itself, the first ones of a row."""
        return tuple(column for column in self.columns if not column.derived)

    @cached_property
    def key_columns(self) -> tuple[Column, ...]:
        return tuple(self.columns[position] for position in self.key_positions)

    @cached_property
    def key_positions(self) -> tuple[int, ...]:
        return tuple(self.position(name) for name in self.key)

    @cached_property
    def key_parts(self) -> tuple[tuple[int, int], ...]:
        """Position of each part of a key among the columns, and its bytes; 0 takes the rest."""
        return tuple((position, self.columns[position].codec.key_bytes or 0) for position in self.key_positions)

    @cached_property
    def compared(self) -> tuple[Column, ...]:
        """Columns of a shown row: all but the version of a parent."""
        version = self.versioned_parent
        return tuple(column for column in self.columns if version is None or column.name != version.version)

    @cached_property
    def digested(self) -> tuple[Column, ...]:
        """Columns in a row's digest: neither its key nor values that have several equal spellings."""
        return tuple(
            column
            for column in self.compared
            if column.name not in self.key and column.codec is not JSON and not column.unique
        )

    @cached_property
    def digested_positions(self) -> tuple[tuple[int, Codec], ...]:
        """Position and codec of each digested column."""
        return tuple((self.position(column.name), column.codec) for column in self.digested)

    @cached_property
    def unique_positions(self) -> tuple[int, ...]:
        return tuple(position for position, column in enumerate(self.columns) if column.unique)

    @cached_property
    def sent(self) -> tuple[Column, ...]:
        """Columns that a comparison sends as they are, beside the digest."""
        return tuple(column for column in self.columns if column.codec is JSON or column.unique)

    def position(self, name: str) -> int:
        """Return the position of a column in a row."""
        return next(position for position, column in enumerate(self.columns) if column.name == name)

    @cached_property
    def version_position(self) -> int | None:
        return self.position(self.version) if self.version else None

    @cached_property
    def json_positions(self) -> tuple[int, ...]:
        return self._positions(JSON)

    @cached_property
    def id_columns(self) -> tuple[tuple[int, Column, str], ...]:
        """Columns that hold ids, each with its position and the table of the rows that these name."""
        return tuple(
            (position, column, column.references or (self.stored_as if column.name == "id" else "knowledge_nodes"))
            for position, column in enumerate(self.columns)
            if column.codec in (UUID, UUIDS)
        )

    @cached_property
    def own_metadata_position(self) -> int | None:
        """Position of the metadata in which a row notes an id that a copy has changed; None where it has no such id."""
        return self.position("metadata") if self.key == ("id",) and self.key_columns[0].codec is UUID else None

    @cached_property
    def double_positions(self) -> tuple[int, ...]:
        return self._positions(DOUBLE)

    @cached_property
    def embedding_positions(self) -> tuple[int, ...]:
        return self._positions(EMBEDDING)

    def _positions(self, codec: Codec) -> tuple[int, ...]:
        return tuple(position for position, column in enumerate(self.columns) if column.codec is codec)


_PERSON = (
    Column("id", UUID),
    Column("handle", TEXT, unique=True),
    Column("display_name", TEXT),
    Column("created_at", MOMENT),
    Column("metadata", JSON),
)

USERS = Table("users", "users", _PERSON, ("id",), convert.user, blocks={"any": "any_user", "delete": "delete_users"})
GROUPS = Table("groups", "groups", _PERSON, ("id",), convert.group)
MEMBERSHIPS = Table(
    "memberships",
    "group_memberships",
    (
        Column("user_id", UUID, references="users"),
        Column("group_id", UUID, references="groups"),
        Column("role", TEXT),
        Column("joined_at", MOMENT),
    ),
    ("user_id", "group_id"),
    convert.membership,
    parents=(Parent("user_id", "users"), Parent("group_id", "groups")),
    orphan_reason="its user or group does not exist",
    row_name="{0} in {1}",
)
DOMAINS = Table(
    "domains",
    "domains",
    (
        Column("id", TEXT),
        Column("label", TEXT),
        Column("centroid", VECTOR),
        Column("top_terms", TEXTS),
        Column("memory_count", INTEGER),
        Column("created_at", MOMENT),
        Column("metadata", JSON),
    ),
    ("id",),
    convert.domain,
    blocks={"count": "count_named", "read": "read_named"},
)
MEMORIES = Table(
    "memories",
    "knowledge_nodes",
    (
        Column("id", UUID),
        Column("content", TEXT),
        Column("node_type", TEXT),
        Column("tags", TEXTS),
        Column("metadata", JSON),
        Column("domains", TEXTS),
        Column("domain_scores", JSON),
        Column("codebase", TEXT),
        Column("owner_user_id", UUID, references="users"),
        Column("visibility", TEXT),
        Column("shared_with_groups", UUIDS, references="groups"),
        Column("created_at", MOMENT),
        Column("updated_at", MOMENT),
    ),
    ("id",),
    convert.memory,
    version="updated_at",
    parallel=True,
    read_by_number=True,
    blocks={
        "settle": "settle_memory",
        "free": "free_memory",
        "count": "count_memories",
        "read": "read_memories",
        "rows": "rows_memories",
    },
)
VECTORS = Table(
    "vectors",
    "node_embeddings",
    (Column("node_id", UUID), Column("embedding", EMBEDDING), Column("updated_at", MOMENT, derived=True)),
    ("node_id",),
    convert.vector,
    parents=(Parent("node_id", "memories", version="updated_at"),),
    parallel=True,
    blocks={
        "orphans": "orphan_vectors",
        "merge": "merge_vectors",
        "update": "update_vectors",
        "settle": "settle_vectors",
        "read": "read_vectors",
        "rows": "rows_vectors",
    },
)
SCHEDULING = Table(
    "scheduling",
    "scheduling",
    (
        Column("memory_id", UUID),
        Column("stability", DOUBLE),
        Column("difficulty", DOUBLE),
        Column("retrievability", DOUBLE),
        Column("last_review", MOMENT),
        Column("next_review", MOMENT),
        Column("reps", INTEGER),
        Column("lapses", INTEGER),
    ),
    ("memory_id",),
    convert.schedule,
    parents=(Parent("memory_id", "memories"),),
    parallel=True,
)
EDGES = Table(
    "edges",
    "edges",
    (
        Column("source_id", UUID),
        Column("target_id", UUID),
        Column("edge_type", TEXT),
        Column("weight", DOUBLE),
        Column("created_at", MOMENT),
    ),
    ("source_id", "target_id", "edge_type"),
    convert.edge,
    parents=(Parent("source_id", "memories"), Parent("target_id", "memories")),
    orphan_reason="one of its memories does not exist",
    parallel=True,
    row_name="{0} to {1}, {2}",
)
REVIEWS = Table(
    "reviews",
    "review_events",
    (
        Column("memory_id", UUID),
        Column("timestamp", MOMENT),
        Column("rating", SMALLINT),
        Column("prior_state", JSON),
        Column("new_state", JSON),
        Column("weights_hash", TEXT),
        Column("alike", INTEGER, derived=True),
        Column("undone_memory_id", UUID, derived=True, shown=False),
        Column("undone_timestamp", MOMENT, derived=True),
        Column("undone_rating", SMALLINT, derived=True),
        Column("undone_alike", INTEGER, derived=True, shown=False),
    ),
    ("memory_id", "timestamp", "rating", "alike"),
    convert.review,
    parents=(Parent("memory_id", "memories"),),
    time="timestamp",
    link="undone_memory_id",
    read_by_number=True,
    row_name="review of {0} at {1}",
    line_name="review {number} of {0}",
    blocks={
        "lines": "review_lines",
        "read": "read_reviews",
        "rows": "rows_reviews",
        "update": "update_reviews",
        "link": "link_reviews",
    },
)
SUPERSESSION = Table(
    "supersession",
    "supersession_events",
    (
        Column("loser_id", UUID),
        Column("winner_id", UUID, nullable_key=True),
        Column("kind", TEXT),
        Column("decided_at", MOMENT),
        Column("alike", INTEGER, derived=True),
    ),
    ("loser_id", "winner_id", "decided_at", "alike", "kind"),
    convert.decision,
    parents=(Parent("loser_id", "memories"),),
    time="decided_at",
    read_by_number=True,
    row_name="decision on {0} at {3}, {2}",
    line_name="decision {number} on {0}",
    blocks={"lines": "supersession_lines", "read": "read_supersession", "rows": "rows_supersession"},
)
MARKS = Table(
    "marks",
    "review_marks",
    (
        Column("memory_id", UUID),
        Column("suspended", BOOLEAN),
        Column("buried_until", MOMENT),
        Column("pinned", BOOLEAN),
        Column("cleared_lapses", INTEGER),
    ),
    ("memory_id",),
    convert.mark,
    parents=(Parent("memory_id", "memories"),),
)
WEIGHTS = Table(
    "weights",
    "review_weights",
    (
        Column("hash", TEXT),
        Column("algorithm", TEXT),
        Column("weights", JSON),
        Column("created_at", MOMENT),
        Column("applied_at", MOMENT),
    ),
    ("hash",),
    convert.weights,
    row_name="weights {0}",
)

TABLES = (
    USERS,
    GROUPS,
    MEMBERSHIPS,
    DOMAINS,
    MEMORIES,
    VECTORS,
    SCHEDULING,
    EDGES,
    REVIEWS,
    SUPERSESSION,
    MARKS,
    WEIGHTS,
)
"""All copied tables; a parent comes before the tables that it owns."""
BY_NAME = {table.name: table for table in TABLES}
PARENTS = frozenset(parent.table for table in TABLES for parent in table.parents)
"""Names of the tables that own rows of others."""
