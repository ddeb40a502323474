"""Import of JSON lines into a store: memories in batches, then the lines that refer to them, and a tally of all."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import IO, TYPE_CHECKING

from vestige_tui.cli.import_tally import ImportTally
from vestige_tui.cli.interrupts import interruptible
from vestige_tui.cli.jsonl import MAX_LINE_BYTES, read_line
from vestige_tui.cli.line_values import BadLine, ParsedLine
from vestige_tui.cli.reference_import import REFUSALS, AccountImport, ReferenceImport, refusal_reason, to_the_end
from vestige_tui.core.errors import DiskFull, NotFound, Refused, Unavailable, VestigeError
from vestige_tui.core.log import log_suppressed, suppressed
from vestige_tui.core.memories import LOCAL_USER, Draft
from vestige_tui.core.reviews import Review
from vestige_tui.core.text import file_name, grouped, quoted

if TYPE_CHECKING:
    from vestige_tui.store.store import Store

log = logging.getLogger(__name__)

BATCH_MEMORIES = 64
BATCH_CHARACTERS = 4_000_000
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def numbered_lines(source: IO[bytes], name: str) -> Iterator[tuple[int, bytes]]:
    """Yield every line with its number; of a line over MAX_LINE_BYTES only the beginning. Raises Unavailable."""

    def read() -> bytes:
        try:
            with interruptible():
                return source.readline(MAX_LINE_BYTES + 1)
        except OSError as error:
            raise Unavailable(f"{file_name(name)} cannot be read: {error.strerror}.") from None

    number = 0
    while raw := read():
        number += 1
        yield number, raw
        while len(raw) > MAX_LINE_BYTES and not raw.endswith(b"\n"):
            raw = read()
            if len(raw) <= MAX_LINE_BYTES:
                break


class LineImport:
    """One import into an open store. The tally is right at any moment, also of an import that was broken off."""

    def __init__(
        self,
        store: Store,
        tally: ImportTally,
        progress: Callable[[int], None],
        recorded: Callable[[int], None] = lambda entry: None,
    ) -> None:
        """``recorded`` gets the number of the journal entry, once, as soon as more than one batch follows."""
        self._store = store
        self._tally = tally
        self._progress = progress
        self._recorded = recorded
        self._journal = store.journal.start_import()
        self._inserted: dict[str, None] = {}
        self._batch_ids: set[str] = set()
        self._announced = False
        self._read_lines: dict[str, tuple[int, int]] = {}
        """Number of the first line of each id of this file, and a hash of its values."""
        self._spellings: dict[str, str] = {}
        """Ids of this file that the store holds in another form, with the first spelling of each."""

    async def run(self, lines: Iterable[tuple[int, bytes | BadLine]]) -> None:
        """Insert memories in batches; spool lines that refer to them and restore those last.

        Raises DiskFull for a disk that takes no more, of the store or of the temporary folder.
        """
        if self._store.read_only:
            raise Refused(f"{self._store.title} is open read-only: {self._store.read_only_reason}.")
        try:
            with _spool_file() as spool:
                await self._insert_memories(lines, spool)
                await self._restore_references(spool)
        except DiskFull as error:
            raise DiskFull(f"The import stopped: {error.disk} is full or failing.", disk=error.disk) from error
        # An import that does not come here stays marked as unfinished.
        with suppressed(log, "finish the journal entry of an import", VestigeError):
            await self._journal.finish()

    async def _insert_memories(self, lines: Iterable[tuple[int, bytes | BadLine]], spool: IO[bytes]) -> None:
        accounts = AccountImport(self._store, self._tally)
        batch: list[tuple[int, ParsedLine, Draft]] = []
        size = 0
        for number, raw in lines:
            if isinstance(raw, BadLine):
                self._tally.read += 1
                self._tally.fail(number, raw.message)
                continue
            if not raw.strip():
                continue
            self._tally.read += 1
            parsed = self._parse(number, raw)
            if parsed is None:
                continue
            if await accounts.add(number, parsed):
                continue
            if not isinstance(parsed.entry, Draft):
                spool.write(b"%d %s\n" % (number, raw.strip().replace(b"\n", b" ")))
                continue
            batch.append((number, parsed, parsed.entry))
            size += len(parsed.entry.content)
            if len(batch) >= BATCH_MEMORIES or size >= BATCH_CHARACTERS:
                await accounts.restore()
                await self._insert_batch(batch)
                batch, size = [], 0
                self._batch_ids.clear()
                self._announce()
                self._progress(self._tally.done)
        await accounts.restore()
        await self._insert_batch(batch)

    def _announce(self) -> None:
        """Tell the number of the entry once it is written."""
        if self._tally.undo is not None and not self._announced:
            self._announced = True
            self._recorded(self._tally.undo)

    def _parse(self, number: int, raw: bytes) -> ParsedLine | None:
        """Return a line's value; None for a bad line, which is counted."""
        try:
            if len(raw) > MAX_LINE_BYTES:
                raise BadLine("is longer than 64 MiB")
            parsed = read_line(raw, self._store.memories.is_id)
            self._refuse_second_spelling(number, parsed)
        except BadLine as error:
            self._tally.fail(number, error.message)
            return None
        return parsed

    def _refuse_second_spelling(self, number: int, parsed: ParsedLine) -> None:
        """Raise BadLine for a memory that has one id with another memory of this file: spelt otherwise, or another."""
        if not isinstance(parsed.entry, Draft) or parsed.entry.id is None:
            return
        memory_id = parsed.entry.id
        first = self._spellings.get(memory_id)
        value = hash(repr(parsed.entry))
        earlier, earlier_value = self._read_lines.setdefault(memory_id, (number, value))
        if earlier_value != value and first == parsed.spelling:
            raise BadLine(f"has the id of line {grouped(earlier)}, but other values than that")
        is_known = first is not None or memory_id in self._inserted or memory_id in self._batch_ids
        if is_known and first != parsed.spelling:
            raise BadLine(f"has the same id as an earlier line, which spells it {quoted(first or memory_id)}")
        self._batch_ids.add(memory_id)
        if parsed.spelling is not None:
            self._spellings[memory_id] = parsed.spelling

    async def _insert_batch(self, batch: Sequence[tuple[int, ParsedLine, Draft]]) -> None:
        lines: dict[str | int, tuple[int, ParsedLine, Draft]] = {}
        for number, parsed, draft in batch:
            key = number if draft.id is None else draft.id
            if key not in lines:
                lines[key] = (number, parsed, draft)
            else:
                self._tally.present += 1
        if not lines:
            return
        try:
            await self._insert(list(lines.values()))
        except REFUSALS as refusal:
            log_suppressed(log, "insert a batch of memories", refusal)
            # Insert one by one, so that only the refused drafts fail.
            for number, parsed, draft in lines.values():
                await self._insert_alone(number, parsed, draft)

    async def _insert_alone(self, number: int, parsed: ParsedLine, draft: Draft) -> None:
        try:
            try:
                await self._insert([(number, parsed, draft)])
            except NotFound:
                # Of a memory without relations only the owner can be missing.
                if draft.owner_user_id == LOCAL_USER:
                    raise
                await self._insert([(number, *_of_local_user(parsed, draft))])
        except REFUSALS as error:
            self._tally.fail(number, refusal_reason(error))

    async def _insert(self, lines: Sequence[tuple[int, ParsedLine, Draft]]) -> None:
        insertion = self._store.memories.insert_many([draft for _, _, draft in lines], journal=self._journal)
        await to_the_end(insertion, partial(self._count, lines))

    def _count(
        self,
        lines: Sequence[tuple[int, ParsedLine, Draft]],
        result: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]],
    ) -> None:
        ids, present, warnings = result
        self._tally.undo = self._journal.number
        self._inserted |= dict.fromkeys(ids)
        self._tally.inserted += len(ids)
        self._tally.present += len(present)
        self._tally.warnings |= dict.fromkeys(warnings)
        present_ids = set(present)
        for number, parsed, draft in lines:
            if draft.id not in present_ids:
                self._tally.note(number, parsed)

    async def _restore_references(self, spool: IO[bytes]) -> None:
        """Restore memberships, links, reviews, marks and decisions, in the order of the file."""
        references = ReferenceImport(self._store, self._tally, self._undone_ids(spool))
        for number, parsed in self._read_spool(spool):
            done = self._tally.done
            await references.add(number, parsed)
            if self._tally.done > done:
                self._progress(self._tally.done)
        await references.restore()
        self._progress(self._tally.done)

    def _undone_ids(self, spool: IO[bytes]) -> set[int]:
        reviews = (parsed.entry for _, parsed in self._read_spool(spool) if isinstance(parsed.entry, Review))
        return {review.undoes for review in reviews if review.undoes}

    def _read_spool(self, spool: IO[bytes]) -> Iterator[tuple[int, ParsedLine]]:
        spool.seek(0)
        for row in spool:
            number, _, raw = row.partition(b" ")
            yield int(number), read_line(raw, self._store.memories.is_id)


@contextlib.contextmanager
def _spool_file() -> Iterator[IO[bytes]]:
    """Temporary file of the lines that are restored last. Raises DiskFull where it cannot grow."""
    try:
        with tempfile.TemporaryFile() as spool:
            yield spool
    except OSError as error:
        folder = tempfile.gettempdir()
        if error.errno in _FULL:
            raise DiskFull(f"The disk of {folder} is full.", disk=f"the disk of {folder}") from error
        raise Unavailable(f"The import needs a temporary file in {folder}: {error.strerror}.") from error


def _of_local_user(parsed: ParsedLine, draft: Draft) -> tuple[ParsedLine, Draft]:
    """Return a draft whose owner the store does not know as one of the local user, with a note."""
    imported = draft.metadata.get("imported", {})
    earlier = imported if isinstance(imported, dict) else {"imported": imported}
    # The line may hold a value of any type there.
    before = earlier.get("original", {})
    original = {**(before if isinstance(before, dict) else {"original": before}), "owner_user_id": draft.owner_user_id}
    metadata = {**draft.metadata, "imported": {**earlier, "original": original}}
    note = "owner_user_id is not a user of this store; the memory now belongs to the local user"
    return (
        dataclasses.replace(parsed, notes=(*parsed.notes, note)),
        dataclasses.replace(draft, owner_user_id=LOCAL_USER, metadata=metadata),
    )
