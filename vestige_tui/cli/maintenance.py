"""Commands for a whole store: schema, stats, doctor, vacuum."""

from __future__ import annotations

import contextlib
import logging
from argparse import Namespace
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING

from vestige_tui.cli import backup_offer, doctor, server_upgrade
from vestige_tui.cli.global_options import chosen_store, settings, store_url
from vestige_tui.cli.output import Output
from vestige_tui.cli.parser import Commands, version
from vestige_tui.core.errors import Refused, StoreMissing
from vestige_tui.core.text import ago, bytes_size, grouped
from vestige_tui.presenters import json_shapes, store_report

if TYPE_CHECKING:
    from datetime import datetime

    from vestige_tui.core.health import MigrationInfo, QueryTiming, Session, TableSize
    from vestige_tui.store.backends.protocol import Backend

log = logging.getLogger(__name__)

MAX_PRINTED_TABLES_COUNT = 12
MAX_PRINTED_QUERIES_COUNT = 6


def add_commands(commands: Commands) -> None:
    schema = commands.add("schema", None, "show or change the version of the store's schema")
    steps = commands.subcommands(schema, "step")
    steps.add("info", _info, "list all migrations with their state")
    up = steps.add("up", _up, "create the tables, or apply pending migrations")
    up.add_argument("--to", metavar="N", type=version, help="last version to apply")
    up.add_argument("--dry-run", action="store_true", help="list the migrations, change nothing")
    down = steps.add("down", _down, "revert the newest migration, or all above --to")
    down.add_argument("--to", metavar="N", type=version, help="version to keep; 0 drops all tables")
    down.add_argument("--dry-run", action="store_true", help="list the migrations, change nothing")
    down.add_argument("--yes", action="store_true", help="confirm the loss of memories, reviews or other data")
    backup_offer.add_option(down)
    server_upgrade.add_command(steps)
    commands.add("stats", _stats, "print counts, sizes, connections and slow queries")
    doctor.add_command(commands)
    commands.add("vacuum", _vacuum, "free unused space")


@contextlib.asynccontextmanager
async def _open_database(args: Namespace, *, create: bool = False) -> AsyncIterator[Backend]:
    """Open the database without the store service, which would migrate the schema."""
    from vestige_tui.store.open import open_backend

    config = settings(args)
    url = store_url(args, config)
    backend = open_backend(
        url, create=create, read_only=args.read_only, acquire_timeout=config.acquire_timeout_secs, max_connections=2
    )
    await backend.open()
    try:
        yield backend
    finally:
        await backend.close()


async def _info(args: Namespace, output: Output) -> int:
    from vestige_tui.store.schema import migrations as schema
    from vestige_tui.store.schema import rows

    async with _open_database(args) as backend:
        steps, foreign = await schema.status(backend), backend.foreign
        has_vectors = backend.capabilities.typed_vectors and any(step.state == "applied" for step in steps)
        index = rows.foreign_index(await backend.fetch("find_index")) if has_vectors else ""
    if output.as_json:
        output.document(json_shapes.listed(map(json_shapes.migration, steps)))
        return 0
    if foreign:
        output.line("A Vestige server created this file and manages its schema; no migration of this program applies.")
    _print_step_states(output, steps)
    if index:
        output.line(f"The vectors have the index {index}, which this program did not create and does not change.")
    return 0


def _print_step_states(output: Output, steps: Sequence[MigrationInfo]) -> None:
    from datetime import UTC, datetime

    now = datetime.now(UTC)
    rows = []
    for step in steps:
        when = ago(step.applied_at, now) if step.applied_at else ""
        rows.append((f"{step.version:04d}", step.name, store_report.migration_state(step), when))
    if rows:
        output.table(rows, flexible=1)


async def _up(args: Namespace, output: Output) -> int:
    from vestige_tui.store.schema import migrations as schema

    if args.dry_run:
        try:
            async with _open_database(args) as backend:
                steps = () if backend.foreign else await schema.up(backend, to=args.to, dry_run=True)
        except StoreMissing as error:
            log.debug("The store does not exist yet: %s", error)
            steps = _steps_of_new_store(args)
        return _print_steps(output, steps, "Would apply:", "No migration is pending.")
    if args.read_only:
        raise Refused("schema up writes to the store; remove --read-only.")
    async with _open_database(args, create=True) as backend:
        _refuse_foreign(backend)
        line = output.progress("memories updated")
        try:
            steps = await schema.up(backend, to=args.to, progress=lambda step: line(step.done, step.total))
        finally:
            line.end()
    return _print_steps(output, steps, "Applied:", "No migration was pending.")


def _steps_of_new_store(args: Namespace) -> tuple[MigrationInfo, ...]:
    """Return the migrations that a new store would apply."""
    from vestige_tui.cli.global_options import is_file
    from vestige_tui.core.health import MigrationInfo
    from vestige_tui.store.schema.migrations import migrations

    steps = migrations("sqlite" if is_file(store_url(args, settings(args))) else "postgres")
    return tuple(
        MigrationInfo(step.version, step.name, "pending", step.checksum)
        for step in steps
        if not step.staged and (args.to is None or step.version <= args.to)
    )


async def _down(args: Namespace, output: Output) -> int:
    from vestige_tui.store.schema import migrations as schema

    async with _open_database(args) as backend:
        _refuse_foreign(backend)
        if backend.read_only and not args.dry_run:
            raise Refused(f"{backend.title} is open read-only: {backend.reason}.")
        applied = [step.version for step in await schema.status(backend) if step.state == "applied"]
        to = max(applied, default=1) - 1 if args.to is None else args.to
        planned = await schema.down(backend, to=to, dry_run=True)
        if planned and not args.dry_run and (args.yes or not await schema.losses(backend, planned)):
            await backup_offer.offered_backup(args, output, store_url(args, settings(args)))
        steps = await schema.down(backend, to=to, yes=args.yes, dry_run=args.dry_run)
        counts = await schema.losses(backend, steps) if args.dry_run else None
    label = "Reverted:" if counts is None else "Would revert:"
    status = _print_steps(output, steps, label, "There is no migration to revert.", deletes=counts)
    if counts:
        output.line(f"This would delete {schema.losses_text(counts)}.")
    return status


def _refuse_foreign(backend: Backend) -> None:
    if backend.foreign:
        raise Refused(f"A Vestige server created {backend.title} and manages its schema; nothing was changed.")


def _print_steps(
    output: Output,
    steps: Sequence[MigrationInfo],
    label: str,
    empty_message: str,
    *,
    deletes: Mapping[str, int] | None = None,
) -> int:
    names = [f"{step.version:04d}_{step.name}" for step in steps]
    if output.as_json:
        counts = {} if deletes is None else {"deletes": dict(deletes)}
        output.document({"changed": names, "undo": None, **counts})
    for name in names:
        output.line(f"{label} {name}")
    if not names:
        output.line(empty_message)
    return 0


async def _stats(args: Namespace, output: Output) -> int:
    async with chosen_store(args, announces=False) as store:
        report, now, title = await store.maintenance.report(thorough=True), store.now(), store.title
        stats = report.stats or await store.maintenance.stats()
    if output.as_json:
        output.document({**json_shapes.stats(stats), **json_shapes.report(report)})
        return 0
    model = f"{stats.registered_model_name} ({stats.registered_model_dim})" if stats.registered_model_name else "none"
    output.line(title)
    output.line(report.health.state)
    for sentence in store_report.problems(report.health.problems):
        output.line(sentence)
    output.line()
    output.table(
        [
            *((name, grouped(count)) for name, count, _ in store_report.contents(stats)),
            ("model", model),
            ("backend", stats.backend),
            ("schema", str(stats.schema_version)),
            ("size", bytes_size(stats.size_bytes) if stats.size_bytes is not None else "unknown"),
            *(store_report.server(report.server, now) if report.server else ()),
            *store_report.connections(report),
            *store_report.vectors_in_memory(report.vectors),
        ],
        flexible=1,
    )
    _print_sessions(output, report.sessions, now)
    _print_sizes(output, report.sizes or (), now)
    _print_queries(output, report.queries)
    return 0


def _print_sessions(output: Output, sessions: Sequence[Session], now: datetime) -> None:
    if sessions:
        output.line()
        rows = [
            (
                "this one" if each.mine else str(each.pid),
                each.application,
                each.user,
                store_report.session_state(each, now),
            )
            for each in sessions
        ]
        output.table(rows, flexible=3, header=("session", "application", "role", "state"))


def _print_sizes(output: Output, sizes: Sequence[TableSize], now: datetime) -> None:
    if not sizes:
        return
    output.line()
    header = ["table", "data", "indexes", "total"]
    has_upkeep = any(each.dead_rows is not None for each in sizes)
    if has_upkeep:
        header += ["dead rows", "vacuum", "analyze"]
    rows = []
    for each in sizes[:MAX_PRINTED_TABLES_COUNT]:
        parts = [bytes_size(part) for part in (each.heap + each.outside, each.indexes, each.bytes)]
        rows.append((each.name, *parts, *(store_report.maintenance_ages(each, now) if has_upkeep else ())))
    output.table(rows, flexible=0, header=header, right=range(1, len(header)))


def _print_queries(output: Output, queries: Sequence[QueryTiming]) -> None:
    if not queries:
        return
    output.line()
    rows = []
    for each in queries[:MAX_PRINTED_QUERIES_COUNT]:
        timings = (each.total_ms, each.median_ms, each.p95_ms, each.longest_ms)
        rows.append((each.name, grouped(each.count), *map(store_report.milliseconds, timings)))
    header = ("queries of this command", "count", "total", "median", "p95", "max")
    output.table(rows, flexible=0, header=header, right=range(1, len(header)))


async def _vacuum(args: Namespace, output: Output) -> int:
    async with chosen_store(args) as store:
        progress = output.progress("vacuum")
        try:
            result = await store.maintenance.vacuum(
                lambda label: progress.show(f"vacuum: {store_report.vacuum_step(label)}", 0),
                lambda label, step: progress.show(f"vacuum: {store_report.vacuum_step(label, step)}", 0),
            )
        finally:
            progress.end()
    if output.as_json:
        output.document({"changed": [], "undo": None, "bytes_before": result.before, "bytes_after": result.after})
    output.line(store_report.vacuum_result(result))
    return 0
