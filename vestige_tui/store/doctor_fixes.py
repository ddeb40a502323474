"""Fix of faulty rows within one transaction: batch by batch, so that memory does not grow with the size of a row."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from vestige_tui.core.doctor import DoctorListener, DoctorStep, FaultyRow, Image, RowChange, RowKey, Stage
from vestige_tui.store.schema import rows

if TYPE_CHECKING:
    from datetime import datetime

    from vestige_tui.store.backends.protocol import Transaction

BATCH_FAULTS = 1_000
"""Faulty rows that are read, changed and recorded together."""
_DIGEST_BYTES = 16

_Events: TypeAlias = "list[tuple[FaultyRow, RowKey]]"


class FixRun:
    """One fix in a transaction. ``digest`` is that of the rows as they were, equal if a preview read the same."""

    def __init__(self, transaction: Transaction, now: datetime, stage: Stage, tell: DoctorListener) -> None:
        self._transaction = transaction
        self._now = now
        self._stage = stage
        self._tell = tell
        self._done = 0
        self.digest = 0

    async def changes(self, faults: Sequence[FaultyRow]) -> AsyncIterator[list[RowChange]]:
        """Fix faulty rows; yield the changes of each batch. All faults of one subject are in one batch."""
        keys: list[RowKey] = []
        for start in range(0, len(faults), BATCH_FAULTS):
            some = [fault.row for fault in faults[start : start + BATCH_FAULTS]]
            keys += await self._transaction.row_keys(some)
        faults = [replace(fault, row=key) for fault, key in zip(faults, keys, strict=True)]
        total = self._done + len(faults)
        for batch in _batches(faults):
            changes = await self._fix(batch)
            self._done += len(batch)
            self._tell(DoctorStep(self._stage, self._done, total))
            yield changes

    async def _fix(self, faults: Sequence[FaultyRow]) -> list[RowChange]:
        first: dict[RowKey, FaultyRow] = {}
        for fault in faults:
            first.setdefault(fault.row, fault)
        images = await self._transaction.read_rows(list(first))
        before: dict[RowKey, Image | None] = dict(zip(first, images, strict=True))
        await self._write(faults, before)
        for fault, key in await self._append_events([fault for fault in faults if fault.action == "event"]):
            first[key], before[key] = fault, None
        after = await self._transaction.read_rows(list(first))
        changes = [
            RowChange(fault.kind, fault.subject, key, before[key], new)
            for (key, fault), new in zip(first.items(), after, strict=True)
            if before[key] != new
        ]
        self.digest += sum(map(_digest, changes))
        return [_shortened(change) for change in changes]

    async def _write(self, faults: Sequence[FaultyRow], before: Mapping[RowKey, Image | None]) -> None:
        """Set and delete what these faults name; the other rows are changed by that."""
        current = before
        if vectors := [{"id": fault.subject} for fault in faults if fault.action == "vector"]:
            await self._transaction.execute_many("delete_embedding", vectors)
            current = dict(zip(before, await self._transaction.read_rows(list(before)), strict=True))
        sets: dict[RowKey, dict[str, Any]] = {}
        for fault in faults:
            if fault.action == "set":
                sets.setdefault(fault.row, {}).update(fault.sets)
        images = [(key, current[key], values) for key, values in sets.items()]
        # A vector that is deleted may have been the row.
        await self._transaction.write_rows([(key, {**image, **values}) for key, image, values in images if image])
        deleted = [fault.row for fault in faults if fault.action == "delete"]
        await self._transaction.write_rows([(key, None) for key in dict.fromkeys(deleted)])

    async def _append_events(self, faults: Sequence[FaultyRow]) -> _Events:
        """Append an event for each memory, dated no earlier than its others; return the rows of the log."""
        if not faults:
            return []
        losers = {"ids": [fault.subject for fault in faults]}
        latest: dict[str, datetime] = {}
        for row in await self._transaction.fetch("list_lost_events", losers):
            event = rows.event(row)
            latest[event.loser_id] = event.decided_at
        await self._transaction.execute_many(
            "append_event",
            [
                {
                    "loser_id": fault.subject,
                    "winner_id": fault.sets["winner_id"],
                    "kind": fault.sets["kind"],
                    "decided_at": max(self._now, latest.get(fault.subject, self._now)),
                }
                for fault in faults
            ],
        )
        numbers: dict[str, int] = {}
        for row in await self._transaction.fetch("list_lost_events", losers):
            event = rows.event(row)
            numbers[event.loser_id] = event.id
        return [(fault, RowKey.of(fault.sets["log"], {"id": numbers[fault.subject]})) for fault in faults]


def _batches(faults: Sequence[FaultyRow]) -> Iterator[list[FaultyRow]]:
    """Yield faults in batches, those of one row and of one subject together, which share a snapshot of the journal."""
    subjects: dict[RowKey, str] = {}
    groups: dict[str, list[FaultyRow]] = {}
    for fault in faults:
        groups.setdefault(subjects.setdefault(fault.row, fault.subject), []).append(fault)
    batch: list[FaultyRow] = []
    for group in groups.values():
        batch += group
        if len(batch) >= BATCH_FAULTS:
            yield batch
            batch = []
    if batch:
        yield batch


def _shortened(change: RowChange) -> RowChange:
    """Return a change with the columns that change alone, unless the row is new or deleted."""
    if change.before is None or change.after is None:
        return change
    columns = change.changed_columns()
    before, after = ({name: values[side] for name, values in columns.items()} for side in (0, 1))
    return replace(change, before=before, after=after)


def _digest(change: RowChange) -> int:
    """Return a number for the row before a fix, whatever the order of the rows is; a new row has its own number."""
    row: list[Any] = [change.kind, change.row.table]
    if change.before is not None:
        row += [list(change.row.key), _sorted(change.before)]
    text = json.dumps(row, ensure_ascii=True, default=str)
    digest = hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest()
    return int.from_bytes(digest, "big")


def _sorted(image: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return sorted(image.items())
