"""Value of a memory card: one memory with all that is shown around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from vestige_tui.core.links import Edge, Lineage, Neighbor
from vestige_tui.core.memories import Memory
from vestige_tui.core.reviews import Review
from vestige_tui.core.search import NO_TERMS, Hit, MatchTerms


@dataclass(frozen=True, slots=True)
class MemoryDetail:
    """Memory with all that its card shows; parts not loaded are empty."""

    memory: Memory
    edges: tuple[Edge, ...] = ()
    neighbors: tuple[Neighbor, ...] = ()
    reviews: tuple[Review, ...] = ()
    lineage: Lineage | None = None
    hit: Hit | None = None
    """Hit of the search that found it."""
    terms: MatchTerms = NO_TERMS
    """Terms of that search, which are highlighted."""
    edited_at: datetime | None = None
    """Last edit of its text since the past moment that is shown, None without one."""
    is_past: bool = False
    """True if it is shown as of a past moment; its marks are those of today."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Handles of its owner and groups by id, of those that the store knows."""
