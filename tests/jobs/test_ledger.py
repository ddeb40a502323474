"""The ledger, asked of both backends alike."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from tests.jobs.conftest import Clock
from vestige_tui.errors import Conflict, NotFound, Usage
from vestige_tui.jobs.ledger import (
    CALLER,
    IN_FLIGHT,
    LEASE,
    LEASE_LOST,
    STATUSES,
    TRANSITIONS,
    Ledger,
    Run,
    plan_id,
    preview,
)
from vestige_tui.model import JobFinding, JobProgress, JobStatus, TableProgress
from vestige_tui.store.service import Store

AGENT = uuid.UUID("11111111-1111-4111-8111-111111111111")


async def begin(store: Store, source: str = "sqlite:a.db") -> Run:
    return await Ledger(store).start(
        kind="copy", source=source, target="postgresql://h/d", model="m", task="copy a", owner="1@here"
    )


async def put(store: Store, status: JobStatus) -> str:
    """A delegation in a state, brought there by allowed steps."""
    ledger = Ledger(store)
    job_id = await ledger.insert(caller=CALLER, callee=AGENT, task="reindex")
    if status != "queued":
        await ledger.transition(job_id, status)
    return job_id


def test_the_states_in_flight_are_those_that_something_follows() -> None:
    assert IN_FLIGHT == ("queued", "dispatched", "in_progress", "stuck")
    assert "stuck" in TRANSITIONS["queued"]
    assert TRANSITIONS["stuck"] == {"completed", "failed"}


async def test_every_transition_of_the_table_and_no_other(store: Store) -> None:
    ledger = Ledger(store)
    for before in STATUSES:
        for after in STATUSES:
            job_id = await put(store, before)
            if after == before:
                assert await ledger.transition(job_id, after) == "replayed"
            elif after in TRANSITIONS[before]:
                assert await ledger.transition(job_id, after) == "moved"
                assert (await ledger.job(job_id)).status == after
            else:
                with pytest.raises(Conflict):
                    await ledger.transition(job_id, after)
                assert (await ledger.job(job_id)).status == before


async def test_exactly_one_of_many_ends_a_job(store: Store) -> None:
    ledger = Ledger(store)
    job_id = await put(store, "in_progress")
    told = await asyncio.gather(*(ledger.transition(job_id, "completed", result=str(n)) for n in range(6)))
    assert sorted(told) == ["moved"] + ["replayed"] * 5


async def test_a_state_told_again_fills_in_what_was_missing(store: Store) -> None:
    ledger = Ledger(store)
    job_id = await put(store, "failed")
    await ledger.transition(job_id, "failed", error="the disk was full")
    await ledger.transition(job_id, "failed", error="something else", result="half")
    job = await ledger.job(job_id)
    assert (job.error, job.result) == ("the disk was full", "half")


async def test_a_transition_clears_an_earlier_detail(store: Store) -> None:
    ledger = Ledger(store)
    job_id = await put(store, "in_progress")
    await ledger.transition(job_id, "stuck", error="no heartbeat for 600 s")
    await ledger.transition(job_id, "completed", result="done")
    job = await ledger.job(job_id)
    assert (job.status, job.error, job.result) == ("completed", None, "done")


async def test_a_missing_job_is_not_moved(store: Store) -> None:
    assert await Ledger(store).transition(str(uuid.uuid4()), "failed") == "missing"


async def test_the_same_id_or_key_twice_is_one_delegation(store: Store) -> None:
    ledger = Ledger(store)
    job_id = str(uuid.uuid4())
    for task in ("first", "second"):
        await ledger.insert(caller=CALLER, callee=AGENT, task=task, delegation_id=job_id, idempotency_key="k")
    await ledger.insert(caller=CALLER, callee=AGENT, task="third", idempotency_key="k")
    assert [job.task for job in await ledger.jobs()] == ["first"]


async def test_previews_are_cut_between_characters(store: Store) -> None:
    ledger = Ledger(store)
    text = "x" + "鍵" * 2_000
    assert len(preview(text).encode()) == 4_096
    job_id = await ledger.insert(caller=CALLER, callee=AGENT, task=text)
    await ledger.transition(job_id, "completed", result=f"{text}\0")
    job = await ledger.job(job_id)
    assert job.task == preview(text)
    assert job.result == preview(text)
    assert preview("y" + text) == "y" + text[: (4_096 - 2) // 3 + 1]


async def test_heartbeats_reach_what_is_in_flight_only(store: Store, clock: Clock) -> None:
    ledger = Ledger(store)
    for status in STATUSES:
        job_id = await put(store, status)
        clock.advance(seconds=5)
        assert await ledger.heartbeat(job_id) is (status in IN_FLIGHT)
        job = await ledger.job(job_id)
        assert (job.last_heartbeat == clock.moment) is (status in IN_FLIGHT)
        assert job.in_flight is (status in IN_FLIGHT)


async def test_progress_comes_back_in_its_order(store: Store) -> None:
    run = await begin(store)
    tables = {
        "users": TableProgress(total=0),
        "memories": TableProgress(5, 3, 1, 2, 1, 0, 9),
        "log": TableProgress(left_behind=4),
    }
    progress = JobProgress("copying memories", tables, 12.5, 3.0, (1.0, 2.5), 7)
    await Ledger(store).heartbeat(run.id, progress)
    job = await Ledger(store).job(run.id[:8])
    assert job.progress == progress
    assert list(job.progress.tables) == ["users", "memories", "log"]
    assert (job.kind, job.attempt, job.source, job.store) == ("copy", 1, "sqlite:a.db", store.location)
    assert job.plan == str(plan_id("copy", "sqlite:a.db", "postgresql://h/d", "m"))


async def test_starting_a_plan_twice_is_one_run(store: Store) -> None:
    runs = await asyncio.gather(*(begin(store) for _ in range(4)))
    assert len({run.id for run in runs}) == 1
    assert sorted(run.already_running for run in runs) == [False, True, True, True]
    assert not (await begin(store, "sqlite:b.db")).already_running


async def test_a_finished_plan_begins_its_next_attempt(store: Store, clock: Clock) -> None:
    first = await begin(store)
    assert await Ledger(store).take(first.id, "2@here") is not None
    assert await Ledger(store).take(first.id, "3@here") is None
    await Ledger(store).transition(first.id, "completed")
    clock.advance(hours=1)
    second = await begin(store)
    assert (second.attempt, second.already_running, second.first_started) == (2, False, first.first_started)
    ended = await Ledger(store).job(first.id)
    assert ended.finished_at is not None
    assert [job.id for job in await Ledger(store).jobs()] == [second.id, first.id]


async def test_a_run_without_a_sign_of_life_is_begun_anew(store: Store, clock: Clock) -> None:
    first = await begin(store)
    await Ledger(store).take(first.id, "2@here")
    clock.advance(seconds=LEASE.total_seconds())
    assert (await begin(store)).already_running
    clock.advance(seconds=1)
    second = await begin(store)
    lost = await Ledger(store).job(first.id)
    assert (lost.status, lost.error) == ("failed", LEASE_LOST)
    assert (second.attempt, second.already_running) == (2, False)
    assert await Ledger(store).heartbeat(first.id) is False


async def test_a_wish_to_stop_is_seen_until_the_end(store: Store) -> None:
    ledger = Ledger(store)
    run = await begin(store)
    assert await ledger.cancelled(run.id) is False
    assert await ledger.request_cancel(run.id)
    assert await ledger.cancelled(run.id) is True
    assert (await ledger.job(run.id)).cancel_requested
    await ledger.transition(run.id, "failed", error="cancelled")
    assert await ledger.cancelled(run.id) is None
    assert not await ledger.request_cancel(run.id)


async def test_what_is_in_flight_comes_first(store: Store, clock: Clock) -> None:
    expected: dict[str, str] = {}
    for status in ("in_progress", "completed", "stuck", "failed"):
        clock.advance(seconds=1)
        expected[status] = await put(store, status)
    listed = [job.id for job in await Ledger(store).jobs()]
    assert listed == [expected[status] for status in ("stuck", "in_progress", "failed", "completed")]
    assert len(await Ledger(store).jobs(limit=2)) == 2


async def test_findings_are_paged(store: Store) -> None:
    ledger = Ledger(store)
    run = await begin(store)
    written = [JobFinding("memories", "failed", f"id-{n} \x1b 鍵", 'It is "bad".') for n in range(7)]
    async with store.backend.write() as transaction:
        await ledger.add_findings(transaction, run.id, written[:4])
        await ledger.add_findings(transaction, run.id, written[4:])
        await ledger.add_findings(transaction, run.id, [])
    first = await ledger.findings(run.id, limit=5)
    second = await ledger.findings(run.id, limit=5, after=first.next)
    assert [*first.items, *second.items] == written
    assert second.next is None
    with pytest.raises(Usage):
        await ledger.findings(run.id, after="x")


async def test_an_unknown_or_ambiguous_job_is_said_to_be(store: Store) -> None:
    ledger = Ledger(store)
    for end in "12":
        await ledger.insert(caller=CALLER, callee=AGENT, task="", delegation_id=f"abcdef-{end}")
    with pytest.raises(NotFound):
        await ledger.job("nothing-like-it")
    with pytest.raises(NotFound):
        await ledger.job("abc")
    with pytest.raises(Usage):
        await ledger.job("abcdef")
    assert (await ledger.job("abcdef-1")).kind == "delegation"
