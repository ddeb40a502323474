"""An import that is killed, also within a batch: all that it stored is in a journal entry that undo takes back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.kill_points import KILLED_STATUS, TIMEOUT_SECONDS, kill_points
from tests.support.killable_import import ROW_MEMORIES
from tests.support.store_digest import digest
from vestige_tui.core.errors import Cancelled
from vestige_tui.core.journal import JournalLine
from vestige_tui.core.memories import Draft
from vestige_tui.presenters.changes import journal_sentence
from vestige_tui.store.store import Store

COUNT = 270
AT = "2026-01-02T03:04:05.000000+00:00"


def file_of(folder: Path) -> Path:
    """A file of memories without ids, more than one row of the journal holds."""
    lines = [json.dumps({"content": f"text {n}", "tags": ["t"], "created_at": AT}) for n in range(COUNT)]
    path = folder / "memories.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def run_import(url: str, file: Path, last: int) -> tuple[int, int]:
    """Import a file in another process that dies before a step; return its status and the number of its steps."""
    command = [sys.executable, "-m", "tests.support.killable_import", url, str(file), str(last)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, KILLED_STATUS), done.stderr
    return done.returncode, int(done.stdout or 0)


async def entries(store: Store) -> list[JournalLine]:
    """The imports in the journal that are not undone, newest first."""
    lines = await store.journal.entries()
    return [line for line in lines if line.verb == "import" and line.undone_by is None]


async def stored_ids(store: Store) -> set[str]:
    """The ids of the memories of the file that the store holds."""
    page = await store.memories.page(limit=COUNT + 1)
    return {memory.id for memory in page.items if memory.content.startswith("text ")}


@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT_SECONDS)
async def test_a_kill_at_any_step_leaves_an_entry_that_undo_takes_back(
    store: Store, store_url: str, tmp_path: Path
) -> None:
    await store.insert(Draft("Here before"))
    file, before = file_of(tmp_path), digest(store_url)
    status, steps = run_import(store_url, file, 0)
    [whole] = await entries(store)
    assert (status, len(whole.ids), journal_sentence(whole)) == (0, COUNT, f"Imported {COUNT} memories")
    await store.journal.undo(whole.id)
    assert digest(store_url) == before
    for point in kill_points(steps):
        assert run_import(store_url, file, point)[0] == KILLED_STATUS
        stored = await stored_ids(store)
        lines = await entries(store)
        assert {memory_id for line in lines for memory_id in line.ids} == stored
        for line in lines:
            assert len(line.ids) == len(stored)
            if point < steps:
                assert journal_sentence(line) == f"Imported {len(stored)} memories (unfinished)"
            await store.journal.undo(line.id)
        assert digest(store_url) == before


@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT_SECONDS)
async def test_a_second_run_has_an_entry_of_its_own(store: Store, store_url: str, tmp_path: Path) -> None:
    await store.insert(Draft("Here before"))
    file, before = file_of(tmp_path), digest(store_url)
    _, steps = run_import(store_url, file, 0)
    await store.journal.undo()
    run_import(store_url, file, steps * 9 // 10)
    first = await stored_ids(store)
    assert ROW_MEMORIES * 2 < len(first) < COUNT
    assert run_import(store_url, file, 0)[0] == 0
    rest, killed = await entries(store)
    assert set(killed.ids) == first
    assert set(rest.ids) == await stored_ids(store) - first
    assert len(rest.ids) == COUNT - len(first)
    [late] = [each for each in await store.journal.entries() if each.id == killed.id]
    assert late.ids == killed.ids
    await store.journal.undo(killed.id)
    assert await stored_ids(store) == set(rest.ids)
    await store.journal.undo(rest.id)
    assert digest(store_url) == before


async def test_an_import_whose_entry_is_undone_meanwhile_stops(store: Store) -> None:
    journal = store.journal.start_import()
    await store.memories.insert_many([Draft("One")], embed=False, journal=journal)
    await store.journal.undo(journal.number)
    with pytest.raises(Cancelled, match=f"Change {journal.number} was undone while"):
        await store.memories.insert_many([Draft("Two")], embed=False, journal=journal)
    assert await store.memories.count() == 0
