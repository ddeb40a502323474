"""Saved filters in the settings file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from vestige_tui.config.reader import load_config
from vestige_tui.config.saved_filters import rewrite_outdated
from vestige_tui.config.writer import set_value
from vestige_tui.core.errors import ConfigError
from vestige_tui.core.filter_syntax import Chip, read_chips, write_chips


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "vestige.toml"


def test_filters_are_read_as_they_are_typed(file: Path) -> None:
    file.write_text('[filters]\nkeys = "tag:keys since:-30d"\n"two words" = \'tag:"a b"\'\na.b = "is:replaced"\n')
    assert load_config(file).filters == {
        "keys": "tag:keys since:-30d",
        "two words": 'tag:"a b"',
        "a.b": "with:replaced",
    }


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('bad = "colour:red"', "filters.bad: 'colour' is not a filter field; the fields are domain, type"),
        ('bad = "free words"', "filters.bad: 'free' has no field"),
        ('bad = ""', "filters.bad: it contains no filter"),
        ("bad = 3", 'filters.bad must be a filter in quotes, such as "type:decision since:-30d"'),
        ('bad = ["tag:a"]', "filters.bad must be a filter in quotes"),
        ('bad = "since:2026-13-01"', "filters.bad: The time '2026-13-01' is not valid"),
        ('bad = "is:evil"', "filters.bad: The filter 'is:' takes replaced, due, new"),
        ('bad = "recall:5"', "filters.bad: The filter 'recall:' takes a number from 0 to 1"),
        (r'bad = "\u001b]0;t\u0007:x"', r"filters.bad: '\x1b]0;t\x07' is not a filter field"),
        ('" bad" = "tag:a"', "starts or ends with a space"),
        (r'"\u001b[2J" = "tag:a"', "must be at most 40 printable characters"),
        (f'{"n" * 41} = "tag:a"', "must be at most 40 printable characters"),
    ],
)
def test_a_fault_names_file_line_and_key(file: Path, line: str, said: str) -> None:
    file.write_text(f'[ui]\ntheme = "nord"\n\n[filters]\ngood = "tag:a"\n{line}\n')
    with pytest.raises(ConfigError) as refused:
        load_config(file)
    message = refused.value.message
    assert message.startswith(f"{file}, line ")
    assert said in message
    assert message.count("\n") == 0
    assert "\x1b" not in message


def test_the_line_of_a_fault_is_the_keys(file: Path) -> None:
    file.write_text('[filters]\ngood = "tag:a"\n"two words" = "what"\n')
    with pytest.raises(ConfigError, match=r"line 3, column 15: filters\.two words: 'what' has no field"):
        load_config(file)


def test_filters_must_be_a_table(file: Path) -> None:
    file.write_text("filters = 3\n")
    with pytest.raises(ConfigError, match="line 1, column 11: filters must be a table"):
        load_config(file)


@pytest.mark.parametrize(
    "name", ["plain", "two words", "a.b", "日本語 🔑", '"quoted"', "[bold]x[/]", "#no comment", "'"]
)
def test_a_filter_is_written_and_taken_away_beside_what_is_there(file: Path, name: str) -> None:
    before = '# mine\n[ui]\ntheme = "nord" # dark\n\n[filters]\nkept = "tag:kept"\n'
    file.write_text(before)
    chips = (Chip("tag", 'two "words" \\ \x1b[31m [b]'), Chip("domain", "日本 🔑"), Chip("tag", "x" * 10_000))
    set_value(file, f"filters.{name}", write_chips(chips))
    assert "\x1b" not in file.read_text()
    known = load_config(file).filters
    assert set(known) == {"kept", name}
    assert read_chips(known[name]) == chips
    set_value(file, f"filters.{name}", None)
    assert file.read_text() == before


def test_what_could_not_be_read_back_is_not_written(file: Path) -> None:
    set_value(file, "filters.good", "tag:a")
    before = file.read_text()
    for name, text in (("bad", "what"), ("x" * 41, "tag:a"), ("good", "colour:red")):
        with pytest.raises(ConfigError):
            set_value(file, f"filters.{name}", text)
    assert file.read_text() == before


def test_a_filter_of_an_earlier_version_is_rewritten_beside_what_is_there(file: Path) -> None:
    file.write_text('# mine\n[filters]\nold = "tag:a is:replaced" # note\nnew = "tag:a +is:replaced"\n')
    config = load_config(file)
    assert dict(config.filters) == {"old": "tag:a with:replaced", "new": "tag:a +is:replaced"}
    rewritten, note = rewrite_outdated(config)
    assert note == (
        "is:replaced now shows only replaced memories; the saved filter old now says with:replaced "
        "and shows the same as before."
    )
    assert file.read_text() == '# mine\n[filters]\nold = "tag:a with:replaced" # note\nnew = "tag:a +is:replaced"\n'
    assert rewritten == replace(config, outdated_filters=())
    assert load_config(file).outdated_filters == ()
    assert rewrite_outdated(rewritten) == (rewritten, "")


def test_what_cannot_be_rewritten_is_read_alike_and_told(file: Path) -> None:
    file.write_text('[filters]\nold = "is:replaced"\n')
    config = load_config(file)
    file.write_text("[filters]\nold = 3\n")
    rewritten, note = rewrite_outdated(config)
    assert rewritten == config
    assert note.startswith(
        "is:replaced now shows only replaced memories; in the saved filter old it keeps its old meaning, with:replaced."
    )
    assert f"{file}, line 2" in note
    assert file.read_text() == "[filters]\nold = 3\n"
