"""One run of a re-embedding: begin, encode, catch up, build the index, swap, fill in the rest.

Each step is one transaction with its checkpoint. Nothing in it is needed to know what is left to be done: that is the
memories without a vector, and where there are none, what the store belongs to.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, cast

from vestige_tui.core.embeddings import ModelSignature, SpareVectors
from vestige_tui.core.errors import Conflict, EmbedderUnavailable, Refused, Unavailable, VestigeError
from vestige_tui.core.jobs import JobFinding, TableProgress
from vestige_tui.embedding.encoder_pool import Encoded, Encoders, shortened
from vestige_tui.embedding.models import same_model
from vestige_tui.jobs.conflicts import refuse_rivals
from vestige_tui.reembed.spare_vectors import equal, forget_spare, named, read_spare, refuse_other_spare
from vestige_tui.store.backends import pgbinary_encode
from vestige_tui.store.open import open_backend
from vestige_tui.store.schema import migrations, rows
from vestige_tui.store.schema.named_sql import compose

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import Vector
    from vestige_tui.jobs.context import JobContext
    from vestige_tui.store.backends.postgres import PostgresTransaction
    from vestige_tui.store.backends.protocol import Row, Transaction

log = logging.getLogger("vestige_tui.jobs")

BATCH = 128
MOST_BATCH = 4_096
PART = 16
"""Texts that an encoder is given at once."""
AHEAD, AHEAD_BYTES = 2_048, 16_000_000
"""So many texts are read, and may be encoded, before the first of them is written."""
LISTED, READ_BYTES = 1_024, 4_000_000
WRITE_SECONDS = 5.0
"""What is encoded is written at least so often, however slow the model is."""
PAUSE_SECONDS = 0.5
PASSES = 12
"""So often what was written meanwhile is looked for before the rest is left until after the swap."""
MOST_MEMORY = 1_000_000_000
LEAST_MEMORY = 64_000_000
WORKERS = 2
DOMAIN_VECTORS = 4_000

INDEX = "idx_node_embeddings_hnsw"
TABLE = "memories"

Kind: TypeAlias = Literal["reembed", "in_place", "rollback"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Report:
    """What a re-embedding came to."""

    rows_updated: int
    duration_secs: float
    index_rebuild_secs: float
    swap_ms: float | None
    """How long searches and writes had to wait; None where nothing was swapped, or nobody lived to measure it."""


@dataclass(frozen=True, slots=True)
class _Table:
    """The vectors that are written: which queries ask for what is missing, and hold what must not change meanwhile."""

    count: str
    listing: str
    hold: str


_SPARE = _Table("count_without_spare", "list_without_spare", "hold_spare")
_OWN = _Table("count_without_vector", "list_without_vector", "hold_model")


@dataclass(frozen=True, slots=True)
class _Text:
    """A text to encode, and the mark by which the store knows later whether it is still the same."""

    id: str
    text: str = field(repr=False)
    mark: bytes = field(repr=False)

    @property
    def size(self) -> int:
        """What it takes in memory, about."""
        return len(self.text) + len(self.mark)

    @classmethod
    def of(cls, row: Row) -> _Text:
        return cls(str(row["id"]), shortened(as_text(row["content"])), bytes(row["mark"]))


@dataclass(frozen=True, slots=True)
class _Part:
    """Texts on their way through an encoder."""

    texts: Sequence[_Text]
    encoding: asyncio.Task[list[Encoded]]


class _Ahead:
    """Keeps what is read and not yet taken within bounds."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._texts = self._bytes = 0
        self._left = asyncio.Event()

    async def enter(self, texts: Sequence[_Text]) -> None:
        """Wait until there is room for these."""
        size = sum(each.size for each in texts)
        while self._texts and (self._texts + len(texts) > self._most or self._bytes + size > AHEAD_BYTES):
            self._left.clear()
            await self._left.wait()
        self._texts += len(texts)
        self._bytes += size

    def leave(self, part: _Part) -> None:
        self._texts -= len(part.texts)
        self._bytes -= sum(each.size for each in part.texts)
        self._left.set()


class Reembedding:
    """One run: begin, encode, catch up, build the index, swap, fill in the rest."""

    def __init__(self, running: JobContext) -> None:
        options = running.options
        self._running = running
        self._backend = running.store.backend
        self._model = named(options)
        self._kind: Kind = (
            "rollback" if options.get("rollback") else "in_place" if options.get("in_place") else "reembed"
        )
        self._batch = max(1, min(int(options.get("batch") or BATCH), MOST_BATCH))
        self._most = self._batch if options.get("batch") else AHEAD
        self._began = time.monotonic()
        self._spent = float(running.checkpoint.get("seconds", 0.0))
        self._encoders: Encoders | None = None
        self._failed: dict[str, bytes | None] = {}
        """Memories whose texts could not be encoded, with the marks of those texts where they are known."""
        self._told: list[JobFinding] = []
        """What earlier attempts have told of single memories."""
        self._locked_at = 0.0

    async def close(self) -> None:
        if self._encoders is not None:
            await asyncio.to_thread(self._encoders.close)

    @property
    def _seconds(self) -> float:
        """How long this job has been at work, in all its attempts."""
        return self._spent + time.monotonic() - self._began

    @property
    def _half(self) -> bool:
        from vestige_tui.store.backends.postgres import MAX_VECTOR

        return self._model.dimension > MAX_VECTOR

    async def run(self) -> str:
        """Raises Cancelled at a checkpoint, Refused where it may not begin, and whatever the store raises."""
        running = self._running
        await self._read_findings()
        await running.phase("counting")
        await self._begin()
        if self._kind == "in_place":
            await self._fill(_OWN, "encoding")
            await self._build_own_index()
        else:
            if not self._taken:
                await self._fill(_SPARE, "encoding")
                self._refuse_nothing_made()
                if self._backend.dialect == "postgres":
                    await self._build_spare_index()
                    await self._fill(_SPARE, "catching up", cursor=False)
                await self._swap()
            await self._fill(_OWN, "filling in what was written meanwhile", cursor=False)
        await self._centre()
        return await self._finish()

    @property
    def _taken(self) -> bool:
        """Does the store belong to the model of this job by now, taken to it by this plan?"""
        return bool(self._running.checkpoint.get("taken"))

    async def _step(
        self, work: Callable[[Transaction], Awaitable[T]], checkpoint: Mapping[str, Any] | None = None
    ) -> T:
        return await self._running.step(work, {**(checkpoint or {}), "seconds": round(self._seconds, 3)})

    async def _read_findings(self) -> None:
        after: str | None = None
        while True:
            page = await self._running.ledger.findings(self._running.job_id, 1_000, after)
            self._told += page.items
            self._failed.update({each.source_key: None for each in page.items if each.outcome == "failed"})
            if (after := page.next) is None:
                return

    # Beginning

    async def _begin(self) -> None:
        registered = await self._ask("get_model")
        if self._taken and registered and equal(rows.model(registered[0]), self._model):
            return
        there = read_spare(await self._ask("get_spare"))
        goes_on = self._kind == "reembed" and there is not None and there.role == "building"
        in_place = self._kind == "in_place"
        centred = [str(row["id"]) for row in await self._ask("list_centred")] if in_place else []
        checkpoint: dict[str, Any] = {"begun": True, "taken": in_place, "centred": centred}
        if not goes_on:
            checkpoint |= {"after": None, "index_secs": 0.0, "swap_ms": None}

        async def work(transaction: Transaction) -> bool:
            return await self._begun(transaction, goes_on=goes_on)

        if await self._step(work, checkpoint):
            self._failed.clear()

    async def _begun(self, transaction: Transaction, *, goes_on: bool) -> bool:
        """Make the store ready; says whether all vectors are made from the first one on."""
        running, store = self._running, self._running.store
        await transaction.fetch("lock_schema")
        await refuse_rivals(transaction, store, job_id=running.job_id, only_begun=True)
        before = rows.model((await transaction.fetch("get_model"))[0])
        there = read_spare(await transaction.fetch("get_spare"))
        if self._kind == "rollback":
            if there is None or there.role != "kept" or not equal(there.model, self._model):
                raise Refused(f"{store.title} keeps no vectors of {self._model.name}; there is nothing to go back to.")
            return False
        if there is not None and there.role == "building":
            refuse_other_spare(store, there.model, self._model, in_place=self._kind == "in_place")
        if goes_on != (there is not None and there.role == "building"):
            raise Conflict("The vectors made so far were dropped just now; start the job again.")
        if goes_on:
            return False
        # What an earlier attempt had counted is of vectors that are gone.
        running.meter.tables.pop(TABLE, None)
        running.meter.zero_vectors = 0
        await running.ledger.withdraw_findings(transaction, running.job_id, self._told)
        await forget_spare(transaction, self._backend)
        if self._kind == "reembed":
            await self._typed(transaction, "stamp_spare")
            await transaction.execute("put_spare_model", _model_fields(self._model, store.now()))
        else:
            await self._take_over(transaction, before)
        return True

    async def _take_over(self, transaction: Transaction, before: ModelSignature) -> None:
        """In place: from now on the store belongs to the new model, and has no vectors."""
        running = self._running
        await transaction.execute("set_model", _model_fields(self._model, running.store.now()))
        await self._note_change(transaction, before, 0)
        await transaction.execute("forget_centroids")
        await transaction.execute("empty_vectors")
        if self._backend.dialect != "postgres":
            return
        widens = before.dimension != self._model.dimension
        if widens or running.options.get("drop_hnsw_first"):
            await transaction.execute("drop_index")
            await running.ledger.note_dropped(transaction, running.job_id, [INDEX])
        if widens:
            await self._typed(transaction, "stamp_width")

    async def _typed(self, transaction: Transaction, name: str) -> None:
        """Run a statement about a column of this job's model, which need not be the one that the store belongs to."""
        if self._backend.dialect == "postgres":
            text = compose("postgres", name).replace("{vector}", "halfvec" if self._half else "vector")
            await transaction.script(text.replace("{width}", str(self._model.dimension)))

    async def _note_change(self, transaction: Transaction, before: ModelSignature, memories: int) -> None:
        after = self._model
        await transaction.fetch(
            "insert_model_change",
            {
                "kind": self._kind,
                "from_name": before.name,
                "from_dimension": before.dimension,
                "from_hash": before.hash,
                "to_name": after.name,
                "to_dimension": after.dimension,
                "to_hash": after.hash,
                "memories": memories,
                "seconds": round(self._seconds, 3),
                "changed_at": self._running.store.now(),
                "job": self._running.job_id,
            },
        )

    async def _ask(self, name: str, params: Mapping[str, Any] | None = None) -> Sequence[Row]:
        """Read, again and again while the database does not answer."""
        return await self._running.with_retries(lambda: self._backend.fetch(name, params)) or []

    # Encoding

    async def _fill(self, table: _Table, phase: str, *, cursor: bool = True) -> None:
        """Make vectors until no memory lacks one; ``cursor``: go on from where an earlier attempt was."""
        try:
            await self._fill_all(table, phase, cursor)
        except EmbedderUnavailable as error:
            if not self._running.options.get("partial"):
                raise
            log.warning("%s", error.message)

    async def _fill_all(self, table: _Table, phase: str, cursor: bool) -> None:
        running = self._running
        running.meter.phase = phase
        [missing] = await self._ask(table.count)
        known = running.meter.tables.get(TABLE, TableProgress())
        running.meter.expect(TABLE, known.read + max(0, int(missing["n"]) - len(self._failed)))
        await self._step(_nothing)
        found, written = await self._pass(table, running.checkpoint.get("after") if cursor else None, cursor)
        for _ in range(PASSES):
            if found and not written:
                # Somebody is editing what is left: not the same again at once.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(running.stop.wait(), PAUSE_SECONDS)
            found, written = await self._pass(table, None, False)
            if not found:
                return

    async def _pass(self, table: _Table, after: str | None, cursor: bool) -> tuple[int, int]:
        """Once through all memories behind an id that have no vector; gives how many were found, and got one.

        Texts are read and encoded ahead of what is written, so that no encoder waits for the database.
        """
        ahead = _Ahead(max(AHEAD, 2 * self._batch))
        parts: asyncio.Queue[_Part | None] = asyncio.Queue()
        reading = asyncio.create_task(self._read_ahead(table, after, parts, ahead))
        unread: list[_Part | None] = []
        found = written = 0
        group: list[tuple[_Text, Encoded]] = []
        since = time.monotonic()
        try:
            unread = [await parts.get()]
            while (part := unread[0]) is not None:
                group += zip(part.texts, await part.encoding, strict=True)
                ahead.leave(part)
                found += len(part.texts)
                unread = [] if parts.empty() else [parts.get_nowait()]
                # More goes along where it is there already: an encoder that is faster than the store.
                more = len(group) < self._most and unread and unread[0] is not None and unread[0].encoding.done()
                if (len(group) >= self._batch and not more) or time.monotonic() - since > WRITE_SECONDS:
                    written += await self._write(table, group, cursor)
                    group, since = [], time.monotonic()
                unread = unread or [await parts.get()]
            if group:
                written += await self._write(table, group, cursor)
            await reading
        finally:
            reading.cancel()
            await asyncio.wait({reading})
            while not parts.empty():
                unread.append(parts.get_nowait())
            left = [part.encoding for part in unread if part is not None]
            for each in left:
                each.cancel()
            await asyncio.gather(reading, *left, return_exceptions=True)
        return found, written

    async def _read_ahead(
        self, table: _Table, after: str | None, parts: asyncio.Queue[_Part | None], ahead: _Ahead
    ) -> None:
        try:
            while listed := await self._ask(table.listing, {"after": after, "limit": LISTED}):
                after = str(listed[-1]["id"])
                for ids in _portions(listed):
                    read = [_Text.of(row) for row in await self._ask("read_texts", {"ids": ids})]
                    fresh = [text for text in read if text.id not in self._failed or self._failed[text.id] != text.mark]
                    for start in range(0, len(fresh), PART):
                        texts = fresh[start : start + PART]
                        await ahead.enter(texts)
                        encoding = self._encoder().encode([each.text for each in texts])
                        parts.put_nowait(_Part(texts, asyncio.create_task(encoding)))
        finally:
            parts.put_nowait(None)

    def _encoder(self) -> Encoders:
        if self._encoders is None:
            table = self._running.meter.tables.get(TABLE, TableProgress())
            left = (table.total or 0) - table.read
            self._encoders = Encoders(self._model, texts=left, any_build=self._kind == "rollback")
        return self._encoders

    async def _write(self, table: _Table, group: Sequence[tuple[_Text, Encoded]], cursor: bool) -> int:
        """Write what was encoded, in one transaction with its checkpoint; gives how many memories got a vector."""
        running = self._running
        made = [(text, vector) for text, vector in group if not isinstance(vector, str)]
        refused = [(text, reason) for text, reason in group if isinstance(reason, str)]
        new = [(text, reason) for text, reason in refused if text.id not in self._failed]
        mended = [JobFinding(TABLE, "failed", text.id, "") for text, _ in made if text.id in self._failed]

        async def work(transaction: Transaction) -> int:
            await self._hold(transaction, table)
            inserted = await self._insert(transaction, table, made)
            findings = [JobFinding(TABLE, "failed", text.id, reason) for text, reason in new]
            findings += [JobFinding(TABLE, "zero_vector", text.id, _ZERO) for text, vector in made if not vector.any()]
            await running.ledger.withdraw_findings(transaction, running.job_id, mended)
            await running.ledger.add_findings(transaction, running.job_id, findings)
            running.meter.zero_vectors += len(findings) - len(new)
            failed = len(new) - len(mended)
            running.meter.add(TABLE, read=inserted + failed, inserted=inserted, failed=failed)
            counted = running.meter.tables[TABLE]
            running.meter.expect(TABLE, max(counted.total or 0, counted.read))
            return inserted

        inserted: int = await self._step(work, {"after": group[-1][0].id} if cursor else None)
        for finding in mended:
            del self._failed[finding.source_key]
        self._failed.update({text.id: text.mark for text, _ in refused})
        return inserted

    async def _hold(self, transaction: Transaction, table: _Table) -> None:
        """See to it that the vectors written now are still wanted. Raises Conflict."""
        found = await transaction.fetch(table.hold)
        role = {"rollback": "kept", "reembed": "building"}.get(self._kind)
        if not found or not equal(rows.model(found[0]), self._model) or found[0].get("role", role) != role:
            raise Conflict(
                f"Somebody else has dropped the vectors of {self._model.name}, or has taken the store to another model."
            )

    async def _insert(self, transaction: Transaction, table: _Table, made: Sequence[tuple[_Text, Vector]]) -> int:
        if table is _SPARE and self._backend.dialect == "postgres":
            return await self._load(transaction, made)
        values = [{"id": text.id, "mark": text.mark, "embedding": vector} for text, vector in made]
        return await transaction.execute_many("insert_spare" if table is _SPARE else "insert_vector", values)

    async def _load(self, transaction: Transaction, made: Sequence[tuple[_Text, Vector]]) -> int:
        asked = {"ids": [text.id for text, _ in made], "marks": [text.mark for text, _ in made]}
        held = {str(row["id"]) for row in await transaction.fetch("hold_unchanged", asked)}
        body = b"".join(
            pgbinary_encode.row(uuid.UUID(text.id).bytes, self._spelled(vector))
            for text, vector in made
            if text.id in held
        )
        connection = cast("PostgresTransaction", transaction).connection
        statement = compose("postgres", "load_spare").encode()
        async with connection.cursor() as cursor, cursor.copy(statement) as copy:
            await copy.write(pgbinary_encode.HEADER + body + pgbinary_encode.TRAILER)
        return len(held)

    def _spelled(self, vector: Vector) -> bytes:
        """A vector in PostgreSQL's binary format, in the type that its width needs."""
        if self._half:
            return struct.pack(">HH", len(vector), 0) + vector.astype(">f2").tobytes()
        return pgbinary_encode.vector(vector)

    def _refuse_nothing_made(self) -> None:
        counted = self._running.meter.tables[TABLE]
        if counted.failed and not counted.inserted and self._kind == "reembed":
            raise VestigeError(f"{self._model.name} could not encode a single text; the store stays as it was.")

    # The vector index

    async def _build_spare_index(self) -> None:
        await self._build("building the vector index", "spare_index")
        await self._running.with_retries(lambda: self._backend.maintain("analyze_spare"))

    async def _build_own_index(self) -> None:
        """In place: where the index went, or was left half done, make it again."""
        if self._backend.dialect != "postgres":
            return
        running = self._running
        if running.options.get("concurrent_index"):
            await self._build("building the vector index", "index")
        elif not await self._has_index("find_index"):
            running.meter.phase = "building the vector index"
            await self._step(_nothing)
            began = time.monotonic()
            await self._step(self._build_at_once)
            await self._note_built(began)

        async def settle(transaction: Transaction) -> None:
            await running.ledger.note_dropped(transaction, running.job_id, [])
            await self._record_index(transaction)

        await self._step(settle)

    async def _build_at_once(self, transaction: Transaction) -> None:
        await transaction.fetch("prepare_build", {**self._memory(), "workers": str(WORKERS), "local": True})
        await transaction.execute("drop_index")
        await self._typed(transaction, "build_index")

    async def _build(self, phase: str, index: str) -> None:
        """Build an index that nobody waits for, where it is not there and whole."""
        if await self._has_index(f"find_{index}"):
            return
        await self._running.phase(phase)
        began = time.monotonic()
        await self._running.with_retries(lambda: self._build_concurrently(index))
        await self._note_built(began)

    async def _note_built(self, began: float) -> None:
        spent = float(self._running.checkpoint.get("index_secs") or 0.0)
        await self._step(_nothing, {"index_secs": round(spent + time.monotonic() - began, 3)})

    async def _has_index(self, name: str) -> bool:
        found = await self._ask(name)
        return bool(found) and bool(found[0]["valid"])

    async def _build_concurrently(self, index: str) -> None:
        # A connection of its own, whose settings are its own.
        backend = open_backend(self._running.target, max_connections=1)
        backend.use_model(self._model)
        await backend.open()
        try:
            await backend.fetch("wait_long")
            with contextlib.suppress(VestigeError):  # not every system can tell
                await backend.fetch("notice_hangup")
            found = await backend.fetch(f"find_{index}")
            if found:
                # Left by a build that was broken off, or that one still goes on: then this waits for its end.
                await backend.maintain(f"drop_{index}_concurrently")
            build = "build_spare_index" if index == "spare_index" else "build_index_concurrently"
            try:
                await backend.fetch("prepare_build", {**self._memory(), "workers": str(WORKERS), "local": False})
                await backend.maintain(build)
            except Unavailable as error:
                if "shared memory" not in error.message:
                    raise
                # Several at once need memory that a container may not have.
                await backend.maintain(f"drop_{index}_concurrently")
                await backend.fetch("prepare_build", {**self._memory(), "workers": "0", "local": False})
                await backend.maintain(build)
        finally:
            await backend.close()

    def _memory(self) -> dict[str, str]:
        """What the graph takes while it is built: an index that does not fit is built several times more slowly."""
        counted = self._running.meter.tables.get(TABLE, TableProgress())
        needed = int(1.2 * room("postgres", counted.inserted, self._model.dimension))
        return {"memory": f"{max(LEAST_MEMORY, min(MOST_MEMORY, needed)) // 1_024}kB"}

    # Taking the new vectors into use

    async def _swap(self) -> None:
        await self._running.phase("swapping")
        centred = [str(row["id"]) for row in await self._ask("list_centred")]
        await self._step(self._swapped, {"taken": True, "centred": centred})
        took = (time.perf_counter() - self._locked_at) * 1_000
        await self._running.with_retries(self._running.store.refresh_model)
        await self._step(_nothing, {"swap_ms": round(took, 3)})

    async def _swapped(self, transaction: Transaction) -> None:
        running = self._running
        self._locked_at = time.perf_counter()
        await transaction.fetch("lock_schema")
        await self._hold(transaction, _SPARE)
        before = rows.model((await transaction.fetch("get_model"))[0])
        after = rows.model((await transaction.fetch("hold_spare"))[0])
        await transaction.execute("set_model", _model_fields(after))
        await transaction.execute("set_spare_model", _model_fields(before))
        counted = running.meter.tables.get(TABLE, TableProgress())
        await self._note_change(transaction, before, counted.inserted)
        await transaction.execute("forget_centroids")
        if self._backend.dialect == "postgres":
            await self._record_index(transaction)
            await transaction.fetch("wait_briefly")
            await transaction.execute("lock_tables")
            self._locked_at = time.perf_counter()
            await transaction.execute("swap_tables")
        else:
            for name in _SWAP_OF_A_FILE:
                await transaction.execute(name)

    async def _record_index(self, transaction: Transaction) -> None:
        """The step of the schema that waits for a model is done with this index, where it was not done before."""
        applied = {int(row["version"]) for row in await transaction.fetch("list_applied")}
        for each in migrations.migrations(self._backend.dialect):
            if each.staged and each.version not in applied:
                done = {"version": each.version, "name": each.name, "sha256": each.checksum, "duration_ms": 0.0}
                await transaction.execute("record_applied", {**done, "applied_at": self._running.store.now()})

    # The end

    async def _centre(self) -> None:
        """Give domains that had a centre one of the new vectors."""
        while waiting := list(self._running.checkpoint.get("centred") or ()):
            self._running.meter.phase = "finding the centres of domains"
            domain = waiting.pop(0)
            centre = await self._centre_of(domain)

            async def work(transaction: Transaction, domain: str = domain, centre: Vector | None = centre) -> None:
                if centre is not None:
                    await transaction.execute("set_centroid", {"id": domain, "centroid": centre})

            await self._step(work, {"centred": waiting})

    async def _centre_of(self, domain: str) -> Vector | None:
        import numpy as np

        if self._backend.dialect == "postgres":
            [row] = await self._ask("average_domain", {"id": domain})
            return None if row["centroid"] is None else rows.as_vector(row["centroid"])
        total, count, seq = np.zeros(self._model.dimension), 0, 0
        while found := await self._ask("list_domain_vectors", {"id": domain, "seq": seq, "limit": DOMAIN_VECTORS}):
            vectors = [rows.as_vector(row["embedding"]) for row in found]
            total += np.sum([each for each in vectors if len(each) == len(total)], axis=0)
            count, seq = count + len(found), int(found[-1]["seq"])
        return (total / count).astype(np.float32) if count else None

    async def _finish(self) -> str:
        running = self._running
        old = read_spare(await self._ask("get_spare"))
        drops = bool(running.options.get("drop_old")) and old is not None
        counted = running.meter.tables.get(TABLE, TableProgress())
        running.meter.phase = "done"
        made = Report(
            counted.inserted,
            round(self._seconds, 3),
            float(running.checkpoint.get("index_secs") or 0.0),
            running.checkpoint.get("swap_ms"),
        )

        async def work(transaction: Transaction) -> None:
            await self._hold(transaction, _OWN)
            if self._kind == "in_place":
                await transaction.execute(
                    "set_model_change", {"memories": counted.inserted, "seconds": made.duration_secs}
                )
            if drops:
                await forget_spare(transaction, self._backend)

        await self._step(work, {"report": asdict(made)})
        return _words(made, self._model, None if drops else old, counted.failed)


_ZERO = "Its vector is zero, so that no search by meaning finds it."
_SWAP_OF_A_FILE = (
    "forget_spare_trigger",
    "lay_vectors_aside",
    "put_spare_in_place",
    "keep_laid_aside",
    "make_spare_trigger",
)


def _words(made: Report, model: ModelSignature, kept: SpareVectors | None, failed: int) -> str:
    alike = kept is not None and same_model(kept.model.name, model.name)
    both = (model, kept.model if kept is not None else model)
    new, old = (f"{each.name} ({each.dimension} dimensions)" if alike else each.name for each in both)
    parts = ["no vector had to be made"]
    if made.rows_updated:
        parts = [f"{made.rows_updated:,} vectors of {new} in {made.duration_secs:,.1f} s"]
    if made.index_rebuild_secs:
        parts.append(f"index built in {made.index_rebuild_secs:,.1f} s")
    if made.swap_ms is not None:
        parts.append(f"swapped in {made.swap_ms:,.1f} ms")
    if failed:
        parts.append(f"{failed:,} {'memory' if failed == 1 else 'memories'} without a vector")
    if kept is not None:
        parts.append(f"those of {old} are kept")
    return "; ".join(parts)


def _model_fields(model: ModelSignature, now: datetime | None = None) -> dict[str, Any]:
    return {"name": model.name, "dimension": model.dimension, "hash": model.hash, "created_at": model.created_at or now}


def as_text(content: object) -> str:
    return content.decode("utf-8", "replace") if isinstance(content, bytes) else str(content)


def _portions(listed: Sequence[Row]) -> Iterator[list[str]]:
    """Ids of memories whose texts are read together: not more octets than fit into memory without a thought."""
    ids: list[str] = []
    octets = 0
    for row in listed:
        if ids and octets + int(row["size"]) > READ_BYTES:
            yield ids
            ids, octets = [], 0
        ids.append(str(row["id"]))
        octets += int(row["size"])
    if ids:
        yield ids


async def _nothing(transaction: Transaction) -> None:
    """A step that only says how far the job is."""


def room(dialect: str, memories: int, dimension: int) -> int:
    """Bytes that so many vectors take, with their index: as rows and nodes fit into pages."""
    if dialect == "sqlite":
        return memories * (4 * dimension + 130)
    width = (4 if dimension <= 2_000 else 2) * dimension + 8
    row, node = width + 48, width + 300
    pages = -(-memories // max(1, 8_160 // row)) + -(-memories // max(1, 8_160 // node))
    return pages * 8_192 + memories * 40
