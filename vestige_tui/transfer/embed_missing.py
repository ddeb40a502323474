"""Encode the texts of memories in the target that have no vector, in a copy that changes the model."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from vestige_tui.core.jobs import JobFinding, TableProgress
from vestige_tui.core.memories import Filter
from vestige_tui.embedding.encoder_pool import Encoders, shortened
from vestige_tui.jobs.context import ENCODING
from vestige_tui.transfer.copy_checkpoint import CopyCheckpoint
from vestige_tui.transfer.sanitize import sentence
from vestige_tui.transfer.sync_state import hashed

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from vestige_tui.core.embeddings import ModelSignature
    from vestige_tui.embedding.encoder_pool import Encoded
    from vestige_tui.jobs.context import JobContext
    from vestige_tui.store.backends.protocol import Row, Transaction

TABLE = "embedding"
BATCH_TEXTS = 32
"""Memories read and encoded at once, in one transaction."""
FINDINGS_PAGE_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class _TextToEmbed:
    """Text to encode, and a hash that tells later whether it has changed."""

    id: str
    content: str = field(repr=False)
    content_hash: int

    @classmethod
    def of(cls, row: Row) -> _TextToEmbed:
        content = str(row["content"])
        return cls(str(row["id"]), content, hashed(content.encode()))


class MissingEmbedder:
    """Encoder of memories without a vector; keeps the texts that could not be encoded."""

    def __init__(self, context: JobContext, model: ModelSignature) -> None:
        self._context = context
        self._model = model
        self._encoders: Encoders | None = None
        self._failed: dict[str, int | None] | None = None
        """Failed memories with the hashes of their texts where these are known; None before the first pass."""

    async def once(self) -> int:
        """Encode all missing vectors, batch by batch; return their number. A text that failed is not retried.

        Raises EmbedderUnavailable.
        """
        try:
            return await self._embed()
        finally:
            if self._encoders is not None:
                self._encoders.close()
                self._encoders = None

    async def _embed(self) -> int:
        context, backend = self._context, self._context.store.backend
        failed = self._failed = await self._read_failures() if self._failed is None else self._failed
        after = CopyCheckpoint.from_json(context.checkpoint).encoded or backend.lowest_id
        from_start, missing_ids, inserted = after == backend.lowest_id, set[str](), 0
        while True:
            context.check()
            params = {"after_id": after, "limit": BATCH_TEXTS}
            rows = await context.with_retries(partial(backend.fetch, "list_without_embedding", params)) or ()
            batch = [_TextToEmbed.of(row) for row in rows]
            missing_ids |= {text.id for text in batch}
            after = batch[-1].id if batch else after
            if fresh := [text for text in batch if text.id not in failed or failed[text.id] != text.content_hash]:
                inserted += await self._encode(fresh, after, failed)
            if len(batch) < BATCH_TEXTS:
                break
        # The next pass starts from the first memory again.
        context.amend(replace(CopyCheckpoint.from_json(context.checkpoint), encoded=None))
        if from_start and (resolved := failed.keys() - missing_ids):
            await self._forget_resolved(resolved, failed)
        return inserted

    async def _read_failures(self) -> dict[str, int | None]:
        """Return the failed memories of an earlier attempt, without hashes of their texts."""
        failed: dict[str, int | None] = {}
        context, after = self._context, None
        failed_count = context.meter.tables.get(TABLE, TableProgress()).failed
        while failed_count:
            page = await context.with_retries(
                partial(context.ledger.findings, context.job_id, FINDINGS_PAGE_ROWS, after)
            )
            failed |= {each.source_key: None for each in page.items if _is_failure(each)}
            if (after := page.next) is None:
                break
        return failed

    async def _encode(self, texts: Sequence[_TextToEmbed], after: str, failed: dict[str, int | None]) -> int:
        """Encode texts and write vectors and findings; ``after`` is the checkpoint for another attempt."""
        encoders = self._encoders = self._encoders or await self._begin(len(failed))
        part_size = -(-len(texts) // encoders.count)
        shortened_texts = [shortened(text.content) for text in texts]
        parts = [shortened_texts[start : start + part_size] for start in range(0, len(texts), part_size)]
        encoded = [each for part in await asyncio.gather(*map(encoders.encode, parts)) for each in part]
        checkpoint = replace(CopyCheckpoint.from_json(self._context.checkpoint), encoded=after)
        inserted = await self._context.step(partial(self._write, texts, encoded, failed), checkpoint)
        for text, vector in zip(texts, encoded, strict=True):
            if isinstance(vector, str):
                failed[text.id] = text.content_hash
            else:
                failed.pop(text.id, None)
        return inserted

    async def _begin(self, failed: int) -> Encoders:
        """Start the encoders and set the phase; skipped where all missing vectors have failed before."""
        context = self._context
        missing = Filter(superseded=True, states=("without-vector",))
        missing_count = await context.with_retries(partial(context.store.memories.count, missing)) or 0
        before = context.meter.tables.get(TABLE, TableProgress())
        context.meter.tables[TABLE] = replace(before, total=before.read + max(0, missing_count - failed))
        context.meter.begin(ENCODING)
        await context.phase("computing vectors")
        return Encoders(self._model, texts=missing_count, any_build=True)

    async def _write(
        self,
        texts: Sequence[_TextToEmbed],
        encoded: Sequence[Encoded],
        failed: dict[str, int | None],
        transaction: Transaction,
    ) -> int:
        rows = [
            {
                "id": text.id,
                "content": text.content,
                "embedding": vector,
                "model": self._model.name,
                "dimension": self._model.dimension,
            }
            for text, vector in zip(texts, encoded, strict=True)
            if not isinstance(vector, str)
        ]
        findings = [
            JobFinding(TABLE, "failed", text.id, sentence(reason))
            for text, reason in zip(texts, encoded, strict=True)
            if isinstance(reason, str) and text.id not in failed
        ]
        inserted = await transaction.execute_many("insert_embedding_if_current", rows)
        await self._withdraw(transaction, [str(each["id"]) for each in rows if each["id"] in failed])
        await self._context.ledger.add_findings(transaction, self._context.job_id, findings)
        # A memory edited meanwhile comes again; one that got its vector from another process counts as present.
        self._context.meter.add(
            TABLE,
            read=len(rows) + len(findings),
            inserted=inserted,
            present=len(rows) - inserted,
            failed=len(findings),
        )
        table = self._context.meter.tables[TABLE]
        self._context.meter.reach(ENCODING, table.read / table.total if table.total else 1.0)
        return inserted

    async def _withdraw(self, transaction: Transaction, ids: Collection[str]) -> None:
        """Withdraw the findings of memories and their counts as failed and read."""
        findings = [JobFinding(TABLE, "failed", each, "") for each in ids]
        await self._context.ledger.withdraw_findings(transaction, self._context.job_id, findings)
        self._context.meter.add(TABLE, read=-len(findings), failed=-len(findings))

    async def _forget_resolved(self, ids: Collection[str], failed: dict[str, int | None]) -> None:
        """Clear failed memories that are deleted or have a vector by now."""

        async def withdraw(transaction: Transaction) -> None:
            await self._withdraw(transaction, ids)

        await self._context.step(withdraw)
        for each in ids:
            del failed[each]


def _is_failure(finding: JobFinding) -> bool:
    return finding.subject == TABLE and finding.outcome == "failed"
