"""Review: keys pressed, lines seen, and what the store then holds."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from pathlib import Path

import pytest
from textual.widgets import Input

from tests.support.clock import Clock
from tests.support.console import Console
from tests.support.corpus import embedders
from tests.support.review_desk import BACKUPS, KEYS, NOW, THREE, Desk, draft, open_desk, schedule_due
from tests.support.vestige_files import NOW as FILE_NOW
from tests.support.vestige_files import make_v18
from vestige_tui.config.settings import Config
from vestige_tui.core.bulk import BulkPreview
from vestige_tui.core.memories import Change, Filter, Memory
from vestige_tui.core.reviews import Rating, Scheduling
from vestige_tui.core.scheduling import LEECH_LAPSES, preview
from vestige_tui.core.text import ago
from vestige_tui.core.times import LocalDays
from vestige_tui.store.open import open_store
from vestige_tui.tui import store_session
from vestige_tui.tui.app import VestigeApp
from vestige_tui.tui.dialogs.modals import Confirm
from vestige_tui.tui.review.cloze import prompt_of
from vestige_tui.tui.review.place import ReviewPlace
from vestige_tui.tui.review.review_session import CARD_SECONDS, PRACTICE_AFTER, ReviewSession, SessionCard
from vestige_tui.tui.review.session_figures import why_nothing
from vestige_tui.tui.store_session import Activity

HOSTILE = "[/foo] [bold]x[/] [@click=app.quit]y \x1b[2Jgone \x9b31m \u202eesrever \x00 \x07 \u200fend of Kubernetes"
RUNBOOK = "# Rotating keys\n\nTell the mobile team first.\n\n- publish the new key\n- wait for one period"


def when(state: Scheduling | None, rating: Rating) -> str:
    """The date that a button promises."""
    due = preview(state, NOW)[rating].next_review
    assert due is not None
    return ago(due, NOW)


@pytest.mark.slow
async def test_a_whole_sitting(tmp_path: Path) -> None:
    async with open_desk(tmp_path, *THREE) as at:
        first = await at.sees("1 of 3", "due 2 (overdue 2, today 0)   new 1", "9 d late", "space shows the answer")
        assert "decision" in first
        assert "auth" in first
        assert "#security" in first
        assert "▁▁" in first
        assert "JWKS" not in first
        assert "every ▁▁ days" in first

        assert "space first" in await at.press("3", sees="space first")
        assert await at.ratings(1) == []

        shown = await at.press("space", sees=KEYS[:40])
        for rating in Rating:
            assert when(THREE[0].scheduling, rating) in shown
        assert "reviewed 3 times" in shown
        assert "▲" in shown

        after = await at.press("3", sees="2 of 3")
        assert f"Good: due {when(THREE[0].scheduling, Rating.GOOD)}" in after
        assert "u undo" in after
        assert await at.state(1) == preview(THREE[0].scheduling, NOW)[Rating.GOOD]

        await at.press("space", sees="Monday")
        assert "new" in await at.press("2", sees="3 of 3")
        assert await at.state(2) == preview(THREE[1].scheduling, NOW)[Rating.HARD]

        await at.press("space", sees="never reviewed before")
        at.clock.moment += timedelta(seconds=30)
        end = await at.press("4", sees="3 graded")
        state = await at.state(3)
        assert state is not None
        assert state.reps == 1
        for part in (
            "remembered      100 %   2 of 2, without new ones",
            "due             ",
            "due in the next 30 days",
            "Predicted ",
        ):
            assert part in end


async def test_prompt_and_answer_stand_in_the_same_place(tmp_path: Path) -> None:
    async with open_desk(tmp_path, *THREE) as at:
        before = (await at.sees("space shows the answer")).splitlines()
        after = (await at.press("space", sees="JWKS")).splitlines()
        asked = next(index for index, line in enumerate(before) if "Signing keys" in line)
        assert after[asked].index("Signing") == before[asked].index("Signing")
        assert after[asked].index("days") == before[asked].index("days")
        grades = next(index for index, line in enumerate(before) if "1 Again" in line)
        assert "1 Again" in after[grades]


@pytest.mark.slow
async def test_exact_days_on_demand(tmp_path: Path) -> None:
    async with open_desk(tmp_path, *THREE) as at:
        await at.sees("space reveal")
        await at.press("space", sees="JWKS")
        await at.sees("space dates")
        due = preview(THREE[0].scheduling, NOW)[Rating.GOOD].next_review
        assert due is not None
        await at.press("space", sees=f"{due.astimezone():%Y-%m-%d}")
        await at.sees("space intervals")
        await at.press("space", sees=ago(due, NOW))


@pytest.mark.slow
async def test_forgotten_comes_back_as_practice_that_writes_nothing(tmp_path: Path) -> None:
    async with open_desk(tmp_path, *THREE[:2]) as at:
        await at.press("space", sees="JWKS")
        screen = await at.press("1", sees="2 of 2")
        assert f"Again: due {when(THREE[0].scheduling, Rating.AGAIN)}; practised later in this session" in screen
        assert await at.ratings(1) == [1]
        await at.press("space", sees="Monday")
        await at.press("3", sees="practice, 1 left")
        await at.press("space", sees="once more")
        await at.press("1", sees="Practised; nothing was written.")
        assert "practice, 1 left" in at.text
        await at.press("space", sees="once more")
        end = await at.press("3", sees="2 graded")
        assert "practised 2" in end
        assert "remembered      50 %   1 of 2, without new ones" in end
        assert await at.ratings(1) == [1]
        assert await at.state(1) == preview(THREE[0].scheduling, NOW)[Rating.AGAIN]


@pytest.mark.slow
async def test_a_grade_names_its_due_date_at_60_columns(tmp_path: Path) -> None:
    async with open_desk(tmp_path, *THREE, size=(60, 20)) as at:
        await at.press("space", "3", sees="2 of 3")
        assert re.search(r'Graded ".+…" Good: due in \d+ \w+   u undo', at.text)


@pytest.mark.slow
async def test_practice_says_whole_at_60_columns_that_its_grade_is_not_saved(tmp_path: Path) -> None:
    async with open_desk(tmp_path, *THREE[:2], size=(60, 20)) as at:
        await at.press("space", "1", sees="2 of 2")
        await at.press("space", "3", sees="practice, 1 left")
        await at.sees("space shows the answer   practice: grade not saved")
        await at.press("space", sees="once more")
        assert "practice: grade not saved" in at.text


@pytest.mark.slow
async def test_undo_brings_the_card_back_shown(tmp_path: Path) -> None:
    async with open_desk(tmp_path, *THREE) as at:
        await at.press("space", sees="JWKS")
        await at.press("1", sees="2 of 3")
        back = await at.press("u", sees="1 of 3")
        assert "JWKS" in back
        assert 'Undid: grade Again on "' in back
        assert await at.state(1) == THREE[0].scheduling
        await at.press("3", sees="2 of 3")
        assert await at.state(1) == preview(THREE[0].scheduling, NOW)[Rating.GOOD]
        await at.press("space", "3", sees="3 of 3")
        end = await at.press("space", "3", sees="3 graded")
        assert "practised" not in end


@pytest.mark.slow
async def test_undo_at_the_end_reopens_the_sitting(tmp_path: Path) -> None:
    async with open_desk(tmp_path, THREE[0]) as at:
        await at.press("space", sees="JWKS")
        await at.press("3", sees="1 graded")
        await at.press("u", sees="1 of 1")
        assert await at.state(1) == THREE[0].scheduling


@pytest.mark.slow
async def test_undo_leaves_alone_what_another_console_graded(tmp_path: Path) -> None:
    async with open_desk(tmp_path, *THREE) as at:
        await at.sees("1 of 3")
        await at.other.reviews.record(THREE[1].id or "", Rating.AGAIN)
        graded = await at.state(2)
        # Nothing of this console is left to undo: the journal shows the grade, and undoes it there.
        console = Console(at.app, at.pilot)
        await console.press("u")
        await console.until('Graded "Backups are restored')
        assert await at.state(2) == graded
        await console.press("u")
        await console.until("Undid: grade Again on ")
        assert await at.state(2) == THREE[1].scheduling


@pytest.mark.slow
async def test_a_redo_grades_the_card_again(tmp_path: Path) -> None:
    async with open_desk(tmp_path, *THREE) as at:
        await at.press("space", sees="JWKS")
        await at.press("3", sees="2 of 3")
        await at.press("u", sees="1 of 3")
        await at.press("U", sees="2 of 3")
        assert await at.state(1) == preview(THREE[0].scheduling, NOW)[Rating.GOOD]
        await at.sees("Redid: grade Good on ", "u undo")
        await at.press("u", sees="1 of 3")
        assert await at.state(1) == THREE[0].scheduling
        await at.press("x", sees="2 of 3")
        await at.press("u", sees="1 of 3")
        redone = await at.press("U", sees="2 of 3")
        assert "Redid: suspend on " in redone
        # A later change clears it.
        await at.press("u", sees="1 of 3")
        await at.press("b", sees="2 of 3")
        await at.press("U", sees="There is nothing to redo")


@pytest.mark.slow
async def test_undo_when_nothing_is_due_asks_again(tmp_path: Path) -> None:
    async with open_desk(tmp_path, THREE[0]) as at:
        await at.press("space", sees="JWKS")
        await at.press("3", sees="1 graded")
        await at.press("space", sees="1 graded")
        await at.press("u", sees="1 of 1")
        assert await at.state(1) == THREE[0].scheduling


@pytest.mark.slow
@pytest.mark.parametrize("patient", [False, True], ids=["before it is noticed", "after it is noticed"])
async def test_a_second_console_graded_the_card(tmp_path: Path, patient: bool) -> None:
    async with open_desk(tmp_path, *THREE) as at:
        await at.press("space", sees="JWKS")
        if not patient:
            at.app.session.cancel(Activity.WATCH_STORE)
        change = await at.other.reviews.record(THREE[0].id or "", Rating.EASY)
        if not patient:
            await at.pilot.press("3")
        screen = await at.sees("2 of 3", "This memory was graded elsewhere")
        assert change.scheduling is not None
        assert change.scheduling.next_review is not None
        assert f"due {ago(change.scheduling.next_review, NOW)}" in screen
        assert "Backups" in screen
        assert await at.ratings(1) == [int(Rating.EASY)]


@pytest.mark.slow
async def test_a_queued_card_that_was_graded_elsewhere_leaves_with_a_quiet_note(tmp_path: Path) -> None:
    async with open_desk(tmp_path, *THREE) as at:
        await at.press("space", sees="JWKS")
        await at.other.reviews.record(THREE[1].id or "", Rating.EASY)
        shown = await at.sees("1 queued card was graded elsewhere; skipped.", "2 of 3")
        assert "JWKS" in shown
        await at.press("3", sees="3 of 3")
        assert "Backups" not in at.text
        assert await at.ratings(2) == [int(Rating.EASY)]


@pytest.mark.slow
async def test_a_grade_that_was_undone_elsewhere_keeps_its_card(tmp_path: Path) -> None:
    async with open_desk(tmp_path, *THREE) as at:
        await at.sees("1 of 3")
        change = await at.other.reviews.record(THREE[1].id or "", Rating.EASY)
        await at.sees("2 of 3")
        await at.other.journal.undo(change.undo)
        await at.sees("overdue 2")
        await at.press("space", "3", sees="3 of 3")


@pytest.mark.slow
async def test_a_card_is_pinned_without_leaving_it(tmp_path: Path) -> None:
    async with open_desk(tmp_path, *THREE) as at:
        await at.sees("1 of 3")
        await at.press("p", sees="Pinned")
        assert "1 of 3" in at.text
        assert (await at.other.reviews.marks(THREE[0].id or "")).pinned
        await at.press("u", sees="Undid: pin")
        assert not (await at.other.reviews.marks(THREE[0].id or "")).pinned


@pytest.mark.slow
async def test_the_queue_is_not_shuffled_by_what_arrives(tmp_path: Path) -> None:
    async with open_desk(tmp_path, *THREE) as at:
        await at.press("space", sees="JWKS")
        await at.other.insert(draft(9, "An older one that waits much longer for Helsinki", schedule_due(90)))
        still = await at.sees("overdue 3")
        assert "1 of 3" in still
        assert "JWKS" in still
        await at.press("3", sees="Backups")
        assert "2 of 3" in at.text


@pytest.mark.slow
async def test_an_edit_elsewhere_shows_in_place(tmp_path: Path) -> None:
    from vestige_tui.core.memories import Patch

    async with open_desk(tmp_path, *THREE) as at:
        await at.press("space", sees="JWKS")
        await at.other.update(THREE[0].id or "", Patch(content=KEYS.replace("90", "30")))
        await at.sees("every 30 days", "1 of 3")
        await at.press("3", sees="2 of 3")
        assert await at.ratings(1) == [3]


@pytest.mark.slow
async def test_deleted_elsewhere_is_left_out(tmp_path: Path) -> None:
    async with open_desk(tmp_path, *THREE) as at:
        await at.sees("1 of 3")
        await at.other.delete([THREE[0].id or ""])
        await at.sees("was deleted elsewhere", "2 of 3")


@pytest.mark.slow
@pytest.mark.parametrize(("key", "said"), [("x", 'Suspended "Signing'), ("b", 'Buried "Signing'), ("d", "Deleted")])
async def test_setting_a_card_aside_and_taking_that_back(tmp_path: Path, key: str, said: str) -> None:
    async with open_desk(tmp_path, *THREE) as at:
        await at.sees("1 of 3")
        after = await at.press(key, sees="2 of 3")
        assert said in after
        assert "Backups" in after
        assert THREE[0].id not in [memory.id for memory in await at.other.reviews.due()]
        back = await at.press("u", sees="1 of 3")
        assert "Undid: " in back
        assert "Signing keys" in back
        assert THREE[0].id in [memory.id for memory in await at.other.reviews.due()]


@pytest.mark.slow
@pytest.mark.parametrize("key", ["x", "b", "d"])
async def test_a_practice_card_taken_back_is_practice_again(tmp_path: Path, key: str) -> None:
    async with open_desk(tmp_path, THREE[0], THREE[1]) as at:
        await at.press("space", "1", sees="2 of 2")
        await at.press("space", "3", sees="practice, 1 left")
        await at.press("space", sees="once more")
        await at.pilot.press(key)
        if key == "d":
            while not isinstance(at.app.screen, Confirm):
                await at.pilot.pause(0.01)
            await at.pilot.press("y")
        await at.sees("2 graded")
        await at.press("u", sees="practice, 1 left")
        await at.sees("once more")
        end = await at.press("3", sees="2 graded")
        assert "practised 1" in end
        assert "remembered      50 %   1 of 2, without new ones" in end
        assert await at.ratings(1) == [1]
        assert await at.state(1) == preview(THREE[0].scheduling, NOW)[Rating.AGAIN]


@pytest.mark.slow
async def test_a_change_seen_before_and_after_it_reached_the_store_is_of_this_console(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_desk(tmp_path, *THREE) as at:
        await at.sees("1 of 3")
        place, store = at.app.screen, at.app.session.store
        assert isinstance(place, ReviewPlace)
        assert store is not None
        apply, begins, may_delete, may_report = store.bulk.apply, asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def held_back(preview: BulkPreview) -> Change:
            begins.set()
            await may_delete.wait()
            change = await apply(preview)
            await may_report.wait()
            return change

        monkeypatch.setattr(store.bulk, "apply", held_back)
        await at.pilot.press("d")
        await begins.wait()
        await place._recheck().wait()
        may_delete.set()
        assert "deleted elsewhere" not in await at.sees("2 of 3")
        may_report.set()
        await at.sees("2 of 3", "Deleted")
        await at.press("u", sees="1 of 3")


@pytest.mark.slow
async def test_a_grade_of_the_session_before_is_taken_back(tmp_path: Path) -> None:
    async with open_desk(tmp_path, THREE[0]) as at:
        await at.press("space", "3", sees="1 graded")
        await at.other.insert(THREE[1])
        await at.sees("continue, 1 more")
        await at.press("space", sees="Backups")
        await at.press("u", sees="JWKS")
        assert await at.state(1) == THREE[0].scheduling


async def test_buried_until_the_next_local_midnight(tmp_path: Path) -> None:
    async with open_desk(tmp_path, *THREE) as at:
        await at.sees("1 of 3")
        await at.press("b", sees="2 of 3")
        assert (await at.other.reviews.marks(THREE[0].id or "")).buried_until == LocalDays().bound(NOW, 1)


@pytest.mark.slow
async def test_supersede_without_leaving(tmp_path: Path) -> None:
    async with open_desk(tmp_path, *THREE) as at:
        await at.sees("1 of 3")
        await at.pilot.press("S")
        while not isinstance(at.app.focused, Input):
            await at.pilot.pause(0.01)
        await at.pilot.press(*"00000002", "enter")
        await at.sees("2 of 3", " is now replaced by ", "Backups")
        assert (await at.other.get(THREE[0].id or "")).superseded_by == THREE[1].id


@pytest.mark.slow
async def test_filtered_by_tag(tmp_path: Path) -> None:
    async with open_desk(tmp_path, *THREE) as at:
        assert "tag:keys" not in await at.sees("1 of 3")
        # Digits are typing here, and no grades.
        await at.pilot.press("slash", *"tag:operations 3")
        await at.sees("1 of 1", "operations", "Backups")
        await at.pilot.press("escape")
        await at.press("space", sees="Monday")
        assert await at.ratings(2) == []
        await at.press("3", sees="1 graded")
        await at.press("escape", sees="1 of 2")


@pytest.mark.slow
async def test_a_filter_without_a_card(tmp_path: Path) -> None:
    async with open_desk(tmp_path, *THREE) as at:
        await at.sees("1 of 3")
        await at.pilot.press("slash", *"tag:nosuch ", "enter")
        await at.sees("Nothing that passes this filter is due.", "change the filters")
        await at.press("escape", sees="1 of 3")


@pytest.mark.slow
async def test_a_filter_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    async with open_desk(tmp_path, *THREE) as at:
        await at.sees("1 of 3")
        await at.pilot.press("slash", *"since:never ", "enter")
        await at.sees("The time 'never' is not valid", "1 of 3")
        await at.press("space", sees="JWKS")


@pytest.mark.slow
async def test_an_addition_is_taken_back_before_any_review(tmp_path: Path) -> None:
    async with open_desk(tmp_path, *THREE) as at:
        await at.press("space", sees="JWKS")
        await at.press("3", sees="2 of 3")
        await at.press("x", sees="3 of 3")
        await at.press("u", sees='Undid: suspend on "')
        await at.press("u", sees='Undid: grade Good on "')
        assert await at.state(1) == THREE[0].scheduling


async def test_nothing_is_due(tmp_path: Path) -> None:
    async with open_desk(tmp_path, draft(1, KEYS, schedule_due(-2)), draft(2, BACKUPS, schedule_due(-40))) as at:
        await at.sees("Nothing is due.", "The next one is due in 2 d; 1 within a week.", "F3")


async def test_the_next_one_is_far_away(tmp_path: Path) -> None:
    async with open_desk(tmp_path, draft(2, BACKUPS, schedule_due(-70))) as at:
        await at.sees("Nothing is due.", "The next one is due in 2 mo; none within a week.")


@pytest.mark.slow
async def test_todays_new_ones_were_all_asked(tmp_path: Path) -> None:
    new = [draft(number, f"{BACKUPS} number {number}") for number in range(1, 14)]
    async with open_desk(tmp_path, *new, graded=10) as at:
        await at.sees("Nothing is due.", "3 new memories wait; today's limit of 10 is reached.")


async def test_a_share_of_one_is_one(tmp_path: Path) -> None:
    policy = Config(new_per_day=1).policy()
    async with open_store(
        str(tmp_path / "v.db"), create=True, embedders=embedders(), clock=Clock(NOW), policy=policy
    ) as store:
        await store.insert(draft(1, KEYS))
        await store.insert(draft(2, BACKUPS))
        await store.reviews.record(draft(1, "").id or "", Rating.EASY)
        reason = await why_nothing(store, await store.reviews.queue_counts(), Filter())
    assert reason.endswith("1 new memory waits; today's limit of 1 is reached.")


@pytest.mark.slow
async def test_what_others_did_alone_is_no_sitting(tmp_path: Path) -> None:
    async with open_desk(tmp_path, *THREE) as at:
        await at.sees("1 of 3")
        for each in THREE:
            await at.other.reviews.record(each.id or "", Rating.EASY)
        shown = await at.sees("Nothing is due.", "This memory was graded elsewhere")
        assert "Session over" not in shown


@pytest.mark.slow
async def test_a_notice_does_not_tell_the_answer_of_a_card(tmp_path: Path) -> None:
    async with open_desk(tmp_path, *THREE) as at:
        await at.press("b", sees='Buried "Signing keys rotate every ▁▁')
        await at.press("u", sees='Undid: bury until tomorrow on "Signing keys rotate every ▁▁')
        await at.press("space", sees="every 90 days")
        await at.press("x", sees='Suspended "Signing keys rotate every 90 days')


async def test_an_empty_store(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as at:
        await at.sees("This store has no memories yet.", "add the first memory")
        await at.other.insert(THREE[0])
        await at.sees("1 of 1", "Signing keys")


@pytest.mark.slow
@pytest.mark.parametrize("size", [(60, 20), (80, 24), (120, 40)])
async def test_every_size_does_the_main_job(tmp_path: Path, size: tuple[int, int]) -> None:
    async with open_desk(tmp_path, *THREE, size=size) as at:
        first = await at.sees("1 of 3", "overdue 2", "space shows the answer")
        assert "Signing keys" in first
        shown = await at.press("space", sees="JWKS")
        assert ("▲" in shown) == (size[1] >= 24)
        assert all(name in shown for name in ("1 Again", "2 Hard", "3 Good", "4 Easy"))
        assert when(THREE[0].scheduling, Rating.EASY) in shown
        assert "u undo" in await at.press("4", sees="2 of 3")
        await at.press("space", "3", sees="3 of 3")
        end = await at.press("space", "3", sees="3 graded")
        assert "remembered      " in end
        assert "due in the next 30 days" in end


@pytest.mark.slow
async def test_hostile_text_is_only_shown(tmp_path: Path) -> None:
    bad = draft(1, HOSTILE, schedule_due(1), tags=("[red]t[/]", "\x1b]0;x\x07"), domains=("[/d]",))
    many = draft(2, f"# {HOSTILE}\n\n{HOSTILE}\n\n- {HOSTILE}", schedule_due(0.1))
    async with open_desk(tmp_path, bad, many) as at:
        for turn in ("1 of 2", "2 of 2"):
            await at.sees(turn)
            shown = await at.press("space", sees="end of")
            assert "[/foo]" in shown
            assert not any(each in shown for each in "\x1b\x9b\u202e\x00\x07\u200f")
            await at.pilot.press("3")
        await at.sees("2 graded")


@pytest.mark.slow
async def test_several_paragraphs_are_asked_by_their_heading(tmp_path: Path) -> None:
    async with open_desk(tmp_path, draft(1, RUNBOOK, schedule_due(1))) as at:
        first = await at.sees("Rotating keys")
        assert "mobile team" not in first
        shown = await at.press("space", sees="mobile team")
        assert "• publish the new key" in shown
        assert "# Rotating" not in shown


@pytest.mark.slow
async def test_a_leech_is_said_in_words(tmp_path: Path) -> None:
    async with open_desk(tmp_path, draft(1, KEYS, schedule_due(1, lapses=LEECH_LAPSES))) as at:
        await at.sees("leech")
        await at.press("space", sees=f"leech: forgotten {LEECH_LAPSES} times")
        await at.sees("e rewrite", "x suspend")


@pytest.mark.slow
async def test_read_only_shows_and_says_why_it_cannot_grade(tmp_path: Path) -> None:
    async with open_desk(tmp_path, *THREE, read_only=True) as at:
        await at.sees("1 of 3")
        await at.press("space", sees="JWKS")
        screen = await at.press("3", sees="read-only:")
        assert "1 of 3" in screen
        assert await at.ratings(1) == []
        assert "read-only:" in await at.press("x", sees="read-only:")
        assert (await at.other.reviews.marks(THREE[0].id or "")).suspended is False


@pytest.mark.slow
async def test_the_file_of_a_vestige_server_is_shown_and_not_graded(tmp_path: Path) -> None:
    path = make_v18(tmp_path / "vestige.db")
    app = VestigeApp(Config(), str(path), embedders=embedders(), clock=lambda: FILE_NOW)
    async with (
        open_store(str(path), embedders=embedders(), clock=lambda: FILE_NOW) as other,
        app.run_test(size=(120, 40), notifications=True) as pilot,
    ):
        await pilot.press("f4")
        at = Desk(pilot, app, other, Clock(NOW))
        first = await other.reviews.due(limit=1)
        await at.sees("1 of ", "space shows the answer")
        await at.press("space", sees=first[0].content[:30])
        await pilot.press("3")
        await Console(app, pilot).until(lambda: isinstance(app.screen, Confirm))
        assert "Adopt vestige.db, to write to it?" in at.text
        await at.press("escape", sees="read-only:")
        assert await other.reviews.due(limit=1) == first


@pytest.mark.slow
async def test_a_grade_can_be_clicked(tmp_path: Path) -> None:
    async with open_desk(tmp_path, *THREE) as at:
        await at.sees("1 of 3")
        await at.pilot.click("#card")
        await at.sees("JWKS")
        await at.pilot.click("RatingBar Grade:last-child")
        await at.sees("2 of 3")
        assert await at.state(1) == preview(THREE[0].scheduling, NOW)[Rating.EASY]


@pytest.mark.slow
async def test_more_that_fell_due_meanwhile_goes_on_after_the_end(tmp_path: Path) -> None:
    async with open_desk(tmp_path, THREE[0]) as at:
        await at.press("space", sees="JWKS")
        await at.press("3", sees="1 graded")
        await at.other.insert(THREE[1])
        await at.sees("continue, 1 more")
        await at.press("space", sees="1 of 1")
        assert "Backups" in at.text


def asks(content: str, tags: tuple[str, ...] = ()) -> str:
    """A prompt with its blanks as underscores."""
    prompt = prompt_of(Memory("x", content, tags=tags))
    text = list(prompt.text)
    for start, end in prompt.blanks:
        text[start:end] = "_" * (end - start)
    return "".join(text)


@pytest.mark.slow
async def test_a_new_day_reaches_an_open_console(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_session, "WAIT_SECONDS", 0.05)
    async with open_desk(tmp_path, THREE[0], THREE[1], draft(4, RUNBOOK, schedule_due(-0.8))) as at:
        await at.press("b", sees="2 of 2")
        end = await at.press("space", "3", sees="1 graded")
        assert "continue, " not in end
        await at.until(lambda _: at.app.session.badges["review"].text == "")
        midnight = LocalDays().bound(NOW, 1)
        at.clock.moment = midnight - timedelta(minutes=1)
        await at.pilot.pause(0.2)
        assert "continue, " not in at.text
        at.clock.moment = midnight
        await at.sees("continue, 2 more")
        await at.until(lambda _: at.app.session.badges["review"].text == "2")
        await at.press("space", sees="1 of 2")


async def test_a_new_day_begins_a_session_where_nothing_was_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_session, "WAIT_SECONDS", 0.05)
    async with open_desk(tmp_path, draft(4, RUNBOOK, schedule_due(-0.8))) as at:
        await at.sees("Nothing is due")
        at.clock.moment = LocalDays().bound(NOW, 1)
        await at.sees("1 of 1")


def test_a_card_that_leaves_the_queue_does_not_change_the_card_shown() -> None:
    session = ReviewSession(["a", "b", "c", "d"], NOW)
    session.grade("a", Rating.AGAIN, None, Scheduling(), 1.0)
    before = session.card
    for memory_id in ("c", "d"):
        session.set_aside(memory_id, elsewhere=True)
        assert session.card == before == SessionCard("b")
    assert session.queued == ()
    assert (session.handled, session.total, session.elsewhere, session.practice_left) == (3, 4, 2, 1)
    assert session.acted


def test_a_cloze_hides_what_is_told() -> None:
    assert asks(KEYS) == KEYS.replace("90", "__").replace("JWKS", "____")
    assert asks(KEYS) == asks(KEYS)
    assert "JWKS" in asks(KEYS, tags=("jwks",)), "the tags would give it away"
    assert asks("Use `lru_cache` for it. It is why `lru_cache` was made.").count("_________") == 2
    assert asks("Never **ever** merge on `main` before *noon*") == "Never ever merge on ____ before noon"


@pytest.mark.parametrize(
    ("content", "asked"),
    [
        ("# Heading\n\ntext", "Heading"),
        ("First line.\n\nSecond paragraph.", "First line."),
        ("- one\n- two", "one"),
        ("hello world", "hello…"),
        ("a", "…"),
        ("", "(this memory has no text)"),
        ("x " * 700, "x " * 199 + "x…"),
    ],
)
def test_what_is_no_sentence_is_asked_by_its_beginning(content: str, asked: str) -> None:
    prompt = prompt_of(Memory("x", content))
    assert prompt.text == asked
    assert prompt.blanks == ()


def test_japanese_has_blanks_too() -> None:
    content = "検索結果は全角文字でも列が揃うこと、長い行は省略記号で終わること"
    prompt = prompt_of(Memory("x", content))
    assert prompt.blanks
    assert all(end - start <= 6 for start, end in prompt.blanks)


def graded(sitting: ReviewSession, memory_id: str, rating: Rating, seconds: float = 5.0) -> None:
    sitting.grade(memory_id, rating, None, preview(None, NOW)[rating], seconds)


def test_practice_comes_after_some_others_and_before_the_end() -> None:
    ids = [str(number) for number in range(9)]
    sitting = ReviewSession(ids, NOW)
    graded(sitting, "0", Rating.AGAIN)
    for number in range(1, 1 + PRACTICE_AFTER):
        assert sitting.card == SessionCard(str(number))
        graded(sitting, str(number), Rating.GOOD)
    assert sitting.card == SessionCard("0", practice=True)
    sitting.practise("0", Rating.GOOD, 5.0)
    assert sitting.card == SessionCard(str(1 + PRACTICE_AFTER))
    assert (sitting.handled, sitting.total) == (1 + PRACTICE_AFTER, 9)


def test_the_pace_is_the_median_of_the_cards_so_far() -> None:
    sitting = ReviewSession([str(number) for number in range(13)], NOW)
    assert sitting.seconds_left() == 13 * CARD_SECONDS
    for number, seconds in enumerate((4.0, 6.0, 90.0)):
        graded(sitting, str(number), Rating.GOOD, seconds)
    assert sitting.seconds_left() == 10 * 6.0


def test_a_card_brought_back_is_next_and_counts_no_more() -> None:
    sitting = ReviewSession(["a", "b"], NOW)
    graded(sitting, "a", Rating.AGAIN)
    sitting.requeue("a")
    assert sitting.card == SessionCard("a", requeued=True)
    assert sitting.graded == []
    assert (sitting.handled, sitting.total, sitting.practice_left) == (0, 2, 0)
    sitting.requeue("c")
    assert (sitting.handled, sitting.total) == (0, 3)


def test_an_undone_act_leaves_the_session_as_it_was() -> None:
    sitting = ReviewSession(["a", "b", "c"], NOW)
    graded(sitting, "a", Rating.AGAIN)
    graded(sitting, "b", Rating.GOOD)
    graded(sitting, "c", Rating.GOOD)
    sitting.set_aside("a", entry=7)
    assert (sitting.card, sitting.practice_left) == (None, 0)
    assert sitting.undo(7)
    assert (sitting.card, sitting.practice_left) == (SessionCard("a", practice=True), 1)
    assert (len(sitting.graded), sitting.handled) == (3, 3)
    assert not sitting.undo(7)
    sitting.practise("a", Rating.AGAIN, 5.0)
    sitting.practise("a", Rating.GOOD, 5.0)
    assert (sitting.card, sitting.repeated) == (None, 2)


def test_an_undone_grade_takes_its_practice_along_and_no_other() -> None:
    sitting = ReviewSession(["a", "b"], NOW)
    state = preview(None, NOW)[Rating.AGAIN]
    sitting.grade("a", Rating.AGAIN, None, state, 5.0, entry=1)
    sitting.grade("b", Rating.AGAIN, None, state, 5.0, entry=2)
    sitting.practise("a", Rating.GOOD, 5.0)
    sitting.practise("b", Rating.AGAIN, 5.0)
    assert sitting.undo(2)
    assert sitting.card == SessionCard("b", requeued=True)
    assert (sitting.repeated, sitting.practice_left, sitting.handled, sitting.seconds) == (1, 0, 1, 10.0)


def test_a_write_seen_before_it_was_reported_is_undone() -> None:
    sitting = ReviewSession(["a", "b"], NOW)
    sitting.set_aside("a", elsewhere=True)
    sitting.set_aside("b")
    sitting.name_entry(["a", "b"], 3)
    assert sitting.undo(3)
    assert sitting.card == SessionCard("b", requeued=True)
    assert (sitting.handled, sitting.elsewhere) == (1, 1)


async def test_a_grade_before_the_answer_is_refused_until_it_is_shown(tmp_path: Path) -> None:
    async with open_desk(tmp_path, *THREE[:2]) as at:
        await at.press("3", sees="Press space first to show the answer, then 3 to grade it.")
        await at.press("space", sees="JWKS")
        assert "Press space first" not in at.text
