"""Snapshots of whole rows in the journal: the rows that a fix of the doctor has changed, and their restoration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from vestige_tui.core.doctor import Image, RowChange, RowKey
from vestige_tui.core.errors import Conflict, Refused, VestigeError

if TYPE_CHECKING:
    from vestige_tui.store.backends.protocol import Transaction

_Rows: TypeAlias = Sequence[tuple[RowKey, Image | None]]
_PARENTLESS = frozenset({"orphan", "vector_orphan"})
"""Kinds of fault whose rows have no parent: an undo brings back what a foreign key forbids."""


def snapshots(changes: Sequence[RowChange]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the journal snapshots before and after a fix: for each subject its rows."""
    before: dict[str, dict[str, Any]] = {}
    after: dict[str, dict[str, Any]] = {}
    for change in changes:
        for side, image in ((before, change.before), (after, change.after)):
            snapshot = side.setdefault(change.subject, {"id": change.subject, "rows": []})
            row = {"table": change.row.table, "key": change.row.values, "image": image and dict(image)}
            snapshot["rows"].append({**row, "orphan": side is before and change.kind in _PARENTLESS})
    return list(before.values()), list(after.values())


async def restore_rows(
    transaction: Transaction, before: Mapping[str, Any], after: Mapping[str, Any], now: datetime
) -> None:
    """Write the rows of ``before``. Raises Conflict if one is no longer as in ``after``."""
    goal, start = _rows_of(before), _rows_of(after)
    current = await transaction.read_rows([key for key, _ in start])
    for (key, image), (_, expected) in zip(current, start, strict=True):
        if image != expected:
            raise Conflict(f"A row of {key.table} has changed since; nothing was changed.")
    # New rows first: a row of a log sets a column of its memory, which then gets its own image.
    goal = sorted(goal, key=lambda row: row[1] is None or _has_row(start, row[0]))
    if any(row["orphan"] for snapshot in before.values() for row in snapshot["rows"]):
        await _restore_orphans(transaction, goal)
    else:
        await transaction.write_rows(goal)


def _has_row(rows: _Rows, key: RowKey) -> bool:
    return any(each == key and image is not None for each, image in rows)


async def _restore_orphans(transaction: Transaction, goal: _Rows) -> None:
    try:
        await transaction.execute("allow_orphans")
    except VestigeError as error:
        raise Refused(
            "Undoing this fix writes rows without their parent, which needs the right to set session_replication_role; "
            "nothing was changed."
        ) from error
    await transaction.write_rows(goal)
    await transaction.execute("enforce_parents")


def _rows_of(snapshots: Mapping[str, Any]) -> list[tuple[RowKey, Image | None]]:
    return [
        (RowKey.of(row["table"], row["key"]), row["image"])
        for snapshot in snapshots.values()
        for row in snapshot["rows"]
    ]
