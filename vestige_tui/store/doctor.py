"""Doctor of a store: finds faults in its rows, previews the changes of a fix, and makes them in one transaction."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from vestige_tui.core.doctor import (
    KINDS,
    MAX_EXAMPLES,
    Examination,
    FaultyRow,
    Finding,
    Fixed,
    FixPreview,
    Image,
    RowChange,
    RowKey,
    TableNotShown,
)
from vestige_tui.core.errors import Conflict, VestigeError
from vestige_tui.core.journal import REPAIR
from vestige_tui.core.log import log_suppressed
from vestige_tui.core.scheduling import MAX_STABILITY_DAYS
from vestige_tui.store.journal_parts import PART_ROWS, JournalParts
from vestige_tui.store.row_snapshots import snapshots
from vestige_tui.store.schema import rows
from vestige_tui.store.undo import append_event

if TYPE_CHECKING:
    from vestige_tui.store.backends.protocol import Backend, Transaction
    from vestige_tui.store.context import StoreContext
    from vestige_tui.store.models import ModelService

log = logging.getLogger(__name__)

_Reader: TypeAlias = "Backend | Transaction"

CHECK_SECONDS = 120.0
"""Longest duration of one check."""
FOLD_BATCH_ROWS = 1_000
"""Memories that one statement indexes again."""
TEXT_INDEX, FILE_MODE = "text_index", "file_mode"
_PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "list_faulty_vectors": ("width",),
    "list_faulty_flags": (),
    "list_faulty_times": ("now",),
    "list_faulty_json": (),
    "list_faulty_schedules": ("max_stability",),
    "list_faulty_winners": (),
    "list_orphans": (),
    "list_orphans_of_adoption": (),
    "list_duplicate_ids": (),
}
"""Queries of faulty rows, and the names of their parameters."""
_OF_FOREIGN = frozenset({"list_faulty_flags", "list_orphans_of_adoption"})
"""Queries of faults that only the file of a Vestige server can have."""
_KINDS_OF: Mapping[str, tuple[str, ...]] = {
    "list_faulty_vectors": ("vector_width", "vector_infinite", "vector_zero"),
    "list_faulty_flags": ("flag_set", "flag_unset"),
    "list_faulty_times": ("time",),
    "list_faulty_json": ("json",),
    "list_faulty_schedules": ("schedule",),
    "list_faulty_winners": ("winner_missing", "winner_circle", "winner_cache"),
    "list_orphans": ("vector_orphan", "orphan"),
    "list_orphans_of_adoption": ("orphan",),
    "list_duplicate_ids": ("duplicate_id",),
}
"""Kinds of fault that each query finds."""


class _PreviewDone(Exception):
    """Ends the transaction of a preview, which is rolled back."""


class DoctorService:
    """Examination of every row of a store, and fixes that can be undone."""

    def __init__(self, context: StoreContext, models: ModelService) -> None:
        self._context = context
        self._backend = context.backend
        self._models = models

    # Examination

    async def examine(self) -> Examination:
        """Look at every row, at the words of the text index and at the modes of the files. Changes nothing."""
        faults: list[FaultyRow] = []
        unfinished: list[str] = []
        for name in _PARAMETERS:
            try:
                async with asyncio.timeout(CHECK_SECONDS):
                    faults += await self._faulty_rows(self._backend, [name])
            except (VestigeError, TimeoutError) as error:
                log_suppressed(log, "check the rows of a store", error)
                unfinished += _KINDS_OF[name]
        findings = [*_findings(faults), *await self._text_finding(unfinished), *self._mode_finding()]
        order = list(KINDS)
        findings.sort(key=lambda finding: order.index(finding.kind))
        return Examination(tuple(findings), await self._other_tables(), tuple(dict.fromkeys(unfinished)))

    async def _faulty_rows(self, reader: _Reader, names: Iterable[str]) -> list[FaultyRow]:
        """Return the faulty rows that these queries find, each once for each kind."""
        values = await self._values()
        faults: dict[tuple[str, RowKey], FaultyRow] = {}
        for name in names:
            if name in _OF_FOREIGN and not self._backend.foreign:
                continue
            if name == "list_orphans_of_adoption" and self._backend.read_only:
                continue
            if "width" in _PARAMETERS[name] and not values["width"]:
                continue
            params = {parameter: values[parameter] for parameter in _PARAMETERS[name]}
            for row in await reader.fetch(name, params):
                fault = rows.faulty_row(row)
                # Of a Vestige file, one row can have the times of a memory and of its schedule.
                known = faults.get((fault.kind, fault.row))
                faults[fault.kind, fault.row] = fault if known is None else merged(known, fault)
        return list(faults.values())

    async def _values(self) -> dict[str, Any]:
        model = await self._models.registered()
        width = model.dimension if model else 0
        return {"width": width, "now": self._context.now(), "max_stability": MAX_STABILITY_DAYS}

    async def _text_finding(self, unfinished: list[str]) -> list[Finding]:
        try:
            stale = await self._stale_texts()
        except (VestigeError, TimeoutError) as error:
            log_suppressed(log, "compare the text index with the texts", error)
            stale = None
        if stale is None:
            unfinished.append(TEXT_INDEX)
        return [Finding(TEXT_INDEX, len(stale), len(stale), stale[:MAX_EXAMPLES])] if stale else []

    async def _stale_texts(self) -> tuple[str, ...] | None:
        async with asyncio.timeout(CHECK_SECONDS):
            return await self._backend.inspection.stale_texts(CHECK_SECONDS)

    def _mode_finding(self) -> list[Finding]:
        files = tuple(self._backend.inspection.exposed_files())
        return [Finding(FILE_MODE, len(files), len(files), files)] if files else []

    async def _other_tables(self) -> tuple[TableNotShown, ...]:
        try:
            return await self._backend.inspection.other_tables()
        except VestigeError as error:
            log_suppressed(log, "list the other tables", error)
            return ()

    # Fixes

    async def preview(self, kinds: Sequence[str]) -> FixPreview:
        """Return the changes of a fix of these kinds: it is made in a transaction that is rolled back.

        Raises ReadOnly for a store that may not be written.
        """
        self._context.refuse_read_only()
        changes: list[RowChange] = []
        async with self._rolled_back() as transaction:
            changes = await self._change_rows(transaction, kinds)
        texts = len(await self._stale_texts() or ()) if TEXT_INDEX in kinds else 0
        files = tuple(self._backend.inspection.exposed_files()) if FILE_MODE in kinds else ()
        return FixPreview(tuple(kinds), tuple(changes), texts, files)

    @asynccontextmanager
    async def _rolled_back(self) -> AsyncIterator[Transaction]:
        try:
            async with self._backend.write() as transaction:
                yield transaction
                raise _PreviewDone
        except _PreviewDone:
            log.debug("The preview of a fix was rolled back")

    async def fix(self, preview: FixPreview) -> Fixed:
        """Make the changes of a preview in one transaction with one journal entry.

        Raises Conflict if they differ by now; nothing is changed then.
        """
        self._context.refuse_read_only()
        inspection = self._backend.inspection
        async with self._backend.write() as transaction:
            changes = await self._change_rows(transaction, preview.kinds)
            if _outline(changes) != _outline(preview.changes):
                raise Conflict("The store has changed since the preview; nothing was fixed.")
            if preview.texts:
                await _index_again(transaction)
            undo = await self._record(transaction, changes)
        if preview.files:
            inspection.protect_files()
        subjects = tuple(dict.fromkeys(change.subject for change in changes))
        return Fixed(subjects, undo, len(changes), preview.texts, preview.files)

    async def _change_rows(self, transaction: Transaction, kinds: Sequence[str]) -> list[RowChange]:
        """Fix the rows of these kinds; return the changes of each row."""
        names = [name for name, own in _KINDS_OF.items() if set(own) & set(kinds)]
        faults = [fault for fault in await self._faulty_rows(transaction, names) if fault.kind in kinds]
        faults = [fault for fault in faults if fault.action != "none"]
        before = await transaction.read_rows([fault.row for fault in faults])
        starts: dict[RowKey, tuple[FaultyRow, Image | None]] = {}
        for fault, (key, image) in zip(faults, before, strict=True):
            starts.setdefault(key, (fault, image))
        keys = [key for key, _ in before]
        for fault, key in await self._write(transaction, faults, keys):
            starts.setdefault(key, (fault, None))
        after = await transaction.read_rows(list(starts))
        return [
            RowChange(fault.kind, fault.subject, key, old, new)
            for (key, new), (fault, old) in zip(after, starts.values(), strict=True)
            if old != new
        ]

    async def _write(
        self, transaction: Transaction, faults: Sequence[FaultyRow], keys: Sequence[RowKey]
    ) -> list[tuple[FaultyRow, RowKey]]:
        """Make the change of each faulty row; return the rows that were appended to a log."""
        appended = []
        for fault, key in zip(faults, keys, strict=True):
            match fault.action:
                case "vector":
                    await transaction.execute("delete_embedding", {"id": fault.subject})
                case "delete":
                    await transaction.write_rows([(key, None)])
                case "event":
                    number = await append_event(
                        transaction, fault.subject, fault.sets["winner_id"], fault.sets["kind"], self._context.now()
                    )
                    appended.append((fault, RowKey.of(fault.sets["log"], {"id": number})))
                case "set":
                    [(_, image)] = await transaction.read_rows([key])
                    # Another fault may have deleted the row.
                    if image is not None:
                        await transaction.write_rows([(key, {**image, **fault.sets})])
                case _:
                    pass
        return appended

    async def _record(self, transaction: Transaction, changes: Sequence[RowChange]) -> int | None:
        parts = JournalParts(self._context, transaction, REPAIR)
        before, after = snapshots(changes)
        for start in range(0, len(before), PART_ROWS):
            await parts.add(before[start : start + PART_ROWS], after[start : start + PART_ROWS])
        return await parts.close()


def merged(first: FaultyRow, second: FaultyRow) -> FaultyRow:
    """Return two faults of one kind in one row as one that sets the columns of both, else the first."""
    if first.action == "set" == second.action:
        return replace(first, sets={**first.sets, **second.sets})
    return first


def _findings(faults: Sequence[FaultyRow]) -> list[Finding]:
    counts, fixable = Counter(fault.kind for fault in faults), Counter[str]()
    examples: dict[str, dict[str, None]] = {}
    for fault in faults:
        fixable[fault.kind] += fault.action != "none"
        examples.setdefault(fault.kind, {})[fault.subject] = None
    return [Finding(kind, count, fixable[kind], tuple(examples[kind])[:MAX_EXAMPLES]) for kind, count in counts.items()]


def _outline(changes: Sequence[RowChange]) -> list[tuple[Any, ...]]:
    """Return the parts of a preview that its fix repeats: numbers of new rows and the time of the fix differ."""
    return [
        (change.kind, change.row.table, None if change.before is None else (change.row, dict(change.before)))
        for change in changes
    ]


async def _index_again(transaction: Transaction) -> None:
    """Fill the text index again from the texts, in batches."""
    await transaction.execute("clear_text_index")
    after = None
    while True:
        [batch] = await transaction.fetch("find_folding_batch", {"after": after, "limit": FOLD_BATCH_ROWS})
        if not batch["n"]:
            return
        await transaction.execute("fold_memories", {"after": after, "last": batch["last"]})
        after = batch["last"]
