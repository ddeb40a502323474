"""Search: query, hits, explanation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Literal, TypeAlias, overload

from vestige_tui.core.memories import Filter, Memory

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import Vector

Mode: TypeAlias = Literal["hybrid", "text", "vector", "literal"]


@dataclass(frozen=True, slots=True)
class SearchQuery(Filter):
    """Query of a search, with the fields of a filter. ``embedding`` spares the encoder: shape (dimension,), for the
    registered model. ``codebase`` is short for one of ``codebases``.
    """

    text: str = ""
    embedding: Vector | None = None
    mode: Mode = "hybrid"
    limit: int = 10
    codebase: str | None = field(default=None, kw_only=True)

    @classmethod
    def within(cls, filter: Filter, text: str, *, mode: Mode = "hybrid", limit: int = 10) -> SearchQuery:
        """Return a query restricted by a filter."""
        return cls(text, mode=mode, limit=limit, **{each.name: getattr(filter, each.name) for each in fields(Filter)})

    @property
    def filter(self) -> Filter:
        values = {each.name: getattr(self, each.name) for each in fields(Filter)}
        if self.codebase is not None:
            values["codebases"] = (*self.codebases, self.codebase)
        return Filter(**values)


@dataclass(frozen=True, slots=True)
class Hit:
    """Hit of a search. Ranks count from 1, None if the memory is not among the branch's first ``depth``.

    ``text_score`` is BM25's or a sum of idf x rank, ``vector_score`` the cosine, also of hits of the other branch only.
    The shares, 0..1, are the normalised scores by the figures of ``Fusion``; ``score``, 0..1, is their weighted mean
    (convex combination of normalised scores, Bruch 2023).
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
class Match:
    """Place in a text that matches a term of a query: its offsets in characters, and the number of the term."""

    start: int
    end: int
    term: int


@dataclass(frozen=True, slots=True)
class MatchTerms:
    """Terms of a query that a text is compared with, as the text index of the store has them.

    ``phrases``: the stems of each word or phrase; ``pieces``: letters of scripts without spaces, with A to Z in lower
    case; ``characters``: those of a literal search.
    """

    phrases: tuple[tuple[str, ...], ...] = ()
    pieces: tuple[str, ...] = ()
    characters: str = ""
    revised_stems: bool = True
    """Whether the store stems by Porter's later rules."""


NO_TERMS = MatchTerms()


EmptyKind: TypeAlias = Literal["phrase", "word", "excluded", "filter", "replaced", "several"]
"""Condition of a query: a "phrase", a +word, a -word or -"phrase", a filter, that replaced memories are hidden."""


@dataclass(frozen=True, slots=True)
class EmptyReason:
    """Condition because of which a search finds nothing, as it is written, and the ``query`` without it.

    ``hits``: how many that query finds, its limit at most; ``fields``: the fields of ``Filter`` that it leaves out.
    """

    kind: EmptyKind
    condition: str
    hits: int
    query: SearchQuery
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer(Sequence[Hit]):
    """Hits of one search, best first, with the mode that was used and warnings for the user."""

    hits: tuple[Hit, ...]
    mode: Mode
    elapsed_ms: float
    warnings: tuple[str, ...] = ()
    terms: MatchTerms = NO_TERMS
    """Terms that match in the hits."""
    empty_because: EmptyReason | None = None
    """Condition that leaves no hit; None where there are hits, or no condition is the reason."""

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
    """Parameters of the fusion of two branches. Each branch gives ``depth`` hits; each hit has a share in both.

    Text share: score / best score. Vector share: (cosine - base) / (best cosine - base), where base lies below the
    lowest cosine c of the branch by (1 - ``floor``) x abs(c). The weights add up to 1.
    """

    text_weight: float
    vector_weight: float
    floor: float
    depth: int


@dataclass(frozen=True, slots=True)
class SearchStep:
    """Step of a search: its purpose (``what``), its method (``how``), and ``ms`` if it was timed alone."""

    what: str
    how: str
    ms: float | None = None


@dataclass(frozen=True, slots=True)
class QueryWord:
    """Use of one word or phrase of a query. ``documents``: number of memories that hold it; ``weight``: its idf."""

    text: str
    use: Literal["ranked", "must", "must_not", "dropped"]
    documents: int | None = None
    weight: float | None = None


@dataclass(frozen=True, slots=True)
class FilterCount:
    """Filter of a query in its written form, ``type decision``, and the number of memories that pass it alone."""

    text: str
    memories: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """Explanation of a search: the answer, both branches, and the words, filters and steps behind them.

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
    steps: tuple[SearchStep, ...]


@dataclass(frozen=True, slots=True)
class WhyNot:
    """Rank of one memory for a query, far beyond the end of the answer, and the reason for its absence there.

    ``rank`` is its position in the fused list, from 1, None if no branch has it; ``hit`` has its ranks and scores;
    ``fails`` names the filters that it does not pass; ``missing`` the words that it lacks; ``last`` is the score of the
    answer's last hit, 0 if the answer was not full; ``reason`` is one sentence.
    """

    memory: Memory
    rank: int | None
    hit: Hit | None
    fails: tuple[str, ...]
    missing: tuple[str, ...]
    last: float
    reason: str
