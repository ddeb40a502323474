"""A worker killed at any call of a database: the next attempt ends with what an undisturbed run would have left."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.full_store import fill
from tests.support.kill_points import Workers, kill_points
from tests.support.postgres import named_database
from tests.support.store_rows import Outcome
from vestige_tui.jobs.start import JobRequest
from vestige_tui.store.open import open_store


def assert_alike(again: Outcome, whole: Outcome, die_at: int) -> None:
    assert again.counts == whole.counts, f"killed at call {die_at}"
    assert again.findings == whole.findings, f"killed at call {die_at}"
    for name in whole.rows:
        assert again.rows[name] == whole.rows[name], f"{name}, killed at call {die_at}"
    assert again.rows.keys() == whole.rows.keys()


async def filled(path: Path) -> str:
    """A small source with a row that is mended, one that cannot be copied, and one without its memory."""
    await fill(path, 12, dimension=8)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE knowledge_nodes SET tags = 'not json' WHERE content LIKE '3 %'")
        connection.execute("UPDATE node_embeddings SET embedding = x'0000' WHERE seq = 2")
        connection.execute("INSERT INTO scheduling (memory_id) VALUES ('nobody')")
    return f"sqlite:{path}"


@pytest.mark.deaths
async def test_a_copy_to_postgres_survives_every_death(tmp_path: Path, postgres_server: str, workers: Workers) -> None:
    source = await filled(tmp_path / "source.db")
    options = {"batch": 5}
    with named_database(postgres_server, "made") as made:
        async with open_store(made, create=True):
            pass
        with named_database(postgres_server, "whole", "made") as target:
            whole, calls = await workers.run_undisturbed(JobRequest("copy", source, target, options))
        assert whole.findings
        for die_at in kill_points(calls):
            with named_database(postgres_server, "killed", "made") as target:
                again = await workers.run_killed(JobRequest("copy", source, target, options), die_at)
                assert_alike(again, whole, die_at)


@pytest.mark.deaths
async def test_a_copy_to_a_file_survives_every_death(tmp_path: Path, workers: Workers) -> None:
    source = await filled(tmp_path / "source.db")
    options = {"batch": 5}
    whole, calls = await workers.run_undisturbed(JobRequest("copy", source, f"sqlite:{tmp_path / 'whole.db'}", options))
    for die_at in kill_points(calls):
        folder = tmp_path / "killed"
        folder.mkdir()
        again = await workers.run_killed(JobRequest("copy", source, f"sqlite:{folder / 'killed.db'}", options), die_at)
        assert_alike(again, whole, die_at)
        shutil.rmtree(folder)


# What changes meanwhile

AT = "2026-02-01T00:00:00.000000+00:00"
NEW = "00000000-0000-4000-8000-0000000000aa"
OWN = "00000000-0000-4000-8000-0000000000bb"


def between(source: str, target: str) -> list[tuple[str, str]]:
    """What somebody changes on both sides: rows that are to follow, and rows that are to stay."""
    with closing(sqlite3.connect(source.removeprefix("sqlite:"))) as connection:
        ids = [str(each) for (each,) in connection.execute("SELECT id FROM knowledge_nodes ORDER BY seq")]
    memory = "INSERT INTO knowledge_nodes (id, content, created_at, updated_at)"
    edge = "INSERT INTO edges (source_id, target_id, edge_type, weight, created_at)"
    edited = "UPDATE knowledge_nodes SET content = '{}' WHERE id IN ({})"
    in_source = [
        edited.format("edited since", f"'{ids[1]}', '{ids[2]}', '{ids[5]}'"),
        f"UPDATE node_embeddings SET embedding = zeroblob(32) WHERE node_id = '{ids[1]}'",
        f"UPDATE edges SET weight = 0.25 WHERE source_id = '{ids[2]}'",
        f"UPDATE scheduling SET reps = 9, last_review = '{AT}' WHERE memory_id = '{ids[6]}'",
        f"UPDATE review_marks SET buried_until = '{AT}'",
        f"DELETE FROM review_events WHERE memory_id = '{ids[1]}'",
        *(f"DELETE FROM knowledge_nodes WHERE id = '{ids[place]}'" for place in (7, 8, 9, 10)),
        f"{memory} VALUES ('{NEW}', 'new', '{AT}', '{AT}')",
        f"INSERT INTO node_embeddings (node_id, embedding) VALUES ('{NEW}', zeroblob(32))",
        f"{edge} VALUES ('{NEW}', '{ids[0]}', 'cites', 1, '{AT}')",
    ]
    in_target = [
        edited.format("edited in the target", f"'{ids[4]}', '{ids[5]}', '{ids[8]}'"),
        f"DELETE FROM knowledge_nodes WHERE id = '{ids[11]}'",
        f"{memory} VALUES ('{OWN}', 'the target''s own', '{AT}', '{AT}')",
        f"{edge} VALUES ('{OWN}', '{ids[9]}', 'cites', 0.7, '{AT}')",
    ]
    return [*((source, sql) for sql in in_source), *((target, sql) for sql in in_target)]


def told_apart(left: Outcome) -> Outcome:
    """Without the times that a trigger has set in the target, and the sides of a difference that name them."""
    findings = [replace(each, reason=re.sub(r": .*|\(.*\)", "", each.reason)) for each in left.findings]
    rows = {
        name: [re.sub(r"20[2-9]\d-\d\d-\d\d[T ][^'\",]*", "", row) for row in rows] for name, rows in left.rows.items()
    }
    return replace(left, findings=sorted(findings, key=repr), rows={name: sorted(each) for name, each in rows.items()})


@pytest.mark.deaths
async def test_later_changes_survive_every_death(
    tmp_path: Path, workers: Workers, backend: str, request: pytest.FixtureRequest
) -> None:
    original = await filled(tmp_path / "original.db")
    options = {"batch": 5}

    @contextmanager
    def pair(name: str) -> Iterator[tuple[JobRequest, list[tuple[str, str]]]]:
        folder = tmp_path / name
        folder.mkdir()
        shutil.copy(original.removeprefix("sqlite:"), folder / "source.db")
        source = f"sqlite:{folder / 'source.db'}"
        if backend == "sqlite":
            target = f"sqlite:{folder / 'target.db'}"
            yield JobRequest("copy", source, target, options), between(source, target)
        else:
            server = str(request.getfixturevalue("postgres_server"))
            with named_database(server, name, "made") as target:
                yield JobRequest("copy", source, target, options), between(source, target)
        shutil.rmtree(folder)

    async def every_death() -> None:
        with pair("whole") as (work, edits):
            whole, calls = await workers.run_undisturbed(work, edits)
        assert whole.counts["memories"].updated == 2
        assert whole.counts["memories"].deleted == 2
        for die_at in kill_points(calls):
            with pair("killed") as (work, edits):
                again = await workers.run_killed(work, die_at, edits)
                assert_alike(told_apart(again), told_apart(whole), die_at)

    if backend == "sqlite":
        await every_death()
    else:
        with named_database(str(request.getfixturevalue("postgres_server")), "made") as made:
            async with open_store(made, create=True):
                pass
            await every_death()
