"""Clocks that jump, days without a midnight, and times of the future."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from tests.faults.lab import Lab, answer
from tests.faults.registry import Attempt, FaultResult, fault, summarize
from tests.faults.rows import against_acknowledged, texts
from tests.support.attempts import change
from tests.support.clock import Clock
from vestige_tui.core.errors import VestigeError
from vestige_tui.core.memories import Draft
from vestige_tui.core.reviews import Rating
from vestige_tui.store.open import open_store

ZONES = ("America/Santiago", "Asia/Beirut", "Africa/Cairo", "Pacific/Apia")
JUMPS = ({"hours": -1}, {"days": 400}, {"days": -400}, {"seconds": -1}, {"days": 7_000}, {"days": -7_000})
MEMORIES = 6


async def _review_through_jumps(url: str, rounds: int) -> tuple[int, int, list[str]]:
    """Review memories while the clock jumps; return the acknowledged and the stored reviews, and the refusals."""
    clock, acknowledged, refusals = Clock(datetime.now(UTC)), 0, []
    async with open_store(url, create=True, clock=clock) as store:
        ids = [(await store.insert(Draft(f"reviewed {n}"), embed=False)).changed[0] for n in range(MEMORIES)]
        for turn in range(rounds):
            clock.advance(**JUMPS[turn % len(JUMPS)])
            try:
                await store.reviews.record(ids[turn % MEMORIES], Rating.GOOD)
                acknowledged += 1
            except VestigeError as error:
                refusals.append(error.message)
            due = [memory.id for memory in await store.reviews.due(clock.moment)]
            assert len(due) == len(set(due)), "a memory is due twice"
        clock.moment = datetime.now(UTC)
        reviews = [review for memory in ids for review in await store.reviews.log(memory)]
        for memory in ids:
            scheduling = await store.reviews.scheduling(memory)
            assert scheduling is None or scheduling.stability > 0
    return acknowledged, len(reviews), refusals


@fault(24, "clock that jumps, and times of the future")
def jumping_clock(lab: Lab) -> FaultResult:
    attempts: list[Attempt] = []
    with lab.database() as server:
        for url in (server, f"sqlite:{lab.path('store.db')}"):
            acknowledged, stored, refusals = asyncio.run(_review_through_jumps(url, lab.tries(30)))
            attempts += [Attempt(each) for each in refusals]
            future = (datetime.now(UTC) + timedelta(days=3_650)).isoformat(timespec="microseconds")
            change(url, f"UPDATE scheduling SET last_review = '{future}', next_review = '{future}'")
            for zone in ZONES:
                for command in (("forecast", "--json"), ("list", "--since", "today", "--json")):
                    result = lab.run("--store", url, *command, env={"TZ": zone})
                    assert result.status == 0, f"{zone} {command[0]}: {result.err}"
            [memory, *_] = answer(lab.run("--store", url, "list", "--json"))["items"]
            graded = lab.run("--store", url, "review", memory["id"], "good")
            assert graded.status == 0, graded.err
            message = graded.out.strip().splitlines()[0]
            kept = against_acknowledged([f"reviewed {number}" for number in range(MEMORIES)], texts(url))
            lost, doubled = max(0, acknowledged - stored), max(0, stored - acknowledged)
            attempts.append(Attempt(message, kept[0] + lost, kept[1] + doubled))
            attempts += [Attempt(message)] * (acknowledged - 1)
    return summarize(attempts)
