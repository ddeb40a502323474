"""The console looks after the ledger of the store that it has open."""

from __future__ import annotations

import uuid
from datetime import timedelta
from pathlib import Path

from tests.support.console import open_console
from tests.support.corpus import NOW, second_handle
from vestige_tui.jobs.ledger import CALLER, Ledger
from vestige_tui.jobs.transitions import OVERDUE


async def overdue(path: Path) -> str:
    async with second_handle(path) as store:
        return await Ledger(store).insert(
            caller=CALLER, callee=uuid.uuid4(), task="reindex", deadline=NOW - timedelta(minutes=1)
        )


async def test_what_is_over_its_deadline_is_ended_and_said(corpus: Path) -> None:
    job_id = await overdue(corpus)
    async with open_console(corpus) as console:
        await console.until("1 job is past its deadline and marked as failed.")
        assert console.app.session.store is not None
        job = await Ledger(console.app.session.store).job(job_id)
        assert (job.status, job.error) == ("failed", OVERDUE)


async def test_where_nothing_is_to_be_swept_nothing_is_said(corpus: Path) -> None:
    async with open_console(corpus) as console:
        timings = console.store.backend.timings
        await console.until(lambda: any(each.name == "list_sweepable" for each in timings.slowest()))
        await console.pilot.pause()
        assert "deadline" not in console.text
        assert "stuck" not in console.text
