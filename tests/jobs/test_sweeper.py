"""The sweeper: what is over its deadline, what gives no sign of life, and what it leaves alone."""

from __future__ import annotations

import uuid
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.clock import Clock
from tests.support.vestige_files import make_v18
from vestige_tui.core.jobs import JobProgress, JobStatus
from vestige_tui.jobs.ledger import CALLER, Ledger
from vestige_tui.jobs.ledger_rows import Run
from vestige_tui.jobs.sweeper import SWEEP_SECONDS, SweepResult, sweep, sweep_once, sweep_summary, sweeping
from vestige_tui.jobs.transitions import IN_FLIGHT, OVERDUE, STUCK_AFTER, TRANSITIONS
from vestige_tui.store.backends.protocol import Params, Row
from vestige_tui.store.open import open_store
from vestige_tui.store.schema.named_sql import Slots
from vestige_tui.store.store import Store

AGENT = uuid.UUID("11111111-1111-4111-8111-111111111111")
LONG_AGO = datetime.min.replace(tzinfo=UTC)


async def put(store: Store, status: JobStatus, *, beat: bool = False, deadline: datetime | None = None) -> str:
    ledger = Ledger(store)
    job_id = await ledger.insert(caller=CALLER, callee=AGENT, task="reindex", deadline=deadline)
    if status != "queued":
        await ledger.transition(job_id, status)
    if beat:
        await ledger.heartbeat(job_id)
    return job_id


async def start(store: Store) -> Run:
    return await Ledger(store).start(kind="copy", source="a", target="b", model="m", task="copy", owner="1@here")


async def stands(store: Store, job_id: str) -> tuple[str, str | None]:
    job = await Ledger(store).job(job_id)
    return job.status, job.error


async def test_what_is_over_its_deadline_fails_whatever_its_state(store: Store, clock: Clock) -> None:
    over = [await put(store, status, beat=True, deadline=clock.moment) for status in IN_FLIGHT]
    over.append(await put(store, "queued", deadline=clock.moment))
    later = await put(store, "in_progress", beat=True, deadline=clock.moment + timedelta(seconds=1))
    done = await put(store, "completed", deadline=clock.moment)
    assert await sweep_once(store, now=clock.moment, since=LONG_AGO) == SweepResult()
    clock.advance(seconds=1)
    # The sweeper's own beginning is no grace for a deadline.
    assert await sweep_once(store, now=clock.moment, since=clock.moment) == SweepResult(deadline_failures=5)
    for job_id in over:
        assert await stands(store, job_id) == ("failed", OVERDUE)
    assert await stands(store, later) == ("in_progress", None)
    assert await stands(store, done) == ("completed", None)
    assert await sweep_once(store, now=clock.moment, since=LONG_AGO) == SweepResult()


async def test_what_gives_no_sign_of_life_is_stuck(store: Store, clock: Clock) -> None:
    jobs = {status: await put(store, status, beat=True) for status in IN_FLIGHT}
    never = await put(store, "in_progress")
    clock.advance(seconds=STUCK_AFTER.total_seconds())
    assert await sweep_once(store, now=clock.moment, since=LONG_AGO) == SweepResult()
    clock.advance(seconds=1)
    lively = await put(store, "in_progress", beat=True)
    assert await sweep_once(store, now=clock.moment, since=LONG_AGO) == SweepResult(stuck_marked=3)
    for status, job_id in jobs.items():
        error = None if status == "stuck" else "no heartbeat for 601 s"
        assert await stands(store, job_id) == ("stuck", error)
    for job_id in (never, lively):
        assert await stands(store, job_id) == ("in_progress", None)
    # What is stuck recovers by itself, and is looked at for nothing but its deadline.
    assert await Ledger(store).heartbeat(jobs["queued"])
    assert await Ledger(store).transition(jobs["dispatched"], "completed", result="late") == "moved"
    clock.advance(hours=1)
    assert await sweep_once(store, now=clock.moment, since=LONG_AGO) == SweepResult(stuck_marked=1)
    clock.advance(hours=6)
    assert await sweep_once(store, now=clock.moment, since=LONG_AGO) == SweepResult(deadline_failures=5)
    assert await stands(store, jobs["queued"]) == ("failed", OVERDUE)


async def test_the_deadline_is_looked_at_first(store: Store, clock: Clock) -> None:
    job_id = await put(store, "in_progress", beat=True, deadline=clock.moment + timedelta(minutes=5))
    clock.advance(minutes=20)
    assert await sweep_once(store, now=clock.moment, since=LONG_AGO) == SweepResult(deadline_failures=1)
    assert await stands(store, job_id) == ("failed", OVERDUE)


async def test_nothing_is_stuck_before_anybody_could_give_a_sign(store: Store, clock: Clock) -> None:
    job_id = await put(store, "dispatched", beat=True)
    clock.advance(hours=1)
    since = clock.moment
    clock.advance(seconds=59)
    minute = timedelta(minutes=1)
    assert await sweep_once(store, now=clock.moment, since=since, threshold=minute) == SweepResult()
    assert await stands(store, job_id) == ("dispatched", None)
    clock.advance(seconds=1)
    assert await sweep_once(store, now=clock.moment, since=since, threshold=minute) == SweepResult(stuck_marked=1)


async def test_a_job_of_ours_that_is_swept_away_can_be_begun_anew(store: Store, clock: Clock) -> None:
    ledger = Ledger(store)
    run = await start(store)
    await ledger.take(run.id, "2@here")
    for _ in range(8):
        clock.advance(hours=1)
        assert await ledger.heartbeat(run.id, JobProgress("copying"), {"step": 4})
        # As long as it lives, its deadline is never near.
        assert await sweep_once(store, now=clock.moment, since=LONG_AGO) == SweepResult()
    clock.advance(minutes=11)
    assert await sweep_once(store, now=clock.moment, since=LONG_AGO) == SweepResult(stuck_marked=1)
    assert await ledger.heartbeat(run.id)
    clock.advance(hours=7)
    assert await sweep_once(store, now=clock.moment, since=LONG_AGO) == SweepResult(deadline_failures=1)
    assert (await ledger.job(run.id)).finished_at == clock.moment
    assert not await ledger.heartbeat(run.id)
    again = await start(store)
    assert (again.attempt, again.checkpoint) == (2, {"step": 4})


async def test_a_sign_of_life_in_the_last_moment_counts(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(store)
    run = await start(store)
    await ledger.take(run.id, "2@here")
    silent = await put(store, "in_progress", beat=True)
    ended = await put(store, "in_progress", beat=True)
    fetch = store.backend.fetch

    async def fetch_and_live(name: str, params: Params | None = None, slots: Slots | None = None) -> list[Row]:
        rows = await fetch(name, params, slots)
        if name == "list_sweepable":
            await ledger.heartbeat(run.id)
            await ledger.heartbeat(silent)
            await ledger.transition(ended, "completed")
        return rows

    monkeypatch.setattr(store.backend, "fetch", fetch_and_live)
    clock.advance(minutes=11)
    assert await sweep_once(store, now=clock.moment, since=LONG_AGO) == SweepResult()
    clock.advance(hours=7)
    # Only the deadline of the other one's work stands.
    assert await sweep_once(store, now=clock.moment, since=LONG_AGO) == SweepResult(deadline_failures=1)
    assert (await stands(store, run.id), await stands(store, silent)) == (("in_progress", None), ("failed", OVERDUE))
    assert await stands(store, ended) == ("completed", None)


async def test_one_bad_row_does_not_stop_the_rest(store: Store, clock: Clock) -> None:
    jobs = []
    for _ in range(3):
        jobs.append(await put(store, "in_progress", deadline=clock.moment))
        clock.advance(seconds=1)
    refuse = (
        f"CREATE TRIGGER refuse BEFORE UPDATE ON delegations WHEN NEW.delegation_id = '{jobs[1]}' "
        "BEGIN SELECT RAISE(ABORT, 'not this one'); END;"
        if store.kind == "sqlite"
        else "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not this one'; END $$; "
        f"CREATE TRIGGER refuse BEFORE UPDATE ON delegations FOR EACH ROW WHEN (NEW.delegation_id = '{jobs[1]}') "
        "EXECUTE FUNCTION refuse();"
    )
    async with store.backend.write() as transaction:
        await transaction.script(refuse)
    assert await sweep_once(store, now=clock.moment, since=LONG_AGO) == SweepResult(deadline_failures=2, errors=1)
    assert [(await stands(store, job_id))[0] for job_id in jobs] == ["failed", "in_progress", "failed"]


async def test_a_deadline_that_nobody_can_read_is_an_error_of_its_row(tmp_path: Path, clock: Clock) -> None:
    async with open_store(f"sqlite:{tmp_path / 'store.db'}", create=True, clock=clock) as store:
        await put(store, "in_progress", deadline=clock.moment)
        clock.advance(seconds=1)
        over = await put(store, "queued", deadline=clock.moment)
        async with store.backend.write() as transaction:
            await transaction.script("UPDATE delegations SET deadline = 'soon' WHERE status = 'in_progress'")
        clock.advance(seconds=1)
        assert await sweep_once(store, now=clock.moment, since=LONG_AGO) == SweepResult(deadline_failures=1, errors=1)
        assert await stands(store, over) == ("failed", OVERDUE)


async def test_a_deadline_of_infinity_is_never_over(postgres_database: str, clock: Clock) -> None:
    async with open_store(postgres_database, create=True, clock=clock) as store:
        job_id = await put(store, "in_progress", beat=True)
        async with store.backend.write() as transaction:
            await transaction.script("UPDATE delegations SET deadline = 'infinity'")
        clock.advance(days=400)
        assert await sweep_once(store, now=clock.moment, since=LONG_AGO) == SweepResult(stuck_marked=1)
        assert (await stands(store, job_id))[0] == "stuck"


def test_only_what_may_become_stuck_is_looked_at_for_that() -> None:
    assert [status for status in IN_FLIGHT if "stuck" in TRANSITIONS[status]] == [
        "queued",
        "dispatched",
        "in_progress",
    ]


async def test_the_console_sweeps_at_once_and_then_now_and_then(store: Store, clock: Clock) -> None:
    # Later than any start of a server.
    clock.moment = datetime.now(UTC) + timedelta(days=1)
    over = await put(store, "in_progress", deadline=clock.moment - timedelta(seconds=1))
    silent = await put(store, "in_progress", beat=True)
    clock.advance(hours=1)
    opened = clock.moment
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        clock.advance(seconds=seconds)
        if len(pauses) == 4:
            # The machine sleeps, and whoever worked on it slept as well.
            await Ledger(store).heartbeat(lively)
            clock.advance(hours=2)

    async with aclosing(sweeping(store, pause=pause)) as sweeps:
        assert await anext(sweeps) == SweepResult(deadline_failures=1)
        assert (clock.moment, pauses) == (opened, [])
        assert await stands(store, over) == ("failed", OVERDUE)
        lively = await put(store, "in_progress", beat=True)
        assert await anext(sweeps) == SweepResult(stuck_marked=1)
        assert pauses == [SWEEP_SECONDS] * 2
        assert (await stands(store, silent))[0] == "stuck"
        assert (await stands(store, lively))[0] == "in_progress"
        await Ledger(store).heartbeat(lively)
        assert await anext(sweeps) == SweepResult(stuck_marked=1)
        assert len(pauses) == 6


async def test_a_store_that_may_not_be_written_is_left_alone(store: Store, clock: Clock, tmp_path: Path) -> None:
    job_id = await put(store, "in_progress", deadline=clock.moment)
    clock.advance(seconds=1)
    url = store.location if store.kind == "sqlite" else None
    if url is not None:
        async with open_store(url, read_only=True, clock=clock) as reader:
            assert [swept async for swept in sweeping(reader)] == []
    async with open_store(str(make_v18(tmp_path / "vestige.db", 3))) as foreign:
        assert [swept async for swept in sweeping(foreign)] == []
    assert (await stands(store, job_id))[0] == "in_progress"


async def test_a_server_that_just_began_gives_grace(postgres_database: str, clock: Clock) -> None:
    clock.moment = datetime.now(UTC)
    async with open_store(postgres_database, create=True, clock=clock) as store:
        [server] = await store.backend.fetch("describe_server")
        clock.moment = server["started_at"] - timedelta(hours=2)
        await put(store, "in_progress", beat=True, deadline=clock.moment + timedelta(days=1))
        clock.moment = server["started_at"] + timedelta(minutes=9)
        assert await sweep(store) == SweepResult()
        clock.advance(minutes=1)
        assert await sweep(store) == SweepResult(stuck_marked=1)


def test_a_sweep_is_told_in_words() -> None:
    assert sweep_summary(SweepResult(1)) == "1 job is past its deadline and marked as failed."
    assert sweep_summary(SweepResult(2, 1)) == (
        "2 jobs are past their deadline and marked as failed. 1 job is stuck: no heartbeat for more than 10 min."
    )
    assert sweep_summary(SweepResult(0, 0, 3)) == "3 jobs could not be updated."
    assert sweep_summary(SweepResult()).startswith("No job is past its deadline")
