"""The page of the doctor: faults and their examples, a fix after its preview, its undo, and read-only stores."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.console import open_console
from tests.support.planted_faults import whole_rows
from tests.support.vestige_files import make_v18
from vestige_tui.core.doctor import DoctorListener, Examination
from vestige_tui.store.doctor import DoctorService
from vestige_tui.tui.dialogs.memory_sheet import MemorySheet
from vestige_tui.tui.doctor.fault_sheet import FaultSheet
from vestige_tui.tui.doctor.fix_dialog import FixDialog
from vestige_tui.tui.doctor.page import DoctorScreen


@pytest.fixture
def faulty(corpus: Path) -> Path:
    """The sample corpus with three vectors of zeros, tags that cannot be read, and an id in two spellings."""
    with closing(sqlite3.connect(corpus)) as connection, connection:
        some = "(SELECT id FROM knowledge_nodes ORDER BY id LIMIT 3)"
        zeros = "UPDATE node_embeddings SET embedding = zeroblob(length(embedding))"
        connection.execute(f"{zeros} WHERE node_id IN (SELECT node_id FROM node_embeddings ORDER BY node_id LIMIT 3)")
        connection.execute(f"UPDATE knowledge_nodes SET tags = '[broken' WHERE id = (SELECT min(id) FROM {some})")
        twin = "FROM knowledge_nodes ORDER BY id DESC LIMIT 1"
        columns = "(id, content, created_at, updated_at) SELECT upper(id), 'twin', created_at, updated_at"
        connection.execute(f"INSERT INTO knowledge_nodes {columns} {twin}")
        # With a vector: the console computes those that are missing.
        vector = "(SELECT embedding FROM node_embeddings ORDER BY node_id DESC LIMIT 1)"
        connection.execute(f"INSERT INTO node_embeddings (node_id, embedding) SELECT upper(id), {vector} {twin}")
    return corpus


@pytest.mark.parametrize("size", [(120, 40), (60, 20)])
async def test_a_healthy_store_has_no_faults(corpus: Path, size: tuple[int, int]) -> None:
    async with open_console(corpus, size) as console:
        await console.press("f7", "d")
        await console.until("No faults found.")
        await console.press("escape")
        await console.until("No problems found.")


@pytest.mark.slow
@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 20)])
async def test_a_fault_opens_with_examples_that_open_their_memory(faulty: Path, size: tuple[int, int]) -> None:
    async with open_console(faulty, size) as console:
        await console.press("f7", "d")
        await console.until("6 faults of 3 kinds")
        for said in ("vector of zeros", "duplicate id", "not fixed here"):
            assert said in console.text
        await console.press("enter")
        await console.until(lambda: isinstance(console.app.screen, FaultSheet))
        await console.until("3 vectors have only zeros")
        await console.press("enter")
        await console.until(lambda: isinstance(console.app.screen, MemorySheet))
        await console.press("escape")
        await console.until(lambda: isinstance(console.app.screen, FaultSheet))
        await console.press("escape")
        await console.until(lambda: isinstance(console.app.screen, DoctorScreen))


@pytest.mark.slow
async def test_a_fix_shows_its_rows_and_is_undone_by_one_key(faulty: Path) -> None:
    before = whole_rows(f"sqlite:{faulty}")
    async with open_console(faulty, (120, 40)) as console:
        await console.press("f7", "d")
        await console.until("6 faults of 3 kinds")
        await console.press("f")
        await console.until(lambda: isinstance(console.app.screen, FixDialog))
        await console.until("Fix 3 rows?")
        assert console.text.count("deleted") == 3
        await console.press("escape")
        await console.until(lambda: isinstance(console.app.screen, DoctorScreen))
        assert whole_rows(f"sqlite:{faulty}") == before
        await console.press("F")
        await console.until("Fix 4 rows?")
        await console.press("y")
        await console.until("Fixed 4 rows")
        await console.until("2 faults of 1 kind")
        assert whole_rows(f"sqlite:{faulty}") != before
        await console.press("u")
        await console.until("Undid: repair")
        await console.until("6 faults of 3 kinds")
        assert whole_rows(f"sqlite:{faulty}") == before


async def test_a_fix_asked_for_too_early_says_that_the_rows_are_still_read(
    faulty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end = asyncio.Event()
    examine = DoctorService.examine

    async def held_back(doctor: DoctorService, *listener: DoctorListener) -> Examination:
        await may_end.wait()
        return await examine(doctor, *listener)

    monkeypatch.setattr(DoctorService, "examine", held_back)
    async with open_console(faulty, (120, 40)) as console:
        await console.press("f7", "d")
        await console.until("Looking at every row")
        for key in "F", "f":
            await console.press(key)
            await console.until(lambda: console.text.count("Looking at every row") == 2)
        assert "no fault" not in console.text
        may_end.set()
        await console.until("6 faults of 3 kinds")


@pytest.mark.slow
async def test_a_fault_that_is_not_fixed_here_says_what_to_do(faulty: Path) -> None:
    async with open_console(faulty, (120, 40)) as console:
        await console.press("f7", "d")
        await console.until("6 faults of 3 kinds")
        await console.press("G", "f")
        await console.until("Not fixed here. Open them, keep one, and delete the other")


@pytest.mark.slow
async def test_a_file_of_a_server_shows_faults_and_why_they_are_not_fixed(tmp_path: Path) -> None:
    path = make_v18(tmp_path / "memory.db", 5, hostile=True)
    async with open_console(path, (120, 40)) as console:
        await console.press("f7", "d")
        await console.until("vector of zeros")
        assert "read-only" in console.text.lower()
        await console.press("enter")
        await console.until(lambda: isinstance(console.app.screen, FaultSheet))
        assert "fix…" not in console.text
