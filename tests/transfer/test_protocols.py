"""Both ends of a copy, on either database: what one gives, the other takes, and gives again."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from tests.support.full_store import MODEL, fill
from tests.support.polling import until
from tests.support.postgres_variant import as_superuser
from tests.support.vestige_files import make_v18
from vestige_tui.core.embeddings import ModelSignature
from vestige_tui.core.errors import Cancelled, ForeignStore, SchemaPending, StoreMissing, Unavailable, Usage
from vestige_tui.core.jobs import JobFinding
from vestige_tui.core.memories import Draft
from vestige_tui.core.search import SearchQuery
from vestige_tui.store.backends import pgbinary_encode
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store
from vestige_tui.transfer.convert import TransferContext, TransferRow
from vestige_tui.transfer.open import open_source, target_of
from vestige_tui.transfer.postgres_source import PostgresSource
from vestige_tui.transfer.protocols import Source, Target, WriteOutcome
from vestige_tui.transfer.row_keys import key_of
from vestige_tui.transfer.sqlite_source import SqliteSource
from vestige_tui.transfer.sqlite_target import SqliteTarget
from vestige_tui.transfer.table_spec import TABLES, Table

MOMENT = datetime(2026, 6, 1, tzinfo=UTC)
BYTES = 8_000_000
BY_NAME = {table.name: table for table in TABLES}
ROWS = {
    "users": "SELECT id, handle, display_name, created_at, metadata FROM users WHERE handle <> 'local' ORDER BY id",
    "groups": "SELECT id, handle, display_name, created_at, metadata FROM groups ORDER BY id",
    "memberships": "SELECT * FROM group_memberships ORDER BY user_id, group_id",
    "domains": "SELECT id, label, centroid, top_terms, memory_count, created_at, metadata FROM domains ORDER BY id",
    "memories": "SELECT id, content, node_type, tags, metadata, domains, domain_scores, codebase, owner_user_id,"
    " visibility, shared_with_groups, created_at, updated_at, superseded_by FROM knowledge_nodes ORDER BY id",
    "vectors": "SELECT node_id, embedding FROM node_embeddings ORDER BY node_id",
    "scheduling": "SELECT * FROM scheduling ORDER BY memory_id",
    "edges": "SELECT source_id, target_id, edge_type, weight, created_at FROM edges ORDER BY 1, 2, 3",
    "reviews": "SELECT v.memory_id, v.timestamp, v.rating, v.prior_state, v.new_state, v.weights_hash,"
    " u.memory_id, u.timestamp,"
    " (SELECT count(*) FROM review_events b WHERE b.memory_id = u.memory_id AND b.id < u.id)"
    " FROM review_events v LEFT JOIN review_events u ON u.id = v.undoes ORDER BY v.id",
    "supersession": "SELECT loser_id, winner_id, kind, decided_at FROM supersession_events ORDER BY id",
    "marks": "SELECT * FROM review_marks ORDER BY memory_id",
    "weights": "SELECT * FROM review_weights ORDER BY hash",
}


@pytest.fixture
async def filled(tmp_path: Path) -> Path:
    """A SQLite store of ours with everything in it, and what is rare."""
    path = tmp_path / "filled.db"
    await fill(path, 60)
    with closing(sqlite3.connect(path)) as connection, connection:
        ids = [row[0] for row in connection.execute("SELECT id FROM knowledge_nodes ORDER BY seq")]
        early, late = "0001-01-01T00:00:00.000000+00:00", "9999-12-31T23:59:59.999999+00:00"
        change = (
            "UPDATE knowledge_nodes SET content = ?, tags = ?, metadata = ?, codebase = ?, created_at = ? WHERE id = ?"
        )
        for place, values in enumerate(
            (
                ("", "[]", "{}", None, early),
                ("鍵 \x1b[2J \u202e", '["鍵", "a b", ""]', '{"ä": [1, 2.5, null, {"b": "\\""}]}', "", late),
                ("word " * 200_000, '["x"]', '{"deep": [[[[]]]]}', "api", early),
            )
        ):
            connection.execute(change, (*values, ids[place + 10]))
        connection.execute("UPDATE node_embeddings SET embedding = ? WHERE node_id = ?", (bytes(256), ids[20]))
        negative = np.full(MODEL.dimension, -0.0, "<f4")
        negative[1] = 1e-45
        connection.execute("UPDATE node_embeddings SET embedding = ? WHERE node_id = ?", (negative.tobytes(), ids[21]))
        connection.execute("UPDATE scheduling SET stability = 36500.0, last_review = NULL, next_review = ?", (late,))
        connection.execute("INSERT INTO edges VALUES (?, ?, '', 1.0, ?)", (ids[3], ids[3], early))
        connection.execute(
            "INSERT INTO review_marks (memory_id, suspended, buried_until) VALUES (?, 0, ?)", (ids[5], late)
        )
        connection.execute("INSERT INTO domains (id, label, created_at) VALUES ('鍵', '', ?)", (early,))
    return path


@asynccontextmanager
async def source_of(url: str | Path) -> AsyncIterator[Source]:
    source = await asyncio.to_thread(open_source, str(url))
    try:
        yield source
    finally:
        await asyncio.to_thread(source.close)


async def setting_of(source: Source) -> TransferContext:
    model = await asyncio.to_thread(source.model)
    duplicate_ids = await asyncio.to_thread(source.duplicate_ids)
    return TransferContext(MOMENT, duplicate_ids, model.dimension if model else None, half=False)


async def read_all(
    source: Source, table: Table, transfer_context: TransferContext, limit: int = 4_000, max_bytes: int = BYTES
) -> tuple[list[TransferRow], list[JobFinding], list[int]]:
    """All rows of a table, what could not be read, and how many came at once."""
    rows: list[TransferRow] = []
    failed: list[JobFinding] = []
    sizes: list[int] = []
    after = source.start(table.name)
    while (batch := await asyncio.to_thread(source.read, table, after, limit, max_bytes, transfer_context)).read:
        rows += batch.rows
        failed += batch.failed
        sizes.append(batch.read)
        after = batch.after
    return rows, failed, sizes


async def pour(source: Source, store: Store, limit: int = 7) -> dict[str, list[WriteOutcome]]:
    """Copy everything, batch by batch."""
    target = target_of(store)
    transfer_context = await setting_of(source)
    model = await asyncio.to_thread(source.model)
    if model:
        await store.models.register(model)
    outcomes: dict[str, list[WriteOutcome]] = {}
    for table in TABLES:
        fresh = await target.empty(table.name)
        rows, _, _ = await read_all(source, table, transfer_context)
        for start in range(0, len(rows), limit):
            async with store.backend.write() as transaction:
                piece = rows[start : start + limit]
                outcomes.setdefault(table.name, []).append(await target.write(transaction, table, piece, fresh=fresh))
    async with store.backend.write() as transaction:
        await settled(target, transaction)
    return outcomes


async def settled(target: Any, transaction: Any) -> None:
    await target.settle(transaction)
    await target.analyze(transaction)


def content(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """What a SQLite store holds; JSON by what it says."""
    with closing(sqlite3.connect(path)) as connection:
        return {name: [tuple(map(said, row)) for row in connection.execute(sql)] for name, sql in ROWS.items()}


def said(value: object) -> object:
    if isinstance(value, str) and value[:1] in ("{", "["):
        return ("json", json.dumps(json.loads(value), sort_keys=True))
    return value


def inserted(outcomes: dict[str, list[WriteOutcome]]) -> dict[str, int]:
    return {name: sum(outcome.inserted for outcome in each) for name, each in outcomes.items()}


def refused(outcomes: dict[str, list[WriteOutcome]]) -> dict[str, list[str]]:
    found = {name: [reason for each in some for reason in each.refused.values()] for name, some in outcomes.items()}
    return {name: reasons for name, reasons in found.items() if reasons}


# There and back


async def test_a_file_goes_into_another_file(filled: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    async with source_of(filled) as source, open_store(f"sqlite:{other}", create=True) as store:
        outcomes = await pour(source, store)
        assert refused(outcomes) == {}
        assert content(other) == content(filled)
        assert inserted(outcomes) == {name: len(rows) for name, rows in content(filled).items()}
        again = await pour(source, store, limit=1_000)
        assert set(inserted(again).values()) == {0}
        assert content(other) == content(filled)
        assert await store.search(SearchQuery(text="harbour", mode="text"))


@pytest.mark.slow
async def test_a_file_goes_to_a_server_and_comes_back(filled: Path, tmp_path: Path, postgres_database: str) -> None:
    back = tmp_path / "back.db"
    async with open_store(postgres_database, create=True) as store, source_of(filled) as source:
        outcomes = await pour(source, store)
        assert refused(outcomes) == {}
    async with source_of(postgres_database) as there, source_of(filled) as here:
        assert isinstance(there, PostgresSource)
        assert await asyncio.to_thread(there.model) == replace(MODEL, created_at=(await _model(postgres_database)))
        transfer_context = await setting_of(here)
        for table in TABLES:
            theirs, failed, _ = await read_all(there, table, transfer_context)
            ours, _, _ = await read_all(here, table, transfer_context)
            assert failed == []
            assert sorted(map(comparable, theirs)) == sorted(map(comparable, ours)), table.name
            assert (await asyncio.to_thread(there.count, table.name)).rows == len(theirs)
        async with open_store(f"sqlite:{back}", create=True) as store:
            assert refused(await pour(there, store)) == {}
    found, expected = content(back), content(filled)
    # The same user of a new store has another birthday.
    assert found == expected


async def _model(url: str) -> datetime | None:
    async with open_store(url) as store:
        model = await store.models.registered()
    assert model is not None
    return model.created_at


def comparable(row: TransferRow) -> tuple[object, ...]:
    """A row in its common form, its JSON by what it says; the local user's birthday differs from store to store."""
    values = [
        json.dumps(json.loads(value[1:]), sort_keys=True) if value and value[:2] in (b"\x01{", b"\x01[") else value
        for value in row.values
    ]
    local = row.values[1] == b"local"
    return (str(values[:3] if local else values), row.zero, row.notes)


@pytest.mark.slow
async def test_a_server_goes_to_another_schema_of_it(filled: Path, postgres_database: str, tmp_path: Path) -> None:
    async with open_store(postgres_database, create=True) as store, source_of(filled) as source:
        await pour(source, store)
    with psycopg.connect(as_superuser(postgres_database), autocommit=True) as connection:
        connection.execute("CREATE SCHEMA second")
        connection.execute("GRANT ALL ON SCHEMA second TO PUBLIC")
    join = "&" if "?" in postgres_database else "?"
    second = f"{postgres_database}{join}options=-csearch_path%3Dsecond%2Cpublic"
    async with open_store(second, create=True) as store, source_of(postgres_database) as source:
        assert refused(await pour(source, store)) == {}
    back = tmp_path / "back.db"
    async with source_of(second) as source, open_store(f"sqlite:{back}", create=True) as store:
        await pour(source, store)
    assert content(back) == content(filled)


async def test_vectors_of_half_precision_are_given_with_single(tmp_path: Path, postgres_database: str) -> None:
    path, back = tmp_path / "wide.db", tmp_path / "back.db"
    await fill(path, 12, dimension=2_500)
    exact = np.arange(2_500, dtype="<f4").tobytes()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE node_embeddings SET embedding = ?", (exact,))
        connection.execute("UPDATE domains SET centroid = ?", (exact,))
    async with source_of(path) as source, open_store(postgres_database, create=True) as store:
        await pour(source, store)
    async with source_of(postgres_database) as source, open_store(f"sqlite:{back}", create=True) as store:
        await pour(source, store)
    # Whole numbers up to 2,048 have half precision; those above it have every other one.
    [expected] = {row[1] for row in content(path)["vectors"]}
    found = content(back)["vectors"]
    assert len(found) == 12
    halved = np.frombuffer(expected, "<f4").astype(np.float16).astype("<f4").tobytes()
    assert {row[1] for row in found} == {halved}


async def test_a_hostile_file_arrives_in_a_file_with_every_bad_row_named(tmp_path: Path) -> None:
    path, other = make_v18(tmp_path / "vestige.db", 24, hostile=True), tmp_path / "other.db"
    async with source_of(path) as source, open_store(f"sqlite:{other}", create=True) as store:
        transfer_context = await setting_of(source)
        outcomes = await pour(source, store)
        for table in TABLES:
            rows, failed, sizes = await read_all(source, table, transfer_context)
            assert sum(sizes) == len(rows) + len(failed)
            kept = sum(each.inserted + len(each.present) + len(each.refused) for each in outcomes.get(table.name, []))
            assert kept == len(rows), table.name
        assert set(refused(outcomes)) == {"vectors", "edges"}
        there = await store.get(str(uuid.uuid5(uuid.NAMESPACE_URL, "vestige:hostile-nul")))
        assert there.content == "before\u2400after"
        assert there.metadata["vestige"]["original"]["content"] == {"base64": "YmVmb3JlAGFmdGVy"}


# Reading


@pytest.fixture
async def ends(backend: str, store_url: str, filled: Path) -> str:
    """The same rows in either database."""
    if backend == "sqlite":
        return f"sqlite:{filled}"
    async with open_store(store_url, create=True) as store, source_of(filled) as source:
        await pour(source, store, limit=500)
    return store_url


async def test_a_read_goes_on_behind_any_key(ends: str) -> None:
    async with source_of(ends) as source:
        transfer_context = await setting_of(source)
        for table in TABLES:
            whole, _, _ = await read_all(source, table, transfer_context)
            assert len(whole) == len({row.key for row in whole}) > 0
            for limit in (1, 3):
                parts, _, sizes = await read_all(source, table, transfer_context, limit)
                assert parts == whole
                assert max(sizes) == limit or len(whole) < limit


async def test_a_batch_has_not_many_more_bytes_than_it_may(ends: str) -> None:
    async with source_of(ends) as source:
        transfer_context = await setting_of(source)
        table = BY_NAME["memories"]
        whole, _, [at_once] = await read_all(source, table, transfer_context)
        parts, _, sizes = await read_all(source, table, transfer_context, max_bytes=10_000)
        assert parts == whole
        assert at_once == 60
        assert len(sizes) > 2
        # A long text ends its batch, and the next read begins behind it.
        long = next(place for place, row in enumerate(whole) if len(row.values[1] or b"") > 100_000)
        assert long + 1 in [sum(sizes[: count + 1]) for count in range(len(sizes))]
        assert (await read_all(source, table, transfer_context, max_bytes=1))[2] == [1] * 60


async def test_a_source_tells_of_changes(ends: str, tmp_path: Path) -> None:
    async with source_of(ends) as source:
        before = await asyncio.to_thread(source.token)
        async with open_store(ends) as store:
            await store.insert(Draft("something new"))

        async def tells() -> bool:
            return await asyncio.to_thread(source.token) != before

        await until(tells)


async def test_a_vector_that_the_target_cannot_hold_is_named(ends: str) -> None:
    async with source_of(ends) as source:
        ours = await setting_of(source)
        table = BY_NAME["vectors"]
        for transfer_context, reason in (
            (replace(ours, width=65), "It has 64 dimensions, but the model has 65."),
            (replace(ours, width=None), "The source has no registered model."),
        ):
            rows, failed, _ = await read_all(source, table, transfer_context)
            assert rows == []
            assert {finding.reason for finding in failed} == {reason}
            assert {str(uuid.UUID(finding.source_key)) for finding in failed} == {f.source_key for f in failed}
        zero = [row for row in (await read_all(source, table, ours))[0] if row.zero]
        assert len(zero) == 1


async def test_tables_without_a_place_are_named(ends: str, filled: Path) -> None:
    async with source_of(ends) as source:
        assert await asyncio.to_thread(source.left_behind) == {}
    statements = (
        'CREATE TABLE "odd ""name" (a integer)',
        'INSERT INTO "odd ""name" VALUES (1), (2)',
        "CREATE TABLE none (a integer)",
    )
    if ends.startswith("sqlite"):
        with closing(sqlite3.connect(filled)) as file, file:
            for statement in statements:
                file.execute(statement)
    else:
        with psycopg.connect(ends) as server:
            for statement in statements:
                server.execute(statement.encode())
    async with source_of(ends) as source:
        assert await asyncio.to_thread(source.left_behind) == {'odd "name': 2}


async def test_a_source_outlives_the_end_of_its_connection(filled: Path, postgres_database: str) -> None:
    async with open_store(postgres_database, create=True) as store, source_of(filled) as source:
        await pour(source, store, limit=500)
    async with source_of(postgres_database) as source:
        transfer_context = await setting_of(source)
        whole, _, _ = await read_all(source, BY_NAME["memories"], transfer_context)
        with psycopg.connect(postgres_database, autocommit=True) as connection:
            ended = connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ).fetchall()
        assert (True,) in ended
        assert (await read_all(source, BY_NAME["memories"], transfer_context))[0] == whole


async def test_a_read_is_broken_off_by_closing(postgres_database: str) -> None:
    async with open_store(postgres_database, create=True):
        pass
    source = await asyncio.to_thread(open_source, postgres_database)
    with psycopg.connect(postgres_database) as holder, psycopg.connect(postgres_database, autocommit=True) as watcher:
        holder.execute("LOCK TABLE knowledge_nodes")
        reading = asyncio.create_task(asyncio.to_thread(source.count, "memories"))
        async with asyncio.timeout(10):
            waits = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'knowledge_nodes'::regclass"
            while not await asyncio.to_thread(lambda: watcher.execute(waits).fetchall()):
                assert not reading.done()
            await asyncio.to_thread(source.close)
            with pytest.raises(Cancelled):
                await reading
    with pytest.raises(Unavailable, match="is not open"):
        source.count("memories")


# Writing


@pytest.fixture
async def empty_store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(f"sqlite:{tmp_path / 'target.db'}", create=True) as store:
        yield store


def at(moment: datetime = MOMENT) -> bytes:
    return pgbinary_encode.moment(moment)


def memory(number: int, content: str = "text", moment: bytes = at()) -> TransferRow:
    key = uuid.UUID(int=number).bytes
    local = uuid.UUID(int=1).bytes
    empty, nothing = pgbinary_encode.jsonb(b"{}"), pgbinary_encode.texts([])
    values = (
        key,
        content.encode(),
        b"fact",
        nothing,
        empty,
        nothing,
        empty,
        None,
        local,
        b"private",
        pgbinary_encode.uuids([]),
    )
    return TransferRow(str(uuid.UUID(int=number)), (*values, moment, moment))


async def put(store: Store, table: str, *rows: TransferRow, update: bool = False) -> WriteOutcome:
    target = target_of(store)
    async with store.backend.write() as transaction:
        if update:
            return await target.update(transaction, BY_NAME[table], rows)
        return await target.write(transaction, BY_NAME[table], rows, fresh=False)


async def drop(store: Store, table: str, *rows: TransferRow) -> int:
    target = target_of(store)
    async with store.backend.write() as transaction:
        return await target.delete(transaction, BY_NAME[table], [key_of(table, row.values) for row in rows])


async def test_a_refused_row_costs_only_itself(empty_store: Store, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "target.db")) as connection, connection:
        connection.execute(
            "CREATE TRIGGER picky BEFORE INSERT ON knowledge_nodes WHEN NEW.content LIKE 'no%'"
            " BEGIN SELECT RAISE(ABORT, 'not this'); END"
        )
    rows = [
        memory(10),
        memory(11, "no, never"),
        memory(12, moment=pgbinary_encode.integer(0) * 2),
        memory(13, moment=b"\x7f" + b"\xff" * 7),
        replace(memory(14), values=(*memory(14).values[:8], uuid.uuid4().bytes, *memory(14).values[9:])),
        replace(memory(15), values=(*memory(15).values[:9], b"secret", *memory(15).values[10:])),
        memory(16),
        memory(10),
    ]
    outcome = await put(empty_store, "memories", *rows)
    assert (outcome.inserted, set(outcome.present)) == (3, {7})
    assert outcome.refused == {
        1: "SQLite refused it: not this",
        3: "SQLite cannot hold it: a time is outside the years 1 to 9999",
        4: "SQLite refused it: FOREIGN KEY constraint failed",
        5: "SQLite refused it: CHECK constraint failed: visibility IN ('private', 'group', 'public')",
    }
    assert await empty_store.memories.count() == 3


async def test_orphans_are_named_as_on_a_server(empty_store: Store, postgres_database: str) -> None:
    here, gone = uuid.UUID(int=10).bytes, uuid.UUID(int=404).bytes
    vector = pgbinary_encode.vector(np.ones(3, "<f4"))
    orphans: dict[str, list[tuple[bytes | None, ...]]] = {
        "memberships": [(gone, gone, b"member", at())],
        "vectors": [(gone, vector, at()), (here, vector, at(datetime(2020, 1, 1, tzinfo=UTC)))],
        "scheduling": [(gone, *(pgbinary_encode.double(1.0),) * 3, None, None, *(pgbinary_encode.integer(0),) * 2)],
        "edges": [(here, gone, b"related", pgbinary_encode.double(1.0), at())],
        "reviews": [
            (
                gone,
                at(),
                pgbinary_encode.smallint(3),
                *(pgbinary_encode.jsonb(b"{}"),) * 2,
                None,
                pgbinary_encode.integer(0),
                None,
                None,
                None,
                None,
            )
        ],
        "supersession": [(gone, here, b"supersede", at(), pgbinary_encode.integer(0))],
        "marks": [
            (gone, pgbinary_encode.boolean(True), None, pgbinary_encode.boolean(False), pgbinary_encode.integer(0))
        ],
    }
    assert set(orphans) == {table.name for table in TABLES if table.owned}
    async with open_store(postgres_database, create=True) as server:
        for store in (empty_store, server):
            await store.models.register(ModelSignature("three", 3))
            await put(store, "memories", memory(10))
        for name, values in orphans.items():
            rows = [TransferRow("?", each) for each in values]
            ours, theirs = await put(empty_store, name, *rows), await put(server, name, *rows)
            assert ours.inserted == theirs.inserted == 0
            assert ours.refused == theirs.refused
            assert len(ours.refused) == len(values)


async def test_a_name_that_is_taken_gets_the_beginning_of_an_id(empty_store: Store, tmp_path: Path) -> None:
    def person(number: int, handle: bytes) -> TransferRow:
        return TransferRow("?", (uuid.UUID(int=number << 96).bytes, handle, None, at(), pgbinary_encode.jsonb(b"{}")))

    for table in ("users", "groups"):
        assert (await put(empty_store, table, person(1, b"ann"), person(2, b"ann"), person(1, b"ann"))).inserted == 2
        assert (await put(empty_store, table, person(2, b"bob"), update=True)).inserted == 1
        assert (await put(empty_store, table, person(2, b"ann"), update=True)).inserted == 1
        with closing(sqlite3.connect(tmp_path / "target.db")) as connection:
            rows = connection.execute(f"SELECT handle FROM {table} WHERE handle <> 'local' ORDER BY id").fetchall()
        assert rows == [("ann",), ("ann-00000002",)]


async def test_rows_are_made_like_the_sources(empty_store: Store, tmp_path: Path) -> None:
    await empty_store.models.register(ModelSignature("three", 3))
    key = uuid.UUID(int=10).bytes
    one, two = pgbinary_encode.vector(np.array([1, 0, 0], "<f4")), pgbinary_encode.vector(np.array([0, 1, 0], "<f4"))
    await put(empty_store, "memories", memory(10, "before"), memory(11))
    await put(empty_store, "vectors", TransferRow("?", (key, one, at())))
    # An edit that kept its time, as the source has it.
    assert (await put(empty_store, "memories", memory(10, "lighthouse"), memory(12, "new"), update=True)).inserted == 2
    assert (await put(empty_store, "vectors", TransferRow("?", (key, two, at())), update=True)).inserted == 1
    changed = await empty_store.get(str(uuid.UUID(int=10)))
    assert (changed.content, changed.updated_at) == ("lighthouse", MOMENT)
    assert [hit.memory.id for hit in await empty_store.search(SearchQuery(text="lighthouse", mode="text"))] == [
        changed.id
    ]
    with closing(sqlite3.connect(tmp_path / "target.db")) as connection:
        [(seq, blob)] = connection.execute("SELECT seq, embedding FROM node_embeddings").fetchall()
    assert (seq, blob) == (2, np.array([0, 1, 0], "<f4").tobytes())
    stale = TransferRow("?", (key, one, at(datetime(2020, 1, 1, tzinfo=UTC))))
    assert (await put(empty_store, "vectors", stale, update=True)).inserted == 0
    state = (
        *(pgbinary_encode.double(2.0),) * 2,
        pgbinary_encode.double(1.0),
        None,
        at(),
        pgbinary_encode.integer(1),
        pgbinary_encode.integer(0),
    )
    for reps in (1, 2):
        row = TransferRow("?", (key, *state[:5], pgbinary_encode.integer(reps), state[6]))
        assert (await put(empty_store, "scheduling", row, update=True)).inserted == 1
        schedule = await empty_store.reviews.scheduling(changed.id)
        assert schedule is not None
        assert schedule.reps == reps

    def review(state: bytes) -> TransferRow:
        states = pgbinary_encode.jsonb(b"{}"), pgbinary_encode.jsonb(state)
        return TransferRow(
            "?", (key, at(), pgbinary_encode.smallint(3), *states, None, pgbinary_encode.integer(0), *(None,) * 4)
        )

    # A line of a log that is not there is not made by an update; one that is there is made like the source's.
    assert (await put(empty_store, "reviews", review(b"{}"), update=True)).inserted == 0
    assert await empty_store.reviews.log(changed.id) == ()
    assert (await put(empty_store, "reviews", review(b"{}"))).inserted == 1
    assert (await put(empty_store, "reviews", review(b'{"stability": 2.5}'), update=True)).inserted == 1
    assert [each.new.stability for each in await empty_store.reviews.log(changed.id)] == [2.5]
    decision = TransferRow("?", (key, uuid.UUID(int=11).bytes, b"supersede", at(), pgbinary_encode.integer(0)))
    assert await put(empty_store, "supersession", decision, update=True) == WriteOutcome(0, frozenset())


async def test_rows_are_deleted_by_their_keys(filled: Path) -> None:
    async with source_of(filled) as source, open_store(f"sqlite:{filled}") as store:
        transfer_context = await setting_of(source)
        kept = content(filled)
        for table in reversed(TABLES):
            rows, _, _ = await read_all(source, table, transfer_context)
            local = [row for row in rows if table.name != "users" or row.values[1] != b"local"]
            if table.name == "reviews":
                # Of three that are alike the last, and what takes another back goes with that.
                alike = [row for row in local if row.values[2] == pgbinary_encode.smallint(4)]
                assert await drop(store, "reviews", alike[2]) == 1
                assert len(content(filled)["reviews"]) == len(local) - 1
                local.remove(alike[2])
            assert await drop(store, table.name, *local) == len(local), table.name
            assert await drop(store, table.name, *local) == 0
            assert content(filled)[table.name] == []
            assert kept[table.name]


async def test_a_deleted_winner_leaves_no_decision_of_its_own(empty_store: Store) -> None:
    await put(empty_store, "memories", memory(10), memory(11))
    decision = TransferRow(
        "?", (uuid.UUID(int=10).bytes, uuid.UUID(int=11).bytes, b"supersede", at(), pgbinary_encode.integer(0))
    )
    assert (await put(empty_store, "supersession", decision)).inserted == 1
    assert (await empty_store.get(str(uuid.UUID(int=10)))).superseded_by == str(uuid.UUID(int=11))
    assert await drop(empty_store, "memories", memory(11)) == 1
    # The source has written down itself that the winner is gone; that comes along with its log.
    history = await empty_store.links.history(str(uuid.UUID(int=10)))
    assert [event.kind for event in history] == ["supersede"]
    assert (await empty_store.get(str(uuid.UUID(int=10)))).superseded_by is None


async def test_a_table_is_empty_until_it_is_not(filled: Path, empty_store: Store) -> None:
    assert [table.name for table in TABLES if not await target_of(empty_store).empty(table.name)] == []
    async with open_store(f"sqlite:{filled}") as store:
        assert [table.name for table in TABLES if await target_of(store).empty(table.name)] == []


# By URL and by store


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("sqlite:", Usage),
        ("mysql://host/db", Usage),
        ("pgembed:", Usage),
        ("postgresql://[host/db", Usage),
        ("sqlite:/nowhere/at/all.db", StoreMissing),
        ("pgembed:/nowhere/at/all", StoreMissing),
        ("/", ForeignStore),
        ("postgresql://me:s3cret-PW@127.0.0.1:1/d", Unavailable),
    ],
)
def test_what_is_no_source_is_refused(url: str, error: type[Exception]) -> None:
    with pytest.raises(error) as raised:
        open_source(url)
    assert "s3cret" not in str(raised.value)


def test_what_holds_no_store_is_refused(tmp_path: Path, bare_postgres_database: str) -> None:
    (tmp_path / "empty.db").touch()
    for url in (str(tmp_path / "empty.db"), bare_postgres_database):
        with pytest.raises(SchemaPending, match="contains no memory store yet"):
            open_source(url)
    with closing(sqlite3.connect(tmp_path / "foreign.db")) as connection, connection:
        connection.execute("CREATE TABLE things (id)")
    with psycopg.connect(bare_postgres_database) as server:
        server.execute("CREATE TABLE knowledge_nodes (id int)")
    for url in (str(tmp_path / "foreign.db"), bare_postgres_database):
        with pytest.raises(ForeignStore):
            open_source(url)


async def test_a_file_of_a_server_is_no_target(tmp_path: Path) -> None:
    path = make_v18(tmp_path / "vestige.db", 3)
    async with open_store(str(path), read_only=True) as store:
        with pytest.raises(ForeignStore, match="which a copy never writes"):
            target_of(store)


@pytest.mark.slow
def test_an_embedded_server_runs_for_as_long_as_it_is_read(tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("embedded") / "store"
    url = f"pgembed:{directory}"

    async def made() -> None:
        async with open_store(url, create=True) as store:
            await store.insert(Draft("kept"))

    def leases() -> list[str]:
        return [path.name for path in directory.glob("lease.*")]

    asyncio.run(made())
    assert leases() == []
    source = open_source(url)
    try:
        assert (source.location, source.title) == (f"pgembed:{directory}",) * 2
        assert len(leases()) == 1
        assert source.count("memories").rows == 1
    finally:
        source.close()
    assert leases() == []
    assert not (directory / "data" / "postmaster.pid").exists()


@pytest.mark.parametrize(
    ("url", "foreign"),
    [("sqlite:{path}", {"psycopg", "aiosqlite"}), ("postgresql://127.0.0.1:1/d", {"sqlite3", "aiosqlite"})],
)
def test_a_source_imports_only_its_own_driver(filled: Path, url: str, foreign: set[str]) -> None:
    code = (
        "import sys, contextlib\nfrom vestige_tui.core.errors import Unavailable\n"
        "from vestige_tui.transfer.open import open_source\n"
        f"with contextlib.suppress(Unavailable): open_source({url.format(path=filled)!r}).close()\n"
        "print('\\n'.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {line.split(".")[0] for line in done.stdout.splitlines()} & foreign


def _protocols(source: SqliteSource, other: PostgresSource, target: SqliteTarget) -> Sequence[Source | Target]:
    """The type checker sees to it that these are what they are taken for."""
    ends: tuple[Source, Source, Target] = (source, other, target)
    return ends
