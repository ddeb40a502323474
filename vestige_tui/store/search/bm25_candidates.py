"""The text branch of a search in SQLite: BM25 over candidates that the query's rare words choose.

BM25 costs the same for every memory it ranks, and one word may be in all of them. So a query of several words first
takes as candidates the memories with its rare words, and those with two of its other words together. As SQLite counts a
word once for each time a query holds it, a candidate's score is that of "(candidate expression) AND (every word)" less
that of "(candidate expression)".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from vestige_tui.store.backends.protocol import Params
    from vestige_tui.store.search.filter_sets import FilterSet

RunQuery: TypeAlias = Callable[[str, "Params"], list[tuple[Any, ...]]]
"""Runs a named query and returns all its rows."""
ScoredSeq: TypeAlias = tuple[int, float]
"""Seq of a memory with its score."""

MAX_DIRECT_ROWS = 5_000
"""Filter sets of at most this size are ranked whole."""
MAX_FULL_RANK_ROWS = 4_000
"""With at most this many occurrences in all, every match is ranked."""
MIN_CANDIDATE_ROWS = 1_000
"""Smallest budget of candidates, where no filter raises it."""
_MAX_CANDIDATE_ROWS = 12_000
"""Largest budget of candidates."""
_MAX_PAIRS = 8
"""Pairs of common words that may find candidates."""
_MIN_RESCORED_ROWS = 200
"""Best candidates that are scored again, at least."""
_EXTRA_ROWS = 64
"""Rows fetched beyond the number that the share of the filters suggests."""


@dataclass(frozen=True, slots=True)
class TextQuery:
    """Words and phrases of a query: ``phrases`` as FTS5 takes them, each with the number of memories that hold it.

    ``every``: only memories with all of them match.
    """

    phrases: tuple[tuple[str, int], ...]
    every: bool
    depth: int
    exact: bool
    """Rank every match, at any cost."""

    @property
    def whole(self) -> str:
        """Return the FTS5 expression of the whole query."""
        return (" AND " if self.every else " OR ").join(phrase for phrase, _ in self.phrases)


@dataclass(frozen=True, slots=True)
class _Candidates:
    """FTS5 expression that finds the candidates, and its words in plain English."""

    expression: str
    how: str


def rank(run_query: RunQuery, query: TextQuery, allowed: FilterSet, total: int) -> tuple[list[ScoredSeq], str]:
    """Return the best ``depth`` memories that pass, with all ties of the last, and a note for the explanation."""
    if allowed.only is not None and len(allowed.only) <= MAX_DIRECT_ROWS:
        rows = run_query("rank_matching_among", {"words": query.whole, "among": sorted(allowed.only)})
        return best(rows, query.depth), f"FTS5, over the {len(allowed.only):,} that pass the filters, ranked by bm25"
    share = max(allowed.count(total) / max(total, 1), 0.01)
    candidates = None if query.exact or query.every else _choose_candidates(query, share, total)
    if candidates is not None and (hits := _rank_candidates(run_query, query, allowed, candidates.expression)):
        return hits, f"FTS5, {candidates.how}, ranked by bm25"
    which = "all query words" if query.every else "any query word"
    return _rank_all(run_query, query, allowed, share), f"FTS5, {which}, ranked by bm25"


def best(rows: Sequence[tuple[Any, ...]], depth: int) -> list[ScoredSeq]:
    """Return the best ``depth`` of the rows, with all ties of the last."""
    hits = sorted(((int(seq), float(score)) for seq, score in rows), key=lambda hit: -hit[1])
    if len(hits) <= depth:
        return hits
    last = hits[depth - 1][1]
    return [hit for hit in hits if hit[1] >= last]


def _rank_all(run_query: RunQuery, query: TextQuery, allowed: FilterSet, share: float) -> list[ScoredSeq]:
    limit = int(1.5 * query.depth / share) + _EXTRA_ROWS
    while True:
        rows = run_query("rank_matching", {"words": query.whole, "limit": limit})
        matches = [row for row in rows if allowed.passes(row[0])]
        # No row beyond the limit can score as high as the last hit.
        if len(rows) < limit or (len(matches) >= query.depth and matches[query.depth - 1][1] > rows[-1][1]):
            return best(matches, query.depth)
        limit *= 8


def _choose_candidates(query: TextQuery, share: float, total: int) -> _Candidates | None:
    """Return an expression with few matches that include the best; None where ranking every match costs no more."""
    counts = sorted((count, phrase) for phrase, count in query.phrases if count)
    if len(counts) < 2 or sum(count for count, _ in counts) <= MAX_FULL_RANK_ROWS:
        return None
    budget = min(_MAX_CANDIDATE_ROWS, max(MIN_CANDIDATE_ROWS, 10 * query.depth) / share)
    expected_rows, rare = 0, 0
    while rare < len(counts) and expected_rows + counts[rare][0] <= budget:
        expected_rows += counts[rare][0]
        rare += 1
    if rare == len(counts):
        return None
    # Words of one text occur together more often than by chance.
    pairs = sorted(
        (2 * one * two / total, first, second) for (one, first), (two, second) in combinations(counts[rare:], 2)
    )
    pair_expressions, expected_pair_rows = list[str](), 0.0
    for pair_rows, first, second in pairs[:_MAX_PAIRS]:
        if expected_pair_rows + pair_rows > budget and (rare or pair_expressions):
            break
        expected_pair_rows += pair_rows
        pair_expressions.append(f"({first} AND {second})")
    if not rare and not pair_expressions:
        return None
    expression = " OR ".join([*(phrase for _, phrase in counts[:rare]), *pair_expressions])
    return _Candidates(expression, _describe(rare, len(pair_expressions), len(query.phrases)))


def _describe(rare: int, pairs: int, words: int) -> str:
    rarest = "" if not rare else "the rarest" if rare == 1 else f"the {rare} rarest"
    pair_words = "" if not pairs else "a pair" if pairs == 1 else f"{pairs} pairs"
    of = f" of {words} words"
    if rarest and pair_words:
        return f"candidates from {rarest}{of} and {pair_words} of the others"
    return f"candidates from {rarest or pair_words}{of}"


def _rank_candidates(run_query: RunQuery, query: TextQuery, allowed: FilterSet, expression: str) -> list[ScoredSeq]:
    """Return the best of the candidates; none where they are too few to represent all matches."""
    rows = run_query("rank_matching", {"words": f"({expression}) AND ({query.whole})", "limit": -1})
    candidates = [row for row in rows if allowed.passes(row[0])][: max(_MIN_RESCORED_ROWS, 4 * query.depth)]
    if len(candidates) < query.depth:
        return []
    expression_scores: dict[int, float] = dict(
        run_query("rank_matching_among", {"words": expression, "among": [seq for seq, _ in candidates]})
    )
    return best([(seq, score - expression_scores.get(seq, 0.0)) for seq, score in candidates], query.depth)
