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
    DoctorListener,
    DoctorStep,
    Examination,
    FaultyRow,
    Finding,
    Fixed,
    FixPreview,
    RowChange,
    RowKey,
    TableNotShown,
    ignore,
)
from vestige_tui.core.errors import Conflict, VestigeError
from vestige_tui.core.journal import REPAIR
from vestige_tui.core.log import log_suppressed
from vestige_tui.core.scheduling import MAX_STABILITY_DAYS
from vestige_tui.store.doctor_fixes import FixRun
from vestige_tui.store.journal_parts import JournalParts
from vestige_tui.store.row_snapshots import snapshots
from vestige_tui.store.schema import rows

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
PAUSE_ROWS = 1_000
"""Faulty rows between two turns of the event loop."""
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

_PARENTLESS = frozenset({"vector_orphan", "orphan"})
"""Kinds of fault that the fix of another row of these kinds can reveal."""


class _PreviewDone(Exception):
    """Ends the transaction of a preview, which is rolled back."""


class DoctorService:
    """Examination of every row of a store, and fixes that can be undone."""

    def __init__(self, context: StoreContext, models: ModelService) -> None:
        self._context = context
        self._backend = context.backend
        self._models = models

    # Examination

    async def examine(self, tell: DoctorListener = ignore) -> Examination:
        """Look at every row, at the words of the text index and at the modes of the files. Changes nothing."""
        faults: list[FaultyRow] = []
        unfinished: list[str] = []
        total = len(_PARAMETERS) + 1
        for done, name in enumerate(_PARAMETERS):
            tell(DoctorStep("checking", done, total))
            try:
                async with asyncio.timeout(CHECK_SECONDS):
                    faults += await self._faulty_rows(self._backend, [name])
            except (VestigeError, TimeoutError) as error:
                log_suppressed(log, "check the rows of a store", error)
                unfinished += _KINDS_OF[name]
        tell(DoctorStep("checking", total - 1, total))
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
            for number, row in enumerate(await reader.fetch(name, params)):
                if number % PAUSE_ROWS == PAUSE_ROWS - 1:
                    await asyncio.sleep(0)
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

    async def preview(self, kinds: Sequence[str], tell: DoctorListener = ignore) -> FixPreview:
        """Return the changes of a fix of these kinds: it is made in a transaction that is rolled back.

        Raises ReadOnly for a store that may not be written.
        """
        self._context.refuse_read_only()
        changes: list[RowChange] = []
        async with self._rolled_back() as transaction:
            run = FixRun(transaction, self._context.now(), "previewing", tell)
            async for batch in self._fixed(run, transaction, kinds):
                changes += batch
        texts = len(await self._stale_texts() or ()) if TEXT_INDEX in kinds else 0
        files = tuple(self._backend.inspection.exposed_files()) if FILE_MODE in kinds else ()
        return FixPreview(tuple(kinds), tuple(changes), texts, files, run.digest)

    @asynccontextmanager
    async def _rolled_back(self) -> AsyncIterator[Transaction]:
        try:
            async with self._backend.write(orphans=True) as transaction:
                yield transaction
                raise _PreviewDone
        except _PreviewDone:
            log.debug("The preview of a fix was rolled back")

    async def fix(self, preview: FixPreview, tell: DoctorListener = ignore) -> Fixed:
        """Make the changes of a preview in one transaction with one journal entry; cancelled, it changes nothing.

        Raises Conflict if they differ by now; nothing is changed then.
        """
        self._context.refuse_read_only()
        count, subjects = 0, dict.fromkeys(change.subject for change in preview.changes)
        # On SQLite without foreign keys: a deletion by one would change rows that the journal then lacks.
        async with self._backend.write(orphans=True) as transaction:
            run = FixRun(transaction, self._context.now(), "fixing", tell)
            parts = JournalParts(self._context, transaction, REPAIR)
            async for changes in self._fixed(run, transaction, preview.kinds):
                count += len(changes)
                await parts.add(*snapshots(changes))
            if (count, run.digest) != (len(preview.changes), preview.digest):
                raise Conflict("The store has changed since the preview; nothing was fixed.")
            if preview.texts:
                await _index_again(transaction)
            undo = await parts.close()
            if _PARENTLESS & set(preview.kinds):
                await transaction.note_parents([change.row.table for change in preview.changes])
            tell(DoctorStep("committing", count, count))
        if preview.files:
            self._backend.inspection.protect_files()
        return Fixed(tuple(subjects), undo, count, preview.texts, preview.files)

    async def _fixed(
        self, run: FixRun, transaction: Transaction, kinds: Sequence[str]
    ) -> AsyncIterator[list[RowChange]]:
        """Fix the rows of these kinds, and those that lose their parent by that; yield the changes in batches."""
        names = [name for name, own in _KINDS_OF.items() if set(own) & set(kinds)]
        fixed: set[RowKey] = set()
        while names:
            faults = [fault for fault in await self._faulty_rows(transaction, names) if fault.kind in kinds]
            faults = [fault for fault in faults if fault.action != "none" and fault.row not in fixed]
            async for changes in run.changes(faults):
                yield changes
            fixed |= {fault.row for fault in faults}
            deletes = any(fault.action == "delete" for fault in faults)
            names = [name for name in names if deletes and _PARENTLESS & set(_KINDS_OF[name])]


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
