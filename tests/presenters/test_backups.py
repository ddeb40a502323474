"""Backups and restores in words: nouns, order, and what is not lost is not named."""

from __future__ import annotations

from pathlib import Path

import pytest

from vestige_tui.core.backups import Backup, BackupStep, RestorePlan, TableLoss
from vestige_tui.presenters import backups as words

ROWS = {"journal": 3, "knowledge_nodes": 2, "review_events": 1, "vestige_migrations": 11}


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ({}, ""),
        ({"knowledge_nodes": 1}, "1 memory"),
        ({"journal": 2, "knowledge_nodes": 1_200}, "1,200 memories and 2 journal entries"),
        ({"songs": 1, "review_events": 0, "edges": 1}, "1 link and 1 row of songs"),
    ],
)
def test_rows_are_named_by_what_they_are(counts: dict[str, int], text: str) -> None:
    assert words.listed(counts) == text


def test_a_restore_without_a_loss_says_so() -> None:
    plan = RestorePlan(Path("/kept.db"), "~/store.db", ROWS)
    assert not plan.loses
    assert words.restore_lines(plan) == [
        "kept.db contains 2 memories, 1 review and 3 journal entries.",
        "~/store.db has nothing that the backup lacks.",
    ]


def test_a_loss_is_listed_with_examples_and_hostile_text_is_plain() -> None:
    losses = (TableLoss("journal", 2), TableLoss("knowledge_nodes", 1, 4))
    plan = RestorePlan(Path("/kept.db"), "~/store.db", ROWS, losses, ("\x1b[31mred\nsecond line",))
    assert words.effect(plan) == (
        "This would delete 1 memory and 2 journal entries and overwrite 4 memories in ~/store.db"
    )
    [line] = [line for line in words.restore_lines(plan) if line.startswith("deleted: ")]
    assert "\x1b" not in line
    assert "second" not in line
    assert words.loss_rows(plan)[:3] == ["deletes 1 memory", "deletes 2 journal entries", "overwrites 4 memories"]


def test_a_damaged_store_is_named_with_its_reason() -> None:
    plan = RestorePlan(Path("/kept.db"), "~/store.db", ROWS, damage="it is damaged (bad page)")
    assert plan.loses
    assert any("it is damaged (bad page). It is kept" in line for line in words.restore_lines(plan))


def test_what_a_backup_leaves_behind_is_named() -> None:
    backup = Backup(Path("/kept.db"), 2_000_000, ROWS, {"songs": 2}, {"knowledge_nodes": 1})
    first, left, failed = words.backup_sentences(backup)
    assert first == "Backed up 2 memories, compared with the store: 2.0 MB, kept.db in /"
    assert "2 rows of songs" in left
    assert "1 memory" in failed
    assert words.backup_document(backup)["backup"]["left_behind"] == {"songs": 2}


def test_progress_names_the_table_or_the_pages() -> None:
    assert words.step_in_words(BackupStep("copying", 5, 10)) == "copying pages: 5 of 10"
    assert words.step_in_words(BackupStep("restoring", 5, None, "review_events")) == "restoring reviews: 5"
    assert words.step_in_words(BackupStep("indexing", 0)) == "building the indexes …"
