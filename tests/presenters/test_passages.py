"""Passages: the part of a memory that matches, in the width that there is."""

from __future__ import annotations

import pytest

from vestige_tui.core.search import NO_TERMS, MatchTerms
from vestige_tui.core.text import cells, one_line
from vestige_tui.presenters.passages import passage_document, passage_parts
from vestige_tui.store.search.matches import terms_of
from vestige_tui.store.search.query_syntax import parse

FILLER = "Nothing of it stands here, and nothing there either. "
LONG = f"# Runbook for the gateway\n\n{FILLER * 8}The signing key is rotated every 90 days; old keys stay.\n\n{FILLER}"


def terms(query: str) -> MatchTerms:
    return terms_of(parse(query), ranked=True, revised_stems=True)


def line(content: str, query: str, width: int) -> str:
    return "".join(f"[{text}]" if matched else text for text, matched in passage_parts(content, terms(query), width))


def test_the_passage_with_the_most_words_is_shown() -> None:
    shown = line(f"keys of all kinds\n\n{LONG}", "rotate signing keys", 70)
    assert "[signing] [key] is [rotated]" in shown
    assert shown.startswith("…")
    assert shown.endswith("…")


def test_the_first_line_is_shown_where_no_other_part_has_more() -> None:
    assert line(LONG, "runbook", 40) == "[Runbook] for the gateway"
    assert line(LONG, "absent", 40) == one_line(LONG, 40)
    assert line("- keys first\n- then keys", "key", 40) == "[keys] first"


def test_a_line_that_matches_is_shown_without_its_marker() -> None:
    assert line("Title\n\n- [ ] rotate the keys\n", "rotate", 40) == "[rotate] the keys"


@pytest.mark.parametrize(
    "content", ["日本語のメモ crane 検索" * 3, "a\tb\x1b[31m\ncrane\u202e", "crane", f"{'é' * 300} crane {'y' * 300}"]
)
@pytest.mark.parametrize("width", [4, 12, 40, 200])
def test_a_passage_fits_and_is_plain(content: str, width: int) -> None:
    parts = passage_parts(content, MatchTerms(characters="CRANE"), width)
    shown = "".join(text for text, _ in parts)
    assert cells(shown) <= width
    assert not [letter for letter in shown if ord(letter) < 32 or letter == "\u202e"]
    if width >= 12:
        assert [text for text, matched in parts if matched][:1] == ["crane"]


def test_in_json_a_passage_is_a_part_of_the_text_with_offsets() -> None:
    document = passage_document(LONG, terms("rotate keys"))
    text, start = document["text"], document["start"]
    assert LONG[start : start + len(text)] == text
    assert [text[first:last] for first, last in document["highlights"]] == ["key", "rotated", "keys"]
    assert passage_document("alone", NO_TERMS) == {"text": "alone", "start": 0, "highlights": []}
    assert passage_document("", NO_TERMS) == {"text": "", "start": 0, "highlights": []}


def test_near_the_end_more_of_the_text_before_is_shown() -> None:
    shown = line(f"{'word ' * 60}only new keys.", "keys", 60)
    assert shown == f"…{'word ' * 8}only new [keys]."
