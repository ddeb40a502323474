"""State that the steps of one re-embedding share: its kind, its model, its checkpoint, and the failures so far."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from vestige_tui.core.embeddings import MAX_VECTOR_DIMENSIONS
from vestige_tui.core.errors import Conflict
from vestige_tui.core.jobs import JobFinding, TableProgress
from vestige_tui.reembed.checkpoint import ReembedCheckpoint
from vestige_tui.reembed.spare_vectors import equal, model_of
from vestige_tui.store.schema import rows
from vestige_tui.store.schema.named_sql import compose

if TYPE_CHECKING:
    from vestige_tui.jobs.context import JobContext
    from vestige_tui.store.backends.protocol import Row, Transaction

TABLE = "memories"

Kind: TypeAlias = Literal["reembed", "in_place", "rollback"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class VectorTable:
    """Queries for one table of vectors: count and list the memories that lack one, and hold its model."""

    count: str
    listing: str
    hold: str


SPARE = VectorTable("count_without_spare", "list_without_spare", "hold_spare")
OWN = VectorTable("count_without_vector", "list_without_vector", "hold_model")


class Attempt:
    """One attempt of a re-embedding."""

    def __init__(self, context: JobContext) -> None:
        options = context.options
        self.context = context
        self.backend = context.store.backend
        self.model = model_of(options)
        self.kind: Kind = (
            "rollback" if options.get("rollback") else "in_place" if options.get("in_place") else "reembed"
        )
        self.failed: dict[str, bytes | None] = {}
        """Memories whose texts could not be encoded, with the marks of those texts if known."""
        self.findings: list[JobFinding] = []
        """Findings of earlier attempts."""
        self._start = time.monotonic()
        self._earlier_seconds = self.checkpoint.seconds

    @property
    def seconds(self) -> float:
        """Seconds of work on this job, in all its attempts."""
        return self._earlier_seconds + time.monotonic() - self._start

    @property
    def half(self) -> bool:
        """True if the model's vectors are too wide for single precision in an index."""
        return self.model.dimension > MAX_VECTOR_DIMENSIONS

    @property
    def checkpoint(self) -> ReembedCheckpoint:
        return ReembedCheckpoint.from_json(self.context.checkpoint)

    @property
    def progress(self) -> TableProgress:
        """Counts of the memories so far."""
        return self.context.meter.tables.get(TABLE, TableProgress())

    async def step(self, work: Callable[[Transaction], Awaitable[T]], checkpoint: ReembedCheckpoint | None = None) -> T:
        """Run a step of the job, with the seconds of work in its checkpoint."""
        return await self.context.step(work, self._timed(checkpoint))

    async def save(self, checkpoint: ReembedCheckpoint | None = None) -> None:
        """Store progress and checkpoint, without other work."""
        await self.context.save(self._timed(checkpoint))

    def _timed(self, checkpoint: ReembedCheckpoint | None) -> ReembedCheckpoint:
        return replace(checkpoint or self.checkpoint, seconds=round(self.seconds, 3))

    async def ask(self, name: str, params: Mapping[str, Any] | None = None) -> Sequence[Row]:
        """Read, with retries while the database does not answer."""
        return await self.context.with_retries(lambda: self.backend.fetch(name, params)) or []

    async def read_findings(self) -> None:
        """Read the findings of earlier attempts."""
        after: str | None = None
        while True:
            page = await self.context.ledger.findings(self.context.job_id, 1_000, after)
            self.findings += page.items
            self.failed.update({each.source_key: None for each in page.items if each.outcome == "failed"})
            if (after := page.next) is None:
                return

    async def hold(self, transaction: Transaction, table: VectorTable) -> None:
        """Lock the model that the vectors to write belong to. Raises Conflict if it is not this job's."""
        records = await transaction.fetch(table.hold)
        role = {"rollback": "kept", "reembed": "building"}.get(self.kind)
        if not records or not equal(rows.model(records[0]), self.model) or records[0].get("role", role) != role:
            raise Conflict(
                f"Another program deleted the vectors of {self.model.name} or changed the store's model; start again."
            )

    async def run_typed(self, transaction: Transaction, name: str) -> None:
        """Run a statement with the vector type of this job's model, which need not be the store's."""
        if self.backend.capabilities.typed_vectors:
            text = self.backend.indexed(compose("postgres", name))
            text = text.replace("{vector}", "halfvec" if self.half else "vector")
            await transaction.script(text.replace("{width}", str(self.model.dimension)))
