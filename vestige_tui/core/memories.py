"""Memories, their filters, pages of them, and the changes that are made to them.

Times are timezone-aware UTC datetimes, ids the strings that the store holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from vestige_tui.core.reviews import Scheduling

LOCAL_USER = "00000000-0000-0000-0000-000000000001"

Sort: TypeAlias = Literal["created", "updated", "due"]
Visibility: TypeAlias = Literal["private", "group", "public"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Memory:
    """One memory as the store holds it. ``id`` is the stored string, a UUID in all stores but some Vestige files."""

    id: str
    content: str
    node_type: str = "fact"
    tags: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    domain_scores: Mapping[str, float] = field(default_factory=dict)
    codebase: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    created_at: datetime | None = None
    updated_at: datetime | None = None
    owner_user_id: str = LOCAL_USER
    visibility: str = "private"
    shared_with_groups: tuple[str, ...] = ()
    superseded_by: str | None = None
    scheduling: Scheduling | None = None
    has_embedding: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """A memory to be written. Without ``id`` the store makes one; without times it takes now."""

    content: str
    id: str | None = None
    node_type: str = "fact"
    tags: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    domain_scores: Mapping[str, float] = field(default_factory=dict)
    codebase: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    created_at: datetime | None = None
    updated_at: datetime | None = None
    owner_user_id: str = LOCAL_USER
    visibility: str = "private"
    shared_with_groups: tuple[str, ...] = ()
    scheduling: Scheduling | None = None


@dataclass(frozen=True, slots=True)
class Patch:
    """What an edit changes; a field left at None stays as it is. ``codebase=""`` clears the codebase."""

    content: str | None = None
    node_type: str | None = None
    tags: tuple[str, ...] | None = None
    domains: tuple[str, ...] | None = None
    codebase: str | None = None
    visibility: str | None = None
    metadata: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Filter:
    """Which memories a question is about. Fields are ANDed; several values in one field are ORed."""

    domains: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    node_types: tuple[str, ...] = ()
    codebase: str | None = None
    owner: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    min_retrievability: float | None = None
    superseded: bool = False
    """Also those that another memory has replaced."""
    without_embedding: bool = False
    """Only those that lack a vector."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list; ``next`` is the cursor of the following page, None at the end."""

    items: tuple[T, ...]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One change by a person, with what was there before and after (plain JSON data)."""

    id: int
    at: datetime
    actor: str
    verb: str
    before: Any
    after: Any
    undone_by: int | None = None

    @property
    def ids(self) -> tuple[str, ...]:
        """The memories that this entry changed."""
        rows: list[Mapping[str, Any]] = list(self.after or []) or list(self.before or [])
        return tuple(str(row["id"]) for row in rows)


@dataclass(frozen=True, slots=True)
class Change:
    """What a command changed, and the journal entry that takes it back."""

    changed: tuple[str, ...]
    undo: int | None = None
    scheduling: Scheduling | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeletePreview:
    """What a delete would take along: edges and reviews lost, memories that would come back (their winner goes)."""

    memories: tuple[Memory, ...]
    edges: int
    reviews: int
    resurrected: tuple[Memory, ...]


@dataclass(frozen=True, slots=True)
class Facet:
    """One value that memories can be filtered by, with the number of memories that have it.

    ``alias`` stands for the value in a filter and ``title`` is its name in full: an owner's handle and display name.
    """

    value: str
    count: int
    alias: str = ""
    title: str = ""
