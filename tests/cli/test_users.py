"""users list, --viewer, the filters of owner, visibility and group, and their edits on the command line."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.support.command_line import Command
from tests.support.vestige_files import make_v18
from tests.support.visibility import Community, community, fill
from vestige_tui.core.memories import LOCAL_USER, VISIBILITIES
from vestige_tui.store.open import open_store


@pytest.fixture
def people() -> Community:
    return community(41, memories=30)


@pytest.fixture
def shared_store(people: Community, tmp_path: Path) -> str:
    url = f"sqlite:{tmp_path / 'shared.db'}"

    async def write() -> None:
        async with open_store(url, create=True) as store:
            await fill(store, people)

    asyncio.run(write())
    return url


def test_users_are_listed(run: Command, shared_store: str, people: Community) -> None:
    document = run("--store", shared_store, "users", "list", "--json").json
    listed = {each["handle"]: each for each in document["items"]}
    assert set(listed) == {"local", *(user.handle for user in people.users)}
    for user in people.users:
        own = [draft.visibility for draft in people.drafts if draft.owner_user_id == user.id]
        assert listed[user.handle]["memories"] == {name: own.count(name) for name in VISIBILITIES}
        handles = {group.handle for group in people.groups if group.id in people.groups_of(user)}
        assert set(listed[user.handle]["groups"]) == handles
    groups = {each["handle"]: each for each in document["groups"]}
    for group in people.groups:
        shared = sum(group.id in each.shared_with_groups for each in people.drafts if each.visibility == "group")
        assert groups[group.handle]["shared_memories"] == shared
    lines = run("--store", shared_store, "users", "list").out.splitlines()
    assert lines[0].split() == ["user", "name", "groups", "memories", "private", "group", "public"]


def test_a_viewer_lists_exports_and_finds_what_the_user_may_see(
    run: Command, shared_store: str, people: Community, tmp_path: Path
) -> None:
    for user in people.users:
        visible = set(people.visible(user))
        listed = run("--viewer", user.handle, "--store", shared_store, "list", "--limit", "100", "--json").json
        assert {each["id"] for each in listed["items"]} == visible
        file = tmp_path / f"{user.handle}.jsonl"
        assert run("--store", shared_store, "export", str(file), "--viewer", user.handle).status == 0
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        assert {each["id"] for each in lines if each.get("kind", "memory") == "memory"} == visible
        hidden = next(str(draft.id) for draft in people.drafts if draft.id not in visible)
        assert run("--store", shared_store, "--viewer", user.handle, "show", hidden).status == 1


def test_a_viewed_store_refuses_changes(run: Command, shared_store: str, people: Community) -> None:
    some_id = people.visible(people.users[0])[0]
    refused = run("--store", shared_store, "--viewer", "user0", "delete", some_id)
    assert (refused.status, "viewed as 'user0'" in refused.err) == (3, True)


def test_an_unknown_viewer_is_one_sentence(run: Command, shared_store: str) -> None:
    ran = run("--store", shared_store, "--viewer", "usr0", "list", "--json")
    assert ran.status == 2
    assert ran.json["error"] == {"code": "usage", "message": "No user is called 'usr0'; did you mean user0?"}


@pytest.mark.parametrize("command", [("doctor",), ("schema", "info"), ("config", "show"), ("jobs", "list")])
def test_commands_on_the_whole_store_take_no_viewer(run: Command, shared_store: str, command: tuple[str, ...]) -> None:
    ran = run("--store", shared_store, "--viewer", "user0", *command)
    assert (ran.status, "leave out --viewer" in ran.err) == (2, True)


def test_a_vestige_file_has_no_users(run: Command, tmp_path: Path) -> None:
    store = f"sqlite:{make_v18(tmp_path / 'vestige.db')}"
    for arguments in (("users", "list"), ("--viewer", "local", "list")):
        ran = run("--store", store, *arguments)
        assert (ran.status, "no owners" in ran.err) == (3, True), arguments
    assert run("--store", store, "list", "--visibility", "private", "--json").json["items"]


def test_options_filter_by_owner_visibility_and_group(run: Command, shared_store: str, people: Community) -> None:
    def listed(*options: str) -> set[str]:
        ran = run("--store", shared_store, "list", "--limit", "100", "--json", *options)
        return {each["id"] for each in ran.json["items"]}

    first = people.groups[0]
    of_group = {draft.id for draft in people.drafts if first.id in draft.shared_with_groups}
    assert listed("--group", "group0") == of_group
    assert listed("--not", "group:Group 0") == {draft.id for draft in people.drafts} - of_group
    both = {draft.id for draft in people.drafts if draft.visibility in ("private", "public")}
    assert listed("--visibility", "private", "--visibility", "public") == both
    assert listed("--not", "visibility:group") == both
    own = {each.id for each in people.drafts if each.owner_user_id == people.users[0].id and each.id in both}
    assert listed("--owner", "user0", "--not", "visibility:group") == own
    assert run("--store", shared_store, "list", "--group", "nobody").status == 2


def test_edit_sets_owner_visibility_and_groups(run: Command, shared_store: str, people: Community) -> None:
    one, other = (str(draft.id) for draft in people.drafts[:2])
    ran = run("--store", shared_store, "edit", one, "--owner", "user3", "--share-with", "group0", "group2", "--json")
    assert (ran.status, ran.json["changed"]) == (0, [one])
    memory = run("--store", shared_store, "show", one, "--json").json["memory"]
    assert (memory["owner_user_id"], memory["visibility"]) == (people.users[3].id, "group")
    shared = run("--store", shared_store, "list", "--json", "--group", "group0", "--owner", "user3").json["items"]
    assert one in {each["id"] for each in shared}
    assert run("--store", shared_store, "undo", str(ran.json["undo"])).status == 0
    memory = run("--store", shared_store, "show", one, "--json").json["memory"]
    assert memory["owner_user_id"] == people.drafts[0].owner_user_id
    many = run("--store", shared_store, "edit", one, other, "--visibility", "public", "--json").json
    assert set(many["changed"]) <= {one, other}
    for option in (("--owner", "user9"), ("--share-with", "nobody"), ("--visibility", "secret")):
        assert run("--store", shared_store, "edit", one, *option).status == 2


def test_add_names_owner_visibility_and_groups(run: Command, shared_store: str, people: Community) -> None:
    def added(*options: str) -> tuple[str, str, set[str]]:
        ran = run("--store", shared_store, "add", "The crane rests at noon.", *options, "--json")
        assert ran.status == 0
        memory = run("--store", shared_store, "show", ran.json["changed"][0], "--json").json["memory"]
        return memory["owner_user_id"], memory["visibility"], set(memory["shared_with_groups"])

    user, group = people.users[3].id, people.groups[0].id
    assert added() == (LOCAL_USER, "private", set())
    assert added("--owner", "user3", "--group", "Group 0") == (user, "group", {group})
    assert added("--visibility", "public", "--group", "group0", "group1")[1:] == (
        "public",
        {group, people.groups[1].id},
    )
    alone = run("--store", shared_store, "add", "The crane rests at noon.", "--visibility", "group")
    assert "shared with no group" in alone.err
    for option in (("--owner", "user9"), ("--group", "nobody"), ("--visibility", "secret")):
        assert run("--store", shared_store, "add", "x", *option).status == 2


def test_a_shared_memory_has_one_shape_in_every_json(
    run: Command, shared_store: str, people: Community, tmp_path: Path
) -> None:
    draft = next(each for each in people.drafts if each.visibility == "group" and each.shared_with_groups)
    listed = run("--store", shared_store, "list", "--limit", "100", "--json").json["items"]
    hits = run("--store", shared_store, "search", draft.content, "--mode", "text", "--limit", "100", "--json").json[
        "hits"
    ]
    run("--store", shared_store, "export", str(tmp_path / "lines.jsonl"), "--memories-only")
    exported = (tmp_path / "lines.jsonl").read_text().splitlines()
    shapes = [
        *(each for each in listed if each["id"] == draft.id),
        *(hit["memory"] for hit in hits if hit["memory"]["id"] == draft.id),
        run("--store", shared_store, "show", str(draft.id), "--json").json["memory"],
        *(line for line in map(json.loads, exported) if line["id"] == draft.id),
    ]
    assert [set(each["shared_with_groups"]) for each in shapes] == [set(draft.shared_with_groups)] * 4


def test_a_name_that_no_new_store_has_creates_none(run: Command, tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    assert run("--store", str(path), "add", "x", "--owner", "mara").status != 0
    assert not path.exists()


def test_the_editor_writes_and_reads_the_sharing_of_a_memory(
    run: Command, shared_store: str, people: Community, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    draft = next(each for each in people.drafts if each.visibility == "private" and not each.shared_with_groups)
    seen = tmp_path / "seen"
    script = f"cp \"$1\" '{seen}'; sed -i 's/^group:$/group: group1/' \"$1\""
    editor = tmp_path / "editor"
    editor.write_text(f"#!/bin/sh\n{script}\n")
    editor.chmod(0o700)
    monkeypatch.setenv("EDITOR", str(editor))
    monkeypatch.delenv("VISUAL", raising=False)
    assert run("--store", shared_store, "edit", str(draft.id)).status == 0
    owner = next(user.handle for user in people.users if user.id == draft.owner_user_id)
    assert {f"owner: {owner}", "visibility: private", "group:"} <= set(seen.read_text().splitlines())
    memory = run("--store", shared_store, "show", str(draft.id), "--json").json["memory"]
    assert (memory["visibility"], memory["shared_with_groups"]) == ("group", [people.groups[1].id])
