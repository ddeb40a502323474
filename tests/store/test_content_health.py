"""Health of what is in a store: damaged pages, missing extension and index, vectors and rows that cannot be used."""

from __future__ import annotations

import os
import sqlite3
import struct
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.support.portable_lines import export_lines
from tests.support.postgres_variant import as_superuser
from tests.support.vestige_files import make_v18
from vestige_tui.core.file_permissions import is_readable_by_others
from vestige_tui.core.links import Edge
from vestige_tui.core.memories import Draft, Sort
from vestige_tui.core.search import SearchQuery
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store
from vestige_tui.transfer.sqlite_source import sqlite_path


def run_sql(store: Store, statement: str, *values: object) -> None:
    """Change a store as another program does."""
    if store.backend.dialect == "sqlite":
        with closing(sqlite3.connect(sqlite_path(store.location))) as connection, connection:
            connection.execute(statement, values)
        return
    with psycopg.connect(as_superuser(store.location), autocommit=True) as server:
        server.execute(statement.replace("?", "%s").encode(), values)


async def problems(store: Store) -> str:
    """Return the problems of a thorough look; the report of the Store screen and of `stats` has the same."""
    health = await store.maintenance.health(thorough=True)
    assert (health.state == "healthy") == (not health.problems)
    assert all(each.remedy for each in health.problems)
    assert {each.problem for each in health.problems} <= {
        each.problem for each in (await store.maintenance.report(thorough=True)).health.problems
    }
    return "\n".join(each.problem for each in health.problems)


@pytest.fixture
async def two(store: Store) -> tuple[str, str]:
    """The ids of two memories with vectors, in a store that is healthy."""
    first, second = [(await store.insert(Draft(text))).changed[0] for text in ("first memory", "second memory")]
    await store.reviews.record(first, 3)  # type: ignore[arg-type]  # a rating by its number
    assert await problems(store) == ""
    return first, second


async def test_a_vector_of_zeros_is_named(store: Store, two: tuple[str, str]) -> None:
    zeros = bytes(64 * 4) if store.kind == "sqlite" else str([0.0] * 64)
    run_sql(store, "UPDATE node_embeddings SET embedding = ? WHERE node_id = ?", zeros, two[1])
    assert f"1 vector has only zeros; vector search cannot find it: the memory {two[1]}." in await problems(store)


@pytest.mark.parametrize(
    ("vector", "trouble"),
    [
        (struct.pack("<64f", *[0.1] * 63, float("nan")), "has a number that is not finite"),
        (struct.pack("<64f", *[0.1] * 63, float("-inf")), "has a number that is not finite"),
        (bytes(63 * 4), "has a different number of"), (b"\x01\x02\x03", "has a different number of"),
        (b"", "has a different number of"), ("text", "has a different number of"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("backend", ["sqlite"])
async def test_a_vector_that_no_search_can_compare_is_named(
    store: Store, two: tuple[str, str], vector: object, trouble: str
) -> None:
    run_sql(store, "UPDATE node_embeddings SET embedding = ? WHERE node_id = ?", vector, two[0])
    assert f"1 vector {trouble}" in await problems(store)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE knowledge_nodes SET created_at = ?", "UPDATE knowledge_nodes SET updated_at = ?",
        "UPDATE scheduling SET next_review = ?", "UPDATE review_events SET timestamp = ?",
    ],
)  # fmt: skip
async def test_a_time_that_cannot_be_read_is_named(store: Store, two: tuple[str, str], statement: str) -> None:
    run_sql(store, statement, "soon" if store.kind == "sqlite" else "infinity")
    count = "2 memories have times" if "knowledge_nodes" in statement else "1 memory has a time"
    assert f"{count} that cannot be read" in await problems(store)


@pytest.mark.parametrize("column", ["created_at", "updated_at"])
async def test_a_time_that_cannot_be_read_hides_no_memory(store: Store, two: tuple[str, str], column: str) -> None:
    await store.links.add(Edge(two[0], two[1], "related", 0.5))
    value = "soon" if store.kind == "sqlite" else "infinity"
    run_sql(store, f"UPDATE knowledge_nodes SET {column} = ? WHERE id = ?", value, two[0])
    run_sql(store, "UPDATE scheduling SET last_review = ?", value)
    sort: Sort
    for sort in ("created", "updated"):
        pages = [await store.page(limit=1, sort=sort)]
        while (cursor := pages[-1].next) is not None:
            pages.append(await store.page(limit=1, sort=sort, after=cursor))
        assert sorted(memory.id for page in pages for memory in page.items) == sorted(two)
    assert getattr(await store.get(two[0]), column) is None
    assert {hit.memory.id for hit in await store.search(SearchQuery(text="memory", mode="text"))} == set(two)
    assert len(await store.reviews.log(two[0])) == 1
    assert len(await export_lines(store)) == 4
    run_sql(store, "UPDATE scheduling SET next_review = ?", value if store.kind == "sqlite" else "-infinity")
    await store.reviews.due()
    await store.insert(Draft("a third memory"))


@pytest.mark.parametrize("column", ["metadata", "domain_scores", "tags", "domains"])
async def test_json_that_cannot_be_read_is_named(store: Store, two: tuple[str, str], column: str) -> None:
    if store.kind == "postgres":
        if column in ("tags", "domains"):
            return  # arrays of texts, by their type
        run_sql(store, f"UPDATE knowledge_nodes SET {column} = '[1]' WHERE id = ?", two[0])
    else:
        run_sql(store, f"UPDATE knowledge_nodes SET {column} = ? WHERE id = ?", "{broken", two[0])
    assert f"cannot be read and are treated as empty: the memory {two[0]}" in await problems(store)


@pytest.mark.parametrize("backend", ["postgres"])
async def test_a_dropped_extension_is_named(store: Store, two: tuple[str, str]) -> None:
    run_sql(store, "DROP EXTENSION vector CASCADE")
    assert "The extension vector and all vectors are missing from the database" in await problems(store)
    assert len((await store.page()).items) == 2


@pytest.mark.parametrize("backend", ["postgres"])
async def test_an_index_that_is_broken_or_missing_is_named_until_it_is_built(
    store: Store, two: tuple[str, str]
) -> None:
    index = "idx_node_embeddings_hnsw"
    run_sql(store, f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{index}'::regclass")
    assert "The vector index is broken" in await problems(store)
    run_sql(store, f"REINDEX INDEX {index}")
    assert await problems(store) == ""
    run_sql(store, f"DROP INDEX {index}")
    assert "The vector index is missing" in await problems(store)
    [problem] = (await store.maintenance.health(thorough=True)).problems
    statement = problem.remedy.partition(", run ")[2].removesuffix(".")
    assert statement.startswith(
        f"CREATE INDEX CONCURRENTLY {index} ON node_embeddings USING hnsw (embedding vector_cos"
    )
    run_sql(store, statement.replace("CONCURRENTLY ", ""))
    assert await problems(store) == ""


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_damaged_pages_are_named(store: Store, two: tuple[str, str]) -> None:
    path = sqlite_path(store.location)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        [page] = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'delegations'").fetchone()
    descriptor = os.open(path, os.O_WRONLY)
    os.pwrite(descriptor, b"\xa5" * 4096, (page - 1) * 4096)
    os.close(descriptor)
    assert "The file is damaged (" in await problems(store)


async def test_the_content_is_looked_at_now_and_then(store: Store, two: tuple[str, str]) -> None:
    run_sql(store, "UPDATE knowledge_nodes SET metadata = '[1]'")
    for _ in range(2):
        await store.health()
    assert "are treated as empty" in await problems(store)
    looks = {each.name: each.count for each in (await store.maintenance.report()).queries}["list_row_faults"]
    await store.health()
    assert {each.name: each.count for each in (await store.maintenance.report()).queries}["list_row_faults"] == looks


async def test_a_file_of_a_vestige_server_is_to_be_copied(tmp_path: Path) -> None:
    path = make_v18(tmp_path / "memory.db", 5, hostile=True)
    async with open_store(str(path)) as store:
        health = await store.health()
    assert health.problems
    assert {each.remedy for each in health.problems} == {
        "A copy of the store (`vestige-tui migrate copy`) repairs or reports it."
    }


# Files


def test_others_read_a_file_by_its_mode_and_through_its_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "notes.db"
    assert not is_readable_by_others(path)
    path.touch(0o644)
    path.chmod(0o644)
    # A folder above it is closed.
    assert not is_readable_by_others(path)
    opened(tmp_path)
    assert is_readable_by_others(path)
    path.chmod(0o640)
    assert not is_readable_by_others(path)


def opened(folder: Path) -> None:
    """Let everybody through the folders of a test."""
    for each in (folder, *folder.parents):
        if each.stat().st_uid == os.getuid() and not each.stat().st_mode & 0o001:
            each.chmod(0o711)


async def test_files_that_others_can_read_are_told(tmp_path: Path) -> None:
    opened(tmp_path)
    path = tmp_path / "store.db"
    async with open_store(f"sqlite:{path}", create=True) as store:
        await store.insert(Draft("a secret"), embed=False)
        assert not store.file_problems()
        path.chmod(0o644)
        assert [each.problem for each in store.file_problems()] == ["Every user of this machine can read store.db."]
        os.chmod(f"{path}-wal", 0o604)
        assert "can read store.db and store.db-wal." in await problems(store)
