"""Files of Vestige servers at past moments: one imported decision for each winner, in every form of time."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.support.vestige_files import NOW, chrono, make_line, memory_id, realistic, spaced
from vestige_tui.core.memories import Filter
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.embedding.models import TestEmbedder
from vestige_tui.store.open import open_store
from vestige_tui.store.schema.adoption import adopt
from vestige_tui.store.store import Store

LINES = [4, 10, 14, 18, 24, 28, 35, 40]
PHASE_1 = -14
"""Version 14 of the other line."""
CREATED = NOW - timedelta(days=50)
REPLACED = (NOW - timedelta(days=20)).replace(microsecond=250_000)
INSTANT = timedelta(microseconds=1)
FORMS: Mapping[str, Callable[[datetime], str]] = {
    "nine digits": chrono,
    "six digits": lambda moment: chrono(moment, 6),
    "three digits": lambda moment: chrono(moment, 3),
    "Z": lambda moment: chrono(moment, 3).replace("+00:00", "Z"),
}


def file_of(folder: Path, version: int, at: str, *, phase_1: bool = False) -> tuple[str, bool]:
    """A file with memories 0 and 1, of which 1 replaced 0 at a time; return its URL and if the line has winners."""
    rows = []
    for position in range(2):
        row = {**realistic(position), "created_at": chrono(CREATED), "updated_at": chrono(CREATED)}
        rows.append(row if position else {**row, "superseded_by": memory_id(1), "valid_until": at})
    path = make_line(folder / "vestige.db", version, rows, phase_1=phase_1)
    with closing(sqlite3.connect(path)) as connection:
        columns = {row[1] for row in connection.execute("PRAGMA table_info(knowledge_nodes)")}
    return f"sqlite:{path}", "superseded_by" in columns


async def ids(store: Store, moment: datetime) -> set[str]:
    return {memory.id for memory in await store.history.recall_as_of(moment)}


async def check(store: Store, has_winners: bool) -> None:
    old, new = memory_id(0), memory_id(1)
    assert await ids(store, CREATED - INSTANT) == set()
    assert await ids(store, CREATED) == {old, new} == await ids(store, REPLACED - INSTANT)
    after = {new} if has_winners else {old, new}
    assert await ids(store, REPLACED) == after == await ids(store, NOW)
    [then] = await store.at(REPLACED).memories.get_many([old])
    assert then.superseded_by == (new if has_winners else None)
    decision = await store.history.decision_before(NOW)
    assert (decision is not None and (decision.kind, decision.decided_at)) == (has_winners and ("imported", REPLACED))
    difference = await store.history.difference(CREATED, NOW)
    assert [each.memory.id for each in difference.superseded] == ([old] if has_winners else [])
    assert difference.counts.appeared == 0
    active = await store.at(REPLACED - INSTANT).memories.count(Filter(superseded=True))
    assert active == 2


@pytest.mark.parametrize("version", [*LINES, PHASE_1])
@pytest.mark.parametrize("adopted", [False, True], ids=["read-only", "adopted"])
async def test_each_line_is_answered_for_past_moments(tmp_path: Path, version: int, adopted: bool) -> None:
    url, has_winners = file_of(tmp_path, abs(version), chrono(REPLACED, 6), phase_1=version == PHASE_1)
    if adopted:
        with closing(sqlite3.connect(tmp_path / "vestige.db", isolation_level=None)) as connection:
            connection.execute("PRAGMA foreign_keys = ON")
            adopt(connection, tmp_path / "backup.db", NOW.isoformat())
    async with open_store(url, embedders=EmbedderSource(embedder=TestEmbedder(256)), clock=lambda: NOW) as store:
        await check(store, has_winners)


@pytest.mark.parametrize("form", FORMS)
async def test_every_form_of_time_is_compared_exactly(tmp_path: Path, form: str) -> None:
    url, _ = file_of(tmp_path, 28, FORMS[form](REPLACED))
    async with open_store(url, embedders=EmbedderSource(embedder=TestEmbedder(256)), clock=lambda: NOW) as store:
        await check(store, True)


async def test_a_time_with_a_space_and_no_fraction_is_compared(tmp_path: Path) -> None:
    url, _ = file_of(tmp_path, 28, spaced(REPLACED))
    async with open_store(url, embedders=EmbedderSource(embedder=TestEmbedder(256)), clock=lambda: NOW) as store:
        second = REPLACED.replace(microsecond=0)
        assert await ids(store, second - INSTANT) == {memory_id(0), memory_id(1)}
        assert await ids(store, second) == {memory_id(1)}
