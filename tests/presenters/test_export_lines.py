"""Lines of an export: those of named memories are the ones that the export of the whole store has for them."""

from __future__ import annotations

from typing import Any

from vestige_tui.core.bulk import Target
from vestige_tui.core.links import Edge
from vestige_tui.core.memories import Draft, Filter
from vestige_tui.core.reviews import Rating
from vestige_tui.presenters.export_lines import exported_lines
from vestige_tui.store.store import Store


async def lines(store: Store, target: Target) -> dict[str, list[dict[str, Any]]]:
    """Return the lines of an export by their kinds; reviews without their numbers, which begin at 1 in each export."""
    kinds: dict[str, list[dict[str, Any]]] = {}
    async for line in exported_lines(store, target):
        kinds.setdefault(line["kind"], []).append({name: value for name, value in line.items() if name != "id"})
    return kinds


async def test_named_memories_bring_their_reviews_and_marks_alone(store: Store) -> None:
    ids = [(await store.insert(Draft(f"memory {number}"), embed=False)).changed[0] for number in range(4)]
    for memory_id in (*ids, ids[0]):
        await store.reviews.record(memory_id, Rating.GOOD)
    await store.reviews.suspend(ids[1])
    await store.reviews.pin([ids[0], ids[3]])
    await store.reviews.unpin([ids[0]])
    await store.links.add(Edge(ids[0], ids[1], "related"))
    await store.links.add(Edge(ids[0], ids[3], "related"))
    whole = await lines(store, Target(filter=Filter(superseded=True)))
    named = await lines(store, Target((ids[0], ids[1])))
    assert {kind: len(each) for kind, each in whole.items()} == {"memory": 4, "edge": 2, "review": 5, "mark": 2}
    assert {kind: len(each) for kind, each in named.items()} == {"memory": 2, "edge": 1, "review": 3, "mark": 1}
    for kind, each in named.items():
        assert all(line in whole[kind] for line in each)
    assert [line["memory_id"] for line in named["review"]] == [ids[0], ids[1], ids[0]]
    assert [line["memory_id"] for line in named["mark"]] == [ids[1]]
