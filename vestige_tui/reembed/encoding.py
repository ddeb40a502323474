"""Encode the memories that lack a vector, in passes over one table of vectors."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

from vestige_tui.core.errors import EmbedderUnavailable
from vestige_tui.core.jobs import JobFinding
from vestige_tui.core.log import log_suppressed
from vestige_tui.embedding.encoder_pool import Encoded, Encoders, shortened
from vestige_tui.jobs.context import ROWS, VECTOR_INDEX
from vestige_tui.jobs.stages import Stage
from vestige_tui.reembed.attempt import SPARE, TABLE, Attempt, VectorTable
from vestige_tui.store.backends import pgbinary_encode
from vestige_tui.store.schema.named_sql import compose

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import Vector
    from vestige_tui.store.backends.postgres import PostgresTransaction
    from vestige_tui.store.backends.protocol import Row, Transaction

log = logging.getLogger(__name__)

BATCH = 128
FIRST_BATCH = 8
"""Texts of the first write; later ones grow while a write follows the one before in less than QUICK_SECONDS."""
QUICK_SECONDS = 0.5
MAX_BATCH = 4_096
FIRST_ENCODER_BATCHES, ENCODER_BATCH = (2, 2, 4, 8), 16
"""Texts in the first calls of an encoder, and in each later one."""
AHEAD_TEXTS, AHEAD_BYTES = 2_048, 16_000_000
"""Limits of the prefetch: texts that are read, and may be encoded, before the first of them is written."""
LISTED_ROWS, READ_BYTES = 1_024, 4_000_000
WRITE_SECONDS = 1.0
"""Longest time between two writes of encoded vectors, however slow the model is."""
PAUSE_SECONDS = 0.5
ENCODING_WEIGHT = 6.0
"""Time to encode a text, as a multiple of the time of a vector in the index build."""
MAX_CATCHUP_PASSES = 12
"""Limit of the catch-up passes; later edits are encoded after the swap."""
_ZERO = "Its vector is zero; vector search cannot find it."


@dataclass(frozen=True, slots=True)
class StoredText:
    """A text to encode, with the mark for optimistic locking: it shows whether the stored text is unchanged."""

    id: str
    text: str = field(repr=False)
    mark: bytes = field(repr=False)

    @property
    def size(self) -> int:
        """Size in UTF-8 with its mark, in bytes."""
        return len(self.text.encode("utf-8", "surrogatepass")) + len(self.mark)

    @classmethod
    def of(cls, row: Row) -> StoredText:
        return cls(str(row["id"]), shortened(as_text(row["content"])), bytes(row["mark"]))


@dataclass(frozen=True, slots=True)
class EncodingPart:
    """Texts on their way through an encoder."""

    texts: Sequence[StoredText]
    encoding: asyncio.Task[list[Encoded]]


class Prefetch:
    """Bound on the prefetch: texts that are read and not yet used."""

    def __init__(self, max_texts: int) -> None:
        self._max_texts = max_texts
        self._texts = self._bytes = 0
        self._space = asyncio.Event()

    async def enter(self, texts: Sequence[StoredText]) -> None:
        """Wait until there is room for these texts."""
        size = sum(each.size for each in texts)
        while self._texts and (self._texts + len(texts) > self._max_texts or self._bytes + size > AHEAD_BYTES):
            self._space.clear()
            await self._space.wait()
        self._texts += len(texts)
        self._bytes += size

    def leave(self, part: EncodingPart) -> None:
        self._texts -= len(part.texts)
        self._bytes -= sum(each.size for each in part.texts)
        self._space.set()


class VectorEncoder:
    """Encodes the texts of memories without a vector, and writes their vectors."""

    def __init__(self, attempt: Attempt) -> None:
        options = attempt.context.options
        self._attempt = attempt
        self._context = attempt.context
        self._backend = attempt.backend
        self._batch = max(1, min(int(options.get("batch") or BATCH), MAX_BATCH))
        self._max_group = self._batch if options.get("batch") else AHEAD_TEXTS
        self._next_batch = min(FIRST_BATCH, self._batch)
        """Texts of the next write: few at first, so that the progress moves at once."""
        self._encoder_batches = list(FIRST_ENCODER_BATCHES)
        self._encoders: Encoders | None = None
        self._failed = attempt.failed

    async def close(self) -> None:
        """End the encoder processes."""
        if self._encoders is not None:
            await asyncio.to_thread(self._encoders.close)

    async def fill(self, table: VectorTable, phase: str, *, cursor: bool = True) -> None:
        """Encode until no memory lacks a vector; ``cursor``: continue from the position of an earlier attempt."""
        try:
            await self._fill_all(table, phase, cursor)
        except EmbedderUnavailable as error:
            if not self._context.options.get("partial"):
                raise
            log_suppressed(log, "encode the memories", error)

    async def _fill_all(self, table: VectorTable, phase: str, cursor: bool) -> None:
        context = self._context
        context.meter.phase = phase
        [missing] = await self._attempt.ask(table.count)
        progress = self._attempt.progress
        total = progress.read + max(0, int(missing["n"]) - len(self._failed))
        context.meter.expect(TABLE, total)
        if context.meter.stages is None:
            has_index = self._backend.capabilities.typed_vectors
            context.meter.plan([Stage(ROWS, ENCODING_WEIGHT * total), Stage(VECTOR_INDEX, total if has_index else 0.0)])
        await self._attempt.save()
        count, written = await self._pass(table, self._attempt.checkpoint.after if cursor else None, cursor)
        for _ in range(MAX_CATCHUP_PASSES):
            if count and not written:
                # The remaining memories are being edited: wait before the next pass.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PAUSE_SECONDS):
                        await context.stop.wait()
            count, written = await self._pass(table, None, False)
            if not count:
                return

    async def _pass(self, table: VectorTable, after: str | None, cursor: bool) -> tuple[int, int]:
        """Encode the memories behind an id that lack a vector, in one pass; return how many it read and wrote.

        Texts are read and encoded ahead of the writes (prefetch), so that no encoder waits for the database.
        """
        ahead = Prefetch(max(AHEAD_TEXTS, 2 * self._batch))
        parts: asyncio.Queue[EncodingPart | None] = asyncio.Queue()
        reading = asyncio.create_task(self._read_ahead(table, after, parts, ahead))
        unread: list[EncodingPart | None] = []
        count = written = 0
        group: list[tuple[StoredText, Encoded]] = []
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
                seconds = time.monotonic() - last_write
                if (len(group) >= self._next_batch and not has_more) or seconds > WRITE_SECONDS:
                    written += await self._write(table, group, cursor)
                    self._next_batch = next_batch(self._next_batch, seconds, self._batch)
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
        self, table: VectorTable, after: str | None, parts: asyncio.Queue[EncodingPart | None], ahead: Prefetch
    ) -> None:
        try:
            while records := await self._attempt.ask(table.listing, {"after": after, "limit": LISTED_ROWS}):
                after = str(records[-1]["id"])
                for ids in _portions(records):
                    stored = [StoredText.of(row) for row in await self._attempt.ask("read_texts", {"ids": ids})]
                    fresh = [
                        text for text in stored if text.id not in self._failed or self._failed[text.id] != text.mark
                    ]
                    while fresh:
                        size = self._encoder_batches.pop(0) if self._encoder_batches else ENCODER_BATCH
                        texts, fresh = fresh[:size], fresh[size:]
                        await ahead.enter(texts)
                        encoding = self._encoder().encode([each.text for each in texts])
                        parts.put_nowait(EncodingPart(texts, asyncio.create_task(encoding)))
        finally:
            parts.put_nowait(None)

    def _encoder(self) -> Encoders:
        if self._encoders is None:
            table = self._attempt.progress
            remaining = (table.total or 0) - table.read
            self._encoders = Encoders(self._attempt.model, texts=remaining, any_build=self._attempt.kind == "rollback")
        return self._encoders

    async def _write(self, table: VectorTable, group: Sequence[tuple[StoredText, Encoded]], cursor: bool) -> int:
        """Write encoded vectors, in one transaction with its checkpoint; return how many memories got one."""
        context = self._context
        vectors = [(text, vector) for text, vector in group if not isinstance(vector, str)]
        failures = [(text, reason) for text, reason in group if isinstance(reason, str)]
        new_failures = [(text, reason) for text, reason in failures if text.id not in self._failed]
        outdated = [JobFinding(TABLE, "failed", text.id, "") for text, _ in vectors if text.id in self._failed]

        async def work(transaction: Transaction) -> int:
            await self._attempt.hold(transaction, table)
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

        checkpoint = replace(self._attempt.checkpoint, after=group[-1][0].id) if cursor else None
        inserted: int = await self._attempt.step(work, checkpoint)
        for finding in outdated:
            del self._failed[finding.source_key]
        self._failed.update({text.id: text.mark for text, _ in failures})
        return inserted

    async def _insert(
        self, transaction: Transaction, table: VectorTable, vectors: Sequence[tuple[StoredText, Vector]]
    ) -> int:
        if table is SPARE and self._backend.capabilities.binary_copy:
            return await self._load(transaction, vectors)
        values = [{"id": text.id, "mark": text.mark, "embedding": vector} for text, vector in vectors]
        return await transaction.execute_many("insert_spare" if table is SPARE else "insert_vector", values)

    async def _load(self, transaction: Transaction, vectors: Sequence[tuple[StoredText, Vector]]) -> int:
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
        if self._attempt.half:
            return struct.pack(">HH", len(vector), 0) + vector.astype(">f2").tobytes()
        return pgbinary_encode.vector(vector)


def next_batch(batch: int, seconds: float, most: int) -> int:
    """Return the texts of the next write, after one of ``batch`` texts that took ``seconds`` since the one before."""
    if seconds < QUICK_SECONDS:
        return min(2 * batch, most)
    return max(1, batch // 2) if seconds > 2 * WRITE_SECONDS else batch


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
