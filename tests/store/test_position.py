"""The index of one memory in a sorted list is that of its row in the pages of the list."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import get_args

import pytest

from vestige_tui.core.memories import Draft, Filter, Sort
from vestige_tui.core.reviews import Scheduling
from vestige_tui.store.store import Store


def key(number: int) -> str:
    return f"dddddddd-0000-4000-8000-{number:012d}"


@pytest.mark.slow
async def test_the_position_is_that_of_the_page(store: Store) -> None:
    chooser, now = random.Random(5), store.now()
    drafts = []
    for number in range(40):
        reviewed = now - timedelta(days=chooser.randrange(1, 30))
        due = now + timedelta(days=chooser.randrange(-5, 5)) if number % 5 else None
        state = Scheduling(chooser.uniform(1, 50), 5.0, 1.0, reviewed, due, 1, 0)
        drafts.append(
            Draft(
                f"Memory {number}.",
                id=key(number),
                node_type=chooser.choice(("fact", "note")),
                tags=("a",) if number % 2 else (),
                created_at=now - timedelta(days=chooser.randrange(6)),
                scheduling=state if number % 4 else None,
            )
        )
    await store.memories.insert_many(drafts, embed=False)
    for chosen in (Filter(), Filter(tags=("a",))):
        for sort in get_args(Sort):
            ids = [memory.id for memory in (await store.page(chosen, sort=sort, limit=100)).items]
            for number in range(40):
                position = await store.memories.position(key(number), chosen, sort=sort, moment=now)
                assert position == (ids.index(key(number)) if key(number) in ids else None), (sort, number)
    assert await store.memories.position(key(99)) is None
    assert await store.memories.position("no id") is None
