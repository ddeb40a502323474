"""Literal search: characters as they stand in the newest memories, in the case as written first, then in any case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from vestige_tui.store.search.query_syntax import fold_ascii

MAX_SCANNED_ROWS = 200_000
"""Newest memories that a search by characters reads at most."""


def literal_block(literal: str) -> str:
    """Return the block that finds a literal: a search for characters, or for a pattern where one costs more."""
    return "branch_text_literal" if literal_pattern(literal) is None else "branch_text_literal_cased"


def literal_params(literal: str) -> dict[str, object]:
    """Return the values of either block."""
    pattern = literal_pattern(literal)
    sought = {"folded": fold_ascii(literal)} if pattern is None else {"pattern": pattern}
    return {"literal": literal, "scanned": MAX_SCANNED_ROWS, **sought}


def literal_pattern(literal: str) -> str | None:
    """Return a regular expression for a literal in any case, for both databases; None where only A to Z have a case.

    One letter stands for one letter: ß for ẞ, but not for SS.
    """
    if literal.isascii() or all(char.isascii() or _cases(char) == char for char in literal):
        return None
    return "".join(f"[{_cases(char)}]" if len(_cases(char)) > 1 else _escaped(char) for char in literal)


def _escaped(char: str) -> str:
    return f"\\{char}" if char.isascii() and not char.isalnum() and not char.isspace() else char


def _cases(char: str) -> str:
    """Return a letter in all of its cases, beginning with itself."""
    if char.isascii():
        return char if char.swapcase() == char else char + char.swapcase()
    return char + "".join(other for other in _letters_by_case().get(_case_key(char), ()) if other != char)


def _case_key(char: str) -> str:
    """Return the letter that stands for all cases of a letter (simple case folding)."""
    for folded in (char.casefold(), char.lower()):
        if len(folded) == 1:
            return folded
    return char


@cache
def _letters_by_case() -> Mapping[str, Sequence[str]]:
    letters: dict[str, list[str]] = {}
    for char in map(chr, (*range(0x80, 0xD800), *range(0xE000, 0x1E944))):
        if char.islower() or char.isupper() or char.istitle():
            letters.setdefault(_case_key(char), []).append(char)
    return letters
