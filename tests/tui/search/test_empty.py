"""Searches without hits, and those of code: what the console says of them, and the keys that search otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.console import Console, open_console
from vestige_tui.core.memories import Draft
from vestige_tui.tui.search.hit_list import HitList

A_STAR = 'Returns the shortest path using the A* ("A-star") algorithm.'


def line(console: Console) -> str:
    from textual.widgets import Input

    return console.app.screen.query_one(Input).value


@pytest.mark.slow
@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 20)])
async def test_the_phrase_that_leaves_no_hit_is_named_and_left_out(corpus: Path, size: tuple[int, int]) -> None:
    async with open_console(corpus, size) as console:
        await console.paste(A_STAR)
        await console.until('No memory matches because of the phrase "A-star": 20 hits or more without it.')
        await console.until("search without it, 20 hits or more")
        await console.press("enter", "n")
        await console.until("best 20")
        assert line(console) == A_STAR.replace('"', "")


@pytest.mark.slow
async def test_the_filter_that_leaves_no_hit_is_taken_off(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await console.paste("how do we rotate keys type:zzz tag:keys ")
        await console.until("No memory matches because of the filter type zzz")
        await console.press("enter", "n")
        await console.until(lambda: bool(console.app.screen.query_one(HitList).hits))
        assert line(console) == "how do we rotate keys"
        assert console.says("tag keys")
        assert not console.says("type zzz")


async def test_the_key_is_dim_where_there_is_nothing_to_leave_out(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await console.press("enter")
        await console.still()
        await console.press("n")
        await console.until("There is no question, so there is nothing to leave out.")
        await console.press("slash")
        await console.paste("zzyzx")
        await console.press("enter", "m")
        await console.until("No memory matches this search.")
        await console.press("n")
        await console.until("No phrase, word or filter was found that excludes every result.")
        await console.press("slash", *["backspace"] * 5)
        await console.paste("keys")
        await console.press("enter")
        await console.still()
        await console.press("n")
        await console.until("The search has results, so there is nothing to leave out.")


@pytest.mark.slow
async def test_code_that_no_word_matches_is_searched_by_its_characters(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await console.store.insert(Draft("The image is zzrepo@sha256:9f86d081884c7d65."))
        await console.paste("which image is 9f86d08188")
        await console.press("enter")
        await console.still()
        await console.press("home")
        await console.press("slash", "home", *["delete"] * 40)
        await console.paste("86d081884c7d")
        await console.until("No memory contains these words; 86d081884c7d looks like a hash.")
        await console.until("L exact characters")
        await console.press("enter", "L")
        await console.until("exact characters   1 hit")
        assert console.says("zzrepo@sha256:9f86d081884c7d65")
        await console.press("L")
        await console.until("Searching by text and vector.")


@pytest.mark.slow
async def test_the_literal_mode_is_offered_where_nothing_is_found(empty_store: Path) -> None:
    async with open_console(empty_store) as console:
        await console.store.insert(Draft("See zzsrc/main_loop.rs for it."))
        await console.press("down", "m")
        await console.press("slash")
        await console.paste("error in main_loo")
        await console.until("search for exactly main_loo")
        await console.press("enter", "L")
        await console.until("exact characters   1 hit")
        assert line(console) == "main_loo"
