"""Compare every row of one store with another, by digests; each difference is named.

Rows that a copy cannot write, such as a vector of another width or a link without its memory, are no differences: they
count as failed. All keys are compared only of a table that has more rows in the target.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from vestige_tui.core.errors import ForeignStore, ReadOnly, SchemaPending, Usage
from vestige_tui.core.jobs import JobFinding, TableProgress
from vestige_tui.core.memories import LOCAL_USER
from vestige_tui.core.text import grouped
from vestige_tui.embedding.models import same_model
from vestige_tui.jobs.known_stores import without_password
from vestige_tui.jobs.ledger import MAX_LISTED_JOBS, Ledger, plan_id
from vestige_tui.jobs.start import JobRequest, ValidatedJob
from vestige_tui.store.open import open_backend
from vestige_tui.store.schema import migrations
from vestige_tui.transfer.convert import TransferContext
from vestige_tui.transfer.open import open_source
from vestige_tui.transfer.row_keys import key_of, name_of
from vestige_tui.transfer.sanitize import new_id, sentence
from vestige_tui.transfer.sync_state import hashed
from vestige_tui.transfer.table_spec import BY_NAME, PARENTS, TABLES, USERS
from vestige_tui.transfer.target_readers import target_reader_of

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import ModelSignature
    from vestige_tui.core.jobs import FindingKind
    from vestige_tui.jobs.context import JobContext, Meter
    from vestige_tui.store.backends.protocol import Backend, Transaction
    from vestige_tui.store.store import Store
    from vestige_tui.transfer.codecs import TextDecoder
    from vestige_tui.transfer.convert import TransferRow
    from vestige_tui.transfer.protocols import Batch, Key, RowComparison, Source, TargetReader
    from vestige_tui.transfer.table_spec import Table

T = TypeVar("T")

BATCH_ROWS = 2_000
MAX_BATCH_BYTES = 8_000_000
KEYS_PAGE_ROWS = 4_000
FINDINGS_PAGE_ROWS = 1_000
DIFFERENCES: tuple[FindingKind, ...] = ("differs", "only_source", "only_target")
"""Findings of a comparison that are differences; the others are rows that no copy can write."""
LISTED_ROWS = 10_000
"""Limit of listed differences and failed rows of a table; more are only counted."""
SHOWN_CHARS = 60
"""Longest value that is shown in a finding."""


class Reporter(Protocol):
    """Receiver of the progress and findings of a comparison."""

    meter: Meter

    async def note(self, table: str, counts: Mapping[str, int], findings: Sequence[JobFinding]) -> None:
        """Count the results and add the findings."""
        ...

    async def with_retries(self, work: Callable[[], Awaitable[T]]) -> T: ...


class LedgerReporter:
    """Reporter of a job, which writes to the ledger."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self.meter = context.meter

    async def note(self, table: str, counts: Mapping[str, int], findings: Sequence[JobFinding]) -> None:
        async def count(transaction: Transaction) -> None:
            self.meter.add(table, **counts)
            await self._context.ledger.add_findings(transaction, self._context.job_id, findings)

        await self._context.step(count)

    async def with_retries(self, work: Callable[[], Awaitable[T]]) -> T:
        return await self._context.with_retries(work)


class StdoutReporter:
    """Reporter of a comparison in the foreground, for a target that cannot be written."""

    def __init__(self, meter: Meter, tell: Callable[[Meter], None]) -> None:
        self.meter = meter
        self.findings: list[JobFinding] = []
        self._tell = tell

    async def note(self, table: str, counts: Mapping[str, int], findings: Sequence[JobFinding]) -> None:
        self.meter.add(table, **counts)
        self.findings += findings
        self._tell(self.meter)

    async def with_retries(self, work: Callable[[], Awaitable[T]]) -> T:
        return await work()


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
                failed.append(JobFinding(name, "failed", row.key, "It is the same row as one that came before it."))
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
                _difference_text(name, batch.rows[position], comparison.rows, position),
            )
            for position in comparison.differ
        ]
        counts = {"differ": len(comparison.differ), "only_source": len(comparison.missing)}
        listed = _listable(name, before.differ + before.only_source, findings)
        if self._counting:
            counts |= {"read": batch.read, "failed": len(comparison.failed)}
            listed = [*_listable(name, before.failed, comparison.failed), *listed]
        await self._reporter.note(name, counts, listed)

    async def _why_absent(self, table: Table, row: TransferRow) -> str | None:
        """Return the reason why a row could not be copied: refused, or its owner is missing in the source; None for
        others."""
        if self._excused(table.name, row):
            return "The target did not take it."
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
        name = table.name
        async with aclosing(self.others(table)) as pages:
            async for page in pages:
                before = self._reporter.meter.tables[name]
                findings = [
                    JobFinding(name, "only_target", name_of(name, key), "The source does not have it.") for key in page
                ]
                listed = _listable(name, before.differ + before.only_source + before.only_target, findings)
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


_LOCAL_USER_ID = new_id(LOCAL_USER)


def _listable(table: str, before: int, findings: Sequence[JobFinding]) -> Sequence[JobFinding]:
    """Return the findings within the limit; the last one then says that there are more."""
    if before + len(findings) <= LISTED_ROWS:
        return findings
    if before > LISTED_ROWS:
        return ()
    kind: FindingKind = findings[LISTED_ROWS - before].outcome
    text = f"There are more than {grouped(LISTED_ROWS)}: from here on they are only counted."
    return [*findings[: LISTED_ROWS - before], JobFinding(table, kind, "", text)]


def _difference_text(table: str, row: TransferRow, comparison: RowComparison, position: int) -> str:
    """Describe the columns that differ, with both values where they are short."""
    differing_columns = comparison.differ[position]
    names = list(dict.fromkeys("undoes" if each.startswith("undone_") else each for each in differing_columns))
    columns_text = " and ".join(filter(None, (", ".join(names[:-1]), names[-1]))).replace("_", " ")
    text = f"{columns_text} {'differs' if len(names) == 1 else 'differ'}"
    target_values = comparison.target_values.get(position)
    if target_values is None:
        return sentence(text)
    sides: list[str] = []
    for column, ours, theirs in zip(BY_NAME[table].columns, row.values, target_values, strict=False):
        if column.name in differing_columns and column.shown and column.codec.text is not None:
            source_text, target_text = _value_text(column.codec.text, ours), _value_text(column.codec.text, theirs)
            if max(len(source_text), len(target_text)) <= SHOWN_CHARS:
                prefix = f"{column.name.replace('_', ' ')} is " if len(names) > 1 else ""
                sides.append(f"{prefix}{source_text} in the source, {target_text} in the target")
    return sentence(f"{text}: {'; '.join(sides)}" if sides else text)


def _value_text(decode: TextDecoder, value: bytes | None) -> str:
    if value is None:
        return "nothing"
    try:
        return decode(value) or "empty"
    except ValueError:
        return "unreadable"


async def _nothing(transaction: Transaction) -> None:
    """Write only the checkpoint."""


# The job


async def check(request: JobRequest, *, dry: bool = False) -> ValidatedJob:
    """Refuse a comparison that cannot succeed. Raises ReadOnly, last, for a target without room for a job."""
    source = await asyncio.to_thread(open_source, request.source)
    title, location = source.title, without_password(source.location)
    await asyncio.to_thread(source.close)
    backend = open_backend(request.target, max_connections=1)
    await backend.open()
    try:
        await refuse_target(backend)
        target_location = without_password(backend.location())
        if location == target_location:
            raise Usage("A store is equal to itself; name another one to compare it with.")
        if backend.read_only:
            raise ReadOnly(f"{backend.title} is open read-only, so that no job can be noted there: {backend.reason}.")
    finally:
        await backend.close()
    strict = {"strict": True} if request.options.get("strict") else {}
    return ValidatedJob(location, target_location, "", f"compare {title} with {backend.title}", strict, anew=True)


async def refuse_target(backend: Backend) -> None:
    """Raise ForeignStore or SchemaPending for a store that no copy can have written."""
    if backend.foreign:
        raise ForeignStore(
            f"{backend.title} is a file of a Vestige server: name it as the source, and the copy of it as the target."
        )
    if not await migrations.is_ours(backend):
        raise SchemaPending(f"{backend.title} has no tables yet; nothing was copied there.")


async def dry_run(request: JobRequest) -> dict[str, TableProgress]:
    """Count the rows that a comparison would read, table by table."""
    await check(request, dry=True)

    def count_tables() -> dict[str, TableProgress]:
        source = open_source(request.source)
        try:
            return {table.name: TableProgress(total=source.count(table.name).rows) for table in TABLES}
        finally:
            source.close()

    return await asyncio.to_thread(count_tables)


@dataclass(frozen=True, slots=True)
class CopyTarget:
    """Reader of the target, context in which a copy would convert the source, and rows that the last copy refused."""

    target_reader: TargetReader
    transfer_context: TransferContext
    refused: frozenset[tuple[str, str]]


async def copy_target_of(source: Source, store: Store) -> CopyTarget:
    """Return the context in which a source was, or would be, copied into a store."""
    model, target_model = await asyncio.to_thread(source.model), await store.models.registered()
    target_reader = target_reader_of(store, vectors=model is None or target_model is None or _same(model, target_model))
    plan = plan_id(
        "copy", without_password(source.location), without_password(store.location), _name(target_model or model)
    )
    transfer_context = TransferContext(
        # Rows without a time got that of the copy.
        moment=await Ledger(store).first_started(plan) or store.now(),
        duplicate_ids=await asyncio.to_thread(source.duplicate_ids),
        width=model.dimension if model else None,
        half=target_reader.half,
    )
    return CopyTarget(target_reader, transfer_context, frozenset(await _refused(Ledger(store), str(plan))))


async def prepare(source: Source, store: Store, reporter: Reporter, *, strict: bool = False) -> Comparison:
    """Return a comparison of a source with a store.

    Rows that the last copy left out are no differences, unless ``strict``. Raises ForeignStore or SchemaPending for a
    store that no copy can have written.
    """
    await refuse_target(store.backend)
    copy_target = await copy_target_of(source, store)
    return Comparison(
        source,
        copy_target.target_reader,
        copy_target.transfer_context,
        reporter,
        excused=lambda table, row: not strict and (table, row.key) in copy_target.refused,
    )


async def _refused(ledger: Ledger, plan: str) -> set[tuple[str, str]]:
    """Return the rows that the last copy of a plan refused: table and key."""
    refused: set[tuple[str, str]] = set()
    last_job = next((job.id for job in await ledger.jobs(MAX_LISTED_JOBS) if job.plan == plan), None)
    after: str | None = ""
    while last_job is not None and after is not None:
        page = await ledger.findings(last_job, FINDINGS_PAGE_ROWS, after or None)
        refused |= {(each.subject, each.source_key) for each in page.items if each.outcome == "failed"}
        after = page.next
    return refused


def _name(model: ModelSignature | None) -> str:
    return model.name if model else ""


def _same(one: ModelSignature, other: ModelSignature) -> bool:
    return same_model(one.name, other.name) and one.dimension == other.dimension


async def run(context: JobContext) -> str:
    """Compare all tables; return the verdict."""
    source = await context.with_retries(partial(asyncio.to_thread, open_source, context.source))
    try:
        reporter = LedgerReporter(context)
        strict = bool(context.options.get("strict"))
        comparison = await reporter.with_retries(partial(prepare, source, context.store, reporter, strict=strict))
        for table in TABLES:
            if table.name not in context.meter.tables:
                count = await reporter.with_retries(partial(asyncio.to_thread, source.count, table.name))
                context.meter.expect(table.name, count.rows)
        await comparison.run()
    finally:
        source.close()
    await context.phase("done")
    return verdict(context.meter.tables)


def verdict(tables: Mapping[str, TableProgress]) -> str:
    """Return the result of a comparison in words."""
    differ = sum(table.differ for table in tables.values())
    source_only = sum(table.only_source for table in tables.values())
    target_only = sum(table.only_target for table in tables.values())
    parts = [
        f"{grouped(count)} {words}"
        for count, words in (
            (differ, "differ"),
            (source_only, "only in the source"),
            (target_only, "only in the target"),
        )
        if count
    ]
    if parts:
        return ", ".join(parts)
    refused = any(table.failed for table in tables.values())
    return "every row that could be copied is equal" if refused else "every row is equal"


def equal(tables: Mapping[str, TableProgress]) -> bool:
    """Check whether a comparison found no difference."""
    return not any(table.differ or table.only_source or table.only_target for table in tables.values())
