"""Links of memories: edges, and supersession decisions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from vestige_tui.core.memories import Memory

EventKind: TypeAlias = Literal["supersede", "unsupersede", "winner_deleted", "imported"]


@dataclass(frozen=True, slots=True)
class Edge:
    """Directed link between two memories; ``weight`` 0..1."""

    source_id: str
    target_id: str
    edge_type: str = "related"
    weight: float = 1.0
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Neighbor:
    """Memory reached over edges: the largest product of weights over all paths, and the edge count of that path."""

    memory: Memory
    weight: float
    depth: int


@dataclass(frozen=True, slots=True)
class SupersessionEvent:
    """Row of the append-only log: since ``decided_at`` ``winner_id`` (None: nothing) replaces ``loser_id``."""

    id: int
    loser_id: str
    winner_id: str | None
    kind: str
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class Lineage:
    """Tree of supersession: a memory and those that it replaced, recursively."""

    memory: Memory
    replaces: tuple[Lineage, ...] = ()
