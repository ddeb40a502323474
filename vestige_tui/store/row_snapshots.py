"""Snapshots of whole rows in the journal: the rows that a fix of the doctor has changed, and their restoration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from vestige_tui.core.doctor import Image, RowChange, RowKey
from vestige_tui.core.errors import Conflict

if TYPE_CHECKING:
    from vestige_tui.store.backends.protocol import Transaction

_PARENTLESS = frozenset({"orphan", "vector_orphan"})
"""Kinds of fault whose rows have no parent: an undo brings back rows that a foreign key forbids."""
_DERIVED = frozenset({"vector_width", "vector_infinite", "vector_zero", "flag_set"})
"""Kinds of fault whose fix removes a vector or its mark, which any program then computes again from the text."""


@dataclass(frozen=True, slots=True)
class _Step:
    """One row to restore: its columns that must be as in ``start``, and those of ``goal``; None is no row."""

    key: RowKey
    start: Image | None
    goal: Image | None
    is_derived: bool
    is_orphan: bool

    def has_changed(self, current: Image | None) -> bool:
        """Check whether the row differs from ``start`` in the columns that the fix has changed."""
        if self.is_derived or self.start is None or current is None:
            return not self.is_derived and current != self.start
        return any(current.get(name) != value for name, value in self.start.items())

    def target(self, current: Image | None) -> Image | None:
        """Return the row to write: the columns that the fix has changed, and the others as they are now."""
        if self.goal is None or self.start is None:
            return self.goal
        return None if current is None else {**current, **self.goal}


def snapshots(changes: Sequence[RowChange]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the journal snapshots before and after a fix: for each subject its rows.

    Of a row that stays they have the columns that change, of a new or a deleted one the whole row.
    """
    before: dict[str, dict[str, Any]] = {}
    after: dict[str, dict[str, Any]] = {}
    for change in changes:
        images = [change.before, change.after]
        if change.before is not None and change.after is not None:
            columns = change.changed_columns()
            images = [{name: values[side] for name, values in columns.items()} for side in (0, 1)]
        for side, image in zip((before, after), images, strict=True):
            snapshot = side.setdefault(change.subject, {"id": change.subject, "rows": []})
            row = {"table": change.row.table, "key": change.row.values, "image": image and dict(image)}
            marks = {"derived": change.kind in _DERIVED, "orphan": side is before and change.kind in _PARENTLESS}
            snapshot["rows"].append({**row, **marks})
    return list(before.values()), list(after.values())


async def restore_rows(
    transaction: Transaction, before: Mapping[str, Any], after: Mapping[str, Any], now: datetime
) -> None:
    """Write the rows of ``before``. Raises Conflict if one is no longer as in ``after``."""
    steps = _steps(before, after)
    parentless = [step.key.table for step in steps if step.is_orphan]
    if not parentless:
        await _write(transaction, steps)
        await transaction.note_parents(_tables_of_orphans(after))
        return
    # Before the rows are read, which locks them: a writer that waits for one of them would hold up the foreign keys.
    async with transaction.orphans_allowed(parentless):
        await _write(transaction, steps)


async def _write(transaction: Transaction, steps: list[_Step]) -> None:
    images = await transaction.read_rows([step.key for step in steps])
    for step, image in zip(steps, images, strict=True):
        if step.has_changed(image):
            raise Conflict(f"A row of {step.key.table} has changed since; nothing was changed.")
    goal = [(step, step.target(image)) for step, image in zip(steps, images, strict=True)]
    # New rows first: a row of a log sets a column of its memory, which then gets its own image.
    goal.sort(key=lambda each: each[0].goal is None or each[0].start is not None)
    await transaction.write_rows([(step.key, image) for step, image in goal])


def _tables_of_orphans(snapshots_by_id: Mapping[str, Any]) -> list[str]:
    """Return the tables whose rows without a parent a redo deletes again."""
    return [row["table"] for each in snapshots_by_id.values() for row in each["rows"] if row["orphan"]]


def _steps(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[_Step]:
    pairs = [
        pair
        for subject, snapshot in before.items()
        for pair in zip(snapshot["rows"], after[subject]["rows"], strict=True)
    ]
    return [
        _Step(RowKey.of(old["table"], old["key"]), new["image"], old["image"], old["derived"], old["orphan"])
        for old, new in pairs
    ]
