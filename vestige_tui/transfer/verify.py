"""A comparison of every row of one store with another, by digests; each difference is named.

Rows that a copy cannot bring, such as a vector of another width or a link without its memory, are no differences: they
count as failed. Of a table that has more rows in the target, all keys are looked at.
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
from vestige_tui.core.times import format_time
from vestige_tui.embedding.models import same_model
from vestige_tui.jobs.known_stores import without_password
from vestige_tui.jobs.ledger import MOST_LISTED, Ledger, plan_id
from vestige_tui.jobs.start import Checked, Work
from vestige_tui.store.backends import pgbinary_decode
from vestige_tui.store.open import open_backend
from vestige_tui.store.schema import migrations
from vestige_tui.transfer.convert import BY_NAME, TABLES, Setting, Table
from vestige_tui.transfer.open import open_source
from vestige_tui.transfer.row_keys import key_of, key_parts
from vestige_tui.transfer.sanitize import new_id, sentence, shown
from vestige_tui.transfer.sync_state import hashed
from vestige_tui.transfer.target_readers import columns, mirror_of

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import ModelSignature
    from vestige_tui.core.jobs import FindingKind
    from vestige_tui.jobs.context import Meter, Running
    from vestige_tui.store.backends.protocol import Backend, Transaction
    from vestige_tui.store.store import Store
    from vestige_tui.transfer.convert import Fit
    from vestige_tui.transfer.protocols import Batch, Compared, Key, Mirror, Source

T = TypeVar("T")

BATCH = 2_000
MAX_BATCH_BYTES = 8_000_000
KEYS = 4_000
PAGE = 1_000
DIFFERENCES: tuple[FindingKind, ...] = ("differs", "only_source", "only_target")
"""What of a comparison's findings is a difference; the others are rows that no copy can bring."""
LISTED = 10_000
"""So many differences of a table are listed, and so many rows that failed; more are counted."""
SHOWN = 60
"""Values of at most so many characters are told in full."""


class Report(Protocol):
    """Where a comparison tells how far it is."""

    meter: Meter

    async def note(self, table: str, counts: Mapping[str, int], findings: Sequence[JobFinding]) -> None:
        """Count and list what was found."""
        ...

    async def patiently(self, work: Callable[[], Awaitable[T]]) -> T: ...


class Told:
    """The report of a job, into the ledger."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self.meter = running.meter

    async def note(self, table: str, counts: Mapping[str, int], findings: Sequence[JobFinding]) -> None:
        async def count(transaction: Transaction) -> None:
            self.meter.add(table, **counts)
            await self._running.ledger.add_findings(transaction, self._running.job_id, findings)

        await self._running.step(count)

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

    async def note(self, table: str, counts: Mapping[str, int], findings: Sequence[JobFinding]) -> None:
        self.meter.add(table, **counts)
        self.findings += findings
        self._tell(self.meter)

    async def patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        return await work()


class Keys:
    """Which keys a source has, in the order in which it gives them, in eight bytes each."""

    def __init__(self) -> None:
        self._seen = array("Q")
        self._sorted: Any = None

    def add(self, keys: Sequence[bytes]) -> None:
        self._seen.extend(map(hashed, keys))
        self._sorted = None

    def lacking(self, keys: Sequence[bytes]) -> list[bytes]:
        """Those of these keys that are not among them."""
        import numpy as np

        if not len(self._seen):
            return list(keys)
        if self._sorted is None:
            self._sorted = np.sort(np.frombuffer(self._seen, dtype=np.uint64))
        asked = np.array([hashed(key) for key in keys], dtype=np.uint64)
        places = np.minimum(np.searchsorted(self._sorted, asked), len(self._seen) - 1)
        return [key for key, there in zip(keys, self._sorted[places] == asked, strict=True) if not there]

    def repeated(self) -> dict[int, int]:
        """The hashes of keys that came more than once, and where each came first."""
        import numpy as np

        seen = np.frombuffer(self._seen, dtype=np.uint64)
        order = np.argsort(seen, kind="stable")
        again = seen[order][1:] == seen[order][:-1]
        firsts = np.flatnonzero(again & ~np.concatenate(([False], again[:-1])))
        return {int(seen[order[place]]): int(order[place]) for place in firsts}


@dataclass(frozen=True, slots=True)
class Judged:
    """What a comparison says of a batch: the places of rows that the target lacks, those that differ and in what, and
    the rows that no copy can bring."""

    missing: Sequence[int]
    differ: Sequence[int]
    failed: Sequence[JobFinding]
    compared: Compared


class Comparison:
    """One comparison of everything.

    ``excused``: rows that a copy has already said it could not bring. ``counting``: what is compared counts as read.
    """

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
        self._repeated: dict[str, Mapping[int, int]] = {}

    async def run(self) -> None:
        """Compare all tables, from their beginnings: what was compared by an attempt before has changed since."""
        await self.know_users()
        for table in TABLES:
            await self._compare(table)

    async def know_users(self) -> None:
        """Read who may own a memory, before the first memory is read: the setting remembers them."""
        async with aclosing(self.batches(TABLES[0])) as batches:
            async for _ in batches:
                pass

    async def batches(self, table: Table) -> AsyncGenerator[Batch, None]:
        """The batches of a table; the next one is read while somebody works on this one."""

        def read(behind: Key) -> Batch:
            return self._source.read(table, behind, BATCH, MAX_BATCH_BYTES, self._setting)

        async def patiently(behind: Key) -> Batch:
            return await self._report.patiently(partial(asyncio.to_thread, read, behind))

        reading = asyncio.create_task(patiently(self._source.start(table.name)))
        try:
            while (batch := await asyncio.shield(reading)).read:
                reading = asyncio.create_task(patiently(batch.after))
                yield batch
        finally:
            # A thread cannot be stopped: its read must end before the source may be closed.
            await asyncio.wait({reading})
            if not reading.cancelled():
                reading.exception()

    async def _compare(self, table: Table) -> None:
        meter, name = self._report.meter, table.name
        meter.phase = f"comparing {name}"
        rows, shared = 0, array("Q")
        meter.tables[name] = replace(meter.tables.get(name, TableProgress()), differ=0, only_source=0, only_target=0)
        if self._counting:
            count = await self._asked(partial(self._source.count, name))
            meter.tables[name] = TableProgress(total=count.rows)
            if count.keyless:
                finding = JobFinding(name, "failed", "NULL", f"{grouped(count.keyless)} rows have no id.")
                await self._report.note(name, {"read": count.keyless, "failed": count.keyless}, [finding])
        async with aclosing(self.batches(table)) as batches:
            async for batch in batches:
                judged = await self.judge(table, batch, rows)
                await self._note(table, batch, judged)
                rows += len(batch.fits)
                shared.extend(
                    hashed(key_of(name, fit.values))
                    for place, fit in enumerate(batch.fits)
                    if place not in judged.compared.missing
                )
        if await self._has_others(table, _distinct(shared)):
            await self._note_others(table)
        self._repeated.pop(name, None)

    async def _asked(self, question: Callable[[], T]) -> T:
        return await self._report.patiently(partial(asyncio.to_thread, question))

    async def judge(self, table: Table, batch: Batch, rows: int) -> Judged:
        """Compare a batch, before which so many rows of its table were read."""
        name = table.name
        compared = await self._report.patiently(partial(self._mirror.compare, table, batch.fits))
        failed = list(batch.failed)
        missing: list[int] = []
        differ: list[int] = []
        for place in sorted(compared.missing):
            fit = batch.fits[place]
            if reason := await self._why_absent(table, fit):
                failed.append(JobFinding(name, "failed", fit.key, reason))
            else:
                missing.append(place)
        for place in sorted(compared.differ):
            fit = batch.fits[place]
            if await self._came_before(table, fit, rows + place):
                failed.append(JobFinding(name, "failed", fit.key, "It is the same row as one that came before it."))
            else:
                differ.append(place)
        return Judged(missing, differ, failed, compared)

    async def _note(self, table: Table, batch: Batch, judged: Judged) -> None:
        name, before = table.name, self._report.meter.tables[table.name]
        findings = [
            JobFinding(name, "only_source", batch.fits[place].key, "The target does not have it.")
            for place in judged.missing
        ]
        findings += [
            JobFinding(name, "differs", batch.fits[place].key, _what(name, batch.fits[place], judged.compared, place))
            for place in judged.differ
        ]
        counts = {"differ": len(judged.differ), "only_source": len(judged.missing)}
        listed = _listed(name, before.differ + before.only_source, findings)
        if self._counting:
            counts |= {"read": batch.read, "failed": len(judged.failed)}
            listed = [*_listed(name, before.failed, judged.failed), *listed]
        await self._report.note(name, counts, listed)

    async def _why_absent(self, table: Table, fit: Fit) -> str | None:
        """Why a row could not be copied: the target refused it, or it belongs to one that is not in the source."""
        if self._excused(table.name, fit):
            return "The target did not take it."
        for owner, place in _BELONGS.get(table.name, ()):
            key = fit.values[place]
            if key is not None and (await self._keys(owner)).lacking([key]):
                return _ORPHANED.get(table.name, "Its memory is not there.")
        return None

    async def _came_before(self, table: Table, fit: Fit, position: int) -> bool:
        """Is a row the second of its key in the source, which another spelling has hidden?"""
        if table.name not in self._repeated:
            self._repeated[table.name] = (await self._keys(table.name)).repeated()
        return self._repeated[table.name].get(hashed(key_of(table.name, fit.values)), position) < position

    async def _keys(self, name: str) -> Keys:
        """The keys of a table of the source, read again where somebody has to know them: seldom."""
        if name in self._owners:
            return self._owners[name]
        keys = Keys()
        async with aclosing(self.batches(BY_NAME[name])) as batches:
            async for batch in batches:
                keys.add([key_of(name, fit.values) for fit in batch.fits])
        if name in _OWNERS:
            self._owners[name] = keys
        return keys

    async def _has_others(self, table: Table, shared: int) -> bool:
        """Has the target other rows than those that both have?"""
        if table.name == "vectors" and not self._mirror.vectors:
            return False  # Another model makes a vector of every memory.
        return await self._report.patiently(partial(self._mirror.count, table.name)) != shared

    async def _note_others(self, table: Table) -> None:
        name = table.name
        async with aclosing(self.others(table)) as pages:
            async for page in pages:
                before = self._report.meter.tables[name]
                findings = [
                    JobFinding(name, "only_target", name_of(name, key), "The source does not have it.") for key in page
                ]
                listed = _listed(name, before.differ + before.only_source + before.only_target, findings)
                await self._report.note(name, {"only_target": len(findings)}, listed)

    async def others(self, table: Table) -> AsyncGenerator[Sequence[bytes], None]:
        """The keys of rows that only the target has, page by page."""
        name = table.name
        keys = await self._keys(name)
        walked: bytes | None = None
        while page := await self._report.patiently(partial(self._mirror.keys, name, walked, KEYS)):
            yield [key for key in keys.lacking(page) if name != "users" or key != _LOCAL]
            walked = page[-1]


def _distinct(keys: array[int]) -> int:
    """How many different ones there are: one key may have several spellings in a source."""
    import numpy as np

    return len(np.unique(np.frombuffer(keys, dtype=np.uint64)))


_LOCAL = new_id(LOCAL_USER)

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


_ORPHANED = {
    "memberships": "Its user or group is not there.",
    "edges": "One of its memories is not there.",
}


def _listed(table: str, before: int, findings: Sequence[JobFinding]) -> Sequence[JobFinding]:
    """As many findings as may still be listed, and behind the last one that there are more."""
    if before + len(findings) <= LISTED:
        return findings
    if before > LISTED:
        return ()
    kind: FindingKind = findings[LISTED - before].outcome
    told = f"There are more than {grouped(LISTED)}: from here on they are only counted."
    return [*findings[: LISTED - before], JobFinding(table, kind, "", told)]


def _what(table: str, fit: Fit, compared: Compared, place: int) -> str:
    """Which values of a row differ, and what they are on either side where they are short."""
    differing = compared.differ[place]
    names = list(dict.fromkeys("undoes" if each.startswith("undone_") else each for each in differing))
    said = " and ".join(filter(None, (", ".join(names[:-1]), names[-1]))).replace("_", " ")
    told = f"{said} {'differs' if len(names) == 1 else 'differ'}"
    there = compared.there.get(place)
    if there is None:
        return sentence(told)
    sides: list[str] = []
    for column, ours, theirs in zip(columns(table), fit.values, there, strict=False):
        if column in differing and column in _FORMS:
            one, other = _told(column, ours), _told(column, theirs)
            if max(len(one), len(other)) <= SHOWN:
                which = f"{column.replace('_', ' ')} is " if len(names) > 1 else ""
                sides.append(f"{which}{one} in the source, {other} in the target")
    return sentence(f"{told}: {'; '.join(sides)}" if sides else told)


def _told(column: str, value: bytes | None) -> str:
    if value is None:
        return "nothing"
    try:
        return _FORMS[column](value) or "empty"
    except ValueError:
        return "unreadable"


def _moment(raw: bytes) -> str:
    return format_time(pgbinary_decode.moment(raw))


def _flag(raw: bytes) -> str:
    return "yes" if pgbinary_decode.boolean(raw) else "no"


def _words(raw: bytes) -> str:
    return ", ".join("NULL" if each is None else each.decode() for each in pgbinary_decode.texts(raw))


def _ids(raw: bytes) -> str:
    return ", ".join("NULL" if each is None else pgbinary_decode.uuid(each) for each in pgbinary_decode.uuids(raw))


def _json(raw: bytes) -> str:
    return pgbinary_decode.jsonb(raw).decode()


_FORMS: Mapping[str, Callable[[bytes], str]] = {
    **dict.fromkeys(
        ("handle", "display_name", "role", "label", "content", "node_type", "codebase"), pgbinary_decode.text
    ),
    **dict.fromkeys(("created_at", "updated_at", "joined_at", "last_review", "next_review", "buried_until"), _moment),
    **dict.fromkeys(
        ("stability", "difficulty", "retrievability", "weight"), lambda raw: repr(pgbinary_decode.double(raw))
    ),
    **dict.fromkeys(("memory_count", "reps", "lapses"), lambda raw: str(pgbinary_decode.integer(raw))),
    **dict.fromkeys(("tags", "domains", "top_terms"), _words),
    **dict.fromkeys(("metadata", "domain_scores", "prior_state", "new_state"), _json),
    "visibility": pgbinary_decode.text,
    "owner_user_id": pgbinary_decode.uuid,
    "shared_with_groups": _ids,
    "suspended": _flag,
    "undone_timestamp": _moment,
}
"""How a value is told, by its column; one that is not here is not worth reading."""


def name_of(table: str, key: bytes) -> str:
    """A row as a finding calls it, by its key."""
    parts = key_parts(table, key)
    first = parts[0] or b""
    if table == "domains":
        return shown(first)
    named = pgbinary_decode.uuid(first)
    if table == "edges":
        return f"{named} to {pgbinary_decode.uuid(parts[1] or b'')}, {shown(parts[2] or b'')}"
    if table == "memberships":
        return f"{named} in {pgbinary_decode.uuid(parts[1] or b'')}"
    if table == "reviews":
        return f"review of {named} at {_told('created_at', parts[1])}"
    if table == "supersession":
        return f"decision on {named} at {_told('created_at', parts[3])}, {shown(parts[2] or b'')}"
    return named


async def _nothing(transaction: Transaction) -> None:
    """A step that only says what there is to do."""


# The job


async def check(work: Work, *, dry: bool = False) -> Checked:
    """Refuse what cannot be compared. Raises ReadOnly, last, for a target that takes no row of a job."""
    source = await asyncio.to_thread(open_source, work.source)
    title, location = source.title, without_password(source.location)
    await asyncio.to_thread(source.close)
    backend = open_backend(work.target, max_connections=1)
    await backend.open()
    try:
        await refuse_target(backend)
        where = without_password(backend.location())
        if location == where:
            raise Usage("A store is equal to itself; name another one to compare it with.")
        if backend.read_only:
            raise ReadOnly(f"{backend.title} is open read-only, so that no job can be noted there: {backend.reason}.")
    finally:
        await backend.close()
    strict = {"strict": True} if work.options.get("strict") else {}
    return Checked(location, where, "", f"compare {title} with {backend.title}", strict, anew=True)


async def refuse_target(backend: Backend) -> None:
    """Raises ForeignStore or SchemaPending for what no copy can have been written to."""
    if backend.foreign:
        raise ForeignStore(
            f"{backend.title} is a file of a Vestige server: name it as the source, and the copy of it as the target."
        )
    if not await migrations.is_ours(backend):
        raise SchemaPending(f"{backend.title} has no tables yet; nothing was copied there.")


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


@dataclass(frozen=True, slots=True)
class AsCopied:
    """What a source is compared with, how its rows are read to be what a copy would have written, and which of them
    the last copy could not bring."""

    mirror: Mirror
    setting: Setting
    refused: frozenset[tuple[str, str]]


async def as_copied(source: Source, store: Store) -> AsCopied:
    """How a source was, or would be, copied into a store."""
    model, there = await asyncio.to_thread(source.model), await store.registered_model()
    mirror = mirror_of(store, vectors=model is None or there is None or _same(model, there))
    plan = plan_id("copy", without_password(source.location), without_password(store.location), _name(there or model))
    setting = Setting(
        # The time of what had none of its own is that of the copy.
        moment=await Ledger(store).first_started(plan) or store.now(),
        rivals=await asyncio.to_thread(source.rivals),
        width=model.dimension if model else None,
        half=mirror.half,
    )
    return AsCopied(mirror, setting, frozenset(await _refused(Ledger(store), str(plan))))


async def prepare(source: Source, store: Store, report: Report, *, strict: bool = False) -> Comparison:
    """The comparison of a source with a store. Where it was copied there, what the copy left out is no difference,
    unless it is to be ``strict``."""
    copied = await as_copied(source, store)
    return Comparison(
        source,
        copied.mirror,
        copied.setting,
        report,
        excused=lambda table, fit: not strict and (table, fit.key) in copied.refused,
    )


async def _refused(ledger: Ledger, plan: str) -> set[tuple[str, str]]:
    """The rows that the last copy of a plan has said it could not bring: table and key."""
    found: set[tuple[str, str]] = set()
    last = next((job.id for job in await ledger.jobs(MOST_LISTED) if job.plan == plan), None)
    after: str | None = ""
    while last is not None and after is not None:
        page = await ledger.findings(last, PAGE, after or None)
        found |= {(each.subject, each.source_key) for each in page.items if each.outcome == "failed"}
        after = page.next
    return found


def _name(model: ModelSignature | None) -> str:
    return model.name if model else ""


def _same(one: ModelSignature, other: ModelSignature) -> bool:
    return same_model(one.name, other.name) and one.dimension == other.dimension


async def run(running: Running) -> str:
    """Compare everything; gives what came of it in words."""
    source = await running.patiently(partial(asyncio.to_thread, open_source, running.source))
    assert source is not None
    try:
        report = Told(running)
        strict = bool(running.options.get("strict"))
        comparison = await report.patiently(partial(prepare, source, running.store, report, strict=strict))
        for table in TABLES:
            if table.name not in running.meter.tables:
                count = await report.patiently(partial(asyncio.to_thread, source.count, table.name))
                running.meter.expect(table.name, count.rows)
        await comparison.run()
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
    if parts:
        return ", ".join(parts)
    refused = any(table.failed for table in tables.values())
    return "every row that could be copied is equal" if refused else "every row is equal"


def equal(tables: Mapping[str, TableProgress]) -> bool:
    """Did a comparison find both sides alike?"""
    return not any(table.differ or table.only_source or table.only_target for table in tables.values())
