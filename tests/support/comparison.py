"""Comparisons of two stores in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from vestige_tui.core.jobs import Job
from vestige_tui.jobs.context import Meter
from vestige_tui.store.open import open_store
from vestige_tui.transfer.comparison_reporters import StdoutReporter
from vestige_tui.transfer.open import open_source
from vestige_tui.transfer.protocols import Source
from vestige_tui.transfer.verify import prepare


@asynccontextmanager
async def source_of(url: str) -> AsyncIterator[Source]:
    source = await asyncio.to_thread(open_source, url)
    try:
        yield source
    finally:
        await asyncio.to_thread(source.close)


async def compare(source: str, target: str) -> StdoutReporter:
    """Compare two stores in this process; every row of the source is read."""
    report = StdoutReporter(Meter(), lambda meter: None)
    async with source_of(source) as opened, open_store(target, read_only=True) as store:
        await (await prepare(opened, store, report)).run()
    for name, table in report.meter.tables.items():
        assert table.read == table.total, name
    return report


def differences(comparison: Job | StdoutReporter) -> dict[str, tuple[int, int, int]]:
    """Return the rows that differ, of the source only and of the target only, of each table with any."""
    tables = comparison.progress.tables if isinstance(comparison, Job) else comparison.meter.tables
    counts = {name: (each.differ, each.only_source, each.only_target) for name, each in tables.items()}
    return {name: count for name, count in counts.items() if any(count)}
