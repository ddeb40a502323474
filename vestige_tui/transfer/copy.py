"""A copy: all that one store holds into another, in batches that are each one transaction with their checkpoint.

What the target would refuse never costs its batch: values are mended and rows that cannot be copied are left out, each
with a finding. For each table, at the end: read = inserted + present + failed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence, Set
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from vestige_tui.core.embeddings import ModelSignature
from vestige_tui.core.errors import (
    Busy,
    Cancelled,
    ForeignStore,
    ModelMismatch,
    ReadOnly,
    StoreMissing,
    Unavailable,
    Usage,
    VestigeError,
)
from vestige_tui.core.jobs import JobFinding, TableProgress
from vestige_tui.embedding.models import load_embedder, same_model, signature
from vestige_tui.jobs.conflicts import refuse_reembedding, refuse_repair
from vestige_tui.jobs.known_stores import without_password
from vestige_tui.jobs.start import JobRequest, ValidatedJob
from vestige_tui.store.open import open_backend, open_store
from vestige_tui.store.schema import migrations
from vestige_tui.store.schema.rows import model as read_model
from vestige_tui.transfer.convert import TABLES, Table, TransferContext, TransferRow
from vestige_tui.transfer.embed_missing import MissingEmbedder
from vestige_tui.transfer.follow import ChangeFollower, failed_row_state, marked
from vestige_tui.transfer.open import open_source, refuse_foreign, target_of
from vestige_tui.transfer.row_keys import read_key, write_key
from vestige_tui.transfer.sanitize import sentence, shown
from vestige_tui.transfer.sqlite_source import sqlite_path
from vestige_tui.transfer.sync_state import REFUSED, SyncState, row_state_of
from vestige_tui.transfer.target_readers import target_reader_of
from vestige_tui.transfer.verify import DIFFERENCES, LISTED, Comparison, LedgerReporter, verdict

if TYPE_CHECKING:
    from vestige_tui.core.jobs import FindingKind
    from vestige_tui.jobs.context import JobContext
    from vestige_tui.store.backends.protocol import Backend, Transaction
    from vestige_tui.transfer.postgres_target import PostgresTarget
    from vestige_tui.transfer.protocols import Batch, Count, Key, Source, WriteOutcome
    from vestige_tui.transfer.sync_state import RowState

T = TypeVar("T")
_Identity: TypeAlias = "tuple[str, FindingKind, str]"
log = logging.getLogger(__name__)

BATCH = 500
MAX_BATCH = 4_000
MAX_BATCH_BYTES = 8_000_000
QUICK_SECONDS, SLOW_SECONDS = 0.3, 0.8
"""A batch that was written faster than this is followed by a larger one, a slower one by a smaller."""
SWITCH_SECONDS = 0.0005
LOG_ROWS = 1_000
NODE_BYTES = 700
"""What a vector takes in the graph beside itself, generously."""
LEAST_MEMORY, MOST_MEMORY = 256 << 20, 1 << 30
PASSES = 10
"""So often later changes of the source are looked for, where each look finds some; a busier one has to be followed."""
LOOK_SECONDS, IDLE = 0.5, 9
"""How often a source that is followed is asked for changes; after each look it is left alone so many times as long."""
BESIDE = ("memories", "vectors", "scheduling", "edges")
"""Tables that are large, and whose rows wait for no other row of their own: two batches are written at once."""
DONE = ""
"""Stands for a table in the checkpoint once all of them have been read."""


async def check(work: JobRequest, *, dry: bool = False) -> ValidatedJob:
    """Refuse what cannot be copied, before a row or a table is made."""
    backend = open_backend(work.target, create=not dry, max_connections=1)
    async with open_store(work.source, read_only=True) as opened:
        source = await asyncio.to_thread(open_source, work.source)
        try:
            model = source.model()
        finally:
            source.close()
        there = None
        if await _may_open(backend):
            try:
                await backend.open()
            except StoreMissing:
                if not dry:
                    raise
                # An embedded server that the copy would make.
            else:
                try:
                    await _refuse_same(opened.backend, backend)
                    there = await _check_target(backend)
                finally:
                    await backend.close()
        wanted = await _wanted(model, there, work.options)
        backend.use_model(wanted)  # refuses vectors that are too wide
        made_here = wanted is not None and model is not None and not _same(wanted, model)
        return ValidatedJob(
            without_password(opened.location),
            without_password(backend.location()),
            wanted.name if wanted else "",
            f"copy {opened.title} to {backend.title}",
            {
                "batch": int(work.options.get("batch", BATCH)),
                **{name: True for name in ("follow", "reembed") if work.options.get(name)},
                **({"model": work.options["model"]} if work.options.get("model") else {}),
                **({} if work.options.get("verify", True) else {"verify": False}),
                **({"encode": _spelt(wanted)} if made_here and wanted is not None else {}),
            },
            creates=True,
        )


async def _may_open(backend: Backend) -> bool:
    """Is there a target to look at? A file that is not there is made by the copy alone. Raises Unavailable."""
    if backend.dialect != "sqlite":
        return True
    path = sqlite_path(backend.location())
    if path.exists():
        return path.is_dir() or path.stat().st_size > 0
    folder = next(each for each in path.parents if each.exists())
    if not os.access(folder, os.W_OK | os.X_OK) or not folder.is_dir():
        raise Unavailable(f"{backend.title} cannot be made: its directory cannot be written.")
    return False


async def _refuse_same(source: Backend, target: Backend) -> None:
    if source.dialect != target.dialect:
        return
    if await _identity(source) == await _identity(target):
        raise Usage(f"{target.title} cannot be copied to itself.")


async def _identity(backend: Backend) -> tuple[object, ...]:
    """What two ways to one store have alike, whatever they call it."""
    if backend.dialect == "sqlite":
        return (sqlite_path(backend.location()).resolve(),)
    [server] = await backend.fetch("describe_server")
    [store] = await backend.fetch("find_channel")
    return server["started_at"], server["database"], store["key"]


async def _check_target(backend: Backend) -> ModelSignature | None:
    """Refuse what cannot be written; gives the model that the target belongs to already."""
    refuse_foreign(backend)
    if backend.read_only:
        raise ReadOnly(f"{backend.title} is open read-only: {backend.reason}.")
    if not await migrations.is_ours(backend):
        if taken := [str(row["name"]) for row in await backend.fetch("list_taken_names")]:
            raise ForeignStore(f"{backend.title} already has a {taken[0]} that is not ours; it was not touched.")
        return None
    applied = {info.name for info in await migrations.status(backend) if info.state == "applied"}
    if not applied:
        return None
    if "jobs" in applied:
        await refuse_reembedding(backend, datetime.now(UTC))
        await refuse_repair(backend, datetime.now(UTC))
    found = await backend.fetch("get_model")
    return read_model(found[0]) if found else None


async def _wanted(
    model: ModelSignature | None, there: ModelSignature | None, options: Mapping[str, Any]
) -> ModelSignature | None:
    """The model that the target will belong to. Raises ModelMismatch where the source's vectors are of another."""
    name = options.get("model")
    if not options.get("reembed"):
        if name:
            raise Usage("A model is named for a copy that makes new vectors: add --reembed.")
        if there is not None and model is not None and not _same(there, model):
            raise ModelMismatch(
                f"The source belongs to {model.name} ({model.dimension} dimensions), the target to {there.name} "
                f"({there.dimension}); nothing was copied. With --reembed the target's model makes new vectors."
            )
        return there or model
    if name and there is not None and not same_model(str(name), there.name):
        raise ModelMismatch(f"The target belongs to {there.name}, so that {name} cannot make its vectors.")
    if there is None and (not name or (model is not None and same_model(str(name), model.name))):
        return model
    if there is not None and (model is None or _same(there, model)):
        return there
    # It is loaded here, in front: what cannot be encoded is not begun.
    wanted, width = (there.name, there.dimension) if there is not None else (str(name), None)
    found = signature(await asyncio.to_thread(load_embedder, wanted, dimension=width))
    return there or found


def _spelt(model: ModelSignature) -> dict[str, Any]:
    return {"name": model.name, "dimension": model.dimension, "hash": model.hash}


def _same(one: ModelSignature, other: ModelSignature) -> bool:
    return same_model(one.name, other.name) and one.dimension == other.dimension


async def dry_run(work: JobRequest) -> dict[str, TableProgress]:
    """What a copy would read, table by table, and what it would leave behind. Makes nothing; raises as a copy would."""
    await check(work, dry=True)
    return await asyncio.to_thread(_expected, work.source)


def _expected(url: str) -> dict[str, TableProgress]:
    source = open_source(url)
    try:
        tables = {table.name: TableProgress(total=source.count(table.name).rows) for table in TABLES}
        left = {name: TableProgress(left_behind=rows) for name, rows in source.left_behind().items()}
    finally:
        source.close()
    return tables | left


async def run(running: JobContext) -> str:
    """Copy everything that is missing; gives what came of it in words. Raises Cancelled at a checkpoint."""
    if running.source.startswith(("postgresql:", "postgres:", "pgembed:")):
        source = await running.with_retries(partial(asyncio.to_thread, open_source, running.source))
    else:
        source = await asyncio.to_thread(open_source, running.source)
    assert source is not None
    try:
        brought = await SyncState.of_run(running)
        try:
            return await Copy(running, source, source.model(), brought).run()
        finally:
            brought.close()
    finally:
        source.close()


class Copy:
    """One attempt of a copy, from its checkpoint on: ``table`` and the key ``after`` its last row that was written."""

    def __init__(self, running: JobContext, source: Source, model: ModelSignature | None, brought: SyncState) -> None:
        self._running = running
        self._meter = running.meter
        self._source = source
        self._store = running.store
        self._target = target_of(running.store)
        self._server: PostgresTarget | None = None
        if running.store.backend.dialect == "postgres":
            from vestige_tui.transfer.postgres_target import PostgresTarget

            self._target = self._server = PostgresTarget(running.store)
        encode = running.options.get("encode")
        self._encodes = ModelSignature(**encode) if encode else None
        self._filling = MissingEmbedder(running, self._encodes) if self._encodes else None
        self._model = self._encodes or model
        self._target.model = self._model
        self._tables = [table for table in TABLES if self._encodes is None or table.name != "vectors"]
        self._limit = max(1, min(int(running.options.get("batch", BATCH)), MAX_BATCH))
        """Rows of a batch; more where that is quick."""
        self._compared = bool(running.options.get("verify", True))
        self._dropped: tuple[str, ...] = ()
        self._resumed = "chain" in running.checkpoint
        self._brought = brought
        if self._resumed:
            # Each attempt tells what its own comparison came to.
            self._meter.forget_comparison()
        self._token: object = None
        """Of the source, when it was looked at last and everything that it held had been brought."""

    async def run(self) -> str:
        self._dropped = (await self._running.ledger.run(self._running.job_id)).dropped_indexes
        self._token = None if self._resumed else await self._asked(self._source.token)
        interval = sys.getswitchinterval()
        # The thread that reads ahead would keep the one that feeds the server waiting.
        sys.setswitchinterval(SWITCH_SECONDS)
        try:
            await self._begin()
            await self._bulk()
            await self._finish()
        except BaseException:
            await _surely(self._make_good())
            raise
        finally:
            sys.setswitchinterval(interval)
        return self._words()

    def _words(self) -> str:
        counted = [table for name, table in self._meter.tables.items() if name in {table.name for table in TABLES}]
        words = [
            f"{sum(table.inserted for table in counted):,} rows inserted",
            f"{sum(table.present for table in counted):,} present",
            f"{sum(table.failed for table in counted):,} failed",
        ]
        for what in ("updated", "deleted"):
            if many := sum(getattr(table, what) for table in counted):
                words.append(f"{many:,} {what}")
        if self._compared:
            before = "before it followed: " if self._running.options.get("follow") else ""
            words.append(before + verdict(self._meter.tables))
        return ", ".join(words)

    async def _asked(self, question: Callable[[], T]) -> T:
        """What the source says; a server is asked again while it does not answer, a file says at once what is wrong."""
        if self._source.location.startswith("sqlite:"):
            return await asyncio.to_thread(question)
        found: list[T] = []

        async def ask() -> None:
            found.append(await asyncio.to_thread(question))

        await self._running.with_retries(ask)
        return found[-1]

    # Before and after the rows

    async def _begin(self) -> None:
        """Count what there is to read and note what the target has, once; make the target ready."""
        if not self._resumed:
            counts, left = await self._asked(self._counted)
            fresh = [table.name for table in self._tables if await self._target.empty(table.name)]

            async def begin(transaction: Transaction) -> None:
                await self._brought.begin(transaction, self._store.now())
                for name, count in counts.items():
                    self._meter.expect(name, count.rows)
                for name, (rows, _) in left.items():
                    self._meter.tables[name] = TableProgress(left_behind=rows)
                await self._note(
                    transaction, [JobFinding(name, "left_behind", name, reason) for name, (_, reason) in left.items()]
                )

            await self._running.step(begin, {"chain": self._brought.chain, "fresh": fresh})
        elif self._brought.blind:
            await self._running.step(partial(self._brought.begin, now=self._store.now()), {"blind": True})
        if self._model is not None:
            await self._running.with_retries(partial(self._store.register_model, self._model, finalize=False))
        self._setting = await self._asked(partial(self._set, self._model))

    def _set(self, model: ModelSignature | None) -> TransferContext:
        return TransferContext(
            moment=self._running.moment,
            rivals=self._source.rivals(),
            width=model.dimension if model else None,
            half=self._server is not None and self._server.half,
        )

    def _counted(self) -> tuple[Mapping[str, Count], Mapping[str, tuple[int, str]]]:
        """What is read of each table, and what is not, and why."""
        left = {
            shown(name): (rows, f"The target has no place for its {rows:,} rows.")
            for name, rows in self._source.left_behind().items()
        }
        if self._encodes is not None:
            rows = self._source.count("vectors").rows
            left["vectors"] = (rows, f"They are of another model; {self._encodes.name} makes new ones.")
        return {table.name: self._source.count(table.name) for table in self._tables}, left

    async def _finish(self) -> None:
        """Everything after the rows; each part finds by itself what is left of it to do."""
        await self._running.phase("checking which memory replaces which")
        await self._running.step(self._target.settle)
        if self._dropped:
            await self._running.phase("building the indexes")
            await self._build_indexes()
        await self._catch_up()
        if await self._store.registered_model() is not None:
            await self._running.phase("building the vector index")
            await self._build_vectors()
        await self._running.step(self._target.analyze)
        await self._catch_up()
        if self._compared:
            await self._verify()
        if self._running.options.get("follow"):
            await self._follow()
        self._meter.phase = "done"
        await self._running.complete(self._brought.forget, self._words())

    async def _build_vectors(self) -> None:
        """The graph in memory, by several at once; by one where the server has no room to share it."""
        if self._server is None:
            await self._running.with_retries(self._store.finalize_schema)
            return
        width = self._model.dimension if self._model else 0
        needed = self._meter.tables.get("vectors", TableProgress()).inserted * (4 * width + NODE_BYTES)
        settings = {"maintenance_work_mem": f"{max(LEAST_MEMORY, min(MOST_MEMORY, needed)) // 1024}kB"}

        async def build() -> None:
            try:
                await self._store.finalize_schema(settings)
            except Unavailable as error:
                if "shared memory" not in error.message or "max_parallel_maintenance_workers" in settings:
                    raise
                settings["max_parallel_maintenance_workers"] = "0"
                await self._store.finalize_schema(settings)

        await self._running.with_retries(build)

    # What changed since

    async def _catch_up(self) -> None:
        """Bring what changed in the source since it was read, until nothing has."""
        for _ in range(PASSES):
            token = await self._asked(self._source.token)
            if self._token is not None and token == self._token:
                break
            await self._refuse_another_model()
            await self._running.phase("looking for later changes")
            self._setting = await self._asked(partial(self._set, self._model))
            if not await self._following.once(self._setting):
                # What is brought by somebody in the very moment is left to the next look.
                self._token = token
                break
        if self._filling is not None:
            await self._filling.once()

    async def _refuse_another_model(self) -> None:
        """Raises ModelMismatch where the source has come to belong to another model since the copy began."""
        model = await self._asked(self._source.model)
        if self._encodes is None and model is not None and (self._model is None or not _same(self._model, model)):
            before = f"{self._model.name} ({self._model.dimension} dimensions)" if self._model else "no model"
            raise ModelMismatch(
                f"The source belonged to {before} when it was copied, and belongs to {model.name} ({model.dimension}) "
                "now; nothing more is brought. Copy it into another store."
            )

    @cached_property
    def _following(self) -> ChangeFollower:
        return ChangeFollower(
            self._running,
            self._source,
            self._target,
            target_reader_of(self._store),
            self._brought,
            self._asked,
            self._record,
            vectors=self._encodes is None,
        )

    async def _follow(self) -> None:
        """Go on bringing changes until a person asks to stop, which is then no failure; any other end is."""
        try:
            await self._running.phase("following")
            while True:
                began = time.monotonic()
                await self._catch_up()
                if self._meter.phase != "following":
                    await self._running.phase("following")
                await self._rest(max(LOOK_SECONDS, IDLE * (time.monotonic() - began)))
        except (Cancelled, asyncio.CancelledError):
            # A worker that is ended, or whose row somebody else has ended, leaves what the next attempt needs.
            if not await self._asked_to_stop():
                raise

    async def _asked_to_stop(self) -> bool:
        with suppress(VestigeError):
            return await self._running.ledger.cancelled(self._running.job_id) is True
        return False

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._running.stop.wait(), seconds)
        self._running.check()

    async def _verify(self) -> None:
        """Compare every row; what was told of already is only counted."""
        await self._running.phase("comparing")
        refused = {table.name: await self._brought.of(table.name) for table in TABLES}

        def excused(table: str, fit: TransferRow) -> bool:
            known = refused[table].get(row_state_of(table, fit).key)
            return known is not None and bool(known.what & REFUSED)

        mirror = target_reader_of(self._store, vectors=self._encodes is None)
        setting = await self._asked(partial(self._set, self._source.model()))
        report = await _Comparing.begin(self._running)
        await Comparison(self._source, mirror, setting, report, counting=False, excused=excused).run()
        await report.end()

    async def _drop_indexes(self, server: PostgresTarget) -> None:
        """An index is built faster than it is kept up to date: without them until the rows are there."""

        async def drop(transaction: Transaction) -> tuple[str, ...]:
            dropped = (*self._dropped, *await server.drop_indexes(transaction))
            await self._running.ledger.note_dropped(transaction, self._running.job_id, dropped)
            return dropped

        self._dropped = await self._running.step(drop)

    async def _build_indexes(self) -> None:
        """Build what was dropped, the indexes of words and lists beside all others."""
        beside = _Beside(self._store.backend)
        lists = [each for each in self._dropped if " USING gin " in each]
        others = [each for each in self._dropped if each not in lists]

        async def build(transaction: Transaction) -> None:
            assert self._server is not None
            await self._server.hold_indexes(transaction)
            other = await beside.begin()
            for outcome in await asyncio.gather(
                self._build(transaction, others), self._build(other, lists), return_exceptions=True
            ):
                if outcome is not None:
                    raise outcome
            # One that is there already is not built again.
            await beside.keep()
            await self._running.ledger.note_dropped(transaction, self._running.job_id, ())

        try:
            await self._running.step(build)
        except BaseException:
            await beside.take_back()
            raise
        self._dropped = ()

    async def _build(self, transaction: Transaction, statements: Sequence[str]) -> None:
        assert self._server is not None
        for statement in statements:
            await self._server.build_index(transaction, statement)

    async def _make_good(self) -> None:
        """What was dropped is built again also where the copy does not come to its end."""
        with suppress(VestigeError):
            while self._dropped:
                async with self._store.backend.write() as transaction:
                    if self._server is not None:
                        await self._server.hold_indexes(transaction)
                    await self._build(transaction, self._dropped[:1])
                    await self._running.ledger.note_dropped(transaction, self._running.job_id, self._dropped[1:])
                self._dropped = self._dropped[1:]

    # The rows

    async def _bulk(self) -> None:
        if self._running.checkpoint.get("table") == DONE:
            return
        if self._server is not None and "memories" in self._running.checkpoint["fresh"] and self._mostly_ahead():
            await self._drop_indexes(self._server)
        await self._asked(self._know_users)
        await self._copy()
        await self._running.step(_nothing, {"table": DONE, "after": [], "beside": None})

    def _mostly_ahead(self) -> bool:
        """To drop the indexes pays where more is to come than is there."""
        tables = [self._meter.tables[table.name] for table in self._tables]
        return 2 * sum(table.read for table in tables) <= sum(table.total or 0 for table in tables)

    def _know_users(self) -> None:
        """Read who may own a memory, also where an earlier attempt has copied them."""
        users = TABLES[0]
        after = self._source.start(users.name)
        while (batch := self._read(users, after, MAX_BATCH)).read:
            after = batch.after

    async def _copy(self) -> None:
        """Table by table, from the checkpoint on."""
        checkpoint, place, begun = self._running.checkpoint, 0, -1
        after = self._source.start(self._tables[0].name)
        if "table" in checkpoint:
            begun = place = [table.name for table in self._tables].index(checkpoint["table"])
            after = read_key(checkpoint["after"])
            await self._make_sure(self._tables[place])
        reading = asyncio.create_task(self._asked(partial(self._read_ahead, place, after)))
        try:
            while ahead := await asyncio.shield(reading):
                # What comes next is read and converted while the database works on this.
                more = partial(self._read_ahead, ahead.place, ahead.batches[-1].rows.after)
                reading = asyncio.create_task(self._asked(more))
                await self._enter(begun + 1, ahead.place)
                begun = ahead.place
                await self._write_ahead(self._tables[begun], ahead.batches)
            await self._enter(begun + 1, len(self._tables) - 1)
        finally:
            # Its thread cannot be stopped; closing the source ends what it is at.
            reading.cancel()
            await asyncio.wait({reading})
            if not reading.cancelled():
                reading.exception()

    async def _write_ahead(self, table: Table, batches: Sequence[_Marked]) -> None:
        began, before = time.monotonic(), self._meter.tables[table.name]
        self._meter.phase = f"copying {table.name}"
        if len(batches) == 2 and _apart(*batches):
            await self._write_two(table, *batches)
        else:
            for batch in batches:
                await self._write(table, batch, self._fresh(table))
        took, after = time.monotonic() - began, self._meter.tables[table.name]
        if before.read // LOG_ROWS != after.read // LOG_ROWS:
            log.info("%s: %s of %s rows read, %s inserted", table.name, after.read, after.total, after.inserted)
        if took < QUICK_SECONDS and batches[0].rows.read == self._limit:
            self._limit = min(self._limit * 2, MAX_BATCH)
        elif took > SLOW_SECONDS:
            self._limit = max(self._limit // 2, 1)

    def _fresh(self, table: Table) -> bool:
        """Was nothing in this table when the copy began?"""
        return table.name in self._running.checkpoint["fresh"]

    def _read(self, table: Table, after: Key, limit: int) -> Batch:
        return self._source.read(table, after, limit, MAX_BATCH_BYTES, self._setting)

    def _read_ahead(self, place: int, after: Key) -> _Ahead | None:
        """What is written next, of this table or of one behind it; None where nothing is left."""
        for at in range(place, len(self._tables)):
            table = self._tables[at]
            if at > place:
                after = self._source.start(table.name)
            many = 2 if self._server is not None and table.name in BESIDE and self._fresh(table) else 1
            batches: list[_Marked] = []
            while len(batches) < many and (rows := self._read(table, after, self._limit)).read:
                batches.append(_Marked(rows, [row_state_of(table.name, fit) for fit in rows.fits]))
                after = rows.after
            if batches:
                return _Ahead(at, batches)
        return None

    async def _enter(self, first: int, last: int) -> None:
        """Begin some tables, one after the other; what cannot be read of them is counted first."""
        for table in self._tables[first : last + 1]:
            keyless = (await self._asked(partial(self._source.count, table.name))).keyless
            if keyless:
                await self._refuse_keyless(table, keyless)

    async def _refuse_keyless(self, table: Table, keyless: int) -> None:
        finding = JobFinding(table.name, "failed", "NULL", f"{keyless:,} rows have no id.")

        async def refuse(transaction: Transaction) -> None:
            self._meter.add(table.name, read=keyless, failed=keyless)
            await self._note(transaction, [finding])

        start = write_key(self._source.start(table.name))
        await self._running.step(refuse, {"table": table.name, "after": start})

    async def _write(self, table: Table, batch: _Marked, fresh: bool) -> None:
        async def write(transaction: Transaction) -> None:
            outcome = await self._target.write(transaction, table, batch.rows.fits, fresh=fresh)
            await self._count(transaction, table, batch, outcome)

        await self._running.step(write, {"table": table.name, "after": write_key(batch.rows.after), "beside": None})

    async def _write_two(self, table: Table, first: _Marked, second: _Marked) -> None:
        """Two batches at once, the second in a transaction of its own, which ends after the checkpoint that counts it.

        Whether it has arrived is then not known, where something comes between: it is written again, uncounted.
        """
        beside = _Beside(self._store.backend)

        async def write(transaction: Transaction) -> None:
            other = await beside.begin()
            outcomes = await asyncio.gather(
                self._target.write(transaction, table, first.rows.fits, fresh=True),
                self._target.write(other, table, second.rows.fits, fresh=True),
                return_exceptions=True,
            )
            for batch, outcome in zip((first, second), outcomes, strict=True):
                if isinstance(outcome, BaseException):
                    raise outcome
                await self._count(transaction, table, batch, outcome)

        doubtful = {"after": write_key(first.rows.after), "rows": second.rows.read}
        checkpoint = {"table": table.name, "after": write_key(second.rows.after), "beside": doubtful}
        try:
            await self._running.step(write, checkpoint)
        except BaseException:
            await beside.take_back()
            raise
        try:
            await beside.keep()
        except (Unavailable, Busy):
            await self._make_sure(table)
        else:
            self._running.checkpoint["beside"] = None

    async def _count(self, transaction: Transaction, table: Table, batch: _Marked, outcome: WriteOutcome) -> None:
        failed = batch.rows.failed
        self._meter.add(table.name, read=len(failed), failed=len(failed))
        findings = [*failed, *self._record(table, batch.rows.fits, outcome)]
        await self._brought.add(
            transaction, table.name, [*marked(batch.marks, outcome), *map(failed_row_state, failed)]
        )
        await self._note(transaction, findings)

    async def _make_sure(self, table: Table) -> None:
        """Write again what may not have arrived beside the last checkpoint, which has counted it.

        Those rows are known by their marks: what lies between them in the source may have changed since.
        """
        doubtful = self._running.checkpoint.get("beside")
        if not doubtful:
            return
        after = read_key(doubtful["after"])
        fits: list[TransferRow] = []
        wanted: set[int] = set()
        if self._brought.blind:
            # They are not known: what lies there now is the best that there is.
            batch = await self._asked(partial(self._read, table, after, int(doubtful["rows"])))
            fits += batch.fits
        else:
            wanted = await self._brought.last()
        while wanted and (batch := await self._asked(partial(self._read, table, after, MAX_BATCH))).read:
            after = batch.after
            for fit in batch.fits:
                if (key := row_state_of(table.name, fit).key) in wanted:
                    wanted.remove(key)
                    fits.append(fit)

        async def write(transaction: Transaction) -> None:
            await self._target.write(transaction, table, fits, fresh=False)

        await self._running.step(write, {"beside": None})

    async def _note(self, transaction: Transaction, findings: Sequence[JobFinding]) -> None:
        await self._running.ledger.add_findings(transaction, self._running.job_id, findings)

    def _record(self, table: Table, fits: Sequence[TransferRow], outcome: WriteOutcome) -> list[JobFinding]:
        """Count rows that were written, or found there; gives what is to be told of single ones."""
        findings: list[JobFinding] = []
        repaired = 0
        for place, fit in enumerate(fits):
            if place in outcome.refused:
                findings.append(JobFinding(table.name, "failed", fit.key, sentence(outcome.refused[place])))
                continue
            if fit.notes and place not in outcome.present:
                repaired += 1
                findings.append(JobFinding(table.name, "repaired", fit.key, sentence("; ".join(fit.notes))))
            if fit.zero:
                self._meter.zero_vectors += 1
                findings.append(
                    JobFinding(table.name, "zero_vector", fit.key, "It is zero, so that no search by meaning finds it.")
                )
        self._meter.add(
            table.name,
            read=len(fits),
            inserted=outcome.inserted,
            present=len(fits) - outcome.inserted - len(outcome.refused),
            repaired=repaired,
            failed=len(outcome.refused),
        )
        return findings


@dataclass(frozen=True, slots=True)
class _Marked:
    """Rows that were read, with the marks by which they are known later."""

    rows: Batch
    marks: Sequence[RowState]


def _apart(one: _Marked, other: _Marked) -> bool:
    """Have two batches no row in common? Else one transaction would wait for the other's, which waits for both."""
    return {mark.key for mark in one.marks}.isdisjoint(mark.key for mark in other.marks)


@dataclass(frozen=True, slots=True)
class _Ahead:
    """What is written at once: the table by its place, and one batch of it, or two."""

    place: int
    batches: Sequence[_Marked]


class _Comparing(LedgerReporter):
    """The report of a comparison at the end of a copy: a difference that was told before is told once, and one that is
    none any more is withdrawn."""

    def __init__(self, running: JobContext, told: Set[_Identity]) -> None:
        super().__init__(running)
        self._told = told
        self._met: set[_Identity] = set()

    @classmethod
    async def begin(cls, running: JobContext) -> _Comparing:
        """Know what this copy has told of rows that differ, in this attempt and in those that it goes on from."""
        told: set[_Identity] = set()
        after: str | None = ""
        while after is not None:
            page = await running.with_retries(partial(running.ledger.findings, running.job_id, LISTED, after or None))
            assert page is not None
            told |= {_identity_of(each) for each in page.items if each.outcome in DIFFERENCES}
            after = page.next
        return cls(running, told)

    async def note(self, table: str, counts: Mapping[str, int], findings: Sequence[JobFinding]) -> None:
        self._met |= {_identity_of(each) for each in findings}
        await super().note(table, counts, [each for each in findings if _identity_of(each) not in self._told])

    async def end(self) -> None:
        """Withdraw what was told of rows that do not differ any more."""
        # Where more differ than are listed, it is not known of each whether it still does.
        whole = {name for name, each in self.meter.tables.items() if each.differ + each.only_source <= LISTED}
        over = [JobFinding(*each, "") for each in self._told - self._met if each[0] in whole]

        async def withdraw(transaction: Transaction) -> None:
            await self._running.ledger.withdraw_findings(transaction, self._running.job_id, over)

        if over:
            await self._running.step(withdraw)


def _identity_of(finding: JobFinding) -> _Identity:
    """What tells a finding from all others of a copy."""
    return finding.subject, finding.outcome, finding.source_key


class _Beside:
    """A second transaction, open while a step has its own."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._open = AsyncExitStack()

    async def begin(self) -> Transaction:
        """Begin it, or begin it again."""
        await self.take_back()
        return await self._open.enter_async_context(self._backend.write())

    async def keep(self) -> None:
        await self._open.aclose()

    async def take_back(self) -> None:
        undone = Cancelled("taken back")
        with suppress(VestigeError):
            await self._open.__aexit__(Cancelled, undone, None)


async def _surely(work: Coroutine[Any, Any, None]) -> None:
    """Do a piece of work to its end, also where this task is cancelled meanwhile."""
    task = asyncio.create_task(work)
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.shield(task)


async def _nothing(transaction: Transaction) -> None:
    """A step that only says how far the job is."""
