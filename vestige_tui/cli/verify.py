"""``migrate verify``: compare every row of two stores, and say where they differ."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING, Any

from vestige_tui.cli.jobs import findings
from vestige_tui.cli.output import Output, Progress
from vestige_tui.cli.session import settings, store_url
from vestige_tui.errors import ReadOnly, Usage
from vestige_tui.text import grouped, short_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vestige_tui.jobs.launch import Work
    from vestige_tui.jobs.running import Meter
    from vestige_tui.model import JobFinding, TableProgress

DIFFERENT = 1
_SHOWN = 20


def work_of(args: Namespace) -> Work:
    """What is to be compared: the source and the target as for a copy."""
    from vestige_tui.jobs.launch import Work

    config = settings(args)
    target = args.target or args.postgres_url or config.postgres_url
    if not target:
        raise Usage("A comparison needs the store to compare with: --target URL.")
    return Work("verify", args.source or args.sqlite_path or store_url(args, config), target)


async def verify(args: Namespace, output: Output) -> int:
    from vestige_tui.cli.migrate import INTERRUPTED, wait
    from vestige_tui.jobs.launch import start
    from vestige_tui.jobs.ledger import Ledger
    from vestige_tui.store import open_store

    work = work_of(args)
    if args.read_only:
        return await _here(work, output)
    try:
        launched = await start(work)
    except ReadOnly as reason:
        output.note(f"{reason.message} It is compared by this command itself.")
        return await _here(work, output)
    short = short_id(launched.job_id)
    output.note(f"Job {short} was under way already." if launched.already_running else f"Job {short} has begun.")
    progress = output.progress("compared")
    async with open_store(work.target, max_connections=2) as store:
        ledger = Ledger(store)
        if args.detach:
            job = await ledger.job(launched.job_id)
            if output.as_json:
                output.document({"job": {"id": job.id, "kind": job.kind, "status": job.status}})
            return 0
        try:
            job, interrupted = await wait(ledger, launched.job_id, output, progress)
        finally:
            progress.end()
        listed = await findings(store, job.id) if not job.in_flight else []
    if interrupted:
        return INTERRUPTED
    if job.status != "completed":
        output.note(job.error or "The comparison did not come to its end.")
        return 1
    return _tell(output, job.progress.tables, listed)


async def _here(work: Work, output: Output) -> int:
    """Compare in this process, where no job can be noted."""
    import asyncio

    from vestige_tui.jobs.opening import open_source, refuse_foreign
    from vestige_tui.jobs.running import Meter
    from vestige_tui.jobs.verify import Aloud, Comparison, prepare
    from vestige_tui.store import open_store

    progress = output.progress("compared")
    source = await asyncio.to_thread(open_source, work.source)
    try:
        async with open_store(work.target, read_only=True, max_connections=2) as store:
            refuse_foreign(store.backend)
            mirror, setting = await prepare(source, store)
            report = Aloud(Meter(), lambda meter: _show(progress, meter))
            await Comparison(source, mirror, setting, report).run()
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
                ],
            }
        )
        return 0 if equal(tables) else DIFFERENT
    rows = [
        (name, *(grouped(count) for count in (each.read, each.differ, each.only_source, each.only_target, each.failed)))
        for name, each in tables.items()
        if each.read or each.only_target
    ]
    header = ("table", "compared", "differ", "only in source", "only in target", "not copyable")
    output.table(rows, flexible=0, header=header, right=range(1, 6))
    if listed:
        output.line()
        shown = [
            (each.subject, each.outcome.replace("_", " "), each.source_key, each.reason) for each in listed[:_SHOWN]
        ]
        output.table(shown, flexible=3)
    if len(listed) > _SHOWN:
        output.line(f"and {grouped(len(listed) - _SHOWN)} more, with --json.")
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
