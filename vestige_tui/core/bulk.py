"""Changes of many memories at once: which memories, which change, and the preview of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import ClassVar, Literal, TypeAlias

from vestige_tui.core.marks import MarkVerb
from vestige_tui.core.memories import Filter, Memory, Patch

DomainVerb: TypeAlias = Literal["rename_domain", "merge_domains", "delete_domain"]


@dataclass(frozen=True, slots=True)
class Target:
    """Memories of a bulk change: those of ``ids``, or, with a ``filter``, all that pass it."""

    ids: tuple[str, ...] = ()
    filter: Filter | None = None


@dataclass(frozen=True, slots=True)
class TagEdit:
    """Add and remove tags."""

    verb: ClassVar[str] = "tag"
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FieldEdit:
    """Set fields. The text is not one of them."""

    verb: ClassVar[str] = "edit"
    patch: Patch


@dataclass(frozen=True, slots=True)
class Deletion:
    """Delete the memories with their vectors, schedules, links and reviews.

    With ``keep_replaced`` the memories that they replaced stay replaced, by the one that replaces the deleted memory.
    """

    verb: ClassVar[str] = "delete"
    keep_replaced: bool = False


@dataclass(frozen=True, slots=True)
class Replacement:
    """Mark the memories as replaced by one memory."""

    verb: ClassVar[str] = "supersede"
    winner_id: str


@dataclass(frozen=True, slots=True)
class MarkEdit:
    """Change the marks of the memories; a burial is ``until`` a time (None: the next local day)."""

    verb: MarkVerb
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class DomainEdit:
    """Add domains to the memories, and remove domains from them."""

    verb: ClassVar[str] = "edit"
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DomainMove:
    """Replace domains by another one wherever they occur: a rename or a merge; without ``into`` remove them."""

    verb: DomainVerb
    names: tuple[str, ...]
    into: str | None = None


Operation: TypeAlias = TagEdit | FieldEdit | Deletion | Replacement | MarkEdit | DomainEdit | DomainMove


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Memories of the target that a bulk change does not touch, with the reason as a clause."""

    reason: str
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BulkPreview:
    """Memories that an operation will change, in the order of the list, and its consequences.

    ``versions`` holds a hash of each memory as it was read: the operation is refused if one has changed since.
    """

    operation: Operation
    ids: tuple[str, ...]
    versions: tuple[int, ...]
    types: Mapping[str, int] = field(default_factory=dict)
    """Number of memories of each type, most frequent first."""
    left_out: tuple[LeftOut, ...] = ()
    missing: int = 0
    """Number of ids of the target that no longer exist."""
    edges: int = 0
    """Links that a deletion deletes."""
    reviews: int = 0
    """Reviews that a deletion deletes."""
    resurrected: tuple[Memory, ...] = ()
    """Memories that become active again because the one that replaces them is deleted; at most SHOWN_RESURRECTED."""
    resurrected_count: int = 0
    beside: Mapping[str, Memory] = field(default_factory=dict)
    """Memories that replace the deleted ones themselves, by the ids of the resurrected or followed ones."""
    beside_count: int = 0
    """Resurrected memories that stand beside such a one, and would stay replaced by it with ``keep_replaced``."""
    followed: tuple[Memory, ...] = ()
    """Memories that stay replaced, by the one that replaces the deleted memory; at most SHOWN_RESURRECTED."""
    followed_count: int = 0
    first: Memory | None = None
    """First of the memories, for a sentence on the only one."""
    winner: Memory | None = None
    """Memory that replaces the others."""


def keeping_replaced(preview: BulkPreview) -> BulkPreview:
    """Return the preview of a deletion that keeps the memories replaced which it would make active beside others."""
    return replace(
        preview,
        operation=Deletion(keep_replaced=True),
        resurrected=tuple(memory for memory in preview.resurrected if memory.id not in preview.beside),
        resurrected_count=preview.resurrected_count - preview.beside_count,
        beside_count=0,
        followed=tuple(memory for memory in preview.resurrected if memory.id in preview.beside),
        followed_count=preview.beside_count,
    )
