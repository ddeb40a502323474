"""Filters as they are typed: what is read, written back, and refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from vestige_tui.core.errors import Usage
from vestige_tui.core.filter_syntax import (
    FIELDS,
    BadChip,
    Chip,
    filter_of,
    normalized,
    read_chips,
    same_chips,
    split_chips,
    write_chips,
)
from vestige_tui.core.memories import Filter

NOW = datetime(2026, 3, 31, 22, 30, tzinfo=UTC)
VALUES = [
    "plain", "two words", 'say "hi"', '"', "\\", 'back\\slash "and" quote\\', "tab\there", "line\nbreak", "日本語 🔑",
    "[bold]x[/]", "\x1b[31m red", "a:b", "tag:x", " lead", "trail ", "-30d", "x" * 10_000, "‮evil", "'", '"half',
]  # fmt: skip


@pytest.fixture
def auckland(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine thirteen hours east, where summer time ends in the first days of April."""
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("value", VALUES)
def test_what_is_written_is_read_back(value: str) -> None:
    chips = (Chip("tag", value), Chip("domain", "auth"), Chip("tag", value[::-1]))
    assert split_chips(write_chips(chips), ended=True)[1] == chips
    assert read_chips(f"  {write_chips(chips)}  ") == chips
    # Pasted into a line, with a word behind.
    words, found = split_chips(f"{write_chips(chips)} rest")
    assert (words.strip(), found) == ("rest", chips)


def test_while_one_types_a_value_waits_for_its_end() -> None:
    assert split_chips("tag:a")[1] == ()
    assert split_chips('tag:"a b')[1] == ()
    assert split_chips('tag:"a \\" b')[1] == ()
    assert split_chips('tag:"a \\" b"')[1] == (Chip("tag", 'a " b'),)
    assert split_chips("http://x:80 tags:x note:")[1] == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "contains no filter"),
        ("words", "'words' has no field"),
        ("tag:a colour:red", "'colour': is not a filter field; the fields are domain, type"),
        ('tag:"open', "tag: has no valid value"),
        ("tag:", "tag: has no valid value"),
        ("since:2026-13-40", "is not valid"),
        ("recall:2", "from 0 to 1"),
        ("is:lost", "is: takes replaced or without-vector, not 'lost'"),
        ("\x1b]0;x\x07:y", "is not a filter field"),
    ],
)
def test_what_is_no_filter_is_refused_in_one_sentence(text: str, said: str) -> None:
    with pytest.raises(Usage) as refused:
        read_chips(text)
    assert said in refused.value.message
    assert refused.value.message.isprintable()


def test_a_chip_that_says_nothing_is_named() -> None:
    bad = Chip("until", "\x1b[2J" + "9" * 10_000)
    with pytest.raises(BadChip) as refused:
        filter_of([Chip("tag", "a"), bad], NOW)
    assert refused.value.chip == bad
    assert len(refused.value.message) < 140
    assert "\x1b" not in refused.value.message


@pytest.mark.parametrize(
    ("value", "share"), [("0.8", 0.8), (".8", 0.8), (">0.8", 0.8), ("≥.8", 0.8), (">=0.8", 0.8), ("80%", 0.8), ("0", 0)]
)
def test_recall_reads_as_people_write_it(value: str, share: float) -> None:
    assert filter_of([Chip("recall", value)], NOW).min_retrievability == pytest.approx(share)


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "1.01", "much", "<0.8", "", "800%"])
def test_recall_refuses_the_rest(value: str) -> None:
    with pytest.raises(BadChip, match="recall: takes a number from 0 to 1"):
        filter_of([Chip("recall", value)], NOW)


@pytest.mark.parametrize(
    ("value", "since"),
    [
        # It is half past eleven on the first of April there.
        ("today", "2026-03-31T11:00"),
        ("0d", "2026-03-31T11:00"),
        ("-1d", "2026-03-30T11:00"),
        ("1d", "2026-03-30T11:00"),
        ("1mo", "2026-02-28T11:00"),
        ("-2w", "2026-03-17T11:00"),
        ("-1y", "2025-03-31T11:00"),
        ("2026-04-02", "2026-04-01T11:00"),
        ("2026-04-06", "2026-04-05T12:00"),
        ("6mo", "2025-09-30T11:00"),
        ("-8mo", "2025-07-31T12:00"),
        ("-3h", "2026-03-31T19:30"),
        ("90min", "2026-03-31T21:00"),
        ("2026-04-01T00:00Z", "2026-04-01T00:00"),
    ],
)
@pytest.mark.usefixtures("auckland")
def test_days_begin_at_the_persons_midnight(value: str, since: str) -> None:
    moment = datetime.fromisoformat(since).replace(tzinfo=UTC)
    assert filter_of([Chip("since", value)], NOW).since == moment
    assert filter_of([Chip("until", value)], NOW).until == moment


@pytest.mark.parametrize("value", ["-99999y", "soon", "-", "30", "2026-02-30", "0001-01-01T00:00+14:00"])
def test_dates_that_are_none_are_refused(value: str) -> None:
    with pytest.raises(BadChip) as refused:
        filter_of([Chip("since", value)], NOW)
    assert "The time " in refused.value.message


def test_fields_come_together() -> None:
    chips = read_chips('type:a type:b domain:d tag:"t t" codebase:c owner:o recall:.5 is:replaced is:without-vector')
    assert filter_of(chips, NOW) == Filter(
        domains=("d",), tags=("t t",), node_types=("a", "b"), codebase="c", owner="o", min_retrievability=0.5,
        superseded=True, without_embedding=True,
    )  # fmt: skip
    assert {chip.field for chip in read_chips("since:-3d until:today")} | {chip.field for chip in chips} == set(FIELDS)


def test_one_value_of_a_field_that_takes_one_is_kept() -> None:
    chips = (Chip("codebase", "a"), Chip("tag", "x"), Chip("codebase", "b"), Chip("tag", "y"), Chip("tag", "x"))
    assert normalized(chips) == (Chip("tag", "x"), Chip("codebase", "b"), Chip("tag", "y"))
    assert same_chips(chips, (Chip("tag", "y"), Chip("codebase", "b"), Chip("tag", "x")))
    assert not same_chips(chips, chips[:3])
