"""Edits that the target of a followed copy refuses, and what becomes of the row afterwards."""

from __future__ import annotations

import asyncio
import sqlite3
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.attempts import attempt, change
from tests.support.postgres import new_database
from vestige_tui.core.embeddings import ModelSignature
from vestige_tui.core.errors import Refused
from vestige_tui.core.memories import Draft
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.store.open import open_store
from vestige_tui.transfer import follow, sync_state
from vestige_tui.transfer.copy import Copy
from vestige_tui.transfer.protocols import WriteOutcome
from vestige_tui.transfer.sync_state import EDIT_REFUSED, EQUAL, OWNED, RowState

pytestmark = pytest.mark.sampled("source", "target")

PATIENCE_SECONDS = 60
MEMORY, BOB, ANN = (str(uuid.UUID(int=number << 96 | number, version=4)) for number in (11, 12, 13))
CREATED, REFUSED_AT, VALID_AT, TARGET_AT = (f"2026-02-0{day}T00:00:00.000000+00:00" for day in (1, 2, 3, 4))


@dataclass(frozen=True, slots=True)
class Refusal:
    """Edit of a row that the target refuses, and a later one that it takes.

    ``obstacle`` is written to the target, which refuses ``refused_edit`` because of it. ``shown`` reads the row.
    """

    subject: str
    key: str
    refused_edit: str
    valid_edit: str
    target_edit: str
    shown: str
    obstacle: Sequence[str]


def edit_memory(content: str, at: str, rest: str = "") -> str:
    return f"UPDATE knowledge_nodes SET content = '{content}', updated_at = '{at}'{rest} WHERE id = '{MEMORY}'"


def edit_user(handle: str, name: str) -> str:
    return f"UPDATE users SET handle = '{handle}', display_name = '{name}' WHERE id = '{BOB}'"


def insert_user(user: str, handle: str) -> str:
    return f"INSERT INTO users (id, handle, created_at) VALUES ('{user}', '{handle}', '{CREATED}')"


SHOWN_MEMORY = f"SELECT content FROM knowledge_nodes WHERE id = '{MEMORY}'"
REFUSALS = {
    "of an owner that the target has deleted": Refusal(
        "memories",
        MEMORY,
        edit_memory("refused", REFUSED_AT, f", owner_user_id = '{ANN}'"),
        edit_memory("valid", VALID_AT, f", owner_user_id = '{BOB}'"),
        edit_memory("edited in the target", TARGET_AT),
        SHOWN_MEMORY,
        (f"DELETE FROM users WHERE id = '{ANN}'",),
    ),
    "to a name that the target has given twice": Refusal(
        "users",
        BOB,
        edit_user("robert", "refused"),
        edit_user("rob", "valid"),
        edit_user("bob", "edited in the target"),
        f"SELECT display_name FROM users WHERE id = '{BOB}'",
        (
            insert_user(str(uuid.UUID(int=21, version=4)), "robert"),
            insert_user(str(uuid.UUID(int=22, version=4)), f"robert-{BOB[:8]}"),
        ),
    ),
}
PAIRS = (("sqlite", "postgres"), ("postgres", "postgres"), ("postgres", "sqlite"), ("sqlite", "sqlite"))
CASES = [
    pytest.param(
        *(source, target, refusal),
        id=f"{source} to {target}, an edit {name}",
        # Each kind of source and of target is in one of the others.
        marks=[pytest.mark.thorough] if source == target else [],
    )
    for name, refusal in REFUSALS.items()
    for source, target in PAIRS
]
OF_MEMORIES = [case for case in CASES if "owner" in str(case.id)]


@dataclass(frozen=True, slots=True)
class Stores:
    """Source with one memory and two users, and its target."""

    source: str
    target: str


@dataclass(slots=True)
class FollowingCopy:
    """Copy that makes its next pass when the test says so."""

    stores: Stores
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    over: bool = False

    async def wait(self) -> None:
        """Stand for the pause between two passes."""
        self.idle.set()
        await self.go.wait()
        self.go.clear()
        if self.over:
            raise Refused("The worker ends here.")

    async def catch_up(self) -> None:
        """Let the copy look at its source again, until it has found no further change."""
        self.idle.clear()
        self.go.set()
        await asyncio.wait_for(self.idle.wait(), PATIENCE_SECONDS)


@asynccontextmanager
async def following(stores: Stores, **options: Any) -> AsyncIterator[FollowingCopy]:
    """Follow the source; at the end the attempt fails, so that the next one goes on with what it knows."""
    copy = FollowingCopy(stores)

    async def wait(self: Copy, seconds: float) -> None:
        # A server counts its changes late: the next pass is made whether the source seems to have changed or not.
        self._token = None
        await copy.wait()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Copy, "_wait", wait)
        working = asyncio.create_task(attempt(stores.source, stores.target, follow=True, **options))
        idle = asyncio.create_task(copy.idle.wait())
        await asyncio.wait({working, idle}, timeout=PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        assert copy.idle.is_set(), working
        try:
            yield copy
        finally:
            copy.over = True
            copy.go.set()
            with pytest.raises(Refused, match="The worker ends here"):
                await working


async def findings(stores: Stores, refusal: Refusal) -> list[tuple[str, str]]:
    """Return outcome and reason of each finding about the row."""
    async with open_store(stores.target, read_only=True) as store:
        ledger = Ledger(store)
        newest, *_ = await ledger.jobs()
        items = (await ledger.findings(newest.id, limit=1_000)).items
    return [
        (each.outcome, each.reason)
        for each in items
        if (each.subject, each.source_key) == (refusal.subject, refusal.key)
    ]


async def outcomes(stores: Stores, refusal: Refusal) -> list[str]:
    return [outcome for outcome, _ in await findings(stores, refusal)]


def read(url: str, query: str) -> Any:
    """Return the value that a query of one row and one column finds; None where it finds no row."""
    if url.startswith("postgres"):
        with psycopg.connect(url) as server:
            row = server.execute(query.encode()).fetchone()
    else:
        with closing(sqlite3.connect(url.removeprefix("sqlite:"))) as connection:
            row = connection.execute(query).fetchone()
    return row[0] if row else None


def shown(stores: Stores, refusal: Refusal) -> Any:
    """Return what the target shows of the row."""
    return read(stores.target, refusal.shown)


@pytest.fixture(params=["inserted", "found equal"])
def known_as(request: pytest.FixtureRequest) -> str:
    """How the copy has come to know the row."""
    return str(request.param)


@pytest.fixture
def databases(postgres_server: str) -> Iterator[list[str]]:
    with new_database(postgres_server) as one, new_database(postgres_server) as other:
        yield [one, other]


@pytest.fixture
async def stores(request: pytest.FixtureRequest, source: str, target: str, known_as: str, tmp_path: Path) -> Stores:
    """A filled source and its target, which has the rows already where they are to be found equal."""
    databases = iter(request.getfixturevalue("databases")) if "postgres" in (source, target) else iter(())
    urls = [
        next(databases) if kind == "postgres" else f"sqlite:{tmp_path / name}"
        for name, kind in (("source.db", source), ("target.db", target))
    ]
    pair = Stores(*urls)
    async with open_store(pair.source, create=True) as store:
        await store.insert(Draft("as copied", id=MEMORY), embed=False)
    for user, handle in ((ANN, "ann"), (BOB, "bob")):
        change(pair.source, insert_user(user, handle))
    if known_as == "found equal":
        await attempt(pair.source, pair.target)
    return pair


async def refuse(copy: FollowingCopy, refusal: Refusal) -> None:
    """Bring it about that the target has refused the edit."""
    # A pass looks at every row, and records those that it finds equal.
    change(copy.stores.source, insert_user(str(uuid.UUID(int=23, version=4)), "eve"))
    await copy.catch_up()
    for statement in refusal.obstacle:
        change(copy.stores.target, statement)
    before = shown(copy.stores, refusal)
    change(copy.stores.source, refusal.refused_edit)
    await copy.catch_up()
    assert await outcomes(copy.stores, refusal) == ["failed"]
    assert shown(copy.stores, refusal) == before


@pytest.mark.slow
@pytest.mark.parametrize(("source", "target", "refusal"), CASES)
@pytest.mark.parametrize("restarted", [False, True], ids=["one attempt", "two attempts"])
async def test_a_valid_edit_after_a_refused_one_is_brought(stores: Stores, refusal: Refusal, restarted: bool) -> None:
    async with following(stores) as copy:
        await refuse(copy, refusal)
        if not restarted:
            change(stores.source, refusal.valid_edit)
            await copy.catch_up()
    if restarted:
        change(stores.source, refusal.valid_edit)
        async with following(stores):
            pass
    assert shown(stores, refusal) == "valid"
    assert await outcomes(stores, refusal) == ["failed", "updated"]


@pytest.mark.slow
@pytest.mark.parametrize("known_as", ["inserted"])
@pytest.mark.parametrize(("source", "target", "refusal"), CASES)
async def test_a_refused_edit_is_reported_once_and_a_second_one_as_well(stores: Stores, refusal: Refusal) -> None:
    async with following(stores) as copy:
        await refuse(copy, refusal)
        change(stores.source, refusal.refused_edit.replace("'refused'", "'refused again'"))
        await copy.catch_up()
        change(stores.source, insert_user(str(uuid.UUID(int=24, version=4)), "joe"))
        await copy.catch_up()
        assert await outcomes(stores, refusal) == ["failed", "failed"]
        change(stores.source, refusal.valid_edit)
        await copy.catch_up()
    assert shown(stores, refusal) == "valid"


@pytest.mark.slow
@pytest.mark.parametrize(("source", "target", "refusal"), CASES)
async def test_an_edit_of_the_target_after_a_refused_one_is_kept(stores: Stores, refusal: Refusal) -> None:
    async with following(stores) as copy:
        await refuse(copy, refusal)
        change(stores.target, refusal.target_edit)
        change(stores.source, refusal.valid_edit)
        await copy.catch_up()
    assert shown(stores, refusal) == "edited in the target"
    [_, (outcome, reason)] = await findings(stores, refusal)
    assert (outcome, "edited on both sides" in reason) == ("differs", True)


@pytest.mark.parametrize("known_as", ["inserted"])
@pytest.mark.parametrize(("source", "target", "refusal"), OF_MEMORIES)
async def test_a_memory_whose_edit_was_refused_is_deleted_with_that_of_the_source(
    stores: Stores, refusal: Refusal
) -> None:
    async with following(stores) as copy:
        await refuse(copy, refusal)
        change(stores.source, f"DELETE FROM knowledge_nodes WHERE id = '{MEMORY}'")
        for _ in range(2):
            # While the source changes, a row has to be missed twice.
            await copy.catch_up()
    assert shown(stores, refusal) is None
    assert await outcomes(stores, refusal) == ["failed", "deleted"]


@pytest.mark.slow
@pytest.mark.parametrize("known_as", ["inserted"])
@pytest.mark.parametrize(("source", "target", "refusal"), OF_MEMORIES)
async def test_a_vector_that_was_made_here_stays_while_its_text_does(stores: Stores, refusal: Refusal) -> None:
    version = "xmin::text" if stores.target.startswith("postgres") else "seq"
    query = f"SELECT {version} FROM node_embeddings WHERE node_id = '{MEMORY}'"
    async with open_store(stores.source) as store:
        await store.models.register(ModelSignature("test-model", 4))
    async with following(stores, reembed=True, model="test-embedder-8") as copy:
        vector = read(stores.target, query)
        assert vector is not None
        await refuse(copy, refusal)
        assert read(stores.target, query) == vector
        change(stores.source, refusal.valid_edit)
        await copy.catch_up()
        assert read(stores.target, query) not in (vector, None)


# Of an older program


def older_states(states: Sequence[RowState], known_states: Sequence[RowState], outcome: WriteOutcome) -> list[RowState]:
    """Return what an older program recorded of updated rows: of a refused edit the stamp of that edit."""
    return [
        state._replace(flags=known_state.flags & OWNED | (EDIT_REFUSED if position in outcome.refused else EQUAL))
        for position, (state, known_state) in enumerate(zip(states, known_states, strict=True))
        if position not in outcome.present
    ]


@contextmanager
def older_program() -> Iterator[None]:
    """Record refused edits, and read them, as an older program does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(follow, "updated_states", older_states)
        patch.setattr(sync_state, "without_older_refusals", lambda records: records)
        yield


@pytest.mark.slow
@pytest.mark.parametrize(("source", "target", "refusal"), CASES)
async def test_a_refused_edit_that_an_older_program_recorded_is_tried_again(stores: Stores, refusal: Refusal) -> None:
    with older_program():
        async with following(stores) as copy:
            await refuse(copy, refusal)
    async with following(stores) as copy:
        assert await outcomes(stores, refusal) == ["failed", "failed"]
        change(stores.source, refusal.valid_edit)
        await copy.catch_up()
    assert shown(stores, refusal) == "valid"


@pytest.mark.slow
@pytest.mark.parametrize(("source", "target", "refusal"), CASES)
async def test_a_valid_edit_that_an_older_program_has_left_out_is_brought(
    stores: Stores, refusal: Refusal, known_as: str
) -> None:
    with older_program():
        async with following(stores) as copy:
            await refuse(copy, refusal)
            before = shown(stores, refusal)
            change(stores.source, refusal.valid_edit)
            await copy.catch_up()
            assert shown(stores, refusal) == before
    left_out = ["failed", "differs"] if known_as == "inserted" else ["failed"]
    assert await outcomes(stores, refusal) == left_out
    async with following(stores):
        pass
    assert shown(stores, refusal) == "valid"
    assert await outcomes(stores, refusal) == [*left_out, "updated"]


@pytest.mark.slow
@pytest.mark.parametrize("known_as", ["inserted"])
@pytest.mark.parametrize(("source", "target", "refusal"), CASES)
async def test_an_edit_of_the_target_outlives_an_older_program(stores: Stores, refusal: Refusal) -> None:
    with older_program():
        async with following(stores) as copy:
            await refuse(copy, refusal)
    change(stores.target, refusal.target_edit)
    change(stores.source, refusal.valid_edit)
    async with following(stores):
        pass
    assert shown(stores, refusal) == "edited in the target"
    assert await outcomes(stores, refusal) == ["failed", "differs"]


@pytest.mark.slow
@pytest.mark.parametrize("known_as", ["inserted"])
@pytest.mark.parametrize(("source", "target", "refusal"), CASES)
async def test_an_older_program_reads_a_refused_edit_of_this_one(stores: Stores, refusal: Refusal) -> None:
    async with following(stores) as copy:
        await refuse(copy, refusal)
    change(stores.source, refusal.valid_edit)
    with older_program():
        async with following(stores):
            pass
    assert shown(stores, refusal) == "valid"
