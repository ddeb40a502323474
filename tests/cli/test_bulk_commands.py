"""Commands on several memories: by ids or by filters, shown first by --dry-run, undone by one undo."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.command_line import SENTENCES, Command, sample_id

ALL_ACTIVE = 5


def memory(run: Command, store: str, position: int) -> Any:
    """Return a memory without its recall, which falls from one command to the next."""
    shown = run("--store", store, "show", sample_id(position), "--json").json["memory"]
    return shown | {"scheduling": shown["scheduling"] and shown["scheduling"] | {"retrievability": None}}


COMMANDS: dict[str, tuple[tuple[str, ...], int]] = {
    "tag": (("tag", "+two words", "-ops", "--tag", "ops"), ALL_ACTIVE),
    "edit": (("edit", "--where", "type:decision", "--type", "note", "--codebase", "api", "--domain", ""), 3),
    "delete": (("delete", "--type", "procedure"), 2),
    "suspend": (("suspend", "--domain", "infra"), ALL_ACTIVE),
    "bury": (("bury", sample_id(0), sample_id(1), sample_id(0)), 2),
    "supersede": (("supersede", "--tag", "ops", "--by", sample_id(3)), ALL_ACTIVE - 1),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_dry_run_shows_what_the_command_then_changes(run: Command, sample: str, name: str) -> None:
    arguments, count = COMMANDS[name]
    shown = run("--store", sample, *arguments, "--dry-run", "--json")
    assert shown.status == 0, shown.err
    assert (shown.json["verb"], len(shown.json["ids"])) == (name, count)
    assert sum(shown.json["types"].values()) == count
    text = run("--store", sample, *arguments, "--dry-run")
    assert "Nothing was changed: this was a dry run." in text.err
    assert all(each[:8] in text.out for each in shown.json["ids"])
    before = [memory(run, sample, position) for position in range(6)]
    ran = run("--store", sample, *arguments, "--json")
    assert (ran.status, ran.json["changed"]) == (0, shown.json["ids"])
    undone = run("--store", sample, "undo", "--json")
    assert set(undone.json["changed"]) == set(ran.json["changed"])
    assert [memory(run, sample, position) for position in range(6)] == before


def test_fields_of_several_are_edited_and_said(run: Command, sample: str) -> None:
    ran = run("--store", sample, "edit", sample_id(2), sample_id(4), "--type", "note", "--codebase", "api")
    assert ran.out.startswith("Edited 2 memories: type note, codebase api  Undo: vestige-tui undo ")
    assert [memory(run, sample, position)["node_type"] for position in (2, 4)] == ["note", "note"]
    again = run("--store", sample, "edit", sample_id(2), sample_id(4), "--type", "note")
    assert (again.status, again.out) == (0, "Nothing changed.\n")
    assert "Left out: 2 memories, because it is already so." in again.err


def test_marks_of_several(run: Command, sample: str) -> None:
    ran = run("--store", sample, "suspend", sample_id(0), sample_id(1))
    assert ran.out.startswith("Suspended 2 memories until resumed  Undo: ")
    assert run("--store", sample, "due", "--count").out == "0\n"
    one = run("--store", sample, "resume", sample_id(0))
    assert one.out.startswith(f'Resumed {sample_id(0)[:8]} "{SENTENCES[0][:20]}')
    assert run("--store", sample, "due", "--count").out == "1\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("tag", "+a"), "tag needs the ids of memories, or filters"),
        (("delete",), "delete needs the ids of memories, or filters"),
        (("suspend",), "suspend needs the ids of memories, or filters"),
        (("edit",), "edit needs the ids of memories, or filters"),
        (("delete", sample_id(0), "--type", "decision"), "Give ids or filters, not both."),
        (("edit", sample_id(0), "--where", "type:decision", "--type", "x"), "Give ids or filters, not both."),
        (("edit", "--where", "nonsense:x", "--type", "x"), "nonsense"),
        (("edit", "--where", "type:decision", "--content", "x"), "--content and --meta change one memory"),
        (("edit", sample_id(0), sample_id(1), "--meta", "a=b"), "--content and --meta change one memory"),
        (("edit", sample_id(0), sample_id(1)), "To edit several memories, or with --dry-run, give at least one option"),
        (("tag", "--type", "decision", "+" + "t" * 256), "at most 255 characters"),
    ],
)
def test_what_is_not_clear_changes_nothing(run: Command, sample: str, arguments: tuple[str, ...], fault: str) -> None:
    before = [memory(run, sample, position) for position in range(6)]
    refused = run("--store", sample, *arguments, "--json")
    assert (refused.status, refused.json["error"]["code"]) == (2, "usage"), refused.err
    assert fault in refused.json["error"]["message"]
    assert [memory(run, sample, position) for position in range(6)] == before


def test_a_supersession_leaves_out_what_would_form_a_cycle(run: Command, sample: str) -> None:
    run("--store", sample, "supersede", sample_id(2), "--by", sample_id(3))
    shown = run("--store", sample, "supersede", "--superseded", "--by", sample_id(2), "--dry-run", "--json").json
    reasons = {each["reason"]: each["ids"] for each in shown["left_out"]}
    assert reasons == {
        "it is the memory that replaces the others": [sample_id(2)],
        "it replaces the new memory itself": [sample_id(3)],
    }


@pytest.mark.slow
def test_a_deletion_in_a_chain_can_keep_the_replaced_memory_replaced(run: Command, sample: str) -> None:
    first, middle, last = map(sample_id, range(3))
    for old, new in ((first, middle), (middle, last)):
        assert run("--store", sample, "supersede", old, "--by", new).status == 0
    shown = run("--store", sample, "delete", middle, "--dry-run")
    assert "; --keep-replaced keeps it replaced, by that one." in shown.err
    kept = run("--store", sample, "delete", middle, "--keep-replaced", "--dry-run", "--json").json
    assert (kept["active_again"], kept["kept_replaced"], kept["beside"]) == (0, 1, {first: last})
    ran = run("--store", sample, "delete", middle, "--keep-replaced")
    assert "(1 memory kept replaced)" in ran.out
    assert "stays replaced, by" in ran.err
    assert memory(run, sample, 0)["superseded_by"] == last
    assert run("--store", sample, "undo").status == 0
    assert memory(run, sample, 0)["superseded_by"] == middle
