"""Compare a store with the copy of it: the job, and the comparison in the foreground."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from vestige_tui.core.errors import ForeignStore, ReadOnly, SchemaPending, Usage
from vestige_tui.core.jobs import TableProgress
from vestige_tui.jobs.known_stores import without_password
from vestige_tui.jobs.start import JobRequest, ValidatedJob
from vestige_tui.jobs.store_identity import same_store
from vestige_tui.store.open import open_backend
from vestige_tui.store.schema import migrations
from vestige_tui.transfer.comparison import Comparison
from vestige_tui.transfer.comparison_reporters import LedgerReporter
from vestige_tui.transfer.copy_context import copy_target_of
from vestige_tui.transfer.differences import verdict
from vestige_tui.transfer.open import open_source
from vestige_tui.transfer.table_spec import TABLES

if TYPE_CHECKING:
    from vestige_tui.jobs.context import JobContext
    from vestige_tui.store.backends.protocol import Backend
    from vestige_tui.store.store import Store
    from vestige_tui.transfer.comparison_reporters import Reporter
    from vestige_tui.transfer.protocols import Source


async def check(request: JobRequest, *, dry: bool = False) -> ValidatedJob:
    """Refuse a comparison that cannot succeed. Raises ReadOnly, last, for a target without room for a job."""
    source = await asyncio.to_thread(open_source, request.source)
    title, location = source.title, without_password(source.location)
    await asyncio.to_thread(source.close)
    backend = open_backend(request.target, max_connections=1)
    await backend.open()
    try:
        await refuse_target(backend)
        target_location = without_password(backend.location())
        if same_store(location, target_location):
            raise Usage("Source and target are the same store; name another target.")
        if backend.read_only and not dry:
            raise ReadOnly(f"{backend.title} is open read-only, so the job cannot be recorded there: {backend.reason}.")
    finally:
        await backend.close()
    strict = {"strict": True} if request.options.get("strict") else {}
    return ValidatedJob(location, target_location, "", f"compare {title} with {backend.title}", strict, anew=True)


async def refuse_target(backend: Backend) -> None:
    """Raise ForeignStore or SchemaPending for a store that no copy can have written."""
    if backend.foreign:
        raise ForeignStore(
            f"{backend.title} is a file of a Vestige server: name it as the source and its copy as the target."
        )
    if not await migrations.is_ours(backend):
        raise SchemaPending(f"{backend.title} has no tables yet; nothing was copied there.")


async def dry_run(request: JobRequest) -> dict[str, TableProgress]:
    """Count the rows that a comparison would read, table by table."""
    await check(request, dry=True)

    def count_tables() -> dict[str, TableProgress]:
        source = open_source(request.source)
        try:
            return {table.name: TableProgress(total=source.count(table.name).rows) for table in TABLES}
        finally:
            source.close()

    return await asyncio.to_thread(count_tables)


async def prepare(source: Source, store: Store, reporter: Reporter, *, strict: bool = False) -> Comparison:
    """Return a comparison of a source with a store.

    Rows that the last copy left out are no differences, unless ``strict``. Raises ForeignStore or SchemaPending for a
    store that no copy can have written.
    """
    await refuse_target(store.backend)
    store.maintenance.refuse_pending()
    copy_target = await copy_target_of(source, store)
    return Comparison(
        source,
        copy_target.target_reader,
        copy_target.transfer_context,
        reporter,
        excused=lambda table, row: not strict and (table, row.key) in copy_target.refused,
    )


async def run(context: JobContext) -> str:
    """Compare all tables; return the verdict."""
    source = await context.with_retries(partial(asyncio.to_thread, open_source, context.source))
    try:
        reporter = LedgerReporter(context)
        strict = bool(context.options.get("strict"))
        comparison = await reporter.with_retries(partial(prepare, source, context.store, reporter, strict=strict))
        for table in TABLES:
            if table.name not in context.meter.tables:
                count = await reporter.with_retries(partial(asyncio.to_thread, source.count, table.name))
                context.meter.expect(table.name, count.rows)
        await comparison.run()
    finally:
        source.close()
    await context.phase("done")
    return verdict(context.meter.tables)
