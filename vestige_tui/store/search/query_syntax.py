"""Query syntax of a search, the same for both backends; no input is an error.

Plain words are optional. A "phrase" and a +word must occur, a -word (or -"phrase") must not. OR between two words is
the default for plain words, so it is left out. Stop words are left out unless marked by + or quotes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from vestige_tui.store.search.folding import UNSPACED

# fmt: off
STOP_WORDS = frozenset({
    "a", "about", "above", "after", "again", "against", "all", "am", "an", "and", "any", "are", "arent", "as",
    "at", "be", "because", "been", "before", "being", "below", "between", "both", "but", "by", "can", "cant",
    "could", "couldnt", "d", "did", "didnt", "do", "does", "doesnt", "doing", "dont", "down", "during", "each",
    "few", "for", "from", "further", "had", "hadnt", "has", "hasnt", "have", "havent", "having", "he", "her",
    "here", "hers", "herself", "him", "himself", "his", "how", "i", "if", "im", "in", "into", "is", "isnt", "it",
    "its", "itself", "ive", "just", "let", "lets", "ll", "m", "me", "more", "most", "my", "myself", "no", "nor",
    "not", "now", "o", "of", "off", "on", "once", "only", "or", "other", "our", "ours", "ourselves", "out",
    "over", "own", "re", "s", "same", "she", "should", "shouldnt", "so", "some", "such", "t", "than", "that",
    "thats", "the", "their", "theirs", "them", "themselves", "then", "there", "theres", "these", "they", "theyre",
    "this", "those", "through", "to", "too", "under", "until", "up", "ve", "very", "was", "wasnt", "we", "were",
    "werent", "weve", "what", "whats", "when", "where", "which", "while", "who", "whom", "why", "will", "with",
    "wont", "would", "wouldnt", "you", "your", "youre", "yours", "yourself", "yourselves",
})
# fmt: on

_TOKEN = re.compile(r"""([+-]?)"([^"]*)"?|([+-]?)([^\s"]+)""")
_WORDLIKE = re.compile(r"[^\W_]")
_MAX_WORDS = 64
_UNSPACED = re.compile(f"[{UNSPACED}]")
_RUN = re.compile(rf"[{UNSPACED}]+|[^\W{UNSPACED}]+")
_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


@dataclass(frozen=True, slots=True)
class ParsedQuery:
    """A parsed query: ``ranked`` words rank, ``must`` words have to occur, ``must_not`` words may not."""

    ranked: tuple[str, ...]
    must: tuple[str, ...]
    must_not: tuple[str, ...]
    spoken: str
    """Query without its marks and its -words, as the model encodes it."""
    dropped: tuple[str, ...]
    """Stop words that are left out."""

    @property
    def negative_only(self) -> bool:
        return bool(self.must_not) and not self.ranked and not self.spoken


@dataclass(frozen=True, slots=True)
class MarkedPart:
    """Part of a query that must or must not occur, as it is ``written`` from ``start`` to ``end``.

    ``plain`` are its words without the mark; empty for those that must not occur.
    """

    kind: Literal["phrase", "word", "excluded"]
    written: str
    plain: str
    start: int
    end: int


def marked_parts(text: str) -> tuple[MarkedPart, ...]:
    """Return the marked parts of a query in their order, each once."""
    parts: dict[str, MarkedPart] = {}
    for match in _TOKEN.finditer(_without_controls(text)):
        is_quoted = match[2] is not None
        mark, body = (match[1], match[2]) if is_quoted else (match[3], match[4])
        if not (mark or is_quoted) or not _WORDLIKE.search(body):
            continue
        kind: Literal["phrase", "word", "excluded"] = "excluded" if mark == "-" else "phrase" if is_quoted else "word"
        part = MarkedPart(kind, match[0].strip(), "" if mark == "-" else _unmarked(body), match.start(), match.end())
        parts.setdefault(part.written, part)
    return tuple(parts.values())


def without_marks(text: str, parts: Sequence[MarkedPart]) -> str:
    """Return a query in which these parts, wherever they stand, are plain words, or gone if they must not occur."""
    plain = {part.written: part.plain for part in parts}
    shown = _TOKEN.sub(lambda match: plain.get(match[0].strip(), match[0]), _without_controls(text))
    return " ".join(shown.split())


def _unmarked(body: str) -> str:
    """Return the words of a phrase such that none of them is a mark, or a filter of the search line."""
    return " ".join(word.lstrip("+-").replace(":", " ") for word in body.split() if word.strip("+-"))


def is_unspaced(text: str) -> bool:
    """Check for letters of a script without spaces between words, which no text index can split."""
    return _UNSPACED.search(text) is not None


def pieces(words: Iterable[str]) -> tuple[str, ...]:
    """Return strings to look for by characters: overlapping pairs of letters of scripts without spaces."""
    parts: dict[str, None] = {}
    for run in _runs(words):
        if len(run) == 1 and is_unspaced(run):
            parts[run] = None
        elif is_unspaced(run):
            parts.update(dict.fromkeys(run[start : start + 2] for start in range(len(run) - 1)))
    return tuple(parts)[:_MAX_WORDS]


def spaced_words(words: Iterable[str]) -> tuple[str, ...]:
    """Return the words, and parts of words, of the other scripts, which the text index holds."""
    return tuple(dict.fromkeys(run for run in _runs(words) if not is_unspaced(run)))[:_MAX_WORDS]


def _runs(words: Iterable[str]) -> Iterator[str]:
    for word in words:
        yield from _RUN.findall(fold_ascii(word))


def fold_ascii(text: str) -> str:
    """Return the text with A to Z in lower case and nothing else changed, as both databases can fold it."""
    return text.translate(_LOWER)


def _without_controls(text: str) -> str:
    return "".join(" " if ord(char) < 32 or 0xD800 <= ord(char) <= 0xDFFF else char for char in text)


def parse(text: str) -> ParsedQuery:
    """Parse a query; control characters count as spaces, and at most 64 words rank."""
    clean = _without_controls(text)
    ranked: list[str] = []
    must: list[str] = []
    must_not: list[str] = []
    spoken: list[str] = []
    dropped: list[str] = []
    for match in _TOKEN.finditer(clean):
        is_quoted = match[2] is not None
        mark, body = (match[1], match[2]) if is_quoted else (match[3], match[4])
        if not _WORDLIKE.search(body):
            continue
        if mark == "-":
            must_not.append(body)
            continue
        if not is_quoted and not mark and body == "OR":
            continue
        spoken.append(body)
        if is_quoted or mark == "+":
            must.append(body)
            ranked.append(body)
        elif re.sub(r"[\W_]", "", body).casefold() in STOP_WORDS:
            dropped.append(body)
        else:
            ranked.append(body)
    if not spoken and not must_not and clean.strip():
        # Only marks: no word to search for, but no error either.
        spoken, dropped = [clean.strip()], [clean.strip()]
    return ParsedQuery(
        ranked=tuple(dict.fromkeys(ranked))[:_MAX_WORDS],
        must=tuple(dict.fromkeys(must))[:_MAX_WORDS],
        must_not=tuple(dict.fromkeys(must_not))[:_MAX_WORDS],
        spoken=" ".join(spoken),
        dropped=tuple(dropped),
    )
