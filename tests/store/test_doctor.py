"""The doctor: every planted fault is found and no other one, a fix mends it, and an undo brings the rows back."""

from __future__ import annotations

import asyncio
import random
import re
import secrets
import sqlite3
from contextlib import closing

import psycopg
import pytest

from tests.support.planted_faults import NOBODY, ONLY_IN_FILES, PLANTS, Planted, fill, plant, whole_rows
from vestige_tui.core.bulk import TagEdit, Target
from vestige_tui.core.doctor import KINDS, DoctorStep, Examination
from vestige_tui.core.errors import Conflict
from vestige_tui.core.memories import Draft
from vestige_tui.presenters.changes import redo_sentence, undo_sentence
from vestige_tui.store.schema.named_sql import sql_folder
from vestige_tui.store.store import Store

SEEDS = 3
"""Random faults of each kind in one test."""


def counts(examination: Examination) -> dict[str, tuple[int, int]]:
    """Return the number of faults of each kind that were found, and of those that a fix changes."""
    assert not examination.unfinished
    return {finding.kind: (finding.count, finding.fixable) for finding in examination.findings}


def expected(kind: str, planted: Planted) -> dict[str, tuple[int, int]]:
    fixable = planted.count if planted.fixable is None else planted.fixable
    return {kind: (planted.count, fixable)}


@pytest.mark.slow
@pytest.mark.sampled("name", "backend")
@pytest.mark.parametrize("name", PLANTS)
@pytest.mark.parametrize("attempt", range(SEEDS))
async def test_a_planted_fault_is_found_fixed_and_undone(store: Store, backend: str, name: str, attempt: int) -> None:
    if backend == "postgres" and name in ONLY_IN_FILES:
        return  # The types of the columns do not allow it.
    seed = secrets.randbits(32)
    print("seed", seed)
    chance, kind = random.Random(seed), name.split("/")[0]
    ids = await fill(store, chance)
    assert counts(await store.doctor.examine()) == {}
    planted = PLANTS[name](store, ids, chance)
    plant(store.location, planted.statements)
    start = whole_rows(store.location)
    examination = await store.doctor.examine()
    assert counts(examination) == expected(kind, planted)

    preview = await store.doctor.preview([kind])
    assert whole_rows(store.location) == start
    fixed = await store.doctor.fix(preview)
    if not examination.fixable:
        assert (preview.is_empty, fixed.undo, whole_rows(store.location)) == (True, None, start)
        return
    assert counts(await store.doctor.examine()) == {}
    if KINDS[kind].remedy != "rows":
        assert (fixed.undo, whole_rows(store.location)) == (None, start)
        return
    end = whole_rows(store.location)
    assert (end != start, fixed.rows, fixed.undo is None) == (True, len(preview.changes), False)
    await store.journal.undo(fixed.undo)
    assert whole_rows(store.location) == start
    assert counts(await store.doctor.examine()) == expected(kind, planted)
    await store.journal.redo()
    assert whole_rows(store.location) == end


@pytest.mark.slow
async def test_all_faults_at_once_are_one_change(store: Store, backend: str) -> None:
    seed = secrets.randbits(32)
    print("seed", seed)
    chance = random.Random(seed)
    ids = await fill(store, chance)
    names = ["vector_zero", "vector_orphan", "time/memory", "time/link", "json", "schedule", "winner_circle", "orphan"]
    for name in names:
        plant(store.location, PLANTS[name](store, ids, chance).statements)
    start = whole_rows(store.location)
    examination = await store.doctor.examine()
    assert {name.split("/")[0] for name in names} == counts(examination).keys()
    entries = len(await store.journal.entries())
    fixed = await store.doctor.fix(await store.doctor.preview(examination.fixable))
    assert len(await store.journal.entries()) == entries + 1
    assert counts(await store.doctor.examine()) == {}
    await store.journal.undo(fixed.undo)
    assert whole_rows(store.location) == start


async def test_a_fix_is_refused_if_the_rows_have_changed_since_its_preview(store: Store) -> None:
    chance = random.Random(1)
    ids = await fill(store, chance)
    plant(store.location, PLANTS["vector_zero"](store, ids[:1], chance).statements)
    preview = await store.doctor.preview(["vector_zero"])
    plant(store.location, PLANTS["vector_zero"](store, ids[1:2], chance).statements)
    before = whole_rows(store.location)
    with pytest.raises(Conflict):
        await store.doctor.fix(preview)
    assert whole_rows(store.location) == before


async def test_an_undo_is_refused_if_a_fixed_column_has_changed_since(store: Store) -> None:
    ids = await fill(store, random.Random(1))
    lapses = "UPDATE scheduling SET lapses = ? WHERE memory_id = ?"
    plant(store.location, [(lapses, (-1, ids[0]))])
    fixed = await store.doctor.fix(await store.doctor.preview(["schedule"]))
    plant(store.location, [(lapses, (5, ids[0]))])
    before = whole_rows(store.location)
    with pytest.raises(Conflict):
        await store.journal.undo(fixed.undo)
    assert whole_rows(store.location) == before


async def test_an_undo_keeps_later_changes_of_other_columns(store: Store) -> None:
    ids = await fill(store, random.Random(1))
    plant(store.location, [("UPDATE knowledge_nodes SET domain_scores = '7' WHERE id = ?", (ids[0],))])
    fixed = await store.doctor.fix(await store.doctor.preview(["json"]))
    await store.bulk.apply(await store.bulk.preview(Target((ids[0],)), TagEdit(add=("later",))))
    await store.journal.undo(fixed.undo)
    assert "later" in (await store.get(ids[0])).tags
    assert counts(await store.doctor.examine()) == {"json": (1, 1)}


async def test_an_undo_replaces_a_vector_that_was_computed_since(store: Store) -> None:
    chance = random.Random(1)
    ids = await fill(store, chance)
    plant(store.location, PLANTS["vector_zero"](store, ids, chance).statements)
    fixed = await store.doctor.fix(await store.doctor.preview(["vector_zero"]))
    assert await store.models.fill() == 1
    await store.journal.undo(fixed.undo)
    assert counts(await store.doctor.examine()) == {"vector_zero": (1, 1)}


async def test_the_words_of_a_swapped_text_differ(store: Store, backend: str) -> None:
    """Two memories whose texts were exchanged behind the index: as many words as before, of other memories."""
    if backend == "postgres":
        return  # The index is a column that is computed from the text.
    ids = [(await store.insert(Draft(text))).changed[0] for text in ("alpha beta", "gamma delta")]
    path = store.location.removeprefix("sqlite:")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TRIGGER trg_knowledge_fts_update")
        connection.execute(
            "UPDATE knowledge_nodes SET content = iif(content = 'alpha beta', 'gamma delta', 'alpha beta')"
        )
    [finding] = (await store.doctor.examine()).findings
    assert (finding.kind, finding.count, sorted(finding.examples)) == ("text_index", 2, sorted(ids))


@pytest.mark.slow
async def test_texts_of_any_letters_are_in_step_with_their_index(store: Store) -> None:
    seed = secrets.randbits(32)
    print("seed", seed)
    chance = random.Random(seed)
    highest = (0x250, 0x600, 0x3000, 0xFFFF, 0x1FFFF)
    codes = [[chance.randrange(1, chance.choice(highest)) for _ in range(60)] for _ in range(200)]
    texts = ["".join(chr(code) for code in each if not 0xD800 <= code < 0xE000) for each in codes]
    await store.memories.insert_many([Draft(f"x {text}", tags=(text[:5],)) for text in texts], embed=False)
    assert counts(await store.doctor.examine()) == {}


@pytest.mark.parametrize("backend", ["postgres"])
async def test_every_foreign_key_of_a_server_is_checked(store: Store) -> None:
    query = (
        "SELECT c.conrelid::regclass::text, a.attname FROM pg_constraint c"
        " JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)"
        " WHERE c.contype = 'f' AND c.connamespace = current_schema()::regnamespace"
    )
    with psycopg.connect(store.location) as server:
        keys = server.execute(query).fetchall()
    text = (sql_folder() / "postgres" / "doctor.sql").read_text(encoding="utf-8").partition("-- list_orphans --")[2]
    checked = set()
    for table, conditions in re.findall(r"FROM (\w+) t\s+WHERE ((?:.|\n)*?)(?=UNION|\) f)", text):
        checked |= {(table, column) for column in re.findall(r"= t\.(\w+)", conditions)}
    assert set(keys) <= checked
    assert len(keys) > 10


async def test_tables_of_another_program_are_counted_and_no_fault(store: Store) -> None:
    plant(
        store.location,
        [("CREATE TABLE notes_of_others (n INTEGER)", ()), ("INSERT INTO notes_of_others VALUES (1)", ())],
    )
    examination = await store.doctor.examine()
    assert (examination.findings, [(each.name, each.rows) for each in examination.other_tables]) == (
        (), [("notes_of_others", 1)],
    )  # fmt: skip


# Many faults at once


@pytest.mark.slow
async def test_thousands_of_faults_are_one_change_in_several_batches(store: Store) -> None:
    drafts = [Draft(f"memory {number}") for number in range(2_500)]
    await store.memories.insert_many(drafts, embed=False)
    plant(
        store.location,
        [
            ("INSERT INTO scheduling (memory_id, lapses) SELECT id, -1 FROM knowledge_nodes", ()),
            ("UPDATE knowledge_nodes SET metadata = '7', domain_scores = '7'", ()),
        ],
    )
    start = whole_rows(store.location)
    steps: list[DoctorStep] = []
    preview = await store.doctor.preview(["json", "schedule"], steps.append)
    assert whole_rows(store.location) == start
    assert [step.stage for step in steps] == ["previewing"] * len(steps)
    assert len(steps) > 2
    assert (steps[-1].done, steps[-1].total) == (5_000, 5_000)
    entries = len(await store.journal.entries())
    fixed = await store.doctor.fix(preview)
    assert fixed.rows == 5_000
    assert len(await store.journal.entries()) == entries + 1
    assert counts(await store.doctor.examine()) == {}
    await store.journal.undo(fixed.undo)
    assert whole_rows(store.location) == start


async def test_a_fix_that_is_cancelled_changes_nothing(store: Store) -> None:
    chance = random.Random(1)
    ids = await fill(store, chance)
    plant(store.location, PLANTS["json"](store, ids, chance).statements)
    before = whole_rows(store.location)
    preview = await store.doctor.preview(["json"])
    entries = await store.journal.entries()

    def cancel(step: DoctorStep) -> None:
        task.cancel()

    task = asyncio.ensure_future(store.doctor.fix(preview, cancel))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert whole_rows(store.location) == before
    assert await store.journal.entries() == entries
    fixed = await store.doctor.fix(preview)
    assert fixed.rows == 1


async def test_an_undo_names_the_repaired_memory_by_its_text(store: Store) -> None:
    ids = await fill(store, random.Random(1))
    plant(store.location, [("UPDATE knowledge_nodes SET metadata = '7' WHERE id = ?", (ids[0],))])
    fixed = await store.doctor.fix(await store.doctor.preview(["json"]))
    text = (await store.get(ids[0])).content
    assert undo_sentence(await store.journal.undo(fixed.undo)) == f'Undid: repair on "{text}"'
    assert redo_sentence(await store.journal.redo()) == f'Redid: repair on "{text}"'


async def test_an_undo_names_a_row_that_is_no_memory_by_its_table(store: Store) -> None:
    await fill(store, random.Random(1))
    plant(store.location, [("INSERT INTO review_marks (memory_id) VALUES (?)", (NOBODY,))])
    fixed = await store.doctor.fix(await store.doctor.preview(["orphan"]))
    assert "review_marks" in undo_sentence(await store.journal.undo(fixed.undo))
