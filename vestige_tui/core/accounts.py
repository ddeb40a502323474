"""Users, groups and domains as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import Vector


@dataclass(frozen=True, slots=True)
class Account:
    """User or group."""

    id: str
    """A UUID."""
    handle: str
    """Short name, unique among the users or the groups of a store."""
    display_name: str | None
    created_at: datetime
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class User(Account):
    """User, the owner of memories."""


@dataclass(frozen=True, slots=True)
class Group(Account):
    """Group of users, with which memories are shared."""


@dataclass(frozen=True, slots=True)
class UserSummary:
    """User with the handles of the groups, and the number of memories that the user owns, by visibility."""

    account: Account
    groups: tuple[str, ...]
    memories: Mapping[str, int]

    @property
    def total(self) -> int:
        """Return the number of the user's memories."""
        return sum(self.memories.values())


@dataclass(frozen=True, slots=True)
class GroupSummary:
    """Group with the handles of its members, and the number of memories that are shared with it."""

    account: Account
    members: tuple[str, ...]
    shared: int


@dataclass(frozen=True, slots=True)
class Membership:
    """User in a group."""

    user_id: str
    group_id: str
    joined_at: datetime
    role: str = "member"
    """``member`` or ``admin``."""


@dataclass(frozen=True, slots=True)
class Domain:
    """Domain with its label and the terms that are typical of it; memories name it by ``id``."""

    id: str
    label: str
    top_terms: tuple[str, ...]
    memory_count: int
    """Number of its memories when the row was written."""
    created_at: datetime
    metadata: Mapping[str, Any] = field(default_factory=dict)
    centroid: Vector | None = field(default=None, compare=False)
    """Mean of the vectors of its memories, (dimension,)."""
