"""Facts of one memory in a few cells, the same in every list: state, age, recall and due date."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from vestige_tui.core.memories import Memory
from vestige_tui.core.scheduling import is_leech
from vestige_tui.core.text import ago

FULL, REST = "━", "─"
EIGHTHS = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class State:
    """State of a memory in the review cycle: glyph, word, ink, and what it means, for the legend."""

    glyph: str
    word: str
    ink: str
    meaning: str = ""


REPLACED = State("◇", "replaced", "faint", "another memory replaces it")
SUSPENDED = State("◌", "suspended", "faint", "left out of reviews until you resume it")
BURIED = State("◒", "buried", "faint", "left out of reviews until a set day")
NEW = State("○", "new", "muted", "never reviewed")
DUE = State("◐", "due", "waiting", "its review is due")
KNOWN = State("●", "known", "muted", "reviewed, not due yet")
LEECH = State("▽", "leech", "waiting", "forgotten again and again")
PINNED = State("◈", "pinned", "muted", "kept when several memories are deleted at once")
EDITED = State("△", "edited", "waiting", "its text was edited after the past moment that is shown")


def state_of(memory: Memory, now: datetime) -> State:
    """Return the state of a memory: replaced by another one, suspended, buried, new (never reviewed), due, or known."""
    if memory.superseded_by is not None:
        return REPLACED
    if memory.marks.suspended:
        return SUSPENDED
    if memory.marks.buried_until is not None and memory.marks.buried_until > now:
        return BURIED
    scheduling = memory.scheduling
    if scheduling is None or scheduling.reps == 0:
        return NEW
    if scheduling.next_review is not None and scheduling.next_review <= now:
        return DUE
    return KNOWN


def marks_of(memory: Memory) -> tuple[State, ...]:
    """Return the marks of a memory beside its state: leech, pinned."""
    leech = (LEECH,) if is_leech(memory.scheduling, memory.marks.cleared_lapses) else ()
    return (*leech, PINNED) if memory.marks.pinned else leech


def state_cells(memory: Memory, now: datetime) -> tuple[tuple[str, str], tuple[str, str]]:
    """Return the state of a memory and its first mark, a cell and an ink each; a space for a memory without marks."""
    state, marks = state_of(memory, now), marks_of(memory)
    return (state.glyph, state.ink), ((marks[0].glyph, marks[0].ink) if marks else (" ", "muted"))


def level(fraction: float, width: int) -> tuple[str, str]:
    """Return the full and the empty part of a bar of ``width`` cells for 0..1; full only at 1, empty only at 0."""
    full = round(max(0.0, min(1.0, fraction)) * width)
    if fraction > 0:
        full = max(1, full)
    if fraction < 1:
        full = min(width - 1, full) if width > 1 else full
    return FULL * full, REST * (width - full)


def spark(values: tuple[float, ...], width: int) -> str:
    """Return the last ``width`` values as a sparkline, scaled to the largest of them."""
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
    """Return the time since a moment, without the word ``ago``, which the column's title has."""
    if moment is None:
        return "─"
    text = ago(moment, now)
    return "now" if text == "just now" else text.removesuffix(" ago")


def due(memory: Memory, now: datetime) -> tuple[str, str]:
    """Return the due date of a memory (``in 9 d``, ``2 d late``, ``new``) and its ink."""
    state = state_of(memory, now)
    if state is SUSPENDED or state is BURIED:
        return (state.word, "faint")
    if state is NEW or state is REPLACED or memory.scheduling is None or memory.scheduling.next_review is None:
        return ("new", "faint") if state is NEW else ("─", "faint")
    text = ago(memory.scheduling.next_review, now)
    if state is DUE:
        return ("now" if text == "just now" else text.removesuffix(" ago") + " late"), "waiting"
    return text, "muted"
