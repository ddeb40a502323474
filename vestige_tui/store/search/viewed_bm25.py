"""BM25 over the memories that a viewer may see, as FTS5 would rank them in a store without the others.

FTS5 knows the whole store only: its inverse document frequencies and its average length count every memory. As its
formula and those figures are known, the occurrences of a phrase in a memory follow from the memory's score, and are
scored again with the figures of the viewer's memories. FTS5 documents both tables that are read: ``%_docsize`` has the
length of each document, record 1 of ``%_data`` the totals.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vestige_tui.store.search.bm25_candidates import RunQuery, ScoredSeq

_K1, _B = 1.2, 0.75
"""Parameters of FTS5's bm25."""
_MIN_IDF = 1e-6
"""FTS5's weight of a phrase that is in at least half of the documents."""
_MAX_PHRASES = 32
"""Phrases whose occurrences are kept."""


@dataclass(frozen=True, slots=True)
class TextTotals:
    """Number of documents of a text index, and the average of their tokens."""

    documents: int
    average_length: float

    def idf(self, matches: int) -> float:
        """Return the weight of a phrase that so many documents hold."""
        return max(math.log((self.documents - matches + 0.5) / (matches + 0.5)), 0.0) or _MIN_IDF

    def damping(self, lengths: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the damping of the occurrences in documents of so many tokens."""
        return _K1 * (1 - _B + _B * lengths / self.average_length)


@dataclass(frozen=True, slots=True)
class Occurrences:
    """Visible memories that hold a phrase, by seq in order, and how much it adds to the score of each."""

    seqs: NDArray[np.int64]
    scores: NDArray[np.float64]


class ViewedText:
    """Text index of a store as its viewer has it: only the ``visible`` memories. Valid for one state of the store."""

    def __init__(self, run_query: RunQuery, visible: Collection[int]) -> None:
        import numpy as np

        lengths = {
            int(seq): sum(_numbers(sizes)) for seq, sizes in run_query("list_text_lengths", {}) if seq in visible
        }
        self._seqs = np.array(sorted(lengths), dtype=np.int64)
        self._lengths = np.array([lengths[seq] for seq in sorted(lengths)], dtype=np.float64)
        """Tokens of each of these memories."""
        [(record,)] = run_query("read_text_totals", {})
        documents, *tokens = _numbers(record)
        self._store = TextTotals(documents, sum(tokens) / max(documents, 1) or 1.0)
        self._viewed = TextTotals(len(lengths), sum(lengths.values()) / max(len(lengths), 1) or 1.0)
        self._phrases: OrderedDict[str, Occurrences] = OrderedDict()

    def count(self, run_query: RunQuery, phrase: str) -> int:
        """Return the number of visible memories that hold a phrase."""
        return len(self._occurrences(run_query, phrase).seqs)

    def rank(self, run_query: RunQuery, phrases: Sequence[str], *, every: bool) -> list[ScoredSeq]:
        """Return the visible memories that hold any of the phrases, or every one, with their scores; best first."""
        import numpy as np

        parts = [self._occurrences(run_query, phrase) for phrase in phrases]
        if not parts:
            return []
        seqs, positions = np.unique(np.concatenate([part.seqs for part in parts]), return_inverse=True)
        scores = np.bincount(positions, weights=np.concatenate([part.scores for part in parts]), minlength=len(seqs))
        if every:
            held = np.bincount(positions, minlength=len(seqs)) == len(parts)
            seqs, scores = seqs[held], scores[held]
        order = np.lexsort((seqs, -scores))
        return list(zip(seqs[order].tolist(), scores[order].tolist(), strict=True))

    def _occurrences(self, run_query: RunQuery, phrase: str) -> Occurrences:
        """Return the visible memories that hold a phrase; ranking, counts and scores of one search ask for the same."""
        if (occurrences := self._phrases.get(phrase)) is None:
            occurrences = self._phrases[phrase] = self._read(run_query, phrase)
            while len(self._phrases) > _MAX_PHRASES:
                self._phrases.popitem(last=False)
        return occurrences

    def _read(self, run_query: RunQuery, phrase: str) -> Occurrences:
        import numpy as np

        rows = run_query("rank_matching", {"words": phrase, "limit": -1})
        seqs = np.array([row[0] for row in rows], dtype=np.int64)
        is_visible = np.isin(seqs, self._seqs)
        share = np.array([row[1] for row in rows], dtype=np.float64)[is_visible] / self._store.idf(len(rows))
        seqs = seqs[is_visible]
        lengths = self._lengths[np.searchsorted(self._seqs, seqs)]
        times = np.maximum(1.0, np.rint(share * self._store.damping(lengths) / (_K1 + 1 - share)))
        idf = self._viewed.idf(len(seqs))
        return Occurrences(seqs, idf * (times * (_K1 + 1) / (times + self._viewed.damping(lengths))))


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
