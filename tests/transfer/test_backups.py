"""Backups of stores of each kind, restored and compared over all tables."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.support.store_backups import fill_every_table, rows_of_all_tables
from tests.support.store_exercise import opened
from vestige_tui.core.backups import BackupStep
from vestige_tui.core.memories import Draft, Filter
from vestige_tui.core.reviews import Rating
from vestige_tui.transfer.backups import back_up, plan_restore, restore


async def change_much(url: str) -> None:
    """Add, edit, grade and delete, so that no table of the contents is as before."""
    async with opened(url) as store:
        [first, second, *_] = [memory.id for memory in (await store.page(Filter(superseded=True))).items]
        await store.insert(Draft("Added after the backup."))
        await store.reviews.record(first, Rating.AGAIN)
        await store.memories.tag([first], add=["later"])
        await store.delete([second])


def hidden_files(folder: Path) -> list[str]:
    """Return the names of files that a backup or restore has begun and left."""
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


@pytest.mark.slow
async def test_a_restored_store_is_equal_in_all_tables(store_url: str, tmp_path: Path) -> None:
    await fill_every_table(store_url, tmp_path)
    before = rows_of_all_tables(store_url)
    for name in ("journal", "job_runs", "spare_embeddings", "review_marks", "supersession_events", "review_events"):
        assert before[name], name
    steps: list[BackupStep] = []
    backup = await back_up(store_url, tmp_path / "kept.db", steps.append)
    assert backup.rows["knowledge_nodes"] == 3
    assert {step.stage for step in steps} >= {"copying"}
    assert stat.S_IMODE(backup.path.stat().st_mode) == 0o600
    assert (backup.left_behind, backup.failed) == ({}, {})
    assert rows_of_all_tables(store_url) == before
    await change_much(store_url)
    assert rows_of_all_tables(store_url) != before
    plan = await plan_restore(backup.path, store_url)
    losses = {loss.table: (loss.missing, loss.changed) for loss in plan.losses}
    assert losses["knowledge_nodes"] == (1, 1)
    assert losses["journal"] == (4, 0)
    assert plan.examples == ("Added after the backup.",)
    done = await restore(backup.path, store_url)
    assert done.rows["knowledge_nodes"] == 3
    assert rows_of_all_tables(store_url) == before
    assert not (await plan_restore(backup.path, store_url)).loses
    assert hidden_files(tmp_path) == []
