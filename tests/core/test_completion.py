"""Completion of the last word of a filter line."""

from __future__ import annotations

from pathlib import Path

import pytest

from vestige_tui.core.completion import (
    Completion,
    complete_value,
    complete_word,
    paths_from,
    unfinished_field,
    unfinished_id,
    unfinished_path,
)

VALUES = ["security", "sec", 'say "hi"', "two words", "c++", "\x1b[31mevil", "\u65e5\u672c\u8a9e"]


@pytest.mark.parametrize(
    ("line", "shown", "accepted"),
    [
        ("tag:se", "tag:security", "tag:security "),
        ("keys -tag:SEC", "keys -tag:SECurity", "keys -tag:security "),
        ("+tag:two", "+tag:two words", '+tag:"two words" '),
        ('tag:"two w', 'tag:"two words', 'tag:"two words" '),
        ("tag:say", 'tag:say "hi"', 'tag:"say \\"hi\\"" '),
        ("tag:\u65e5", "tag:\u65e5\u672c\u8a9e", "tag:\u65e5\u672c\u8a9e "),
    ],
)
def test_the_value_of_a_filter_is_completed(line: str, shown: str, accepted: str) -> None:
    assert complete_value(line, VALUES) == Completion(shown, accepted)


@pytest.mark.parametrize(
    "line", ["", "tag:", "tag:security", "tag:x", "tag:\x1b", "atag:se", "tag:se ", '-"tag:se', "std::se", "se"]
)
def test_nothing_else_is_completed(line: str) -> None:
    assert complete_value(line, VALUES) is None


def test_the_kind_of_the_last_word() -> None:
    assert unfinished_field("keys -owner:mi") == "owner"
    assert unfinished_field("std::vec") is None
    assert unfinished_id("about 0f9d2c") == "0f9d2c"
    assert unfinished_id("about 0f9d2") is None
    assert [unfinished_path(line) for line in ("see ~/a", "./x", "/etc", "a/b", "http://x")] == [
        "~/a", "./x", "/etc", None, None,
    ]  # fmt: skip
    assert complete_word("about 0f9d2c", "0f9d2c", ["0f9d2c61-5a77"]) == Completion(
        "about 0f9d2c61-5a77", "about 0f9d2c61-5a77"
    )


def test_paths_are_those_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    for name in ("notes.txt", "with space", ".hidden", "other"):
        (tmp_path / name).touch()
    assert paths_from(f"{tmp_path}/no") == [f"{tmp_path}/notes.txt", f"{tmp_path}/notes/"]
    assert paths_from(f"{tmp_path}/.h") == [f"{tmp_path}/.hidden"]
    assert f"{tmp_path}/with space" not in paths_from(f"{tmp_path}/")
    with pytest.raises(OSError, match="nowhere"):
        paths_from(f"{tmp_path}/nowhere/x")
