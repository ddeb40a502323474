"""Missing vectors while a job makes all of them anew: nobody is told that none is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.console import open_console
from vestige_tui.core.memories import Draft
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.store.open import open_store


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs of nobody else are watched."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


async def remade(path: Path) -> str:
    """Begin a job that makes the vectors in place, while one is missing; gives its id."""
    url = f"sqlite:{path}"
    async with open_store(url) as store:
        await store.insert(Draft("without a vector"), embed=False)
        run = await Ledger(store).start(
            kind="reembed", source=url, target=url, model="", task="", owner="me", options={"in_place": True}
        )
    return run.id


@pytest.mark.slow
async def test_fill_names_the_job_that_makes_all_vectors(corpus: Path) -> None:
    job = await remade(corpus)
    async with open_console(corpus) as console:
        # The console itself leaves them to the job, too, and has nothing to say about it.
        loading = console.app.session.prepare_model()
        assert loading is not None
        await loading
        assert "re-embedding this store" not in console.text
        assert console.banner == ""
        await console.press("f6")
        await console.until("without a vector")
        await console.press("f")
        await console.until(f"Job {job[:8]} is re-embedding this store and computes the missing vectors, too.")
        await Ledger(console.store).transition(job, "completed")
        await console.press("f")
        await console.until("Computed 1 vector.")
