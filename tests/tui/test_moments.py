"""The console at a past moment: what it shows, how it says so, what is disabled, and the comparison of two moments."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from textual.widgets import Input

from tests.support.console import Console, open_browse, open_console
from tests.support.corpus import ACTIVE, MEMORIES, NOW, second_handle
from tests.support.read_only_commands import digest
from tests.support.sample_jobs import show_jobs
from vestige_tui.core.links import Lineage, SupersessionEvent
from vestige_tui.core.memories import Draft, Memory, Patch
from vestige_tui.core.times import format_time
from vestige_tui.presenters.moments import lineage_note, past_moment_reason
from vestige_tui.tui.browse.memory_table import MemoryTable
from vestige_tui.tui.command_screen import CommandScreen
from vestige_tui.tui.commands.catalogue import action_names, catalogue
from vestige_tui.tui.commands.command import Command
from vestige_tui.tui.commands.places import PLACES
from vestige_tui.tui.compare.difference_list import DifferenceList
from vestige_tui.tui.compare.page import ComparisonScreen
from vestige_tui.tui.dialogs.memory_sheet import MemorySheet
from vestige_tui.tui.journal.page import JournalScreen
from vestige_tui.tui.lineage.lineage_list import DECISIONS, TREE, LineageList, rows_of
from vestige_tui.tui.lineage.page import LineageScreen
from vestige_tui.tui.place import Place
from vestige_tui.tui.search.hit_list import HitList
from vestige_tui.tui.users.page import UsersScreen

MAY = datetime(2026, 5, 1, tzinfo=UTC)
HEADER = "as of 2026-05-01 00:00 UTC"


async def go_to_moment(console: Console, typed: str) -> None:
    await console.press("T")
    await console.until(lambda: isinstance(console.app.focused, Input))
    await console.paste(typed)
    await console.press("enter")
    await console.still()


def bound(screen: CommandScreen, command: type[Command]) -> Iterator[str]:
    return (key for key, active in screen.active_bindings.items() if active.binding.id == command.id)


async def test_every_place_names_the_moment_and_shows_what_there_was(corpus: Path) -> None:
    async with second_handle(corpus) as store:
        expected = await store.at(MAY).memories.count()
        due = (await store.at(MAY).reviews.queue_counts()).due
        assert due != (await store.reviews.queue_counts()).due
    async with open_console(corpus) as console:
        await open_browse(console)
        assert f"{ACTIVE} memories" in console.text
        await go_to_moment(console, "2026-05-01")
        await console.until(f"{expected} memories")
        await console.until(lambda: console.app.session.badges["review"].text == (str(due) if due else ""))
        assert "Texts, tags and marks are those of today.   T now" in console.text
        for place in PLACES:
            await console.app.switch_mode(place.place)
            await console.still()
            assert HEADER in console.lines[0]
        await console.app.run_action("show_journal")
        await console.until(lambda: isinstance(console.app.screen, JournalScreen))
        await console.still()
        assert HEADER in console.lines[-1]


async def test_jobs_keep_the_time_of_now_at_a_past_moment(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await open_browse(console)
        await go_to_moment(console, "2026-05-01")
        await show_jobs(console.app)
        await console.press("f5")
        await console.until("copying vectors")
        assert "4 min left" in console.text
        assert "started 9 min ago" in console.text
        assert "verified, 3 h ago" in console.text


@pytest.mark.parametrize("size", [(60, 20), (80, 24)])
async def test_the_moment_is_named_in_a_narrow_terminal(corpus: Path, size: tuple[int, int]) -> None:
    async with open_console(corpus, size) as console:
        await open_browse(console)
        await go_to_moment(console, "2026-05-01")
        await console.until(HEADER)
        assert HEADER in console.lines[0]


async def test_a_search_answers_for_the_moment(corpus: Path) -> None:
    async with second_handle(corpus) as store:
        old = (await store.insert(Draft("Quokkas sleep at noon.", created_at=MAY - timedelta(days=9)))).changed[0]
        new = (await store.insert(Draft("Quokkas never sleep.", created_at=NOW))).changed[0]
        await store.links.supersede(old, new)
    async with open_console(corpus) as console:
        await console.paste("quokkas")
        await console.press("enter")
        await console.until("Quokkas never sleep.")
        hits = console.app.screen.query_one(HitList)
        assert old not in {hit.memory.id for hit in hits.hits}
        console.app.screen.set_focus(None)
        await go_to_moment(console, "2026-05-01")
        await console.until("Quokkas sleep at noon.")
        assert "Quokkas never sleep." not in console.text
        assert new not in {hit.memory.id for hit in hits.hits}


async def test_an_empty_line_and_escape_return_to_now(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await open_browse(console)
        for way in ("line", "escape"):
            await go_to_moment(console, "-30d")
            await console.until("as of 2026-10-21")
            if way == "line":
                await go_to_moment(console, "")
            else:
                # The first one clears the sentence.
                await console.press("escape", "escape")
            await console.until("Back to now.")
            await console.until(f"{ACTIVE} memories")
            assert "as of" not in console.lines[0]


async def test_an_invalid_and_a_future_moment_stay_in_the_dialog(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await open_browse(console)
        await go_to_moment(console, "some day")
        await console.until("is not valid")
        console.app.focused.value = "2099-01-01"  # type: ignore[union-attr]  # the line of the dialog
        await console.press("enter")
        await console.until("This moment is in the future")
        await console.press("escape")
        assert "as of" not in console.lines[0]


async def test_steps_go_from_decision_to_decision_and_back_to_now(corpus: Path) -> None:
    async with second_handle(corpus) as store:
        last = await store.history.decision_before(NOW)
        assert last is not None
        before = await store.history.decision_before(last.decided_at)
        assert before is not None
    async with open_console(corpus) as console:
        await open_browse(console)
        await console.press("greater_than_sign")
        await console.until("as it is now")
        await console.press("less_than_sign")
        await console.until("replaced by")
        assert console.app.session.moment == last.decided_at
        await console.press("less_than_sign")
        await console.until(lambda: console.app.session.moment == before.decided_at)
        await console.press("greater_than_sign")
        await console.until(lambda: console.app.session.moment == last.decided_at)
        await console.press("greater_than_sign")
        await console.until("Back to now.")
        assert console.app.session.moment is None


async def test_before_the_first_decision_there_is_no_step_back(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await open_browse(console)
        await go_to_moment(console, "2020-01-01")
        await console.until("as of 2020-01-01")
        await console.press("less_than_sign")
        await console.until("No memory was replaced before this moment.")


@pytest.mark.slow
async def test_every_key_that_writes_is_dim_with_the_reason(corpus: Path) -> None:
    before = digest(f"sqlite:{corpus}")
    async with open_console(corpus) as console:
        await open_browse(console)
        await go_to_moment(console, "2026-05-01")
        reason = past_moment_reason(MAY)
        for place in (*(command.place for command in PLACES), "journal"):
            if place == "journal":
                await console.app.run_action("show_journal")
            else:
                await console.app.switch_mode(place)
            await console.still()
            screen = console.app.screen
            assert isinstance(screen, CommandScreen)
            if isinstance(console.app.focused, Input):
                screen.set_focus(None)
            for command in catalogue().values():
                if not (command.writes or command.writes_elsewhere):
                    continue
                for key in bound(screen, command):
                    assert not screen.active_bindings[key].enabled, (place, command)
                    [name] = action_names([command])
                    assert screen.reason_against(name) == reason
                    await console.press(key)
                    await console.until(lambda screen=screen: screen._status.notice.text == reason)  # type: ignore[misc]  # of this screen
    assert digest(f"sqlite:{corpus}") == before


@pytest.mark.slow
async def test_pages_with_figures_of_now_do_not_open_at_a_past_moment(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await open_browse(console)
        await go_to_moment(console, "2026-05-01")
        for key in ("D", "W"):
            assert not console.app.screen.active_bindings[key].enabled
            await console.press(key)
            await console.until("this page shows only the present; T returns to now.")
            assert console.app.screen.id == "browse"
            console.app.screen._status.clear()  # type: ignore[attr-defined]  # the screen is a place
        await go_to_moment(console, "")
        await console.press("W")
        await console.until(lambda: isinstance(console.app.screen, UsersScreen))


async def test_review_has_nothing_at_a_past_moment_and_begins_again_at_now(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await console.press("f4")
        await console.until("1 of ")
        await go_to_moment(console, "2026-05-01")
        await console.until("to review, return to now")
        await console.press("space", "3")
        assert "to review, return to now" in console.text
        await go_to_moment(console, "")
        await console.until("1 of ")


async def test_the_card_says_that_a_text_was_edited_since(corpus: Path) -> None:
    async with second_handle(corpus) as store:
        memory = (await store.insert(Draft("Wombats dig.", created_at=MAY - timedelta(hours=1)))).changed[0]
        await store.update(memory, Patch(content="Wombats dig at night."))
    async with open_console(corpus) as console:
        await open_browse(console)
        await go_to_moment(console, "2026-05-01")
        await console.until("Wombats dig at night.")
        await console.until("text edited since, last at 2026-11-20")
        await go_to_moment(console, "")
        await console.until("Back to now.")
        await console.until("text edited since", gone=True)


async def test_a_change_of_the_store_keeps_the_moment(corpus: Path) -> None:
    async with open_console(corpus) as console, second_handle(corpus) as store:
        await open_browse(console)
        await go_to_moment(console, "2026-05-01")
        await store.insert(Draft("Echidnas came late.", created_at=MAY - timedelta(minutes=1)))
        await console.until("Echidnas came late.")
        await store.insert(Draft("Numbats came today.", created_at=NOW))
        await console.until(f"{MEMORIES + 2} memories")
        await console.still()
        assert "Numbats" not in console.text
        assert HEADER in console.lines[0]


# Two moments


async def open_comparison(console: Console) -> DifferenceList:
    await console.press("C")
    await console.until(lambda: isinstance(console.app.screen, ComparisonScreen))
    await console.still()
    return console.app.screen.query_one(DifferenceList)


async def test_the_comparison_shows_each_group_and_opens_a_deleted_memory(corpus: Path) -> None:
    async with second_handle(corpus) as store:
        old, new, gone = [
            (await store.insert(Draft(text, created_at=created))).changed[0]
            for text, created in (
                ("Dingoes howl.", MAY),
                ("Dingoes sing.", NOW - timedelta(hours=1)),
                ("Bilbies hop.", MAY),
            )
        ]
        await store.links.supersede(old, new)
        await store.delete([gone])
    async with open_console(corpus) as console:
        await open_browse(console)
        rows = await open_comparison(console)
        await console.until("Deleted in between  1")
        assert "Two moments   2026-11-13 14:02 UTC → now" in console.text
        assert "Replaced  1" in console.text
        assert f"replaced by {new[:8]}, just now" in console.text
        groups = [row.group for row in rows._rows]
        assert groups[:3] == ["superseded", "deleted", "appeared"]
        await console.press("j", "enter")
        await console.until(lambda: isinstance(console.app.screen, MemorySheet))
        await console.until("Bilbies hop.")
        await console.press("escape")
        await console.until(lambda: isinstance(console.app.screen, ComparisonScreen))
        assert console.says("deleted just now by")
        await console.press("g", "enter")
        await console.until(lambda: isinstance(console.app.screen, MemorySheet))
        await console.until("Dingoes howl.")
        await console.press("escape", "escape")
        await console.until(lambda: isinstance(console.app.screen, Place))


async def test_both_moments_can_be_set_and_the_second_one_shown(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await open_browse(console)
        await open_comparison(console)
        for key, typed in (("s", "2026-06-01"), ("e", "2026-05-01")):
            await console.press(key)
            await console.until(lambda: isinstance(console.app.focused, Input))
            await console.paste(typed)
            await console.press("enter")
            await console.until(typed)
            await console.still()
        # The earlier moment is the first one, in whichever order they are given.
        await console.until("2026-05-01 00:00 UTC → 2026-06-01 00:00 UTC")
        await console.press("t")
        await console.until(lambda: isinstance(console.app.screen, Place))
        await console.until("as of 2026-06-01 00:00 UTC")
        rows = await open_comparison(console)
        await console.until("2026-06-01 00:00 UTC → now")
        assert rows.current is not None


async def test_equal_moments_do_not_differ(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await open_browse(console)
        await open_comparison(console)
        await console.press("s")
        await console.until(lambda: isinstance(console.app.focused, Input))
        await console.paste(format_time(NOW))
        await console.press("enter")
        await console.until("Nothing differs between these moments.")


# Lineage


async def test_the_lineage_shows_both_directions_late_decisions_and_deleted_winners(corpus: Path) -> None:
    async with second_handle(corpus) as store:
        oldest, middle, newest, gone = [
            (await store.insert(Draft(text, created_at=NOW - timedelta(days=9 - days)))).changed[0]
            for days, text in enumerate(("Emus run.", "Emus jog.", "Emus walk.", "Emus fly."))
        ]
        await store.links.supersede(middle, gone)
        await store.delete([gone])
        await store.links.supersede(oldest, middle)
        await store.links.supersede(middle, newest)
        early = NOW - timedelta(days=5)
        await store.links.restore_events([SupersessionEvent(0, middle, newest, "imported", early)])
    async with open_console(corpus) as console:
        await open_browse(console)
        table = console.app.screen.query_one(MemoryTable)
        await console.press("o")
        await console.still()
        while table.current is None or table.current.id != middle:
            await console.press("j")
            await console.still()
        await console.press("H")
        await console.until(lambda: isinstance(console.app.screen, LineageScreen))
        await console.still()
        rows = console.app.screen.query_one(LineageList).rows
        assert [(row.memory_id, row.here) for row in rows if row.heading == TREE] == [
            (newest, False),
            (middle, True),
            (oldest, False),
        ]
        notes = {row.note for row in rows if row.heading == DECISIONS}
        assert {"deleted", "recorded late"} <= notes
        assert console.says("recorded late")
        await console.press("enter")
        await console.until(lambda: isinstance(console.app.screen, MemorySheet))
        await console.until("Emus walk.")
        await console.press("escape", "escape")
        await console.until(lambda: isinstance(console.app.screen, Place))


def test_a_decision_without_another_memory_is_told_from_one_whose_memory_is_gone() -> None:
    events = [
        SupersessionEvent(number, "one", winner, kind, NOW)
        for number, (winner, kind) in enumerate([(None, "unsupersede"), (None, "winner_deleted"), ("two", "supersede")])
    ]
    lineage = Lineage(Memory("one", "One."))
    rows = [row for row in rows_of(lineage, events, {"one": lineage.memory}, "one", NOW) if row.heading == DECISIONS]
    assert [(row.memory_id, row.other_gone) for row in reversed(rows)] == [(None, False), (None, True), (None, True)]


async def test_a_memory_without_decisions_says_so(corpus: Path) -> None:
    async with second_handle(corpus) as store:
        await store.insert(Draft("A lonely kiwi.", created_at=NOW))
    async with open_console(corpus) as console:
        await open_browse(console)
        await console.until("A lonely kiwi.")
        await console.press("H")
        await console.until("never replaced, and replaces no other")


def test_a_cycle_and_a_missing_winner_are_named() -> None:
    one, other = Memory("one", "One.", superseded_by="other"), Memory("other", "Other.", superseded_by="one")
    assert "in a cycle" in lineage_note(Lineage(one, (Lineage(other),)), {"one", "other"})
    assert "does not exist" in lineage_note(Lineage(one), {"one"})
    assert lineage_note(Lineage(one), {"one", "other"}) == ""
    assert lineage_note(Lineage(Memory("free", "Free.")), ()) == ""


@pytest.mark.slow
@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 20)])
async def test_rows_mark_a_text_that_was_edited_since(corpus: Path, size: tuple[int, int]) -> None:
    async with second_handle(corpus) as store:
        for number in range(2):
            draft = Draft(f"Quokka number {number}.", created_at=MAY - timedelta(days=number))
            memory_id = (await store.insert(draft)).changed[0]
        edited = (await store.update(memory_id, Patch(content="Quokka of today."))).changed[0]
        await store.reviews.pin([edited])

    def row(console: Console, text: str) -> str:
        return next(line for line in console.lines if text in line)

    async with open_console(corpus, size) as console:
        await open_browse(console)
        await go_to_moment(console, "2026-05-02")
        await console.until("△ Quokka of today.")
        assert "△" not in row(console, "Quokka number 0.")
        await console.press("f2")
        await console.paste("quokka")
        await console.press("enter")
        await console.until("△ Quokka of today.")
        assert "△" not in row(console, "Quokka number 0.")
        console.app.screen.set_focus(None)
        await go_to_moment(console, "")
        await console.until(lambda: "△" not in console.text)
        await console.until("Quokka of today.")


@pytest.mark.slow
async def test_the_card_says_that_marks_are_of_today(corpus: Path) -> None:
    async with second_handle(corpus) as store:
        memory_id = (await store.insert(Draft("Pinned quokka.", created_at=MAY - timedelta(hours=1)))).changed[0]
        await store.reviews.pin([memory_id])
    async with open_console(corpus) as console:
        await open_browse(console)
        await go_to_moment(console, "2026-05-01")
        await console.until("◈ pinned   marks as of today")
        await go_to_moment(console, "")
        await console.until("Back to now.")
        await console.still()
        assert "marks as of today" not in console.text
