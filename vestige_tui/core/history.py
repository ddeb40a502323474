"""History of a store: memories at a past moment, and the difference of two moments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from vestige_tui.core.links import SupersessionEvent
from vestige_tui.core.memories import Memory


@dataclass(frozen=True, slots=True)
class DecidedMemory:
    """Memory that a decision replaced or made active again; None if the log does not have that decision."""

    memory: Memory
    decision: SupersessionEvent | None = None


@dataclass(frozen=True, slots=True)
class DeletedMemory:
    """Memory that was deleted, from the journal entry ``entry``; ``content`` is the beginning of its text."""

    id: str
    content: str
    node_type: str
    tags: tuple[str, ...]
    created_at: datetime | None
    deleted_at: datetime
    actor: str
    entry: int


@dataclass(frozen=True, slots=True)
class DifferenceCounts:
    """Numbers of memories that differ between two moments, in the groups of a ``Difference``."""

    appeared: int = 0
    superseded: int = 0
    active_again: int = 0
    deleted: int = 0

    @property
    def total(self) -> int:
        return self.appeared + self.superseded + self.active_again + self.deleted


@dataclass(frozen=True, slots=True)
class Difference:
    """Difference of the memories that are active at ``start`` and at ``end``, each group newest first.

    ``appeared``: created between them and active at the end; ``superseded``: active at the start only;
    ``active_again``: replaced at the start, active at the end. ``deleted`` lists the journal's deletions
    between them: such a memory is active at neither. A group holds a limited number, ``counts`` has all.
    """

    start: datetime
    end: datetime
    appeared: tuple[Memory, ...]
    superseded: tuple[DecidedMemory, ...]
    active_again: tuple[DecidedMemory, ...]
    deleted: tuple[DeletedMemory, ...]
    counts: DifferenceCounts
