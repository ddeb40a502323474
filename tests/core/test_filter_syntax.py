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
    misspelled_field,
    nearest,
    normalized,
    read_chips,
    read_option,
    same_chips,
    saved_text,
    split_chips,
    upgraded_text,
    without_field,
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
        ("tag:a colour:red", "'colour' is not a filter field; the fields are domain, type"),
        ('tag:"open', "the filter 'tag:' has no valid value"),
        ("tag:", "the filter 'tag:' has no valid value"),
        ("since:2026-13-40", "is not valid"),
        ("recall:2", "from 0 to 1"),
        (
            "is:lost",
            "'is:' takes replaced, due, new, suspended, buried, leech, pinned or without-vector, not 'lost'",
        ),
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
    with pytest.raises(BadChip, match="The filter 'recall:' takes a number from 0 to 1"):
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
    chips = read_chips(
        'type:a type:b domain:d tag:"t t" codebase:c owner:o visibility:group group:g recall:.5 is:due is:new '
        "with:replaced"
    )
    assert filter_of(chips, NOW) == Filter(
        domains=("d",), tags=("t t",), node_types=("a", "b"), codebases=("c",), owner="o", min_retrievability=0.5,
        visibilities=("group",), groups=("g",), superseded=True, states=("due", "new"),
    )  # fmt: skip
    assert {chip.field for chip in read_chips("since:-3d until:today")} | {chip.field for chip in chips} == set(FIELDS)


def test_one_value_of_a_field_that_takes_one_is_kept() -> None:
    chips = (Chip("owner", "a"), Chip("tag", "x"), Chip("owner", "b"), Chip("tag", "y"), Chip("tag", "x"))
    assert normalized(chips) == (Chip("tag", "x"), Chip("owner", "b"), Chip("tag", "y"))
    assert same_chips(chips, (Chip("tag", "y"), Chip("owner", "b"), Chip("tag", "x")))
    assert not same_chips(chips, chips[:3])


@pytest.mark.parametrize(
    ("text", "words", "chips"),
    [
        ("+tag:a -tag:b", "", (Chip("tag", "a", "+"), Chip("tag", "b", "-"))),
        ('-tag:"two words" x', "x", (Chip("tag", "two words", "-"),)),
        ('-"tag:x"', '-"tag:x"', ()),
        ("tag:c++ -tag:c++", "", (Chip("tag", "c++"), Chip("tag", "c++", "-"))),
        ("a+tag:x", "a+tag:x", ()),
        ("--tag:x", "--tag:x", ()),
        ("+word -other", "+word -other", ()),
        ("- tag:x", "- ", (Chip("tag", "x"),)),
        ("std::vector http://x:80 -std::map", "std::vector http://x:80 -std::map", ()),
        ("-is:due +is:new", "", (Chip("is", "due", "-"), Chip("is", "new", "+"))),
    ],
)
def test_a_sign_counts_only_before_the_name_of_a_field(text: str, words: str, chips: tuple[Chip, ...]) -> None:
    assert split_chips(text, ended=True) == (words, chips)


@pytest.mark.parametrize("sign", ["", "+", "-"])
@pytest.mark.parametrize("value", VALUES)
def test_a_signed_chip_is_read_back(value: str, sign: str) -> None:
    chips = (Chip("tag", value, sign), Chip("codebase", value, sign))
    assert split_chips(write_chips(chips), ended=True) == ("", chips)


def test_signs_are_any_all_and_none() -> None:
    chips = read_chips(
        "tag:a +tag:b -tag:c domain:a +domain:b -domain:c type:a +type:b -type:c codebase:a +codebase:b -codebase:c "
        "owner:a -owner:c is:due -is:new +is:leech visibility:group +visibility:public -visibility:private "
        "group:a +group:b -group:c"
    )
    assert filter_of(chips, NOW) == Filter(
        tags=("a",), all_tags=("b",), no_tags=("c",), domains=("a",), all_domains=("b",), no_domains=("c",),
        node_types=("a",), all_node_types=("b",), no_node_types=("c",), codebases=("a",), all_codebases=("b",),
        no_codebases=("c",), owner="a", no_owners=("c",), states=("due", "leech"), no_states=("new",),
        visibilities=("group",), all_visibilities=("public",), no_visibilities=("private",), groups=("a",),
        all_groups=("b",), no_groups=("c",),
    )  # fmt: skip


@pytest.mark.parametrize("chip", [Chip("since", "-3d", "-"), Chip("recall", ".8", "-"), Chip("with", "replaced", "-")])
def test_a_field_that_takes_no_sign_says_so(chip: Chip) -> None:
    with pytest.raises(BadChip, match=f"The filter '{chip.field}:' takes no - before it") as refused:
        filter_of([chip], NOW)
    assert refused.value.chip == chip


def test_the_values_that_narrow_one_another_stay_when_a_field_is_asked_for_its_values() -> None:
    chips = read_chips("tag:a +tag:b -tag:c type:d")
    assert without_field(chips, "tag") == read_chips("+tag:b -tag:c type:d")


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("tga", "tag"), ("tags", "tag"), ("TYPE", None), ("doman", "domain"), ("codbase", "codebase"), ("si", "is"),
        ("untill", "until"), ("std", None), ("http", None), ("c", None), ("note", None), ("", None),
        ("x" * 10_000, None),
    ],
)  # fmt: skip
def test_a_misspelled_name_is_recognised_within_two_letters(name: str, close: str | None) -> None:
    assert nearest(name, FIELDS) == close


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("find tga:x now", "The query searches for 'tga:' as a word; the filter is 'tag:'"),
        ("-Tags:x", "The query searches for 'Tags:' as a word; the filter is 'tag:'"),
        ("std::vector http://a tags: \x1b[31m:x tag:half", ""),
    ],
)
def test_a_search_line_hints_at_a_misspelled_field(words: str, hint: str) -> None:
    assert misspelled_field(words) == hint


def test_an_option_says_which_field_was_meant() -> None:
    assert read_option("tag:two words") == Chip("tag", "two words")
    assert read_option('tag:"x"') == Chip("tag", '"x"')
    for text, said in (
        ("tga:x", "did you mean tag:?"),
        ("colour:x", "the fields are domain"),
        ("tag:", "is not FIELD:VALUE"),
        ("tag", "is not FIELD:VALUE"),
        ("since:-3d", "The filter 'since:' cannot be excluded"),
    ):
        with pytest.raises(Usage) as refused:
            read_option(text)
        assert said in refused.value.message
    with pytest.raises(BadChip, match=r"not 'supended'; did you mean suspended\?"):
        filter_of([Chip("is", "supended")], NOW)


def test_a_saved_filter_of_an_earlier_version_still_includes_replaced_memories() -> None:
    assert upgraded_text('tag:"a b" is:replaced -tag:c') == 'tag:"a b" with:replaced -tag:c'
    for text in ("tag:x is:due", "+is:replaced", "with:replaced", "not a filter is:replaced"):
        assert upgraded_text(text) == text
    # What is saved today is not taken for that of an earlier version.
    chips = (Chip("is", "replaced"), Chip("tag", "x"))
    assert filter_of(read_chips(upgraded_text(saved_text(chips))), NOW) == filter_of(chips, NOW)
