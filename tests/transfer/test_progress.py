"""Progress of a whole copy: its share over rows, indexes and comparison, as the ledger keeps it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.attempts import claimed_copy, run_to_end
from tests.support.full_store import fill
from tests.support.job_steps import Step, hook_steps
from tests.support.jobs import read_job
from vestige_tui.presenters.job_progress import fraction
from vestige_tui.store.open import open_store


@pytest.mark.slow
async def test_the_share_of_a_copy_grows_to_its_end_and_is_never_whole_before(
    tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source.db"
    await fill(source, 600)
    async with open_store(store_url, create=True):
        pass
    shares: list[tuple[str, float]] = []

    async def note(step: Step) -> None:
        job = await step.context.ledger.job(step.context.job_id)
        if job.progress.share is not None:
            share = fraction(job)
            assert share is not None
            shares.append((job.progress.phase, share))

    hook_steps(monkeypatch, after=note)
    async with claimed_copy(f"sqlite:{source}", store_url, verify=True, batch=200) as running:
        await run_to_end(running)
    figures = [share for _, share in shares]
    assert figures == sorted(figures)
    assert 0 <= figures[0] < figures[-1] < 1
    phases = [phase for phase, _ in shares]
    assert any(phase.startswith("comparing") for phase in phases)
    assert len({share for phase, share in shares if phase.startswith("comparing")}) > 1, "the comparison moves"
    job = await read_job(store_url, running.job_id)
    assert job.status == "completed"
    assert fraction(job) == 1.0
