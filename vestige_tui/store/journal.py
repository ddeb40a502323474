"""Journal of a store: every change with what was before it, and its undo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vestige_tui.core.errors import Conflict, NotFound
from vestige_tui.core.memories import Change, JournalEntry, UndoneChange
from vestige_tui.core.text import quoted
from vestige_tui.store.journal_snapshots import stamp
from vestige_tui.store.schema import rows
from vestige_tui.store.undo import undo_entry

if TYPE_CHECKING:
    from vestige_tui.store.backends.protocol import Transaction
    from vestige_tui.store.context import StoreContext
    from vestige_tui.store.models import ModelService


class JournalService:
    """Entries of the journal, newest first, and undo."""

    def __init__(self, context: StoreContext, models: ModelService) -> None:
        self._context = context
        self._backend = context.backend
        self._models = models

    async def entries(self, limit: int = 50, before_id: int | None = None) -> tuple[JournalEntry, ...]:
        """Return journal entries, newest first."""
        records = await self._backend.fetch(
            "list_journal", {"before_id": 2**62 if before_id is None else before_id, "limit": limit}
        )
        return tuple(rows.journal_entry(row) for row in records)

    async def undo(self, entry: int | None = None) -> Change:
        """Undo a journal entry, by default the last. Raises NotFound, or Conflict if its memories changed since."""
        self._context.refuse_read_only()
        async with self._backend.write() as transaction:
            if entry is None:
                records = await transaction.fetch("last_journal")
            else:
                records = await transaction.fetch("get_journal", {"id": entry})
            if not records:
                raise NotFound("There is nothing to undo." if entry is None else f"There is no change {entry}.")
            target = rows.journal_entry(records[0])
            # Read first: an undo deletes an added memory.
            content = await _content_of(transaction, target)
            if target.undone_by is not None or target.verb == "undo":
                raise Conflict(f"Change {target.id} is already undone.")
            if target.verb == "review" and await self._reviewed_since(transaction, target):
                raise Conflict(f"Memory {target.ids[0][:8]} has been graded again since; nothing was undone.")
            changed_ids, texts = await undo_entry(transaction, target, self._context.now())
            stamps = [{"id": memory_id} for memory_id in changed_ids]
            number = await self._context.journal(
                transaction, "undo", [{"id": memory_id, "entry": target.id} for memory_id in changed_ids], stamps
            )
            await transaction.execute("mark_undone", {"id": target.id, "undone_by": number})
        warnings: tuple[str, ...] = ()
        if texts:
            await self._models.refresh()
            warnings = await self._models.encode_omitted(texts)
        return Change(tuple(changed_ids), warnings=warnings, undone=UndoneChange(target, content))

    async def _reviewed_since(self, transaction: Transaction, target: JournalEntry) -> bool:
        last = await transaction.fetch("last_review", {"id": target.ids[0]})
        return not last or int(last[0]["id"]) != target.after[0]["review"]

    async def record_import(self, memory_ids: Sequence[str]) -> int:
        """Write one journal entry for all imported memories. Raises NotFound if one of them was deleted."""
        async with self._backend.write() as transaction:
            records = await transaction.fetch("list_stamps", {"ids": list(memory_ids)})
            stamps = {str(row["id"]): stamp(str(row["id"]), rows.as_time(row["updated_at"])) for row in records}
            if len(stamps) < len(set(memory_ids)):
                missing = next(memory_id for memory_id in memory_ids if memory_id not in stamps)
                raise NotFound(f"No memory has the id {quoted(missing)}.")
            return await self._context.journal(transaction, "import", [], list(stamps.values()))


async def _content_of(transaction: Transaction, entry: JournalEntry) -> str:
    """Return the text of the only memory of an entry, of a deleted one from its snapshot; else an empty string."""
    ids = set(entry.ids)
    if len(ids) != 1:
        return ""
    if entry.before and "memory" in entry.before[0]:
        return str(entry.before[0]["memory"]["content"])
    records = await transaction.fetch("get_memory", {"id": ids.pop()})
    return str(records[0]["content"]) if records else ""
