"""Filters in words: the chip of a filter line."""

from __future__ import annotations

from collections.abc import Mapping

from vestige_tui.core.filter_syntax import Chip
from vestige_tui.core.text import plain

_SIGN_WORDS: Mapping[str, str] = {"": "", "+": "all of ", "-": "not "}


def chip_words(chip: Chip) -> tuple[str, str]:
    """Return the label and the value of a chip, both safe to show: ``not tag``, ``draft``."""
    sign = _SIGN_WORDS["" if chip.field in ("is", "owner") and chip.sign == "+" else chip.sign]
    return f"{sign}{plain(chip.field)}", plain(chip.value)
