"""Store under measurement, with the raw driver on the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.corpus import questions, vectors
from benchmarks.raw import LIMIT
from vestige_tui.core.memories import Filter
from vestige_tui.core.search import Mode, SearchQuery

if TYPE_CHECKING:
    from benchmarks.corpus import Corpus
    from benchmarks.raw import Raw
    from vestige_tui.core.embeddings import Vector
    from vestige_tui.store.store import Store

LARGE_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class Bench:
    """Filled store and its raw alternative; ``url`` opens it elsewhere, ``part`` is its name in the table."""

    part: str
    url: str
    store: Store
    raw: Raw
    corpus: Corpus

    @property
    def size(self) -> int:
        return self.corpus.size

    @property
    def is_sqlite(self) -> bool:
        return self.store.kind == "sqlite"

    def when_large(self, goal: str) -> str:
        """Return a goal for large stores only."""
        return goal if self.size >= LARGE_ROWS else ""


@dataclass(frozen=True, slots=True)
class BenchQuery:
    """Question with its vector."""

    text: str
    vector: Vector

    def query(self, mode: Mode = "hybrid", *, limit: int = LIMIT, filter: Filter | None = None) -> SearchQuery:
        """Return the search of a mode, with the inputs of this mode only."""
        conditions = filter or Filter()
        return SearchQuery(
            text="" if mode == "vector" else self.text,
            embedding=None if mode == "text" else self.vector,
            mode=mode,
            limit=limit,
            domains=conditions.domains,
            tags=conditions.tags,
            node_types=conditions.node_types,
            codebases=conditions.codebases,
            owner=conditions.owner,
            since=conditions.since,
        )


def sample_queries(count: int) -> Sequence[BenchQuery]:
    """Return that many different questions, always the same."""
    return [BenchQuery(text, vector) for text, vector in zip(questions(count), vectors(count, series=4), strict=True)]
