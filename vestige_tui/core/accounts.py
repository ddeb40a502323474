"""Users, groups and domains as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Account:
    """User or group."""

    id: str
    """A UUID."""
    handle: str
    """Short name, unique among the users or the groups of a store."""
    display_name: str
    created_at: datetime


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
    created_at: datetime
