"""`registry fill` while a job makes all vectors anew: it says whom the missing ones are left to."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.command_line import Command
from vestige_tui.core.memories import Draft
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.store.open import open_store


async def remade(url: str) -> str:
    """Begin a job that makes the vectors in place, while one is missing; gives its id."""
    async with open_store(url) as store:
        await store.insert(Draft("without a vector"), embed=False)
        run = await Ledger(store).start(
            kind="reembed", source=url, target=url, model="", task="", owner="me", options={"in_place": True}
        )
    return run.id


async def over(url: str, job_id: str) -> None:
    async with open_store(url) as store:
        await Ledger(store).transition(job_id, "completed")


@pytest.mark.slow
def test_fill_leaves_the_vectors_to_a_job_that_makes_them_anew(run: Command, sample: str) -> None:
    job = asyncio.run(remade(sample))
    message = f"Job {job[:8]} is re-embedding this store and computes the missing vectors, too."
    ran = run("--store", sample, "registry", "fill")
    assert (ran.status, ran.out) == (3, "")
    assert message in " ".join(ran.err.split())
    ran = run("--store", sample, "registry", "fill", "--json")
    assert ran.status == 3
    assert ran.json["error"]["message"] == message
    asyncio.run(over(sample, job))
    ran = run("--store", sample, "registry", "fill")
    assert (ran.status, ran.out) == (0, "Computed 1 vector.\n")
    ran = run("--store", sample, "registry", "fill")
    assert (ran.status, ran.out) == (0, "Every memory already has a vector.\n")
