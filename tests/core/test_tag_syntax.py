"""Typed tags and metadata: what is written is read back, and what cannot be read is named."""

from __future__ import annotations

from typing import Any

import pytest

from vestige_tui.core.errors import Usage
from vestige_tui.core.metadata_rows import read_metadata, write_metadata
from vestige_tui.core.tag_syntax import read_labels, read_tags, write_labels, write_tag

TAGS = ("plain", "two words", "a,b", "c++", "-minus", "+plus", 'say "hi"', '"', "back\\slash", "größe", "\u202ehidden")


@pytest.mark.parametrize(
    ("line", "add", "remove"),
    [
        ("+a -b c", ("a", "c"), ("b",)),
        ('+"two words" -"old one" "third one"', ("two words", "third one"), ("old one",)),
        ("+a,b c++", ("a,b", "c++"), ()),
        ('  +a   +a  -"a"  ', ("a",), ("a",)),
        (r'+"say \"hi\""', ('say "hi"',), ()),
        ("+-x", ("-x",), ()),
        ('key:"v w"', ('key:"v', 'w"'), ()),
    ],
)
def test_a_line_of_tags(line: str, add: tuple[str, ...], remove: tuple[str, ...]) -> None:
    assert read_tags(line) == (add, remove)


@pytest.mark.parametrize("line", ['+"open', "+", "-", '+""', '+" "', '"a"b'])
def test_a_line_that_cannot_be_read(line: str) -> None:
    with pytest.raises(Usage):
        read_tags(line)


@pytest.mark.parametrize("tag", TAGS)
def test_a_written_tag_is_read_back(tag: str) -> None:
    assert read_tags(f"+{write_tag(tag)} -{write_tag(tag)}") == ((tag,), (tag,))
    assert read_labels(write_labels([tag, "other", tag])) == (tag, "other")


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"source": "sample", "n": 1, "deep": {"a": [1, None, True]}, "empty": ""},
        {"key: with colon": 1, '"quoted"': "x", "": 2, " blanks ": [], "line\nbreak": "a\nb", "\u202e": "\ud800"},
    ],
)
def test_metadata_is_read_back(metadata: dict[str, Any]) -> None:
    assert read_metadata(write_metadata(metadata)) == metadata


def test_what_is_no_json_is_text_and_a_fault_names_its_line() -> None:
    assert read_metadata("a: hello world\n\nb: 1e999\nc:") == {"a": "hello world", "b": "1e999", "c": ""}
    for text, fault in (
        ("a: 1\nno key", "line 2: 'no key' has no key"),
        ("a: 1\na: 2", "line 2: the key 'a' occurs twice"),
        ('"open: 1', "line 1: write key: value"),
        (": 1", "line 1"),
        ("a: " + "[" * 20_000, "nested too deeply"),
    ):
        with pytest.raises(Usage) as caught:
            read_metadata(text)
        assert fault in caught.value.message
