"""Commands that copy, compare or re-embed a store: migrate copy, verify, reembed."""

from __future__ import annotations

from argparse import Namespace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from vestige_tui.cli import reembed, verify
from vestige_tui.cli.job_options import print_plan, source_and_target
from vestige_tui.cli.job_wait import started_job
from vestige_tui.cli.jobs import findings, show
from vestige_tui.cli.output import Output
from vestige_tui.cli.parser import Commands, whole
from vestige_tui.core.errors import ReadOnly
from vestige_tui.presenters import json_shapes

if TYPE_CHECKING:
    from vestige_tui.jobs.start import JobRequest


def add_commands(commands: Commands) -> None:
    migrate = commands.add("migrate", _copy, "copy, compare or re-embed a store, as a job in the background")
    steps = ("copy", "verify", "reembed")
    migrate.add_argument("step", metavar="|".join(steps), nargs="?", choices=steps, default="copy")
    kinds = ("sqlite", "postgres")
    migrate.add_argument("--from", dest="source_kind", choices=kinds, help="kind of the source (default sqlite)")
    migrate.add_argument("--to", dest="target_kind", choices=kinds, help="kind of the target (default postgres)")
    migrate.add_argument("--sqlite-path", metavar="PATH", help="the SQLite store (default: from the settings)")
    migrate.add_argument("--postgres-url", metavar="URL", help="the PostgreSQL store (default: from the settings)")
    migrate.add_argument("--source", metavar="URL", help="store to read, any kind")
    migrate.add_argument(
        "--target", metavar="URL", help="store to write or compare with; not a Vestige file when writing"
    )
    migrate.add_argument(
        "--batch-size", metavar="N", type=whole, help="rows per transaction (default: copy 500, reembed 128)"
    )
    migrate.add_argument("--dry-run", action="store_true", help="show the plan, change nothing")
    migrate.add_argument("--detach", action="store_true", help="start the job and return at once")
    migrate.add_argument("--yes", action="store_true", help="do not ask for confirmation (reembed, verify --repair)")
    copy = migrate.add_argument_group("copy", "copy all contents of one store into another")
    copy.add_argument("--follow", action="store_true", help="keep copying changes of the source until ctrl-C")
    copy.add_argument(
        "--reembed", action="store_true", help="copy no vectors; compute new ones with --model or the target's model"
    )
    copy.add_argument("--no-verify", action="store_true", help="skip the comparison of all rows at the end")
    compare = migrate.add_argument_group("verify", "compare every row of two stores")
    compare.add_argument("--repair", action="store_true", help="show the differences, then copy them into the target")
    compare.add_argument(
        "--delete", action="store_true", help="with --repair: also delete rows that exist only in the target"
    )
    reembed.add_options(migrate)


def _copy_request(args: Namespace) -> JobRequest:
    from vestige_tui.jobs.start import JobRequest

    source, target = source_and_target(args, "A copy", "write")
    options: dict[str, object] = {"batch": args.batch_size or 500}
    options |= {name: True for name in ("follow", "reembed") if getattr(args, name)}
    if args.model:
        options["model"] = args.model
    if args.no_verify:
        options["verify"] = False
    return JobRequest("copy", source, target, options)


async def _copy(args: Namespace, output: Output) -> int:
    from vestige_tui.jobs.start import dry_run

    if args.step == "reembed":
        return await reembed.reembed(args, output)
    if args.step == "verify":
        return await verify.verify(args, output)
    request = _copy_request(args)
    if args.dry_run:
        return print_plan(output, await dry_run(request))
    if args.read_only:
        raise ReadOnly("A copy writes to the target; remove --read-only.")
    async with started_job(request, output, "copied", detach=args.detach) as handle:
        job = handle.job
        job_findings = [] if job.in_flight else await findings(handle.store, job.id)
    if output.as_json:
        output.document({"job": json_shapes.job(job, datetime.now(UTC), job_findings)})
    elif not job.in_flight:
        show(output, job, job_findings)
    return handle.status
