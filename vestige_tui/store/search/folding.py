"""Folding of words: one rule, by which a text index and the words of a query become equal on both databases.

The rule is of single characters, so that it holds wherever a text is cut. ``tests/support/folding_sql.py`` makes from
it the SQL of the migrations named ``folding``, which fold what is stored; a change here needs a new migration.
"""

from __future__ import annotations

import re
import unicodedata

# Han, kana, Hangul, Thai, Lao, Khmer, Burmese and the letters beyond the first plane.
UNSPACED = (
    "\u0e01-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u1950-\u19ff\u1a20-\u1aaf\u1b00-\u1b7f\u3041-\u31ff\u3400-\u9fff"
    "\ua000-\ua4cf\ua960-\ua97f\ua980-\ua9ff\uaa00-\uaadf\uac00-\ud7ff\uf900-\ufaff\uff66-\uff9f"
    "\U00010000-\U0001077f\U00010800-\U0001bc9f\U0001e100-\U0001e95f\U00020000-\U0003ffff"
)
"""Letters of scripts without spaces between words, as the inner part of a character class."""

_UNSPACED = re.compile(f"[{UNSPACED}]")
# Soft hyphen, joiners, marks of direction, byte order mark, variation selectors: they are no part of a word's spelling.
_IGNORED = re.compile("[\u00ad\u061c\u180b-\u180e\u200c-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]")
# Accents of Latin, Greek and Cyrillic, points of Hebrew, vowels of Arabic. Other scripts spell words with their marks.
_ACCENTS = re.compile(
    "[\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670"
    "\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\u302a-\u302f\ufe20-\ufe2f]"
)
_LETTERS = {"æ": "ae", "œ": "oe", "ð": "d", "þ": "th", "\N{LATIN SMALL LETTER DOTLESS I}": "i", "ȷ": "j"}
_WITH = re.compile(r"((?:LATIN|GREEK|CYRILLIC) SMALL LETTER .+?) WITH ")
_WORD_CATEGORIES = {"Lu", "Ll", "Lt", "Lm", "Lo", "Nd", "Mn", "Mc"}
# Beyond the first plane: the modifier letters and the later letters of Latin and Cyrillic.
_WORDS_BEYOND = re.compile("[\U00010780-\U000107ba\U0001df00-\U0001df2a\U0001e030-\U0001e06d]")
_LAST_OF_FIRST_PLANE = 0xFFFF
_LAST_CYRILLIC = 0x052F


def fold_words(text: str) -> str:
    """Return the text as the text index sees it: lower case, base letters, and a space for all that is no word.

    Case and accents are left out (NFD), Latin, Greek and Cyrillic letters lose strokes, hooks and other additions, and
    ligatures, full-width letters and raised digits become plain ones. A letter of a script without spaces is a space.
    """
    return text.lower() if text.isascii() else text.translate(_FOLDINGS)


def fold_character(character: str) -> str:
    """Return the folded form of one character: some letters, a space where it is no part of a word, or nothing."""
    if character.isascii():
        return character.lower() if character.isalnum() else " "
    if _IGNORED.match(character) or _ACCENTS.match(character):
        return ""
    if _UNSPACED.match(character):
        return " "
    if ord(character) > _LAST_OF_FIRST_PLANE and not _WORDS_BEYOND.match(character):
        return " "
    plain = _plain_form(character)
    if plain is None:
        return " "
    # Cherokee folds to capitals, and databases to small letters.
    letters = _without_accents(_without_accents(plain).casefold().lower())
    return "".join(map(_base_letter, letters))


def _plain_form(character: str) -> str | None:
    """Return the letters or digits that a ligature, a full-width, raised or framed one stands for; else itself.

    Returns None for what is no part of a word.
    """
    category = unicodedata.category(character)
    if category not in _WORD_CATEGORIES and category not in ("No", "Nl"):
        return None
    compatible = unicodedata.normalize("NFKD", character)
    simple = _without_accents(compatible)
    if all(ord(each) <= _LAST_CYRILLIC or each == "\N{FRACTION SLASH}" for each in simple):
        kind = unicodedata.decomposition(character)
        # A fraction or a number in a circle stands beside a word, not in it.
        return f" {simple} " if category == "No" and not kind.startswith(("<super>", "<sub>")) else simple
    return character if category in _WORD_CATEGORIES else None


def _without_accents(text: str) -> str:
    return _ACCENTS.sub("", unicodedata.normalize("NFD", text))


def _base_letter(letter: str) -> str:
    if (known := _LETTERS.get(letter)) is not None:
        return known
    name = unicodedata.name(letter, "")
    if (match := _WITH.match(name)) and (base := _named(match[1])):
        return "".join(map(_base_letter, _without_accents(base).casefold()))
    if letter.isascii():
        return letter if letter.isalnum() else " "
    return letter if unicodedata.category(letter) in _WORD_CATEGORIES else " "


def _named(name: str) -> str | None:
    try:
        return unicodedata.lookup(name)
    except KeyError:
        return None


class _Foldings(dict[int, str]):
    """Folded forms by code point, worked out where they are first needed."""

    def __missing__(self, code: int) -> str:
        folded = self[code] = fold_character(chr(code))
        return folded


_FOLDINGS = _Foldings()
