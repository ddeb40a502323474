"""Passages: the part of a memory that matches a search, for lists, the command line and JSON."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from vestige_tui.core.search import Match, MatchTerms
from vestige_tui.core.text import bare_line_span, cells, cut, first_line_span, plain
from vestige_tui.store.search.matches import matches, spans

PASSAGE_CHARS = 200
"""Length of a passage in JSON."""

MIN_LEAD_CHARS = 8
"""Text before the first match that is always shown, so that a passage can begin where the line does."""

Part: TypeAlias = tuple[str, bool]
"""Text that is safe to show, and whether it matches."""

# The last five are the marks of Chinese and Japanese.
_SENTENCE_END = re.compile(r"[.!?;:]\s+|[\u3002\uff01\uff1f\uff1b\uff1a]")
_WORD_END = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Passage:
    """Part of a text from ``start`` to ``end``; ``highlights`` are the places that match, from the start of the text.

    ``opens``: it begins where a line does.
    """

    start: int
    end: int
    highlights: tuple[tuple[int, int], ...]
    opens: bool = True


def passage_of(content: str, terms: MatchTerms, width: int, measure: Callable[[str], int] = len) -> Passage:
    """Return the passage with the most terms, of at most ``width`` characters; the first line, if none has more.

    By ``measure`` its first match is within ``width``.
    """
    found = matches(terms, content)
    line_start, line_end = first_line_span(content)
    line_end = min(line_end, line_start + width)
    best = _best_group(found, width * 3 // 4)
    in_line = [match for match in found if line_start <= match.start and match.end <= line_end]
    while in_line and measure(content[line_start : in_line[-1].end]) >= width:
        in_line.pop()
    if not best or _terms(in_line) >= _terms(best):
        return _passage(content, line_start, line_end, found)
    first, last = best[0].start, best[-1].end
    start, opens = _begin(content, first, max(0, width - (last - first)))
    while start < first and measure(content[start : best[0].end]) >= width:
        start, opens = start + 1, False
    end = start + len(content[start : start + width].rstrip())
    return _passage(content, start, end, found, opens=opens)


def passage_parts(content: str, terms: MatchTerms, width: int) -> list[Part]:
    """Return the passage in one line of at most ``width`` cells, as parts in their order."""
    passage = passage_of(content, terms, width, cells)
    parts: list[Part] = [] if passage.opens else [("…", False)]
    at = passage.start
    for start, end in passage.highlights:
        parts += [(plain(content[at:start]), False), (plain(content[start:end]), True)]
        at = end
    parts.append((plain(content[at : passage.end]), False))
    first_line = first_line_span(content)
    ends = passage.end >= (first_line[1] if passage.start == first_line[0] else len(content.rstrip()))
    return _cut_parts([part for part in parts if part[0]], width, ends=ends)


def marked_parts(text: str, terms: MatchTerms) -> list[Part]:
    """Return a whole text of one line, such as a tag, as parts in their order."""
    return _parts(text, spans(matches(terms, text)))


def passage_document(content: str, terms: MatchTerms) -> dict[str, Any]:
    """Return the passage as JSON: its text as stored, its offset, and the places that match from its beginning."""
    passage = passage_of(content, terms, PASSAGE_CHARS)
    return {
        "text": content[passage.start : passage.end],
        "start": passage.start,
        "highlights": [[start - passage.start, end - passage.start] for start, end in passage.highlights],
    }


def _parts(text: str, places: Sequence[tuple[int, int]]) -> list[Part]:
    parts: list[Part] = []
    at = 0
    for start, end in places:
        parts += [(plain(text[at:start]), False), (plain(text[start:end]), True)]
        at = end
    parts.append((plain(text[at:]), False))
    return [part for part in parts if part[0]]


def _terms(found: Sequence[Match]) -> int:
    return len({match.term for match in found})


def _best_group(found: Sequence[Match], width: int) -> Sequence[Match]:
    """Return the neighbouring matches within so many characters that have the most terms, then the most matches."""
    best: Sequence[Match] = ()
    best_key, end = (0, 0), 0
    counts: dict[int, int] = {}
    for index, first in enumerate(found):
        if index and (gone := found[index - 1].term) in counts:
            counts[gone] -= 1
            if not counts[gone]:
                del counts[gone]
        while end < len(found) and (end <= index or found[end].end - first.start <= width):
            counts[found[end].term] = counts.get(found[end].term, 0) + 1
            end += 1
        key = (len(counts), end - index)
        if key > best_key:
            best, best_key = found[index:end], key
    return best


def _begin(content: str, first: int, room: int) -> tuple[int, bool]:
    """Return where a passage begins that has its first match at ``first``, and whether a line begins there.

    At the beginning of the line or of a sentence if that is near, else at a word.
    """
    line = content.rfind("\n", 0, first) + 1
    end = content.find("\n", first)
    line = min(first, bare_line_span(content, line, len(content) if end < 0 else end)[0])
    # Where little text follows, more of what is before fits.
    lead = max(room // 3, first + room - len(content.rstrip()))
    if first - line <= max(room // 2, lead, MIN_LEAD_CHARS):
        return line, True
    earliest = first - lead
    before = content[max(line, earliest) : first]
    for boundary in (_SENTENCE_END, _WORD_END):
        ends = [each.end() for each in boundary.finditer(before)]
        if ends:
            return first - len(before) + ends[0], False
    return first - len(before), False


def _passage(content: str, start: int, end: int, found: Sequence[Match], *, opens: bool = True) -> Passage:
    shown = [(max(start, a), min(end, b)) for a, b in spans(found) if a < end and b > start]
    return Passage(start, end, tuple(shown), opens)


def _cut_parts(parts: Sequence[Part], width: int, *, ends: bool) -> list[Part]:
    """Return the parts in at most ``width`` cells, with ``…`` at the end where text is left out."""
    shown: list[Part] = []
    room = width
    for index, (text, matched) in enumerate(parts):
        last = index == len(parts) - 1
        if cells(text) <= room - (0 if last and ends else 1):
            shown.append((text, matched))
            room -= cells(text)
            continue
        # The cut text ends in its own sign.
        return [*shown, (cut(f"{text}{'' if last and ends else ' …'}", room), matched)]
    return shown if ends else [*shown, ("…", False)]
