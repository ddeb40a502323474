"""Review while the store fails to answer for a moment: what is said of whose change, and what a key takes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from tests.support.clock import Clock
from tests.support.console import Console
from tests.support.corpus import embedders
from tests.support.review_desk import BACKUPS, NOW, THREE, Desk, open_desk
from vestige_tui.config.settings import Config
from vestige_tui.core.errors import Unavailable, Unsure
from vestige_tui.core.memories import Change
from vestige_tui.core.reviews import Marks, Rating
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store
from vestige_tui.tui.app import VestigeApp
from vestige_tui.tui.review.place import ReviewPlace
from vestige_tui.tui.review.review_session import ReviewSession

AWAY = "The line is cut."


def sitting(at: Desk) -> ReviewSession:
    place = at.app.screen
    assert isinstance(place, ReviewPlace)
    assert place._session is not None
    return place._session


def store_of(at: Desk) -> Store:
    assert at.app.session.store is not None
    return at.app.session.store


def cut_reading(at: Desk, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """No card can be read any more, until what is returned is called."""
    store = store_of(at)
    marks = store.reviews.marks
    whole = True

    async def lost(memory_id: str) -> Marks:
        if whole:
            raise Unavailable(AWAY)
        return await marks(memory_id)

    def mend() -> None:
        nonlocal whole
        whole = False

    monkeypatch.setattr(store.reviews, "marks", lost)
    return mend


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keys", "verb"), [(("space", "3"), "review"), (("x",), "suspend"), (("b",), "bury")], ids=["grade", "x", "b"]
)
async def test_ones_own_change_is_nobody_elses_where_the_next_card_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: tuple[str, ...], verb: str
) -> None:
    async with open_desk(tmp_path, *THREE) as at:
        await at.sees("1 of 3")
        mend = cut_reading(at, monkeypatch)
        await at.press(*keys, sees=AWAY)
        written = await at.other.journal.entries(limit=1)
        assert [entry.verb for entry in written] == [verb]
        # Not graded a second time either, however often it is tried.
        await at.press("space", "3", sees=AWAY)
        assert await at.other.journal.entries(limit=1) == written
        mend()
        after = await at.press("ctrl+r", sees="2 of 3")
        assert "elsewhere" not in after
        assert "Backups" in after
        assert sitting(at).elsewhere == 0
        assert (sitting(at).handled, len(sitting(at).graded)) == (1, int(verb == "review"))


@pytest.mark.slow
async def test_practice_is_kept_where_the_next_card_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_desk(tmp_path, THREE[0]) as at:
        await at.press("space", sees="JWKS")
        mend = cut_reading(at, monkeypatch)
        await at.press("1", sees=AWAY)
        mend()
        await at.press("ctrl+r", sees="practice, 1 left")
        assert await at.ratings(1) == [int(Rating.AGAIN)]


@pytest.mark.slow
async def test_the_end_is_told_of_where_it_could_not_be_read_at_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_desk(tmp_path, THREE[0]) as at:
        await at.press("space", sees="JWKS")
        with monkeypatch.context() as broken:

            async def lost(*_: object) -> tuple[datetime, ...]:
                raise Unavailable(AWAY)

            broken.setattr(store_of(at).reviews, "due_times", lost)
            await at.press("3", sees=AWAY)
        await at.press("ctrl+r", sees="1 graded")


@pytest.mark.slow
async def test_a_grade_that_was_saved_while_the_line_broke_is_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_desk(tmp_path, *THREE) as at:
        await at.press("space", sees="JWKS")
        store = store_of(at)
        record = store.reviews.record

        async def broken(*given: object, **named: object) -> Change:
            await record(*given, **named)  # type: ignore[arg-type]  # passed through
            raise Unsure("Whether that was saved is not known.")

        monkeypatch.setattr(store.reviews, "record", broken)
        await at.pilot.press("3")
        after = await at.sees("2 of 3", "Backups")
        assert "elsewhere" not in after
        assert sitting(at).elsewhere == 0


@pytest.mark.slow
async def test_what_could_not_be_taken_back_is_taken_back_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_desk(tmp_path, *THREE) as at:
        await at.press("space", sees="JWKS")
        await at.press("3", sees="2 of 3")
        await at.press("space", sees="Monday")
        await at.press("3", sees="3 of 3")
        store = store_of(at)
        with monkeypatch.context() as broken:

            async def lost(entry: int | None = None) -> Change:
                raise Unavailable(AWAY)

            broken.setattr(store.journal, "undo", lost)
            await at.press("u", sees=AWAY)
        back = await at.press("u", sees="2 of 3")
        assert "Monday" in back
        assert (await at.ratings(1), await at.state(2)) == ([int(Rating.GOOD)], THREE[1].scheduling)
        await at.press("u", sees="1 of 3")
        assert await at.state(1) == THREE[0].scheduling


@pytest.mark.slow
async def test_what_can_never_be_taken_back_is_no_wall(tmp_path: Path) -> None:
    async with open_desk(tmp_path, *THREE) as at:
        await at.press("space", sees="JWKS")
        await at.press("3", sees="2 of 3")
        await at.press("space", sees="Monday")
        await at.press("3", sees="3 of 3")
        await at.other.reviews.record(THREE[1].id or "", Rating.EASY)
        await at.press("u", sees="has been graded again since")
        await at.press("u", sees="Signing keys")
        assert await at.state(1) == THREE[0].scheduling


@pytest.mark.slow
async def test_a_filter_given_before_the_store_is_open_holds_from_the_first_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "vestige.db"
    clock = Clock(NOW)
    async with open_store(str(path), create=True, embedders=embedders(), clock=clock) as other:
        for each in THREE:
            await other.insert(each)
    free, opened = asyncio.Event(), Store.open

    async def slow(store: Store) -> None:
        await free.wait()
        await opened(store)

    monkeypatch.setattr(Store, "open", slow)
    app = VestigeApp(Config(), str(path), embedders=embedders(), clock=clock)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        shown = Console(app, pilot)
        await shown.press("f4", "slash")
        await shown.type("tag:operations since:never ")
        await shown.until("Opening the store")
        free.set()
        # One that says nothing is said, and asks nothing away.
        await shown.until("The time 'never' is not valid")
        await shown.press("backspace")
        await shown.until("1 of 1")
        assert BACKUPS[:20] in shown.text
        place = app.screen
        assert isinstance(place, ReviewPlace)
        assert place._chosen.tags == ("operations",)
