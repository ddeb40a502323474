"""The journal: origins and users of changes, pages and filters of entries, and old entries without an origin."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import psycopg
import pytest

from tests.support.clock import Clock
from tests.support.old_schema import take_back
from vestige_tui.core.journal import JournalFilter, JournalLine, command_origin, console_origin, origin_label
from vestige_tui.core.links import Edge
from vestige_tui.core.memories import Draft, Patch
from vestige_tui.core.reviews import Rating
from vestige_tui.presenters.changes import journal_sentence, not_undoable
from vestige_tui.store.journal import TITLE_CHARS
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store


@asynccontextmanager
async def other(url: str, clock: Clock, origin: str | None) -> AsyncIterator[Store]:
    """Open the store as another console or command."""
    async with open_store(url, clock=clock, origin=origin) as store:
        yield store


def test_an_origin_is_displayed_without_its_token() -> None:
    origin = console_origin()
    assert origin != console_origin()
    assert origin_label(origin) == origin.rsplit(" ", 1)[0]
    assert origin_label(command_origin("tag")) == "command tag"
    assert origin_label(None) == ""
    assert origin_label("console odd") == "console odd"


async def test_a_console_finds_only_its_own_changes(store: Store, store_url: str, clock: Clock) -> None:
    [memory_id] = (await store.insert(Draft("One"), embed=False)).changed
    mine, theirs = console_origin(), console_origin()
    async with other(store_url, clock, mine) as my, other(store_url, clock, theirs) as their:
        assert await my.journal.last_change("origin") is None
        tagged = await my.memories.tag([memory_id], ["mine"])
        await their.memories.tag([memory_id], ["theirs"])
        async with other(store_url, clock, command_origin("tag")) as command:
            await command.memories.tag([memory_id], ["command"])
        last = await my.journal.last_change("origin")
        assert last is not None
        assert (last.id, last.origin) == (tagged.undo, mine)
        assert await my.journal.last_change("origin", before_id=last.id) is None
        # The user's newest change is that of the command.
        newest = await my.journal.last_change()
        assert newest is not None
        assert newest.origin == "command tag"
        await their.journal.undo((await their.journal.entries())[0].id)
        assert await my.journal.last_undo("origin") is None
        undone = await their.journal.last_undo("origin")
        assert undone is not None
        assert undone.origin == theirs


async def test_an_undo_is_of_the_user_who_asks(
    store: Store, store_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    [memory_id] = (await store.insert(Draft("One"), embed=False)).changed
    monkeypatch.setenv("LOGNAME", "somebody-else")
    async with other(store_url, clock, None) as their:
        await their.reviews.suspend(memory_id)
        await their.reviews.record(memory_id, Rating.GOOD)
    undone = await store.journal.undo()
    assert undone.undone is not None
    assert undone.undone.entry.verb == "add"


async def test_pages_are_cut_by_number_and_filtered(store: Store, clock: Clock) -> None:
    one, two = [(await store.insert(Draft(text), embed=False)).changed[0] for text in ("One", "Two")]
    clock.advance(hours=1)
    since = clock()
    for number in range(5):
        await store.memories.tag([one], [f"t{number}"])
    await store.links.add(Edge(two, one, "supports"))
    await store.links.supersede(two, one)
    seen: list[JournalLine] = []
    before_id = None
    while True:
        page = await store.journal.page(limit=2, before_id=before_id)
        seen += page.items
        if page.next is None:
            break
        before_id = int(page.next)
    assert [line.id for line in seen] == sorted((line.id for line in seen), reverse=True)
    assert len(seen) == 9
    of_one = (await store.journal.page(JournalFilter(memory=one))).items
    # Its own, the link to it, and what it replaced.
    assert [line.verb for line in of_one] == ["supersede", "link", *["tag"] * 5, "add"]
    assert [line.verb for line in (await store.journal.page(JournalFilter(memory=two[:8]))).items] == [
        "supersede",
        "link",
        "add",
    ]
    assert len((await store.journal.page(JournalFilter(since=since))).items) == 7
    assert not (await store.journal.page(JournalFilter(actor="nobody-of-this-name"))).items
    both = JournalFilter(actor=seen[0].actor, since=since, memory=two)
    assert [line.verb for line in (await store.journal.page(both)).items] == ["supersede", "link"]


async def test_a_line_names_its_memory_and_has_no_large_parts(store: Store) -> None:
    long = "Long text " * 1_000
    [one] = (await store.insert(Draft(long, metadata={"big": "x" * 10_000}), embed=False)).changed
    [two] = (await store.insert(Draft("Two"), embed=False)).changed
    await store.update(one, Patch(content=f"Changed {long}"), embed=False)
    await store.links.add(Edge(one, two, "supports"))
    await store.links.supersede(two, one)
    await store.reviews.suspend(two)
    await store.memories.tag([one, two], ["a"])
    await store.delete([two])
    lines = await store.journal.entries()
    for line in lines:
        assert len(line.content) <= TITLE_CHARS
        assert len(json.dumps([line.before, line.after])) < 4_000
    title = '"Changed Long text Long text Long text L…"'
    assert [journal_sentence(line) for line in lines] == [
        'Deleted "Two"',
        "Tagged 2 memories: +a",
        f"Suspended {two[:8]}",
        f"{two[:8]} is now replaced by {title}",
        f"Linked {title} to {two[:8]}: supports",
        f"Edited {title}",
        f"Added {two[:8]}",
        f"Added {title}",
    ]
    undone = await store.journal.undo()
    assert undone.changed == (two,)
    redone = await store.journal.redo()
    assert redone.changed == (two,)
    newest = await store.journal.entries(limit=3)
    assert [journal_sentence(line) for line in newest] == [
        'Redid: delete on "Two"',
        'Undid: delete on "Two"',
        'Deleted "Two"',
    ]
    deletion = newest[2].id
    assert [not_undoable(line) for line in newest] == [
        f"Change {newest[0].id} is a redo; undo change {deletion} instead.",
        f"Change {newest[1].id} is already redone (by {newest[0].id}).",
        "",
    ]


async def test_entries_of_an_earlier_version_have_no_origin(store_url: str, clock: Clock) -> None:
    async with open_store(store_url, create=True, clock=clock) as store:
        [memory_id] = (await store.insert(Draft("One"), embed=False)).changed
    await take_back(store_url, "journal_origin")
    async with open_store(store_url, clock=clock, read_only=True) as reader:
        assert [line.origin for line in await reader.journal.entries()] == [None]
    async with open_store(store_url, clock=clock, origin=console_origin()) as store:
        assert [line.origin for line in await store.journal.entries()] == [None]
        # No console of now made it; its user did.
        assert await store.journal.last_change("origin") is None
        assert (await store.journal.undo()).changed == (memory_id,)


async def test_an_undo_of_an_earlier_version_cannot_be_redone_without_a_snapshot(store: Store, store_url: str) -> None:
    await store.insert(Draft("One"), embed=False)
    await store.journal.undo()
    statement = """UPDATE journal SET before = '[{"id": "x", "entry": 1}]' WHERE verb = 'undo'"""
    if store_url.startswith("sqlite:"):
        with closing(sqlite3.connect(store_url.removeprefix("sqlite:"))) as connection, connection:
            connection.execute(statement)
    else:
        with psycopg.connect(store_url, autocommit=True) as postgres:
            postgres.execute(statement)
    with pytest.raises(Exception, match="This change was undone by an older version"):
        await store.journal.redo()
    assert not await store.memories.count()
