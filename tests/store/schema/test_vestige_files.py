"""What a Vestige server's file looks like through the views: all of it readable, none of it changed."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.vestige_files import (
    HOSTILE_TEXTS,
    HOSTILE_VECTORS,
    LATEST,
    MINILM,
    NOMIC,
    NOW,
    PROFILE,
    chrono,
    insert,
    make_line,
    make_v14,
    make_v18,
    memory_id,
    realistic,
    spaced,
    vector,
)
from vestige_tui.core.errors import ForeignStore
from vestige_tui.store.open import open_store
from vestige_tui.store.schema.named_sql import sql_folder
from vestige_tui.store.schema.vestige_files import Survey, survey

Maker = Callable[..., Path]
Row = dict[str, Any]

LINES = [pytest.param(make_v14, id="V14"), pytest.param(make_v18, id="V18")]


def _decode(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _open(path: Path, mode: str = "ro") -> tuple[sqlite3.Connection, Survey]:
    connection = sqlite3.connect(f"file:{path}?mode={mode}", uri=True)
    connection.text_factory = _decode
    schema = survey(connection)
    connection.executescript(schema.script)
    return connection, schema


def _ask(connection: sqlite3.Connection, sql: str, *values: object) -> list[Row]:
    with closing(connection.execute(sql, values)) as cursor:
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]


def _survey(path: Path) -> Survey:
    connection, found = _open(path)
    connection.close()
    return found


def _own_columns() -> dict[str, list[str]]:
    with closing(sqlite3.connect(":memory:")) as connection:
        for script in sorted((sql_folder() / "sqlite" / "migrations").glob("*.up.sql")):
            connection.executescript(script.read_text(encoding="utf-8"))
        tables = connection.execute("SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'")
        names = [name for (name,) in tables if not name.startswith("sqlite_")]
        return {name: [row["name"] for row in _ask(connection, f"PRAGMA table_info({name})")] for name in names}


def _sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vestige.db"


@pytest.fixture
def crafted(path: Path) -> Iterator[sqlite3.Connection]:
    """A V18 file with four memories whose figures are known."""
    rows: list[Row] = [
        {"id": "loser", "superseded_by": "winner", "valid_until": "2026-03-01T00:00:00.5+00:00", "embedding": None},
        {
            "id": "winner",
            "content": "The winner.",
            "node_type": "decision",
            "created_at": "2026-05-01T12:00:00.123456789+00:00",
            "updated_at": "2026-05-02 12:00:00",
            "last_accessed": "2026-10-31T00:00:00+00:00",
            "stability": 12.5,
            "difficulty": 4.25,
            "reps": 3,
            "lapses": 1,
            "retention_strength": 0.75,
            "next_review": "2026-06-11T09:30:00.250+00:00",
            "scheduled_days": 10,
            "source": 'a "source"',
            "tags": '["x", "y"]',
            "flashbulb": 1,
            "source_url": "https://example.org/1",
            "domains": '["ops"]',
            "domain_scores": '{"ops": 0.5}',
        },
        {"id": "dangling", "superseded_by": "nobody", "embedding": vector(7, 384)},
        {"id": "undated", "superseded_by": "winner", "valid_until": "soon", "updated_at": "2026-02-02T00:00:00+00:00"},
    ]
    make_v18(path, rows)
    with closing(sqlite3.connect(path)) as writer:
        times = {"created_at": chrono(NOW), "last_activated": chrono(NOW)}
        link = {"source_id": "loser", "target_id": "winner", "strength": 0.5, "link_type": "causal"}
        insert(writer, "memory_connections", {**link, **times})
        insert(writer, "domains", {"id": "ops", "label": "Operations", "memory_count": 1, "created_at": chrono(NOW)})
        writer.commit()
    connection, _ = _open(path)
    with closing(connection):
        yield connection


@pytest.mark.parametrize("make", LINES)
@pytest.mark.parametrize("hostile", [False, True], ids=["plain", "hostile"])
def test_every_view_is_read_in_full_and_the_file_keeps_every_byte(make: Maker, hostile: bool, path: Path) -> None:
    make(path, 40, hostile=hostile)
    before = _sha(path)
    connection, found = _open(path)
    with closing(connection):
        assert found.kind == "vestige"
        assert found.notes == ()
        for table, columns in _own_columns().items():
            rows = _ask(connection, f"SELECT * FROM {table}")
            listed = {row["name"] for row in _ask(connection, f"PRAGMA table_info({table})")}
            assert set(columns) <= listed, table
            for column in columns:
                assert len(_ask(connection, f'SELECT "{column}" FROM {table}')) == len(rows)
        memories = _ask(connection, "SELECT * FROM knowledge_nodes")
        assert len(memories) == _ask(connection, "SELECT count(*) AS n FROM main.knowledge_nodes")[0]["n"]
        for memory in memories:
            assert json.loads(memory["metadata"])["vestige"]["learning_state"] in {"new", "review"}
        assert len(_ask(connection, "SELECT * FROM scheduling")) == len(memories)
        assert len(_ask(connection, "SELECT * FROM edges")) == 39 + 3 * hostile
    assert _sha(path) == before


def test_every_view_has_our_columns_in_our_order(path: Path) -> None:
    make_v18(path, 2)
    connection, _ = _open(path)
    with closing(connection):
        views = [row["name"] for row in _ask(connection, "SELECT name FROM sqlite_temp_master WHERE type = 'view'")]
        own = _own_columns()
        for view in views:
            assert [row["name"] for row in _ask(connection, f"PRAGMA temp.table_info({view})")] == own[view]
        assert {table for table in own if not table.startswith("knowledge_fts")} <= set(views)


@pytest.mark.parametrize("version", range(4, LATEST + 1))
def test_every_line_is_recognised_and_read(version: int, path: Path) -> None:
    make_line(path, version, 12, hostile=True)
    connection, found = _open(path)
    with closing(connection):
        assert (found.kind, found.line, found.notes) == ("vestige", f"Vestige V{version}", ())
        for table in _own_columns():
            _ask(connection, f"SELECT * FROM {table}")
        assert _ask(connection, "SELECT name, dimension FROM embedding_model")[0]["dimension"] == 256


def test_the_phase_1_line_is_told_from_its_namesake(tmp_path: Path) -> None:
    assert _survey(make_v14(tmp_path / "a.db")).line == "Vestige V14 (phase 1)"
    assert _survey(make_line(tmp_path / "b.db", 14)).line == "Vestige V14"


def test_a_wrong_version_number_is_not_believed(path: Path) -> None:
    make_v18(path, 3)
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("UPDATE schema_version SET version = 7")
        writer.commit()
    schema = _survey(path)
    assert schema.line == "Vestige V18"
    assert schema.notes == ("The file claims version 7, but its tables are those of Vestige V18.",)


def test_a_file_that_vestige_4_has_left_says_where_its_memories_are(tmp_path: Path) -> None:
    path = make_v18(tmp_path / "vestige.db", 3)
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("UPDATE knowledge_nodes SET updated_at = '2026-03-02T10:00:00.5+00:00' WHERE rowid > 1")
        writer.execute("UPDATE knowledge_nodes SET updated_at = 'yesterday' WHERE rowid = 1")
        writer.commit()
    assert _survey(path).successor == ""
    (tmp_path / "log").mkdir()
    ends = "ends on 2026-03-02: its server is now Vestige 4 and writes to"
    assert _survey(path).successor == f"vestige.db {ends} {tmp_path / 'log'}."
    assert _survey(path.rename(tmp_path / "copy.db")).successor == ""


async def test_a_command_and_the_doctor_say_that_vestige_4_has_left_a_file(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    async with open_store(f"sqlite:{make_v18(tmp_path / 'vestige.db', 3)}") as store:
        [problem] = [each for each in store.file_problems() if "Vestige 4" in each.problem]
        assert problem in (await store.maintenance.health()).problems


def test_a_memory_has_our_columns(crafted: sqlite3.Connection) -> None:
    [memory] = _ask(crafted, "SELECT * FROM knowledge_nodes WHERE id = 'winner'")
    metadata = json.loads(memory.pop("metadata"))
    assert memory == {
        "seq": 2,
        "id": "winner",
        "content": "The winner.",
        "node_type": "decision",
        "tags": '["x", "y"]',
        "domains": '["ops"]',
        "domain_scores": '{"ops": 0.5}',
        "codebase": None,
        "owner_user_id": "00000000-0000-0000-0000-000000000001",
        "visibility": "private",
        "shared_with_groups": "[]",
        "created_at": "2026-05-01T12:00:00.123456789+00:00",
        "updated_at": "2026-05-02 12:00:00",
        "superseded_by": None,
    }
    assert set(metadata) == {"vestige"}
    theirs = metadata["vestige"]
    assert theirs["source"] == 'a "source"'
    assert theirs["source_url"] == "https://example.org/1"
    assert theirs["flashbulb"] == 1
    assert theirs["scheduled_days"] == 10
    assert theirs["last_accessed"] == "2026-10-31T00:00:00+00:00"
    assert theirs["scope"] == "user"
    assert not {"source_author", "temporal_level", "content", "stability", "tags", "superseded_by"} & set(theirs)


def test_no_column_of_theirs_is_lost(crafted: sqlite3.Connection) -> None:
    theirs = {row["name"] for row in _ask(crafted, "PRAGMA main.table_info(knowledge_nodes)")}
    views = "".join(row["sql"] for row in _ask(crafted, "SELECT sql FROM sqlite_temp_master"))
    assert [name for name in theirs if f'n."{name}"' not in views and f"n.{name}" not in views] == []


def test_a_file_with_very_many_columns_is_gathered_too(path: Path) -> None:
    make_v18(path, [{"id": "one"}])
    with closing(sqlite3.connect(path)) as writer:
        for number in range(120):
            writer.execute(f'ALTER TABLE knowledge_nodes ADD COLUMN "later\'s ""{number}" INTEGER DEFAULT {number}')
        writer.commit()
    connection, _ = _open(path)
    with closing(connection):
        [memory] = _ask(connection, "SELECT metadata FROM knowledge_nodes")
    theirs = json.loads(memory["metadata"])["vestige"]
    assert [theirs[f"later's \"{number}"] for number in range(120)] == list(range(120))
    assert theirs["scope"] == "user"


def test_scheduling_comes_from_the_fsrs_columns(crafted: sqlite3.Connection) -> None:
    assert _ask(crafted, "SELECT * FROM scheduling WHERE memory_id = 'winner'") == [
        {
            "memory_id": "winner",
            "stability": 12.5,
            "difficulty": 4.25,
            "retrievability": 0.75,
            "last_review": "2026-06-01T09:30:00.250000+00:00",
            "next_review": "2026-06-11T09:30:00.250+00:00",
            "reps": 3,
            "lapses": 1,
        }
    ]
    [new] = _ask(crafted, "SELECT last_review, next_review, reps FROM scheduling WHERE memory_id = 'loser'")
    assert new == {"last_review": None, "next_review": None, "reps": 0}


def test_the_last_review_is_the_logs_where_that_is_later(path: Path) -> None:
    due = {"reps": 2, "next_review": "2026-06-11T00:00:00+00:00", "scheduled_days": 10}
    make_v14(path, [{"id": "logged", **due}, {"id": "stale log", **due}, {"id": "reset", "reps": 0}])
    with closing(sqlite3.connect(path)) as writer:
        for memory, at in (("logged", "2026-06-05"), ("stale log", "2026-01-01"), ("reset", "2026-06-05")):
            row = {"memory_id": memory, "timestamp": f"{at}T08:00:00.000001+00:00", "rating": 3}
            insert(writer, "review_events", {**row, "prior_state": "{}", "new_state": "{}"})
        writer.commit()
    connection, _ = _open(path)
    with closing(connection):
        rows = _ask(connection, "SELECT memory_id, last_review FROM scheduling ORDER BY memory_id")
        assert {row["memory_id"]: row["last_review"] for row in rows} == {
            "logged": "2026-06-05T08:00:00.000001+00:00",
            "stale log": "2026-06-01T00:00:00.000000+00:00",
            "reset": None,
        }
        assert [row["undoes"] for row in _ask(connection, "SELECT * FROM review_events")] == [None] * 3


def test_edges_come_from_the_connections(crafted: sqlite3.Connection) -> None:
    edge = {"source_id": "loser", "target_id": "winner", "edge_type": "causal", "weight": 0.5}
    assert _ask(crafted, "SELECT * FROM edges") == [{**edge, "created_at": chrono(NOW)}]


def test_a_superseded_memory_has_one_imported_event(crafted: sqlite3.Connection) -> None:
    event = {"winner_id": "winner", "kind": "imported"}
    assert _ask(crafted, "SELECT * FROM supersession_events ORDER BY id") == [
        {"id": 1, "loser_id": "loser", **event, "decided_at": "2026-03-01T00:00:00.5+00:00"},
        {"id": 4, "loser_id": "undated", **event, "decided_at": "2026-02-02T00:00:00+00:00"},
    ]


def test_vectors_come_as_stored(crafted: sqlite3.Connection) -> None:
    rows = _ask(crafted, "SELECT * FROM node_embeddings ORDER BY seq")
    assert [(row["node_id"], len(row["embedding"])) for row in rows] == [
        ("winner", 1024),
        ("dangling", 1536),
        ("undated", 1024),
    ]
    assert rows[1]["embedding"] == vector(7, 384)
    assert [row["seq"] for row in rows] == [1, 2, 3]


def test_domains_and_users_are_padded(crafted: sqlite3.Connection) -> None:
    [domain] = _ask(crafted, "SELECT * FROM domains")
    assert (domain["label"], domain["memory_count"], domain["metadata"]) == ("Operations", 1, "{}")
    [user] = _ask(crafted, "SELECT * FROM users")
    assert (user["id"], user["handle"]) == ("00000000-0000-0000-0000-000000000001", "local")
    assert user["created_at"] == "2026-05-01T12:00:00.123456789+00:00"
    assert _ask(crafted, "SELECT * FROM groups") == []


def test_text_search_finds_rows_by_seq(path: Path) -> None:
    make_v18(path, hostile=True)
    connection, _ = _open(path)
    with closing(connection):
        sql = """SELECT m.id, bm25(knowledge_fts) AS score FROM knowledge_fts
                 JOIN knowledge_nodes m ON m.seq = knowledge_fts.rowid WHERE knowledge_fts MATCH ? ORDER BY score"""
        assert [row["id"] for row in _ask(connection, sql, '"needle"')] == ["hostile-long"]
        assert len(_ask(connection, sql, '"backup" OR "rotation"')) > 2


def test_the_registered_model_is_the_files_own(path: Path) -> None:
    make_v18(path, 5, width=384)
    connection, _ = _open(path)
    with closing(connection):
        [model] = _ask(connection, "SELECT * FROM embedding_model")
    assert (model["name"], model["dimension"], model["hash"]) == (MINILM, 384, "b3" * 32)


@pytest.mark.parametrize("version", [13, 18])
def test_without_a_registered_model_the_largest_group_counts(version: int, path: Path) -> None:
    rows: list[Row] = [
        {"id": f"m{number}", "embedding": vector(number, 384 if number < 3 else 256)} for number in range(8)
    ]
    rows += [{"id": f"odd{number}", "embedding": b"\0" * 1023} for number in range(9)]
    make_line(path, version, rows)
    with closing(sqlite3.connect(path)) as writer:
        if version == 18:
            writer.execute("DELETE FROM embedding_model")
        # Two groups of four, and the later one wins.
        writer.execute("UPDATE node_embeddings SET created_at = '2026-12-01T00:00:00+00:00' WHERE node_id = 'm7'")
        writer.execute("UPDATE node_embeddings SET embedding = ? WHERE node_id = 'm6'", (vector(6, 384),))
        writer.commit()
    connection, _ = _open(path)
    with closing(connection):
        assert _ask(connection, "SELECT * FROM embedding_model") == [
            {
                "id": 1,
                "name": NOMIC,
                "dimension": 256,
                "hash": "",
                "created_at": "2026-12-01T00:00:00+00:00",
                "document_template": "{input}",
                "query_template": "{input}",
            }
        ]
        if version == 18:
            with closing(sqlite3.connect(path)) as writer:
                insert(writer, "embedding_model", {"id": 1, "name": "m", "dimension": 4, "hash": "h", "created_at": ""})
                writer.commit()
            assert [row["name"] for row in _ask(connection, "SELECT * FROM embedding_model")] == ["m"]


def test_the_profile_in_use_gives_vectors_and_model(path: Path) -> None:
    make_line(path, 28, 6)
    connection, found = _open(path)
    with closing(connection):
        assert found.line == "Vestige V28"
        first = _ask(connection, "SELECT * FROM node_embeddings WHERE node_id = ?", memory_id(0))
        assert [row["embedding"] for row in first] == [vector(10_000)]
        assert _ask(connection, "SELECT * FROM embedding_model") == [
            {
                "id": 1,
                "name": "nomic-ai/nomic-embed-text-v1.5",
                "dimension": 256,
                "hash": "e5cf08aa",
                "created_at": spaced(NOW),
                "document_template": "search_document: {input}",
                "query_template": "search_query: {input}",
            }
        ]
        # Nothing but the pointer moves when the server changes the profile.
        with closing(sqlite3.connect(path)) as writer:
            row = {"profile_id": "other", "node_id": memory_id(1), "embedding": vector(5), "dimensions": 256}
            insert(writer, "embedding_profile_vectors", {**row, "model": "other", "created_at": chrono(NOW)})
            writer.execute("UPDATE embedding_profile_state SET active_profile_id = 'other'")
            writer.commit()
        assert [row["node_id"] for row in _ask(connection, "SELECT * FROM node_embeddings")] == [memory_id(1)]
        plan = _ask(connection, "EXPLAIN QUERY PLAN SELECT 1 FROM node_embeddings e WHERE e.node_id = 'x'")
        assert any("sqlite_autoindex_embedding_profile_vectors_1" in row["detail"] for row in plan)


@pytest.mark.parametrize(
    ("stored", "template"),
    [
        ('{"kind":"raw"}', "{input}"),
        ('{"kind":"prefix","prefix":"query: "}', "query: {input}"),
        ('{"kind":"template","template":"Instruct: find it\\nQuery: {input}"}', "Instruct: find it\nQuery: {input}"),
        ('{"kind":"later","text":"x"}', "{input}"),
        ('"raw"', "{input}"),
        ("search_query: ", "{input}"),
        ("", "{input}"),
    ],
)
def test_a_template_is_read_in_each_of_its_forms(stored: str, template: str, path: Path) -> None:
    make_line(path, 28, 2)
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("UPDATE embedding_profiles SET query_encoding_template = ?", (stored,))
        writer.commit()
    connection, _ = _open(path)
    with closing(connection):
        assert _ask(connection, "SELECT query_template FROM embedding_model") == [{"query_template": template}]


def test_vectors_without_a_rowid_are_numbered_by_their_memory(path: Path) -> None:
    make_line(path, 28, 3)
    with closing(sqlite3.connect(path)) as writer:
        [sql] = [row["sql"] for row in _ask(writer, "SELECT sql FROM sqlite_master WHERE name LIKE '%profile_vectors'")]
        rows = writer.execute("SELECT * FROM embedding_profile_vectors").fetchall()
        writer.execute("DROP TABLE embedding_profile_vectors")
        writer.execute(f"{sql} WITHOUT ROWID")
        writer.executemany("INSERT INTO embedding_profile_vectors VALUES (?, ?, ?, ?, ?, ?)", rows)
        writer.commit()
    connection, _ = _open(path)
    with closing(connection):
        seqs = {row["node_id"]: row["seq"] for row in _ask(connection, "SELECT * FROM node_embeddings")}
    assert seqs == {memory_id(number): number + 1 for number in range(3)}


def test_a_profile_without_vectors_leaves_the_first_table_in_use(path: Path) -> None:
    make_line(path, 28, 3)
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("DELETE FROM embedding_profile_vectors WHERE profile_id = ?", (PROFILE,))
        writer.commit()
    connection, _ = _open(path)
    with closing(connection):
        rows = _ask(connection, "SELECT embedding FROM node_embeddings ORDER BY seq")
        assert [row["embedding"] for row in rows] == [vector(number) for number in range(3)]
        assert [row["name"] for row in _ask(connection, "SELECT name FROM embedding_model")] == [NOMIC]


@pytest.mark.parametrize("make", LINES)
def test_hostile_rows_come_through_as_they_are(make: Maker, path: Path) -> None:
    make(path, 3, hostile=True)
    connection, _ = _open(path)
    with closing(connection):
        contents = {row["id"]: row["content"] for row in _ask(connection, "SELECT id, content FROM knowledge_nodes")}
        for name, content in HOSTILE_TEXTS.items():
            assert contents[f"hostile-{name}"].encode("utf-8", "surrogateescape") == content
        vectors = {row["node_id"]: row["embedding"] for row in _ask(connection, "SELECT * FROM node_embeddings")}
        assert {name: vectors[f"hostile-{name}"] for name in HOSTILE_VECTORS} == dict(HOSTILE_VECTORS)

        def memory(name: str) -> Row:
            return _ask(connection, "SELECT * FROM knowledge_nodes WHERE id = ?", f"hostile-{name}")[0]

        def schedule(name: str) -> Row:
            return _ask(connection, "SELECT * FROM scheduling WHERE memory_id = ?", f"hostile-{name}")[0]

        assert memory("tags broken")["tags"] == '["a", '
        assert memory("tags null")["tags"] == "[]"
        assert memory("domains broken")["domains"] == "{oops"
        assert memory("month 13")["created_at"] == "2026-13-01T00:00:00+00:00"
        assert json.loads(memory("blob column")["metadata"])["vestige"]["source"] == "00FF1B"
        assert json.loads(memory("infinite")["metadata"])["vestige"]["utility_score"] == "-Inf"
        assert json.loads(memory("nul")["metadata"])["vestige"]["source"] == "before\0after"
        for name in ("month 13", "year 10000", "no time", "scheduled text"):
            assert schedule(name)["last_review"] is None
        assert schedule("spaced due")["last_review"] == "2026-09-27T08:00:00.000000+00:00"
        assert schedule("nan")["stability"] == 0.0
        figures = ("stability", "difficulty", "retrievability", "reps", "lapses")
        assert [schedule("text figures")[figure] for figure in figures] == [0.0, 0.0, 1.0, 0, 0]
        assert schedule("out of range")["difficulty"] == 0.3
        losers = {row["loser_id"] for row in _ask(connection, "SELECT loser_id FROM supersession_events")}
        assert not losers & {"hostile-dangling", "hostile-own winner"}


_WRITER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
insert = "INSERT INTO knowledge_nodes (id, content, created_at, updated_at, last_accessed) "
insert += "VALUES (?, 'Late.', '', '', '')"
connection.execute(insert, ("committed",))
connection.execute("BEGIN IMMEDIATE")
connection.execute(insert, ("uncommitted",))
print("holding", flush=True)
sys.stdin.readline()
connection.execute("COMMIT")
print("done", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("make", LINES)
def test_a_file_is_read_while_its_server_writes(make: Maker, path: Path) -> None:
    make(path, 4)
    before = _sha(path)
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        assert writer.stdout.readline() == "holding\n"
        connection, _ = _open(path)
        with closing(connection):
            late = "SELECT id FROM knowledge_nodes WHERE content = 'Late.' ORDER BY seq"
            assert [row["id"] for row in _ask(connection, late)] == ["committed"]
            writer.stdin.write("\n")
            writer.stdin.flush()
            assert writer.stdout.readline() == "done\n"
            assert [row["id"] for row in _ask(connection, late)] == ["committed", "uncommitted"]
            # What was written lies in the log beside the file; reading moves none of it.
            assert _sha(path) == before
        writer.communicate("\n", timeout=30)
    assert writer.returncode == 0


@pytest.mark.parametrize("make", LINES)
def test_an_update_through_a_view_changes_nothing(make: Maker, path: Path) -> None:
    make(path, 6)
    before = _sha(path)
    connection, _ = _open(path, "rw")
    with closing(connection):
        stored = _ask(connection, "SELECT * FROM main.knowledge_nodes")
        for sql in (
            "UPDATE knowledge_nodes SET content = 'changed'",
            "UPDATE scheduling SET reps = 99",
            "DELETE FROM knowledge_nodes",
            "DELETE FROM edges",
        ):
            with pytest.raises(sqlite3.OperationalError, match="because it is a view"):
                connection.execute(sql)
        connection.commit()
        assert _ask(connection, "SELECT * FROM main.knowledge_nodes") == stored
    assert _sha(path) == before


_MEMORY = "SELECT * FROM knowledge_nodes m "
_PLANS = {
    "by id": (f"{_MEMORY} WHERE m.id = 'x'", "SEARCH n USING INDEX sqlite_autoindex_knowledge_nodes_1 (id=?)"),
    "newest": (f"{_MEMORY} ORDER BY m.created_at DESC, m.id DESC LIMIT 50", "SCAN n USING INDEX idx_nodes_created"),
    "further": (
        f"{_MEMORY} WHERE (m.created_at, m.id) < ('2026', 'x') ORDER BY m.created_at DESC, m.id DESC LIMIT 50",
        "SEARCH n USING INDEX idx_nodes_created (created_at<?)",
    ),
    "due": (
        "SELECT * FROM scheduling s JOIN knowledge_nodes m ON m.id = s.memory_id WHERE s.next_review <= '2026'",
        "SEARCH n USING INDEX idx_nodes_next_review (next_review<?)",
    ),
    "edges": ("SELECT * FROM edges WHERE target_id = 'x'", "SEARCH n USING INDEX idx_memory_connections_target"),
    "vector": ("SELECT * FROM node_embeddings WHERE node_id = 'x'", "SEARCH n USING INDEX sqlite_autoindex_node_emb"),
    "vectors": ("SELECT * FROM node_embeddings WHERE seq > 5", "SEARCH n USING INTEGER PRIMARY KEY (rowid>?)"),
}


@pytest.mark.parametrize("make", LINES)
@pytest.mark.parametrize("name", _PLANS)
def test_the_files_own_indexes_stay_in_use(name: str, make: Maker, path: Path) -> None:
    make(path, 10)
    sql, expected = _PLANS[name]
    connection, _ = _open(path)
    with closing(connection):
        plan = [row["detail"] for row in _ask(connection, f"EXPLAIN QUERY PLAN {sql}")]
    assert any(step.startswith(expected) for step in plan), plan
    assert not any(step.startswith(("MATERIALIZE", "CO-ROUTINE")) for step in plan), plan


@pytest.mark.parametrize("name", ["newest", "due"])
def test_metadata_is_only_gathered_for_rows_that_are_returned(name: str, path: Path) -> None:
    """Sorting must not carry the gathered JSON of all rows along: counted in steps of the virtual machine."""
    make_v18(path, 400)
    connection, _ = _open(path)

    def steps(sql: str) -> int:
        counted = 0

        def count() -> int:
            nonlocal counted
            counted += 1
            return 0

        connection.set_progress_handler(count, 10)
        _ask(connection, sql)
        connection.set_progress_handler(None, 0)
        return counted

    with closing(connection):
        limit = _PLANS[name][0].replace(" LIMIT 50", "") + " LIMIT 3"
        assert steps(limit) * 20 < steps(_MEMORY)


def test_an_adopted_file_is_still_known_and_keeps_its_new_tables_bare(path: Path) -> None:
    make_v14(path, 6)
    with closing(sqlite3.connect(path)) as writer:
        writer.executescript("""
            CREATE TABLE vestige_migrations (version INTEGER PRIMARY KEY, adopted INTEGER);
            CREATE TABLE users (id TEXT PRIMARY KEY, handle TEXT NOT NULL UNIQUE, display_name TEXT,
                created_at TEXT NOT NULL, metadata TEXT NOT NULL DEFAULT '{}');
            INSERT INTO users VALUES ('u', 'ada', NULL, '2026-01-01T00:00:00+00:00', '{}');
            ALTER TABLE knowledge_nodes ADD COLUMN owner_user_id TEXT NOT NULL DEFAULT 'u';
            ALTER TABLE knowledge_nodes ADD COLUMN visibility TEXT NOT NULL DEFAULT 'public';
            ALTER TABLE knowledge_nodes ADD COLUMN shared_with_groups TEXT NOT NULL DEFAULT '["g"]';
            ALTER TABLE knowledge_nodes ADD COLUMN codebase TEXT;
            ALTER TABLE knowledge_nodes ADD COLUMN superseded_by TEXT;
            ALTER TABLE review_events ADD COLUMN undoes INTEGER;
            UPDATE knowledge_nodes SET codebase = 'core', reps = 1, next_review = NULL;
            CREATE TABLE review_marks (memory_id TEXT PRIMARY KEY, suspended INTEGER NOT NULL DEFAULT 0,
                buried_until TEXT, pinned INTEGER NOT NULL DEFAULT 0, cleared_lapses INTEGER NOT NULL DEFAULT 0);
            CREATE TABLE console_extra (node_id TEXT PRIMARY KEY, json TEXT NOT NULL);
            UPDATE schema_version SET version = 15;
        """)
        extra = "INSERT INTO console_extra VALUES (?, ?)"
        writer.execute(extra, (memory_id(0), '{"metadata": {"mine": [1], "vestige": {"scope": "theirs"}}}'))
        writer.execute(extra, (memory_id(1), "{broken"))
        for id_, at, undoes in ((101, "2026-09-01", None), (102, "2026-09-02", None), (103, "2026-09-03", 102)):
            row = {"id": id_, "memory_id": memory_id(0), "timestamp": f"{at}T00:00:00.000000+00:00", "rating": 3}
            insert(writer, "review_events", {**row, "prior_state": "{}", "new_state": "{}", "undoes": undoes})
        writer.commit()
    connection, found = _open(path, "rw")
    with closing(connection):
        assert (found.kind, found.line, found.notes) == ("vestige", "Vestige V15 (phase 1)", ())
        [memory] = _ask(connection, "SELECT * FROM knowledge_nodes WHERE id = ?", memory_id(0))
        assert [memory[name] for name in ("codebase", "owner_user_id", "visibility", "shared_with_groups")] == [
            "core",
            "u",
            "public",
            '["g"]',
        ]
        metadata = json.loads(memory["metadata"])
        assert metadata["mine"] == [1]
        assert metadata["vestige"]["scope"] == "user"
        [broken] = _ask(connection, "SELECT metadata FROM knowledge_nodes WHERE id = ?", memory_id(1))
        assert set(json.loads(broken["metadata"])) == {"vestige"}
        # A review that was taken back is none.
        [schedule] = _ask(connection, "SELECT last_review FROM scheduling WHERE memory_id = ?", memory_id(0))
        assert schedule["last_review"] == "2026-09-01T00:00:00.000000+00:00"
        assert [user["handle"] for user in _ask(connection, "SELECT * FROM users")] == ["ada"]
        connection.execute("INSERT INTO review_marks (memory_id, suspended) VALUES ('x', 1)")
        assert _ask(connection, "SELECT suspended FROM main.review_marks") == [{"suspended": 1}]


def test_a_table_of_ours_in_name_only_is_not_taken_for_ours(path: Path) -> None:
    make_v18(path, 2)
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("CREATE TABLE journal (entry TEXT)")
        writer.execute("INSERT INTO journal VALUES ('somebody else')")
        writer.commit()
    connection, _ = _open(path)
    with closing(connection):
        assert _ask(connection, "SELECT id, verb FROM journal") == []


def test_an_empty_file_is_empty(path: Path) -> None:
    path.touch()
    assert _survey(path) == Survey("empty", "", "", ())


def test_a_store_of_our_own_needs_no_views(path: Path) -> None:
    with closing(sqlite3.connect(path)) as writer:
        for script in sorted((sql_folder() / "sqlite" / "migrations").glob("*.up.sql")):
            writer.executescript(script.read_text(encoding="utf-8"))
        writer.execute("CREATE TABLE vestige_migrations (version INTEGER PRIMARY KEY, adopted INTEGER)")
    assert _survey(path) == Survey("ours", "", "", ())


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT)",
        "CREATE TABLE knowledge_nodes (id TEXT PRIMARY KEY, content TEXT, created_at TEXT)",
    ],
)
def test_a_file_of_something_else_is_foreign(sql: str, path: Path) -> None:
    with closing(sqlite3.connect(path)) as writer:
        writer.execute(sql)
    assert _survey(path) == Survey("foreign", "", "", ())


def _corrupt(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with (
        closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection,
        pytest.raises(ForeignStore) as caught,
    ):
        survey(connection)
    assert path.read_bytes() == content
    assert str(path) in caught.value.message
    return caught.value.message


def test_a_file_that_sqlite_cannot_read_is_named_in_one_sentence(path: Path) -> None:
    whole = make_v18(path, 40).read_bytes()
    for content in (bytes(range(256)) * 64, b"This is a letter, not a database.\n" * 40):
        assert "encrypted or not a SQLite file" in _corrupt(path, content)
    truncated = (whole[: len(whole) // 2], whole[:600], whole[:40])
    for content in (*truncated, whole[:100] + b"\xff" * 8092 + whole[8192:]):
        assert "truncated or corrupt" in _corrupt(path, content)


def test_a_locked_file_is_the_drivers_to_report(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("CREATE TABLE notes (body TEXT)")
        writer.execute("BEGIN EXCLUSIVE")
        with (
            closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=0)) as connection,
            pytest.raises(sqlite3.OperationalError, match="locked"),
        ):
            survey(connection)


def test_realistic_rows_are_the_same_in_every_run() -> None:
    assert realistic(5) == realistic(5)
    assert realistic(3)["created_at"][10] == " "
    assert len({memory_id(number) for number in range(500)}) == 500
