"""A search: its query, its hits, and how they came about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypeAlias, overload

from vestige_tui.core.memories import Filter, Memory

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import Vector

Mode: TypeAlias = Literal["hybrid", "text", "vector", "literal"]


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
