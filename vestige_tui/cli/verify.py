"""``migrate verify``: compare every row of two stores, print the differences, and with --repair copy them."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from vestige_tui.cli.consent import confirmed, refuse_unasked
from vestige_tui.cli.job_options import print_plan, source_and_target
from vestige_tui.cli.job_wait import started_job
from vestige_tui.cli.jobs import FAILED_ROWS_STATUS, print_findings
from vestige_tui.cli.output import Output, ProgressLine
from vestige_tui.core.errors import ReadOnly, Usage
from vestige_tui.core.text import grouped
from vestige_tui.presenters import json_shapes
from vestige_tui.presenters.job_outcome import comparison_result, end_sentence
from vestige_tui.presenters.job_progress import DIFFERENCES, count_name, quantity, sum_in_words

if TYPE_CHECKING:
    from vestige_tui.core.jobs import JobFinding, TableProgress
    from vestige_tui.jobs.context import Meter
    from vestige_tui.jobs.ledger import Ledger
    from vestige_tui.jobs.start import JobRequest

DIFFERENT_STATUS = 1
REPAIR_VERBS = ("inserted", "updated", "deleted", "failed")
PAGE_ROWS = 1_000


def comparison_request(args: Namespace) -> JobRequest:
    """Return the request of a comparison, with source and target as for a copy."""
    from vestige_tui.jobs.start import JobRequest

    # A repair retries rows that an earlier copy rejected.
    return JobRequest(
        "verify", *source_and_target(args, "A comparison", "compare with"), {"strict": True} if args.repair else {}
    )


async def verify(args: Namespace, output: Output) -> int:
    """Run ``migrate verify``; return the exit status."""
    from vestige_tui.jobs.start import dry_run

    request = comparison_request(args)
    _refuse_contradictions(args)
    if args.repair:
        return await _repair(args, output, request)
    if args.dry_run:
        return print_plan(output, await dry_run(request))
    result = await _compare(args, output, request)
    return result if isinstance(result, int) else result.print(output)


def _refuse_contradictions(args: Namespace) -> None:
    if args.delete and not args.repair:
        raise Usage("--delete works only with --repair.")
    if args.repair and args.detach:
        raise Usage("--repair asks before it changes anything, so it cannot be combined with --detach.")


@dataclass(frozen=True, slots=True)
class _Comparison:
    """Result of a comparison."""

    tables: Mapping[str, TableProgress]
    findings: Sequence[JobFinding]
    repair_counts: Mapping[str, int] | None = None
    """Counts of a repair before it, by verb."""

    @property
    def status(self) -> int:
        from vestige_tui.transfer.differences import equal

        return 0 if equal(self.tables) else DIFFERENT_STATUS

    def print(self, output: Output) -> int:
        """Print the result; return the exit status."""
        _print_comparison(output, self)
        return self.status


async def _compare(args: Namespace, output: Output, request: JobRequest) -> _Comparison | int:
    """Compare; if there is no result, report why and return the exit status."""
    from vestige_tui.jobs.ledger import Ledger

    try:
        if args.read_only:
            if args.detach:
                raise ReadOnly("--detach needs a job, and --read-only prevents recording one; remove one of the two.")
            raise ReadOnly("Because of --read-only, this comparison is not recorded as a job.")
        async with started_job(request, output, "compared", detach=args.detach) as handle:
            job = handle.job
            findings = await _all_findings(Ledger(handle.store), job.id) if job.status == "completed" else []
    except ReadOnly as reason:
        if args.detach:
            raise
        output.note(f"{reason.message} This command compares the stores itself.")
        return await _compare_in_process(request, output)
    # With --detach the answer is the job, also where the worker was quicker than this command.
    if job.status == "completed" and not args.detach:
        return _Comparison(job.progress.tables, findings)
    if output.as_json:
        output.document({"job": json_shapes.job(job, datetime.now(UTC), [])})
    elif not job.in_flight and not handle.interrupted:
        output.note(end_sentence(job).text)
    return handle.status


async def _repair(args: Namespace, output: Output, request: JobRequest) -> int:
    """Compare, print the differences, ask, and write them to the target; return the exit status."""
    from vestige_tui.jobs.ledger import Ledger
    from vestige_tui.jobs.start import JobRequest, check

    repair = JobRequest("repair", request.source, request.target, {"delete": args.delete})
    if not args.dry_run:
        if args.read_only:
            raise ReadOnly("A repair writes to the target; remove --read-only.")
        refuse_unasked(args, "This would overwrite rows in the target")
    await check(repair, dry=args.dry_run)
    comparison = await _compare(args, output, request)
    if isinstance(comparison, int):
        return comparison
    plan = _RepairPlan.of(comparison.tables, delete=args.delete)
    if args.dry_run or not plan.changes:
        status = comparison.print(output)
        _print_kept_rows(output, plan)
        return status
    if not output.as_json:
        comparison.print(output)
    _print_kept_rows(output, plan)
    if not await confirmed(args, f"{plan.question()}?"):
        return DIFFERENT_STATUS
    async with started_job(repair, output, "repaired", detach=False) as handle:
        job = handle.job
        findings = await _all_findings(Ledger(handle.store), job.id) if job.status == "completed" else []
    if job.status != "completed":
        if output.as_json:
            output.document({"job": json_shapes.job(job, datetime.now(UTC), [])})
        elif not job.in_flight and not handle.interrupted:
            output.note(end_sentence(job).text)
        return handle.status
    sums = {verb: sum(getattr(each, verb) for each in job.progress.tables.values()) for verb in REPAIR_VERBS}
    # Uncopyable rows are listed, but do not fail the repair.
    sums["failed"] -= sum(each.failed for each in comparison.tables.values())
    return _Comparison(job.progress.tables, findings, sums).print(output) or (
        FAILED_ROWS_STATUS if sums["failed"] > 0 else 0
    )


@dataclass(frozen=True, slots=True)
class _RepairPlan:
    """Row counts of a planned repair."""

    insert: int
    update: int
    delete: int
    kept: int
    """Rows that only the target has and that are kept."""

    @classmethod
    def of(cls, tables: Mapping[str, TableProgress], *, delete: bool) -> _RepairPlan:
        only_target = sum(each.only_target for each in tables.values())
        return cls(
            sum(each.only_source for each in tables.values()),
            sum(each.differ for each in tables.values()),
            only_target if delete else 0,
            0 if delete else only_target,
        )

    @property
    def changes(self) -> int:
        """Number of rows of the target that would change."""
        return self.insert + self.update + self.delete

    def question(self) -> str:
        """Return the plan as a question, without its question mark."""
        parts = [
            f"{verb} {quantity(count, 'row')}"
            for verb, count in (("insert", self.insert), ("overwrite", self.update), ("delete", self.delete))
            if count
        ]
        sentence = " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
        return f"{sentence[:1].upper()}{sentence[1:]} in the target"


def _print_kept_rows(output: Output, plan: _RepairPlan) -> None:
    if plan.kept:
        rows = (
            "row exists only in the target and is kept"
            if plan.kept == 1
            else "rows exist only in the target and are kept"
        )
        output.note(f"{grouped(plan.kept)} {rows}; --repair --delete deletes {'it' if plan.kept == 1 else 'them'}.")


async def _all_findings(ledger: Ledger, job_id: str) -> list[JobFinding]:
    findings: list[JobFinding] = []
    after: str | None = ""
    while after is not None:
        page = await ledger.findings(job_id, PAGE_ROWS, after or None)
        findings += page.items
        after = page.next
    return findings


async def _compare_in_process(request: JobRequest, output: Output) -> _Comparison:
    """Compare in this process, without a job in the ledger."""
    import asyncio

    from vestige_tui.jobs.context import Meter
    from vestige_tui.store.open import open_store
    from vestige_tui.transfer.comparison_reporters import StdoutReporter
    from vestige_tui.transfer.open import open_source
    from vestige_tui.transfer.verify import prepare

    progress = output.progress("compared")
    source = await asyncio.to_thread(open_source, request.source)
    try:
        async with open_store(request.target, read_only=True, max_connections=2) as store:
            report = StdoutReporter(Meter(), lambda meter: _show_progress(progress, meter))
            await (await prepare(source, store, report)).run()
    finally:
        progress.end()
        source.close()
    return _Comparison(report.meter.tables, report.findings)


def _show_progress(progress: ProgressLine, meter: Meter) -> None:
    progress.show(meter.phase, sum(table.read for table in meter.tables.values()))


def _print_comparison(output: Output, comparison: _Comparison) -> None:
    from vestige_tui.transfer.differences import DIFFERENCES as DIFFERENT_OUTCOMES
    from vestige_tui.transfer.differences import equal

    tables, repair_counts = comparison.tables, comparison.repair_counts
    if output.as_json:
        output.document(
            {
                "equal": equal(tables),
                "tables": {name: _table_document(table) for name, table in tables.items()},
                "differences": [
                    {"table": each.subject, "kind": each.outcome, "row": each.source_key, "reason": each.reason}
                    for each in comparison.findings
                    if each.outcome in DIFFERENT_OUTCOMES
                ],
                **({} if repair_counts is None else {"repaired": repair_counts}),
            }
        )
        return
    counts = ("read", *DIFFERENCES, "failed")
    rows = [
        (name, *(grouped(getattr(each, count)) for count in counts))
        for name, each in tables.items()
        if each.read or each.only_target
    ]
    output.table(rows, flexible=0, header=("table", *map(count_name, counts)), right=range(1, 6))
    if comparison.findings:
        output.line()
        # Differences come before uncopyable rows.
        print_findings(output, sorted(comparison.findings, key=lambda each: each.outcome not in DIFFERENT_OUTCOMES))
    if repair_counts is not None:
        output.line(f"Repaired: {', '.join(sum_in_words(count, verb) for verb, count in repair_counts.items())}.")
    output.line(comparison_result(tables).text)


def _table_document(table: TableProgress) -> dict[str, Any]:
    return {
        "compared": table.read,
        "differ": table.differ,
        "only_source": table.only_source,
        "only_target": table.only_target,
    }
