"""Receivers of the progress and the findings of a comparison: the ledger, or the terminal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

from vestige_tui.core.jobs import JobFinding
from vestige_tui.transfer.differences import DIFFERENCES, LISTED_ROWS

if TYPE_CHECKING:
    from vestige_tui.core.jobs import FindingKind
    from vestige_tui.jobs.context import JobContext, Meter
    from vestige_tui.store.backends.protocol import Transaction

T = TypeVar("T")
_Identity: TypeAlias = "tuple[str, FindingKind, str]"


class Reporter(Protocol):
    """Receiver of the progress and findings of a comparison."""

    meter: Meter

    async def note(self, table: str, counts: Mapping[str, int], findings: Sequence[JobFinding]) -> None:
        """Count the results and add the findings."""
        ...

    async def with_retries(self, work: Callable[[], Awaitable[T]]) -> T: ...


class LedgerReporter:
    """Reporter of a job, which writes to the ledger."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self.meter = context.meter

    async def note(self, table: str, counts: Mapping[str, int], findings: Sequence[JobFinding]) -> None:
        async def count(transaction: Transaction) -> None:
            self.meter.add(table, **counts)
            await self._context.ledger.add_findings(transaction, self._context.job_id, findings)

        await self._context.step(count)

    async def with_retries(self, work: Callable[[], Awaitable[T]]) -> T:
        return await self._context.with_retries(work)


class StdoutReporter:
    """Reporter of a comparison in the foreground, for a target that cannot be written."""

    def __init__(self, meter: Meter, tell: Callable[[Meter], None]) -> None:
        self.meter = meter
        self.findings: list[JobFinding] = []
        self._tell = tell

    async def note(self, table: str, counts: Mapping[str, int], findings: Sequence[JobFinding]) -> None:
        self.meter.add(table, **counts)
        self.findings += findings
        self._tell(self.meter)

    async def with_retries(self, work: Callable[[], Awaitable[T]]) -> T:
        return await work()


class NewDifferenceReporter(LedgerReporter):
    """Reporter of the comparison at the end of a copy: lists only new differences and withdraws resolved ones."""

    def __init__(self, context: JobContext, reported: Set[_Identity]) -> None:
        super().__init__(context)
        self._reported = reported
        self._current: set[_Identity] = set()

    @classmethod
    async def begin(cls, context: JobContext) -> NewDifferenceReporter:
        """Load the differences that this attempt and those that it continues have reported."""
        reported: set[_Identity] = set()
        after: str | None = ""
        while after is not None:
            page = await context.with_retries(
                partial(context.ledger.findings, context.job_id, LISTED_ROWS, after or None)
            )
            reported |= {_identity_of(each) for each in page.items if each.outcome in DIFFERENCES}
            after = page.next
        return cls(context, reported)

    async def note(self, table: str, counts: Mapping[str, int], findings: Sequence[JobFinding]) -> None:
        self._current |= {_identity_of(each) for each in findings}
        await super().note(table, counts, [each for each in findings if _identity_of(each) not in self._reported])

    async def end(self) -> None:
        """Withdraw the findings about rows that differ no longer."""
        # Beyond the limit of listed rows, a missing finding does not prove that a row is equal.
        complete_tables = {
            name for name, each in self.meter.tables.items() if each.differ + each.only_source <= LISTED_ROWS
        }
        resolved = [JobFinding(*each, "") for each in self._reported - self._current if each[0] in complete_tables]

        async def withdraw(transaction: Transaction) -> None:
            await self._context.ledger.withdraw_findings(transaction, self._context.job_id, resolved)

        if resolved:
            await self._context.step(withdraw)


def _identity_of(finding: JobFinding) -> _Identity:
    """Return the identity of a finding within a copy."""
    return finding.subject, finding.outcome, finding.source_key
