"""The sample corpus of ``demo``: every reference resolves, and its reviews leave a believable queue for today."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any, TypeAlias

import pytest
from fsrs import Card, Rating, Scheduler

from vestige_tui.core.memories import LOCAL_USER
from vestige_tui.sample_store import DOMAIN_LABELS, FOUNDED_DAYS_AGO, GROUPS, PEOPLE, account_id, draft_of

Row: TypeAlias = dict[str, Any]

KEYS = [
    "key",
    "content",
    "node_type",
    "tags",
    "domains",
    "codebase",
    "days_ago",
    "reviews",
    "edges",
    "superseded_by",
    "superseded_days_ago",
    "source",
]
NODE_TYPES = {
    "decision",
    "fact",
    "procedure",
    "event",
    "preference",
    "concept",
    "insight",
    "pattern",
    "code",
    "question",
    "person",
    "place",
}
EDGE_TYPES = {"related", "supports", "contradicts", "causes", "part_of", "follows"}


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    text = (files("vestige_tui") / "data" / "demo.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def by_key(rows: list[Row]) -> dict[str, Row]:
    return {row["key"]: row for row in rows}


def test_every_line_has_the_same_keys_in_order(rows: list[Row]) -> None:
    assert [row["key"] for row in rows if list(row) != KEYS] == []


def test_size_and_variety(rows: list[Row]) -> None:
    assert len(rows) >= 360
    assert {row["node_type"] for row in rows} == NODE_TYPES
    assert 8 <= len({domain for row in rows for domain in row["domains"]}) <= 12
    assert 3 <= len({row["codebase"] for row in rows} - {None}) <= 5
    assert sum(len(row["content"]) >= 600 for row in rows) >= 5
    assert all(len(row["tags"]) <= 4 for row in rows)
    assert all(60 <= len(row["content"]) <= 1500 for row in rows)


def test_keys_and_contents_are_unique(rows: list[Row]) -> None:
    assert len({row["key"] for row in rows}) == len(rows)
    openings = Counter(row["content"][:60] for row in rows)
    assert [opening for opening, times in openings.items() if times > 1] == []


def test_no_control_characters(rows: list[Row]) -> None:
    found = {
        (row["key"], hex(ord(char)))
        for row in rows
        for char in row["content"]
        if char != "\n" and unicodedata.category(char) in {"Cc", "Cs", "Co", "Zl", "Zp"}
    }
    assert found == set()


def test_edges_resolve(rows: list[Row], by_key: dict[str, Row]) -> None:
    edges = [(row["key"], edge["to"], edge["type"], edge["weight"]) for row in rows for edge in row["edges"]]
    assert len(edges) >= 250
    assert len({edge[:3] for edge in edges}) == len(edges)
    assert {edge[2] for edge in edges} == EDGE_TYPES
    for source, target, _, weight in edges:
        assert target in by_key
        assert target != source
        assert 0.3 <= weight <= 1.0


def test_a_chain_of_five_follows(by_key: dict[str, Row]) -> None:
    key, chain = "storm-review", ["storm-review"]
    while following := [edge["to"] for edge in by_key[key]["edges"] if edge["type"] == "follows"]:
        key = following[0]
        chain.append(key)
    assert chain == ["storm-review", "storm-fix", "storm-cause", "storm-mitigation", "storm-page"]


def test_supersession(rows: list[Row], by_key: dict[str, Row]) -> None:
    losers = [row for row in rows if row["superseded_by"] is not None]
    assert 14 <= len(losers) <= 20
    for loser in losers:
        winner = by_key[loser["superseded_by"]]
        assert loser["superseded_days_ago"] <= winner["days_ago"] < loser["days_ago"]
        seen = {loser["key"]}
        while winner["superseded_by"] is not None:
            assert winner["key"] not in seen
            seen.add(winner["key"])
            winner = by_key[winner["superseded_by"]]
    wins = Counter(loser["superseded_by"] for loser in losers)
    assert max(wins.values()) >= 2
    assert any(by_key[winner]["superseded_by"] for winner in wins)
    assert all((row["superseded_by"] is None) == (row["superseded_days_ago"] is None) for row in rows)


def test_reviews_follow_creation_in_order(rows: list[Row]) -> None:
    assert max(row["days_ago"] for row in rows) <= 372
    assert min(row["days_ago"] for row in rows) >= 0.1
    for row in rows:
        moments = [row["days_ago"], *(review["days_ago"] for review in row["reviews"])]
        assert moments == sorted(set(moments), reverse=True), row["key"]
        assert moments[-1] > 0
        assert {review["rating"] for review in row["reviews"]} <= {1, 2, 3, 4}
        assert row["superseded_days_ago"] is None or len(moments) == 1 or moments[-1] > row["superseded_days_ago"]


def test_reviews_leave_a_believable_queue(rows: list[Row]) -> None:
    """With FSRS-6 at 90 % retention, whatever the hour: "today" may end at any time within the coming day."""
    now = datetime.now(UTC)
    scheduler = Scheduler(learning_steps=(), relearning_steps=(), enable_fuzzing=False)
    due_in: list[float] = []
    for row in rows:
        if row["superseded_by"] is not None or not row["reviews"]:
            continue
        card = Card(card_id=1)
        for review in row["reviews"]:
            moment = now - timedelta(days=review["days_ago"])
            card, _ = scheduler.review_card(card, Rating(review["rating"]), moment)
        due_in.append((card.due - now) / timedelta(days=1))
    assert sum(days <= 0 for days in due_in) >= 20
    assert sum(days <= 1 for days in due_in) <= 42
    assert 40 <= sum(1 < days <= 7 for days in due_in) <= 75
    assert sum(days > 7 for days in due_in) >= 100
    assert 75 <= sum(not row["reviews"] for row in rows) <= 110


def test_a_handful_of_leeches(rows: list[Row]) -> None:
    lapses = [sum(review["rating"] == 1 for review in row["reviews"]) for row in rows]
    assert 3 <= sum(count >= 8 for count in lapses) <= 8


def test_users_groups_and_domains_are_those_of_the_notes(rows: list[Row]) -> None:
    assert set(DOMAIN_LABELS) == {domain for row in rows for domain in row["domains"]}
    drafts = [draft_of(row, datetime.now(UTC), None) for row in rows]
    assert {draft.visibility for draft in drafts} == {"private", "group", "public"}
    owners = {draft.owner_user_id for draft in drafts}
    assert owners == {LOCAL_USER, *(account_id("user", handle) for handle in PEOPLE)}
    shared = {group for draft in drafts for group in draft.shared_with_groups}
    assert shared == {account_id("group", handle) for handle in GROUPS}
    assert all(bool(draft.shared_with_groups) == (draft.visibility == "group") for draft in drafts)
    assert max(row["days_ago"] for row in rows) <= FOUNDED_DAYS_AGO
    assert {member for _, members in GROUPS.values() for member in members} <= set(PEOPLE)


def test_a_link_to_a_page_is_there(rows: list[Row]) -> None:
    assert any("https://" in row["content"] for row in rows)
