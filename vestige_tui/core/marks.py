"""Marks of a memory after each change of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Literal, TypeAlias

from vestige_tui.core.memories import Memory
from vestige_tui.core.reviews import Marks
from vestige_tui.core.scheduling import is_leech

MarkVerb: TypeAlias = Literal["suspend", "bury", "resume", "pin", "unpin", "clear_marks"]


def marks_after(verb: MarkVerb, memory: Memory, until: datetime | None = None) -> Marks:
    """Return the marks of a memory after a change; ``until`` is the time of a burial.

    After ``clear_marks`` the memory has none, and the lapses that made it a leech no longer count.
    """
    marks, state = memory.marks, memory.scheduling
    match verb:
        case "pin" | "unpin":
            return replace(marks, pinned=verb == "pin")
        case "clear_marks":
            lapses = marks.cleared_lapses
            return Marks(cleared_lapses=state.lapses if state is not None and is_leech(state, lapses) else lapses)
    return replace(marks, suspended=verb == "suspend", buried_until=until if verb == "bury" else None)
