"""Domains as values: those of a store with their members, the domains near a memory, and the names after a change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

CENTROID_AT = "centroid_at"
"""Key of a domain's metadata: the time at which its centroid was computed."""
SET_DOMAIN = "set_domain"
DOMAIN_VERBS = frozenset({SET_DOMAIN, "rename_domain", "merge_domains", "delete_domain"})
"""Verbs of the journal entries that change the rows of domains."""


@dataclass(frozen=True, slots=True)
class DomainSummary:
    """Domain of a store: a name on memories, a row of its own, or both."""

    name: str
    memories: int = 0
    """Number of its memories, replaced ones included."""
    replaced: int = 0
    label: str = ""
    """Title of its row; empty without one."""
    top_terms: tuple[str, ...] = ()
    has_row: bool = False
    dimension: int | None = None
    """Dimension of its centroid; None without one."""
    centroid_at: datetime | None = None
    """Time at which the centroid was computed; None if it is not known."""
    created_at: datetime | None = None

    @property
    def active(self) -> int:
        """Number of its memories that no other memory replaces."""
        return self.memories - self.replaced


@dataclass(frozen=True, slots=True)
class DomainScore:
    """Domain with the cosine of its centroid and the vector of a memory."""

    name: str
    label: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Classification:
    """Domains with a centroid by their similarity to a memory, best first; never empty."""

    memory_id: str
    domains: tuple[str, ...]
    """Domains that the memory is in."""
    scores: tuple[DomainScore, ...]

    @property
    def best(self) -> DomainScore:
        return self.scores[0]

    @property
    def margin(self) -> float | None:
        """Difference of the best two similarities; None for a single domain."""
        return self.scores[0].similarity - self.scores[1].similarity if len(self.scores) > 1 else None


def moved_names(names: Sequence[str], old: Sequence[str], into: str | None) -> tuple[str, ...]:
    """Return the domains of a memory with ``into`` in the place of each of ``old``, each once."""
    moved = (into if name in old else name for name in names)
    return tuple(dict.fromkeys(name for name in moved if name is not None))


def moved_scores(scores: Mapping[str, float], old: Sequence[str], into: str | None) -> dict[str, float]:
    """Return the scores of a memory by domain after a change of names; the best of several scores is kept."""
    kept = {name: score for name, score in scores.items() if name not in old}
    gone = [scores[name] for name in old if name in scores]
    if into is not None and gone:
        kept[into] = max([*gone, *(score for name, score in scores.items() if name == into)])
    return kept
