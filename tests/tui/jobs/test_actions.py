"""What a person does about a job: keys pressed, lines seen, and what the ledger holds then."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.support.console import Console, open_console
from tests.support.corpus import NOW
from vestige_tui.core.jobs import JobProgress, TableProgress
from vestige_tui.jobs.ledger import CALLER, Ledger
from vestige_tui.jobs.ledger_rows import Run
from vestige_tui.jobs.sweeper import sweep_once
from vestige_tui.jobs.transitions import GIVEN_UP
from vestige_tui.store.store import Store
from vestige_tui.tui.commands.jobs import CancelJob, FailJob, RetryJob
from vestige_tui.tui.dialogs.help import help_rows

AGENT = uuid.UUID("11111111-1111-4111-8111-111111111111")


class Hands:
    """A clock that is moved by hand."""

    now = NOW

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    """The clock of the console that is opened."""
    hands = Hands()
    monkeypatch.setattr("tests.support.console.clock", hands)
    return hands


async def begin(store: Store) -> Run:
    return await Ledger(store).start(
        kind="copy",
        source="sqlite:/gone/a.db",
        target="postgresql://127.0.0.1:1/c",
        model="",
        task="",
        owner="me",
        options={"batch": 50},
    )


async def work(store: Store, task: str = "read the docs") -> str:
    """Work that an agent is at."""
    ledger = Ledger(store)
    given = await ledger.insert(caller=CALLER, callee=AGENT, task=task)
    await ledger.transition(given, "in_progress")
    await ledger.heartbeat(given)
    return given


async def stall(console: Console, hands: Hands, task: str = "read the docs") -> str:
    """Work that got stuck, and stands under the cursor."""
    given = await work(console.store, task)
    await console.press("f5")
    await console.until("agents  1")
    hands.move(minutes=11)
    await sweep_once(console.store, now=hands.now, since=hands.now - timedelta(hours=1))
    await console.until("stuck 11 min")
    return given


@pytest.mark.slow
async def test_a_job_is_stopped_after_asking(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await console.press("f5")
        ledger = Ledger(console.store)
        run = await begin(console.store)
        await console.until("waiting to start")
        await console.press("x")
        await console.until("Stop this job?")
        await console.press("n")
        await console.until("Stop this job?", gone=True)
        assert not (await ledger.job(run.id)).cancel_requested
        await console.press("x")
        await console.until("Stop this job?")
        await console.press("y")
        await console.until("cancelling")
        await console.until("The job is cancelled at its next checkpoint.")
        assert (await ledger.job(run.id)).cancel_requested
        await console.press("x")
        await console.until("It is already being cancelled")


async def test_work_of_an_agent_is_stopped_at_once(corpus: Path) -> None:
    async with open_console(corpus) as console:
        given = await work(console.store)
        await console.press("f5")
        await console.until("agents  1")
        await console.press("x")
        await console.until("Stop this work?")
        assert console.says("It is marked as cancelled here")
        await console.press("y")
        await console.until("The work is cancelled.")
        await console.until("finished  1")
        job = await Ledger(console.store).job(given)
        assert (job.status, job.error) == ("failed", "cancelled")


@pytest.mark.slow
async def test_work_that_gets_stuck_is_said_so_and_queued_once_more(corpus: Path, hands: Hands) -> None:
    async with open_console(corpus) as console:
        given = await stall(console, hands)
        await console.until("No heartbeat since 14:02, for 11 min; it may still recover.")
        await console.press("R")
        await console.until("Queue this work again?")
        await console.press("escape")
        await console.until("Queue this work again?", gone=True)
        assert len(await Ledger(console.store).jobs()) == 1
        await console.press("R")
        await console.until("Queue this work again?")
        await console.press("y")
        await console.until("The work is queued again, as")
        await console.until("finished  1")
        old, new = sorted(await Ledger(console.store).jobs(), key=lambda job: job.retry_count)
        assert (old.id, old.status, old.error) == (given, "failed", f"retried as {new.id}")
        assert (new.status, new.callee, new.task) == ("queued", str(AGENT), "read the docs")
        # The new one is under the cursor.
        await console.until("○ waiting to start   started")
        await console.press("j")
        await console.until(f"It was queued again, as {new.id[:8]}.")


@pytest.mark.slow
async def test_work_is_marked_as_failed_with_a_reason(corpus: Path, hands: Hands) -> None:
    async with open_console(corpus) as console:
        given = await stall(console, hands, "index 倉庫 [/red]")
        for keys in (("escape",), ("enter", "n")):
            await console.press("F")
            await console.until("Mark as failed: index 倉庫 [/red]")
            await console.press(*keys)
            await console.still()
            await console.until("Mark", gone=True)
            assert (await Ledger(console.store).job(given)).status == "stuck"
        await console.press("F")
        await console.until("Mark as failed:")
        await console.type("nobody")
        await console.press("enter")
        await console.until("failed: nobody")
        await console.press("y")
        await console.until("The work is marked as failed.")
        await console.until("finished  1")
        assert (await Ledger(console.store).job(given)).error == "nobody"
        assert "nobody" in console.text


@pytest.mark.slow
async def test_a_reason_may_stay_away(corpus: Path, hands: Hands) -> None:
    async with open_console(corpus) as console:
        given = await stall(console, hands)
        await console.press("F", "enter")
        await console.until("Mark it as failed?")
        await console.press("y")
        await console.until("A user marked it as failed.")
        assert (await Ledger(console.store).job(given)).error == GIVEN_UP


@pytest.mark.slow
async def test_a_job_whose_worker_is_gone_is_taken_up_or_given_up(corpus: Path, hands: Hands) -> None:
    async with open_console(corpus) as console:
        ledger = Ledger(console.store)
        run = await begin(console.store)
        await ledger.take(run.id, "somebody")
        await ledger.heartbeat(run.id, JobProgress("copying", {"memories": TableProgress(5, 5, total=9)}))
        await console.press("f5")
        await console.until("► running")
        for key, why in (
            ("R", "Its last heartbeat was 0 s ago; after 30 s without one, R takes it over."),
            ("F", "Its worker is alive; cancel the job instead."),
        ):
            await console.press(key)
            await console.until(why)
        hands.move(seconds=90)
        await console.until("No heartbeat from its worker for 2 min.")
        assert "R takes it over from its last checkpoint." in console.text
        # What it should read has gone meanwhile: nothing is begun, and that is one sentence.
        await console.press("R")
        await console.until("■")
        assert "/gone/a.db" in console.text
        assert len(await ledger.jobs()) == 1
        await console.press("F", "enter")
        await console.until("Mark it as failed?")
        await console.press("y")
        await console.until("A user marked it as failed.")
        assert "R continues from its last checkpoint." in console.text


async def test_keys_that_make_no_sense_say_why(corpus: Path) -> None:
    async with open_console(corpus) as console:
        ledger = Ledger(console.store)
        given = await work(console.store)
        await console.press("f5")
        await console.until("agents  1")
        await console.press("R")
        await console.until("It is running: last heartbeat 0 s ago.")
        await ledger.transition(given, "completed", result="it is read")
        await console.until("finished  1")
        for key, why in (
            ("R", "It is done; there is nothing to retry."),
            ("x", "This job has already ended."),
            ("F", "This job has already ended."),
        ):
            await console.press(key)
            await console.until(why)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("copy", "It is done; c copies missing rows, v compares."),
        ("verify", "It is done; v compares both stores again."),
        ("reembed", "It is done; there is nothing to retry."),
    ],
)
async def test_what_is_done_says_what_can_be_done_instead(corpus: Path, kind: str, why: str) -> None:
    async with open_console(corpus) as console:
        ledger = Ledger(console.store)
        run = await ledger.start(
            kind=kind, source="sqlite:/gone/a.db", target="postgresql://127.0.0.1:1/c", model="", task="", owner="me"
        )
        await ledger.transition(run.id, "completed")
        await console.press("f5")
        await console.until("finished  1")
        await console.press("R")
        await console.until(why)


@pytest.mark.slow
async def test_a_job_that_no_worker_took_up_gives_no_sign_of_life(corpus: Path, hands: Hands) -> None:
    async with open_console(corpus) as console:
        await begin(console.store)
        await console.press("f5")
        await console.until("waiting to start")
        await console.press("R")
        await console.until("It has no heartbeat yet; after 30 s without one, R takes it over.")
        hands.move(seconds=31)
        await console.until("no heartbeat  1")
        await console.press("F")
        await console.until("Mark as failed:")
        assert "enter continue" in console.text


async def test_an_earlier_attempt_is_not_taken_up_again(corpus: Path) -> None:
    async with open_console(corpus) as console:
        ledger = Ledger(console.store)
        first = await begin(console.store)
        await ledger.transition(first.id, "failed", error="The server went away.")
        await begin(console.store)
        await console.press("f5")
        await console.until("running  1")
        await console.press("G", "R")
        await console.until("Attempt 2 followed this one and is running.")


async def test_the_whole_id_is_copied(corpus: Path) -> None:
    async with open_console(corpus) as console:
        run = await begin(console.store)
        await console.press("f5")
        await console.until("waiting to start")
        await console.press("y")
        await console.until("Sent the id of the job to the terminal, 36 characters.")
        assert console.app.clipboard == run.id


@pytest.mark.slow
@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
async def test_what_can_be_done_stands_in_the_footer_and_in_help(
    corpus: Path, hands: Hands, size: tuple[int, int]
) -> None:
    async with open_console(corpus, size) as console:
        await begin(console.store)
        await console.press("f5")
        await console.until("waiting to start")
        hands.move(seconds=90)
        # What the sentence beside the job names comes before what can always be done.
        await console.until("R takes it over from its last checkpoint.")
        await console.until("R retry")
        assert all(said in console.lines[-1] for said in ("x cancel", "R retry", "F fail")), console.lines[-1]
        shown = {row.sentence: row.keys for row in help_rows(console.app.screen)}
        assert {shown[command.help] for command in (CancelJob, RetryJob, FailJob)} == {"x", "R", "F"}
