"""Every kind of line goes from store to store and back, on both databases and from each to the other."""

from __future__ import annotations

import json
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.clock import Clock
from tests.support.command_line import sample_id
from tests.support.portable_lines import export_lines, import_lines, named_lines
from tests.support.random_lines import random_store_lines
from tests.support.second_store import second_store
from vestige_tui.core.links import SupersessionEvent
from vestige_tui.core.memories import Draft
from vestige_tui.store.store import Store

AT = datetime(2026, 3, 1, 8, tzinfo=UTC)
FRESH_SEED = random.SystemRandom().randrange(2**32)


@pytest.fixture(params=["sqlite", "postgres"])
async def other(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Store]:
    """A second empty store, on either database."""
    async with second_store(request, tmp_path, clock) as store:
        yield store


def supersession(loser: int, winner: int | None, minutes: int, event: str | None = None) -> SupersessionEvent:
    kind = event or ("supersede" if winner is not None else "unsupersede")
    winner_id = None if winner is None else sample_id(winner)
    return SupersessionEvent(0, sample_id(loser), winner_id, kind, AT + timedelta(minutes=minutes))


async def assert_equal_after_import(store: Store, other: Store) -> list[dict[str, Any]]:
    lines = await export_lines(store)
    tally = await import_lines(other, lines)
    assert (tally.errors, tally.repairs, tally.inserted) == ([], [], len(lines))
    assert sorted(await export_lines(other)) == sorted(lines)
    return [json.loads(line) for line in lines]


async def test_users_groups_and_domains(store: Store, other: Store) -> None:
    mara, team = str(uuid.uuid4()), str(uuid.uuid4())
    lines = [
        {"kind": "membership", "user_id": mara, "group_id": team, "role": "admin", "joined_at": "2026-01-02"},
        {"kind": "user", "id": mara, "handle": "mara \u202e", "display_name": None, "metadata": {"z": 1, "a": [None]}},
        {"kind": "group", "id": team, "handle": "team", "display_name": "", "created_at": "2026-01-01T00:00:00Z"},
        {"kind": "domain", "id": "auth", "label": "Keys", "top_terms": ["b", "a"], "memory_count": 3},
        {"content": "hers", "id": sample_id(1), "owner_user_id": mara, "shared_with_groups": [team]},
    ]
    tally = await import_lines(store, [json.dumps(line) for line in lines])
    assert (tally.inserted, tally.errors, tally.repairs) == (5, [], [])
    exported = await assert_equal_after_import(store, other)
    assert [line["kind"] for line in exported] == ["user", "group", "domain", "memory", "membership"]
    assert exported[3]["owner_user_id"] == mara
    again = await import_lines(other, await export_lines(store))
    assert (again.present, again.inserted, again.undo) == (5, 0, None)


async def test_unknown_keys_of_an_account_are_kept(store: Store) -> None:
    line = {"kind": "domain", "id": "auth", "label": "Keys", "mood": {"a": 1}, "metadata": {"own": 2}}
    tally = await import_lines(store, [json.dumps(line)])
    assert (tally.inserted, tally.unknown_keys) == (1, {"mood": 1})
    [domain] = await store.accounts.domains()
    assert domain.metadata == {"own": 2, "imported": {"mood": {"a": 1}}}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"kind": "user", "id": "00000000-0000-4000-8000-000000000009"}', "has no handle"),
        ('{"kind": "user", "id": " ", "handle": "x"}', "has an empty id"),
        ('{"kind": "group", "id": "00000000-0000-4000-8000-000000000009", "handle": " "}', "has an empty handle"),
        (
            '{"kind": "user", "id": "00000000-0000-4000-8000-000000000009", "handle": "taken"}',
            "was refused: Another user",
        ),
        ('{"kind": "domain", "label": "x"}', "has no id"),
        ('{"kind": "domain", "id": "x", "memory_count": -1}', "has a memory_count that is not a whole number"),
        ('{"kind": "membership", "user_id": "x", "group_id": "y", "role": "owner"}', "has a role other than"),
        ('{"kind": "membership", "user_id": "x", "group_id": "y"}', "was refused"),
    ],
)
async def test_a_bad_line_fails_alone(store: Store, line: str, reason: str) -> None:
    taken = {"kind": "user", "id": str(uuid.uuid4()), "handle": "taken"}
    good = {"kind": "user", "id": str(uuid.uuid4()), "handle": "good"}
    tally = await import_lines(store, [json.dumps(taken), line, json.dumps(good)])
    assert (tally.inserted, tally.failed) == (2, 1)
    [(number, message)] = tally.errors
    assert number == 2
    assert message.startswith(reason)
    assert {user.handle for user in await store.accounts.users()} == {"taken", "good"}


async def test_a_deleted_winner_keeps_its_id(store: Store, other: Store) -> None:
    await store.memories.insert_many([Draft(f"text {n}", sample_id(n)) for n in range(3)])
    await store.links.supersede(sample_id(0), sample_id(1))
    await store.memories.delete([sample_id(1)])
    lines = await assert_equal_after_import(store, other)
    decisions = [(line["event"], line["winner_id"]) for line in lines if line["kind"] == "supersession"]
    assert decisions == [("supersede", sample_id(1)), ("winner_deleted", None)]
    assert (await other.get(sample_id(0))).superseded_by is None


async def test_decisions_at_one_time_and_recorded_late(store: Store, other: Store) -> None:
    await store.memories.insert_many([Draft(f"text {n}", sample_id(n)) for n in range(4)])
    for events in (
        [supersession(0, 1, 5), supersession(0, None, 5), supersession(0, 2, 5)],
        # In the order of their times the first two would close a circle.
        [supersession(3, 2, 1), supersession(3, None, 9)],
        [supersession(2, 3, 4)],
    ):
        assert await store.links.restore_events(events) == (len(events), 0)
    assert (await store.get(sample_id(0))).superseded_by == sample_id(2)
    lines = await assert_equal_after_import(store, other)
    assert sum(line["kind"] == "supersession" for line in lines) == 6
    for number in range(4):
        assert (await other.get(sample_id(number))).superseded_by == (await store.get(sample_id(number))).superseded_by


async def test_an_export_of_some_memories_has_what_they_name(store: Store, other: Store) -> None:
    mara, jonas, team, crew = (str(uuid.uuid4()) for _ in range(4))
    lines: list[dict[str, Any]] = [
        *({"kind": "user", "id": each, "handle": each[:8]} for each in (mara, jonas)),
        *({"kind": "group", "id": each, "handle": each[:8]} for each in (team, crew)),
        *({"kind": "membership", "user_id": each, "group_id": team} for each in (mara, jonas)),
        *({"kind": "domain", "id": each, "label": each} for each in ("auth", "storage")),
        {"content": "a", "id": sample_id(1), "owner_user_id": mara, "shared_with_groups": [team], "domains": ["auth"]},
        {"content": "b", "id": sample_id(2), "owner_user_id": jonas, "domains": ["storage"]},
        {"kind": "supersession", "loser_id": sample_id(1), "winner_id": sample_id(2), "decided_at": "2026-01-01"},
        {"kind": "supersession", "loser_id": sample_id(1), "winner_id": sample_id(9), "decided_at": "2025-01-01"},
    ]
    assert (await import_lines(store, [json.dumps(line) for line in lines])).errors == []
    exported = await named_lines(store, [sample_id(1)])
    kinds = Counter(json.loads(line)["kind"] for line in exported)
    assert kinds == {"user": 1, "group": 1, "domain": 1, "membership": 1, "memory": 1, "supersession": 1}
    tally = await import_lines(other, exported)
    assert (tally.inserted, tally.errors) == (6, [])
    assert await named_lines(other, [sample_id(1)]) == exported


@pytest.mark.slow
@pytest.mark.parametrize("number", range(3))
async def test_random_stores(store: Store, other: Store, number: int) -> None:
    seed = FRESH_SEED + number
    print(f"random stores: seed {seed}")
    tally = await import_lines(store, random_store_lines(seed, 40))
    assert tally.errors == [], seed
    lines = await assert_equal_after_import(store, other)
    assert {line["kind"] for line in lines} == {
        *("memory", "edge", "review", "supersession", "mark", "user", "group", "membership", "domain")
    }, seed
