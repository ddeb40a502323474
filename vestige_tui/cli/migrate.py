"""Commands that copy, compare or re-embed a store: migrate copy, verify, reembed."""

from __future__ import annotations

import argparse
from argparse import Namespace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from vestige_tui.cli import reembed, verify
from vestige_tui.cli.job_options import print_plan, source_and_target
from vestige_tui.cli.job_wait import started_job
from vestige_tui.cli.jobs import findings, show
from vestige_tui.cli.output import Output
from vestige_tui.cli.parser import Commands, Parser, whole
from vestige_tui.core.errors import ReadOnly
from vestige_tui.presenters import json_shapes

if TYPE_CHECKING:
    from vestige_tui.jobs.start import JobRequest

KINDS_OF_STORE = ("sqlite", "postgres")


def add_commands(commands: Commands) -> None:
    migrate = commands.add(
        "migrate",
        _copy,
        "copy, compare or re-embed a store, as a job; `migrate` alone is `migrate copy`",
    )
    steps = commands.subcommands(migrate, "step", required=False)
    _add_copy(steps)
    _add_verify(steps)
    reembed.add_command(steps)
    # A value that stands before the word copy is kept: the options of the steps have no defaults of their own.
    for options in (_add_stores, _add_copy_options, _add_run_options):
        options(migrate, hidden=True)


def _add_copy(steps: Commands) -> None:
    copy = steps.add(
        "copy",
        _copy,
        "copy all contents of one store into another",
    )
    copy.argument_default = argparse.SUPPRESS
    _add_stores(copy)
    _add_run_options(copy)
    _add_copy_options(copy)


def _add_verify(steps: Commands) -> None:
    compare = steps.add(
        "verify",
        verify.verify,
        "compare every row of two stores; --repair copies the differences into the target",
    )
    compare.add_argument("--repair", action="store_true", help="show the differences, then copy them into the target")
    compare.add_argument(
        "--delete", action="store_true", help="with --repair: also delete rows that exist only in the target"
    )
    compare.add_argument("--yes", action="store_true", help="with --repair: do not ask for confirmation")
    compare.argument_default = argparse.SUPPRESS
    _add_stores(compare)
    _add_run_options(compare, batches=False)


def _add_stores(parser: Parser, *, hidden: bool = False) -> None:
    """Add the options that name source and target."""
    group = parser.add_argument_group(None if hidden else "stores")

    def add(name: str, help: str, **options: object) -> None:
        group.add_argument(name, help=argparse.SUPPRESS if hidden else help, **options)  # type: ignore[arg-type]

    add("--source", "store to read, any kind", metavar="URL")
    add("--target", "store to write or compare with; the file of a Vestige server can only be compared", metavar="URL")
    add(
        "--sqlite-path",
        "the SQLite store, if neither --source nor --target names it (default for the source: from the settings)",
        metavar="PATH",
    )
    add(
        "--postgres-url",
        "the PostgreSQL store, if neither --source nor --target names it (default: from the settings)",
        metavar="URL",
    )
    add(
        "--from",
        "kind of the source (default: sqlite, or postgres with --to sqlite)",
        dest="source_kind",
        choices=KINDS_OF_STORE,
    )
    add("--to", "kind of the target (default: the other kind)", dest="target_kind", choices=KINDS_OF_STORE)


def _add_run_options(parser: Parser, *, hidden: bool = False, batches: bool = True) -> None:
    """Add the options of every job that reads one store and writes another."""

    def add(name: str, help: str, **options: object) -> None:
        parser.add_argument(name, help=argparse.SUPPRESS if hidden else help, **options)  # type: ignore[arg-type]

    if batches:
        add("--batch-size", "rows per transaction (default 500)", metavar="N", type=whole)
    add("--dry-run", "show the plan, change nothing", action="store_true")
    add("--detach", "start the job and return at once", action="store_true")


def _add_copy_options(parser: Parser, *, hidden: bool = False) -> None:
    def add(name: str, help: str, **options: object) -> None:
        parser.add_argument(name, help=argparse.SUPPRESS if hidden else help, **options)  # type: ignore[arg-type]

    add("--follow", "keep copying changes of the source until ctrl-C", action="store_true")
    add("--reembed", "copy no vectors; compute new ones with --model or the target's model", action="store_true")
    add("--model", "with --reembed: the model of the new vectors; see `registry models`", metavar="NAME")
    add("--no-verify", "skip the comparison of all rows at the end", action="store_true")


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
