"""One store under measurement, with the driver on the same rows."""

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

LARGE = 100_000


@dataclass(frozen=True, slots=True)
class Bench:
    """A filled store and its raw alternative; ``url`` opens it elsewhere, ``part`` is its name in the table."""

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
        """A goal that is meant for large stores only."""
        return goal if self.size >= LARGE else ""


@dataclass(frozen=True, slots=True)
class BackendQuery:
    """A question with its vector."""

    text: str
    vector: Vector

    def query(self, mode: Mode = "hybrid", *, limit: int = LIMIT, filter: Filter | None = None) -> SearchQuery:
        """The search of a mode, with no more than this mode needs."""
        narrow = filter or Filter()
        return SearchQuery(
            text="" if mode == "vector" else self.text,
            embedding=None if mode == "text" else self.vector,
            mode=mode,
            limit=limit,
            domains=narrow.domains,
            tags=narrow.tags,
            node_types=narrow.node_types,
            codebase=narrow.codebase,
            owner=narrow.owner,
            since=narrow.since,
        )


def asked(count: int) -> Sequence[BackendQuery]:
    """So many different questions, always the same."""
    return [BackendQuery(text, vector) for text, vector in zip(questions(count), vectors(count, series=4), strict=True)]
