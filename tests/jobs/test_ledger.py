"""The ledger, asked of both backends alike."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta

import pytest

from tests.support.clock import Clock
from vestige_tui.core.errors import Conflict, NotFound, Usage
from vestige_tui.core.jobs import JobFinding, JobProgress, JobStatus, TableProgress
from vestige_tui.jobs.ledger import CALLER, Ledger, plan_id
from vestige_tui.jobs.ledger_rows import Run, preview
from vestige_tui.jobs.sweeper import sweep_once
from vestige_tui.jobs.transitions import (
    CANCELLED,
    DEADLINE,
    GIVEN_UP,
    IN_FLIGHT,
    LEASE,
    LEASE_LOST,
    STATUSES,
    TRANSITIONS,
)
from vestige_tui.store.store import Store

AGENT = uuid.UUID("11111111-1111-4111-8111-111111111111")


async def begin(store: Store, source: str = "sqlite:a.db", *, fresh: bool = False) -> Run:
    return await Ledger(store).start(
        kind="copy",
        source=source,
        target="postgresql://h/d",
        model="m",
        task="copy a",
        owner="1@here",
        options={"batch": 50},
        fresh=fresh,
    )


async def reach(store: Store, run: Run, step: int) -> None:
    """Let a run come as far as a step, with a finding of that number, and an index dropped."""
    ledger = Ledger(store)
    progress = JobProgress(f"step {step}", {"memories": TableProgress(read=step, total=9)})
    async with store.backend.write() as transaction:
        await ledger.add_findings(transaction, run.id, [JobFinding("memories", "failed", str(step), "No.")])
        await ledger.note_dropped(transaction, run.id, [f"index_{step}"])
        assert await ledger.note(transaction, run.id, progress, {"step": step, "table": "memories"})


async def steps_found(store: Store, job_id: str) -> list[str]:
    return [finding.source_key for finding in (await Ledger(store).findings(job_id)).items]


async def put(store: Store, status: JobStatus) -> str:
    """A delegation in a state, brought there by allowed steps."""
    ledger = Ledger(store)
    job_id = await ledger.insert(caller=CALLER, callee=AGENT, task="reindex")
    if status != "queued":
        await ledger.transition(job_id, status)
    return job_id


def test_the_states_in_flight_are_those_that_something_follows() -> None:
    assert IN_FLIGHT == ("queued", "dispatched", "in_progress", "stuck")
    assert {
        "queued": {"dispatched", "in_progress", "completed", "failed", "stuck"},
        "dispatched": {"in_progress", "completed", "failed", "stuck"},
        "in_progress": {"completed", "failed", "stuck"},
        "stuck": {"completed", "failed"},
        "completed": set(),
        "failed": set(),
    } == TRANSITIONS


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
    results = await asyncio.gather(*(ledger.transition(job_id, "completed", result=str(n)) for n in range(6)))
    assert sorted(results) == ["moved"] + ["replayed"] * 5


async def test_of_two_who_tell_different_ends_one_is_refused(store: Store) -> None:
    ledger = Ledger(store)
    for _ in range(5):
        job_id = await put(store, "in_progress")
        results = await asyncio.gather(
            ledger.transition(job_id, "completed", result="done"),
            ledger.transition(job_id, "failed", error="no"),
            return_exceptions=True,
        )
        [lost] = [each for each in results if isinstance(each, Conflict)]
        assert [each for each in results if each is not lost] == ["moved"]
        job = await ledger.job(job_id)
        assert (job.status, job.result, job.error) == (
            ("completed", "done", None) if results[1] is lost else ("failed", None, "no")
        )


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
        stands = await ledger.insert(caller=CALLER, callee=AGENT, task=task, delegation_id=job_id, idempotency_key="k")
        assert stands == job_id
    assert await ledger.insert(caller=CALLER, callee=AGENT, task="third", idempotency_key="k") == job_id
    assert [job.task for job in await ledger.jobs()] == ["first"]
    # Another caller's key is another key, and a key says nothing where the id is there.
    theirs = await ledger.insert(caller=AGENT, callee=CALLER, task="theirs", idempotency_key="k")
    assert theirs != job_id
    stands = await ledger.insert(caller=CALLER, callee=AGENT, task="fourth", delegation_id=theirs, idempotency_key="k")
    assert stands == theirs
    results = await asyncio.gather(
        *(ledger.insert(caller=CALLER, callee=AGENT, task=str(n), idempotency_key="raced") for n in range(5))
    )
    assert len(set(results)) == 1
    assert len(await ledger.jobs()) == 3


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


async def test_details_keep_what_a_store_can_hold(store: Store) -> None:
    ledger = Ledger(store)
    job_id = await ledger.insert(caller=CALLER, callee=AGENT, task="half \ud83d pair")
    await ledger.transition(job_id, "failed", error="nul \0 and \ud83d half" + "x" * 5_000)
    job = await ledger.job(job_id)
    assert job.task == "half ? pair"
    assert job.error == "nul \u2400 and ? half" + "x" * 5_000


async def test_only_the_deadline_of_our_own_jobs_moves_with_their_life(store: Store, clock: Clock) -> None:
    ledger = Ledger(store)
    theirs, ours = await put(store, "in_progress"), (await begin(store)).id
    deadline = clock.moment + DEADLINE
    clock.advance(hours=1)
    for job_id in (theirs, ours):
        assert (await ledger.job(job_id)).deadline == deadline
        await ledger.heartbeat(job_id)
    assert (await ledger.job(theirs)).deadline == deadline
    assert (await ledger.job(ours)).deadline == deadline + timedelta(hours=1)


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


async def test_an_attempt_is_taken_once_with_what_it_has_to_do(store: Store) -> None:
    ledger = Ledger(store)
    run = await begin(store)
    assert (run.checkpoint, run.progress) == ({}, None)
    taken = await ledger.take(run.id, "2@here")
    assert taken is not None
    assert (taken.id, taken.attempt, taken.kind, taken.source, taken.target, taken.options) == (
        run.id,
        1,
        "copy",
        "sqlite:a.db",
        "postgresql://h/d",
        {"batch": 50},
    )
    assert (taken.checkpoint, taken.progress, taken.dropped_indexes) == ({}, None, ())
    assert taken.first_started == run.first_started
    assert await ledger.take(run.id, "3@here") is None
    job = await ledger.job(run.id)
    assert (job.status, job.owner, job.options) == ("in_progress", "2@here", {"batch": 50})
    assert (job.caller, job.callee, job.retry_count) == (str(CALLER), job.plan, 0)
    assert await ledger.take(str(uuid.uuid4()), "2@here") is None
    for status in STATUSES:
        assert await ledger.take(await put(store, status), "2@here") is None
    with pytest.raises(NotFound):
        await ledger.run(await put(store, "queued"))


@pytest.mark.parametrize("end", ["failed", "cancelled", "lease lost", "deadline", "outsider"])
async def test_an_attempt_goes_on_from_where_the_one_before_came_to(store: Store, clock: Clock, end: str) -> None:
    ledger = Ledger(store)
    first = await begin(store)
    await ledger.take(first.id, "2@here")
    assert await ledger.step(first.id) == 0
    await reach(store, first, 3)
    assert await ledger.step(first.id) == 3
    if end == "lease lost":
        clock.advance(seconds=LEASE.total_seconds() + 1)
    elif end == "deadline":
        clock.advance(days=1)
        await sweep_once(store, now=clock.moment, since=first.first_started)
    elif end == "outsider":
        # Somebody who knows nothing of runs has ended the delegation.
        async with store.backend.write() as transaction:
            await transaction.script("UPDATE delegations SET status = 'failed', error_detail = 'by hand'")
    else:
        await ledger.transition(first.id, "failed", error=end)
    second = await begin(store)
    assert (second.attempt, second.already_running, second.first_started) == (2, False, first.first_started)
    assert second.checkpoint == {"step": 3, "table": "memories"}
    assert second.progress is not None
    assert second.progress.tables["memories"].read == 3
    assert await ledger.step(second.id) == 3
    again = await begin(store)
    assert (again.id, again.already_running, again.checkpoint) == (second.id, True, second.checkpoint)
    taken = await ledger.take(second.id, "3@here")
    assert taken is not None
    assert (taken.checkpoint, taken.progress) == (second.checkpoint, second.progress)
    assert taken.dropped_indexes == ("index_3",)
    assert (await ledger.job(second.id)).retry_count == 1
    await reach(store, second, 5)
    assert await steps_found(store, second.id) == ["3", "5"]
    assert await steps_found(store, first.id) == ["3"]
    await ledger.transition(second.id, "failed", error="again")
    third = await begin(store)
    assert third.checkpoint["step"] == 5
    assert await steps_found(store, third.id) == ["3", "5"]
    await ledger.transition(third.id, "completed")
    # What completed is done: the next attempt begins anew.
    fourth = await begin(store)
    assert (fourth.attempt, fourth.checkpoint, fourth.progress) == (4, {}, None)
    assert (await ledger.run(fourth.id)).dropped_indexes == ()
    await reach(store, fourth, 1)
    assert await steps_found(store, fourth.id) == ["1"]
    assert await steps_found(store, third.id) == ["3", "5"]
    jobs = [await ledger.job(each.id) for each in (first, second, third, fourth)]
    assert [(job.attempt, job.tries, job.resumed) for job in jobs] == [
        (1, 1, False),
        (2, 2, True),
        (3, 3, True),
        (4, 1, False),
    ]


async def test_an_attempt_can_be_told_to_begin_anew(store: Store) -> None:
    ledger = Ledger(store)
    first = await begin(store)
    await reach(store, first, 3)
    await ledger.transition(first.id, "failed", error="no")
    second = await begin(store, fresh=True)
    assert (second.attempt, second.checkpoint, second.progress) == (2, {}, None)
    assert await steps_found(store, second.id) == []
    # The index is missing all the same.
    assert (await ledger.run(second.id)).dropped_indexes == ("index_3",)
    await reach(store, second, 1)
    await ledger.transition(second.id, "failed", error="no")
    third = await begin(store)
    assert third.checkpoint["step"] == 1
    assert await steps_found(store, third.id) == ["1"]


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


async def test_jobs_are_listed_and_counted_by_their_state(store: Store, clock: Clock) -> None:
    ledger = Ledger(store)
    assert await ledger.counts() == dict.fromkeys(STATUSES, 0)
    put_in: dict[str, list[str]] = {status: [] for status in STATUSES}
    for status in (*STATUSES, "stuck"):
        clock.advance(seconds=1)
        put_in[status].insert(0, await put(store, status))
    assert await ledger.counts() == {status: 2 if status == "stuck" else 1 for status in STATUSES}
    for status in STATUSES:
        assert [job.id for job in await ledger.jobs(status=status)] == put_in[status]
    flying = [job.id for job in await ledger.jobs(status="in_flight")]
    assert flying == [put_in["stuck"][0], put_in["stuck"][1], *(put_in[s][0] for s in IN_FLIGHT[-2::-1])]
    assert [job.id for job in await ledger.jobs(1, "in_flight")] == flying[:1]
    with pytest.raises(Usage, match="in_flight, queued, dispatched, in_progress, completed, failed, stuck"):
        await ledger.jobs(status="running")
    for limit in (0, 1_001):
        with pytest.raises(Usage):
            await ledger.jobs(limit)
    assert len(await ledger.jobs(1_000)) == 7


async def test_a_time_outside_the_calendar_hides_no_other_row(store: Store) -> None:
    ledger = Ledger(store)
    for _ in range(2):
        await put(store, "in_progress")
    odd = await put(store, "dispatched")
    value = "infinity" if store.kind == "postgres" else "the day after tomorrow"
    async with store.backend.write() as transaction:
        await transaction.script(f"UPDATE delegations SET deadline = '{value}' WHERE status = 'dispatched'")
    assert len(await ledger.jobs()) == 3
    assert (await ledger.job(odd)).deadline is None


# What a person does


async def test_a_delegation_is_cancelled_at_once(store: Store) -> None:
    ledger = Ledger(store)
    for status in IN_FLIGHT:
        job_id = await put(store, status)
        assert await ledger.cancel(job_id) == "ended"
        job = await ledger.job(job_id)
        assert (job.status, job.error) == ("failed", CANCELLED)
        with pytest.raises(Conflict):
            await ledger.cancel(job_id)
    with pytest.raises(NotFound):
        await ledger.cancel(str(uuid.uuid4()))


async def test_a_job_is_asked_to_stop_and_ended_where_its_worker_is_gone(store: Store, clock: Clock) -> None:
    ledger = Ledger(store)
    run = await begin(store)
    clock.advance(seconds=20)
    await ledger.take(run.id, "2@here")
    clock.advance(seconds=LEASE.total_seconds())
    assert await ledger.cancel(run.id) == "asked"
    job = await ledger.job(run.id)
    assert (job.status, job.cancel_requested) == ("in_progress", True)
    clock.advance(seconds=1)
    assert await ledger.cancel(run.id) == "ended"
    job = await ledger.job(run.id)
    assert (job.status, job.error, job.finished_at) == ("failed", CANCELLED, clock.moment)
    assert not (await begin(store)).already_running


async def test_a_person_ends_what_nobody_ends(store: Store, clock: Clock) -> None:
    ledger = Ledger(store)
    run = await begin(store)
    await ledger.take(run.id, "2@here")
    await ledger.mark_failed(run.id, "the disk is gone")
    job = await ledger.job(run.id)
    assert (job.status, job.error, job.finished_at) == ("failed", "the disk is gone", clock.moment)
    # The worker, should it live, is told so with its next step, which is taken back.
    assert await ledger.heartbeat(run.id, JobProgress("copying"), {"step": 9}) is False
    assert await ledger.step(run.id) == 0
    for status in IN_FLIGHT:
        job_id = await put(store, status)
        await ledger.mark_failed(job_id)
        assert (await ledger.job(job_id)).error == GIVEN_UP
    for status in ("completed", "failed"):
        with pytest.raises(Conflict):
            await ledger.mark_failed(await put(store, status))
    with pytest.raises(NotFound):
        await ledger.mark_failed(str(uuid.uuid4()))


async def test_a_delegation_is_retried(store: Store, clock: Clock) -> None:
    ledger = Ledger(store)
    for status in (*IN_FLIGHT, "failed"):
        old_id = await put(store, status)
        if status in IN_FLIGHT:
            await ledger.heartbeat(old_id)
            clock.advance(seconds=29)
            with pytest.raises(Conflict, match="is running"):
                await ledger.retry(old_id)
            clock.advance(seconds=1)
        else:
            await ledger.transition(old_id, "failed", error="it broke")
        new_id = await ledger.retry(old_id)
        old, new = await ledger.job(old_id), await ledger.job(new_id)
        assert (old.status, old.error) == ("failed", f"retried as {new_id}" if status != "failed" else "it broke")
        assert (new.status, new.caller, new.callee, new.task) == ("queued", old.caller, old.callee, old.task)
        assert (new.retry_count, new.deadline, new.created_at) == (1, clock.moment + DEADLINE, clock.moment)
        with pytest.raises(Conflict, match=new_id[:8]):
            await ledger.retry(old_id)
        last = await ledger.job(await ledger.retry(new_id))
        assert last.retry_count == 2
        assert not (await ledger.job(new_id)).in_flight
    with pytest.raises(Conflict, match="completed"):
        await ledger.retry(await put(store, "completed"))
    with pytest.raises(Usage, match="resume it"):
        await ledger.retry((await begin(store)).id)
    with pytest.raises(NotFound):
        await ledger.retry(str(uuid.uuid4()))


async def test_two_who_retry_make_one(store: Store) -> None:
    ledger = Ledger(store)
    job_id = await put(store, "stuck")
    results = await asyncio.gather(*(ledger.retry(job_id) for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(each, Conflict) for each in results) == 3
    assert len(await ledger.jobs()) == 2


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


async def test_a_finding_may_name_what_no_store_can_hold(store: Store) -> None:
    ledger = Ledger(store)
    run = await begin(store)
    async with store.backend.write() as transaction:
        await ledger.add_findings(transaction, run.id, [JobFinding("a\0b", "left_behind", "\udc80", "\ud83d")])
        await ledger.note(transaction, run.id, JobProgress("", {"a\0b": TableProgress(left_behind=1)}))
    assert (await ledger.findings(run.id)).items == (JobFinding("a\u2400b", "left_behind", "\ufffd", "?"),)
    assert list((await ledger.job(run.id)).progress.tables) == ["a\u2400b"]


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
