"""Ids that are no UUIDs, in copies from one SQLite file to another."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.attempts import attempt, claimed_copy, findings_of
from tests.support.checkpoints import stopped_after
from tests.support.comparison import compare, differences
from tests.support.equal_stores import TABLES as SELECTIONS
from tests.support.full_store import fill
from tests.support.jobs import run_here
from tests.support.odd_ids import KEPT_IDS, UUID, ids_of, list_column, respell
from tests.support.polling import until
from tests.support.postgres import named_database
from tests.support.vestige_files import make_v18
from vestige_tui.core.errors import Cancelled, Refused
from vestige_tui.core.reviews import Rating
from vestige_tui.core.storable import is_kept_id, new_id
from vestige_tui.jobs.context import JobContext
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.jobs.start import JobRequest
from vestige_tui.store.open import open_store
from vestige_tui.transfer import copy
from vestige_tui.transfer.id_notes import with_note, without_notes

AT = "2026-02-01T00:00:00.000000+00:00"


def mapped(raw: object) -> str:
    """The UUID that stands for an id."""
    return str(uuid.UUID(bytes=new_id(raw)))


async def odd_store(path: Path) -> Path:
    """A store of which every memory, user and group has an id that is no UUID."""
    await fill(path, len(KEPT_IDS), dimension=8, words=4)
    ids = dict(zip(map(str, ids_of(path)), KEPT_IDS, strict=True))
    person, team = (str(uuid.UUID(int=number, version=4)) for number in (5, 6))
    respell(path, {**ids, person: "Ann Ö.", team: "team/1"})
    return path


def contents(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    selections = {
        **SELECTIONS,
        "vectors": "SELECT node_id, embedding FROM node_embeddings ORDER BY node_id",
        "groups of memories": "SELECT id, shared_with_groups, metadata, updated_at FROM knowledge_nodes ORDER BY id",
        "undone": "SELECT v.memory_id, u.memory_id FROM review_events v JOIN review_events u ON u.id = v.undoes",
    }
    with closing(sqlite3.connect(path)) as connection:
        return {name: connection.execute(sql).fetchall() for name, sql in selections.items()}


async def brought(source: Path, target: Path, **options: Any) -> JobContext:
    running, _ = await attempt(f"sqlite:{source}", f"sqlite:{target}", **options)
    return running


def inserted(running: JobContext) -> int:
    return sum(table.inserted for table in running.meter.tables.values())


async def assert_equal(source: Path, target: Path | str) -> None:
    url = target if isinstance(target, str) else f"sqlite:{target}"
    assert differences(await compare(f"sqlite:{source}", url)) == {}


async def test_every_text_stays_the_id_wherever_it_is_named(tmp_path: Path) -> None:
    assert all(map(is_kept_id, KEPT_IDS))
    source, target = await odd_store(tmp_path / "source.db"), tmp_path / "target.db"
    running = await brought(source, target, batch=3)
    assert contents(target) == contents(source)
    assert not any(table.repaired or table.failed for table in running.meter.tables.values())
    assert await findings_of(f"sqlite:{target}", running) == []
    await assert_equal(source, target)
    assert inserted(await brought(source, target)) == 0
    assert contents(target) == contents(source)


async def test_ids_that_no_store_keeps_become_uuids_with_a_note(tmp_path: Path) -> None:
    source, target = tmp_path / "source.db", tmp_path / "target.db"
    await fill(source, 8, dimension=8, words=4)
    upper, braced, nul, raw = UUID.upper(), "{4b7f22f0-3c5e-4a3c-9d6a-1f0b6b2b9a11}", "nul\0inside", b"by\xfftes"
    odd: list[str | bytes | int] = ["", upper, braced, nul, raw, "café", 12]
    respell(source, dict(zip(map(str, ids_of(source)), odd, strict=False)))
    with closing(sqlite3.connect(source)) as connection, connection:
        # The same UUID in another spelling: of the two the first is taken.
        connection.execute(
            "INSERT INTO knowledge_nodes (id, content, created_at, updated_at) VALUES (?, 'again', ?, ?)",
            (UUID.replace("-", ""), AT, AT),
        )
    running = await brought(source, target)
    plain = str(ids_of(source)[7])
    assert ids_of(target) == [mapped(""), UUID, braced[1:-1], mapped(nul), mapped(raw), "café", "12", plain]
    reasons = {each.source_key: each.reason for each in await findings_of(f"sqlite:{target}", running)}
    assert "Id was not a UUID; a UUID was made from it." in reasons[""]
    assert "Id was a UUID in another spelling; stored in the usual one." in reasons[upper]
    assert "came first" in reasons[UUID.replace("-", "")]
    assert not {"café", "12"} & reasons.keys()
    originals = list_column(target, "SELECT metadata ->> '$.vestige.original.id' FROM knowledge_nodes ORDER BY rowid")
    assert originals[5:] == [None, None, None]
    assert originals[:3] == ["", upper, braced]
    assert all("base64" in str(original) for original in originals[3:5])
    await assert_equal(source, target)
    assert inserted(await brought(source, target)) == 0


async def test_a_vestige_file_keeps_its_ids(tmp_path: Path) -> None:
    source, target = make_v18(tmp_path / "vestige.db", 24, hostile=True), tmp_path / "target.db"
    running = await brought(source, target)
    assert ids_of(target) == ids_of(source)
    assert ("mem-123", "mem-123") in list_pairs(target, "SELECT source_id, target_id FROM edges")
    reasons = [each.reason for each in await findings_of(f"sqlite:{target}", running)]
    assert not [reason for reason in reasons if "UUID" in reason]
    await assert_equal(source, target)
    assert inserted(await brought(source, target)) == 0


def list_pairs(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


@pytest.mark.slow
async def test_an_interrupted_copy_goes_on_with_the_same_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = await odd_store(tmp_path / "source.db")
    expected = contents(source)
    # Within the memories, the links, the reviews and the decisions.
    for steps in (5, 9, 15):
        target = tmp_path / f"target{steps}.db"
        with stopped_after(steps, monkeypatch) as stopped, pytest.raises(Refused):
            await brought(source, target, batch=3)
        assert stopped
        await brought(source, target, batch=3)
        assert contents(target) == expected
        await assert_equal(source, target)


@asynccontextmanager
async def following(source: Path, target: Path) -> AsyncIterator[tuple[JobContext, Callable[[], Awaitable[None]]]]:
    """Follow a source; the function waits until the target is equal to it."""
    async with claimed_copy(f"sqlite:{source}", f"sqlite:{target}", follow=True) as running:
        working = asyncio.create_task(copy.run(running))

        async def equal() -> bool:
            assert not working.done()
            follows = running.meter.phase == "following"
            return follows and differences(await compare(f"sqlite:{source}", f"sqlite:{target}")) == {}

        async def until_equal() -> None:
            await until(equal)

        try:
            await until_equal()
            yield running, until_equal
        finally:
            running.stop.set()
            with suppress(Cancelled):
                await working


async def test_a_followed_source_is_followed_by_its_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(copy, "IDLE_RATIO", 0)
    source, target = await odd_store(tmp_path / "source.db"), tmp_path / "target.db"
    async with following(source, target) as (running, until_equal), open_store(f"sqlite:{target}") as store:
        for changes in CHANGES:
            with closing(sqlite3.connect(source)) as connection, connection:
                connection.execute("PRAGMA foreign_keys = ON")
                for statement in changes:
                    assert connection.execute(statement).rowcount > 0, statement
            await until_equal()
            assert contents(target) == contents(source)
        # Reviewed here, and deleted there: it stays, and with it what belongs to it.
        await store.reviews.record(KEPT_IDS[5], Rating.GOOD)
        with closing(sqlite3.connect(source)) as connection, connection:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("DELETE FROM knowledge_nodes WHERE id IN (?, ?)", (KEPT_IDS[5], KEPT_IDS[7]))

        expected = {("only_target", KEPT_IDS[5]), ("deleted", KEPT_IDS[7]), ("deleted", "007"), ("updated", " ")}

        async def reported() -> bool:
            findings = (await Ledger(store).findings(running.job_id, limit=1_000)).items
            named = {(each.outcome, each.source_key) for each in findings if each.subject == "memories"}
            return expected <= named

        await until(reported)
        memories = await store.memories.get_many([KEPT_IDS[5], KEPT_IDS[7]])
        assert [memory.id for memory in memories] == [KEPT_IDS[5]]


CHANGES = (
    (
        f"INSERT INTO knowledge_nodes (id, content, created_at, updated_at) VALUES ('new', 'new', '{AT}', '{AT}')",
        f"INSERT INTO edges VALUES ('new', 'mem-1', 'related', 1.0, '{AT}')",
        f"INSERT INTO edges VALUES ('null', 'new', 'related', 1.0, '{AT}')",
        "INSERT INTO scheduling (memory_id, reps) VALUES ('new', 0)",
        "INSERT INTO review_marks (memory_id, suspended) VALUES ('new', 1)",
        "INSERT INTO review_events (memory_id, timestamp, rating, prior_state, new_state)"
        f" VALUES ('new', '{AT}', 3, '{{}}', '{{}}')",
        f"INSERT INTO users (id, handle, created_at) VALUES ('bob', 'bob', '{AT}')",
        f"INSERT INTO group_memberships VALUES ('bob', 'team/1', 'member', '{AT}')",
    ),
    (
        f"UPDATE knowledge_nodes SET content = 'edited', owner_user_id = 'bob', updated_at = '{AT}' WHERE id = ' '",
        "UPDATE scheduling SET reps = 7 WHERE memory_id = 'mem-1'",
        "UPDATE edges SET weight = 0.25 WHERE source_id = 'mem-1'",
        "UPDATE users SET display_name = 'Ann' WHERE id = 'Ann Ö.'",
        "UPDATE node_embeddings SET embedding = (SELECT embedding FROM node_embeddings WHERE node_id = 'mem-1')"
        " WHERE node_id = ' '",
    ),
    (
        "INSERT INTO supersession_events (loser_id, winner_id, kind, decided_at)"
        f" VALUES ('mem-1', 'new', 'supersede', '{AT}')",
        "UPDATE knowledge_nodes SET superseded_by = 'new' WHERE id = 'mem-1'",
        "DELETE FROM knowledge_nodes WHERE id = '007'",
        "DELETE FROM edges WHERE source_id = ' '",
        "DELETE FROM review_marks WHERE memory_id = 'new'",
        "DELETE FROM group_memberships WHERE user_id = 'Ann Ö.'",
    ),
)


async def test_a_target_that_holds_the_uuids_gets_no_second_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = await odd_store(tmp_path / "source.db"), tmp_path / "target.db"
    await copied_as_before(source, target, monkeypatch)
    before = contents(target)
    assert set(ids_of(target)) == set(map(mapped, KEPT_IDS))
    running = await brought(source, target)
    assert inserted(running) == 0
    assert contents(target) == before
    assert await findings_of(f"sqlite:{target}", running) == []
    await assert_equal(source, target)
    # A memory that came later keeps its id, and its links find both kinds.
    with closing(sqlite3.connect(source)) as connection, connection:
        connection.execute(
            "INSERT INTO knowledge_nodes (id, content, created_at, updated_at) VALUES ('late', 'late', ?, ?)", (AT, AT)
        )
        connection.execute("INSERT INTO edges VALUES ('late', 'mem-1', 'related', 1.0, ?)", (AT,))
        connection.execute("UPDATE knowledge_nodes SET content = 'edited', updated_at = ? WHERE id = 'mem-1'", (AT,))
        connection.execute("UPDATE users SET display_name = 'Ann'")
    assert inserted(await brought(source, target)) == 2
    assert ids_of(target)[-1] == "late"
    assert ("late", mapped("mem-1")) in list_pairs(target, "SELECT source_id, target_id FROM edges")
    repaired = await run_here(JobRequest("repair", f"sqlite:{source}", f"sqlite:{target}", {}))
    assert repaired.status == "completed"
    await assert_equal(source, target)
    [row] = list_pairs(target, f"SELECT content, metadata FROM knowledge_nodes WHERE id = '{mapped('mem-1')}'")
    assert row[0] == "edited"
    assert json.loads(row[1])["vestige"]["original"]["id"] == "mem-1"


async def test_a_copy_that_an_older_version_began_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = await odd_store(tmp_path / "source.db"), tmp_path / "target.db"
    with stopped_after(8, monkeypatch), pytest.raises(Refused):
        await copied_as_before(source, target, monkeypatch, batch=3)
    older = set(ids_of(target))
    assert older < set(map(mapped, KEPT_IDS))
    await brought(source, target, batch=3)
    assert set(ids_of(target)) == older | {raw for raw in KEPT_IDS if mapped(raw) not in older}
    assert len(contents(target)["edges"]) == len(contents(source)["edges"])
    await assert_equal(source, target)
    assert inserted(await brought(source, target)) == 0


async def copied_as_before(source: Path, target: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
    """Copy as a version that gave every id that is no UUID one made from it."""

    async def read_no_kept_ids(store: object) -> None:
        return None

    with monkeypatch.context() as patch:
        patch.setattr(copy, "read_kept_ids", read_no_kept_ids)
        await brought(source, target, **options)


async def test_two_files_that_hold_one_memory_under_its_text_and_its_uuid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, older, target = await odd_store(tmp_path / "source.db"), tmp_path / "older.db", tmp_path / "target.db"
    await copied_as_before(source, older, monkeypatch)
    await brought(source, target)
    assert inserted(await brought(older, target)) == 0
    await assert_equal(older, target)
    assert contents(target) == contents(source)


@pytest.mark.slow
async def test_a_copy_of_the_copy_is_the_copy(tmp_path: Path, postgres_server: str) -> None:
    source, between = await odd_store(tmp_path / "source.db"), tmp_path / "between.db"
    with closing(sqlite3.connect(source)) as connection, connection:
        # A repaired value beside the id: both originals come along.
        connection.execute("UPDATE knowledge_nodes SET tags = 'no json' WHERE id = 'mem-1'")
        connection.execute("UPDATE knowledge_nodes SET id = ? WHERE id = '007'", ("nul\0inside",))
    await brought(source, between)
    with named_database(postgres_server, "direct") as direct, named_database(postgres_server, "onward") as onward:
        await attempt(f"sqlite:{source}", direct)
        await attempt(f"sqlite:{between}", onward)
        assert rows_on_server(onward) == rows_on_server(direct)
        await assert_equal(source, onward)
        await assert_equal(between, direct)
        # Back from the server the ids are UUIDs, and a file that has their texts gets no second rows.
        back = tmp_path / "back.db"
        await attempt(onward, f"sqlite:{back}")
        assert set(ids_of(back)) == {mapped(raw) for raw in ids_of(source)}
        returned, _ = await attempt(onward, f"sqlite:{between}")
        assert inserted(returned) == 0


def rows_on_server(url: str) -> dict[str, Sequence[Any]]:
    selections = {
        **SELECTIONS,
        "vectors": "SELECT node_id, embedding FROM node_embeddings ORDER BY node_id",
        "metadata": "SELECT id, metadata, tags, shared_with_groups FROM knowledge_nodes ORDER BY id",
    }
    with psycopg.connect(url) as server:
        return {name: server.execute(sql.encode()).fetchall() for name, sql in selections.items()}


async def test_a_repair_writes_and_deletes_by_the_ids_of_the_file(tmp_path: Path) -> None:
    source, target = await odd_store(tmp_path / "source.db"), tmp_path / "target.db"
    await brought(source, target)
    with closing(sqlite3.connect(target)) as connection, connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("DELETE FROM knowledge_nodes WHERE id = 'mem-1'")
        connection.execute("UPDATE knowledge_nodes SET content = 'other' WHERE id = ' '")
        connection.execute("UPDATE scheduling SET reps = 9 WHERE memory_id = 'null'")
        connection.execute(
            "INSERT INTO knowledge_nodes (id, content, created_at, updated_at) VALUES ('own', 'own', ?, ?)", (AT, AT)
        )
        connection.execute("INSERT INTO edges VALUES ('own', ' ', 'related', 1.0, ?)", (AT,))
    report = await compare(f"sqlite:{source}", f"sqlite:{target}")
    assert differences(report)["memories"] == (1, 1, 1)
    job = await run_here(JobRequest("repair", f"sqlite:{source}", f"sqlite:{target}", {"delete": True}))
    assert job.result is not None
    assert job.result.endswith("every row is equal")
    assert {name: set(rows) for name, rows in contents(target).items()} == {
        name: set(rows) for name, rows in contents(source).items()
    }
    async with open_store(f"sqlite:{target}") as store:
        assert not await store.memories.get_many(["own"])


async def test_a_taken_handle_gets_the_same_end_at_every_comparison(tmp_path: Path) -> None:
    source, target = await odd_store(tmp_path / "source.db"), tmp_path / "target.db"
    async with open_store(f"sqlite:{target}", create=True):
        pass
    with closing(sqlite3.connect(target)) as connection, connection:
        connection.execute("INSERT INTO users (id, handle, created_at) VALUES ('another', 'ann', ?)", (AT,))
    await brought(source, target)
    assert list_column(target, "SELECT handle FROM users WHERE id = 'Ann Ö.'") == [f"ann-{mapped('Ann Ö.')[:8]}"]
    assert differences(await compare(f"sqlite:{source}", f"sqlite:{target}")) == {"users": (0, 0, 1)}


@pytest.mark.parametrize(
    "metadata", ["{}", '{"a": 1}', '{"vestige": {"original": {"tags": "x"}}}', '{"vestige": {"b": 2}}']
)
def test_a_note_goes_as_it_came(metadata: str) -> None:
    noted = with_note(metadata, "mem-1")
    assert json.loads(noted)["vestige"]["original"]["id"] == "mem-1"
    assert json.loads(without_notes(noted, {"id": "mem-1"})) == json.loads(metadata)
    assert without_notes(noted, {"id": "mem-2"}) == noted
