"""Top terms of a domain: words that its memories have more often than the other memories of the store."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from vestige_tui.store.search.query_syntax import STOP_WORDS

TERM_COUNT = 8
_WORD = re.compile(r"[^\W\d_][\w-]*\w")
_MIN_TERM_CHARS = 3
_COMMON_COUNT = 2
"""A word of a single memory is typical of it alone; it counts only in a domain of fewer memories."""


def top_terms(inside: Sequence[str], outside: Sequence[str], count: int = TERM_COUNT) -> tuple[str, ...]:
    """Return the words whose document frequency in ``inside`` exceeds that in ``outside`` most, best first.

    A word weighs its share of ``inside`` times the logarithm of the ratio of both shares: its part of the
    Kullback-Leibler divergence.
    """
    near, far = _document_frequencies(inside), _document_frequencies(outside)
    least = min(_COMMON_COUNT, len(inside))
    weights = {
        word: _weight(number / len(inside), (far[word] + 1) / (len(outside) + 2))
        for word, number in near.items()
        if number >= least
    }
    ranked = sorted((word for word, weight in weights.items() if weight > 0), key=lambda word: (-weights[word], word))
    return tuple(ranked[:count])


def _weight(share: float, share_elsewhere: float) -> float:
    return share * math.log(share / share_elsewhere)


def _document_frequencies(texts: Iterable[str]) -> Counter[str]:
    frequencies: Counter[str] = Counter()
    for text in texts:
        words = {match[0].lower() for match in _WORD.finditer(text)}
        frequencies.update(word for word in words if len(word) >= _MIN_TERM_CHARS and word not in STOP_WORDS)
    return frequencies
