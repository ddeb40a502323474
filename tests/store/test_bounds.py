"""Bounds of a memory: the same on both databases, refused in one sentence before anything is written."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import Any

import psycopg
import pytest

from tests.support.portable_lines import export_lines, nested
from vestige_tui.core.errors import Conflict, Usage
from vestige_tui.core.links import Edge
from vestige_tui.core.memories import Draft, Patch
from vestige_tui.core.storable import MAX_LABEL_CHARS, MAX_METADATA_DEPTH, MAX_TAG_COUNT
from vestige_tui.presenters import json_shapes
from vestige_tui.store.backends.postgres_errors import translate
from vestige_tui.store.store import Store

LONG = "x" * (MAX_LABEL_CHARS + 1)
MANY = tuple(f"t{number}" for number in range(MAX_TAG_COUNT + 1))
PAST_THE_BOUNDS: dict[str, dict[str, Any]] = {
    "a long tag": {"tags": ("ok", LONG)},
    "a long type": {"node_type": LONG},
    "a long domain": {"domains": (LONG,)},
    "a long codebase": {"codebase": LONG},
    "too many tags": {"tags": MANY},
    "too many domains": {"domains": MANY},
    "deep metadata": {"metadata": json.loads(nested(MAX_METADATA_DEPTH + 1))},
}
JUST_WITHIN: dict[str, Any] = {
    "tags": (*MANY[2:], "鍵" * MAX_LABEL_CHARS),
    "node_type": "\U0001f511" * MAX_LABEL_CHARS,
    "domains": ("é" * MAX_LABEL_CHARS,),
    "codebase": "c" * MAX_LABEL_CHARS,
    "metadata": json.loads(nested(MAX_METADATA_DEPTH)),
}


@pytest.mark.parametrize("name", PAST_THE_BOUNDS)
async def test_what_is_too_much_is_refused(store: Store, name: str) -> None:
    fields = PAST_THE_BOUNDS[name]
    with pytest.raises(Usage, match="at most"):
        await store.insert(Draft("x", **fields))
    with pytest.raises(Usage, match="at most"):
        await store.memories.insert_many([Draft("fine"), Draft("x", **fields)])
    [memory_id] = (await store.insert(Draft("x"))).changed
    with pytest.raises(Usage, match="at most"):
        await store.update(memory_id, Patch(**fields))
    if "tags" in fields:
        with pytest.raises(Usage, match="at most"):
            await store.memories.tag([memory_id], fields["tags"])
    assert await store.memories.count() == 1
    assert (await store.get(memory_id)) == (await store.page()).items[0]


async def test_what_just_fits_is_stored(store: Store) -> None:
    [first] = (await store.insert(Draft("x", **JUST_WITHIN))).changed
    [second] = (await store.insert(Draft("y"))).changed
    await store.update(second, Patch(**JUST_WITHIN))
    for memory in await store.memories.get_many([first, second]):
        assert {name: getattr(memory, name) for name in JUST_WITHIN} == JUST_WITHIN


async def test_a_type_of_link_is_bounded_too(store: Store) -> None:
    source, target = [(await store.insert(Draft(text))).changed[0] for text in "xy"]
    with pytest.raises(Usage, match="link type can have at most 255"):
        await store.links.add(Edge(source, target, "e" * 9_000))
    await store.links.add(Edge(source, target, "鍵" * MAX_LABEL_CHARS))


async def test_what_another_program_stored_can_still_be_edited(store: Store, store_url: str) -> None:
    [memory_id] = (await store.insert(Draft("x"))).changed
    tags = ["t" * 300, *MANY]
    deep = nested(450)
    if store_url.startswith("sqlite:"):
        with closing(sqlite3.connect(store_url.removeprefix("sqlite:"))) as connection, connection:
            connection.execute("UPDATE knowledge_nodes SET tags = ?, metadata = ?", (json.dumps(tags), deep))
    else:
        with psycopg.connect(store_url) as postgres:
            postgres.execute("UPDATE knowledge_nodes SET tags = %s, metadata = %s", (tags, deep))
    await store.update(memory_id, Patch(content="y", codebase="c"))
    await store.memories.tag([memory_id], remove=[MANY[0]])
    with pytest.raises(Usage, match="at most 1,000 tags"):
        await store.memories.tag([memory_id], ["one", "more"])
    memory = await store.get(memory_id)
    assert memory.tags == (tags[0], *tags[2:])
    # A recursion over it would end every list and export that it is part of.
    [line] = await export_lines(store)
    assert json.loads(line)["metadata"] == json.loads(deep) == json_shapes.memory(memory, store.now())["metadata"]


async def test_what_is_replaced_is_told(store: Store) -> None:
    change = await store.insert(Draft("a\0b", metadata={"x": "\\u0000"}))
    assert "cannot be stored" in change.warnings[0]
    change = await store.update(change.changed[0], Patch(content="fine", metadata={"k\0": float("inf")}))
    assert "cannot be stored" in change.warnings[0]
    assert (await store.get(change.changed[0])).metadata == {"k\u2400": None}
    assert (await store.insert(Draft("fine 鍵", metadata={"x": ["\\u0000", 1.5, None]}))).warnings == ()


def test_a_value_too_large_for_an_index_is_no_outage() -> None:
    error = translate(psycopg.errors.ProgramLimitExceeded("index row requires 9016 bytes, maximum size is 8191"), "it")
    assert isinstance(error, Conflict)
    assert "index row requires 9016 bytes" in error.message
