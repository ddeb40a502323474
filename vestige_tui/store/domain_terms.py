"""Top terms of a domain: words that its memories have more often than the other memories of the store."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from vestige_tui.store.search.query_syntax import STOP_WORDS
from vestige_tui.store.search.stemming import stem

TERM_COUNT = 8
_WORD = re.compile(r"[^\W\d_][\w-]*\w")
_MIN_TERM_CHARS = 3
_COMMON_COUNT = 2
"""A word of a single memory is typical of it alone; it counts only in a domain of fewer memories."""


def top_terms(inside: Sequence[str], outside: Sequence[str], count: int = TERM_COUNT) -> tuple[str, ...]:
    """Return the words whose document frequency in ``inside`` exceeds that in ``outside`` most, best first.

    Words of one stem are one, in their most frequent form. A word weighs its share of ``inside`` times the logarithm of
    the ratio of both shares: its part of the Kullback-Leibler divergence.
    """
    near, far = _document_frequencies(inside), _document_frequencies(outside)
    least = min(_COMMON_COUNT, len(inside))
    weights = {
        key: _weight(forms.total() / len(inside), (far[key].total() + 1 if key in far else 1) / (len(outside) + 2))
        for key, forms in near.items()
        if forms.total() >= least
    }
    words = {key: min(forms, key=lambda word: (-forms[word], word)) for key, forms in near.items()}
    ranked = sorted((key for key, weight in weights.items() if weight > 0), key=lambda key: (-weights[key], words[key]))
    return tuple(words[key] for key in ranked[:count])


def _weight(share: float, share_elsewhere: float) -> float:
    return share * math.log(share / share_elsewhere)


def _document_frequencies(texts: Iterable[str]) -> dict[str, Counter[str]]:
    """Return by stem the words of the texts, each with the number of texts in which it stands for that stem."""
    frequencies: dict[str, Counter[str]] = {}
    for text in texts:
        by_stem: dict[str, str] = {}
        for match in _WORD.finditer(text):
            word = match[0].lower()
            if len(word) >= _MIN_TERM_CHARS and word not in STOP_WORDS:
                by_stem.setdefault(stem(word), word)
        for key, word in by_stem.items():
            frequencies.setdefault(key, Counter())[word] += 1
    return frequencies
