"""Faults in the rows of a store, the findings of the doctor by kind, and the changes that fix them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Image: TypeAlias = Mapping[str, Any]
"""A whole row as JSON: the values by column, each in a form from which the same value can be stored again."""
Action: TypeAlias = Literal["set", "delete", "vector", "event", "touch", "none"]
"""Change of a row: set columns, delete, delete a vector with its marks, append an event; or none.

A row to touch is changed by the action of another one."""
Remedy: TypeAlias = Literal["rows", "index", "mode", "none"]
"""Objects that a fix changes: rows, which an undo brings back; the text index or the mode of files; or nothing."""

MAX_EXAMPLES = 5
"""Examples of a finding: ids of memories, or names of rows and files."""

Stage: TypeAlias = Literal["checking", "previewing", "fixing", "committing"]


@dataclass(frozen=True, slots=True)
class DoctorStep:
    """Progress of the doctor: checks, or rows, that are done, of how many. A fix is not cancelled while it commits."""

    stage: Stage
    done: int
    total: int


DoctorListener: TypeAlias = Callable[[DoctorStep], None]


def ignore(step: DoctorStep) -> None:
    """Receive the progress of the doctor without showing it."""


@dataclass(frozen=True, slots=True)
class FaultKind:
    """Kind of fault: its name in JSON and commands, and the objects that its fix changes."""

    name: str
    remedy: Remedy
    of_memories: bool = True
    """Whether its examples are memories."""


KINDS: Mapping[str, FaultKind] = {
    kind.name: kind
    for kind in (
        FaultKind("vector_width", "rows"),
        FaultKind("vector_infinite", "rows"),
        FaultKind("vector_zero", "rows"),
        FaultKind("vector_orphan", "rows", of_memories=False),
        FaultKind("flag_set", "rows"),
        FaultKind("flag_unset", "rows"),
        FaultKind("time", "rows"),
        FaultKind("json", "rows"),
        FaultKind("schedule", "rows"),
        FaultKind("winner_missing", "rows"),
        FaultKind("winner_circle", "rows"),
        FaultKind("winner_cache", "rows"),
        FaultKind("orphan", "rows", of_memories=False),
        FaultKind("duplicate_id", "none"),
        FaultKind("text_index", "index"),
        FaultKind("file_mode", "mode", of_memories=False),
    )
}
"""Every kind of fault, in the order of a report."""


@dataclass(frozen=True, slots=True)
class RowKey:
    """A row of a table, by the columns of its primary key, or by its row number."""

    table: str
    key: tuple[tuple[str, Any], ...]

    @classmethod
    def of(cls, table: str, key: Mapping[str, Any]) -> RowKey:
        return cls(table, tuple(key.items()))

    @property
    def values(self) -> dict[str, Any]:
        return dict(self.key)


@dataclass(frozen=True, slots=True)
class FaultyRow:
    """A row with a fault of a kind, and the change that fixes it.

    ``subject`` is the id of its memory, or the name of the row; ``sets`` are the new values of its columns, or the
    fields of the appended event.
    """

    kind: str
    row: RowKey
    subject: str
    action: Action
    sets: Image


@dataclass(frozen=True, slots=True)
class Finding:
    """Faults of one kind: their number, the number of those that a fix changes, and the first subjects."""

    kind: str
    count: int
    fixable: int
    examples: tuple[str, ...]

    @property
    def remedy(self) -> Remedy:
        return KINDS[self.kind].remedy if self.fixable else "none"


@dataclass(frozen=True, slots=True)
class TableNotShown:
    """Table of the database that the console does not show; ``rows`` is None if they cannot be counted."""

    name: str
    rows: int | None


@dataclass(frozen=True, slots=True)
class Examination:
    """Result of a look at every row of a store. ``unfinished`` names the checks that could not be made."""

    findings: tuple[Finding, ...]
    other_tables: tuple[TableNotShown, ...] = ()
    unfinished: tuple[str, ...] = ()

    @property
    def fixable(self) -> tuple[str, ...]:
        """Kinds of which a fix changes something."""
        return tuple(each.kind for each in self.findings if each.fixable)


@dataclass(frozen=True, slots=True)
class RowChange:
    """Change of one row by a fix: None before is a new row, None after a deleted one.

    A row that stays has only the columns that change.
    """

    kind: str
    subject: str
    row: RowKey
    before: Image | None
    after: Image | None

    def changed_columns(self) -> dict[str, tuple[Any, Any]]:
        """Return the value before and after of each column that differs."""
        before, after = self.before or {}, self.after or {}
        return {
            name: (before.get(name), after.get(name))
            for name in {**before, **after}
            if before.get(name) != after.get(name)
        }


@dataclass(frozen=True, slots=True)
class FixPreview:
    """Changes that a fix of some kinds makes, row by row, and its other effects.

    ``texts`` is the number of memories that are indexed again, ``files`` the files whose mode changes, ``digest`` that
    of the rows as they were read.
    """

    kinds: tuple[str, ...]
    changes: tuple[RowChange, ...]
    texts: int = 0
    files: tuple[str, ...] = ()
    digest: int = 0

    @property
    def is_empty(self) -> bool:
        return not (self.changes or self.texts or self.files)


@dataclass(frozen=True, slots=True)
class Fixed:
    """Result of a fix: the journal entry that undoes the changed rows, if any, and how much was changed."""

    subjects: tuple[str, ...]
    undo: int | None
    rows: int
    texts: int = 0
    files: tuple[str, ...] = ()
