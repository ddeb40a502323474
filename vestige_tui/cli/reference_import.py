"""Import of lines that refer to memories, and of users, groups and domains: each kind in batches, a bad line alone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from vestige_tui.cli.import_tally import ImportTally
from vestige_tui.cli.line_values import ParsedLine
from vestige_tui.core.accounts import Domain, Group, Membership, User
from vestige_tui.core.errors import Conflict, NotFound, Usage, VestigeError
from vestige_tui.core.links import Edge, SupersessionEvent
from vestige_tui.core.log import log_suppressed
from vestige_tui.core.reviews import MarkedMemory, Review

if TYPE_CHECKING:
    from vestige_tui.store.store import Store

log = logging.getLogger(__name__)

BATCH_REFERENCES = 200
"""Links, reviews and marks, or users, groups and domains, that are restored together."""
BATCH_DECISIONS = 20_000
"""Decisions that are restored together: they are checked for cycles as a whole."""

# Refusals of one row. The last three are values that a driver cannot hand over.
REFUSALS = (NotFound, Conflict, Usage, OverflowError, ValueError, RecursionError)

T = TypeVar("T")
Entry = TypeVar("Entry", Edge, Review, SupersessionEvent, MarkedMemory, User, Group, Membership, Domain)


class _Batches:
    """Lines of several kinds that are restored in batches."""

    def __init__(self, store: Store, tally: ImportTally) -> None:
        self._store = store
        self._tally = tally
        self._lines: dict[int, ParsedLine] = {}

    async def _restore_batch(
        self,
        entries: list[tuple[int, Entry]],
        restore: Callable[[Sequence[Entry]], Awaitable[tuple[int, int]]],
    ) -> None:
        if not entries:
            return
        try:
            await self._restore(entries, restore)
        except REFUSALS as refusal:
            log_suppressed(log, "restore a batch of lines", refusal)
            for line in entries:
                try:
                    await self._restore([line], restore)
                except REFUSALS as error:
                    self._tally.fail(line[0], refusal_reason(error))
        entries.clear()

    async def _restore(
        self,
        lines: Sequence[tuple[int, Entry]],
        restore: Callable[[Sequence[Entry]], Awaitable[tuple[int, int]]],
    ) -> None:
        await to_the_end(restore([entry for _, entry in lines]), partial(self._count, [number for number, _ in lines]))

    def _count(self, numbers: Sequence[int], result: tuple[int, int]) -> None:
        inserted, present = result
        self._tally.inserted += inserted
        self._tally.present += present
        if inserted:
            for number in numbers:
                self._tally.note(number, self._lines[number])


class AccountImport(_Batches):
    """Users, groups and domains, restored before the memories that name them."""

    def __init__(self, store: Store, tally: ImportTally) -> None:
        super().__init__(store, tally)
        self._users: list[tuple[int, User]] = []
        self._groups: list[tuple[int, Group]] = []
        self._domains: list[tuple[int, Domain]] = []

    async def add(self, number: int, parsed: ParsedLine) -> bool:
        """Take a line that is about an account or a domain; return False for another one."""
        entry = parsed.entry
        if isinstance(entry, User):
            self._users.append((number, entry))
        elif isinstance(entry, Group):
            self._groups.append((number, entry))
        elif isinstance(entry, Domain):
            self._domains.append((number, entry))
        else:
            return False
        self._lines[number] = parsed
        if len(self._lines) >= BATCH_REFERENCES:
            await self.restore()
        return True

    async def restore(self) -> None:
        """Restore the gathered lines; a refused line fails alone."""
        await self._restore_batch(self._users, self._store.accounts.restore_users)
        await self._restore_batch(self._groups, self._store.accounts.restore_groups)
        await self._restore_batch(self._domains, self._store.accounts.restore_domains)
        self._lines.clear()


class ReferenceImport(_Batches):
    """Lines that refer to memories or users, gathered by kind until they are restored together."""

    def __init__(self, store: Store, tally: ImportTally, undone_ids: set[int]) -> None:
        super().__init__(store, tally)
        self._undone_ids = undone_ids
        self._undone_reviews: dict[int, Review] = {}
        self._edges: list[tuple[int, Edge]] = []
        self._reviews: list[tuple[int, Review]] = []
        self._marks: list[tuple[int, MarkedMemory]] = []
        self._memberships: list[tuple[int, Membership]] = []
        self._decisions: list[tuple[int, SupersessionEvent]] = []

    async def add(self, number: int, parsed: ParsedLine) -> None:
        """Take a line; restore those that are gathered if they fill a batch."""
        self._lines[number] = parsed
        entry = parsed.entry
        if isinstance(entry, Edge):
            self._edges.append((number, entry))
        elif isinstance(entry, Review):
            self._reviews.append((number, entry))
            if entry.id in self._undone_ids:
                self._undone_reviews[entry.id] = entry
        elif isinstance(entry, MarkedMemory):
            self._marks.append((number, entry))
        elif isinstance(entry, Membership):
            self._memberships.append((number, entry))
        elif isinstance(entry, SupersessionEvent):
            self._decisions.append((number, entry))
        if len(self._decisions) >= BATCH_DECISIONS:
            await self._restore_decisions()
        if len(self._lines) - len(self._decisions) >= BATCH_REFERENCES:
            await self._restore_others()

    async def restore(self) -> None:
        """Restore the gathered lines; a refused line fails alone."""
        await self._restore_others()
        await self._restore_decisions()

    async def _restore_others(self) -> None:
        await self._restore_batch(self._memberships, self._store.accounts.restore_memberships)
        await self._restore_batch(self._edges, self._store.links.restore)
        await self._restore_batch(self._reviews, self._restore_reviews)
        await self._restore_batch(self._marks, self._store.reviews.restore_marks)
        self._lines = {number: self._lines[number] for number, _ in self._decisions}

    async def _restore_decisions(self) -> None:
        await self._restore_batch(self._decisions, self._store.links.restore_events)

    async def _restore_reviews(self, batch: Sequence[Review]) -> tuple[int, int]:
        # The store matches an undo with its review within one call, also if that review is already written.
        batch_ids = {review.id for review in batch}
        targets = [
            self._undone_reviews[each.undoes]
            for each in batch
            if each.undoes in self._undone_reviews and each.undoes not in batch_ids
        ]
        inserted, present = await self._store.reviews.restore([*targets, *batch])
        return inserted, present - len(targets)


async def to_the_end(work: Awaitable[T], count: Callable[[T], None]) -> None:
    """Let a write run to its end also when the import is cancelled, and count it: the report names every stored row."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if not task.cancelled() and task.exception() is None:
            count(task.result())
        raise
    count(task.result())


def refusal_reason(error: Exception) -> str:
    """Return why a store refused a line, as the rest of a sentence."""
    if isinstance(error, VestigeError):
        return f"was refused: {error.message}".rstrip(".")
    return f"has a value that cannot be stored ({type(error).__name__})"
