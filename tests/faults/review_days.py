"""Reviews that are buried and undone in the console, and days whose midnight a clock change skips."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from tests.faults.damaged_rows import count_rows
from tests.faults.lab import Lab, console_env
from tests.faults.registry import Attempt, FaultResult, fault, summarize
from tests.faults.rows import against_acknowledged, texts
from tests.support.clock import Clock
from tests.support.terminal import Terminal, console
from vestige_tui.core.memories import Draft
from vestige_tui.core.reviews import Scheduling
from vestige_tui.store.open import open_store

CARDS = ("Harbour: 10 ships", "Garden: 20 trees", "Kitchen: 30 cups")
"""Texts of the cards; a card hides the number."""
EVENINGS = {
    "America/Santiago": (datetime(2026, 9, 6, 1, tzinfo=UTC), datetime(2026, 9, 6, 4, tzinfo=UTC)),
    "Asia/Beirut": (datetime(2026, 3, 28, 20, tzinfo=UTC), datetime(2026, 3, 28, 22, tzinfo=UTC)),
    "America/Havana": (datetime(2025, 11, 2, 2, tzinfo=UTC), datetime(2025, 11, 2, 4, tzinfo=UTC)),
}
"""By zone: the evening before a midnight that a clock change skips or repeats, and the end of that day."""


def _due(moment: datetime) -> Scheduling:
    return Scheduling(20.0, 5.0, 1.0, moment - timedelta(days=20), moment, 3, 0)


async def _insert_due(url: str) -> None:
    now = datetime.now(UTC)
    async with open_store(url, create=True) as store:
        for number, text in enumerate(CARDS):
            due = _due(now - timedelta(days=len(CARDS) - number))
            await store.insert(Draft(text, scheduling=due), embed=False)


async def _stored(url: str) -> tuple[list[Scheduling | None], list[bool], int]:
    """Return the schedules, whether each memory is buried, and the number that is due."""
    async with open_store(url, read_only=True) as store:
        memories = sorted((await store.page()).items, key=lambda memory: CARDS.index(memory.content))
        marks = [await store.reviews.marks(memory.id) for memory in memories]
        due = (await store.reviews.queue_counts()).due
        states = [await store.reviews.scheduling(memory.id) for memory in memories]
    return states, [mark.buried_until is not None for mark in marks], due


def _grade(terminal: Terminal, card: str, key: str) -> None:
    terminal.until(card)
    terminal.press("space")
    terminal.until("1 Again")
    terminal.still()
    terminal.press(key)


def _bury_and_undo(url: str) -> Attempt:
    """Bury a card, undo, bury it again, undo a grade, and grade what is left; compare the summary with the store."""
    asyncio.run(_insert_due(url))
    before, _, _ = asyncio.run(_stored(url))
    with Terminal(console(url), env=console_env()) as terminal:
        terminal.until(f"{len(CARDS)} memories")
        terminal.press("f4")
        terminal.until("1 of 3")
        terminal.until("Harbour")
        terminal.press("b")
        terminal.until("Garden")
        terminal.until(lambda: asyncio.run(_stored(url)) == (before, [True, False, False], 2))
        terminal.press("u")
        terminal.until("1 of 3")
        terminal.until(lambda: asyncio.run(_stored(url)) == (before, [False] * 3, 3))
        terminal.press("b")
        _grade(terminal, "Garden", "3")
        terminal.until("Kitchen")
        terminal.press("u")
        terminal.until("2 of 3")
        terminal.until(lambda: asyncio.run(_stored(url))[0] == before)
        _grade(terminal, "Garden", "3")
        _grade(terminal, "Kitchen", "4")
        terminal.until(" graded")
        terminal.still()
        [summary] = [line.strip(" │▌") for line in terminal.lines if " graded" in line]
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
    assert summary.startswith("2 graded"), summary
    states, buried, due = asyncio.run(_stored(url))
    assert (states[0], buried, due) == (before[0], [True, False, False], 0)
    reps = [state.reps if state else 0 for state in states]
    # Two grades, one of them undone and given again: five rows, or four beside one that undoes.
    assert reps == [3, 4, 4], f"repetitions {reps}"
    assert count_rows(url, "review_events") == 4
    return Attempt(summary, *against_acknowledged(CARDS, texts(url)))


@fault(40, "card that is buried, undone and buried again")
def undone_burial(lab: Lab) -> FaultResult:
    with lab.database() as server:
        return summarize([_bury_and_undo(url) for url in (server, f"sqlite:{lab.path('store.db')}")])


@contextmanager
def _zone(name: str) -> Iterator[None]:
    """Let this process, and all that it starts, be in a time zone for the block."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = name
    time.tzset()
    try:
        yield
    finally:
        del os.environ["TZ"]
        if before is not None:
            os.environ["TZ"] = before
        time.tzset()


async def _through_midnight(url: str, evening: datetime, end: datetime) -> None:
    """Review on the last evening of a day: what is due at its end belongs to the next one."""
    clock = Clock(evening)
    async with open_store(url, create=True, clock=clock) as store:
        ids = [
            (await store.insert(Draft(text, scheduling=_due(due)), embed=False)).changed[0]
            for text, due in (("last minute", end - timedelta(minutes=1)), ("first minute", end))
        ]
        counts = await store.reviews.queue_counts()
        assert (counts.overdue, counts.today) == (0, 1), counts
        assert [memory.id for memory in await store.reviews.due()] == ids[:1]
        await store.reviews.bury(ids[0])
        assert (await store.reviews.marks(ids[0])).buried_until == end
        clock.moment = end
        assert (await store.reviews.queue_counts()).due == 2, "a card stays buried after the end of the day"
        await store.delete(ids)


def _list_day(lab: Lab, url: str, day: str, end: datetime) -> str:
    """Import a memory of the last minute of a day and one of the next day; list each by its date."""
    times = {"before": end - timedelta(minutes=1), "after": end}
    lines = [f'{{"content": "{name} the end", "created_at": "{at.isoformat()}"}}\n' for name, at in times.items()]
    assert lab.run("--store", url, "import", "-", stdin="".join(lines).encode()).status == 0
    listed = lab.run("--store", url, "list", "--since", day)
    assert ("after the end" in listed.out, "before the end" in listed.out) == (True, False), listed.out
    return next(line.strip() for line in listed.out.splitlines() if "after the end" in line)


@fault(41, "midnight that a clock change skips")
def skipped_midnight(lab: Lab) -> FaultResult:
    attempts: list[Attempt] = []
    for zone, (evening, end) in EVENINGS.items():
        with _zone(zone), lab.database() as server:
            for url in (server, f"sqlite:{lab.path(zone.replace('/', '-'))}"):
                asyncio.run(_through_midnight(url, evening, end))
                listed = _list_day(lab, url, f"{end.astimezone():%Y-%m-%d}", end)
                attempts.append(Attempt(listed, *against_acknowledged(["before the end", "after the end"], texts(url))))
    return summarize(attempts)
