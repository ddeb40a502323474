"""The branch by words of a search in SQLite: the whole query ranks, its rare words say which memories are looked at.

BM25 costs the same for every memory it ranks, and one word may be in all of them. So a query of several words first
takes as candidates the memories with its rare words, and those with two of its other words together. As SQLite counts a
word once for each time a query says it, a candidate's score is that of "(what makes candidates) AND (every word)" less
that of "(what makes candidates)".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from vestige_tui.store.backends.protocol import Params
    from vestige_tui.store.search.filter_sets import Passing

Ask: TypeAlias = Callable[[str, "Params"], list[tuple[Any, ...]]]
"""The rows of a named query, at once."""
Scored: TypeAlias = tuple[int, float]
"""The seq of a memory with its score."""

NARROW = 5_000
RANKED_WHOLE = 4_000
CANDIDATES = 1_000
_MOST_CANDIDATES = 12_000
_PAIRS = 8
_RESCORED = 200
_SLACK = 64


@dataclass(frozen=True, slots=True)
class Wording:
    """What is looked for: ``phrases`` as the text index takes them, each with how many memories hold it.

    ``every``: only memories with all of them count.
    """

    phrases: tuple[tuple[str, int], ...]
    every: bool
    depth: int
    exact: bool
    """Rank everything, whatever it costs."""

    @property
    def whole(self) -> str:
        """The whole query."""
        return (" AND " if self.every else " OR ").join(phrase for phrase, _ in self.phrases)


@dataclass(frozen=True, slots=True)
class _Candidates:
    """An expression that finds them, and which words it is made of."""

    expression: str
    how: str


def ranked(ask: Ask, wording: Wording, passing: Passing, total: int) -> tuple[list[Scored], str]:
    """The best ``depth`` memories of ``total`` that pass, with all that tie with the last; and how they were found."""
    if passing.only is not None and len(passing.only) <= NARROW:
        rows = ask("rank_matching_among", {"words": wording.whole, "among": sorted(passing.only)})
        return _best(rows, wording.depth), f"FTS5, the {len(passing.only):,} that pass the filters, ranked by bm25"
    share = max(passing.count(total) / max(total, 1), 0.01)
    candidates = None if wording.exact or wording.every else _candidates(wording, share, total)
    if candidates is not None and (found := _among_candidates(ask, wording, passing, candidates.expression)):
        return found, f"FTS5, {candidates.how}, ranked by bm25"
    said = "all" if wording.every else "any"
    return _whole(ask, wording, passing, share), f"FTS5, {said} of the words, ranked by bm25"


def _best(rows: Sequence[tuple[Any, ...]], depth: int) -> list[Scored]:
    found = sorted(((int(seq), float(score)) for seq, score in rows), key=lambda hit: -hit[1])
    if len(found) <= depth:
        return found
    last = found[depth - 1][1]
    return [hit for hit in found if hit[1] >= last]


def _whole(ask: Ask, wording: Wording, passing: Passing, share: float) -> list[Scored]:
    wide = int(1.5 * wording.depth / share) + _SLACK
    while True:
        rows = ask("rank_matching", {"words": wording.whole, "limit": wide})
        kept = [row for row in rows if passing.leaves(row[0])]
        # Nothing beyond the last row can be as good as the last of what is wanted.
        if len(rows) < wide or (len(kept) >= wording.depth and kept[wording.depth - 1][1] > rows[-1][1]):
            return _best(kept, wording.depth)
        wide *= 8


def _candidates(wording: Wording, share: float, total: int) -> _Candidates | None:
    """What makes few candidates, yet holds the best memories; None where everything is as soon ranked."""
    held = sorted((count, phrase) for phrase, count in wording.phrases if count)
    if len(held) < 2 or sum(count for count, _ in held) <= RANKED_WHOLE:
        return None
    budget = min(_MOST_CANDIDATES, max(CANDIDATES, 10 * wording.depth) / share)
    spent, rare = 0, 0
    while rare < len(held) and spent + held[rare][0] <= budget:
        spent += held[rare][0]
        rare += 1
    if rare == len(held):
        return None
    # Words of one text come together more often than chance has it.
    pairs = sorted(
        (2 * one * two / total, first, second) for (one, first), (two, second) in combinations(held[rare:], 2)
    )
    chosen, spent_on_pairs = list[str](), 0.0
    for expected, first, second in pairs[:_PAIRS]:
        if spent_on_pairs + expected > budget and (rare or chosen):
            break
        spent_on_pairs += expected
        chosen.append(f"({first} AND {second})")
    if not rare and not chosen:
        return None
    expression = " OR ".join([*(phrase for _, phrase in held[:rare]), *chosen])
    return _Candidates(expression, _said(rare, len(chosen), len(wording.phrases)))


def _said(rare: int, pairs: int, words: int) -> str:
    rarest = "" if not rare else "the rarest" if rare == 1 else f"the {rare} rarest"
    couples = "" if not pairs else "a pair" if pairs == 1 else f"{pairs} pairs"
    of = f" of {words} words"
    if rarest and couples:
        return f"candidates from {rarest}{of} and {couples} of the others"
    return f"candidates from {rarest or couples}{of}"


def _among_candidates(ask: Ask, wording: Wording, passing: Passing, expression: str) -> list[Scored]:
    """The best of the candidates; nothing where they are too few to stand for all that match."""
    rows = ask("rank_matching", {"words": f"({expression}) AND ({wording.whole})", "limit": -1})
    kept = [row for row in rows if passing.leaves(row[0])][: max(_RESCORED, 4 * wording.depth)]
    if len(kept) < wording.depth:
        return []
    counted: dict[int, float] = dict(
        ask("rank_matching_among", {"words": expression, "among": [seq for seq, _ in kept]})
    )
    return _best([(seq, score - counted.get(seq, 0.0)) for seq, score in kept], wording.depth)
