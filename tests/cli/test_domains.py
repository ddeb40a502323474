"""Commands for domains, as a person runs them: what they print, change and undo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import Command, copy_store, sample_id


@pytest.fixture
def demo_store(demo_file: Path, tmp_path: Path) -> str:
    return f"sqlite:{copy_store(demo_file, tmp_path / 'demo.db')}"


@pytest.fixture
def names(run: Command, sample: str) -> Any:
    """Return the names of the sample store's domains with the numbers of their memories."""

    def names() -> dict[str, int]:
        listed = run("--store", sample, "domains", "list", "--json").json
        assert listed["next"] is None
        return {each["name"]: each["memories"] for each in listed["items"]}

    return names


def test_domains_are_listed_and_shown(run: Command, sample: str) -> None:
    ran = run("--store", sample, "domains", "list")
    assert [line.split()[0] for line in ran.out.splitlines()] == ["domain", "infra"]
    ran = run("--store", sample, "domains", "set", "infra", "--label", "Servers", "--json")
    assert ran.json["domain"]["label"] == "Servers"
    assert ran.json["domain"]["has_row"]
    assert isinstance(ran.json["undo"], int)
    shown = run("--store", sample, "domains", "show", "infra")
    assert "Servers" in shown.out
    assert run("--store", sample, "domains", "show", "infra", "--json").json["domain"] == ran.json["domain"]
    assert run("--store", sample, "domains", "show", "nothing").status == 1


def test_a_rename_is_previewed_and_undone(run: Command, sample: str, names: Any) -> None:
    before = names()
    preview = run("--store", sample, "domains", "rename", "infra", "servers", "--dry-run", "--json").json
    assert (preview["verb"], len(preview["ids"])) == ("rename_domain", before["infra"])
    text = run("--store", sample, "domains", "rename", "infra", "servers", "--dry-run")
    assert f"Rename domain infra → servers in {before['infra']} memories?" in text.out
    assert names() == before
    ran = run("--store", sample, "domains", "rename", "infra", "servers")
    assert ran.out.startswith(f"Renamed domain infra → servers in {before['infra']} memories  Undo: ")
    assert names() == {"servers": before["infra"]}
    assert "Undid: rename domain infra → servers" in run("--store", sample, "undo").out
    assert names() == before


def test_a_merge_and_a_deletion(run: Command, sample: str, names: Any) -> None:
    before = names()
    assert run("--store", sample, "edit", sample_id(0), "--domain", "other").status == 0
    ran = run("--store", sample, "domains", "merge", "other", "--into", "infra")
    assert ran.out.startswith("Merged domains other → infra in ")
    assert names() == before
    ran = run("--store", sample, "domains", "delete", "infra", "--json")
    assert len(ran.json["changed"]) == before["infra"]
    assert names() == {}
    assert "No domains yet." in run("--store", sample, "domains", "list").err


def test_the_undo_of_a_row_says_what_it_undid(run: Command, sample: str, names: Any) -> None:
    assert run("--store", sample, "domains", "set", "empty").out.startswith("Set domain empty  Undo: ")
    assert run("--store", sample, "undo").out.startswith("Undid: set domain empty")
    assert "empty" not in names()
    assert run("--store", sample, "redo").out.startswith("Redid: set domain empty")
    assert names()["empty"] == 0


def test_refusals_name_the_remedy(run: Command, sample: str) -> None:
    run("--store", sample, "edit", sample_id(0), "--domain", "other")
    ran = run("--store", sample, "domains", "rename", "other", "infra")
    assert (ran.status, ran.err) == (2, "A domain 'infra' exists; merge 'other' into it instead.\n")
    ran = run("--store", sample, "domains", "delete", "nothing")
    assert (ran.status, ran.err) == (1, "No domain is called 'nothing'.\n")


@pytest.mark.slow
def test_classify_ranks_and_adds_the_nearest_domain(run: Command, demo_store: str) -> None:
    ran = run("--store", demo_store, "classify", "890fd2")
    assert "Nearest domain: auth ." in ran.out
    assert " ahead of " in ran.out
    run("--store", demo_store, "edit", "890fd2", "--domain", "")
    applied = run("--store", demo_store, "classify", "890fd2", "--apply", "--json").json
    assert applied["classification"]["scores"][0]["name"] == "auth"
    assert applied["classification"]["margin"] > 0
    memory = run("--store", demo_store, "show", "890fd2", "--json").json["memory"]
    score = applied["classification"]["scores"][0]["similarity"]
    assert (memory["domains"], memory["domain_scores"]) == (["auth"], {"auth": pytest.approx(score, abs=1e-6)})
    again = run("--store", demo_store, "classify", "890fd2", "--apply", "--json").json
    assert (again["changed"], again["undo"]) == ([], None)
