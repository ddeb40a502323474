"""Memories, their filters, pages of them, and changes to them.

Times are timezone-aware UTC datetimes, ids the strings that the store holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from vestige_tui.core.reviews import NO_MARKS, Marks, Scheduling

LOCAL_USER = "00000000-0000-0000-0000-000000000001"

Sort: TypeAlias = Literal["created", "updated", "due", "recall", "type", "oldest"]
MemoryState: TypeAlias = Literal["replaced", "due", "new", "suspended", "buried", "leech", "pinned", "without-vector"]
"""States of a memory that a filter takes; ``due`` is due by the end of today and neither suspended nor buried."""
Visibility: TypeAlias = Literal["private", "group", "public"]
VISIBILITIES: tuple[Visibility, ...] = ("private", "group", "public")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Memory:
    """One memory of a store. ``id`` is the stored string, a UUID except in some Vestige files."""

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
    marks: Marks = NO_MARKS


@dataclass(frozen=True, slots=True)
class Draft:
    """Memory to be written. The store adds a missing ``id`` and missing times."""

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
    """Changes of an edit; a field left at None is kept. ``codebase=""`` clears the codebase."""

    content: str | None = None
    node_type: str | None = None
    tags: tuple[str, ...] | None = None
    domains: tuple[str, ...] | None = None
    codebase: str | None = None
    owner_user_id: str | None = None
    visibility: str | None = None
    shared_with_groups: tuple[str, ...] | None = None
    metadata: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Conditions on memories, ANDed. ``domains`` etc.: any of these; ``all_``: all of them; ``no_``: none of them."""

    domains: tuple[str, ...] = ()
    all_domains: tuple[str, ...] = ()
    no_domains: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    all_tags: tuple[str, ...] = ()
    no_tags: tuple[str, ...] = ()
    node_types: tuple[str, ...] = ()
    all_node_types: tuple[str, ...] = ()
    no_node_types: tuple[str, ...] = ()
    codebases: tuple[str, ...] = ()
    all_codebases: tuple[str, ...] = ()
    no_codebases: tuple[str, ...] = ()
    owner: str | None = None
    no_owners: tuple[str, ...] = ()
    visibilities: tuple[str, ...] = ()
    all_visibilities: tuple[str, ...] = ()
    no_visibilities: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    """Shared with any of these groups."""
    all_groups: tuple[str, ...] = ()
    no_groups: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    min_retrievability: float | None = None
    states: tuple[MemoryState, ...] = ()
    """Only memories in all of these states; ``replaced`` among them includes replaced memories."""
    no_states: tuple[MemoryState, ...] = ()
    """Only memories in none of these states."""
    superseded: bool = False
    """Include replaced memories."""
    as_of: datetime | None = None
    """Moment of the answer: memories created by then, replaced or not by the decisions up to then."""

    def at(self, moment: datetime, *, superseded: bool = False) -> Filter:
        """Return this filter at a moment; ``superseded`` includes replaced memories."""
        return replace(self, as_of=moment, superseded=superseded or self.superseded)


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list; ``next`` is the cursor of the following page, None at the end."""

    items: tuple[T, ...]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One change by a user, with the rows before and after it (plain JSON data)."""

    id: int
    at: datetime
    actor: str
    verb: str
    before: Any
    after: Any
    undone_by: int | None = None
    origin: str | None = None
    """Console or command that made the change; None if an earlier version or a script did."""

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the memories that this entry changed. A snapshot without an id is of the store itself."""
        rows: list[Mapping[str, Any]] = list(self.after or []) or list(self.before or [])
        return tuple(str(row["id"]) for row in rows if "id" in row)


@dataclass(frozen=True, slots=True)
class UndoneChange:
    """Journal entry that was undone or redone; ``content`` is the text of its memory if it has only one.

    ``other`` is the text of the other memory of a link or a replacement.
    """

    entry: JournalEntry
    content: str = ""
    other: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """Memories that a command changed, and the journal entry that undoes it.

    ``undone`` is set by an undo, ``redone`` by a redo.
    """

    changed: tuple[str, ...]
    undo: int | None = None
    scheduling: Scheduling | None = None
    warnings: tuple[str, ...] = ()
    undone: UndoneChange | None = None
    redone: UndoneChange | None = None


@dataclass(frozen=True, slots=True)
class Facet:
    """Value that memories can be filtered by, with the number of memories that have it.

    ``alias`` stands for the value in a filter, ``title`` is its full name: an owner's handle and display name.
    """

    value: str
    count: int
    alias: str = ""
    title: str = ""
