"""Breakpoints: widths of the terminal, in cells, at which screens change their layout."""

from __future__ import annotations

NARROW_BELOW_CELLS, WIDE_FROM_CELLS = 70, 100
HORIZONTAL = [(0, "-narrow"), (NARROW_BELOW_CELLS, "-medium"), (WIDE_FROM_CELLS, "-wide")]
"""Least width of each layout and its CSS class, as Textual expects them."""


def is_narrow(width: int) -> bool:
    """Check whether a screen of this width has the narrow layout."""
    return width < NARROW_BELOW_CELLS


def is_wide(width: int) -> bool:
    """Check whether a screen of this width has the wide layout."""
    return width >= WIDE_FROM_CELLS
