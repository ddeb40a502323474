"""Width of text in terminal cells, by the table that Textual lays out with; the only module that loads ``rich.cells``.

It is loaded by the first text that is not ASCII, so that a command that prints none starts without it.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.cells import CellTable

MAX_CHARS_PER_CELL = 32
"""Characters that a cell is taken to hold at most: a base, its marks and joiners. A longer rest is not read."""


def cells(text: str) -> int:
    """Return the width of ``text`` in terminal cells."""
    if text.isascii():
        return len(text)
    load_table()
    from rich.cells import cell_len

    return cell_len(text)


def prefix(text: str, width: int) -> str:
    """Return the longest beginning of ``text`` that fits into ``width`` cells and divides no grapheme."""
    if text.isascii():
        return text[: max(0, width)]
    load_table()
    from rich.cells import split_graphemes

    end = 0
    for _, span_end, cell_count in split_graphemes(text[: max(0, width) * MAX_CHARS_PER_CELL])[0]:
        width -= cell_count
        if width < 0:
            break
        end = span_end
    return text[:end]


@cache
def load_table() -> None:
    """Give spacing marks a cell of their own in Rich's table, as tmux, xterm and wcwidth do.

    Without it a row with Devanagari or Tamil in it is laid out too narrow, and shifts all that follows.
    """
    import rich.cells

    def load(version: str = "auto") -> CellTable:
        return _with_spacing_marks(load_rich_table(version))

    load_rich_table = vars(rich.cells)["load_cell_table"]
    vars(rich.cells)["load_cell_table"] = cache(load)
    rich.cells.get_character_cell_size.cache_clear()
    rich.cells.cached_cell_len.cache_clear()


def _with_spacing_marks(table: CellTable) -> CellTable:
    widths: list[tuple[int, int, int]] = []
    for first, last, width in table.widths:
        if width:
            widths.append((first, last, width))
            continue
        for is_spacing, group in groupby(range(first, last + 1), is_spacing_mark):
            codes = list(group)
            if not is_spacing:
                widths.append((codes[0], codes[-1], 0))
    return table._replace(widths=widths)


def is_spacing_mark(code: int) -> bool:
    """Check whether a character stands beside its base and belongs to it, as most vowel signs of India do."""
    return unicodedata.category(chr(code)) == "Mc"
