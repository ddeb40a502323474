"""``migrate verify``: compare every row of two stores, say where they differ, and with --repair bring what does."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from vestige_tui.cli.consent import confirmed, refuse_unasked
from vestige_tui.cli.job_options import ends, tell_plan
from vestige_tui.cli.job_wait import begun
from vestige_tui.cli.jobs import FAILED_ROWS, tell_findings
from vestige_tui.cli.output import Output, Progress
from vestige_tui.core.errors import ReadOnly, Usage
from vestige_tui.core.text import grouped
from vestige_tui.presenters import json_shapes
from vestige_tui.presenters.shell_jobs import named, trouble

if TYPE_CHECKING:
    from vestige_tui.core.jobs import JobFinding, TableProgress
    from vestige_tui.jobs.context import Meter
    from vestige_tui.jobs.ledger import Ledger
    from vestige_tui.jobs.start import JobRequest

DIFFERENT = 1
COUNTS = ("differ", "only_source", "only_target")
REPAIRED = ("inserted", "updated", "deleted", "failed")
PAGE = 1_000


def work_of(args: Namespace) -> JobRequest:
    """What is to be compared: the source and the target as for a copy."""
    from vestige_tui.jobs.start import JobRequest

    # A repair tries once more what an earlier copy could not bring.
    return JobRequest("verify", *ends(args, "A comparison", "compare with"), {"strict": True} if args.repair else {})


async def verify(args: Namespace, output: Output) -> int:
    """``migrate verify``."""
    from vestige_tui.jobs.start import dry_run

    work = work_of(args)
    _refuse_contradictions(args)
    if args.repair:
        return await _repair(args, output, work)
    if args.dry_run:
        return tell_plan(output, await dry_run(work))
    compared = await _compared(args, output, work)
    return compared if isinstance(compared, int) else compared.tell(output)


def _refuse_contradictions(args: Namespace) -> None:
    if args.delete and not args.repair:
        raise Usage("--delete goes with --repair.")
    if args.repair and args.detach:
        raise Usage("A repair shows first what it would change: leave --detach out.")


@dataclass(frozen=True, slots=True)
class _Compared:
    """What a comparison came to."""

    tables: Mapping[str, TableProgress]
    listed: Sequence[JobFinding]
    repaired: Mapping[str, int] | None = None
    """What a repair did before it."""

    @property
    def status(self) -> int:
        from vestige_tui.transfer.verify import equal

        return 0 if equal(self.tables) else DIFFERENT

    def tell(self, output: Output) -> int:
        """Show it; gives the exit status."""
        _tell(output, self)
        return self.status


async def _compared(args: Namespace, output: Output, work: JobRequest) -> _Compared | int:
    """Compare; gives the exit status where it came to nothing, which has then been told."""
    from vestige_tui.jobs.ledger import Ledger

    try:
        if args.read_only:
            raise ReadOnly("With --read-only no job is noted.")
        async with begun(work, output, "compared", detach=args.detach) as ended:
            job = ended.job
            listed = await _all_findings(Ledger(ended.store), job.id) if job.status == "completed" else []
    except ReadOnly as reason:
        if args.detach:
            raise
        output.note(f"{reason.message} This command compares the two itself.")
        return await _here(work, output)
    if job.status == "completed":
        return _Compared(job.progress.tables, listed)
    if output.as_json:
        output.document({"job": json_shapes.job(job, datetime.now(UTC), [])})
    elif not job.in_flight and not ended.interrupted:
        output.note(f"The comparison did not come to its end: {trouble(job) or 'it was cancelled.'}")
    return ended.status


async def _repair(args: Namespace, output: Output, work: JobRequest) -> int:
    """Compare, show what differs, ask, and bring it into the target."""
    from vestige_tui.jobs.ledger import Ledger
    from vestige_tui.jobs.start import JobRequest, check

    repair = JobRequest("repair", work.source, work.target, {"delete": args.delete})
    if not args.dry_run:
        if args.read_only:
            raise ReadOnly("A repair writes the target: leave --read-only out.")
        refuse_unasked(args, "This would overwrite rows of the target")
    await check(repair)
    compared = await _compared(args, output, work)
    if isinstance(compared, int):
        return compared
    plan = _Plan.of(compared.tables, delete=args.delete)
    if args.dry_run or not plan.changes:
        status = compared.tell(output)
        _say_plan(output, plan)
        return status
    if not output.as_json:
        compared.tell(output)
    _say_plan(output, plan)
    if not await confirmed(args, f"{plan.question()}?"):
        return DIFFERENT
    async with begun(repair, output, "repaired", detach=False) as ended:
        job = ended.job
        listed = await _all_findings(Ledger(ended.store), job.id) if job.status == "completed" else []
    if job.status != "completed":
        if output.as_json:
            output.document({"job": json_shapes.job(job, datetime.now(UTC), [])})
        elif not job.in_flight and not ended.interrupted:
            output.note(f"The repair did not come to its end: {trouble(job) or 'it was cancelled.'}")
        return ended.status
    sums = {verb: sum(getattr(each, verb) for each in job.progress.tables.values()) for verb in REPAIRED}
    # Rows that no copy can bring are named, and no failure of the repair.
    sums["failed"] -= sum(each.failed for each in compared.tables.values())
    return _Compared(job.progress.tables, listed, sums).tell(output) or (FAILED_ROWS if sums["failed"] > 0 else 0)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a repair would do."""

    insert: int
    update: int
    delete: int
    stays: int
    """Rows that only the target has, and that are not deleted."""

    @classmethod
    def of(cls, tables: Mapping[str, TableProgress], *, delete: bool) -> _Plan:
        others = sum(each.only_target for each in tables.values())
        return cls(
            sum(each.only_source for each in tables.values()),
            sum(each.differ for each in tables.values()),
            others if delete else 0,
            0 if delete else others,
        )

    @property
    def changes(self) -> int:
        """How many rows of the target would change."""
        return self.insert + self.update + self.delete

    def question(self) -> str:
        """What would be done, as a question without its mark."""
        parts = [
            f"{verb} {grouped(count)} {'row' if count == 1 else 'rows'}"
            for verb, count in (("insert", self.insert), ("overwrite", self.update), ("delete", self.delete))
            if count
        ]
        said = " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
        return f"{said[:1].upper()}{said[1:]} in the target"


def _say_plan(output: Output, plan: _Plan) -> None:
    if plan.stays:
        rows = "row that only the target has stays" if plan.stays == 1 else "rows that only the target has stay"
        output.note(f"{grouped(plan.stays)} {rows}; --repair --delete deletes {'it' if plan.stays == 1 else 'them'}.")


async def _all_findings(ledger: Ledger, job_id: str) -> list[JobFinding]:
    listed: list[JobFinding] = []
    after: str | None = ""
    while after is not None:
        page = await ledger.findings(job_id, PAGE, after or None)
        listed += page.items
        after = page.next
    return listed


async def _here(work: JobRequest, output: Output) -> _Compared:
    """Compare in this process, where no job can be noted."""
    import asyncio

    from vestige_tui.jobs.context import Meter
    from vestige_tui.store.open import open_store
    from vestige_tui.transfer.open import open_source
    from vestige_tui.transfer.verify import StdoutReporter, prepare, refuse_target

    progress = output.progress("compared")
    source = await asyncio.to_thread(open_source, work.source)
    try:
        async with open_store(work.target, read_only=True, max_connections=2) as store:
            await refuse_target(store.backend)
            report = StdoutReporter(Meter(), lambda meter: _show(progress, meter))
            await (await prepare(source, store, report)).run()
    finally:
        progress.end()
        source.close()
    return _Compared(report.meter.tables, report.findings)


def _show(progress: Progress, meter: Meter) -> None:
    progress.show(meter.phase, sum(table.read for table in meter.tables.values()))


def _tell(output: Output, compared: _Compared) -> None:
    from vestige_tui.transfer.verify import DIFFERENCES, equal, verdict

    tables, repaired = compared.tables, compared.repaired
    if output.as_json:
        output.document(
            {
                "equal": equal(tables),
                "tables": {name: _shape(table) for name, table in tables.items()},
                "differences": [
                    {"table": each.subject, "kind": each.outcome, "row": each.source_key, "reason": each.reason}
                    for each in compared.listed
                    if each.outcome in DIFFERENCES
                ],
                **({} if repaired is None else {"repaired": repaired}),
            }
        )
        return
    header = ("table", "compared", *map(named, COUNTS), "not copyable")
    rows = [
        (name, *(grouped(count) for count in (each.read, *(getattr(each, count) for count in COUNTS), each.failed)))
        for name, each in tables.items()
        if each.read or each.only_target
    ]
    output.table(rows, flexible=0, header=header, right=range(1, 6))
    if compared.listed:
        output.line()
        # What differs comes before what could not be copied.
        tell_findings(output, sorted(compared.listed, key=lambda each: each.outcome not in DIFFERENCES))
    if repaired is not None:
        output.line(f"Repaired: {', '.join(f'{grouped(count)} {verb}' for verb, count in repaired.items())}.")
    said = verdict(tables)
    output.line(f"{said[:1].upper()}{said[1:]}.")


def _shape(table: TableProgress) -> dict[str, Any]:
    return {
        "compared": table.read,
        "differ": table.differ,
        "only_source": table.only_source,
        "only_target": table.only_target,
    }
