"""Lines of a random store: every kind, with hostile values, ties and references among them, by a seed."""

from __future__ import annotations

import json
import random
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.portable_lines import hostile_text, hostile_value

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


class _Chance:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def id(self) -> str:
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def time(self) -> str:
        """A time among few, so that some are equal, or one with microseconds."""
        minutes = self.random.randrange(50)
        moment = BEGINNING + timedelta(minutes=minutes, microseconds=self.random.choice([0, 0, 1, 123456]))
        return moment.isoformat()

    def text(self) -> str:
        # What can be stored is written as it stands; what cannot is repaired at the first import.
        return hostile_text(self.random)


def random_store_lines(seed: int, memories: int) -> list[str]:
    """Return the lines of a store with all kinds; none of them fails."""
    chance = _Chance(seed)
    users, groups, ids = ([chance.id() for _ in range(count)] for count in (4, 3, memories))
    domains = [f"domain {number} {chance.text()}" for number in range(4)]
    lines = [_account(chance, "user", each) for each in users] + [_account(chance, "group", each) for each in groups]
    lines += [_domain(chance, each) for each in domains]
    lines += [_memory(chance, number, each, users, groups, domains) for number, each in enumerate(ids)]
    lines += [
        {"kind": "membership", "user_id": user, "group_id": group, "joined_at": chance.time(), "role": role}
        for user, group, role in zip(users, [*groups, groups[0]], ["member", "admin", "member", "admin"], strict=True)
    ]
    lines += _references(chance, ids)
    return [json.dumps(line) for line in lines]


def _account(chance: _Chance, kind: str, account_id: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "id": account_id,
        "handle": f"{account_id[:8]} {chance.text()}",
        "display_name": chance.random.choice([None, chance.text()]),
        "created_at": chance.time(),
        "metadata": {chance.text(): hostile_value(chance.random, 3)},
    }


def _domain(chance: _Chance, domain: str) -> dict[str, Any]:
    return {
        "kind": "domain",
        "id": domain,
        "label": chance.text(),
        "top_terms": [chance.text() for _ in range(chance.random.randrange(4))],
        "memory_count": chance.random.randrange(2**31),
        "created_at": chance.time(),
        "metadata": {chance.text(): hostile_value(chance.random, 3)},
    }


def _memory(
    chance: _Chance, number: int, memory_id: str, users: list[str], groups: list[str], domains: list[str]
) -> dict[str, Any]:
    return {
        "id": memory_id,
        "content": f"{number} {chance.text()}",
        "node_type": chance.text() or "fact",
        "tags": [chance.text() for _ in range(chance.random.randrange(4))],
        "domains": chance.random.sample(domains, chance.random.randrange(3)),
        "domain_scores": {chance.text(): chance.random.random() for _ in range(chance.random.randrange(3))},
        "codebase": chance.random.choice([None, chance.text()]),
        "metadata": {chance.text(): hostile_value(chance.random, 4) for _ in range(chance.random.randrange(4))},
        "created_at": chance.time(),
        "updated_at": chance.time(),
        "owner_user_id": chance.random.choice([None, *users]),
        "visibility": chance.random.choice(["private", "group", "public"]),
        "shared_with_groups": chance.random.sample(groups, chance.random.randrange(3)),
        "scheduling": chance.random.choice([None, _state(chance)]),
        chance.text() + "-unknown": hostile_value(chance.random, 2),
    }


def _state(chance: _Chance) -> dict[str, Any]:
    return {
        "stability": chance.random.uniform(0.1, 400.0),
        "difficulty": chance.random.uniform(1.0, 10.0),
        "last_review": chance.time(),
        "next_review": chance.time(),
        "reps": chance.random.randrange(1, 9),
        "lapses": chance.random.randrange(3),
    }


def _references(chance: _Chance, ids: list[str]) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    for number, memory_id in enumerate(ids):
        target = chance.random.choice([each for each in ids if each != memory_id])
        edge = {"source_id": memory_id, "target_id": target, "edge_type": f"{number} {chance.text()}"}
        lines.append({"kind": "edge", **edge, "weight": chance.random.random(), "created_at": chance.time()})
        if number % 3 == 0:
            lines.append(_review(chance, number + 1, memory_id))
        if number % 5 == 0:
            mark = {"suspended": chance.random.random() < 0.5, "pinned": True, "cleared_lapses": number}
            lines.append({"kind": "mark", "memory_id": memory_id, **mark, "buried_until": chance.time()})
    # A winner of a higher number, or one that is gone: no circle can come of it.
    for number, memory_id in enumerate(ids[:-1]):
        winner = chance.random.choice([None, chance.id(), ids[chance.random.randrange(number + 1, len(ids))]])
        event = "unsupersede" if winner is None else chance.random.choice(["supersede", "imported"])
        line = {"kind": "supersession", "loser_id": memory_id, "winner_id": winner, "event": event}
        lines += [{**line, "decided_at": chance.time()} for _ in range(chance.random.randrange(3))]
    return _without_twins(lines)


def _review(chance: _Chance, number: int, memory_id: str) -> dict[str, Any]:
    review = {"kind": "review", "id": number, "memory_id": memory_id, "at": chance.time(), "rating": number % 4 + 1}
    return {**review, "prior": {}, "new": _state(chance)}


def _without_twins(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out equal decisions: in one microsecond they are one."""
    texts = dict.fromkeys(json.dumps(line) for line in lines)
    return [json.loads(text) for text in texts]
