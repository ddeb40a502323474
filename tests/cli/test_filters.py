"""The options that narrow what a command is about, and saved filters."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.command_line import Command, sample_id
from vestige_tui.core.memories import LOCAL_USER


@pytest.fixture
def saved(home: Path) -> Path:
    """A settings file with filters in its usual place."""
    file = home / ".vestige" / "vestige.toml"
    file.parent.mkdir()
    file.write_text('[filters]\n"about keys" = "tag:security is:replaced"\nlate = "since:-57d type:fact"\n')
    return file


def ids(ran_json: dict[str, list[dict[str, object]]]) -> set[object]:
    return {item["id"] for item in ran_json["items"]}


@pytest.mark.slow
@pytest.mark.parametrize("owner", ["local", "LOCAL", "Local User", LOCAL_USER])
def test_an_owner_goes_by_handle_name_or_id(run: Command, sample: str, owner: str) -> None:
    everything = ids(run("--json", "list", "--store", sample).json)
    assert ids(run("--json", "list", "--store", sample, "--owner", owner).json) == everything
    for command in (["search", "keys"], ["list"], ["due"], ["due", "--count"], ["forecast"]):
        ran = run("--json", *command, "--store", sample, "--owner", owner)
        assert ran.status == 0, ran.err


@pytest.mark.parametrize("command", [["search", "keys"], ["list"], ["due"], ["forecast"], ["export", "-"]])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--owner", "nobody"], "No owner is called 'nobody'."),
        (["--since", "soon"], "The time 'soon' is not valid"),
        (["--filter", "abuot keys"], "There is no saved filter 'abuot keys'; did you mean about keys?"),
        (
            ["--filter", "\x1b[2J"],
            "There is no saved filter '\\x1b[2J'; saved filters are in [filters] of the settings.",
        ),
    ],
)
@pytest.mark.usefixtures("saved")
def test_what_cannot_be_meant_is_one_sentence(
    run: Command, sample: str, command: list[str], options: list[str], said: str
) -> None:
    ran = run(*command, "--store", sample, *options)
    assert ran.status == 2
    assert ran.err.startswith(said)
    assert ran.err.count("\n") == 1
    assert ran.out == ""


@pytest.mark.usefixtures("saved")
def test_a_saved_filter_and_options_besides(run: Command, sample: str, home: Path) -> None:
    def listed(*options: str) -> set[object]:
        return ids(run("--json", "list", "--store", sample, *options).json)

    typed = listed("--tag", "security", "--superseded")
    assert typed
    assert listed("--filter", "about keys") == typed
    # Of a field with several values any counts, and of one with one value the option.
    assert listed("--filter", "about keys", "--tag", "nosuch") == typed
    assert listed("--filter", "late") == listed("--since", "-57d", "--type", "fact")
    assert listed("--filter", "late", "--since", "-1000d") == listed("--type", "fact")
    assert listed("--filter", "late", "--until", "-1000d") == set()
    # Today's form, written at the first use.
    assert '"about keys" = "tag:security with:replaced"' in (home / ".vestige" / "vestige.toml").read_text()
    found = run("--json", "search", "keys", "--store", sample, "--filter", "about keys").json["hits"]
    assert {hit["memory"]["id"] for hit in found} <= typed
    assert found


def test_a_wrong_saved_filter_is_said_with_its_line(run: Command, sample: str, saved: Path) -> None:
    saved.write_text('[filters]\nbad = "colour:red"\n')
    ran = run("list", "--store", sample, "--filter", "bad")
    assert ran.status == 1
    assert ran.err.startswith(f"{saved}, line 2, column 7: filters.bad: 'colour' is not a filter field")


def test_what_lacks_a_vector(run: Command, sample: str) -> None:
    options = ("--store", sample, "--without-vector")
    assert run("--json", "list", *options).json["items"] == []
    with closing(sqlite3.connect(sample.removeprefix("sqlite:"))) as file, file:
        file.execute("DELETE FROM node_embeddings WHERE node_id = ?", (sample_id(1),))
    assert ids(run("--json", "list", *options).json) == {sample_id(1)}
    found = run("--json", "search", "nightly keys", "--mode", "text", *options).json["hits"]
    assert [hit["memory"]["id"] for hit in found] == [sample_id(1)]


@pytest.mark.slow
def test_the_states_signs_and_exclusions_of_the_options(run: Command, sample: str) -> None:
    def listed(*options: str) -> set[object]:
        ran = run("--json", "list", "--limit", "1000", "--store", sample, *options)
        assert ran.status == 0, ran.err
        return ids(ran.json)

    everything, active = listed("--with", "replaced"), listed()
    assert everything == listed("--superseded")
    assert listed("--is", "replaced") == everything - active != set()
    assert listed("--is", "replaced", "--not", "is:replaced") == set()
    assert listed("--is", "due") == ids(run("--json", "due", "--store", sample).json)
    assert listed("--is", "new") | listed("--not", "is:new") == active
    assert run("review", "suspend", sample_id(1), "--store", sample).status == 0
    assert listed("--is", "suspended") == {sample_id(1)}
    assert listed("--is", "suspended", "--is", "buried") == set()
    tagged = {tag: listed("--tag", tag) for tag in ("security", "ops")}
    assert listed("--all-tag", "security", "--all-tag", "ops") == tagged["security"] & tagged["ops"]
    assert listed("--tag", "security", "--tag", "ops") == tagged["security"] | tagged["ops"]
    assert listed("--not", "tag:security", "--not", "tag:ops") == active - tagged["security"] - tagged["ops"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--is", "supended"], "not 'supended'; did you mean suspended?"),
        (["--with", "deleted"], "The filter 'with:' takes replaced, not 'deleted'."),
        (["--not", "tga:x"], "'tga' is not a filter field; did you mean tag:?"),
        (["--not", "draft"], "'draft' is not FIELD:VALUE, such as tag:draft."),
        (["--not", "owner:nobody"], "No owner is called 'nobody'."),
    ],
)
def test_a_misspelled_option_names_the_nearest_one(run: Command, sample: str, options: list[str], said: str) -> None:
    ran = run("list", "--store", sample, *options)
    assert (ran.status, ran.out) == (2, "")
    assert said in ran.err


def test_a_search_hints_at_a_misspelled_filter(run: Command, sample: str) -> None:
    ran = run("search", "keys", "tga:security", "--mode", "text", "--store", sample)
    assert ran.status == 0
    assert "The query searches for 'tga:' as a word; the filter is 'tag:'" in ran.err
    assert "searches for" not in run("search", "std::vector", "keys", "--mode", "text", "--store", sample).err


@pytest.mark.usefixtures("saved")
def test_a_rewritten_filter_is_told_once(run: Command, sample: str) -> None:
    ran = run("--json", "list", "--store", sample, "--filter", "about keys")
    expected = ids(ran.json)
    assert "the saved filter about keys now says with:replaced and shows the same as before." in ran.err
    again = run("--json", "list", "--store", sample, "--filter", "about keys")
    assert (ids(again.json), again.err) == (expected, "")


def test_pins_and_marks_of_the_shell(run: Command, sample: str) -> None:
    def pinned() -> set[object]:
        return ids(run("--json", "list", "--store", sample, "--is", "pinned").json)

    ran = run("pin", sample_id(1), sample_id(2), "--store", sample)
    assert ran.out.startswith("Pinned 2 memories")
    assert pinned() == {sample_id(1), sample_id(2)}
    shown = run("--json", "show", sample_id(1), "--store", sample).json["memory"]["marks"]
    assert shown == {"suspended": False, "buried_until": None, "leech": False, "pinned": True}
    assert "marks" in run("list", "--store", sample).out.splitlines()[0]
    assert "pinned" in run("show", sample_id(1), "--store", sample).out
    assert run("pin", sample_id(1), "--store", sample, "--json").json == {"changed": [], "undo": None}
    ran = run("delete", sample_id(1), sample_id(3), "--yes", "--store", sample)
    assert "because it is pinned" in ran.err or "left out" in ran.out
    assert pinned() == {sample_id(1), sample_id(2)}
    run("delete", sample_id(1), sample_id(2), "--yes", "--store", sample)
    assert pinned() == {sample_id(1), sample_id(2)}
    assert run("unpin", sample_id(2), "--store", sample).out.startswith("Unpinned ")
    assert run("review", "suspend", sample_id(1), "--store", sample).status == 0
    assert run("review", "clear", sample_id(1), "--store", sample).out.startswith("Cleared the marks of ")
    assert pinned() == set()
    assert run("undo", "--store", sample).out.startswith("Undid: clear suspended, pinned on ")
    assert pinned() == {sample_id(1)}
