"""Decision of a catch-up pass about one row: a table of every combination of facts."""

from __future__ import annotations

from itertools import product

import pytest

from vestige_tui.transfer.catchup_decisions import (
    RowAction,
    RowFacts,
    RowRecord,
    TargetRow,
    decide,
    decide_update,
    record_of,
)
from vestige_tui.transfer.protocols import WriteOutcome
from vestige_tui.transfer.sync_state import (
    DELETED,
    EDIT_REFUSED,
    EQUAL,
    OWNED,
    REFUSED,
    REPORTED,
    RowState,
    updated_states,
)

COLUMNS = tuple(product((False, True), repeat=3))
"""Facts of the eight columns of the table: (edited, owned_table, blind)."""

TABLE = """
                         as recorded                    edited in the source
                         other table     owned table    other table     owned table
                         known   blind   known   blind  known   blind   known   blind
missing   none           -       -       -       -      INSERT  INSERT  INSERT  INSERT
missing   failed         -       -       -       -      RETRY   RETRY   RETRY   RETRY
missing   refused        NOTHING NOTHING RETRY   RETRY  RETRY   RETRY   RETRY   RETRY
missing   deleted        INSERT  INSERT  INSERT  INSERT INSERT  INSERT  INSERT  INSERT
missing   unsynced       INSERT  INSERT  INSERT  INSERT INSERT  INSERT  INSERT  INSERT
missing   synced         GONE    GONE    NOTHING NOTHING GONE   GONE    NOTHING NOTHING
missing   edit_refused   GONE    GONE    NOTHING NOTHING GONE   GONE    NOTHING NOTHING
missing   reported       NOTHING NOTHING NOTHING NOTHING NOTHING NOTHING NOTHING NOTHING

equal     none           -       -       -       -      PRESENT EQUAL   PRESENT EQUAL
equal     failed         -       -       -       -      RETRY   EQUAL   RETRY   EQUAL
equal     refused        EQUAL   EQUAL   EQUAL   EQUAL  EQUAL   EQUAL   EQUAL   EQUAL
equal     deleted        PRESENT EQUAL   PRESENT EQUAL  PRESENT EQUAL   PRESENT EQUAL
equal     unsynced       EQUAL   EQUAL   EQUAL   EQUAL  EQUAL   EQUAL   EQUAL   EQUAL
equal     synced         NOTHING NOTHING NOTHING NOTHING EQUAL  EQUAL   EQUAL   EQUAL
equal     edit_refused   EQUAL   EQUAL   EQUAL   EQUAL  EQUAL   EQUAL   EQUAL   EQUAL
equal     reported       EQUAL   EQUAL   EQUAL   EQUAL  EQUAL   EQUAL   EQUAL   EQUAL

different none           -       -       -       -      PRESENT NOTHING PRESENT NOTHING
different failed         -       -       -       -      RETRY   NOTHING RETRY   NOTHING
different refused        NOTHING NOTHING NOTHING NOTHING NOTHING NOTHING NOTHING NOTHING
different deleted        PRESENT NOTHING PRESENT NOTHING PRESENT NOTHING PRESENT NOTHING
different unsynced       NOTHING NOTHING NOTHING NOTHING NOTHING NOTHING NOTHING NOTHING
different synced         EDITED  EDITED  EDITED  EDITED UPDATE  UPDATE  UPDATE  UPDATE
different edit_refused   NOTHING NOTHING NOTHING NOTHING UPDATE UPDATE  UPDATE  UPDATE
different reported       NOTHING NOTHING NOTHING NOTHING NOTHING NOTHING NOTHING NOTHING

taken     none           -       -       -       -      PRESENT NOTHING PRESENT NOTHING
taken     failed         -       -       -       -      RETRY   NOTHING RETRY   NOTHING
taken     refused        NOTHING NOTHING NOTHING NOTHING NOTHING NOTHING NOTHING NOTHING
taken     deleted        PRESENT NOTHING PRESENT NOTHING PRESENT NOTHING PRESENT NOTHING
taken     unsynced       NOTHING NOTHING NOTHING NOTHING NOTHING NOTHING NOTHING NOTHING
taken     synced         NOTHING NOTHING NOTHING NOTHING NOTHING NOTHING NOTHING NOTHING
taken     edit_refused   NOTHING NOTHING NOTHING NOTHING NOTHING NOTHING NOTHING NOTHING
taken     reported       NOTHING NOTHING NOTHING NOTHING NOTHING NOTHING NOTHING NOTHING
"""
"""A dash is an impossible combination: a row without a recorded state cannot be as recorded."""

ACTIONS = {
    "NOTHING": RowAction.NOTHING,
    "INSERT": RowAction.INSERT,
    "RETRY": RowAction.RETRY,
    "UPDATE": RowAction.UPDATE,
    "PRESENT": RowAction.COUNT_PRESENT,
    "EQUAL": RowAction.RECORD_EQUAL,
    "GONE": RowAction.REPORT_DELETED,
    "EDITED": RowAction.REPORT_EDITED,
}
IMPOSSIBLE = "-"


def cases() -> dict[RowFacts, str]:
    """Return the word of the table for each combination of facts."""
    words: dict[RowFacts, str] = {}
    for line in filter(None, map(str.split, TABLE.splitlines())):
        if line[0] not in {target.value for target in TargetRow}:
            continue
        target, record, *columns = line
        for (edited, owned_table, blind), word in zip(COLUMNS, columns, strict=True):
            words[RowFacts(TargetRow(target), RowRecord[record.upper()], edited, owned_table, blind)] = word
    return words


def test_the_table_has_every_combination_of_facts() -> None:
    booleans = (False, True)
    assert set(cases()) == {RowFacts(*facts) for facts in product(TargetRow, RowRecord, booleans, booleans, booleans)}


def test_only_rows_without_a_recorded_state_are_impossible_unedited() -> None:
    impossible = {facts for facts, word in cases().items() if word == IMPOSSIBLE}
    without_state = (RowRecord.NONE, RowRecord.FAILED)
    assert impossible == {facts for facts in cases() if facts.record in without_state and not facts.edited}


@pytest.mark.parametrize("target", TargetRow)
def test_each_combination_of_facts_has_its_action(target: TargetRow) -> None:
    decisions = {
        facts: (decide(facts), ACTIONS[word])
        for facts, word in cases().items()
        if facts.target is target and word != IMPOSSIBLE
    }
    assert decisions
    assert {facts: pair for facts, pair in decisions.items() if pair[0] is not pair[1]} == {}


def test_every_action_but_the_one_after_a_second_look_is_decided() -> None:
    assert {decide(facts) for facts in cases()} == set(RowAction) - {RowAction.REPORT_EDITED_TWICE}


@pytest.mark.parametrize(
    ("target_stamp", "recorded_stamp", "action"),
    [
        (None, 7, RowAction.NOTHING),
        (None, 0, RowAction.NOTHING),
        (7, 7, RowAction.UPDATE),
        (0, 0, RowAction.UPDATE),
        (8, 7, RowAction.REPORT_EDITED_TWICE),
        (6, 7, RowAction.REPORT_EDITED_TWICE),
        (0, 7, RowAction.REPORT_EDITED_TWICE),
    ],
)
def test_an_update_overwrites_only_the_recorded_row(
    target_stamp: int | None, recorded_stamp: int, action: RowAction
) -> None:
    assert decide_update(target_stamp, recorded_stamp) is action


RECORDS = {
    0: RowRecord.UNSYNCED,
    OWNED: RowRecord.SYNCED,
    EQUAL: RowRecord.SYNCED,
    OWNED | EQUAL: RowRecord.SYNCED,
    REFUSED: RowRecord.REFUSED,
    DELETED: RowRecord.DELETED,
    EQUAL | EDIT_REFUSED: RowRecord.EDIT_REFUSED,
    OWNED | EQUAL | EDIT_REFUSED: RowRecord.EDIT_REFUSED,
    OWNED | REPORTED: RowRecord.REPORTED,
    EQUAL | REPORTED: RowRecord.REPORTED,
    OWNED | EQUAL | REPORTED: RowRecord.REPORTED,
    EQUAL | EDIT_REFUSED | REPORTED: RowRecord.REPORTED,
    OWNED | EQUAL | EDIT_REFUSED | REPORTED: RowRecord.REPORTED,
}
"""Every set of flags that a copy writes."""


@pytest.mark.parametrize(("flags", "record"), RECORDS.items())
@pytest.mark.parametrize("failed", [False, True])
def test_the_flags_of_a_row_are_one_record(flags: int, record: RowRecord, failed: bool) -> None:
    assert record_of(RowState(1, 2, 3, flags), failed=failed) is record


def test_a_row_without_a_state_is_new_or_has_failed() -> None:
    assert record_of(None, failed=False) is RowRecord.NONE
    assert record_of(None, failed=True) is RowRecord.FAILED


@pytest.mark.parametrize("known_flags", [OWNED, EQUAL, OWNED | EQUAL, EQUAL | EDIT_REFUSED])
def test_what_is_recorded_of_an_update_is_what_the_target_has(known_flags: int) -> None:
    keys = range(3)
    known_states = [RowState(key, content_hash=10, stamp=20, flags=known_flags) for key in keys]
    states = [RowState(key, content_hash=11, stamp=21, flags=0) for key in keys]
    outcome = WriteOutcome(1, present=frozenset({1}), refused={2: "not this"})
    updated, refused = updated_states(states, known_states, outcome)
    assert updated == RowState(0, 11, 21, known_flags & OWNED | EQUAL)
    assert refused == RowState(2, 11, 20, known_flags | EQUAL | EDIT_REFUSED)
    assert record_of(updated, failed=False) is RowRecord.SYNCED
    assert record_of(refused, failed=False) is RowRecord.EDIT_REFUSED
