"""The commands journal, undo and redo."""

from __future__ import annotations

import re

import pytest

from tests.support.command_line import FORBIDDEN_CHARACTERS, Command, sample_id

ENTRY = {"entry", "at", "actor", "origin", "verb", "ids", "undone_by"}


def test_an_undo_names_the_change_before_it_is_undone(run: Command, sample: str) -> None:
    old = sample_id(2)
    run("--store", sample, "tag", old, "+keys")
    undone = run("--store", sample, "undo")
    assert re.match(
        rf'Undoing change \d+ \(just now, command tag\): tag \+keys on {old[:8]} "Deploys .*"\n$', undone.err
    )
    assert undone.out.startswith(f'Undid: tag +keys on {old[:8]} "Deploys')
    redone = run("--store", sample, "redo")
    assert redone.err.startswith("Redoing change ")
    assert redone.out.startswith(f'Redid: tag +keys on {old[:8]} "Deploys')
    again = run("--store", sample, "redo")
    assert (again.status, again.err) == (1, "There is nothing to redo.\n")
    # A change that is chosen by its number needs no name.
    entry = run("--store", sample, "tag", old, "+more", "--json").json["undo"]
    assert run("--store", sample, "undo", str(entry)).err == ""
    run("--store", sample, "review", "suspend", old)
    assert run("--store", sample, "redo").status == 1
    assert run("--store", sample, "redo", str(entry + 1)).out.startswith(f"Redid: tag +more on {old[:8]}")


def test_the_journal_is_a_document(run: Command, sample: str) -> None:
    first, second = sample_id(2), sample_id(3)
    run("--store", sample, "tag", first, second, "+keys")
    run("--store", sample, "undo")
    document = run("--store", sample, "journal", "--json").json
    assert set(document) == {"items", "next"}
    assert all(set(item) == ENTRY for item in document["items"])
    undo, tagged, *_ = document["items"]
    assert (undo["verb"], undo["origin"], undo["undone_by"]) == ("undo", "command undo", None)
    assert (tagged["verb"], tagged["ids"], tagged["origin"]) == ("tag", [first, second], "command tag")
    assert tagged["undone_by"] == undo["entry"]


def test_the_journal_goes_on_after_an_entry(run: Command, sample: str) -> None:
    for number in range(3):
        run("--store", sample, "tag", sample_id(2), f"+t{number}")
    page = run("--store", sample, "journal", "--limit", "2", "--json").json
    assert page["next"] == str(page["items"][-1]["entry"])
    later = run("--store", sample, "journal", "--limit", "1", "--after", page["next"], "--json").json["items"]
    assert later[0]["entry"] == page["items"][-1]["entry"] - 1
    text = run("--store", sample, "journal", "--limit", "2")
    assert f"--after {page['next']}" in text.err
    assert [line.split()[0] for line in text.out.splitlines()] == [
        "entry",
        *(str(item["entry"]) for item in page["items"]),
    ]


@pytest.mark.slow
def test_the_journal_of_a_memory_and_of_a_user(run: Command, sample: str) -> None:
    memory = sample_id(2)
    run("--store", sample, "tag", memory, "+keys")
    run("--store", sample, "delete", memory)

    def verbs(*arguments: str) -> list[str]:
        document = run("--store", sample, "journal", *arguments, "--json").json
        return [item["verb"] for item in document["items"]]

    # A deleted memory is in the journal only.
    assert verbs("--memory", memory) == verbs("--memory", memory[:8]) == ["delete", "tag"]
    assert verbs("--memory", memory, "--since", "1990-01-01", "--limit", "1") == ["delete"]
    assert verbs("--memory", memory, "--since", "+1d", "--after", "999999") == []
    assert verbs("--actor", "nobody-of-this-name") == []
    unknown = run("--store", sample, "journal", "--memory", "0123456789ab")
    assert (unknown.status, unknown.out) == (1, "")
    assert run("--store", sample, "journal", "--memory", "0123").status == 1
    nothing = run("--store", sample, "journal", "--actor", "nobody-of-this-name")
    assert (nothing.status, nothing.err) == (0, "No entry of the journal matches.\n")


@pytest.mark.parametrize("command", ["undo", "redo"])
def test_what_does_not_exist_is_told(run: Command, sample: str, command: str) -> None:
    ran = run("--store", sample, command, "999999")
    assert (ran.status, ran.err) == (1, "There is no change 999999.\n")


def test_hostile_texts_are_harmless(run: Command, hostile_file: object) -> None:
    url = f"sqlite:{hostile_file}"
    text = run("--store", url, "--read-only", "journal").out
    assert not set(text) & FORBIDDEN_CHARACTERS
    assert len(text.splitlines()) == 6
