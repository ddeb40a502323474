"""A copy that is taken up again, or whose ends change while it runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.filled import fill
from vestige_tui.jobs import copy
from vestige_tui.jobs.copy import Copy, read_key, write_key
from vestige_tui.jobs.launch import Work, check
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.jobs.running import Meter, Running
from vestige_tui.model import Draft, Edge, JobFinding, Patch, TableProgress
from vestige_tui.store import open_store


@pytest.fixture(params=["sqlite", "postgres"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store that is not there yet, of either dialect."""
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_database"))
    return f"sqlite:{tmp_path / 'target.db'}"


async def attempt(source: str, target: str, **options: Any) -> tuple[Running, str]:
    """One attempt of a copy in this process."""
    work = Work("copy", source, target, {"verify": False, **options})
    checked = await check(work)
    async with open_store(target, create=True) as store:
        ledger = Ledger(store)
        run = await ledger.start(
            kind="copy",
            source=checked.source,
            target=checked.target,
            model=checked.model,
            task=checked.task,
            owner="test",
            options=checked.options,
        )
        taken = await ledger.take(run.id, "test")
        assert taken is not None
        running = Running(
            store,
            run.id,
            "copy",
            source=source,
            target=target,
            options=taken.options,
            moment=taken.first_started,
            checkpoint=dict(taken.checkpoint),
            meter=Meter(taken.progress),
        )
        try:
            result = await copy.run(running)
        except BaseException as error:
            await ledger.transition(run.id, "failed", error=str(error))
            raise
        await ledger.transition(run.id, "completed", result=result)
        return running, result


async def findings_of(target: str, running: Running) -> list[JobFinding]:
    async with open_store(target) as store:
        return list((await Ledger(store).findings(running.job_id, limit=1_000)).items)


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], Any]]:
    """What happens once all rows have been read, and before later changes are looked for."""
    happenings: list[Callable[[], Any]] = []
    finish = Copy._finish

    async def finishing(self: Copy) -> None:
        for happening in happenings:
            await happening()
        await finish(self)

    monkeypatch.setattr(Copy, "_finish", finishing)
    return happenings


async def test_what_changes_meanwhile_is_brought_and_what_the_target_has_stays(
    tmp_path: Path, target: str, meanwhile: list[Callable[[], Any]]
) -> None:
    path = tmp_path / "source.db"
    await fill(path, 60)
    source = f"sqlite:{path}"
    with closing(sqlite3.connect(path)) as connection:
        ids = [str(row[0]) for row in connection.execute("SELECT id FROM knowledge_nodes ORDER BY seq")]
    edited, gone, gone_edited, both, only_target, removed, linked = ids[20:27]
    at = "2026-02-01T00:00:00.000000+00:00"
    new = "00000000-0000-4000-8000-0000000000aa"
    own = "00000000-0000-4000-8000-0000000000bb"

    async def in_the_target() -> None:
        async with open_store(target) as store:
            await store.update(only_target, Patch(content="edited in the target"), embed=False)
            await store.update(both, Patch(content="edited in the target, too"), embed=False)
            await store.update(gone_edited, Patch(content="edited before it was deleted there"), embed=False)
            await store.delete([removed])
            await store.insert(Draft("the target's own", id=own), embed=False)
            await store.add_edge(Edge(own, linked, "cites", 0.7))

    async def in_the_source() -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("PRAGMA foreign_keys = ON")
            for each in (edited, both):
                connection.execute("UPDATE knowledge_nodes SET content = 'edited since' WHERE id = ?", (each,))
            connection.execute("UPDATE node_embeddings SET embedding = zeroblob(256) WHERE node_id = ?", (edited,))
            connection.execute("UPDATE edges SET weight = 0.25 WHERE source_id = ?", (ids[1],))
            connection.execute("UPDATE scheduling SET reps = 9, last_review = ? WHERE memory_id = ?", (at, ids[2]))
            for each in (gone, gone_edited, linked):
                connection.execute("DELETE FROM knowledge_nodes WHERE id = ?", (each,))
            connection.execute(
                "INSERT INTO knowledge_nodes (id, content, created_at, updated_at) VALUES (?, 'new', ?, ?)",
                (new, at, at),
            )
            connection.execute(
                "INSERT INTO edges (source_id, target_id, edge_type, weight, created_at) VALUES (?, ?, 'cites', 1, ?)",
                (new, ids[0], at),
            )

    meanwhile += [in_the_target, in_the_source]
    running, result = await attempt(source, target, batch=25)
    tables = running.meter.tables
    async with open_store(target) as store:
        contents = {memory.id: memory.content for memory in await store.get_many([*ids, new, own])}
        assert contents[edited] == "edited since"
        assert contents[new] == "new"
        assert contents[own] == "the target's own"
        assert contents[only_target] == "edited in the target"
        assert contents[both] == "edited in the target, too"
        assert contents[gone_edited] == "edited before it was deleted there"
        assert linked in contents
        assert gone not in contents
        assert removed not in contents
        assert {edge.weight for edge in await store.get_edges(ids[1]) if edge.source_id == ids[1]} == {0.25}
        assert [edge.source_id for edge in await store.get_edges(ids[0]) if edge.edge_type == "cites"] == [new]
        assert [edge.edge_type for edge in await store.get_edges(linked) if edge.source_id == own] == ["cites"]
        [reviewed] = await store.get_many([ids[2]])
        assert reviewed.scheduling is not None
        assert reviewed.scheduling.reps == 9
    assert (tables["memories"].updated, tables["memories"].deleted, tables["memories"].inserted) == (1, 1, 61)
    assert (tables["scheduling"].updated, tables["edges"].updated, tables["vectors"].updated) == (1, 1, 1)
    assert "updated" in result
    for name, table in tables.items():
        assert table.read == table.inserted + table.present + table.failed == table.total, name
    told = {(each.subject, each.outcome, each.source_key): each.reason for each in await findings_of(target, running)}
    assert "in the target (content" in told["memories", "differs", only_target]
    assert "on both sides" in told["memories", "differs", both]
    assert "but edited in the target" in told["memories", "only_target", gone_edited]
    assert "but linked in the target" in told["memories", "only_target", linked]
    assert "deleted in the target" in told["memories", "only_source", removed]
    assert ("memories", "deleted", gone) in told
    assert ("memories", "updated", edited) in told


def test_a_key_survives_the_checkpoint_whatever_its_bytes() -> None:
    key = ("plain", b"\xff\xfe half".decode("utf-8", "surrogateescape"), "\x00 \u2603")
    assert read_key(write_key(key)) == key
    assert read_key(write_key((-(2**63),))) == (-(2**63),)


def counts(tables: dict[str, TableProgress]) -> dict[str, tuple[int, int, int]]:
    return {name: (table.read, table.inserted, table.failed) for name, table in tables.items()}
