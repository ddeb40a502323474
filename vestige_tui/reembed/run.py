"""One run of a re-embedding: begin, encode, catch up, build the index, swap, encode later edits.

Each step is one transaction with its checkpoint. The checkpoint is not needed to find the remaining work: that is the
memories without a vector, and if there are none, the model that the store belongs to.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, cast

from vestige_tui.core.embeddings import ModelSignature, SpareVectors
from vestige_tui.core.errors import Conflict, EmbedderUnavailable, OutOfResources, Refused, VestigeError
from vestige_tui.core.jobs import JobFinding, TableProgress
from vestige_tui.embedding.encoder_pool import Encoded, Encoders, shortened
from vestige_tui.embedding.models import same_model
from vestige_tui.jobs.conflicts import refuse_competing_jobs
from vestige_tui.reembed.checkpoint import ReembedCheckpoint, ReembedResult
from vestige_tui.reembed.index_queries import OWN_INDEX, SPARE_INDEX, IndexQueries
from vestige_tui.reembed.spare_vectors import equal, forget_spare, model_of, read_spare, refuse_other_spare
from vestige_tui.store.backends import pgbinary_encode
from vestige_tui.store.open import open_backend
from vestige_tui.store.schema import migrations, rows
from vestige_tui.store.schema.named_sql import compose

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import Vector
    from vestige_tui.jobs.context import JobContext
    from vestige_tui.store.backends.postgres import PostgresTransaction
    from vestige_tui.store.backends.protocol import Capabilities, Row, Transaction

log = logging.getLogger("vestige_tui.jobs")

BATCH = 128
MAX_BATCH = 4_096
ENCODER_BATCH = 16
"""Texts in one call of an encoder."""
AHEAD_TEXTS, AHEAD_BYTES = 2_048, 16_000_000
"""Limits of the prefetch: texts that are read, and may be encoded, before the first of them is written."""
LISTED_ROWS, READ_BYTES = 1_024, 4_000_000
WRITE_SECONDS = 5.0
"""Longest time between two writes of encoded vectors, however slow the model is."""
PAUSE_SECONDS = 0.5
MAX_CATCHUP_PASSES = 12
"""Limit of the catch-up passes; later edits are encoded after the swap."""
MAX_MEMORY_BYTES = 1_000_000_000
MIN_MEMORY_BYTES = 64_000_000
INDEX_WORKER_PROCESSES = 2
DOMAIN_VECTORS = 4_000

INDEX = "idx_node_embeddings_hnsw"
TABLE = "memories"

Kind: TypeAlias = Literal["reembed", "in_place", "rollback"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Table:
    """Queries for one table of vectors: count and list the memories that lack one, and hold its model."""

    count: str
    listing: str
    hold: str


_SPARE = _Table("count_without_spare", "list_without_spare", "hold_spare")
_OWN = _Table("count_without_vector", "list_without_vector", "hold_model")


@dataclass(frozen=True, slots=True)
class _Text:
    """A text to encode, with the mark for optimistic locking: it shows whether the stored text is unchanged."""

    id: str
    text: str = field(repr=False)
    mark: bytes = field(repr=False)

    @property
    def size(self) -> int:
        """Size in UTF-8 with its mark, in bytes."""
        return len(self.text.encode("utf-8", "surrogatepass")) + len(self.mark)

    @classmethod
    def of(cls, row: Row) -> _Text:
        return cls(str(row["id"]), shortened(as_text(row["content"])), bytes(row["mark"]))


@dataclass(frozen=True, slots=True)
class _Part:
    """Texts on their way through an encoder."""

    texts: Sequence[_Text]
    encoding: asyncio.Task[list[Encoded]]


class _Ahead:
    """Bound on the prefetch: texts that are read and not yet used."""

    def __init__(self, max_texts: int) -> None:
        self._max_texts = max_texts
        self._texts = self._bytes = 0
        self._space = asyncio.Event()

    async def enter(self, texts: Sequence[_Text]) -> None:
        """Wait until there is room for these texts."""
        size = sum(each.size for each in texts)
        while self._texts and (self._texts + len(texts) > self._max_texts or self._bytes + size > AHEAD_BYTES):
            self._space.clear()
            await self._space.wait()
        self._texts += len(texts)
        self._bytes += size

    def leave(self, part: _Part) -> None:
        self._texts -= len(part.texts)
        self._bytes -= sum(each.size for each in part.texts)
        self._space.set()


class Reembedding:
    """One run: begin, encode, catch up, build the index, swap, encode later edits."""

    def __init__(self, context: JobContext) -> None:
        options = context.options
        self._context = context
        self._backend = context.store.backend
        self._model = model_of(options)
        self._kind: Kind = (
            "rollback" if options.get("rollback") else "in_place" if options.get("in_place") else "reembed"
        )
        self._batch = max(1, min(int(options.get("batch") or BATCH), MAX_BATCH))
        self._max_group = self._batch if options.get("batch") else AHEAD_TEXTS
        self._start = time.monotonic()
        self._earlier_seconds = self._checkpoint.seconds
        self._encoders: Encoders | None = None
        self._failed: dict[str, bytes | None] = {}
        """Memories whose texts could not be encoded, with the marks of those texts if known."""
        self._findings: list[JobFinding] = []
        """Findings of earlier attempts."""
        self._locked_at = 0.0

    async def close(self) -> None:
        if self._encoders is not None:
            await asyncio.to_thread(self._encoders.close)

    @property
    def _seconds(self) -> float:
        """Seconds of work on this job, in all its attempts."""
        return self._earlier_seconds + time.monotonic() - self._start

    @property
    def _half(self) -> bool:
        from vestige_tui.store.backends.postgres import MAX_VECTOR_DIMENSIONS

        return self._model.dimension > MAX_VECTOR_DIMENSIONS

    async def run(self) -> str:
        """Run every step. Raises Cancelled at a checkpoint, Refused if it may not begin, and errors of the store."""
        context = self._context
        await self._read_findings()
        await context.phase("counting")
        await self._begin()
        if self._kind == "in_place":
            await self._fill(_OWN, "encoding")
            await self._build_own_index()
        else:
            if not self._checkpoint.taken_over:
                await self._fill(_SPARE, "encoding")
                self._refuse_no_vectors()
                if self._backend.capabilities.typed_vectors:
                    await self._build_spare_index()
                    await self._fill(_SPARE, "catching up", cursor=False)
                await self._swap()
            await self._fill(_OWN, "filling in what was written meanwhile", cursor=False)
        await self._centre()
        return await self._finish()

    @property
    def _checkpoint(self) -> ReembedCheckpoint:
        return ReembedCheckpoint.from_json(self._context.checkpoint)

    async def _step(
        self, work: Callable[[Transaction], Awaitable[T]], checkpoint: ReembedCheckpoint | None = None
    ) -> T:
        checkpoint = self._checkpoint if checkpoint is None else checkpoint
        return await self._context.step(work, replace(checkpoint, seconds=round(self._seconds, 3)))

    async def _read_findings(self) -> None:
        after: str | None = None
        while True:
            page = await self._context.ledger.findings(self._context.job_id, 1_000, after)
            self._findings += page.items
            self._failed.update({each.source_key: None for each in page.items if each.outcome == "failed"})
            if (after := page.next) is None:
                return

    # Begin

    async def _begin(self) -> None:
        registry = await self._ask("get_model")
        if self._checkpoint.taken_over and registry and equal(rows.model(registry[0]), self._model):
            return
        shadow = read_spare(await self._ask("get_spare"))
        continues = self._kind == "reembed" and shadow is not None and shadow.role == "building"
        in_place = self._kind == "in_place"
        domains = tuple(str(row["id"]) for row in await self._ask("list_centred")) if in_place else ()
        checkpoint = self._checkpoint.begun(domains, in_place=in_place, continues=continues)

        async def work(transaction: Transaction) -> bool:
            return await self._prepare(transaction, continues=continues)

        if await self._step(work, checkpoint):
            self._failed.clear()

    async def _prepare(self, transaction: Transaction, *, continues: bool) -> bool:
        """Prepare the store; return whether the encoding starts over."""
        context, store = self._context, self._context.store
        await transaction.fetch("lock_schema")
        await refuse_competing_jobs(transaction, store, job_id=context.job_id, only_begun=True)
        before = rows.model((await transaction.fetch("get_model"))[0])
        shadow = read_spare(await transaction.fetch("get_spare"))
        if self._kind == "rollback":
            if shadow is None or shadow.role != "kept" or not equal(shadow.model, self._model):
                raise Refused(f"{store.title} keeps no vectors of {self._model.name}; there is nothing to go back to.")
            return False
        if shadow is not None and shadow.role == "building":
            refuse_other_spare(store, shadow.model, self._model, in_place=self._kind == "in_place")
        if continues != (shadow is not None and shadow.role == "building"):
            raise Conflict("The vectors made so far were dropped just now; start the job again.")
        if continues:
            return False
        # The counts of an earlier attempt are of vectors that are gone.
        context.meter.tables.pop(TABLE, None)
        context.meter.zero_vectors = 0
        await context.ledger.withdraw_findings(transaction, context.job_id, self._findings)
        await forget_spare(transaction, self._backend)
        if self._kind == "reembed":
            await self._run_typed(transaction, "stamp_spare")
            await transaction.execute("put_spare_model", _model_fields(self._model, store.now()))
        else:
            await self._take_over(transaction, before)
        return True

    async def _take_over(self, transaction: Transaction, before: ModelSignature) -> None:
        """Give the store the new model and delete its vectors (in place)."""
        context = self._context
        await transaction.execute("set_model", _model_fields(self._model, context.store.now()))
        await self._note_change(transaction, before, 0)
        await transaction.execute("forget_centroids")
        await transaction.execute("empty_vectors")
        if not self._backend.capabilities.typed_vectors:
            return
        widens = before.dimension != self._model.dimension
        if widens or context.options.get("drop_hnsw_first"):
            await transaction.execute("drop_index")
            await context.ledger.note_dropped(transaction, context.job_id, [INDEX])
        if widens:
            await self._run_typed(transaction, "stamp_width")

    async def _run_typed(self, transaction: Transaction, name: str) -> None:
        """Run a statement with the vector type of this job's model, which need not be the store's."""
        if self._backend.capabilities.typed_vectors:
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
                "changed_at": self._context.store.now(),
                "job": self._context.job_id,
            },
        )

    async def _ask(self, name: str, params: Mapping[str, Any] | None = None) -> Sequence[Row]:
        """Read, with retries while the database does not answer."""
        return await self._context.with_retries(lambda: self._backend.fetch(name, params)) or []

    # Encoding

    async def _fill(self, table: _Table, phase: str, *, cursor: bool = True) -> None:
        """Encode until no memory lacks a vector; ``cursor``: continue from the position of an earlier attempt."""
        try:
            await self._fill_all(table, phase, cursor)
        except EmbedderUnavailable as error:
            if not self._context.options.get("partial"):
                raise
            log.warning("%s", error.message)

    async def _fill_all(self, table: _Table, phase: str, cursor: bool) -> None:
        context = self._context
        context.meter.phase = phase
        [missing] = await self._ask(table.count)
        progress = context.meter.tables.get(TABLE, TableProgress())
        context.meter.expect(TABLE, progress.read + max(0, int(missing["n"]) - len(self._failed)))
        await self._step(_nothing)
        count, written = await self._pass(table, self._checkpoint.after if cursor else None, cursor)
        for _ in range(MAX_CATCHUP_PASSES):
            if count and not written:
                # The remaining memories are being edited: wait before the next pass.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(context.stop.wait(), PAUSE_SECONDS)
            count, written = await self._pass(table, None, False)
            if not count:
                return

    async def _pass(self, table: _Table, after: str | None, cursor: bool) -> tuple[int, int]:
        """Encode the memories behind an id that lack a vector, in one pass; return how many it read and wrote.

        Texts are read and encoded ahead of the writes (prefetch), so that no encoder waits for the database.
        """
        ahead = _Ahead(max(AHEAD_TEXTS, 2 * self._batch))
        parts: asyncio.Queue[_Part | None] = asyncio.Queue()
        reading = asyncio.create_task(self._read_ahead(table, after, parts, ahead))
        unread: list[_Part | None] = []
        count = written = 0
        group: list[tuple[_Text, Encoded]] = []
        last_write = time.monotonic()
        try:
            unread = [await parts.get()]
            while (part := unread[0]) is not None:
                group += zip(part.texts, await part.encoding, strict=True)
                ahead.leave(part)
                count += len(part.texts)
                unread = [] if parts.empty() else [parts.get_nowait()]
                # Add the next part if it is encoded already: the encoder is faster than the store.
                has_more = (
                    len(group) < self._max_group and unread and unread[0] is not None and unread[0].encoding.done()
                )
                if (len(group) >= self._batch and not has_more) or time.monotonic() - last_write > WRITE_SECONDS:
                    written += await self._write(table, group, cursor)
                    group, last_write = [], time.monotonic()
                unread = unread or [await parts.get()]
            if group:
                written += await self._write(table, group, cursor)
            await reading
        finally:
            reading.cancel()
            await asyncio.wait({reading})
            while not parts.empty():
                unread.append(parts.get_nowait())
            tasks = [part.encoding for part in unread if part is not None]
            for each in tasks:
                each.cancel()
            await asyncio.gather(reading, *tasks, return_exceptions=True)
        return count, written

    async def _read_ahead(
        self, table: _Table, after: str | None, parts: asyncio.Queue[_Part | None], ahead: _Ahead
    ) -> None:
        try:
            while records := await self._ask(table.listing, {"after": after, "limit": LISTED_ROWS}):
                after = str(records[-1]["id"])
                for ids in _portions(records):
                    stored = [_Text.of(row) for row in await self._ask("read_texts", {"ids": ids})]
                    fresh = [
                        text for text in stored if text.id not in self._failed or self._failed[text.id] != text.mark
                    ]
                    for start in range(0, len(fresh), ENCODER_BATCH):
                        texts = fresh[start : start + ENCODER_BATCH]
                        await ahead.enter(texts)
                        encoding = self._encoder().encode([each.text for each in texts])
                        parts.put_nowait(_Part(texts, asyncio.create_task(encoding)))
        finally:
            parts.put_nowait(None)

    def _encoder(self) -> Encoders:
        if self._encoders is None:
            table = self._context.meter.tables.get(TABLE, TableProgress())
            remaining = (table.total or 0) - table.read
            self._encoders = Encoders(self._model, texts=remaining, any_build=self._kind == "rollback")
        return self._encoders

    async def _write(self, table: _Table, group: Sequence[tuple[_Text, Encoded]], cursor: bool) -> int:
        """Write encoded vectors, in one transaction with its checkpoint; return how many memories got one."""
        context = self._context
        vectors = [(text, vector) for text, vector in group if not isinstance(vector, str)]
        failures = [(text, reason) for text, reason in group if isinstance(reason, str)]
        new_failures = [(text, reason) for text, reason in failures if text.id not in self._failed]
        outdated = [JobFinding(TABLE, "failed", text.id, "") for text, _ in vectors if text.id in self._failed]

        async def work(transaction: Transaction) -> int:
            await self._hold(transaction, table)
            inserted = await self._insert(transaction, table, vectors)
            findings = [JobFinding(TABLE, "failed", text.id, reason) for text, reason in new_failures]
            findings += [
                JobFinding(TABLE, "zero_vector", text.id, _ZERO) for text, vector in vectors if not vector.any()
            ]
            await context.ledger.withdraw_findings(transaction, context.job_id, outdated)
            await context.ledger.add_findings(transaction, context.job_id, findings)
            context.meter.zero_vectors += len(findings) - len(new_failures)
            failed = len(new_failures) - len(outdated)
            context.meter.add(TABLE, read=inserted + failed, inserted=inserted, failed=failed)
            progress = context.meter.tables[TABLE]
            context.meter.expect(TABLE, max(progress.total or 0, progress.read))
            return inserted

        checkpoint = replace(self._checkpoint, after=group[-1][0].id) if cursor else None
        inserted: int = await self._step(work, checkpoint)
        for finding in outdated:
            del self._failed[finding.source_key]
        self._failed.update({text.id: text.mark for text, _ in failures})
        return inserted

    async def _hold(self, transaction: Transaction, table: _Table) -> None:
        """Lock the model that the vectors to write belong to. Raises Conflict if it is not this job's."""
        records = await transaction.fetch(table.hold)
        role = {"rollback": "kept", "reembed": "building"}.get(self._kind)
        if not records or not equal(rows.model(records[0]), self._model) or records[0].get("role", role) != role:
            raise Conflict(
                f"Somebody else has dropped the vectors of {self._model.name}, or has taken the store to another model."
            )

    async def _insert(self, transaction: Transaction, table: _Table, vectors: Sequence[tuple[_Text, Vector]]) -> int:
        if table is _SPARE and self._backend.capabilities.binary_copy:
            return await self._load(transaction, vectors)
        values = [{"id": text.id, "mark": text.mark, "embedding": vector} for text, vector in vectors]
        return await transaction.execute_many("insert_spare" if table is _SPARE else "insert_vector", values)

    async def _load(self, transaction: Transaction, vectors: Sequence[tuple[_Text, Vector]]) -> int:
        params = {"ids": [text.id for text, _ in vectors], "marks": [text.mark for text, _ in vectors]}
        unchanged = {str(row["id"]) for row in await transaction.fetch("hold_unchanged", params)}
        body = b"".join(
            pgbinary_encode.row(uuid.UUID(text.id).bytes, self._binary(vector))
            for text, vector in vectors
            if text.id in unchanged
        )
        connection = cast("PostgresTransaction", transaction).connection
        statement = compose("postgres", "load_spare").encode()
        async with connection.cursor() as cursor, cursor.copy(statement) as copy:
            await copy.write(pgbinary_encode.HEADER + body + pgbinary_encode.TRAILER)
        return len(unchanged)

    def _binary(self, vector: Vector) -> bytes:
        """Return a vector in PostgreSQL's binary format, in the type that its width needs."""
        if self._half:
            return struct.pack(">HH", len(vector), 0) + vector.astype(">f2").tobytes()
        return pgbinary_encode.vector(vector)

    def _refuse_no_vectors(self) -> None:
        progress = self._context.meter.tables[TABLE]
        if progress.failed and not progress.inserted and self._kind == "reembed":
            raise VestigeError(f"{self._model.name} could not encode a single text; the store stays as it was.")

    # The vector index

    async def _build_spare_index(self) -> None:
        await self._build("building the vector index", SPARE_INDEX)
        await self._context.with_retries(lambda: self._backend.maintain("analyze_spare"))

    async def _build_own_index(self) -> None:
        """Rebuild the index if it was dropped or left incomplete (in place)."""
        if not self._backend.capabilities.typed_vectors:
            return
        context = self._context
        if context.options.get("concurrent_index"):
            await self._build("building the vector index", OWN_INDEX)
        elif not await self._has_index(OWN_INDEX):
            context.meter.phase = "building the vector index"
            await self._step(_nothing)
            start = time.monotonic()
            await self._step(self._build_at_once)
            await self._note_built(start)

        async def settle(transaction: Transaction) -> None:
            await context.ledger.note_dropped(transaction, context.job_id, [])
            await self._record_index(transaction)

        await self._step(settle)

    async def _build_at_once(self, transaction: Transaction) -> None:
        await transaction.fetch(
            "prepare_build", {**self._memory(), "workers": str(INDEX_WORKER_PROCESSES), "local": True}
        )
        await transaction.execute("drop_index")
        await self._run_typed(transaction, "build_index")

    async def _build(self, phase: str, index: IndexQueries) -> None:
        """Build an index concurrently, unless it exists and is valid."""
        if await self._has_index(index):
            return
        await self._context.phase(phase)
        start = time.monotonic()
        await self._context.with_retries(lambda: self._build_concurrently(index))
        await self._note_built(start)

    async def _note_built(self, start: float) -> None:
        seconds = round(self._checkpoint.index_seconds + time.monotonic() - start, 3)
        await self._step(_nothing, replace(self._checkpoint, index_seconds=seconds))

    async def _has_index(self, index: IndexQueries) -> bool:
        records = await self._ask(index.find)
        return bool(records) and bool(records[0]["valid"])

    async def _build_concurrently(self, index: IndexQueries) -> None:
        # A separate connection, because settings apply to all of it.
        backend = open_backend(self._context.target, max_connections=1)
        backend.use_model(self._model)
        await backend.open()
        try:
            await backend.fetch("wait_long")
            with contextlib.suppress(VestigeError):  # not supported on every platform
                await backend.fetch("notice_hangup")
            records = await backend.fetch(index.find)
            if records:
                # Left by an interrupted build, or by one that still runs: then this waits for its end.
                await backend.maintain(index.drop)
            try:
                await backend.fetch(
                    "prepare_build", {**self._memory(), "workers": str(INDEX_WORKER_PROCESSES), "local": False}
                )
                await backend.maintain(index.build)
            except OutOfResources:
                # Parallel workers need shared memory that a container may not have.
                await backend.maintain(index.drop)
                await backend.fetch("prepare_build", {**self._memory(), "workers": "0", "local": False})
                await backend.maintain(index.build)
        finally:
            await backend.close()

    def _memory(self) -> dict[str, str]:
        """Return the memory for the index build: a graph that does not fit is built several times more slowly."""
        progress = self._context.meter.tables.get(TABLE, TableProgress())
        size = int(1.2 * room(self._backend.capabilities, progress.inserted, self._model.dimension))
        return {"memory": f"{max(MIN_MEMORY_BYTES, min(MAX_MEMORY_BYTES, size)) // 1_024}kB"}

    # Swap

    async def _swap(self) -> None:
        await self._context.phase("swapping")
        domains = tuple(str(row["id"]) for row in await self._ask("list_centred"))
        await self._step(self._swap_tables, self._checkpoint.swapped(domains))
        milliseconds = (time.perf_counter() - self._locked_at) * 1_000
        await self._context.with_retries(self._context.store.models.refresh)
        await self._step(_nothing, replace(self._checkpoint, swap_ms=round(milliseconds, 3)))

    async def _swap_tables(self, transaction: Transaction) -> None:
        context = self._context
        self._locked_at = time.perf_counter()
        await transaction.fetch("lock_schema")
        await self._hold(transaction, _SPARE)
        before = rows.model((await transaction.fetch("get_model"))[0])
        after = rows.model((await transaction.fetch("hold_spare"))[0])
        await transaction.execute("set_model", _model_fields(after))
        await transaction.execute("set_spare_model", _model_fields(before))
        progress = context.meter.tables.get(TABLE, TableProgress())
        await self._note_change(transaction, before, progress.inserted)
        await transaction.execute("forget_centroids")
        if self._backend.capabilities.typed_vectors:
            await self._record_index(transaction)
            await transaction.fetch("wait_briefly")
            await transaction.execute("lock_tables")
            self._locked_at = time.perf_counter()
            await transaction.execute("swap_tables")
        else:
            for name in _SWAP_OF_A_FILE:
                await transaction.execute(name)

    async def _record_index(self, transaction: Transaction) -> None:
        """Record the staged migration that makes this index as applied, unless it is."""
        applied = {int(row["version"]) for row in await transaction.fetch("list_applied")}
        for migration in migrations.migrations(self._backend.dialect):
            if migration.staged and migration.version not in applied:
                record = {
                    "version": migration.version,
                    "name": migration.name,
                    "sha256": migration.checksum,
                    "duration_ms": 0.0,
                }
                await transaction.execute("record_applied", {**record, "applied_at": self._context.store.now()})

    # Finish

    async def _centre(self) -> None:
        """Compute centroids of the new vectors for domains that had one."""
        while domains := self._checkpoint.domains:
            self._context.meter.phase = "finding the centres of domains"
            domain, *remaining = domains
            centroid = await self._centre_of(domain)

            async def work(transaction: Transaction, domain: str = domain, centroid: Vector | None = centroid) -> None:
                if centroid is not None:
                    await transaction.execute("set_centroid", {"id": domain, "centroid": centroid})

            await self._step(work, replace(self._checkpoint, domains=tuple(remaining)))

    async def _centre_of(self, domain: str) -> Vector | None:
        import numpy as np

        if self._backend.capabilities.computes_vectors:
            [row] = await self._ask("average_domain", {"id": domain})
            return None if row["centroid"] is None else rows.as_vector(row["centroid"])
        total, count, seq = np.zeros(self._model.dimension), 0, 0
        while records := await self._ask("list_domain_vectors", {"id": domain, "seq": seq, "limit": DOMAIN_VECTORS}):
            vectors = [rows.as_vector(row["embedding"]) for row in records]
            total += np.sum([vector for vector in vectors if len(vector) == len(total)], axis=0)
            count, seq = count + len(records), int(records[-1]["seq"])
        return (total / count).astype(np.float32) if count else None

    async def _finish(self) -> str:
        context = self._context
        old = read_spare(await self._ask("get_spare"))
        drop_old = bool(context.options.get("drop_old")) and old is not None
        progress = context.meter.tables.get(TABLE, TableProgress())
        context.meter.phase = "done"
        result = ReembedResult(
            progress.inserted,
            round(self._seconds, 3),
            self._checkpoint.index_seconds,
            self._checkpoint.swap_ms,
        )

        async def work(transaction: Transaction) -> None:
            await self._hold(transaction, _OWN)
            if self._kind == "in_place":
                await transaction.execute(
                    "set_model_change", {"memories": progress.inserted, "seconds": result.duration_secs}
                )
            if drop_old:
                await forget_spare(transaction, self._backend)

        await self._step(work, self._checkpoint.done(result))
        return _words(result, self._model, None if drop_old else old, progress.failed)


_ZERO = "Its vector is zero, so that no search by meaning finds it."
_SWAP_OF_A_FILE = (
    "forget_spare_trigger",
    "lay_vectors_aside",
    "put_spare_in_place",
    "keep_laid_aside",
    "make_spare_trigger",
)


def _words(result: ReembedResult, model: ModelSignature, kept: SpareVectors | None, failed: int) -> str:
    alike = kept is not None and same_model(kept.model.name, model.name)
    both = (model, kept.model if kept is not None else model)
    new, old = (f"{each.name} ({each.dimension} dimensions)" if alike else each.name for each in both)
    parts = ["no vector had to be made"]
    if result.rows_updated:
        parts = [f"{result.rows_updated:,} vectors of {new} in {result.duration_secs:,.1f} s"]
    if result.index_rebuild_secs:
        parts.append(f"index built in {result.index_rebuild_secs:,.1f} s")
    if result.swap_ms is not None:
        parts.append(f"swapped in {result.swap_ms:,.1f} ms")
    if failed:
        parts.append(f"{failed:,} {'memory' if failed == 1 else 'memories'} without a vector")
    if kept is not None:
        parts.append(f"those of {old} are kept")
    return "; ".join(parts)


def _model_fields(model: ModelSignature, now: datetime | None = None) -> dict[str, Any]:
    return {"name": model.name, "dimension": model.dimension, "hash": model.hash, "created_at": model.created_at or now}


def as_text(content: object) -> str:
    return content.decode("utf-8", "replace") if isinstance(content, bytes) else str(content)


def _portions(records: Sequence[Row]) -> Iterator[list[str]]:
    """Yield groups of memory ids with at most READ_BYTES of text, to be read together."""
    ids: list[str] = []
    size = 0
    for row in records:
        if ids and size + int(row["size"]) > READ_BYTES:
            yield ids
            ids, size = [], 0
        ids.append(str(row["id"]))
        size += int(row["size"])
    if ids:
        yield ids


async def _nothing(transaction: Transaction) -> None:
    """Empty step: it only stores progress and checkpoint."""


def room(capabilities: Capabilities, memories: int, dimension: int) -> int:
    """Return the bytes of so many vectors and their index, as rows and nodes fit into pages."""
    if not capabilities.typed_vectors:
        return memories * (4 * dimension + 130)
    width = (4 if dimension <= 2_000 else 2) * dimension + 8
    row, node = width + 48, width + 300
    pages = -(-memories // max(1, 8_160 // row)) + -(-memories // max(1, 8_160 // node))
    return pages * 8_192 + memories * 40
