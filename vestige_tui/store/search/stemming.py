"""Porter's stemmer, as the text indexes apply it to folded words: FTS5 as revised, PostgreSQL as of 1980."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise

MIN_CHARS = 3
"""Shorter words stay as they are."""
MAX_CHARS = 64
"""Longer words stay as they are."""

_SECOND = {
    "ational": "ate", "tional": "tion", "enci": "ence", "anci": "ance", "izer": "ize", "bli": "ble", "alli": "al",
    "entli": "ent", "eli": "e", "ousli": "ous", "ization": "ize", "ation": "ate", "ator": "ate", "alism": "al",
    "iveness": "ive", "fulness": "ful", "ousness": "ous", "aliti": "al", "iviti": "ive", "biliti": "ble",
    "logi": "log",
}  # fmt: skip
_SECOND_OF_1980 = {ending: base for ending, base in _SECOND.items() if ending not in ("bli", "logi")} | {"abli": "able"}
_THIRD = {"icate": "ic", "ative": "", "alize": "al", "iciti": "ic", "ical": "ic", "ful": "", "ness": ""}
_FOURTH = {
    "al": "", "ance": "", "ence": "", "er": "", "ic": "", "able": "", "ible": "", "ant": "", "ement": "", "ment": "",
    "ent": "", "sion": "s", "tion": "t", "ou": "", "ism": "", "ate": "", "iti": "", "ous": "", "ive": "", "ize": "",
}  # fmt: skip


@lru_cache(maxsize=20_000)
def stem(word: str, *, revised: bool = True) -> str:
    """Return the stem of a folded word: ``rotat`` for *rotate*, *rotates*, *rotated* and *rotating*.

    ``revised``: with the two endings that Porter changed later (*assembly*, *psychology*).
    """
    if not MIN_CHARS <= len(word) <= MAX_CHARS:
        return word
    word = _without_ending(_without_plural(word))
    if word.endswith("y") and _has_vowel(word[:-1]):
        word = f"{word[:-1]}i"
    word = _replace(word, _SECOND if revised else _SECOND_OF_1980, 1)
    word = _replace(word, _THIRD, 1)
    word = _replace(word, _FOURTH, 2)
    if word.endswith("e"):
        measure = _measure(word[:-1])
        if measure > 1 or (measure == 1 and not _is_short(word[:-1])):
            word = word[:-1]
    if word.endswith("ll") and _measure(word[:-1]) > 1:
        word = word[:-1]
    return word


def _without_plural(word: str) -> str:
    if (word.endswith("sses") and len(word) > 4) or (word.endswith("ies") and len(word) > 3):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _without_ending(word: str) -> str:
    """Return a word without its ending ``ed`` or ``ing``, and with the letter that the ending took from it."""
    if word.endswith("eed") and len(word) > 3:
        return word[:-1] if _measure(word[:-3]) > 0 else word
    ending = next((each for each in ("ed", "ing") if word.endswith(each)), "")
    base = word.removesuffix(ending)
    if not ending or not _has_vowel(base):
        return word
    if base.endswith(("at", "bl", "iz")):
        return f"{base}e"
    if len(base) > 1 and base[-1] == base[-2] and not _is_vowel(base, len(base) - 1) and base[-1] not in "lsz":
        return base[:-1]
    return f"{base}e" if _measure(base) == 1 and _is_short(base) else base


def _replace(word: str, endings: Mapping[str, str], min_measure: int) -> str:
    """Replace the longest ending of a word where what is before it has that many vowels followed by consonants."""
    matching = [ending for ending in endings if word.endswith(ending) and len(word) > len(ending)]
    if not matching:
        return word
    longest = max(matching, key=len)
    replacement = endings[longest]
    kept = word[: len(word) - len(longest)]
    # Of sion and tion the first letter belongs to what is measured.
    measured = f"{kept}{replacement}" if longest in ("sion", "tion") else kept
    return f"{kept}{replacement}" if _measure(measured) >= min_measure else word


def _is_vowel(word: str, index: int) -> bool:
    letter = word[index]
    if letter == "y":
        return index > 0 and not _is_vowel(word, index - 1)
    return letter in "aeiou"


def _has_vowel(word: str) -> bool:
    return any(_is_vowel(word, index) for index in range(len(word)))


def _measure(word: str) -> int:
    """Return how often a consonant follows a vowel."""
    vowels = [_is_vowel(word, index) for index in range(len(word))]
    return sum(one and not other for one, other in pairwise(vowels))


def _is_short(word: str) -> bool:
    """Check for an end of consonant, vowel and consonant other than w, x and y."""
    last = len(word) - 1
    if last < 2 or word[-1] in "wxy":
        return False
    return not _is_vowel(word, last) and _is_vowel(word, last - 1) and not _is_vowel(word, last - 2)
