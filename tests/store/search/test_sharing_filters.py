"""Filters by owner, visibility and group: they list, count and search what plain Python picks, with every sign."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from tests.support.visibility import Community, community, fill
from vestige_tui.core.errors import Usage
from vestige_tui.core.filter_syntax import filter_of, read_chips
from vestige_tui.core.memories import VISIBILITIES, Draft, Filter
from vestige_tui.core.search import SearchQuery
from vestige_tui.store.store import Store

NAMES = ("visibilities", "groups")


def values_of(draft: Draft, name: str) -> set[str]:
    return {draft.visibility} if name == "visibilities" else set(draft.shared_with_groups)


def passes(draft: Draft, chosen: Filter) -> bool:
    for name in NAMES:
        values = values_of(draft, name)
        any_of, all_of, none_of = (set(getattr(chosen, prefix + name)) for prefix in ("", "all_", "no_"))
        if (any_of and not any_of & values) or not all_of <= values or none_of & values:
            return False
    return chosen.owner in (None, draft.owner_user_id) and draft.owner_user_id not in chosen.no_owners


def random_filter(chance: random.Random, people: Community) -> Filter:
    fields: dict[str, Any] = {}
    options = {"visibilities": VISIBILITIES, "groups": tuple(group.id for group in people.groups)}
    for name, values in options.items():
        for prefix in ("", "all_", "no_"):
            if chance.random() < 0.3:
                fields[prefix + name] = tuple(chance.sample(values, chance.choice((1, 1, 2))))
    if chance.random() < 0.2:
        fields["owner"] = chance.choice(people.users).id
    if chance.random() < 0.2:
        fields["no_owners"] = (chance.choice(people.users).id,)
    return Filter(**fields)


@pytest.mark.slow
async def test_random_filters_agree_with_plain_python(store: Store) -> None:
    people, chance = community(21, memories=60), random.Random(21)
    await fill(store, people)
    empty = 0
    for _ in range(60):
        chosen = random_filter(chance, people)
        expected = {draft.id for draft in people.drafts if passes(draft, chosen)}
        empty += not expected
        assert {memory.id for memory in (await store.page(chosen, limit=100)).items} == expected, chosen
        assert await store.memories.count(chosen) == len(expected), chosen
        fields = {name: getattr(chosen, name) for name in Filter.__slots__}
        answer = await store.search(SearchQuery(text=people.drafts[0].content, mode="vector", limit=100, **fields))
        assert {hit.memory.id for hit in answer.hits} == expected, chosen
    assert 0 < empty < 40


async def test_facets_have_the_counts_and_names_of_groups(store: Store) -> None:
    people = community(22, memories=40)
    await fill(store, people)
    for name in NAMES:
        expected = Counter(value for draft in people.drafts for value in values_of(draft, name))
        facets = await store.memories.facets(name)  # type: ignore[arg-type]
        assert {facet.value: facet.count for facet in facets} == expected
    names = {group.id: (group.handle, group.display_name) for group in people.groups}
    groups = await store.memories.facets("groups")
    assert groups
    assert {facet.value: (facet.alias, facet.title) for facet in groups}.items() <= names.items()


async def test_a_group_goes_by_id_handle_or_name(store: Store, clock: Any) -> None:
    people = community(23, memories=2)
    await fill(store, people)
    first, second, _ = people.groups
    for name in ("group0", "GROUP0", "Group 0", first.id):
        chosen = filter_of(read_chips(f'group:"{name}" -group:group1'), clock())
        resolved = await store.memories.resolve_owner(chosen)
        assert (resolved.groups, resolved.no_groups) == ((first.id,), (second.id,))
    with pytest.raises(Usage, match=r"No group is called 'grup0'; did you mean group0\?"):
        await store.memories.resolve_owner(Filter(groups=("grup0",)))


def test_a_visibility_is_one_of_three(clock: Any) -> None:
    with pytest.raises(Usage, match=r"takes private, group or public, not 'pubic'; did you mean public\?"):
        filter_of(read_chips("visibility:group -visibility:pubic"), clock())
