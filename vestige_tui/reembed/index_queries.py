"""Named queries about the two vector indexes of a PostgreSQL store: the store's own, and that of its spare vectors."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IndexQueries:
    """Names of the queries that find one index, build it, and drop it, without a lock on the table's writers."""

    find: str
    build: str
    drop: str
    build_at_once: str
    """The same within a transaction, under a lock that writers wait for."""
    drop_at_once: str


OWN_INDEX = IndexQueries(
    "find_index", "build_index_concurrently", "drop_index_concurrently", "build_index", "drop_index"
)
SPARE_INDEX = IndexQueries(
    "find_spare_index",
    "build_spare_index",
    "drop_spare_index_concurrently",
    "build_spare_index_at_once",
    "drop_spare_index",
)
