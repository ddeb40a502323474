"""Checkpoints of a copy: their typed form, the forms that older programs wrote, and a copy continued from one."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.support.attempts import attempt
from tests.support.checkpoints import put_checkpoint, stopped_after, stored_checkpoint, without_version
from tests.support.full_store import fill
from vestige_tui.core.errors import CheckpointUnreadable, Refused
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.store.open import open_store
from vestige_tui.transfer.copy_checkpoint import VERSION, CopyCheckpoint, CopyPhase, Position, UnconfirmedBatch

KEY = ("0000-aa", b"\xff half".decode("utf-8", "surrogateescape"), 7)
STORED_KEY = ["MDAwMC1hYQ==", "/yBoYWxm", 7]
CHAIN = "3e386abc-0000-4000-8000-000000000001"
BEGUN = {"chain": CHAIN, "fresh": ["memories", "vectors"]}
EMPTY = frozenset({"memories", "vectors"})

OLD_FORMS: list[tuple[dict[str, Any], CopyCheckpoint]] = [
    ({}, CopyCheckpoint()),
    ({"step": 1, **BEGUN}, CopyCheckpoint(CopyPhase.ROWS, CHAIN, EMPTY)),
    ({"step": 1, "chain": CHAIN, "fresh": []}, CopyCheckpoint(CopyPhase.ROWS, CHAIN)),
    (
        {"step": 9, **BEGUN, "table": "edges", "after": STORED_KEY, "beside": None},
        CopyCheckpoint(CopyPhase.ROWS, CHAIN, EMPTY, Position("edges", KEY)),
    ),
    # The first step of a table that has rows without a key.
    (
        {"step": 9, **BEGUN, "table": "users", "after": [0]},
        CopyCheckpoint(CopyPhase.ROWS, CHAIN, EMPTY, Position("users", (0,))),
    ),
    (
        {"step": 9, **BEGUN, "table": "memories", "after": [900], "beside": {"after": [400], "rows": 500}},
        CopyCheckpoint(CopyPhase.ROWS, CHAIN, EMPTY, Position("memories", (900,)), UnconfirmedBatch((400,), 500)),
    ),
    (
        {"step": 9, **BEGUN, "blind": True, "table": "memories", "after": [900], "beside": None},
        CopyCheckpoint(CopyPhase.ROWS, CHAIN, EMPTY, Position("memories", (900,)), blind=True),
    ),
    (
        {"step": 20, **BEGUN, "table": "", "after": [], "beside": None},
        CopyCheckpoint(CopyPhase.FINISHING, CHAIN, EMPTY),
    ),
    (
        {"step": 20, **BEGUN, "table": "", "after": [], "beside": None, "encoded": "aa-1"},
        CopyCheckpoint(CopyPhase.FINISHING, CHAIN, EMPTY, encoded="aa-1"),
    ),
    ({"step": 4, "table": ""}, CopyCheckpoint(CopyPhase.FINISHING)),
    (
        {"step": 4, "table": "memories", "after": [900]},
        CopyCheckpoint(CopyPhase.COUNTING, position=Position("memories", (900,))),
    ),
]


@pytest.mark.parametrize(("stored", "checkpoint"), OLD_FORMS)
def test_a_checkpoint_without_a_version_is_read(stored: dict[str, Any], checkpoint: CopyCheckpoint) -> None:
    assert CopyCheckpoint.from_json(stored) == checkpoint


@pytest.mark.parametrize("checkpoint", [checkpoint for _, checkpoint in OLD_FORMS])
def test_a_checkpoint_survives_the_ledger(checkpoint: CopyCheckpoint) -> None:
    stored = json.loads(json.dumps(checkpoint.to_json()))
    assert stored["version"] == VERSION
    assert CopyCheckpoint.from_json({**stored, "step": 3}) == checkpoint
    assert CopyCheckpoint.from_json(without_version(stored)) == checkpoint


def test_a_position_that_an_older_program_reached_counts() -> None:
    """It writes its own fields and keeps the others."""
    stored = {**CopyCheckpoint().begun(CHAIN, EMPTY).to_json(), "table": "", "after": [], "beside": None}
    assert CopyCheckpoint.from_json(stored) == CopyCheckpoint().begun(CHAIN, EMPTY).all_read()


def test_the_steps_of_a_copy_follow_each_other() -> None:
    begun = CopyCheckpoint().begun(CHAIN, EMPTY)
    assert (begun.phase, begun.resumed, CopyCheckpoint().resumed) == (CopyPhase.ROWS, True, False)
    pair = begun.written("memories", (900,), UnconfirmedBatch((400,), 500))
    assert pair.confirmed() == begun.written("memories", (900,))
    assert pair.written("memories", (950,)).unconfirmed is None
    done = pair.all_read()
    assert (done.phase, done.position, done.unconfirmed, done.chain) == (CopyPhase.FINISHING, None, None, CHAIN)
    assert done.begun(CHAIN, EMPTY).phase is CopyPhase.FINISHING


@pytest.mark.parametrize("version", [VERSION + 1, 99, "1", 1.0, True, None, -1])
def test_a_version_that_is_not_known_is_refused(version: object) -> None:
    with pytest.raises(CheckpointUnreadable, match="A newer vestige-tui wrote"):
        CopyCheckpoint.from_json({**CopyCheckpoint().begun(CHAIN, EMPTY).to_json(), "version": version})


@pytest.mark.parametrize(
    "stored",
    [
        {"chain": 5},
        {**BEGUN, "fresh": "memories"},
        {**BEGUN, "fresh": ["no table"]},
        {**BEGUN, "table": "memories"},
        {**BEGUN, "table": "no table", "after": [1]},
        {**BEGUN, "table": "memories", "after": "MDAwMC1hYQ=="},
        {**BEGUN, "table": "memories", "after": ["MDAwM"]},
        {**BEGUN, "table": "memories", "after": [1], "beside": {"after": [1]}},
        {**BEGUN, "table": "memories", "after": [1], "beside": 4},
        {**BEGUN, "encoded": 4},
    ],
)
def test_fields_that_cannot_be_read_are_refused(stored: dict[str, Any]) -> None:
    with pytest.raises(CheckpointUnreadable, match="The checkpoint of this copy cannot be read"):
        CopyCheckpoint.from_json(stored)


# A copy that is continued


@pytest.mark.slow
async def test_a_copy_continues_from_every_position_of_a_checkpoint_without_a_version(
    tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "source.db"
    await fill(path, 60)
    source, options = f"sqlite:{path}", {"batch": 10, "verify": True}
    whole, _ = await attempt(source, f"sqlite:{tmp_path / 'whole.db'}", **options)
    forms: set[frozenset[str]] = set()
    for steps in count(1):
        with stopped_after(steps, monkeypatch) as stopped:
            try:
                running, result = await attempt(source, target, **options)
                break
            except Refused:
                assert stopped
        stored = without_version(await stored_checkpoint(target))
        forms.add(frozenset(name for name, value in stored.items() if value))
        put_checkpoint(target, stored)
    assert result.endswith("every row is equal")
    assert running.meter.tables == whole.meter.tables
    begun = {"step", "chain", "fresh"}
    assert {frozenset(begun), frozenset({*begun, "table", "after"})} <= forms
    if target.startswith("postgres"):
        assert frozenset({*begun, "table", "after", "beside"}) in forms


@pytest.mark.parametrize("version", [VERSION + 1])
async def test_a_copy_that_a_newer_program_began_is_left_as_it_is(tmp_path: Path, target: str, version: int) -> None:
    path = tmp_path / "source.db"
    await fill(path, 20)
    with pytest.MonkeyPatch.context() as patch, stopped_after(3, patch), pytest.raises(Refused):
        await attempt(f"sqlite:{path}", target, batch=5)
    stored = {**await stored_checkpoint(target), "version": version}
    put_checkpoint(target, stored)
    with pytest.raises(CheckpointUnreadable, match="A newer vestige-tui wrote"):
        await attempt(f"sqlite:{path}", target, batch=5)
    assert await stored_checkpoint(target) == stored
    async with open_store(target) as store:
        [last, first] = await Ledger(store).jobs()
        assert (last.status, last.attempt, last.progress) == ("failed", 2, first.progress)
