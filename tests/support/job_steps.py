"""Hooks into the steps of jobs that run in this process: a step is one transaction with its checkpoint."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from vestige_tui.jobs.context import JobContext

if TYPE_CHECKING:
    import pytest

    from vestige_tui.jobs.checkpoints import Checkpoint
    from vestige_tui.store.backends.protocol import Transaction


@dataclass(frozen=True, slots=True)
class Step:
    """Step of a job with the stored form of its checkpoint, and the names of the fields that it changes."""

    context: JobContext
    checkpoint: Mapping[str, Any]
    changed: frozenset[str]

    @classmethod
    def of(cls, context: JobContext, checkpoint: Checkpoint | None) -> Step:
        before = context.checkpoint
        after = before if checkpoint is None else checkpoint.to_json()
        missing = object()
        return cls(context, after, frozenset(name for name in after if before.get(name, missing) != after[name]))

    @property
    def phase(self) -> str:
        return self.context.meter.phase

    def writes_rows(self, table: str) -> bool:
        """Check whether this step of a copy writes rows of a table."""
        return self.phase == f"copying {table}" and self.checkpoint.get("table") == table and "after" in self.changed

    @property
    def ends_the_rows(self) -> bool:
        """Check whether this step of a copy is the one after all tables were read."""
        return "table" in self.changed and self.checkpoint["table"] == ""

    @property
    def writes_vectors(self) -> bool:
        """Check whether this step of a re-embedding writes vectors in its first pass."""
        return self.phase == "computing vectors" and "after" in self.changed


Hook: TypeAlias = Callable[[Step], Awaitable[None]]


def hook_steps(
    patch: pytest.MonkeyPatch,
    *,
    before: Hook | None = None,
    within: Hook | None = None,
    after: Hook | None = None,
) -> None:
    """Call hooks before the steps of every job, at each try within their transactions, and after their commits."""
    run_step = JobContext.step

    async def hooked(
        self: JobContext,
        work: Callable[[Transaction], Awaitable[Any]],
        checkpoint: Checkpoint | None = None,
    ) -> Any:
        step = Step.of(self, checkpoint)

        async def tried(transaction: Transaction) -> Any:
            if within is not None:
                await within(step)
            return await work(transaction)

        if before is not None:
            await before(step)
        result = await run_step(self, tried, checkpoint)
        if after is not None:
            await after(step)
        return result

    patch.setattr(JobContext, "step", hooked)
