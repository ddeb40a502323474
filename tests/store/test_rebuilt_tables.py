"""A server that rebuilds tables of an adopted file: told plainly, read-only until it is adopted again, nothing lost."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.adopted_files import NOW, make_adopted, opened
from tests.support.rebuilt_tables import rebuild
from tests.support.vestige_files import memory_id
from vestige_tui.core.errors import ReadOnly, TablesChanged
from vestige_tui.core.memories import Filter, Patch
from vestige_tui.core.reviews import Rating
from vestige_tui.core.search import SearchQuery
from vestige_tui.store.backends.sqlite_adoption import adopt_file, adoption_plan, withdraw_from
from vestige_tui.store.schema.additions import COLUMNS

LINES = ("4", "18", "35", "14 (phase 1)")


@pytest.fixture(params=LINES)
def line(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def path(tmp_path: Path, line: str) -> Path:
    return make_adopted(tmp_path / "vestige.db", line)


def rebuilt(path: Path, line: str) -> None:
    """Rebuild every table to which adoption has added columns, and let the version move on."""
    with closing(sqlite3.connect(path)) as connection:
        original = Path(connection.execute("SELECT backup FROM console_adoption").fetchone()[0])
    tables = ("knowledge_nodes", "review_events") if line == "14 (phase 1)" else ("knowledge_nodes",)
    rebuild(path, original, tables, None if line == "14 (phase 1)" else 36)


def columns(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        names = "SELECT name FROM pragma_table_info('knowledge_nodes')"
        return {name for (name,) in connection.execute(names)}


async def test_a_rebuilt_file_is_read_only_until_it_is_adopted_again_and_loses_nothing(path: Path, line: str) -> None:
    memory = memory_id(1)
    async with opened(path) as store:
        await store.reviews.record(memory, Rating.GOOD)
        await store.reviews.suspend(memory_id(2))
        await store.update(memory, Patch(metadata={"by": "mira"}))
    rebuilt(path, line)
    assert "codebase" not in columns(path)
    async with opened(path) as store:
        assert store.read_only
        assert store.maintenance.adoptable
        assert "rebuilt it since the adoption" in store.read_only_reason
        assert "adopt it again" in store.read_only_reason
        assert len((await store.page(Filter(superseded=True))).items) == 12
        with pytest.raises(ReadOnly):
            await store.update(memory, Patch(content="no"))
    plan = adoption_plan(path)
    assert plan.is_again
    assert not plan.tables
    homes = {"knowledge_nodes", "review_events" if line == "14 (phase 1)" else ""}
    assert set(plan.columns) == {name for name, home in COLUMNS.items() if home in homes}
    adopt_file(path, NOW)
    assert adoption_plan(path).is_done
    async with opened(path) as store:
        assert not store.read_only
        assert (await store.get(memory)).metadata["by"] == "mira"
        assert (await store.get(memory_id(2))).marks.suspended
        # The log of a phase 1 server is its own, and loses the columns that it does not know.
        assert len(await store.reviews.log(memory)) >= 1
        await store.update(memory, Patch(codebase="quay"))
        await store.journal.undo()
        await store.journal.undo()
        assert "by" not in (await store.get(memory)).metadata
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    withdraw_from(path)
    assert "codebase" not in columns(path)


async def test_an_open_store_tells_that_its_tables_were_changed(path: Path, line: str) -> None:
    async with opened(path) as store:
        await store.wait_for_change(1)
        rebuilt(path, line)
        with pytest.raises(TablesChanged, match=r"vestige\.db have changed since it was opened"):
            await store.page(Filter(superseded=True))
        with pytest.raises(TablesChanged):
            await store.update(memory_id(1), Patch(codebase="quay"))
        with pytest.raises(TablesChanged):
            await store.wait_for_change(5)


async def test_a_new_table_and_text_index_of_the_server_change_nothing(path: Path, line: str) -> None:
    async with opened(path) as store:
        await store.wait_for_change(1)
        with closing(sqlite3.connect(path)) as server:
            server.execute("CREATE TABLE later (id TEXT PRIMARY KEY)")
            server.execute("CREATE INDEX later_nodes ON knowledge_nodes (source)")
            server.execute("DROP TABLE knowledge_fts")
            text = "fts5(id, content, tags, content='knowledge_nodes', content_rowid='rowid', tokenize='unicode61')"
            server.execute(f"CREATE VIRTUAL TABLE knowledge_fts USING {text}")
            server.execute("INSERT INTO knowledge_fts (knowledge_fts) VALUES ('rebuild')")
            server.commit()
        assert await store.wait_for_change(5)
        await store.update(memory_id(1), Patch(codebase="quay", content="A kestrel."))
        [hit] = await store.search(SearchQuery(text="kestrel", mode="text"))
        assert (hit.memory.id, hit.memory.codebase) == (memory_id(1), "quay")
