"""Journal of a store: every change with the values before it, its undo and its redo."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from vestige_tui.core.errors import Conflict, NotFound
from vestige_tui.core.journal import REDO, REPAIR, REVERSALS, UNDO, JournalFilter, JournalLine, entry_of
from vestige_tui.core.memories import Change, JournalEntry, Page, UndoneChange
from vestige_tui.store.import_journal import ImportJournal
from vestige_tui.store.journal_parts import whole
from vestige_tui.store.redo import redo_entry
from vestige_tui.store.schema import rows
from vestige_tui.store.undo import undo_entry
from vestige_tui.store.weights import OPTIMIZE, refresh_weights

if TYPE_CHECKING:
    from vestige_tui.store.backends.protocol import Backend, Transaction
    from vestige_tui.store.context import StoreContext
    from vestige_tui.store.models import ModelService
    from vestige_tui.store.undo import Reversal, Snapshot

Scope: TypeAlias = Literal["actor", "origin"]
"""Changes of the user of this process, or of this console or command alone."""

_Reader: TypeAlias = "Backend | Transaction"

NEWEST = 2**62
"""Number above that of every entry."""
TITLE_CHARS = 400
"""Characters of a memory that a line of the journal needs at most."""


class JournalService:
    """Entries of the journal, newest first; undo and redo."""

    def __init__(self, context: StoreContext, models: ModelService) -> None:
        self._context = context
        self._backend = context.backend
        self._models = models

    # Entries

    async def entries(self, limit: int = 50, before_id: int | None = None) -> tuple[JournalLine, ...]:
        """Return journal entries, newest first."""
        return (await self.page(limit=limit, before_id=before_id)).items

    async def page(
        self, filter: JournalFilter | None = None, *, limit: int = 50, before_id: int | None = None
    ) -> Page[JournalLine]:
        """Return one page of the journal, newest first, by keyset: only entries before ``before_id``."""
        filters, params = self._filters(filter or JournalFilter())
        params |= {"before_id": before_id or NEWEST, "limit": limit, "head": TITLE_CHARS}
        records = await self._backend.fetch("page_journal", params, {"entries": filters})
        lines = await self._named([rows.journal_line(row) for row in records])
        return Page(lines, str(lines[-1].id) if len(lines) == limit and limit > 0 else None)

    async def lines(self, numbers: Sequence[int]) -> dict[int, JournalLine]:
        """Return the existing entries among these numbers."""
        records = await self._backend.fetch("list_journal_lines", {"ids": list(numbers), "head": TITLE_CHARS})
        return {line.id: line for line in await self._named([rows.journal_line(row) for row in records])}

    def _filters(self, filter: JournalFilter) -> tuple[list[str], dict[str, Any]]:
        fragments = {"actor": "entries_of_actor", "since": "entries_since", "memory": "entries_of_memory"}
        chosen = {name: value for name in fragments if (value := getattr(filter, name)) is not None}
        return [fragments[name] for name in chosen], chosen

    async def _named(self, lines: Sequence[JournalLine]) -> tuple[JournalLine, ...]:
        """Return the lines with the changes that undos and redos reversed, and with the texts of their memories."""
        numbers = {number for line in lines if line.verb in REVERSALS and (number := entry_of(line.before))}
        targets: dict[int, JournalLine] = {}
        if numbers:
            params = {"ids": sorted(numbers), "head": TITLE_CHARS}
            targets = {
                int(row["id"]): rows.journal_line(row)
                for row in await self._backend.fetch("list_journal_lines", params)
            }
        ids = {each for line in [*lines, *targets.values()] for each in _named_ids(line)}
        texts = await self._titles(sorted(each for each in ids if self._backend.is_id(each)))
        targets = {number: _with_texts(line, texts) for number, line in targets.items()}
        return tuple(_with_target(_with_texts(line, texts), targets) for line in lines)

    async def _titles(self, ids: Sequence[str]) -> dict[str, str]:
        records = await self._backend.fetch("list_titles", {"ids": list(ids), "head": TITLE_CHARS}) if ids else []
        return {str(row["id"]): str(row["content"]) for row in records}

    # Undo and redo

    async def last_change(self, by: Scope = "actor", *, before_id: int | None = None) -> JournalEntry | None:
        """Return the newest change of a scope that is not undone, among those before ``before_id``."""
        return await self._last(self._backend, "last_change", by, before_id=before_id)

    async def last_review(self) -> JournalEntry | None:
        """Return the newest grade of this user that is not undone."""
        return await self._last(self._backend, "last_change", "actor", verb="review")

    async def last_undo(self, by: Scope = "actor") -> JournalEntry | None:
        """Return the newest undo of a scope that can be redone: no other change of the scope is newer."""
        return await self._last_undo(self._backend, by)

    async def _last_undo(self, reader: _Reader, by: Scope) -> JournalEntry | None:
        undo = await self._last(reader, "last_undo", by)
        if undo is None:
            return None
        filters, params = self._scope(by)
        [row] = await reader.fetch("last_new_change", params, {"entries": filters})
        return None if row["id"] is not None and int(row["id"]) > undo.id else undo

    async def _last(
        self,
        reader: _Reader,
        query: Literal["last_change", "last_undo"],
        by: Scope,
        *,
        before_id: int | None = None,
        verb: str = "",
    ) -> JournalEntry | None:
        filters, params = self._scope(by)
        params["before_id"] = before_id or NEWEST
        if verb:
            filters, params = [*filters, "entries_of_verb"], {**params, "verb": verb}
        records = await reader.fetch(query, params, {"entries": filters})
        return rows.journal_entry(records[0]) if records else None

    def _scope(self, by: Scope) -> tuple[list[str], dict[str, Any]]:
        if by == "actor":
            return ["entries_of_actor"], {"actor": self._context.actor}
        return ["entries_of_origin"], {"origin": self._context.origin}

    async def undo(self, entry: int | None = None) -> Change:
        """Undo a journal entry, by default the newest change of this user.

        Raises NotFound, or Conflict if its memories have changed since.
        """
        self._context.refuse_read_only()
        repair = await self._repair(entry)
        entry = entry if repair is None else repair
        async with self._backend.write(orphans=repair is not None) as transaction:
            if entry is None:
                last = await self._last(transaction, "last_change", "actor")
                if last is None:
                    raise NotFound("There is nothing to undo.")
                entry = last.id
            # An import that is still running adds to its entry.
            await transaction.fetch("lock_journal", {"id": entry})
            target = await _entry(transaction, entry)
            if target.verb in REVERSALS:
                raise Conflict(_not_undoable(target))
            if target.undone_by is not None:
                raise Conflict(f"Change {target.id} is already undone.")
            if target.verb == "review" and await self._reviewed_since(transaction, target):
                raise Conflict(f"Memory {target.ids[0][:8]} has been graded again since; nothing was undone.")
            target = await whole(transaction, target)
            # Read first: an undo deletes an added memory.
            undone = await self._described(transaction, target, undone=True)
            images = await transaction.images_of(target.id)
            reversal = await undo_entry(transaction, target, self._context.now())
            await transaction.restore_images(images, reversal.texts)
            before = [{"id": each, "entry": target.id, **reversal.kept.get(each, {})} for each in reversal.changed]
            before = before or [{"entry": target.id}]
            number = await self._context.journal(transaction, UNDO, before, _stamps(reversal))
            await transaction.execute("mark_undone", {"id": target.id, "undone_by": number})
        await self._follow_weights(target)
        return Change(tuple(reversal.changed), warnings=await self._encode(reversal), undone=undone)

    async def redo(self, entry: int | None = None) -> Change:
        """Reverse an undo, by default the newest one of this user.

        Raises NotFound, or Conflict if its memories have changed since.
        """
        self._context.refuse_read_only()
        async with self._backend.write() as transaction:
            if entry is None:
                undo = await self._last_undo(transaction, "actor")
                if undo is None:
                    raise NotFound("There is nothing to redo.")
            else:
                undo = await _entry(transaction, entry)
            if undo.verb != UNDO:
                raise Conflict(f"Change {undo.id} is no undo, so it cannot be redone.")
            if undo.undone_by is not None:
                raise Conflict(f"Change {undo.id} is already redone.")
            target = await whole(transaction, await _entry(transaction, entry_of(undo.before) or 0))
            images = await transaction.images_of(undo.id)
            reversal = await redo_entry(transaction, target, undo, self._context.now())
            await transaction.restore_images(images, reversal.texts)
            before = [{"id": each, "entry": target.id, "undo": undo.id} for each in reversal.changed]
            before = before or [{"entry": target.id, "undo": undo.id}]
            number = await self._context.journal(transaction, REDO, before, _stamps(reversal))
            await transaction.execute("mark_undone", {"id": undo.id, "undone_by": number})
            await transaction.execute("mark_redone", {"id": target.id, "undo": undo.id})
            redone = await self._described(transaction, target, undone=False)
        await self._follow_weights(target)
        return Change(tuple(reversal.changed), warnings=await self._encode(reversal), redone=redone)

    async def _described(self, transaction: Transaction, entry: JournalEntry, *, undone: bool) -> UndoneChange:
        """Return an entry with the text of its only memory as an undo, or a redo, leaves it.

        The text of a deleted one is that before its deletion.
        """
        ids = set(entry.ids)
        # A row that the doctor has fixed need not be that of a memory.
        if len(ids) != 1 or not self._backend.is_id(entry.ids[0]):
            return UndoneChange(entry)
        snapshots = [*entry.before[:1], *entry.after[:1]]
        memory_id, other = ids.pop(), _other_id(snapshots)
        current, old = await _content_of(transaction, memory_id), _content_in(entry.before[:1])
        content = (old or current) if undone else (current or old)
        return UndoneChange(entry, content, await _content_of(transaction, other) if other else "")

    async def _follow_weights(self, reversed_change: JournalEntry) -> None:
        """Read the weights in force, if a change of them was undone or redone."""
        if reversed_change.verb == OPTIMIZE:
            await refresh_weights(self._context, self._backend)

    async def _repair(self, entry: int | None) -> int | None:
        """Return the number of the change to undo if it is a fix of the doctor, whose rows may have no parents."""
        if entry is None:
            target = await self._last(self._backend, "last_change", "actor")
        else:
            records = await self._backend.fetch("get_journal", {"id": entry})
            target = rows.journal_entry(records[0]) if records else None
        return target.id if target is not None and target.verb == REPAIR else None

    async def _encode(self, reversal: Reversal) -> tuple[str, ...]:
        """Encode the texts whose vectors belong to a model that is no longer used; return warnings."""
        if not reversal.texts:
            return ()
        await self._models.refresh()
        return await self._models.encode_omitted(reversal.texts)

    async def _reviewed_since(self, transaction: Transaction, target: JournalEntry) -> bool:
        last = await transaction.fetch("last_review", {"id": target.ids[0]})
        return not last or int(last[0]["id"]) != target.after[0]["review"]

    def start_import(self) -> ImportJournal:
        """Return the writer of the entry of one import; ``memories.insert_many`` takes it with each batch."""
        return ImportJournal(self._context)


def _not_undoable(entry: JournalEntry) -> str:
    if entry.verb == REDO:
        return f"Change {entry.id} is a redo; undo change {entry_of(entry.before)} instead."
    return f"Change {entry.id} is an undo; redo reverses it."


async def _entry(transaction: Transaction, number: int) -> JournalEntry:
    records = await transaction.fetch("get_journal", {"id": number})
    if not records:
        raise NotFound(f"There is no change {number}.")
    return rows.journal_entry(records[0])


def _stamps(reversal: Reversal) -> list[dict[str, str]]:
    return [{"id": memory_id} for memory_id in reversal.changed]


async def _content_of(transaction: Transaction, memory_id: str) -> str:
    records = await transaction.fetch("get_memory", {"id": memory_id})
    return str(records[0]["content"]) if records else ""


def _content_in(snapshots: Sequence[Snapshot]) -> str:
    return next((str(each["memory"]["content"]) for each in snapshots if "content" in each.get("memory", {})), "")


def _other_id(snapshots: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the id of the other memory of a link or a replacement."""
    for each in snapshots:
        if edge := each.get("edge"):
            return str(edge["target_id"])
    return next((str(each["superseded_by"]) for each in reversed(snapshots) if each.get("superseded_by")), None)


def _named_ids(line: JournalLine) -> list[str]:
    """Return the ids of the memories that a line of the journal names by their text."""
    other = _other_id([*line.before[:1], *line.after[:1]])
    return [*(line.ids if len(set(line.ids)) == 1 else ()), *([other] if other else [])]


def _with_target(line: JournalLine, targets: Mapping[int, JournalLine]) -> JournalLine:
    target = targets.get(entry_of(line.before) or 0) if line.verb in REVERSALS else None
    if target is None:
        return line
    # The undo of an added memory keeps its text.
    return dataclasses.replace(
        line, target=dataclasses.replace(target, content=target.content or _content_in(line.before))
    )


def _with_texts(line: JournalLine, texts: Mapping[str, str]) -> JournalLine:
    content, other = "", _other_id([*line.before[:1], *line.after[:1]])
    if len(set(line.ids)) == 1:
        content = texts.get(line.ids[0]) or _content_in([*reversed(line.after[:1]), *line.before[:1]])
    return dataclasses.replace(line, content=content, other=texts.get(other or "", ""))
