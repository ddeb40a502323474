"""Values that no database holds, given to a store: the same answer on both."""

from __future__ import annotations

import pytest

from vestige_tui.core.errors import NotFound, Usage
from vestige_tui.core.memories import Draft, Filter
from vestige_tui.store.store import Store

ODD_TEXTS = ("a\0b", "\ud800", "\udcff", "\0", "\U0010ffff", "x" * 100_000)


@pytest.mark.parametrize("text", ODD_TEXTS, ids=ascii)
async def test_an_odd_text_matches_what_is_stored_of_it(store: Store, text: str) -> None:
    memory_id = (await store.insert(Draft("content", tags=("kept", text[:50])), embed=False)).changed[0]
    page = await store.page(Filter(tags=(text[:50],)))
    assert [memory.id for memory in page.items] == [memory_id]
    assert (await store.page(Filter(domains=(text,), codebases=(text,)))).items == ()
    assert (await store.page(Filter(tags=(f"no {text}",)))).items == ()


@pytest.mark.parametrize("text", ODD_TEXTS, ids=ascii)
async def test_an_odd_text_is_no_id(store: Store, text: str) -> None:
    for memory_id in (text, text * 10):
        with pytest.raises(NotFound) as caught:
            await store.memories.resolve(memory_id)
        assert len(caught.value.message) < 400
        with pytest.raises(NotFound):
            await store.get(memory_id)
        with pytest.raises(NotFound):
            await store.delete([memory_id])
        assert await store.memories.get_many([memory_id]) == ()


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**30])
async def test_a_number_of_more_than_64_bits_is_wrong_usage(store: Store, number: int) -> None:
    with pytest.raises(Usage, match="64 bits"):
        await store.journal.undo(number)
    with pytest.raises(Usage, match="64 bits"):
        await store.page(limit=number)
