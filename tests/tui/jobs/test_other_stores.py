"""Jobs whose rows lie in another store than the one that the console has open."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.console import open_console
from tests.support.passwords import demand_password, with_password
from tests.support.postgres import run_in_thread
from vestige_tui.core.jobs import JobFinding, JobProgress, TableProgress
from vestige_tui.jobs.known_stores import remember
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.store.open import open_store


async def begin(url: str) -> str:
    """A copy into a store that has failed to bring one row."""
    async with open_store(url, create=True) as store:
        ledger = Ledger(store)
        run = await ledger.start(kind="copy", source="sqlite:/a.db", target=url, model="", task="", owner="1@here")
        tables = {"memories": TableProgress(9, total=9, inserted=8, failed=1)}
        async with store.backend.write() as transaction:
            await ledger.add_findings(
                transaction, run.id, [JobFinding("memories", "failed", "id-1", "It has no text.")]
            )
            await ledger.note(transaction, run.id, JobProgress(tables=tables), {})
        return run.id


@pytest.mark.slow
async def test_the_findings_of_a_job_behind_a_password_are_read_with_what_was_typed(
    corpus: Path, postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = with_password(postgres_database)
    job_id = run_in_thread(begin(known))
    remember(known, job_id, "copy")
    demand_password(monkeypatch)
    async with open_console(corpus) as console:
        console.app.session.remember_url(known)
        await console.press("f5")
        await console.until("1 failed")
        await console.until("It has no text.")
        assert "no password supplied" not in console.text
