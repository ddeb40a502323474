"""Commands for a store as a whole: schema, stats, vacuum."""

from __future__ import annotations

import contextlib
from argparse import Namespace
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from vestige_tui import shapes
from vestige_tui.cli.output import Output
from vestige_tui.cli.parser import Commands
from vestige_tui.cli.session import chosen_store, settings, store_url
from vestige_tui.errors import Refused, StoreMissing
from vestige_tui.text import ago, bytes_size, grouped

if TYPE_CHECKING:
    from vestige_tui.model import MigrationInfo
    from vestige_tui.store.backend import Backend


def add_commands(commands: Commands) -> None:
    schema = commands.add("schema", None, "say, or change, which version the store's tables have")
    below = commands.below(schema, "step")
    below.add("info", _info, "list every step of the schema with its state")
    up = below.add("up", _up, "make the tables, or bring them up to date")
    up.add_argument("--to", metavar="N", type=int, help="no further than this version")
    up.add_argument("--dry-run", action="store_true", help="only list what would be done")
    down = below.add("down", _down, "take the newest step back, or all above --to")
    down.add_argument("--to", metavar="N", type=int, help="the version to keep; 0 takes every table away")
    down.add_argument("--dry-run", action="store_true", help="only list what would be done")
    down.add_argument("--yes", action="store_true", help="even where memories, reviews or events are deleted")
    commands.add("stats", _stats, "print figures of the whole store")
    commands.add("vacuum", _vacuum, "give unused space back")


@contextlib.asynccontextmanager
async def _tables(args: Namespace, *, create: bool = False) -> AsyncIterator[Backend]:
    """The database without the service above it, which would bring the schema up by itself."""
    from vestige_tui.store import open_backend

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
    from vestige_tui.store import schema

    async with _tables(args) as backend:
        steps, foreign = await schema.status(backend), backend.foreign
    if output.as_json:
        output.document(shapes.listed(map(shapes.migration, steps)))
        return 0
    if foreign:
        output.line("A Vestige server made this file and keeps its schema; no step of ours is applied.")
    _list_steps(output, steps)
    return 0


def _list_steps(output: Output, steps: Sequence[MigrationInfo]) -> None:
    from datetime import UTC, datetime

    now = datetime.now(UTC)
    rows = []
    for step in steps:
        state = f"waits for {step.waits_for}" if step.state == "waiting" else step.state
        rows.append((f"{step.version:04d}", step.name, state, ago(step.applied_at, now) if step.applied_at else ""))
    if rows:
        output.table(rows, flexible=1)


async def _up(args: Namespace, output: Output) -> int:
    from vestige_tui.store import schema

    if args.dry_run:
        try:
            async with _tables(args) as backend:
                steps = () if backend.foreign else await schema.up(backend, to=args.to, dry_run=True)
        except StoreMissing:
            steps = _from_nothing(args)
        return _tell_steps(output, steps, "Would be applied:", "Nothing is pending.")
    if args.read_only:
        raise Refused("--read-only and schema up exclude each other.")
    async with _tables(args, create=True) as backend:
        _refuse_foreign(backend)
        steps = await schema.up(backend, to=args.to)
    return _tell_steps(output, steps, "Applied:", "Nothing was pending.")


def _from_nothing(args: Namespace) -> tuple[MigrationInfo, ...]:
    """The steps that a store which is not there yet would take."""
    from vestige_tui.cli.session import is_file
    from vestige_tui.model import MigrationInfo
    from vestige_tui.store.schema import migrations

    steps = migrations("sqlite" if is_file(store_url(args, settings(args))) else "postgres")
    return tuple(
        MigrationInfo(step.version, step.name, "pending", step.checksum)
        for step in steps
        if not step.staged and (args.to is None or step.version <= args.to)
    )


async def _down(args: Namespace, output: Output) -> int:
    from vestige_tui.store import schema

    async with _tables(args) as backend:
        _refuse_foreign(backend)
        if backend.read_only and not args.dry_run:
            raise Refused(f"{backend.title} is open read-only: {backend.reason}.")
        applied = [step.version for step in await schema.status(backend) if step.state == "applied"]
        to = max(applied, default=1) - 1 if args.to is None else args.to
        steps = await schema.down(backend, to=to, yes=args.yes, dry_run=args.dry_run)
    return _tell_steps(
        output, steps, "Would be taken back:" if args.dry_run else "Taken back:", "There is nothing to take back."
    )


def _refuse_foreign(backend: Backend) -> None:
    if backend.foreign:
        raise Refused(f"A Vestige server made {backend.title} and keeps its schema; it was not touched.")


def _tell_steps(output: Output, steps: Sequence[MigrationInfo], what: str, nothing: str) -> int:
    names = [f"{step.version:04d}_{step.name}" for step in steps]
    if output.as_json:
        output.document({"changed": names, "undo": None})
    for name in names:
        output.line(f"{what} {name}")
    if not names:
        output.line(nothing)
    return 0


async def _stats(args: Namespace, output: Output) -> int:
    async with chosen_store(args) as store:
        found, title = await store.get_stats(), store.title
    if output.as_json:
        output.document(shapes.stats(found))
        return 0
    model = f"{found.registered_model_name} ({found.registered_model_dim})" if found.registered_model_name else "none"
    output.line(title)
    output.table(
        [
            ("memories", grouped(found.total_memories)),
            ("with a vector", grouped(found.memories_with_embeddings)),
            ("replaced", grouped(found.superseded)),
            ("links", grouped(found.total_edges)),
            ("domains", grouped(found.total_domains)),
            ("reviews", grouped(found.total_reviews)),
            ("model", model),
            ("backend", found.backend),
            ("schema", str(found.schema_version)),
            ("size", bytes_size(found.size_bytes) if found.size_bytes is not None else "unknown"),
        ],
        flexible=1,
    )
    return 0


async def _vacuum(args: Namespace, output: Output) -> int:
    async with chosen_store(args) as store:
        before = (await store.get_stats()).size_bytes
        await store.vacuum()
        after = (await store.get_stats()).size_bytes
    if output.as_json:
        output.document({"changed": [], "undo": None, "bytes_before": before, "bytes_after": after})
    output.line(f"{bytes_size(before or 0)} before, {bytes_size(after or 0)} now.")
    return 0
