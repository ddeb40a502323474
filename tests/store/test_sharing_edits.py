"""Owner, visibility and groups of a memory are edited like its other fields: with a journal, undo and redo, in bulk."""

from __future__ import annotations

import pytest

from tests.support.visibility import community, fill
from vestige_tui.core.bulk import FieldEdit, Target
from vestige_tui.core.errors import Usage
from vestige_tui.core.memories import Draft, Memory, Patch
from vestige_tui.store.store import Store


def shared(memory: Memory) -> tuple[str, str, tuple[str, ...]]:
    return memory.owner_user_id, memory.visibility, memory.shared_with_groups


async def test_an_edit_is_undone_and_redone(store: Store) -> None:
    people = community(31, memories=3)
    await fill(store, people)
    [memory_id] = (await store.insert(Draft("Keys rotate."))).changed
    before = await store.get(memory_id)
    patch = Patch(owner_user_id=people.users[1].id, visibility="group", shared_with_groups=(people.groups[0].id,))
    change = await store.update(memory_id, patch)
    assert not change.warnings
    edited = await store.get(memory_id)
    assert shared(edited) == (people.users[1].id, "group", (people.groups[0].id,))
    assert edited.updated_at == before.updated_at
    undone = await store.journal.undo(change.undo)
    assert shared(await store.get(memory_id)) == shared(before)
    [last] = await store.journal.entries(1)
    assert last.verb == "undo"
    await store.journal.redo(last.id)
    assert shared(await store.get(memory_id)) == shared(edited)
    assert undone.changed == (memory_id,)


async def test_a_memory_shared_with_no_group_has_a_warning(store: Store) -> None:
    [memory_id] = (await store.insert(Draft("Keys rotate."))).changed
    change = await store.update(memory_id, Patch(visibility="group"))
    assert [warning for warning in change.warnings if "shared with no group" in warning]
    assert not (await store.update(memory_id, Patch(node_type="note"))).warnings


async def test_an_unknown_visibility_changes_nothing(store: Store) -> None:
    [memory_id] = (await store.insert(Draft("Keys rotate."))).changed
    with pytest.raises(Usage, match="Visibility must be"):
        await store.update(memory_id, Patch(visibility="secret"))
    assert (await store.get(memory_id)).visibility == "private"


async def test_many_memories_are_one_change(store: Store) -> None:
    people = community(32, memories=12)
    await fill(store, people)
    ids = tuple(str(draft.id) for draft in people.drafts)
    before = [shared(memory) for memory in await store.memories.get_many(ids)]
    groups = (people.groups[1].id, people.groups[2].id)
    operation = FieldEdit(Patch(owner_user_id=people.users[2].id, visibility="group", shared_with_groups=groups))
    change = await store.bulk.apply(await store.bulk.preview(Target(ids), operation))
    after = [shared(memory) for memory in await store.memories.get_many(ids)]
    assert set(after) == {(people.users[2].id, "group", groups)}
    await store.journal.undo(change.undo)
    assert [shared(memory) for memory in await store.memories.get_many(ids)] == before
