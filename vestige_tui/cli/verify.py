"""``migrate verify``: compare every row of two stores, and say where they differ."""

from __future__ import annotations

from argparse import Namespace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from vestige_tui import shapes
from vestige_tui.cli.job_words import named, trouble
from vestige_tui.cli.jobs import tell_findings
from vestige_tui.cli.output import Output, Progress
from vestige_tui.cli.waiting import begun
from vestige_tui.errors import ReadOnly
from vestige_tui.text import grouped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vestige_tui.jobs.launch import Work
    from vestige_tui.jobs.ledger import Ledger
    from vestige_tui.jobs.running import Meter
    from vestige_tui.model import JobFinding, TableProgress

DIFFERENT = 1
DIFFERENCES = ("differs", "only_source", "only_target")
"""What of a comparison's findings is a difference; the others are rows that no copy can bring."""
PAGE = 1_000


def work_of(args: Namespace) -> Work:
    """What is to be compared: the source and the target as for a copy."""
    from vestige_tui.cli.migrate import ends
    from vestige_tui.jobs.launch import Work

    return Work("verify", *ends(args, "A comparison", "compare with"))


async def verify(args: Namespace, output: Output) -> int:
    from vestige_tui.cli.migrate import tell_plan
    from vestige_tui.jobs.launch import dry_run
    from vestige_tui.jobs.ledger import Ledger

    work = work_of(args)
    if args.dry_run:
        return tell_plan(output, await dry_run(work))
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
        return _tell(output, job.progress.tables, listed)
    if output.as_json:
        output.document({"job": shapes.job(job, datetime.now(UTC), [])})
    elif not job.in_flight and not ended.interrupted:
        output.note(f"The comparison did not come to its end: {trouble(job) or 'it was cancelled.'}")
    return ended.status


async def _all_findings(ledger: Ledger, job_id: str) -> list[JobFinding]:
    listed: list[JobFinding] = []
    after: str | None = ""
    while after is not None:
        page = await ledger.findings(job_id, PAGE, after or None)
        listed += page.items
        after = page.next
    return listed


async def _here(work: Work, output: Output) -> int:
    """Compare in this process, where no job can be noted."""
    import asyncio

    from vestige_tui.jobs.opening import open_source
    from vestige_tui.jobs.running import Meter
    from vestige_tui.jobs.verify import Aloud, prepare, refuse_target
    from vestige_tui.store import open_store

    progress = output.progress("compared")
    source = await asyncio.to_thread(open_source, work.source)
    try:
        async with open_store(work.target, read_only=True, max_connections=2) as store:
            await refuse_target(store.backend)
            report = Aloud(Meter(), lambda meter: _show(progress, meter))
            await (await prepare(source, store, report)).run()
    finally:
        progress.end()
        source.close()
    return _tell(output, report.meter.tables, report.findings)


def _show(progress: Progress, meter: Meter) -> None:
    progress.show(meter.phase, sum(table.read for table in meter.tables.values()))


def _tell(output: Output, tables: Mapping[str, TableProgress], listed: Sequence[JobFinding]) -> int:
    from vestige_tui.jobs.verify import equal, verdict

    if output.as_json:
        output.document(
            {
                "equal": equal(tables),
                "tables": {name: _shape(table) for name, table in tables.items()},
                "differences": [
                    {"table": each.subject, "kind": each.outcome, "row": each.source_key, "reason": each.reason}
                    for each in listed
                    if each.outcome in DIFFERENCES
                ],
            }
        )
        return 0 if equal(tables) else DIFFERENT
    rows = [
        (name, *(grouped(count) for count in (each.read, each.differ, each.only_source, each.only_target, each.failed)))
        for name, each in tables.items()
        if each.read or each.only_target
    ]
    header = ("table", "compared", *map(named, ("differ", "only_source", "only_target")), "not copyable")
    output.table(rows, flexible=0, header=header, right=range(1, 6))
    if listed:
        output.line()
        # What differs comes before what could not be copied.
        tell_findings(output, sorted(listed, key=lambda each: each.outcome not in DIFFERENCES))
    said = verdict(tables)
    output.line(f"{said[:1].upper()}{said[1:]}.")
    return 0 if equal(tables) else DIFFERENT


def _shape(table: TableProgress) -> dict[str, Any]:
    return {
        "compared": table.read,
        "differ": table.differ,
        "only_source": table.only_source,
        "only_target": table.only_target,
    }
