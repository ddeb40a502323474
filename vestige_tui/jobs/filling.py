"""The vectors that a copy made no use of the source's for: encoded here, for whatever memory of the target has none."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from vestige_tui.jobs.encoders import Encoders, shortened
from vestige_tui.jobs.repair import sentence
from vestige_tui.model import Filter, JobFinding, TableProgress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vestige_tui.jobs.encoders import Encoded
    from vestige_tui.jobs.running import Running
    from vestige_tui.model import ModelSignature
    from vestige_tui.store.backend import Row, Transaction

TABLE = "embedding"
BATCH = 32


async def fill(running: Running, model: ModelSignature) -> int:
    """Make the missing vectors, batch by batch; gives how many. One that failed before is not tried again.

    Raises EmbedderUnavailable.
    """
    lacking = await running.patiently(partial(running.store.count, Filter(superseded=True, without_embedding=True)))
    before = running.meter.tables.get(TABLE, TableProgress())
    if not lacking or lacking == before.failed:
        return 0
    running.meter.tables[TABLE] = replace(before, total=before.read + lacking - before.failed)
    await running.phase("making vectors")
    filling = _Filling(running, model, Encoders(model, texts=lacking, any_build=True))
    try:
        return await filling.run()
    finally:
        filling.close()


class _Filling:
    def __init__(self, running: Running, model: ModelSignature, encoders: Encoders) -> None:
        self._running = running
        self._model = model
        self._encoders = encoders

    def close(self) -> None:
        self._encoders.close()

    async def run(self) -> int:
        backend, made = self._running.store.backend, 0
        after = str(self._running.checkpoint.get("encoded", backend.lowest_id))
        while True:
            self._running.check()
            asked = {"after_id": after, "limit": BATCH}
            batch = await self._running.patiently(partial(backend.fetch, "list_without_embedding", asked))
            if not batch:
                # The next time all of them are looked at again.
                self._running.checkpoint["encoded"] = backend.lowest_id
                return made
            texts = [shortened(str(row["content"])) for row in batch]
            share = -(-len(texts) // self._encoders.count)
            parts = [texts[start : start + share] for start in range(0, len(texts), share)]
            encoded = [each for part in await asyncio.gather(*map(self._encoders.encode, parts)) for each in part]
            after = str(batch[-1]["id"])
            made += await self._running.step(partial(self._write, batch, encoded), {"encoded": after})

    async def _write(self, batch: Sequence[Row], encoded: Sequence[Encoded], transaction: Transaction) -> int:
        made = [
            {
                "id": str(row["id"]),
                "content": str(row["content"]),
                "embedding": vector,
                "model": self._model.name,
                "dimension": self._model.dimension,
            }
            for row, vector in zip(batch, encoded, strict=True)
            if not isinstance(vector, str)
        ]
        findings = [
            JobFinding(TABLE, "failed", str(row["id"]), sentence(reason))
            for row, reason in zip(batch, encoded, strict=True)
            if isinstance(reason, str)
        ]
        inserted = await transaction.execute_many("insert_embedding_if_current", made)
        await self._running.ledger.add_findings(transaction, self._running.job_id, findings)
        # A memory that was edited meanwhile is met again; one that got its vector from somebody else was present.
        self._running.meter.add(
            TABLE, read=len(batch), inserted=inserted, present=len(made) - inserted, failed=len(findings)
        )
        return inserted
