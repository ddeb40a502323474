"""Width of text in terminal cells, by the table that Textual lays out with; the only module that loads ``rich.cells``.

It is loaded by the first text that is not ASCII, so that a command that prints none starts without it.
"""

from __future__ import annotations

MAX_CHARS_PER_CELL = 32
"""Characters that a cell is taken to hold at most: a base, its marks and joiners. A longer rest is not read."""


def cells(text: str) -> int:
    """Return the width of ``text`` in terminal cells."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def prefix(text: str, width: int) -> str:
    """Return the longest beginning of ``text`` that fits into ``width`` cells and divides no grapheme."""
    if text.isascii():
        return text[: max(0, width)]
    from rich.cells import split_graphemes

    end = 0
    for _, span_end, cell_count in split_graphemes(text[: max(0, width) * MAX_CHARS_PER_CELL])[0]:
        width -= cell_count
        if width < 0:
            break
        end = span_end
    return text[:end]
