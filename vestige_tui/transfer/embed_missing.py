"""The vectors that a copy made no use of the source's for: encoded here, for whatever memory of the target has none."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from vestige_tui.core.jobs import JobFinding, TableProgress
from vestige_tui.core.memories import Filter
from vestige_tui.embedding.encoder_pool import Encoders, shortened
from vestige_tui.transfer.sanitize import sentence
from vestige_tui.transfer.sync_state import hashed

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from vestige_tui.core.embeddings import ModelSignature
    from vestige_tui.embedding.encoder_pool import Encoded
    from vestige_tui.jobs.context import JobContext
    from vestige_tui.store.backends.protocol import Row, Transaction

TABLE = "embedding"
BATCH = 32
FINDINGS = 1_000


@dataclass(frozen=True, slots=True)
class _Text:
    """A text to encode, and the mark by which it is known later whether it is still the same."""

    id: str
    content: str = field(repr=False)
    mark: int

    @classmethod
    def of(cls, row: Row) -> _Text:
        content = str(row["content"])
        return cls(str(row["id"]), content, hashed(content.encode()))


class MissingEmbedder:
    """Looks for memories without a vector, one after the other; remembers which texts could not be encoded."""

    def __init__(self, running: JobContext, model: ModelSignature) -> None:
        self._running = running
        self._model = model
        self._encoders: Encoders | None = None
        self._failed: dict[str, int | None] | None = None
        """The memories of those texts, with the marks of the texts where they are known; None before it was asked."""

    async def once(self) -> int:
        """Make the missing vectors, batch by batch; gives how many. A text that failed is not tried again.

        Raises EmbedderUnavailable.
        """
        try:
            return await self._look()
        finally:
            if self._encoders is not None:
                self._encoders.close()
                self._encoders = None

    async def _look(self) -> int:
        running, backend = self._running, self._running.store.backend
        failed = self._failed = await self._read_failures() if self._failed is None else self._failed
        after = str(running.checkpoint.get("encoded", backend.lowest_id))
        whole, met, made = after == backend.lowest_id, set[str](), 0
        while True:
            running.check()
            asked = {"after_id": after, "limit": BATCH}
            listed = await running.with_retries(partial(backend.fetch, "list_without_embedding", asked)) or ()
            batch = [_Text.of(row) for row in listed]
            met |= {text.id for text in batch}
            after = batch[-1].id if batch else after
            if fresh := [text for text in batch if text.id not in failed or failed[text.id] != text.mark]:
                made += await self._make(fresh, after, failed)
            if len(batch) < BATCH:
                break
        # The next time all of them are looked at again.
        running.checkpoint["encoded"] = backend.lowest_id
        if whole and (settled := failed.keys() - met):
            await self._settle(settled, failed)
        return made

    async def _read_failures(self) -> dict[str, int | None]:
        """What an earlier attempt could not encode; the texts of then are not known."""
        failed: dict[str, int | None] = {}
        running, after = self._running, None
        counted = running.meter.tables.get(TABLE, TableProgress()).failed
        while counted:
            found = await running.with_retries(partial(running.ledger.findings, running.job_id, FINDINGS, after))
            if found is None:
                break
            failed |= {each.source_key: None for each in found.items if _is_failure(each)}
            if (after := found.next) is None:
                break
        return failed

    async def _make(self, texts: Sequence[_Text], after: str, failed: dict[str, int | None]) -> int:
        """Encode texts and write what came of it; ``after``: from where another attempt goes on."""
        encoders = self._encoders = self._encoders or await self._begin(len(failed))
        share = -(-len(texts) // encoders.count)
        shortest = [shortened(text.content) for text in texts]
        parts = [shortest[start : start + share] for start in range(0, len(texts), share)]
        encoded = [each for part in await asyncio.gather(*map(encoders.encode, parts)) for each in part]
        inserted = await self._running.step(partial(self._write, texts, encoded, failed), {"encoded": after})
        for text, vector in zip(texts, encoded, strict=True):
            if isinstance(vector, str):
                failed[text.id] = text.mark
            else:
                failed.pop(text.id, None)
        return inserted

    async def _begin(self, failed: int) -> Encoders:
        """Say what is done now; nothing of this is done where all that is missing has failed."""
        running = self._running
        missing = Filter(superseded=True, without_embedding=True)
        lacking = await running.with_retries(partial(running.store.count, missing)) or 0
        before = running.meter.tables.get(TABLE, TableProgress())
        running.meter.tables[TABLE] = replace(before, total=before.read + max(0, lacking - failed))
        await running.phase("making vectors")
        return Encoders(self._model, texts=lacking, any_build=True)

    async def _write(
        self,
        texts: Sequence[_Text],
        encoded: Sequence[Encoded],
        failed: dict[str, int | None],
        transaction: Transaction,
    ) -> int:
        made = [
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
        inserted = await transaction.execute_many("insert_embedding_if_current", made)
        await self._withdraw(transaction, [str(each["id"]) for each in made if each["id"] in failed])
        await self._running.ledger.add_findings(transaction, self._running.job_id, findings)
        # A memory that was edited meanwhile is met again; one that got its vector from somebody else was present.
        self._running.meter.add(
            TABLE,
            read=len(made) + len(findings),
            inserted=inserted,
            present=len(made) - inserted,
            failed=len(findings),
        )
        return inserted

    async def _withdraw(self, transaction: Transaction, ids: Collection[str]) -> None:
        """Count some memories as failed no more, nor as read."""
        findings = [JobFinding(TABLE, "failed", each, "") for each in ids]
        await self._running.ledger.withdraw_findings(transaction, self._running.job_id, findings)
        self._running.meter.add(TABLE, read=-len(findings), failed=-len(findings))

    async def _settle(self, ids: Collection[str], failed: dict[str, int | None]) -> None:
        """Forget memories that failed, and are gone or have a vector by now."""

        async def withdraw(transaction: Transaction) -> None:
            await self._withdraw(transaction, ids)

        await self._running.step(withdraw)
        for each in ids:
            del failed[each]


def _is_failure(finding: JobFinding) -> bool:
    return finding.subject == TABLE and finding.outcome == "failed"
