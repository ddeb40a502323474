"""Compare every row of a source with a target, table by table, by digests.

Rows that a copy cannot write, such as a vector of another width or a link without its memory, are no differences: they
count as failed. All keys are compared only of a table that has more rows in the target.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from vestige_tui.core.jobs import JobFinding, TableProgress
from vestige_tui.core.memories import LOCAL_USER
from vestige_tui.core.storable import new_id
from vestige_tui.core.text import grouped
from vestige_tui.transfer.differences import difference_text, listable
from vestige_tui.transfer.row_keys import key_of, name_of
from vestige_tui.transfer.sanitize import sentence
from vestige_tui.transfer.sync_state import hashed
from vestige_tui.transfer.table_spec import BY_NAME, PARENTS, TABLES, USERS

if TYPE_CHECKING:
    from vestige_tui.transfer.comparison_reporters import Reporter
    from vestige_tui.transfer.convert import TransferContext, TransferRow
    from vestige_tui.transfer.protocols import Batch, Key, RowComparison, Source, TargetReader
    from vestige_tui.transfer.table_spec import Table

T = TypeVar("T")

BATCH_ROWS = 2_000
MAX_BATCH_BYTES = 8_000_000
KEYS_PAGE_ROWS = 4_000
_LOCAL_USER_ID = new_id(LOCAL_USER)


class KeySet:
    """Key hashes of a source table in reading order, eight bytes each."""

    def __init__(self) -> None:
        self._hashes = array("Q")
        self._sorted: Any = None

    def add(self, keys: Sequence[bytes]) -> None:
        self._hashes.extend(map(hashed, keys))
        self._sorted = None

    def absent(self, keys: Sequence[bytes]) -> list[bytes]:
        """Return those of these keys that are missing."""
        import numpy as np

        if not len(self._hashes):
            return list(keys)
        if self._sorted is None:
            self._sorted = np.sort(np.frombuffer(self._hashes, dtype=np.uint64))
        hashes = np.array([hashed(key) for key in keys], dtype=np.uint64)
        positions = np.minimum(np.searchsorted(self._sorted, hashes), len(self._hashes) - 1)
        return [key for key, present in zip(keys, self._sorted[positions] == hashes, strict=True) if not present]

    def repeated(self) -> dict[int, int]:
        """Return the hashes of keys that occur more than once, with the position of the first."""
        import numpy as np

        hashes = np.frombuffer(self._hashes, dtype=np.uint64)
        order = np.argsort(hashes, kind="stable")
        repeated = hashes[order][1:] == hashes[order][:-1]
        firsts = np.flatnonzero(repeated & ~np.concatenate(([False], repeated[:-1])))
        return {int(hashes[order[position]]): int(order[position]) for position in firsts}


@dataclass(frozen=True, slots=True)
class BatchComparison:
    """Comparison of a batch: positions of missing and different rows; findings about rows that no copy can write."""

    missing: Sequence[int]
    differ: Sequence[int]
    failed: Sequence[JobFinding]
    rows: RowComparison


class Comparison:
    """Comparison of all tables.

    ``excused``: rows that a copy has reported as refused. ``counting``: compared rows count as read.
    """

    def __init__(
        self,
        source: Source,
        target_reader: TargetReader,
        transfer_context: TransferContext,
        reporter: Reporter,
        *,
        counting: bool = True,
        excused: Callable[[str, TransferRow], bool] = lambda table, row: False,
    ) -> None:
        self._source = source
        self._target_reader = target_reader
        self._transfer_context = transfer_context
        self._reporter = reporter
        self._counting = counting
        self._excused = excused
        self._key_sets: dict[str, KeySet] = {}
        self._repeated: dict[str, Mapping[int, int]] = {}

    async def run(self) -> None:
        """Compare all tables from their beginning, because compared rows may have changed since an earlier attempt."""
        await self.load_users()
        for table in TABLES:
            await self._compare(table)

    async def load_users(self) -> None:
        """Read all users as possible owners into the transfer context, before the first memory."""
        async with aclosing(self.batches(USERS)) as batches:
            async for _ in batches:
                pass

    async def batches(self, table: Table) -> AsyncGenerator[Batch, None]:
        """Yield the batches of a table, with prefetch of the next one."""

        def read(after: Key) -> Batch:
            return self._source.read(table, after, BATCH_ROWS, MAX_BATCH_BYTES, self._transfer_context)

        async def with_retries(after: Key) -> Batch:
            return await self._reporter.with_retries(partial(asyncio.to_thread, read, after))

        read_task = asyncio.create_task(with_retries(self._source.start(table.name)))
        try:
            while (batch := await asyncio.shield(read_task)).read:
                read_task = asyncio.create_task(with_retries(batch.after))
                yield batch
        finally:
            # A thread cannot be stopped: its read must end before the source is closed.
            await asyncio.wait({read_task})
            if not read_task.cancelled():
                read_task.exception()

    async def _compare(self, table: Table) -> None:
        meter, name = self._reporter.meter, table.name
        meter.phase = f"comparing {name}"
        rows_before, shared_keys = 0, array("Q")
        meter.tables[name] = replace(meter.tables.get(name, TableProgress()), differ=0, only_source=0, only_target=0)
        if self._counting:
            count = await self._ask_source(partial(self._source.count, name))
            meter.tables[name] = TableProgress(total=count.rows)
            if count.keyless:
                finding = JobFinding(name, "failed", "NULL", f"{grouped(count.keyless)} rows have no id.")
                await self._reporter.note(name, {"read": count.keyless, "failed": count.keyless}, [finding])
        async with aclosing(self.batches(table)) as batches:
            async for batch in batches:
                comparison = await self.compare_batch(table, batch, rows_before)
                await self._note(table, batch, comparison)
                rows_before += len(batch.rows)
                shared_keys.extend(
                    hashed(key_of(name, row.values))
                    for position, row in enumerate(batch.rows)
                    if position not in comparison.rows.missing
                )
        if await self._has_others(table, _distinct(shared_keys)):
            await self._note_others(table)
        self._repeated.pop(name, None)

    async def _ask_source(self, query: Callable[[], T]) -> T:
        return await self._reporter.with_retries(partial(asyncio.to_thread, query))

    async def compare_batch(self, table: Table, batch: Batch, rows_before: int) -> BatchComparison:
        """Compare a batch; ``rows_before`` is the number of rows read before it in its table."""
        name = table.name
        row_comparison = await self._reporter.with_retries(partial(self._target_reader.compare, table, batch.rows))
        failed = list(batch.failed)
        missing: list[int] = []
        differ: list[int] = []
        for position in sorted(row_comparison.missing):
            row = batch.rows[position]
            if reason := await self._why_absent(table, row):
                failed.append(JobFinding(name, "failed", row.key, reason))
            else:
                missing.append(position)
        for position in sorted(row_comparison.differ):
            row = batch.rows[position]
            if await self._is_repeated(table, row, rows_before + position):
                failed.append(JobFinding(name, "failed", row.key, "It is a duplicate of an earlier row."))
            else:
                differ.append(position)
        return BatchComparison(missing, differ, failed, row_comparison)

    async def _note(self, table: Table, batch: Batch, comparison: BatchComparison) -> None:
        name, before = table.name, self._reporter.meter.tables[table.name]
        findings = [
            JobFinding(name, "only_source", batch.rows[position].key, "The target does not have it.")
            for position in comparison.missing
        ]
        findings += [
            JobFinding(
                name,
                "differs",
                batch.rows[position].key,
                difference_text(name, batch.rows[position], comparison.rows, position),
            )
            for position in comparison.differ
        ]
        counts = {"differ": len(comparison.differ), "only_source": len(comparison.missing)}
        listed = listable(name, before.differ + before.only_source, findings)
        if self._counting:
            counts |= {"read": batch.read, "failed": len(comparison.failed)}
            listed = [*listable(name, before.failed, comparison.failed), *listed]
        if not self._counting:
            self._reporter.meter.note_compared(batch.read)
        await self._reporter.note(name, counts, listed)

    async def _why_absent(self, table: Table, row: TransferRow) -> str | None:
        """Return the reason why a row could not be copied: refused, or its owner is missing in the source; None for
        others."""
        if self._excused(table.name, row):
            return "The target refused it."
        for parent in table.parents:
            key = row.values[table.position(parent.column)]
            if key is not None and (await self._keys(parent.table)).absent([key]):
                return sentence(table.orphan_reason)
        return None

    async def _is_repeated(self, table: Table, row: TransferRow, position: int) -> bool:
        """Check whether a row repeats the key of an earlier row in the source, in another spelling."""
        if table.name not in self._repeated:
            self._repeated[table.name] = (await self._keys(table.name)).repeated()
        return self._repeated[table.name].get(hashed(key_of(table.name, row.values)), position) < position

    async def _keys(self, name: str) -> KeySet:
        """Return the keys of a source table; reads the whole table, which is seldom needed."""
        if name in self._key_sets:
            return self._key_sets[name]
        keys = KeySet()
        async with aclosing(self.batches(BY_NAME[name])) as batches:
            async for batch in batches:
                keys.add([key_of(name, row.values) for row in batch.rows])
        if name in PARENTS:
            self._key_sets[name] = keys
        return keys

    async def _has_others(self, table: Table, shared: int) -> bool:
        """Check whether the target has rows that the source lacks."""
        if table.embedded and not self._target_reader.vectors:
            return False  # Another model encodes every memory.
        return await self._reporter.with_retries(partial(self._target_reader.count, table.name)) != shared

    async def _note_others(self, table: Table) -> None:
        name, kept_ids = table.name, self._transfer_context.kept_ids
        async with aclosing(self.others(table)) as pages:
            async for page in pages:
                before = self._reporter.meter.tables[name]
                findings = [
                    JobFinding(name, "only_target", name_of(name, key, kept_ids), "The source does not have it.")
                    for key in page
                ]
                listed = listable(name, before.differ + before.only_source + before.only_target, findings)
                await self._reporter.note(name, {"only_target": len(findings)}, listed)

    async def others(self, table: Table) -> AsyncGenerator[Sequence[bytes], None]:
        """Yield the keys of rows that only the target has, page by page."""
        name = table.name
        keys = await self._keys(name)
        after: bytes | None = None
        while page := await self._reporter.with_retries(partial(self._target_reader.keys, name, after, KEYS_PAGE_ROWS)):
            yield [key for key in keys.absent(page) if name != "users" or key != _LOCAL_USER_ID]
            after = page[-1]


def _distinct(keys: array[int]) -> int:
    """Count distinct keys: one key may have several spellings in a source."""
    import numpy as np

    return len(np.unique(np.frombuffer(keys, dtype=np.uint64)))
