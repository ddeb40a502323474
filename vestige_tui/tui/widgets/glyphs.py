"""How one memory's facts are said in a few cells, the same in every list: its state, age, recall and due date."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from vestige_tui.core.memories import Memory
from vestige_tui.core.text import ago

FULL, REST = "━", "─"
EIGHTHS = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class State:
    """What a memory's place in the review cycle is: a shape, the word for it, and its ink."""

    glyph: str
    word: str
    ink: str


REPLACED = State("◇", "replaced", "faint")
NEW = State("○", "new", "muted")
DUE = State("◐", "due", "waiting")
KNOWN = State("●", "known", "muted")


def state_of(memory: Memory, now: datetime) -> State:
    """Return the state of a memory: replaced by another one, new (never reviewed), due, or known until it is due."""
    if memory.superseded_by is not None:
        return REPLACED
    scheduling = memory.scheduling
    if scheduling is None or scheduling.reps == 0:
        return NEW
    if scheduling.next_review is not None and scheduling.next_review <= now:
        return DUE
    return KNOWN


def level(fraction: float, width: int) -> tuple[str, str]:
    """Return the full and the empty part of a bar of ``width`` cells for a fraction 0..1, neither before its time."""
    full = round(max(0.0, min(1.0, fraction)) * width)
    if fraction > 0:
        full = max(1, full)
    if fraction < 1:
        full = min(width - 1, full) if width > 1 else full
    return FULL * full, REST * (width - full)


def spark(values: tuple[float, ...], width: int) -> str:
    """Return the last ``width`` values as bars of one line, the largest of them the full height."""
    shown = values[-width:]
    top = max(shown, default=0.0)
    if top <= 0:
        return EIGHTHS[1] * len(shown)
    return "".join(EIGHTHS[max(1, min(8, round(value / top * 8)))] for value in shown)


def figure(recall: float) -> str:
    """Return a probability in three or four cells: ``.84``, ``1.0``."""
    text = f"{recall:.2f}"
    return "1.0" if text == "1.00" else text.removeprefix("0")


def age(moment: datetime | None, now: datetime) -> str:
    """Return how long ago a moment was, without the word ``ago``, which a column's title says."""
    if moment is None:
        return "─"
    said = ago(moment, now)
    return "now" if said == "just now" else said.removesuffix(" ago")


def due(memory: Memory, now: datetime) -> tuple[str, str]:
    """Return when a memory is due (``in 9 d``, ``2 d late``, ``new``) and the ink to say it in."""
    state = state_of(memory, now)
    if state is NEW or state is REPLACED or memory.scheduling is None or memory.scheduling.next_review is None:
        return ("new", "faint") if state is NEW else ("─", "faint")
    said = ago(memory.scheduling.next_review, now)
    if state is DUE:
        return ("now" if said == "just now" else said.removesuffix(" ago") + " late"), "waiting"
    return said, "muted"
