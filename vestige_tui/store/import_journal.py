"""Journal entry of an import: written with the first batch, it grows with each further one in that batch's transaction.

So at every moment what an import has stored belongs to an entry that exists, also after a kill. The entry holds the
first memories; its first snapshot names the parts with all others (FURTHER), and marks an import that has not run to
its end (UNFINISHED). A part is a row of the journal with the verb PART.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from vestige_tui.core.errors import Cancelled
from vestige_tui.core.journal import FURTHER, UNFINISHED
from vestige_tui.store.backends.protocol import Json
from vestige_tui.store.journal_parts import PART

if TYPE_CHECKING:
    from vestige_tui.store.backends.protocol import Transaction
    from vestige_tui.store.context import StoreContext

IMPORT = "import"
ROW_MEMORIES = 500
"""Memories after which the next row begins. Each batch writes the last row again, so a long one costs time."""

_Stamps: TypeAlias = tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows of one import in the journal: the entry with its stamps, and its parts, the last of them with its stamps."""

    number: int
    stamps: _Stamps
    parts: tuple[int, ...] = ()
    last: _Stamps = ()

    def after(self, *, unfinished: bool) -> list[Mapping[str, Any]]:
        """Return the snapshots of the entry."""
        marks: dict[str, Any] = {FURTHER: list(self.parts)} if self.parts else {}
        marks |= {UNFINISHED: True} if unfinished else {}
        return [{**self.stamps[0], **marks}, *self.stamps[1:]]


class ImportJournal:
    """Writer of the entry of one import: ``add`` in the transaction of each batch, ``keep`` once it is committed."""

    def __init__(self, context: StoreContext) -> None:
        self._context = context
        self._kept: _Rows | None = None
        self._written: _Rows | None = None

    @property
    def number(self) -> int | None:
        """Number of the entry; None while nothing is imported."""
        return None if self._kept is None else self._kept.number

    async def lock(self, transaction: Transaction) -> None:
        """Keep others from undoing the entry until the transaction ends. Raises Cancelled if it is already undone."""
        if self._kept is None:
            return
        records = await transaction.fetch("lock_journal", {"id": self._kept.number})
        if not records or records[0]["undone_by"] is not None:
            raise Cancelled(
                f"Change {self._kept.number} was undone while the import was running, so the import stopped."
            )

    async def add(self, transaction: Transaction, stamps: Sequence[Mapping[str, Any]]) -> None:
        """Add memories that this transaction inserts. Needs the lock."""
        self._written = self._kept
        if stamps:
            self._written = await self._with(transaction, tuple(stamps))

    def keep(self) -> None:
        """Note that the last transaction is committed."""
        self._kept = self._written

    async def _with(self, transaction: Transaction, stamps: _Stamps) -> _Rows:
        kept = self._kept
        if kept is None:
            first = _Rows(0, stamps)
            number = await self._context.journal(transaction, IMPORT, [], first.after(unfinished=True))
            return dataclasses.replace(first, number=number)
        if not kept.parts and len(kept.stamps) < ROW_MEMORIES:
            grown = dataclasses.replace(kept, stamps=kept.stamps + stamps)
            await _rewrite(transaction, grown.number, grown.after(unfinished=True))
            return grown
        if kept.parts and len(kept.last) < ROW_MEMORIES:
            grown = dataclasses.replace(kept, last=kept.last + stamps)
            await _rewrite(transaction, grown.parts[-1], grown.last)
            return grown
        part = await self._context.journal(transaction, PART, [], list(stamps))
        grown = dataclasses.replace(kept, parts=(*kept.parts, part), last=stamps)
        await _rewrite(transaction, grown.number, grown.after(unfinished=True))
        return grown

    async def finish(self) -> None:
        """Note in the entry that the import has run to its end. Raises Cancelled if it is already undone."""
        if self._kept is None:
            return
        async with self._context.backend.write() as transaction:
            await self.lock(transaction)
            await _rewrite(transaction, self._kept.number, self._kept.after(unfinished=False))


async def _rewrite(transaction: Transaction, number: int, after: Sequence[Mapping[str, Any]]) -> None:
    await transaction.execute("rewrite_journal", {"id": number, "after": Json(list(after))})
