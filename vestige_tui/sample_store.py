"""Sample store: the notes of an imaginary team, reviewed, linked and superseded over a year, with changes of today."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from vestige_tui.core.accounts import Account, Domain, Membership
from vestige_tui.core.links import Edge, SupersessionEvent
from vestige_tui.core.memories import LOCAL_USER, Draft, Patch
from vestige_tui.core.reviews import Rating, Review, Scheduling
from vestige_tui.core.scheduling import review as grade

if TYPE_CHECKING:
    from vestige_tui.store.store import Store

BATCH_ROWS = 32
NAMESPACE = uuid.UUID("5b0c5f0e-2f53-5d0a-9a55-0c6f4c1d7be2")
"""Namespace of all ids; fixed, so that every demo store holds the same memories."""
PEOPLE: Mapping[str, str] = {
    "mara": "Mara Lindqvist",
    "jonas": "Jonas Weidmann",
    "priya": "Priya Raghunathan",
    "dele": "Dele Okafor",
    "tomas": "Tomás Echeverría",
    "ruth": "Ruth Castellan",
    "wanjiru": "Wanjiru Kamau",
    "henrik": "Henrik Solberg",
}
"""Users by handle. A note whose key begins with a handle belongs to that user."""
GROUPS: Mapping[str, tuple[str, Sequence[str]]] = {
    "harbourline": ("Everybody at Harbourline", tuple(PEOPLE)),
    "database": ("Database reviews", ("jonas", "mara", "dele")),
}
"""Display name and members of each group; the first member is its admin."""
DOMAIN_LABELS: Mapping[str, str] = {
    "api": "Public API",
    "auth": "Keys and sign-in",
    "billing": "Billing",
    "carriers": "Carriers",
    "database": "PostgreSQL",
    "eta": "Arrival windows",
    "infra": "Infrastructure",
    "ingest": "Ingest",
    "mobile": "Scanner app",
    "team": "Team",
    "web": "Web client",
    "webhooks": "Webhooks",
}
TOP_TERM_COUNT = 5
FOUNDED_DAYS_AGO = 372.0
"""Age of users, groups and domains, at least that of the oldest note."""
BURIED_DAYS = 60.0


def notes() -> Iterator[dict[str, Any]]:
    """Yield the packaged notes, one JSON object each."""
    with (files("vestige_tui") / "data" / "demo.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def memory_id(key: str) -> str:
    """Return the memory id of a note."""
    return str(uuid.uuid5(NAMESPACE, key))


async def fill(store: Store, now: datetime, progress: Callable[[int, int], None] | None = None) -> None:
    """Write all notes with vectors, schedules, reviews, links and supersessions, dated back from ``now``.

    Idempotent for the same ``now``; ``progress`` is called with (done, total) after each batch.
    """
    note_list = list(notes())
    drafts: list[Draft] = []
    reviews: list[Review] = []
    edges: list[Edge] = []
    events: list[SupersessionEvent] = []
    for note in note_list:
        created = _ago(now, note["days_ago"])
        state = None
        for entry in sorted(note["reviews"], key=lambda each: -each["days_ago"]):
            at = _ago(now, entry["days_ago"])
            after = grade(state, Rating(entry["rating"]), at, store.policy)
            reviews.append(Review(0, memory_id(note["key"]), at, entry["rating"], state or Scheduling(), after))
            state = after
        drafts.append(draft_of(note, created, state))
        edges += (
            Edge(memory_id(note["key"]), memory_id(each["to"]), each["type"], each["weight"], created)
            for each in note["edges"]
        )
        if note["superseded_by"]:
            decided_at = _ago(now, note["superseded_days_ago"])
            winner = memory_id(note["superseded_by"])
            events.append(SupersessionEvent(0, memory_id(note["key"]), winner, "supersede", decided_at))
    await _restore_accounts(store, note_list, now)
    for start in range(0, len(drafts), BATCH_ROWS):
        await store.memories.insert_many(drafts[start : start + BATCH_ROWS])
        if progress:
            progress(min(start + BATCH_ROWS, len(drafts)), len(drafts))
    await store.domains.compute_missing()
    await store.links.restore(edges)
    reviews.sort(key=lambda review: review.at)
    await store.reviews.restore([replace(review, id=number) for number, review in enumerate(reviews, start=1)])
    await store.links.restore_events(sorted(events, key=lambda event: event.decided_at))
    await _change_some(store, now)


async def _restore_accounts(store: Store, note_list: Sequence[Mapping[str, Any]], now: datetime) -> None:
    """Write users, groups and domains, before the memories that name them."""
    founded = _ago(now, FOUNDED_DAYS_AGO)
    users = [Account(account_id("user", handle), handle, name, founded) for handle, name in PEOPLE.items()]
    groups = [Account(account_id("group", handle), handle, name, founded) for handle, (name, _) in GROUPS.items()]
    memberships = [
        Membership(account_id("user", member), account_id("group", group), founded, "member" if number else "admin")
        for group, (_, members) in GROUPS.items()
        for number, member in enumerate(members)
    ]
    await store.accounts.restore_users(users)
    await store.accounts.restore_groups(groups)
    await store.accounts.restore_memberships(memberships)
    domains = []
    for domain, label in DOMAIN_LABELS.items():
        inside = [note for note in note_list if domain in note["domains"]]
        terms = Counter(tag for note in inside for tag in note["tags"])
        top_terms = tuple(
            tag for tag, _ in sorted(terms.items(), key=lambda each: (-each[1], each[0]))[:TOP_TERM_COUNT]
        )
        domains.append(Domain(domain, label, top_terms, len(inside), founded))
    await store.accounts.restore_domains(domains)


async def _change_some(store: Store, now: datetime) -> None:
    """Change a few memories as a user does, so that the journal has entries and each mark occurs."""
    alert, analysts = memory_id("lag-alert-seconds"), memory_id("analyst-replica")
    if "runbook" not in (await store.memories.get(alert)).tags:
        await store.memories.tag([alert], ["runbook"])
    if not any(edge.target_id == analysts for edge in await store.links.edges(alert)):
        await store.links.add(Edge(alert, analysts, "related", 0.5))
    load = memory_id("dansk-load")
    if (await store.memories.get(load)).codebase is None:
        await store.memories.update(load, Patch(codebase="harbour-api"))
    suspended, buried = memory_id("usage-late-events"), memory_id("driver-app-idea")
    pinned = memory_id("invoice-per-country")
    if not (await store.reviews.marks(suspended)).suspended:
        await store.reviews.suspend(suspended)
    if (await store.reviews.marks(buried)).buried_until is None:
        await store.reviews.bury(buried, now + timedelta(days=BURIED_DAYS))
    if not (await store.reviews.marks(pinned)).pinned:
        await store.reviews.pin([pinned])


def account_id(kind: str, handle: str) -> str:
    """Return the id of a user or a group."""
    return str(uuid.uuid5(NAMESPACE, f"{kind} {handle}"))


def _ago(now: datetime, days: float) -> datetime:
    return now - timedelta(days=days)


def draft_of(note: Mapping[str, Any], created: datetime, state: Scheduling | None) -> Draft:
    """Return a note as the memory that is written, with its owner and visibility."""
    owner = note["key"].partition("-")[0]
    group = "database" if owner == "jonas" else "harbourline"
    is_public = note["node_type"] == "fact" and "docs" in note["tags"]
    visibility = "public" if is_public else "group" if "team" in note["domains"] or owner == "jonas" else "private"
    return Draft(
        content=note["content"],
        id=memory_id(note["key"]),
        node_type=note["node_type"],
        tags=tuple(note["tags"]),
        domains=tuple(note["domains"]),
        codebase=note["codebase"],
        metadata={"source": note["source"]} if note["source"] else {},
        created_at=created,
        owner_user_id=account_id("user", owner) if owner in PEOPLE else LOCAL_USER,
        visibility=visibility,
        shared_with_groups=(account_id("group", group),) if visibility == "group" else (),
        scheduling=state,
    )
