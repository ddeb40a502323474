"""--as-of and diff: what the commands print for past moments."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command_line import SENTENCES, Command, sample_id


def listed(run: Command, sample: str, *arguments: str) -> set[str]:
    document = run("--store", sample, *arguments, "--json").json
    if "hits" in document:
        return {hit["memory"]["id"] for hit in document["hits"]}
    return {item["id"] for item in document["items"]}


def test_lists_and_searches_answer_for_the_moment(run: Command, sample: str) -> None:
    assert listed(run, sample, "list") == {sample_id(position) for position in range(5)}
    # Position 5 is replaced today; the last memory was created 55 days ago.
    assert listed(run, sample, "list", "--as-of", "-1h") == {sample_id(position) for position in range(6)}
    assert listed(run, sample, "--as-of", "-3d", "list") == listed(run, sample, "list", "--as-of", "-1h")
    early = {sample_id(position) for position in range(3)}
    assert listed(run, sample, "list", "--as-of", "-1390h") == early
    assert listed(run, sample, "search", "signing keys", "--mode", "text", "--as-of", "-1390h") == {sample_id(0)}
    assert listed(run, sample, "search", "signing keys", "--mode", "text", "--as-of", "-1h") == {
        sample_id(0),
        sample_id(5),
    }


def test_the_moment_is_named_on_stderr_and_texts_are_todays(run: Command, sample: str) -> None:
    run("--store", sample, "edit", sample_id(2), "--content", "A text of today.")
    ran = run("--store", sample, "list", "--as-of", "-1h")
    assert ran.err.startswith("As of 20")
    assert "Texts, tags and marks are those of today." in ran.err
    assert "text edited since" in next(line for line in ran.out.splitlines() if "A text of today" in line)
    assert ran.out.count("text edited since") == 1
    shown = run("--store", sample, "show", sample_id(2), "--as-of", "-1h")
    assert "Its text has been edited since this moment, last at 20" in shown.err
    document = run("--store", sample, "show", sample_id(2), "--as-of", "-1h", "--json").json
    assert document["text_edited_since"].startswith("20")
    assert "text_edited_since" not in run("--store", sample, "show", sample_id(2), "--json").json


def test_a_memory_of_later_is_unknown_then(run: Command, sample: str) -> None:
    ran = run("--store", sample, "show", sample_id(4), "--as-of", "-58d", "--json")
    assert ran.status == 1
    assert ran.json["error"]["code"] == "not_found"
    assert "did not exist yet at" in ran.json["error"]["message"]
    replaced = run("--store", sample, "show", sample_id(5), "--as-of", "-1h", "--json").json
    assert replaced["memory"]["superseded_by"] is None
    assert replaced["supersession"] == []
    assert run("--store", sample, "history", sample_id(5), "--as-of", "-1h", "--json").json["items"] == []


@pytest.mark.slow
def test_an_export_holds_what_there_was(run: Command, sample: str, tmp_path: Path) -> None:
    file = tmp_path / "then.jsonl"
    assert run("--store", sample, "export", str(file), "--as-of", "-45d").status == 0
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    kinds = [line.get("kind", "memory") for line in lines]
    # The link and the decision are of today, the reviews 40 days old.
    assert kinds == ["memory"] * 6
    run("--store", sample, "export", str(file), "--as-of", "-1h", "--yes")
    later = [json.loads(line).get("kind", "memory") for line in file.read_text(encoding="utf-8").splitlines()]
    assert sorted(later) == ["memory"] * 6 + ["review"] * 2


@pytest.mark.parametrize(
    "command", [("delete", sample_id(0)), ("add", "Text."), ("stats",), ("undo",), ("due",), ("diff", "--from", "-1d")]
)
def test_other_commands_refuse_a_moment(run: Command, sample: str, command: tuple[str, ...]) -> None:
    ran = run("--store", sample, *command, "--as-of", "-1d")
    assert ran.status == 2
    assert ran.err.startswith("--as-of works with search, list, show,")
    assert ("Use --from and --to." in ran.err) == (command[0] == "diff")
    assert listed(run, sample, "list") == {sample_id(position) for position in range(5)}


def test_an_invalid_moment_is_wrong_usage(run: Command, sample: str) -> None:
    ran = run("--store", sample, "list", "--as-of", "sometime")
    assert (ran.status, ran.out) == (2, "")
    assert "'sometime' is not valid" in ran.err


def test_diff_names_what_differs(run: Command, sample: str) -> None:
    run("--store", sample, "delete", sample_id(3))
    new = run("--store", sample, "add", "New today.", "--json").json["changed"][0]
    run("--store", sample, "unsupersede", sample_id(5))
    run("--store", sample, "supersede", sample_id(4), "--by", new)
    document = run("--store", sample, "diff", "--from", "-1h", "--json").json
    assert set(document) == {"from", "to", "counts", "appeared", "superseded", "active_again", "deleted"}
    assert document["counts"] == {"appeared": 1, "superseded": 1, "active_again": 0, "deleted": 1}
    assert [each["id"] for each in document["appeared"]] == [new]
    [replaced] = document["superseded"]
    assert (replaced["memory"]["id"], replaced["event"]["winner_id"]) == (sample_id(4), new)
    [deleted] = document["deleted"]
    assert (deleted["id"], deleted["content"]) == (sample_id(3), SENTENCES[3])
    text = run("--store", sample, "diff", "--from", "-1h").out
    assert "1 appeared, 1 replaced, 1 deleted." in text
    assert f"replaced by {new[:8]}, just now" in text
    assert "Deleted in between: 1" in text
    assert f"change {deleted['entry']}" in text
    whole = run("--store", sample, "diff", "--from", "2020-01-01", "--limit", "2")
    assert "Appeared: 5" in whole.out
    assert "3 more; --limit 5 shows them." in whole.err


def test_diff_of_equal_and_of_exchanged_moments(run: Command, sample: str) -> None:
    same = run("--store", sample, "diff", "--from", "2020-01-01", "--to", "2020-06-01")
    assert same.out.endswith(": Nothing differs between these moments.\n")
    exchanged = run("--store", sample, "diff", "--from", "-1d", "--to", "-2d")
    assert (exchanged.status, exchanged.out) == (2, "")
    assert "exchange the two" in exchanged.err
