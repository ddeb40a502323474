"""add, edit, tag, delete, undo, review, link, supersede: what changes, and how it is taken back."""

from __future__ import annotations

import os
import re
import stat
import sys
from pathlib import Path

import pytest

from tests.support.command_line import SENTENCES, Answer, Command, run_process, sample_id
from tests.support.editor_scripts import sets, types, writes
from vestige_tui.core.memory_template import TEXT_LINE


def content(run: Command, store: str, memory_id: str) -> str:
    shown = run("--store", store, "--json", "show", memory_id).json
    text: str = shown["memory"]["content"]
    return text


def test_add_makes_the_store_and_undo_takes_it_back(run: Command, tmp_path: Path) -> None:
    store = f"sqlite:{tmp_path / 'folder' / 'new.db'}"
    ran = run("--store", store, "add", "Remember this.", "--type", "note", "--tag", "a", "--tag", "b", "--json")
    assert ran.status == 0
    assert set(ran.json) == {"changed", "undo"}
    [memory_id] = ran.json["changed"]
    memory = run("--store", store, "show", memory_id, "--json").json["memory"]
    assert (memory["content"], memory["node_type"], memory["tags"]) == ("Remember this.", "note", ["a", "b"])
    undone = run("--store", store, "undo", str(ran.json["undo"]), "--json")
    assert undone.json == {"changed": [memory_id], "undo": None}
    assert run("--store", store, "show", memory_id).status == 1
    assert run("--store", store, "undo").status == 1


@pytest.mark.slow
def test_add_reads_stdin(sample: str) -> None:
    ran = run_process("--store", sample, "--json", "add", "-", stdin="Größe\nzweite Zeile\n".encode())
    assert ran.status == 0
    shown = run_process("--store", sample, "--json", "show", ran.json["changed"][0])
    assert shown.json["memory"]["content"] == "Größe\nzweite Zeile"
    assert run_process("--store", sample, "add", "-", stdin=b"  \n").status == 2


def test_edit_by_options(run: Command, sample: str) -> None:
    ran = run(
        "--store", sample, "edit", sample_id(1), "--content", "New text.", "--type", "fact", "--codebase", "infra",
        "--domain", "one", "--domain", "two", "--visibility", "public", "--meta", "k=[1]", "--meta", "t=text",
        "--meta", "source=", "--json",
    )  # fmt: skip
    assert ran.status == 0
    assert ran.json["changed"] == [sample_id(1)]
    memory = run("--store", sample, "show", sample_id(1), "--json").json["memory"]
    assert memory["content"] == "New text."
    assert memory["domains"] == ["one", "two"]
    assert (memory["codebase"], memory["visibility"], memory["node_type"]) == ("infra", "public", "fact")
    assert memory["metadata"] == {"n": 1, "k": [1], "t": "text"}
    run("--store", sample, "edit", sample_id(1), "--codebase", "", "--domain", "")
    memory = run("--store", sample, "show", sample_id(1), "--json").json["memory"]
    assert (memory["codebase"], memory["domains"]) == (None, [])
    assert run("--store", sample, "edit", sample_id(1), "--meta", "no-equals").status == 2
    assert run("--store", sample, "edit", sample_id(1), "--content", " ").status == 2


def editor(folder: Path, script: str) -> str:
    path = folder / "editor.sh"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    return str(path)


@pytest.mark.slow
def test_edit_in_an_editor(run: Command, sample: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv(
        "EDITOR", editor(tmp_path, 'stat -c %a "$1" > mode; echo noise; ' + writes('echo "From the editor."'))
    )
    monkeypatch.chdir(tmp_path)
    assert run("--store", sample, "edit", sample_id(2)).status == 0
    assert (tmp_path / "mode").read_text() == "600\n"
    assert content(run, sample, sample_id(2)) == "From the editor."
    again = run_process("--store", sample, "edit", sample_id(2), "--json")
    assert again.json == {"changed": [], "undo": None}
    assert "noise" in again.err
    monkeypatch.setenv("EDITOR", editor(tmp_path, "exit 3"))
    failed = run("--store", sample, "edit", sample_id(2))
    assert failed.status == 3
    assert "status 3" in failed.err


def test_the_fields_are_edited_above_the_text(
    run: Command, sample: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDITOR", editor(tmp_path, f"{sets('tag', 'two words', 'a, b')}; {sets('type', 'note')}"))
    assert run("--store", sample, "edit", sample_id(2)).out.startswith("Edited ")
    memory = run("--store", sample, "show", sample_id(2), "--json").json["memory"]
    assert (memory["node_type"], memory["tags"], memory["content"]) == ("note", ["two words", "a, b"], SENTENCES[2])
    assert (memory["domains"], memory["codebase"]) == (["infra"], None)
    # Nothing is lost of a file that cannot be read.
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("EDITOR", editor(tmp_path, f'{types("Typed.")}; echo >> "$1"; sed -i "1iowned: me" "$1"'))
    refused = run("--store", sample, "edit", sample_id(2), "--json")
    assert (refused.status, refused.json["error"]["code"]) == (2, "usage")
    assert "Line 1: 'owned: me' is none of the fields" in refused.json["error"]["message"]
    kept = Path(refused.json["error"]["message"].split(" is kept in ")[1].rstrip("."))
    assert kept.read_text().endswith(f"{TEXT_LINE}\nTyped.\n")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert content(run, sample, sample_id(2)) == SENTENCES[2]


@pytest.mark.slow
def test_a_file_that_cannot_be_read_is_edited_again_at_a_terminal(
    run: Command, sample: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    script = f'if [ -e "$0.once" ]; then sed -i 1d "$1"; else touch "$0.once"; {types("Typed.")}; sed -i "1ix" "$1"; fi'
    for answers, status in (("\n", 0), ("n\n", 2)):
        (tmp_path / "editor.sh.once").unlink(missing_ok=True)
        monkeypatch.setenv("EDITOR", editor(tmp_path, script))
        answer(answers)
        ran = run("--store", sample, "edit", sample_id(2))
        assert ran.status == status, ran.err
        assert "Line 1: 'x' is none of the fields" in ran.err
        assert ("Your text is kept in" in " ".join(ran.err.split())) == (status == 2)
        assert (content(run, sample, sample_id(2)) == "Typed.") == (status == 0)
        run("--store", sample, "edit", sample_id(2), "--content", "Other.")


@pytest.mark.slow
def test_a_conflict_keeps_what_was_written(
    run: Command, sample: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drafts = tmp_path / "drafts"
    drafts.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(drafts))
    other = f"{sys.executable} -m vestige_tui --store {sample} edit {sample_id(2)} --content 'Quicker.' >/dev/null"
    monkeypatch.setenv("EDITOR", editor(tmp_path, f"{other}\n{writes('echo Slower.')}"))
    ran = run("--store", sample, "edit", sample_id(2), "--json")
    assert ran.status == 1
    assert ran.json["error"]["code"] == "conflict"
    kept = Path(ran.json["error"]["message"].split(" is kept in ")[1].rstrip("."))
    assert kept.read_text().endswith(f"{TEXT_LINE}\nSlower.\n")
    assert (kept.parent.parent, stat.S_IMODE(kept.stat().st_mode)) == (drafts, 0o600)
    assert content(run, sample, sample_id(2)) == "Quicker."


def test_nothing_is_left_of_a_draft_that_was_saved(
    run: Command, sample: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drafts = tmp_path / "drafts"
    drafts.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(drafts))
    monkeypatch.setenv("EDITOR", editor(tmp_path, 'cp "$1" "$1~"; ' + types("Saved.")))
    assert run("--store", sample, "edit", sample_id(2)).status == 0
    assert list(drafts.glob("vestige-*")) == []


def test_tags(run: Command, sample: str) -> None:
    ran = run("--store", sample, "tag", sample_id(0), sample_id(1), "+new one", "-ops", "+h", "--json")
    assert ran.status == 0
    assert set(ran.json["changed"]) == {sample_id(0), sample_id(1)}
    tags = run("--store", sample, "show", sample_id(0), "--json").json["memory"]["tags"]
    assert tags == ["security", "new one", "h"]
    assert run("--store", sample, "tag", sample_id(0), "-h").status == 0
    assert "h" not in run("--store", sample, "show", sample_id(0), "--json").json["memory"]["tags"]
    run("--store", sample, "undo", str(ran.json["undo"]))
    for arguments in ([sample_id(0)], ["+a"], [sample_id(0), "+"], [sample_id(0), "+a", "--nonsense"]):
        assert run("--store", sample, "tag", *arguments).status == 2


def test_a_change_of_several_is_all_or_nothing(run: Command, sample: str) -> None:
    assert run("--store", sample, "tag", sample_id(0), "ffffffff-ffff", "+new").status == 1
    assert "new" not in run("--store", sample, "show", sample_id(0), "--json").json["memory"]["tags"]
    assert run("--store", sample, "delete", sample_id(0), "ffffffff-ffff").status == 1
    assert run("--store", sample, "show", sample_id(0)).status == 0


def test_delete_says_what_comes_back_and_undo_restores_it(run: Command, sample: str) -> None:
    ran = run("--store", sample, "delete", sample_id(0), sample_id(1), "--json")
    assert ran.status == 0
    assert ran.json["changed"] == [sample_id(0), sample_id(1)]
    assert f'Becomes active again: {sample_id(5)[:8]} "{SENTENCES[5]}"' in ran.err
    assert "Also deletes 1 link and 2 reviews." in ran.err
    assert set(run("--store", sample, "undo", "--json").json["changed"]) == {sample_id(0), sample_id(1)}
    shown = run("--store", sample, "show", sample_id(0), "--json").json
    assert len(shown["edges"]) == len(shown["reviews"]) == 1
    assert run("--store", sample, "show", sample_id(5), "--json").json["memory"]["superseded_by"] == sample_id(0)


@pytest.mark.slow
def test_a_large_delete_needs_yes(run: Command, tmp_path: Path) -> None:
    store = f"sqlite:{tmp_path / 'many.db'}"
    lines = tmp_path / "many.jsonl"
    ids = [sample_id(position) for position in range(101)]
    lines.write_text("".join(f'{{"id": "{each}", "content": "x"}}\n' for each in ids))
    assert run("--store", store, "import", str(lines)).status == 0
    refused = run("--store", store, "delete", *ids, "--json")
    assert (refused.status, refused.json["error"]["code"]) == (3, "refused")
    assert run("--store", store, "delete", *ids, "--yes").status == 0
    assert run("--store", store, "stats", "--json").json["total_memories"] == 0


@pytest.mark.parametrize(("grade", "rating"), [("again", 1), ("hard", 2), ("good", 3), ("easy", 4)])
def test_review_and_its_undo(run: Command, sample: str, grade: str, rating: int) -> None:
    before = run("--store", sample, "show", sample_id(0), "--json").json["memory"]["scheduling"]
    ran = run("--store", sample, "review", sample_id(0), grade, "--json")
    assert ran.status == 0
    assert set(ran.json) == {"changed", "undo", "scheduling"}
    assert ran.json["scheduling"]["reps"] == 2
    shown = run("--store", sample, "show", sample_id(0), "--json").json
    assert shown["reviews"][-1]["rating"] == rating
    undone = run("--store", sample, "review", "undo", sample_id(0), "--json").json
    assert undone["scheduling"]["next_review"] == before["next_review"]
    assert undone["changed"] == [sample_id(0)]


def test_suspend_bury_resume(run: Command, sample: str) -> None:
    for verb in ("suspend", "bury"):
        ran = run("--store", sample, "review", verb, sample_id(0), "--json")
        assert set(ran.json) == {"changed", "undo", "scheduling"}
        assert run("--store", sample, "due", "--count").out == "1\n"
        assert run("--store", sample, "review", "resume", sample_id(0)).status == 0
        assert run("--store", sample, "due", "--count").out == "2\n"
    assert run("--store", sample, "review", "suspend").status == 2
    assert run("--store", sample, "review", sample_id(0), "perfect").status == 2
    assert run("--store", sample, "review", sample_id(0)).status == 2


def test_supersede_and_back(run: Command, sample: str) -> None:
    ran = run("--store", sample, "supersede", sample_id(2), "--by", sample_id(3), "--json")
    assert ran.json["changed"] == [sample_id(2)]
    circle = run("--store", sample, "supersede", sample_id(3), "--by", sample_id(2), "--json")
    assert (circle.status, circle.json["error"]["code"]) == (1, "conflict")
    assert run("--store", sample, "unsupersede", sample_id(2), "--json").json["changed"] == [sample_id(2)]
    assert run("--store", sample, "unsupersede", sample_id(2), "--json").json == {"changed": [], "undo": None}
    assert "Nothing changed." in run("--store", sample, "unsupersede", sample_id(2)).out


def test_link_and_unlink(run: Command, sample: str) -> None:
    ran = run("--store", sample, "link", sample_id(2), sample_id(3), "--type", "part of", "--weight", "0.25", "--json")
    assert ran.json["changed"] == [sample_id(2), sample_id(3)]
    [edge] = run("--store", sample, "edges", sample_id(2), "--json").json["items"]
    assert (edge["edge_type"], edge["weight"]) == ("part of", 0.25)
    assert run("--store", sample, "unlink", sample_id(2), sample_id(3)).status == 1
    assert run("--store", sample, "unlink", sample_id(2), sample_id(3), "--type", "part of").status == 0
    assert run("--store", sample, "link", sample_id(2), sample_id(3), "--weight", "2").status == 2
    assert run("--store", sample, "link", sample_id(2), sample_id(2)).status == 2


def test_read_only_refuses_every_change(run: Command, sample: str) -> None:
    before = Path(sample.removeprefix("sqlite:")).read_bytes()
    for arguments in (
        ["add", "x"], ["edit", sample_id(0), "--type", "x"], ["tag", sample_id(0), "+x"], ["delete", sample_id(0)],
        ["undo"], ["review", sample_id(0), "good"], ["review", "undo"], ["review", "suspend", sample_id(0)],
        ["supersede", sample_id(2), "--by", sample_id(3)], ["unsupersede", sample_id(5)],
        ["link", sample_id(2), sample_id(3)], ["unlink", sample_id(0), sample_id(1)], ["vacuum"],
        ["registry", "fill"], ["import", os.devnull], ["schema", "up"], ["schema", "down", "--yes"],
    ):  # fmt: skip
        ran = run("--store", sample, "--read-only", "--json", *arguments)
        assert (ran.status, ran.json["error"]["code"]) == (3, "refused"), arguments
    assert Path(sample.removeprefix("sqlite:")).read_bytes() == before


@pytest.mark.parametrize(
    "arguments", [["--tag", "t" * 9_000], ["--type", "t" * 256], ["--domain", "d" * 256], ["--codebase", "c" * 256]]
)
def test_a_label_that_is_too_long_is_refused(run: Command, sample: str, tmp_path: Path, arguments: list[str]) -> None:
    added = run("--store", str(tmp_path / "new.db"), "add", "x", *arguments)
    assert (added.status, added.out) == (2, "")
    assert "at most 255 characters" in added.err
    assert not (tmp_path / "new.db").exists()
    if arguments[0] != "--tag":
        assert run("--store", sample, "edit", sample_id(0), *arguments).status == 2
    assert run("--store", sample, "tag", sample_id(0), f"+{'t' * 256}").status == 2
    assert run("--store", sample, "link", sample_id(0), sample_id(2), "--type", "e" * 256).status == 2


def test_deep_metadata_is_refused_and_what_is_no_number_stays_text(run: Command, sample: str) -> None:
    for levels in (300, 20_000):
        ran = run("--store", sample, "edit", sample_id(0), "--meta", f"deep={'[' * levels}{']' * levels}")
        assert ran.status == 2
        assert "deep" in ran.err
    assert run("--store", sample, "edit", sample_id(0), "--meta", "n=1e400").status == 0
    assert run("--store", sample, "show", sample_id(0), "--json").json["memory"]["metadata"]["n"] == "1e400"


def test_a_change_names_its_memory_and_its_undo(run: Command, sample: str) -> None:
    old, new = sample_id(2), sample_id(3)
    tagged = run("--store", sample, "tag", old, "+keys", "-none")
    assert tagged.out.startswith(f'Tagged {old[:8]} "Deploys go out behind a flag')
    assert '": +keys -none  Undo: vestige-tui undo ' in tagged.out
    assert run("--store", sample, "undo").out.startswith(f'Undid: tag +keys on {old[:8]} "Deploys')
    replaced = run("--store", sample, "supersede", old, "--by", new).out
    assert f'" is now replaced by {new[:8]} "Postgres' in replaced
    assert '" is active again  Undo: vestige-tui undo ' in run("--store", sample, "unsupersede", old).out
    assert run("--store", sample, "tag", old, new, "+both").out.startswith("Tagged 2 memories: +both")
    reviewed = run("--store", sample, "review", old, "good").out
    assert re.match(rf'Graded {old[:8]} "Deploys .*" Good, due in ', reviewed)
    assert run("--store", sample, "undo").out.startswith(f"Undid: grade Good on {old[:8]}")


@pytest.mark.parametrize(
    ("words", "instead"),
    [
        (("add",), "give the text as an argument, or - to read it from stdin."),
        (("edit",), "give the text with --content."),
    ],
)
def test_without_a_terminal_the_other_way_to_give_the_text_is_named(
    words: tuple[str, ...], instead: str, run: Command, sample: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("VISUAL", "EDITOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    ran = run("--store", sample, *words, *([sample_id(0)] if words == ("edit",) else []))
    assert (ran.status, ran.out) == (3, "")
    assert f"An editor needs a terminal; {instead}" in ran.err
