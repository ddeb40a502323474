"""Orders of a list: every memory once, in the same order by pages, by offsets and in one piece, on both databases."""

from __future__ import annotations

import base64
import json
import random
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.support.clock import Clock
from vestige_tui.core.errors import Usage
from vestige_tui.core.memories import Draft, Filter, Memory, Sort
from vestige_tui.core.reviews import Rating, Scheduling
from vestige_tui.core.scheduling import retrievability
from vestige_tui.presenters.sorting import SORTS
from vestige_tui.store.store import Store

COUNT = 41
DAY = timedelta(days=1)


@pytest.fixture
async def filled(store: Store, clock: Clock) -> list[Draft]:
    """Memories of which some share a key, and some lack the key of an order."""
    choice = random.Random(5)
    drafts = []
    for number in range(COUNT):
        reviewed = clock() - DAY * choice.randint(0, 9) if number % 4 else None
        due = clock() + DAY * choice.randint(-3, 3) if number % 5 else None
        schedule = Scheduling(float(choice.choice((1, 2, 30))), 5.0, 0.9, reviewed, due, number % 3, 0)
        drafts.append(
            Draft(
                f"memory {number}",
                id=str(uuid.UUID(int=choice.getrandbits(128), version=4)),
                node_type=choice.choice(("fact", "Event", "decision", "\u00e9tude")),
                tags=("odd",) if number % 2 else (),
                created_at=clock() - DAY * choice.randint(0, 12),
                updated_at=clock() - DAY * choice.randint(0, 12),
                scheduling=schedule if number % 7 else None,
            )
        )
    await store.memories.insert_many(drafts, embed=False)
    return drafts


def newest(memory: Memory) -> tuple[float, int]:
    assert memory.created_at is not None
    return -memory.created_at.timestamp(), -uuid.UUID(memory.id).int


def key_of(sort: Sort, store: Store) -> Callable[[Memory], Any]:
    """The key of an order, without a database."""

    def due(memory: Memory) -> tuple[Any, ...]:
        state = memory.scheduling
        if state is None or state.reps == 0 or state.next_review is None:
            return (1, *newest(memory))
        return (0, state.next_review, memory.id)

    def recall(memory: Memory) -> tuple[Any, ...]:
        state = memory.scheduling
        if state is None or (share := retrievability(state, store.now(), store.policy.weights)) is None:
            return (1, *newest(memory))
        return (0, share, memory.id)

    keys: dict[Sort, Callable[[Memory], Any]] = {
        "created": newest,
        "oldest": lambda memory: (memory.created_at, memory.id),
        "updated": lambda memory: (-memory.updated_at.timestamp(), -uuid.UUID(memory.id).int),  # type: ignore[union-attr]  # each has one
        "type": lambda memory: (memory.node_type.encode(), *newest(memory)),
        "due": due,
        "recall": recall,
    }
    return keys[sort]


async def walked(store: Store, chosen: Filter, sort: Sort, limit: int) -> list[Memory]:
    memories: list[Memory] = []
    cursor: str | None = None
    while True:
        page = await store.page(chosen, sort=sort, limit=limit, after=cursor)
        memories += page.items
        if (cursor := page.next) is None:
            return memories


@pytest.mark.parametrize("sort", SORTS)
async def test_no_order_leaves_out_a_memory(store: Store, filled: list[Draft], sort: Sort) -> None:
    for chosen, count in ((Filter(), COUNT), (Filter(tags=("odd",)), COUNT // 2), (Filter(states=("new",)), None)):
        whole = (await store.page(chosen, sort=sort, limit=1_000)).items
        assert len(whole) == await store.memories.count(chosen)
        assert count is None or len(whole) == count
        assert list(whole) == sorted(whole, key=key_of(sort, store))
        for limit in (1, 7):
            assert tuple(await walked(store, chosen, sort, limit)) == whole
        for offset in (0, 3, len(whole) // 2, len(whole) - 2, len(whole), len(whole) + 5):
            jumped = await store.page(chosen, sort=sort, limit=6, offset=offset)
            assert jumped.items == whole[offset : offset + 6], offset
            if jumped.next is not None:
                behind = await store.page(chosen, sort=sort, limit=4, after=jumped.next)
                assert behind.items == whole[offset + 6 : offset + 10]


@pytest.mark.parametrize("sort", SORTS)
async def test_what_stands_last_is_counted(store: Store, filled: list[Draft], sort: Sort) -> None:
    for chosen in (Filter(), Filter(tags=("odd",))):
        whole = (await store.page(chosen, sort=sort, limit=1_000)).items
        keys = [key_of(sort, store)(memory) for memory in whole]
        expected = sum(key[0] == 1 for key in keys) if sort in ("due", "recall") else 0
        assert await store.memories.count_last(chosen, sort=sort) == expected
        assert expected or sort not in ("due", "recall")


async def test_the_pages_of_a_list_by_recall_agree_while_time_passes(
    store: Store, filled: list[Draft], clock: Clock
) -> None:
    whole = (await store.page(sort="recall", limit=1_000)).items
    page = await store.page(sort="recall", limit=5)
    seen = list(page.items)
    while page.next is not None:
        clock.advance(days=400)
        page = await store.page(sort="recall", limit=5, after=page.next)
        seen += page.items
    assert seen == list(whole)
    assert (await store.page(sort="recall", limit=1_000)).items != whole
    moment = clock() - timedelta(days=400 * 8)
    again = await store.page(sort="recall", limit=COUNT, moment=moment)
    assert again.items == whole


async def test_a_review_moves_a_memory_to_the_highest_recall(store: Store, filled: list[Draft]) -> None:
    lowest = (await store.page(sort="recall", limit=1)).items[0]
    await store.reviews.record(lowest.id, Rating.EASY)
    placed = COUNT - await store.memories.count_last(sort="recall")
    shares = {
        memory.id: retrievability(memory.scheduling, store.now(), store.policy.weights) if memory.scheduling else None
        for memory in (await store.page(sort="recall", limit=placed)).items
    }
    in_order = list(shares)
    assert in_order.index(lowest.id) > 0
    assert shares[lowest.id] == shares[in_order[-1]] == 1.0


@pytest.mark.parametrize("sort", SORTS)
async def test_a_cursor_that_was_tampered_with_is_refused(store: Store, filled: list[Draft], sort: Sort) -> None:
    cursor = (await store.page(sort=sort, limit=2)).next
    assert cursor is not None
    name, index, keys, memory_id, moment = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    forged: list[Any] = [
        [name, 7, keys, memory_id, moment], [name, -1, keys, memory_id, moment], [name, True, keys, memory_id, moment],
        [name, index, [], memory_id, moment], [name, index, [*keys, "x"], memory_id, moment],
        [name, index, [None] * len(keys), memory_id, moment], [name, index, "x", memory_id, moment],
        [name, index, keys, 5, moment], [name, index, keys, memory_id, "soon"], [name, index, keys, memory_id],
        [name, keys[0], memory_id], [["x"], index, keys, memory_id, moment], {}, 3, None, "x",
    ]  # fmt: skip
    for data in forged:
        text = base64.urlsafe_b64encode(json.dumps(data).encode()).decode().rstrip("=")
        with pytest.raises(Usage):
            await store.page(sort=sort, after=text)
    other: Sort = "created" if sort != "created" else "due"
    with pytest.raises(Usage, match=f"belongs to a list sorted by {sort}"):
        await store.page(sort=other, after=cursor)


async def test_a_key_that_is_no_time_is_refused(store: Store, filled: list[Draft]) -> None:
    if store.kind != "postgres":
        pytest.skip("a SQLite file compares times as texts")
    data = ["created", 0, ["soon"], str(uuid.UUID(int=5, version=4)), "2026-01-01T00:00:00+00:00"]
    text = base64.urlsafe_b64encode(json.dumps(data).encode()).decode()
    with pytest.raises(Usage, match="is not valid"):
        await store.page(after=text)
