"""A comparison of two stores: equal after a copy, and whatever differs is found and named."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from tests.support.comparison import compare, differences, source_of
from tests.support.full_store import fill
from tests.support.jobs import wait_for_job
from tests.support.postgres_variant import as_superuser
from tests.support.vestige_files import make_v18
from vestige_tui.core.errors import Cancelled, ForeignStore, ReadOnly, SchemaPending, StoreMissing, Usage
from vestige_tui.core.jobs import Job, JobFinding
from vestige_tui.jobs.context import JobContext, Meter
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.jobs.start import JobRequest, check, start
from vestige_tui.store.backends.postgres import PostgresBackend
from vestige_tui.store.open import open_store
from vestige_tui.transfer import comparison, verify
from vestige_tui.transfer import differences as difference_counts
from vestige_tui.transfer.comparison_reporters import LedgerReporter, StdoutReporter
from vestige_tui.transfer.convert import TransferContext, TransferRow
from vestige_tui.transfer.protocols import RowComparison, Source
from vestige_tui.transfer.row_keys import key_of
from vestige_tui.transfer.table_spec import TABLES
from vestige_tui.transfer.target_readers import SqliteTargetReader, target_reader_of

ROWS = 60
MOMENT = datetime(2026, 6, 1, tzinfo=UTC)
BY_NAME = {table.name: table for table in TABLES}


async def done(work: JobRequest) -> tuple[Job, list[JobFinding]]:
    """A job that came to its end, and what it found."""
    job = await wait_for_job(work.target, (await start(work)).job_id)
    assert (job.status, job.error) == ("completed", None)
    async with open_store(work.target, read_only=True) as store:
        return job, list((await Ledger(store).findings(job.id, limit=1_000)).items)


async def copy(source: str, target: str) -> tuple[Job, list[JobFinding]]:
    return await done(JobRequest("copy", source, target, {"verify": False}))


def failed(told: Job | StdoutReporter) -> dict[str, int]:
    tables = told.meter.tables if isinstance(told, StdoutReporter) else told.progress.tables
    return {name: each.failed for name, each in tables.items() if each.failed}


@pytest.fixture
async def source(tmp_path: Path) -> str:
    """A store with everything in it."""
    await fill(tmp_path / "source.db", ROWS, dimension=8)
    return f"sqlite:{tmp_path / 'source.db'}"


@pytest.fixture
async def pair(source: str, target: str) -> tuple[str, str]:
    """A store with everything in it, and a copy of it."""
    await copy(source, target)
    return source, target


@contextmanager
def behind(url: str) -> Iterator[Any]:
    """A connection to a store behind everybody's back; no trigger and no key stands in its way."""
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:"))) as connection, connection:
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                connection.execute(f"DROP TRIGGER {name}")
            connection.execute("PRAGMA foreign_keys = OFF")
            yield connection
    else:
        with psycopg.connect(as_superuser(url)) as server:
            server.execute("SET session_replication_role = replica")
            yield server


def change(url: str, sql: str, rows: int = 1) -> None:
    with behind(url) as connection:
        assert connection.execute(sql).rowcount == rows, sql


def ids_of(url: str) -> list[str]:
    with behind(url) as connection:
        return [str(row[0]) for row in connection.execute("SELECT id FROM knowledge_nodes ORDER BY id").fetchall()]


# Equal


@pytest.mark.slow
async def test_a_copy_is_equal(pair: tuple[str, str]) -> None:
    job, found = await done(JobRequest("verify", *pair))
    assert not found
    assert not differences(job)
    assert job.result == "every row is equal"
    assert job.progress.tables["memories"].read == ROWS
    assert all(table.read == table.total for table in job.progress.tables.values())


@pytest.mark.slow
async def test_a_copy_back_is_equal_to_both(source: str, postgres_database: str, tmp_path: Path) -> None:
    back = f"sqlite:{tmp_path / 'back.db'}"
    await copy(source, postgres_database)
    await copy(postgres_database, back)
    job, found = await done(JobRequest("verify", postgres_database, back))
    assert (found, differences(job), job.progress.tables["memories"].read) == ([], {}, ROWS)
    for one, other in ((source, back), (back, postgres_database), (back, source)):
        report = await compare(one, other)
        assert (report.findings, differences(report)) == ([], {})


@pytest.mark.slow
async def test_what_no_copy_can_bring_is_listed_and_is_no_difference(tmp_path: Path, target: str) -> None:
    source = f"sqlite:{make_v18(tmp_path / 'vestige.db', 12, hostile=True)}"
    copied, told = await copy(source, target)
    job, found = await done(JobRequest("verify", source, target))
    assert not differences(job)
    assert failed(job) == failed(copied) != {}
    assert {(each.subject, each.source_key) for each in found} == {
        (each.subject, each.source_key) for each in told if each.outcome == "failed"
    }
    assert {each.outcome for each in found} == {"failed"}


@pytest.mark.slow
async def test_numbers_and_texts_in_json_are_compared_by_what_they_say(pair: tuple[str, str]) -> None:
    source, target = pair
    one = '{"a": 12345678901234567890123, "b": 1.50, "c": 1e2, "e": [true, "\\u00e9"]}'
    same = '{"c": 100, "b": 1.5, "e": [true, "é"], "a": 12345678901234567890123}'
    others = (
        same.replace("123}", "124}"),
        same.replace("1.5,", "1.5000000000000000001,"),
        same.replace("true", "1"),
        same.replace("é", "e"),
        same.replace('"c": 100, ', ""),
    )
    change(source, f"UPDATE knowledge_nodes SET metadata = '{one}'", ROWS)
    change(target, f"UPDATE knowledge_nodes SET metadata = '{same}'", ROWS)
    assert not differences(await compare(source, target))
    for place, other in enumerate(others):
        where = f"id = '{ids_of(target)[place]}'"
        change(target, f"UPDATE knowledge_nodes SET metadata = '{other}' WHERE {where}")
    assert differences(await compare(source, target)) == {"memories": (len(others), 0, 0)}


@pytest.mark.slow
async def test_the_server_finds_equal_rows_equal_by_their_digests(
    source: str, postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is sent spells every value as the server does: no row has to be looked at here."""
    await copy(source, postgres_database)

    asked: list[str] = []
    ask = PostgresBackend.ask

    async def note(self: PostgresBackend, name: str, *rest: Any) -> Any:
        asked.append(name)
        return await ask(self, name, *rest)

    monkeypatch.setattr(PostgresBackend, "ask", note)
    assert not differences(await compare(source, postgres_database))
    assert not differences(await compare(postgres_database, source))
    assert any(name.startswith("differ_") for name in asked)
    assert not any(name.startswith("show_") for name in asked)


# Different


VALUES: Mapping[str, Mapping[str, str]] = {
    "users": {
        "handle": "'somebody'",
        "display_name": "'Some Body'",
        "created_at": "TIME",
        "metadata": """'{"a": 2}'""",
    },
    "groups": {"handle": "'others'", "display_name": "'The Others'", "created_at": "TIME", "metadata": "'{\"a\": 2}'"},
    "memberships": {"role": "'member'", "joined_at": "TIME"},
    "domains": {
        "label": "'Another'",
        "centroid": "VECTOR",
        "top_terms": "TEXTS",
        "memory_count": "77",
        "created_at": "TIME",
        "metadata": """'{"a": 2}'""",
    },
    "memories": {
        "content": "content || '!'",
        "node_type": "'event'",
        "tags": "TEXTS",
        "metadata": """'{"n": 2}'""",
        "domains": "TEXTS",
        "domain_scores": """'{"auth": 0.25}'""",
        "codebase": "NULL",
        "owner_user_id": "'00000000-0000-4000-8000-000000000005'",
        "visibility": "'public'",
        "shared_with_groups": "UUIDS",
        "created_at": "TIME",
        "updated_at": "TIME",
    },
    "vectors": {"embedding": "VECTOR"},
    "scheduling": {
        "stability": "3.2500000000000004",
        "difficulty": "5.25",
        "retrievability": "0.8",
        "last_review": "NULL",
        "next_review": "TIME",
        "reps": "reps + 1",
        "lapses": "lapses + 1",
    },
    "edges": {"weight": "0.125", "created_at": "TIME"},
    "reviews": {
        "prior_state": """'{"s": 9}'""",
        "new_state": """'{"s": 9}'""",
        "weights_hash": "'c3d4'",
        "undoes": "(SELECT min(id) FROM {table})",
    },
    "marks": {
        "suspended": "BOOLEAN",
        "buried_until": "TIME",
        "pinned": "TRUE",
        "cleared_lapses": "cleared_lapses + 1",
    },
    "weights": {"algorithm": "'fsrs-7'", "weights": "'[1]'", "created_at": "TIME", "applied_at": "NULL"},
}
"""For every column that is no part of a key, another value."""
STORED = {
    "memberships": ("group_memberships", "user_id"),
    "memories": ("knowledge_nodes", "id"),
    "vectors": ("node_embeddings", "node_id"),
    "scheduling": ("scheduling", "memory_id"),
    "edges": ("edges", "source_id"),
    "reviews": ("review_events", "id"),
    "marks": ("review_marks", "memory_id"),
    "weights": ("review_weights", "hash"),
}
"""Where the rows of a table are, and a column that tells them apart."""
SPELT = {
    "sqlite": {
        "TIME": "'2020-01-01T00:00:00.000001+00:00'",
        "TEXTS": """'["b", "a"]'""",
        "UUIDS": """'["00000000-0000-4000-8000-000000000009"]'""",
        "VECTOR": "zeroblob(32)",
        "BOOLEAN": "0",
        "TRUE": "1",
    },
    "postgres": {
        "TIME": "'2020-01-01T00:00:00.000001+00:00'",
        "TEXTS": "'{b,a}'",
        "UUIDS": "'{00000000-0000-4000-8000-000000000009}'",
        "VECTOR": "'[0,0,0,0,0,0,0,0]'",
        "BOOLEAN": "false",
    },
}
KEYS = {
    "users": {"id"},
    "groups": {"id"},
    "memberships": {"user_id", "group_id"},
    "domains": {"id"},
    "memories": {"id"},
    "vectors": {"node_id", "updated_at"},
    "scheduling": {"memory_id"},
    "edges": {"source_id", "target_id", "edge_type"},
    "reviews": {"memory_id", "timestamp", "rating", "alike"},
    "supersession": {"loser_id", "winner_id", "kind", "decided_at", "alike"},
    "marks": {"memory_id"},
    "weights": {"hash"},
}


def test_no_column_is_forgotten() -> None:
    for table in TABLES:
        known = {"undoes" if each.name.startswith("undone_") else each.name for each in table.columns}
        assert known - KEYS[table.name] == set(VALUES.get(table.name, ())), table.name


@pytest.mark.slow
async def test_a_change_of_any_column_is_found_and_named(pair: tuple[str, str]) -> None:
    source, target = pair
    dialect = "sqlite" if target.startswith("sqlite:") else "postgres"
    for table, values in VALUES.items():
        stored, key = STORED.get(table, (table, "id"))
        local = " WHERE handle <> 'local'" if table == "users" else ""
        with behind(target) as connection:
            connection.execute(f"CREATE TABLE kept AS SELECT * FROM {stored}")
        for column, value in values.items():
            spelt = SPELT[dialect].get(value, value.replace("{table}", stored))
            # Of several the last: the first line of a log cannot take back itself.
            one = f"{key} = (SELECT {key} FROM {stored}{local} ORDER BY {key} DESC LIMIT 1)"
            change(target, f"UPDATE {stored} SET {column} = {spelt} WHERE {one}")
            report = await compare(source, target)
            assert differences(report) == {table: (1, 0, 0)}, column
            [finding] = report.findings
            assert (finding.subject, finding.outcome) == (table, "differs")
            assert re.split(r" differs[.:]", finding.reason)[0].lower() == column.replace("_", " "), column
            change(target, f"UPDATE {stored} SET {column} = (SELECT k.{column} FROM kept k WHERE k.{one}) WHERE {one}")
        with behind(target) as connection:
            connection.execute("DROP TABLE kept")
    assert not differences(await compare(source, target))


@pytest.mark.slow
async def test_short_values_are_told_from_both_sides(pair: tuple[str, str]) -> None:
    source, target = pair
    first, second, third, *_ = ids_of(target)
    change(source, f"UPDATE knowledge_nodes SET content = '{'x' * 100}', codebase = 'old' WHERE id = '{first}'")
    change(target, f"UPDATE knowledge_nodes SET codebase = NULL WHERE id = '{first}'")
    change(target, f"UPDATE scheduling SET stability = 4 WHERE memory_id = '{second}'")
    change(target, f"UPDATE knowledge_nodes SET visibility = 'public', codebase = '' WHERE id = '{third}'")
    told = {(each.subject, each.source_key): each.reason for each in (await compare(source, target)).findings}
    assert told == {
        ("memories", first): "Content and codebase differ: codebase is old in the source, nothing in the target.",
        ("scheduling", second): "Stability differs: 3.25 in the source, 4.0 in the target.",
        ("memories", third): "Codebase and visibility differ: codebase is api in the source, empty in the target; "
        "visibility is private in the source, public in the target.",
    }


@pytest.mark.slow
async def test_what_is_known_by_all_that_it_says_is_on_one_side_only(pair: tuple[str, str]) -> None:
    source, target = pair
    at = "'2020-01-01T00:00:00.000000+00:00'"
    last = "WHERE id = (SELECT max(id) FROM {0})"
    change(target, f"UPDATE review_events SET rating = 1 {last.format('review_events')}")
    change(target, f"UPDATE supersession_events SET decided_at = {at} {last.format('supersession_events')}")
    change(target, "UPDATE edges SET edge_type = 'other' WHERE created_at = (SELECT min(created_at) FROM edges)")
    change(target, "UPDATE domains SET id = 'other'")
    report = await compare(source, target)
    assert differences(report) == dict.fromkeys(("domains", "edges", "reviews", "supersession"), (0, 1, 1))
    named = {(each.subject, each.outcome): each.source_key for each in report.findings}
    assert named["domains", "only_target"] == "other"
    assert named["edges", "only_target"] == named["edges", "only_source"].replace("related", "other")
    assert re.fullmatch(
        "review of [0-9a-f-]{36} at 2026-01-01T12:05:00.123456[+]00:00", named["reviews", "only_target"]
    )
    assert named["supersession", "only_target"].endswith(" at 2020-01-01T00:00:00.000000+00:00, unsupersede")


@pytest.mark.slow
async def test_lines_that_say_the_same_are_counted(pair: tuple[str, str]) -> None:
    source, target = pair
    # Of two that say the same in the target one is gone, and what took it back is now something else.
    change(target, "DELETE FROM review_events WHERE id = (SELECT undoes FROM review_events WHERE undoes IS NOT NULL)")
    assert differences(await compare(source, target)) == {"reviews": (0, 1, 0)}


@pytest.mark.slow
async def test_rows_on_one_side_only_are_found(pair: tuple[str, str]) -> None:
    source, target = pair
    ids = ids_of(target)
    with behind(source) as connection:
        connection.execute("DELETE FROM node_embeddings WHERE node_id = ?", (ids[0],))
    change(target, f"DELETE FROM scheduling WHERE memory_id = '{ids[1]}'")
    change(source, f"UPDATE users SET id = '{uuid.UUID(int=77)}' WHERE handle <> 'local'")
    change(target, f"UPDATE knowledge_nodes SET id = '{uuid.UUID(int=78)}' WHERE id = '{ids[2]}'")
    report = await compare(source, target)
    found = differences(report)
    assert found["vectors"] == (0, 0, 1)
    assert found["scheduling"] == (0, 1, 0)
    assert found["users"] == (0, 1, 1)
    assert found["memories"][1:] == (1, 1)
    named = {(each.subject, each.outcome, each.source_key) for each in report.findings}
    assert {
        ("vectors", "only_target", ids[0]),
        ("scheduling", "only_source", ids[1]),
        ("users", "only_source", str(uuid.UUID(int=77))),
        ("memories", "only_source", ids[2]),
        ("memories", "only_target", str(uuid.UUID(int=78))),
    } <= named


@pytest.mark.slow
async def test_what_belongs_to_a_memory_that_only_the_source_has_differs_too(pair: tuple[str, str]) -> None:
    source, target = pair
    gone = ids_of(target)[3]
    with behind(target) as connection:
        for stored, key in (("knowledge_nodes", "id"), ("node_embeddings", "node_id"), ("scheduling", "memory_id")):
            connection.execute(f"DELETE FROM {stored} WHERE {key} = '{gone}'")
    report = await compare(source, target)
    assert differences(report) == dict.fromkeys(("memories", "vectors", "scheduling"), (0, 1, 0))
    assert failed(report) == {}


@pytest.mark.slow
async def test_an_orphan_of_the_source_has_failed_wherever_it_was_not_copied(pair: tuple[str, str]) -> None:
    source, target = pair
    nowhere = uuid.UUID(int=404)
    with behind(source) as connection:
        connection.execute("INSERT INTO scheduling (memory_id) VALUES (?)", (str(nowhere),))
        connection.execute("UPDATE edges SET target_id = ? WHERE rowid = 1", (str(nowhere),))
    report = await compare(source, target)
    assert differences(report) == {"edges": (0, 0, 1)}
    assert failed(report) == {"scheduling": 1, "edges": 1}
    assert {each.reason for each in report.findings if each.outcome == "failed"} == {
        "Its memory does not exist.",
        "One of its memories does not exist.",
    }


@pytest.mark.slow
async def test_of_two_spellings_of_one_key_the_first_counts(source: str, target: str) -> None:
    first, second, *_ = ids_of(source)
    at = "2026-01-01T00:00:00.000000+00:00"
    person = str(uuid.UUID(int=0xABC, version=4))
    with behind(source) as connection:
        connection.execute("INSERT INTO edges VALUES (?, ?, 'cites', 0.75, ?)", (first, second, at))
        connection.execute("INSERT INTO edges VALUES (?, ?, 'cites', 0.25, ?)", (first.upper(), second, at))
        for handle, spelt in (("two", person), ("one", person.upper())):
            connection.execute("INSERT INTO users (id, handle, created_at) VALUES (?, ?, ?)", (spelt, handle, at))
    await copy(source, target)
    report = await compare(source, target)
    assert differences(report) == {}
    assert failed(report) == {"users": 1, "edges": 1}
    change(target, f"UPDATE users SET handle = 'two' WHERE id = '{person}'")
    assert differences(await compare(source, target)) == {"users": (1, 0, 0)}


@pytest.mark.slow
async def test_vectors_of_another_model_need_only_be_there(pair: tuple[str, str]) -> None:
    source, target = pair
    first, second, *_ = ids_of(source)
    async with open_store(target) as store:
        model = await store.models.registered()
    assert model is not None
    change(source, "UPDATE node_embeddings SET embedding = zeroblob(32)", ROWS)
    assert differences(await compare(source, target)) == {"vectors": (ROWS, 0, 0)}
    change(source, "UPDATE embedding_model SET name = 'another'")
    assert differences(await compare(source, target)) == {}
    change(target, f"DELETE FROM node_embeddings WHERE node_id = '{first}'")
    change(source, f"DELETE FROM node_embeddings WHERE node_id = '{second}'")
    assert differences(await compare(source, target)) == {"vectors": (0, 1, 0)}


# What only one dialect can hold


@pytest.mark.slow
async def test_vectors_of_half_precision_are_compared_as_such(tmp_path: Path, postgres_database: str) -> None:
    await fill(tmp_path / "wide.db", 8, dimension=2_500)
    source = f"sqlite:{tmp_path / 'wide.db'}"
    large = np.full(2_500, 70_000.0, "<f4").tobytes()
    with behind(source) as connection:
        connection.execute("UPDATE node_embeddings SET embedding = ? WHERE seq = 3", (large,))
    await copy(source, postgres_database)
    report = await compare(source, postgres_database)
    assert (differences(report), failed(report)) == ({}, {"vectors": 1})
    one = "WHERE node_id = (SELECT min(node_id::text)::uuid FROM node_embeddings)"
    change(postgres_database, f"UPDATE node_embeddings SET embedding = embedding * embedding {one}")
    assert differences(await compare(source, postgres_database)) == {"vectors": (1, 0, 0)}


@pytest.mark.slow
async def test_what_the_server_refuses_is_no_difference_and_hides_none(source: str, postgres_database: str) -> None:
    refused, there = ids_of(source)[4:6]
    with behind(source) as connection:
        change_to = "UPDATE knowledge_nodes SET metadata = ? WHERE id = ?"
        connection.execute(change_to, ('{"a": 1e-99999}', refused))
    copied, _ = await copy(source, postgres_database)
    assert failed(copied)["memories"] == 1
    report = await compare(source, postgres_database)
    assert (differences(report), failed(report)) == ({}, failed(copied))
    with behind(source) as connection:
        connection.execute(change_to, ('{"a": 1e-99999}', there))
    change(postgres_database, f"UPDATE knowledge_nodes SET codebase = 'x' WHERE id = '{ids_of(source)[7]}'")
    report = await compare(source, postgres_database)
    assert differences(report) == {"memories": (2, 0, 0)}
    named = {each.source_key: each.reason.split(":")[0] for each in report.findings if each.outcome == "differs"}
    assert named == {there: "Metadata differs", ids_of(source)[7]: "Codebase differs"}


@pytest.mark.slow
async def test_whatever_lies_in_a_file_is_compared(source: str, tmp_path: Path) -> None:
    target = f"sqlite:{tmp_path / 'target.db'}"
    await copy(source, target)
    ids = ids_of(target)
    with behind(target) as connection:
        connection.execute("UPDATE node_embeddings SET embedding = x'313233' WHERE node_id = ?", (ids[0],))
        connection.execute("UPDATE node_embeddings SET embedding = zeroblob(36) WHERE node_id = ?", (ids[1],))
        nan = np.full(8, np.nan, "<f4").tobytes()
        connection.execute("UPDATE node_embeddings SET embedding = ? WHERE node_id = ?", (nan, ids[2]))
        connection.execute("UPDATE knowledge_nodes SET content = CAST(x'fffe' AS TEXT) WHERE id = ?", (ids[3],))
        for column, place in (("tags", 4), ("metadata", 5), ("created_at", 6)):
            connection.execute(f"UPDATE knowledge_nodes SET {column} = 'nope' WHERE id = ?", (ids[place],))
        connection.execute("UPDATE scheduling SET stability = 'nope' WHERE memory_id = ?", (ids[7],))
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(
            "INSERT INTO knowledge_nodes (id, content, created_at, updated_at) VALUES ('zz', 'x', 'y', 'z')"
        )
        connection.execute(
            "INSERT INTO knowledge_nodes (id, content, created_at, updated_at) VALUES ('-', 'x', 'y', 'z')"
        )
    report = await compare(source, target)
    assert differences(report) == {"memories": (4, 0, 2), "vectors": (3, 0, 0), "scheduling": (1, 0, 0)}
    assert {each.source_key for each in report.findings if each.outcome == "differs"} == set(ids[:8])


@pytest.mark.slow
async def test_a_memory_with_very_many_links_is_asked_about_by_each_of_them(source: str, tmp_path: Path) -> None:
    first, *others = ids_of(source)
    at = "2026-01-01T00:00:00.000000+00:00"
    with behind(source) as connection:
        edges = [(first, other, f"kind {kind}", 0.5, at) for other in others for kind in range(20)]
        connection.executemany("INSERT INTO edges VALUES (?, ?, ?, ?, ?)", edges)
    target = f"sqlite:{tmp_path / 'target.db'}"
    await copy(source, target)
    async with open_store(target, read_only=True) as store, source_of(source) as opened:
        target_reader = SqliteTargetReader(store.backend)  # type: ignore[arg-type]
        rows = await fits_of(opened, "edges")
        asked: list[int] = []
        ask = target_reader._query

        async def counted(verb: str, table: str, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
            found = await ask(verb, table, params)
            asked.append(len(found))
            return found

        target_reader._query = counted  # type: ignore[method-assign]
        assert await target_reader.compare(BY_NAME["edges"], rows[:10]) == RowComparison(frozenset(), {}, {})
        assert asked == [10]


# Keys


async def fits_of(source: Source, name: str) -> list[TransferRow]:
    table, transfer_context = BY_NAME[name], TransferContext(MOMENT, {}, 8, half=False)
    for earlier in ("users", name):
        batch = await asyncio.to_thread(
            source.read, BY_NAME[earlier], source.start(earlier), 4_000, 10**8, transfer_context
        )
    assert not batch.failed
    assert table.name == name
    return list(batch.rows)


@pytest.mark.slow
async def test_a_mirror_lists_every_key_once_from_any_place_on(pair: tuple[str, str]) -> None:
    source, target = pair
    async with open_store(target, read_only=True) as store, source_of(source) as opened:
        for table in TABLES:
            target_reader = target_reader_of(store)
            expected = {key_of(table.name, row.values) for row in await fits_of(opened, table.name)}
            assert await target_reader.count(table.name) == len(expected)
            found: list[bytes] = []
            while page := await target_reader.keys(table.name, found[-1] if found else None, 7):
                found += page
            assert len(found) == len(expected), table.name
            assert set(found) == expected
            # One that has listed nothing yet goes on from there, too.
            later = await target_reader_of(store).keys(table.name, found[0], 10_000)
            skipped = len(found) - len(later)
            assert list(later) == found[skipped:]
            assert 1 <= skipped <= 4


# Going on, and listing


async def attempt(source: str, target: str, stops: bool, monkeypatch: pytest.MonkeyPatch) -> JobContext:
    """One attempt in this process, which may be asked to stop as soon as it has met a memory that differs."""
    work = JobRequest("verify", source, target)
    checked = await check(work)
    async with open_store(target) as store:
        ledger = Ledger(store)
        run = await ledger.start(
            kind="verify",
            source=checked.source,
            target=checked.target,
            model="",
            task="",
            owner="me",
            fresh=checked.anew,
        )
        taken = await ledger.take(run.id, "me")
        assert taken is not None
        running = JobContext(
            store,
            run.id,
            "verify",
            source=source,
            target=target,
            options={},
            moment=taken.first_started,
            checkpoint=dict(taken.checkpoint),
            meter=Meter(taken.progress),
        )
        note = LedgerReporter.note

        async def counted(self: LedgerReporter, *args: Any) -> None:
            await note(self, *args)
            if stops and "memories" in self.meter.tables and self.meter.tables["memories"].differ:
                running.stop.set()

        with monkeypatch.context() as patched:
            patched.setattr(LedgerReporter, "note", counted)
            try:
                result = await verify.run(running)
            except Cancelled as error:
                await ledger.transition(run.id, "failed", error=error.message)
            else:
                await ledger.transition(run.id, "completed", result=result)
    return running


@pytest.mark.slow
async def test_a_comparison_that_was_cut_short_carries_no_figures_over(
    pair: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = pair
    ids = ids_of(target)
    change(target, f"UPDATE knowledge_nodes SET codebase = 'x' WHERE id IN ('{ids[3]}', '{ids[50]}')", 2)
    monkeypatch.setattr(comparison, "BATCH_ROWS", 1)
    cut = await attempt(source, target, True, monkeypatch)
    assert cut.meter.phase != "done"
    assert cut.meter.tables["memories"].differ == 1
    # By now other rows differ, also such as were found alike before.
    change(target, f"UPDATE knowledge_nodes SET codebase = 'api' WHERE id = '{ids[3]}'")
    change(target, f"UPDATE knowledge_nodes SET codebase = 'x' WHERE id = '{ids[1]}'")
    change(target, f"DELETE FROM scheduling WHERE memory_id = '{ids[20]}'")
    last = await attempt(source, target, False, monkeypatch)
    at_once = await compare(source, target)
    assert differences(at_once) == {"memories": (2, 0, 0), "scheduling": (0, 1, 0)}
    assert last.meter.tables == at_once.meter.tables
    async with open_store(target) as store:
        listed = await Ledger(store).findings(last.job_id, 1_000)
    assert list(listed.items) == at_once.findings


@pytest.mark.slow
async def test_no_more_than_a_number_of_differences_is_listed(
    pair: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = pair
    change(target, "UPDATE knowledge_nodes SET codebase = 'x'", ROWS)
    monkeypatch.setattr(comparison, "BATCH_ROWS", 4)
    for most in (3, 4, 5, ROWS - 1, ROWS):
        monkeypatch.setattr(difference_counts, "LISTED_ROWS", most)
        report = await compare(source, target)
        assert differences(report) == {"memories": (ROWS, 0, 0)}
        if most == ROWS:
            assert len(report.findings) == ROWS
            continue
        *listed, last = report.findings
        assert len(listed) == most
        assert last == JobFinding(
            "memories", "differs", "", f"There are more than {most}; the others are only counted."
        )


# Refusals


async def test_what_cannot_be_compared_is_refused(source: str, tmp_path: Path, bare_postgres_database: str) -> None:
    foreign = f"sqlite:{make_v18(tmp_path / 'vestige.db', 3)}"
    (tmp_path / "empty.db").touch()
    for target, error, said in (
        (source.replace(str(tmp_path), f"{tmp_path}/."), Usage, "are the same store"),
        (foreign, ForeignStore, "name it as the source"),
        (f"sqlite:{tmp_path / 'nowhere.db'}", StoreMissing, "no store at"),
        (f"sqlite:{tmp_path / 'empty.db'}", SchemaPending, "nothing was copied there"),
        (bare_postgres_database, SchemaPending, "nothing was copied there"),
    ):
        with pytest.raises(error, match=said):
            await check(JobRequest("verify", source, target))
    assert not (tmp_path / "nowhere.db").exists()
    async with open_store(bare_postgres_database, create=True):
        pass
    join = "&" if "?" in bare_postgres_database else "?"
    only_read = f"{bare_postgres_database}{join}options=-cdefault_transaction_read_only%3Don"
    with pytest.raises(ReadOnly, match="the job cannot be recorded"):
        await check(JobRequest("verify", source, only_read))
    assert (await check(JobRequest("verify", foreign, bare_postgres_database))).target == bare_postgres_database
