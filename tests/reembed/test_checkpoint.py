"""Checkpoints of a re-embedding: typed form, forms that older programs wrote, and a job continued from one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import count
from typing import Any

import numpy as np
import pytest

from tests.support.checkpoints import put_checkpoint, stopped_after, stored_checkpoint, without_version
from tests.support.model_swap import stored_vectors
from vestige_tui.core.errors import CheckpointUnreadable, Refused
from vestige_tui.core.jobs import Job
from vestige_tui.core.memories import Draft
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.embedding.models import TestEmbedder
from vestige_tui.jobs.checkpoints import has_written
from vestige_tui.jobs.start import JobRequest, start
from vestige_tui.jobs.worker import claim
from vestige_tui.reembed import plan
from vestige_tui.reembed.checkpoint import VERSION, ReembedCheckpoint, ReembedPhase, ReembedResult
from vestige_tui.store.open import open_store

RESULT = ReembedResult(60, 4.5, 1.25, 3.0)
REPORT = {"rows_updated": 60, "duration_secs": 4.5, "index_rebuild_secs": 1.25, "swap_ms": 3.0}
BEGUN = {"begun": True, "taken": False, "centred": [], "after": None, "index_secs": 0.0, "swap_ms": None}
SWAPPED = {**BEGUN, "taken": True, "index_secs": 1.25, "seconds": 4.0}

OLD_FORMS: list[tuple[dict[str, Any], ReembedCheckpoint]] = [
    ({}, ReembedCheckpoint()),
    ({"step": 1}, ReembedCheckpoint()),
    ({"step": 2, **BEGUN, "seconds": 0.5}, ReembedCheckpoint(ReembedPhase.ENCODING, seconds=0.5)),
    (
        {"step": 7, **BEGUN, "after": "aa-1", "seconds": 2.5},
        ReembedCheckpoint(ReembedPhase.ENCODING, "aa-1", seconds=2.5),
    ),
    (
        {"step": 7, **BEGUN, "index_secs": 1.25, "seconds": 2.5},
        ReembedCheckpoint(ReembedPhase.ENCODING, seconds=2.5, index_seconds=1.25),
    ),
    # In place: the store has the new model before its first vector.
    (
        {"step": 7, **BEGUN, "taken": True, "centred": ["auth", "ops"], "after": "aa-1", "seconds": 2.5},
        ReembedCheckpoint(ReembedPhase.TAKEN_OVER, "aa-1", ("auth", "ops"), 2.5),
    ),
    (
        {"step": 9, **SWAPPED, "centred": ["auth"]},
        ReembedCheckpoint(ReembedPhase.TAKEN_OVER, None, ("auth",), 4.0, 1.25),
    ),
    (
        {"step": 10, **SWAPPED, "swap_ms": 3.0},
        ReembedCheckpoint(ReembedPhase.TAKEN_OVER, None, (), 4.0, 1.25, 3.0),
    ),
    (
        {"step": 12, **SWAPPED, "swap_ms": 3.0, "report": REPORT},
        ReembedCheckpoint(ReembedPhase.DONE, None, (), 4.0, 1.25, 3.0, RESULT),
    ),
    # The store was taken elsewhere after the result, and this attempt begins over.
    ({"step": 12, **BEGUN, "report": REPORT}, ReembedCheckpoint(ReembedPhase.ENCODING)),
    (
        {"step": 12, **SWAPPED, "report": {**REPORT, "swap_ms": None}},
        ReembedCheckpoint(
            ReembedPhase.DONE,
            seconds=4.0,
            index_seconds=1.25,
            result=ReembedResult(60, 4.5, 1.25, None),
        ),
    ),
]


@pytest.mark.parametrize(("stored", "checkpoint"), OLD_FORMS)
def test_a_checkpoint_without_a_version_is_read(stored: dict[str, Any], checkpoint: ReembedCheckpoint) -> None:
    assert ReembedCheckpoint.from_json(stored) == checkpoint
    assert has_written(stored) == (checkpoint.phase is not ReembedPhase.WAITING)


@pytest.mark.parametrize("checkpoint", [checkpoint for _, checkpoint in OLD_FORMS])
def test_a_checkpoint_survives_the_ledger(checkpoint: ReembedCheckpoint) -> None:
    stored = json.loads(json.dumps(checkpoint.to_json()))
    assert stored["version"] == VERSION
    assert ReembedCheckpoint.from_json({**stored, "step": 3}) == checkpoint
    assert ReembedCheckpoint.from_json(without_version(stored)) == checkpoint
    assert has_written(stored) == (checkpoint.phase is not ReembedPhase.WAITING)


def test_a_job_that_begins_over_forgets_its_result() -> None:
    done = ReembedCheckpoint.from_json({**SWAPPED, "swap_ms": 3.0, "report": REPORT})
    assert done.begun((), in_place=False, continues=False) == ReembedCheckpoint(ReembedPhase.ENCODING, seconds=4.0)
    half = ReembedCheckpoint(ReembedPhase.ENCODING, "aa-1", (), 2.5, 1.25)
    assert half.begun((), in_place=False, continues=True) == half
    assert half.begun(("auth",), in_place=True, continues=False).taken_over


@pytest.mark.parametrize("version", [VERSION + 1, 99, "1", 1.0, True, None, -1])
def test_a_version_that_is_not_known_is_refused(version: object) -> None:
    with pytest.raises(CheckpointUnreadable, match="A newer vestige-tui wrote"):
        ReembedCheckpoint.from_json({**ReembedCheckpoint().to_json(), "version": version})


def test_a_version_that_is_not_known_counts_as_one_that_writes() -> None:
    assert has_written({"version": VERSION + 1, "step": 2})
    assert not has_written({"step": 2})


@pytest.mark.parametrize(
    "stored",
    [
        {**BEGUN, "seconds": "long"},
        {**BEGUN, "centred": 5},
        {**SWAPPED, "report": {"rows_updated": 60}},
        {**SWAPPED, "report": "done"},
    ],
)
def test_fields_that_cannot_be_read_are_refused(stored: dict[str, Any]) -> None:
    with pytest.raises(CheckpointUnreadable, match="The checkpoint of this re-embedding cannot be read"):
        ReembedCheckpoint.from_json(stored)


# A job that is continued

OLD, NEW = TestEmbedder(16), TestEmbedder(24)
DOMAINS = ("auth", "ops")


@pytest.fixture
async def url(store_url: str) -> str:
    """URL of a store of 40 memories with their vectors, in two domains that have a centroid."""
    embedders = EmbedderSource(embedder=OLD)
    async with open_store(store_url, create=True, embedders=embedders) as store:
        for number in range(40):
            await store.insert(Draft(f"number {number} of the harbour", domains=DOMAINS))
        async with store.backend.write() as transaction:
            for domain in DOMAINS:
                values = f"'{domain}', 'D', '2026-01-01T00:00:00.000000+00:00'"
                await transaction.script(f"INSERT INTO domains (id, label, created_at) VALUES ({values})")
                await transaction.execute("set_centroid", {"id": domain, "centroid": OLD.embed([domain])[0]})
    embedders.close()
    return store_url


async def run(url: str, **options: Any) -> Job:
    """Run one attempt in this process, up to its end or failure."""
    specs: list[Mapping[str, str]] = []
    await start(JobRequest("reembed", url, url, options), spawn=specs.append)
    async with open_store(url) as store:
        context = await claim(store, specs.pop())
        assert context is not None
        ledger = context.ledger
        try:
            result = await plan.run(context)
        except Refused as error:
            await ledger.transition(context.job_id, "failed", error=error.message)
        else:
            await ledger.transition(context.job_id, "completed", result=result)
        return await ledger.job(context.job_id)


@pytest.mark.slow
@pytest.mark.parametrize("in_place", [False, True])
async def test_a_job_continues_from_every_position_of_a_checkpoint_without_a_version(
    url: str, monkeypatch: pytest.MonkeyPatch, in_place: bool
) -> None:
    phases: set[ReembedPhase] = set()
    for steps in count(1):
        with stopped_after(steps, monkeypatch) as stopped:
            job = await run(url, model=NEW.name, batch=4, in_place=in_place)
        if job.status == "completed":
            break
        assert (bool(stopped), job.error) == (True, "Something else is wrong.")
        stored = await stored_checkpoint(url)
        if "version" in stored:
            phases.add(ReembedCheckpoint.from_json(stored).phase)
            put_checkpoint(url, without_version(stored))
    assert phases == {ReembedPhase.TAKEN_OVER} | (set() if in_place else {ReembedPhase.ENCODING})
    progress = job.progress.tables["memories"]
    assert (progress.read, progress.inserted, progress.failed) == (40, 40, 0)
    for text, vector in stored_vectors(url):
        assert np.allclose(vector, NEW.embed([text])[0], atol=1e-6)
    async with open_store(url) as store:
        result = await plan.report(store, job.id)
        assert result is not None
        assert (result.rows_updated, result.swap_ms is None) == (40, in_place)
        assert [row["id"] for row in await store.backend.fetch("list_centred")] == list(DOMAINS)


@pytest.mark.slow
async def test_a_job_that_a_newer_program_began_is_left_as_it_is(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with stopped_after(5, monkeypatch):
        await run(url, model=NEW.name, batch=4)
    stored = {**await stored_checkpoint(url), "version": VERSION + 1}
    put_checkpoint(url, stored)
    job = await run(url, model=NEW.name, batch=4)
    assert job.status == "failed"
    assert job.error is not None
    assert job.error.startswith("A newer vestige-tui wrote the checkpoint of this job (version 2;")
    assert await stored_checkpoint(url) == stored
