"""Marks of a memory in words."""

from __future__ import annotations

from datetime import datetime

from vestige_tui.core.memories import Memory
from vestige_tui.core.scheduling import is_leech


def mark_words(memory: Memory, now: datetime, *, dated: bool = False) -> tuple[str, ...]:
    """Return the marks of a memory: ``suspended``, ``buried`` (with ``dated`` until when), ``leech``, ``pinned``."""
    marks = memory.marks
    words = []
    if marks.suspended:
        words.append("suspended")
    if marks.buried_until is not None and marks.buried_until > now:
        words.append(f"buried until {marks.buried_until.astimezone():%Y-%m-%d}" if dated else "buried")
    if is_leech(memory.scheduling, marks.cleared_lapses):
        words.append("leech")
    if marks.pinned:
        words.append("pinned")
    return tuple(words)
