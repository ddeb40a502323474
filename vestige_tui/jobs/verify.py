"""A comparison of every row of one store with another, by digests; each difference is named.

Rows that a copy cannot bring, such as a vector of another width or a link without its memory, are no differences: they
count as failed. Of a table that has more rows in the target, all keys are looked at.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from vestige_tui.embedding import same_model
from vestige_tui.errors import ReadOnly, SchemaPending, Usage
from vestige_tui.jobs.brought import hashed
from vestige_tui.jobs.index import without_password
from vestige_tui.jobs.keys import key_of, key_parts
from vestige_tui.jobs.launch import Checked, Work
from vestige_tui.jobs.ledger import Ledger, plan_id
from vestige_tui.jobs.mirrors import mirror_of
from vestige_tui.jobs.opening import open_source, refuse_foreign
from vestige_tui.jobs.repair import new_id, sentence, shown
from vestige_tui.jobs.tables import TABLES, Setting, Table
from vestige_tui.jobs.unwire import uuid as spell
from vestige_tui.model import LOCAL_USER, JobFinding, TableProgress
from vestige_tui.store import open_store, schema
from vestige_tui.text import grouped

if TYPE_CHECKING:
    from datetime import datetime

    from vestige_tui.jobs.ends import Batch, Compared, Key, Mirror, Source
    from vestige_tui.jobs.running import Meter, Running
    from vestige_tui.jobs.tables import Fit
    from vestige_tui.model import ModelSignature
    from vestige_tui.store.backend import Transaction
    from vestige_tui.store.service import Store

T = TypeVar("T")

BATCH = 2_000
MAX_BATCH_BYTES = 8_000_000
KEYS = 4_000
LISTED = 10_000
"""So many differences of a table are listed; more are counted."""


class Report(Protocol):
    """Where a comparison tells how far it is; a job's ``Running`` is one by way of ``Told``."""

    meter: Meter

    async def progress(self) -> None: ...

    async def table_done(self, table: str, findings: Sequence[JobFinding]) -> None: ...

    async def patiently(self, work: Callable[[], Awaitable[T]]) -> T: ...


class Told:
    """The report of a job, into the ledger."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self.meter = running.meter

    async def progress(self) -> None:
        await self._running.step(_nothing)

    async def table_done(self, table: str, findings: Sequence[JobFinding]) -> None:
        async def note(transaction: Transaction) -> None:
            await self._running.ledger.add_findings(transaction, self._running.job_id, findings)

        done = [*self._running.checkpoint.get("compared", ()), table]
        await self._running.step(note, {"compared": done})

    async def patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        result = await self._running.patiently(work)
        assert result is not None
        return result


class Aloud:
    """The report of a comparison in the foreground, where the target takes no row of a ledger."""

    def __init__(self, meter: Meter, tell: Callable[[Meter], None]) -> None:
        self.meter = meter
        self.findings: list[JobFinding] = []
        self._tell = tell

    async def progress(self) -> None:
        self._tell(self.meter)

    async def table_done(self, table: str, findings: Sequence[JobFinding]) -> None:
        self.findings += findings

    async def patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        return await work()


class Keys:
    """Which keys a source has, in eight bytes each."""

    def __init__(self) -> None:
        self._seen = array("Q")
        self._sorted = False

    def __len__(self) -> int:
        return len(self._seen)

    def add(self, keys: Sequence[bytes]) -> None:
        self._seen.extend(map(hashed, keys))
        self._sorted = False

    def lacking(self, keys: Sequence[bytes]) -> list[bytes]:
        """Those of these keys that are not among them."""
        import numpy as np

        if not self._sorted:
            self._seen = array("Q", np.sort(np.frombuffer(self._seen, dtype=np.uint64)).tobytes())
            self._sorted = True
        if not len(self._seen):
            return list(keys)
        seen = np.frombuffer(self._seen, dtype=np.uint64)
        asked = np.array([hashed(key) for key in keys], dtype=np.uint64)
        places = np.minimum(np.searchsorted(seen, asked), len(seen) - 1)
        return [key for key, there in zip(keys, seen[places] == asked, strict=True) if not there]


class Comparison:
    """One comparison of everything. ``excused``: rows that a copy has already said it could not bring."""

    def __init__(
        self,
        source: Source,
        mirror: Mirror,
        setting: Setting,
        report: Report,
        *,
        counting: bool = True,
        excused: Callable[[str, Fit], bool] = lambda table, fit: False,
    ) -> None:
        self._source = source
        self._mirror = mirror
        self._setting = setting
        self._report = report
        self._counting = counting
        self._excused = excused
        self._owners: dict[str, Keys] = {}

    async def run(self, done: Sequence[str] = ()) -> None:
        """Compare all tables but those that are ``done``; of these, only the keys are read that others need."""
        await self._know_users()
        for table in TABLES:
            if table.name not in done:
                await self._compare(table)
            elif table.name in _OWNERS:
                await self._learn(table)

    async def _know_users(self) -> None:
        """Read who may own a memory, before the first memory is read."""
        await self._each(TABLES[0], _forget)

    async def _learn(self, table: Table) -> None:
        keys = self._owners[table.name] = Keys()

        async def learn(batch: Batch) -> None:
            keys.add([key_of(table.name, fit.values) for fit in batch.fits])

        await self._each(table, learn)

    async def _each(self, table: Table, work: Callable[[Batch], Awaitable[None]]) -> None:
        """Every batch of a table; the next one is read while the database is asked about this one."""

        def read(after: Key) -> Batch:
            return self._source.read(table, after, BATCH, MAX_BATCH_BYTES, self._setting)

        reading = asyncio.create_task(asyncio.to_thread(read, self._source.start(table.name)))
        try:
            while (batch := await asyncio.shield(reading)).read:
                reading = asyncio.create_task(asyncio.to_thread(read, batch.after))
                await work(batch)
        finally:
            # A thread cannot be stopped: its read must end before the source may be closed.
            await asyncio.wait({reading})
            if not reading.cancelled():
                reading.exception()

    async def _compare(self, table: Table) -> None:
        meter, name = self._report.meter, table.name
        meter.phase = f"comparing {name}"
        count = await asyncio.to_thread(self._source.count, name)
        before = meter.tables.get(name, TableProgress())
        if self._counting:
            before = TableProgress(total=count.rows, read=count.keyless, failed=count.keyless)
        meter.tables[name] = before
        findings: list[JobFinding] = []
        keys = Keys()
        absent = 0

        async def compare(batch: Batch) -> None:
            nonlocal absent
            keys.add([key_of(name, fit.values) for fit in batch.fits])
            compared = await self._report.patiently(partial(self._mirror.compare, table, batch.fits))
            absent += len(compared.missing)
            self._count(table, batch, compared, findings)
            await self._report.progress()

        await self._each(table, compare)
        if name in _OWNERS:
            self._owners[name] = keys
        await self._look_for_others(table, keys, absent, findings)
        if len(findings) > LISTED:
            more = len(findings) - LISTED
            del findings[LISTED:]
            findings.append(JobFinding(name, findings[0].outcome, "", f"{grouped(more)} more rows differ."))
        await self._report.table_done(name, findings)

    def _count(self, table: Table, batch: Batch, compared: Compared, findings: list[JobFinding]) -> None:
        name, failed, alone = table.name, len(batch.failed), 0
        for place in sorted(compared.missing):
            fit = batch.fits[place]
            if self._orphaned(table, fit) or self._excused(name, fit):
                failed += 1
            else:
                alone += 1
                findings.append(JobFinding(name, "only_source", fit.key, "The target does not have it."))
        for place, columns in sorted(compared.differ.items()):
            findings.append(JobFinding(name, "differs", batch.fits[place].key, _what(columns)))
        more = {"differ": len(compared.differ), "only_source": alone}
        if self._counting:
            more |= {"read": batch.read, "failed": failed}
        self._report.meter.add(name, **more)

    def _orphaned(self, table: Table, fit: Fit) -> bool:
        """Does a row belong to one that is not in the source, so that it could not be copied?"""
        return any(
            bool(self._owners[owner].lacking([fit.values[place] or b""]))
            for owner, place in _BELONGS.get(table.name, ())
            if fit.values[place] is not None
        )

    async def _look_for_others(self, table: Table, keys: Keys, absent: int, findings: list[JobFinding]) -> None:
        """Where the target has more rows than were found there, find those that the source has not."""
        name = table.name
        if name == "users":
            keys.add([new_id(LOCAL_USER)])
        there = await self._report.patiently(partial(self._mirror.count, name))
        if there <= len(keys) - absent - (name == "users"):
            return
        after: bytes | None = None
        while page := await self._report.patiently(partial(self._mirror.keys, name, after, KEYS)):
            after = page[-1]
            for key in keys.lacking(page):
                self._report.meter.add(name, only_target=1)
                if len(findings) <= LISTED:
                    findings.append(JobFinding(name, "only_target", name_of(name, key), "The source does not have it."))


_OWNERS = ("users", "groups", "memories")
_BELONGS: Mapping[str, tuple[tuple[str, int], ...]] = {
    "memberships": (("users", 0), ("groups", 1)),
    "vectors": (("memories", 0),),
    "scheduling": (("memories", 0),),
    "edges": (("memories", 0), ("memories", 1)),
    "reviews": (("memories", 0),),
    "supersession": (("memories", 0),),
    "marks": (("memories", 0),),
}
"""Whose a row is: of which table, and which of its values says so."""


async def _forget(batch: Batch) -> None:
    """What was read is remembered by the source's setting alone."""


async def _nothing(transaction: Transaction) -> None:
    """A step that only says how far the job is."""


def _what(columns: Sequence[str]) -> str:
    names = [each.replace("_", " ") for each in columns]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    return sentence(f"{listed} {'differs' if len(names) == 1 else 'differ'}")


def name_of(table: str, key: bytes) -> str:
    """A row as a finding calls it, by its key."""
    parts = key_parts(table, key)
    first = parts[0] or b""
    if table == "domains":
        return shown(first.decode("utf-8", "replace"))
    named = spell(first)
    if table == "edges":
        return f"{named} to {spell(parts[1] or b'')}, {shown((parts[2] or b'').decode('utf-8', 'replace'))}"
    if table == "memberships":
        return f"{named} in {spell(parts[1] or b'')}"
    return named


# The job


async def check(work: Work, *, dry: bool = False) -> Checked:
    """Refuse what cannot be compared."""
    if without_password(work.source) == without_password(work.target):
        raise Usage("A store is equal to itself; name another one to compare it with.")
    source = await asyncio.to_thread(open_source, work.source)
    try:
        title, location = source.title, source.location
    finally:
        source.close()
    async with open_store(work.target, read_only=True, max_connections=1) as target:
        refuse_foreign(target.backend)
        if not await schema.is_ours(target.backend):
            raise SchemaPending(f"{target.title} has no tables yet; nothing was copied there.")
        where, name = without_password(target.location), target.title
    if location == where:
        raise Usage("A store is equal to itself; name another one to compare it with.")
    async with open_store(work.target, max_connections=1) as target:
        if target.read_only:
            raise ReadOnly(f"{name} is open read-only, so that no job can be noted there.")
    return Checked(location, where, "", f"compare {title} with {name}")


async def dry_run(work: Work) -> dict[str, TableProgress]:
    """What a comparison would read, table by table."""
    await check(work, dry=True)

    def counted() -> dict[str, TableProgress]:
        source = open_source(work.source)
        try:
            return {table.name: TableProgress(total=source.count(table.name).rows) for table in TABLES}
        finally:
            source.close()

    return await asyncio.to_thread(counted)


async def prepare(source: Source, store: Store) -> tuple[Mirror, Setting]:
    """The other side of a comparison, and what all its rows share."""
    model, there = source.model(), await store.registered_model()
    alike = model is None or there is None or _same(model, there)
    mirror = mirror_of(store, vectors=alike)
    setting = Setting(
        moment=await _moment(source, store, there),
        rivals=await asyncio.to_thread(source.rivals),
        width=model.dimension if model else None,
        half=False,
    )
    return mirror, setting


async def _moment(source: Source, store: Store, model: ModelSignature | None) -> datetime:
    """When the copy of this source to this store began: the time of what had none of its own."""
    plan = plan_id("copy", source.location, without_password(store.location), model.name if model else "")
    return await Ledger(store).first_started(plan) or store.now()


def _same(one: ModelSignature, other: ModelSignature) -> bool:
    return same_model(one.name, other.name) and one.dimension == other.dimension


async def compare_all(
    running: Running,
    source: Source,
    mirror: Mirror,
    setting: Setting,
    *,
    excused: Callable[[str, Fit], bool] = lambda table, fit: False,
) -> None:
    """The comparison that another job ends with: differences are counted and found, and nothing counts as read."""
    comparison = Comparison(source, mirror, setting, Told(running), counting=False, excused=excused)
    await comparison.run(running.checkpoint.get("compared", ()))


async def run(running: Running) -> str:
    """Compare everything; gives what came of it in words."""
    source = await running.patiently(partial(asyncio.to_thread, open_source, running.source))
    assert source is not None
    try:
        prepared = await running.patiently(partial(prepare, source, running.store))
        assert prepared is not None
        mirror, setting = prepared
        for table in TABLES:
            if table.name not in running.meter.tables:
                count = await asyncio.to_thread(source.count, table.name)
                running.meter.expect(table.name, count.rows)
        await Comparison(source, mirror, setting, Told(running)).run(running.checkpoint.get("compared", ()))
    finally:
        source.close()
    await running.phase("done")
    return verdict(running.meter.tables)


def verdict(tables: Mapping[str, TableProgress]) -> str:
    """What a comparison came to, in words."""
    differ = sum(table.differ for table in tables.values())
    here = sum(table.only_source for table in tables.values())
    there = sum(table.only_target for table in tables.values())
    parts = [
        f"{grouped(count)} {words}"
        for count, words in ((differ, "differ"), (here, "only in the source"), (there, "only in the target"))
        if count
    ]
    return ", ".join(parts) if parts else "every row is equal"


def equal(tables: Mapping[str, TableProgress]) -> bool:
    """Did a comparison find both sides alike?"""
    return not any(table.differ or table.only_source or table.only_target for table in tables.values())
