"""An answer laid open: keys pressed, lines seen, one memory followed through all lists, in three sizes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.console import QUESTION, Console, open_console, open_explanation
from tests.support.corpus import second_handle
from vestige_tui.core.memories import Draft
from vestige_tui.core.search import SearchQuery
from vestige_tui.tui.dialogs.memory_sheet import MemorySheet
from vestige_tui.tui.search.explanation import ExplanationScreen
from vestige_tui.tui.search.hit_list import HitList
from vestige_tui.tui.search.place import SearchPlace
from vestige_tui.tui.search.rank_list import RankList
from vestige_tui.tui.search.why_not import WhyNotPanel
from vestige_tui.tui.widgets.memory_card import MemoryCard
from vestige_tui.tui.widgets.panels import Panels
from vestige_tui.tui.widgets.section import Section

SIZES = [(120, 40), (80, 24), (60, 20)]


def under(screen: ExplanationScreen, id: str) -> str | None:
    """The memory under the cursor of a list."""
    row = screen.query_one(f"#{id}", RankList).current
    return row.hit.memory.id if row else None


def focused(console: Console) -> str | None:
    return console.app.focused.id if console.app.focused is not None else None


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
async def test_it_shows_both_lists_and_the_one_between_them(corpus: Path, size: tuple[int, int]) -> None:
    async with open_console(corpus, size) as console:
        screen = await open_explanation(console)
        shown = [each.id for each in screen.lists]
        assert shown == (["lines"] if size[0] == 60 else ["words", "together", "meaning"])
        assert focused(console) == ("lines" if size[0] == 60 else "together")
        assert "text and vector: 20 hits in" in console.text
        assert "this memory" in console.text
        assert "score" in console.text
        assert "w why not" in console.lines[-1]
        assert all(len(line) <= size[0] for line in console.lines)
        if size[0] == 60:
            head = next(line for line in console.lines if "vector" in line and "score" in line)
            row = console.lines[console.lines.index(head) + 1]
            hit = screen.query_one("#lines", RankList).rows[0].hit
            for title, rank in (("text", hit.text_rank), ("vector", hit.vector_rank)):
                end = head.index(title) + len(title)
                assert row[:end].split()[-1] == (f"#{rank}" if rank else "─")
        else:
            assert next(line for line in console.lines if "fused  " in line and "20 shown" in line)


@pytest.mark.slow
async def test_the_cursor_stays_on_its_memory_in_every_list(corpus: Path) -> None:
    async with open_console(corpus) as console:
        screen = await open_explanation(console)
        known = {row.hit.memory.id: row for row in screen.query_one("#together", RankList).rows}
        for key in ("j", "j", "G", "g", "ctrl+d", "k"):
            await console.press(key)
            here = under(screen, "together")
            assert here is not None
            hit = known[here].hit
            assert under(screen, "words") == (here if hit.text_rank else None)
            assert under(screen, "meaning") == (here if hit.vector_rank else None)
        await console.press("right", "j", "j", "j")
        assert focused(console) == "meaning"
        here = under(screen, "meaning")
        assert here is not None
        assert under(screen, "together") == here
        row = screen.query_one("#together", RankList)
        assert row.cursor in row.visible_rows
        assert "÷" in console.text
        await console.press("right")
        assert focused(console) == "words"
        assert under(screen, "words") == under(screen, "together")
        await console.press("left", "left", "tab", "tab")
        assert isinstance(console.app.focused, Panels)


@pytest.mark.slow
async def test_it_begins_at_the_memory_of_the_hits_and_comes_back_there(corpus: Path) -> None:
    async with open_console(corpus) as console:
        screen = await open_explanation(console, QUESTION, "j", "j", "j")
        assert screen.query_one("#together", RankList).cursor == 3
        await console.press("escape")
        await console.until(lambda: isinstance(console.app.screen, SearchPlace))
        assert isinstance(console.app.focused, HitList)
        assert console.app.focused.cursor == 3


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
async def test_enter_reads_the_memory_and_escape_returns(corpus: Path, size: tuple[int, int]) -> None:
    async with open_console(corpus, size) as console:
        screen = await open_explanation(console)
        await console.press("j", "enter")
        await console.until(lambda: isinstance(console.app.screen, MemorySheet))
        card = console.app.screen.query_one(MemoryCard)
        await console.until(lambda: card.detail is not None)
        assert card.detail is not None
        assert card.detail.memory.id == under(screen, "together")
        await console.press("escape")
        await console.until(lambda: console.app.screen is screen)
        assert screen.query_one("#together", RankList).cursor == 1


@pytest.mark.slow
async def test_what_it_was_made_of_is_said_beneath(corpus: Path) -> None:
    async with open_console(corpus, (120, 60)) as console:
        screen = await open_explanation(console, "how +webhook retries -zebra type:decision ")
        text = console.text
        for said in ("required", "ranked", "excluded", "ignored, too common", "type decision", "all filters"):
            assert said in text
        assert screen._explanation is not None
        assert f"{screen._explanation.passing} of 374" in text
        assert "text = text score ÷ best text score" in text
        await console.press("tab", "tab", "G")
        await console.still()
        assert isinstance(console.app.focused, Panels)
        step = next(line for line in console.lines if "from the query to the results" in line)
        assert step.rstrip(" ▁▂▃▄▅▆▇█").endswith(" ms")
        assert len(list(screen.query(Section))) == 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("turns", "why"),
    [
        (1, "This search uses text only."),
        (2, "This search uses vectors only."),
        (3, "A search for exact characters uses"),
    ],
)
async def test_one_way_alone_is_one_list_and_says_why(corpus: Path, turns: int, why: str) -> None:
    async with open_console(corpus) as console:
        screen = await open_explanation(console, "retry", *["m"] * turns)
        assert [each.id for each in screen.lists] == ["lines"]
        assert why in console.text
        await console.press("j")
        assert screen.query_one("#lines", RankList).cursor == 1


@pytest.mark.slow
async def test_nothing_found_still_says_what_became_of_words_and_filters(corpus: Path) -> None:
    async with open_console(corpus, (80, 24)) as console:
        await open_explanation(console, "how webhook +zzqq")
        assert "No memory passes all filters." in console.text
        assert "No memory matches this search." in console.text
        await console.press("tab", "G")
        await console.still()
        assert "from the query" in console.text


@pytest.mark.slow
async def test_without_a_question_it_says_so(corpus: Path) -> None:
    async with open_console(corpus) as console:
        for key in ("x", "w"):
            await console.press("down", key)
            await console.until("Type a question first")
            assert isinstance(console.app.screen, SearchPlace)
            await console.press("slash")


@pytest.mark.slow
async def test_it_follows_what_others_write(corpus: Path) -> None:
    async with open_console(corpus) as console:
        screen = await open_explanation(console, "lighthouse zzqq")
        before = under(screen, "meaning")
        async with second_handle(corpus) as other:
            await other.insert(Draft("zzqq in the lighthouse"))
        await console.until("zzqq in the light")
        await console.still()
        assert under(screen, "meaning") == before


@pytest.mark.slow
async def test_a_narrower_screen_keeps_the_memory(corpus: Path) -> None:
    async with open_console(corpus) as console:
        screen = await open_explanation(console)
        await console.press("j", "j")
        here = under(screen, "together")
        await console.pilot.resize_terminal(60, 20)
        await console.until(lambda: focused(console) == "lines")
        assert under(screen, "lines") == here
        await console.press("j")
        assert under(screen, "lines") != here
        await console.pilot.resize_terminal(120, 40)
        await console.until(lambda: focused(console) == "together")
        assert under(screen, "together") == under(screen, "lines")


@pytest.mark.slow
@pytest.mark.parametrize("by_id", [True, False])
async def test_why_not_this_one(corpus: Path, by_id: bool) -> None:
    async with open_console(corpus, (80, 24)) as console:
        found = await console.store.search(SearchQuery("backup", mode="text", limit=1))
        wanted = found[0].memory
        await open_explanation(console, "webhook type:preference ")
        await console.press("w")
        await console.until("Why is this memory not in the results?")
        await console.paste(wanted.id[:8] if by_id else "backup")
        await console.press("enter")
        if not by_id:
            await console.still()
            await console.press("enter")
        await console.until(lambda: isinstance(console.app.screen, WhyNotPanel))
        await console.still()
        shown = console.text
        assert "It does not pass the filters: type preference." in shown
        assert shown.index("does not pass") < shown.index("does not contain webhook") < shown.index("last hit")
        await console.press("escape")
        assert isinstance(console.app.screen, ExplanationScreen)


@pytest.mark.slow
async def test_why_not_is_asked_of_search_too_and_nothing_is_no_error(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await console.paste("webhook")
        await console.until("best 20")
        await console.press("down", "w")
        await console.until("Why is this memory not in the results?")
        await console.paste("zzqqzz")
        await console.press("enter")
        await console.until("No memory has this id or contains these words: zzqqzz")
        await console.press("escape", "w", "escape")
        assert isinstance(console.app.screen, SearchPlace)


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
async def test_hostile_memories_and_questions_are_shown_plain(corpus: Path, size: tuple[int, int]) -> None:
    evil = "[/x] [bold]hi[/] [@click=app.quit]y[/] \x1b]52;c;aGk=\x07 \x1b[2J \x9b31m \u202ereversed\u200f end"
    async with second_handle(corpus) as other:
        change = await other.insert(Draft(f"zzhostile {evil}\n\n# {evil}", node_type=evil, tags=(evil,)))
    async with open_console(corpus, size) as console:
        await open_explanation(console, "zzhostile [bold]x[/] +[/x] -\x1b[2J\u202e")
        await console.until("zzhostile")
        await console.press("w")
        await console.paste(change.changed[0])
        await console.press("enter")
        await console.until(lambda: isinstance(console.app.screen, WhyNotPanel))
        await console.still()
        seen = console.lines
        await console.press("escape", "tab", "G")
        await console.still()
        for line in (*seen, *console.lines):
            assert not [letter for letter in line if ord(letter) < 32 or 0x7F <= ord(letter) < 0xA0]
            assert not {"\u202e", "\u200f"} & set(line)


@pytest.mark.parametrize("size", [(120, 40), (60, 20)])
async def test_exact_characters_are_shown_where_they_stand(corpus: Path, size: tuple[int, int]) -> None:
    async with open_console(corpus, size) as console:
        await console.paste("RateLimit-R")
        await console.press("down", "m", "m", "m")
        await console.until("Searching by exact characters.")
        await console.still()
        hits = console.app.screen.query_one(HitList)
        assert len(hits.hits) == 1
        line = next(line for line in console.lines if "RateLimit-R" in line and "▌   1" in line)
        assert line
        [piece] = [text for text, ink in hits.draw_row(0, 0, 60) if text == "RateLimit-R" and ink == "match"]
        assert piece
        await console.press("m")
        await console.until("Searching by text and vector.")
