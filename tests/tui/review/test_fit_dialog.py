"""The key that fits the weights from the page of statistics: progress, figures, question, one undo, and refusals."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.support.adopted_files import make_adopted
from tests.support.console import Console, open_console
from tests.support.store_digest import read
from tests.support.synthetic_reviews import fill
from vestige_tui.core.reviews import Scheduling
from vestige_tui.store import fit_process
from vestige_tui.store.open import open_store
from vestige_tui.tui.review.fit_dialog import FitDialog, FitResult
from vestige_tui.tui.review.place import ReviewPlace
from vestige_tui.tui.review.statistics_page import StatisticsScreen


async def filled(url: str, memories: int) -> str:
    async with open_store(url, create=True) as store:
        await fill(store, memories)
    return url


async def open_fit(console: Console) -> FitDialog:
    """Go to the statistics and press the key of the fit."""
    await console.press("f4")
    await console.until(lambda: isinstance(console.app.screen, ReviewPlace))
    await console.press("h")
    await console.until(lambda: isinstance(console.app.screen, StatisticsScreen))
    await console.still()
    await console.press("f")
    await console.until(lambda: isinstance(console.app.screen, FitDialog))
    screen = console.app.screen
    assert isinstance(screen, FitDialog)
    return screen


async def schedules(console: Console, ids: list[str]) -> list[Scheduling | None]:
    return [await console.store.reviews.scheduling(each) for each in ids]


@pytest.mark.slow
@pytest.mark.parametrize("key", ["y", "r"])
async def test_a_fit_is_shown_applied_and_undone(store_url: str, key: str) -> None:
    url = await filled(store_url, 150)
    before = read(url, "scheduling", "memory_id")
    async with open_console(url) as console:
        dialog = await open_fit(console)
        await console.until("Rescheduling would move")
        result = dialog._state
        assert isinstance(result, FitResult)
        for figure in (result.fit.loss_before, result.fit.loss_after):
            assert console.says(f"{figure:.4f}")
        assert console.says(f"Fitted to {result.fit.reviews} reviews.")
        assert console.says(f"{result.preview.due_before}")
        assert not console.store.weights.applied, "nothing is applied before the answer"
        await console.press(key)
        await console.until("Applied FSRS weights")
        assert console.store.weights.current == result.fit.weights
        moved = read(url, "scheduling", "memory_id") != before
        assert moved == (key == "r")
        await console.press("u")
        await console.until("Undid: apply FSRS weights")
        assert not console.store.weights.applied
        assert read(url, "scheduling", "memory_id") == before
        await console.press("U")
        await console.until("Redid: apply FSRS weights")
        assert console.store.weights.current == result.fit.weights


@pytest.mark.slow
async def test_escape_ends_the_process_of_the_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sign = tmp_path / "process"
    endless = f"import os, time; open({str(sign)!r}, 'x').write(str(os.getpid())); time.sleep(3600)"
    monkeypatch.setattr(fit_process, "FIT_COMMAND", (sys.executable, "-c", endless))
    url = await filled(f"sqlite:{tmp_path / 'own.db'}", 30)
    async with open_console(url) as console:
        dialog = await open_fit(console)
        await console.until(lambda: sign.exists() and sign.read_text() != "")
        # The console answers meanwhile.
        await console.press("y", "r")
        assert console.app.screen is dialog
        await console.press("escape")
        await console.until(lambda: isinstance(console.app.screen, StatisticsScreen))
        process = int(sign.read_text())
        await console.until(lambda: not _lives(process))
        assert not console.store.weights.applied


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
async def test_a_process_that_dies_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit_process, "FIT_COMMAND", (sys.executable, "-c", "import os; os.abort()"))
    async with open_console(await filled(f"sqlite:{tmp_path / 'own.db'}", 30)) as console:
        await open_fit(console)
        await console.until("ended early; nothing was changed")
        await console.press("escape")
        await console.until(lambda: isinstance(console.app.screen, StatisticsScreen))


@pytest.mark.slow
async def test_too_few_reviews_are_refused_with_their_number(store_url: str) -> None:
    async with open_console(await filled(store_url, 10)) as console:
        await open_fit(console)
        await console.until("needs 400 reviews")
        await console.press("y", "r")
        assert isinstance(console.app.screen, FitDialog)
        assert not console.store.weights.applied


@pytest.mark.slow
async def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsrs_rs_python", None)
    async with open_console(await filled(f"sqlite:{tmp_path / 'own.db'}", 10)) as console:
        await open_fit(console)
        await console.until('pip install "vestige-tui[optimize]"')


@pytest.mark.slow
async def test_an_adopted_file_is_fitted_rescheduled_and_undone(tmp_path: Path) -> None:
    path = await asyncio.to_thread(make_adopted, tmp_path / "adopted.db", "18")
    async with open_store(f"sqlite:{path}") as store:
        ids = await fill(store, 150)
    async with open_console(path) as console:
        before = await schedules(console, ids)
        await open_fit(console)
        await console.until("Rescheduling would move")
        await console.press("r")
        await console.until("Applied FSRS weights")
        assert console.store.weights.applied
        assert await schedules(console, ids) != before
        await console.press("u")
        await console.until("Undid: apply FSRS weights")
        assert await schedules(console, ids) == before


@pytest.mark.slow
async def test_a_read_only_store_refuses_the_fit(tmp_path: Path) -> None:
    async with open_console(await filled(f"sqlite:{tmp_path / 'own.db'}", 10), read_only=True) as console:
        await console.press("f4")
        await console.until(lambda: isinstance(console.app.screen, ReviewPlace))
        await console.press("h")
        await console.until(lambda: isinstance(console.app.screen, StatisticsScreen))
        screen = console.app.screen
        assert isinstance(screen, StatisticsScreen)
        await console.press("f")
        await console.until(screen.why_not("fit_weights"))
        assert console.app.screen is screen
