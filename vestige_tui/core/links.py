"""What connects memories: edges, and the decisions by which one supersedes another."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from vestige_tui.core.memories import Memory

EventKind: TypeAlias = Literal["supersede", "unsupersede", "winner_deleted", "imported"]


@dataclass(frozen=True, slots=True)
class Edge:
    """A directed link between two memories; ``weight`` 0..1."""

    source_id: str
    target_id: str
    edge_type: str = "related"
    weight: float = 1.0
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Neighbor:
    """A memory reached over edges: the best product of weights along any path, and how many edges that path has."""

    memory: Memory
    weight: float
    depth: int


@dataclass(frozen=True, slots=True)
class SupersessionEvent:
    """One row of the append-only log: since ``decided_at`` ``winner_id`` (None: nothing) replaces ``loser_id``."""

    id: int
    loser_id: str
    winner_id: str | None
    kind: str
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class Lineage:
    """A memory and those that it replaced, each with what it replaced in turn."""

    memory: Memory
    replaces: tuple[Lineage, ...] = ()
