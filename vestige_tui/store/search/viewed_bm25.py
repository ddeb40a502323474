"""BM25 over the memories that a viewer may see, as FTS5 would rank them in a store without the others.

FTS5 knows the whole store only: its inverse document frequencies and its average length count every memory. As its
formula and those figures are known, the occurrences of a phrase in a memory follow from the memory's score, and are
scored again with the figures of the viewer's memories. FTS5 documents both tables that are read: ``%_docsize`` has the
length of each document, record 1 of ``%_data`` the totals.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vestige_tui.store.search.bm25_candidates import RunQuery, ScoredSeq

_K1, _B = 1.2, 0.75
"""Parameters of FTS5's bm25."""
_MIN_IDF = 1e-6
"""FTS5's weight of a phrase that is in at least half of the documents."""


@dataclass(frozen=True, slots=True)
class TextTotals:
    """Number of documents of a text index, and the average of their tokens."""

    documents: int
    average_length: float

    def idf(self, matches: int) -> float:
        """Return the weight of a phrase that so many documents hold."""
        return max(math.log((self.documents - matches + 0.5) / (matches + 0.5)), 0.0) or _MIN_IDF

    def damping(self, length: int) -> float:
        """Return the damping of the occurrences in a document of so many tokens."""
        return _K1 * (1 - _B + _B * length / self.average_length)


class ViewedText:
    """Text index of a store as its viewer has it: only the ``visible`` memories."""

    def __init__(self, run_query: RunQuery, visible: Collection[int]) -> None:
        lengths = ((int(seq), sum(_numbers(sizes))) for seq, sizes in run_query("list_text_lengths", {}))
        self._lengths: Mapping[int, int] = {seq: length for seq, length in lengths if seq in visible}
        [(record,)] = run_query("read_text_totals", {})
        documents, *tokens = _numbers(record)
        self._store = TextTotals(documents, sum(tokens) / max(documents, 1) or 1.0)
        self._viewed = TextTotals(len(self._lengths), sum(self._lengths.values()) / max(len(self._lengths), 1) or 1.0)

    def count(self, run_query: RunQuery, phrase: str) -> int:
        """Return the number of visible memories that hold a phrase."""
        return len(self._occurrences(run_query, phrase))

    def rank(self, run_query: RunQuery, phrases: Sequence[str], *, every: bool) -> list[ScoredSeq]:
        """Return the visible memories that hold any of the phrases, or every one, with their scores; best first."""
        scores: dict[int, float] = {}
        holders: list[set[int]] = []
        for phrase in phrases:
            occurrences = self._occurrences(run_query, phrase)
            idf = self._viewed.idf(len(occurrences))
            for seq, times in occurrences.items():
                part = idf * (times * (_K1 + 1) / (times + self._viewed.damping(self._lengths[seq])))
                scores[seq] = scores.get(seq, 0.0) + part
            holders.append(set(occurrences))
        kept = set.intersection(*holders) if every and holders else set(scores)
        return sorted(((seq, scores[seq]) for seq in kept), key=lambda hit: (-hit[1], hit[0]))

    def _occurrences(self, run_query: RunQuery, phrase: str) -> dict[int, int]:
        """Return how often each visible memory holds a phrase."""
        rows = run_query("rank_matching", {"words": phrase, "limit": -1})
        idf = self._store.idf(len(rows))
        occurrences: dict[int, int] = {}
        for seq, score in rows:
            if seq in self._lengths:
                share = score / idf
                times = share * self._store.damping(self._lengths[seq]) / (_K1 + 1 - share)
                occurrences[seq] = max(1, round(times))
        return occurrences


def _numbers(record: bytes) -> list[int]:
    """Return the numbers of a record, in SQLite's form: seven bits in each octet, all eight in a ninth."""
    numbers: list[int] = []
    value = octets = 0
    for octet in record:
        octets += 1
        if octets == 9:
            value, ends = value << 8 | octet, True
        else:
            value, ends = value << 7 | octet & 0x7F, octet < 0x80
        if ends:
            numbers.append(value)
            value = octets = 0
    return numbers
