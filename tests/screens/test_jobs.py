"""Jobs: keys pressed, lines seen."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from tests.jobs.filled import fill as fill_large
from tests.screens.corpus import Console, opened
from tests.screens.work import FINDINGS, show
from tests.vestige_files import make_v18
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.model import TableProgress


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs of nobody else are watched."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def row(console: Console, start: str) -> str:
    return next(line for line in console.lines if start in line and " % of " in line)


async def test_one_job_in_full_beside_the_others(corpus: Path) -> None:
    async with opened(corpus) as console:
        await console.press("f5")
        await show(console.app)
        await console.until("findings")
        assert "3 in flight   4 ended" in console.text
        for said in ("no sign for 12 min", "stuck", "done, 3 h ago", "2 failed rows", "cancelled", "failed"):
            assert said in console.text
        assert "running   attempt 2   begun 9 min ago   deadline in 6 h" in console.text
        assert "9,812 rows/s" in console.text
        assert "heartbeat 2 s ago" in console.text
        figures = row(console, "memories  ").split()
        assert figures[-6:] == ["of", "100,000", "58,190", "3,011", "5", "3"]
        assert "waiting, 100,000 rows" in console.text
        assert "left behind, 17 rows" in console.text
        assert "note\ufffd]52;c;x\ufffd" in console.text
        assert "its symbol [/red]." in console.text


async def test_figures_keep_their_place_while_they_grow(corpus: Path) -> None:
    async with opened(corpus) as console:
        await console.press("f5")
        jobs = await show(console.app)
        await console.until("findings")
        before = row(console, "memories  ")
        tables = {**jobs[0].progress.tables, "memories": TableProgress(99_999, 96_987, 3_011, 5, 1, total=100_000)}
        progress = replace(jobs[0].progress, tables=tables, rate=99_812.0, eta=9.0)
        console.app.jobs = (replace(jobs[0], progress=progress), *jobs[1:])
        console.app.frame_changed.publish(None)
        await console.until("96,987")
        after = row(console, "memories  ")
        assert len(before) == len(after)
        assert before.index("100,000") == after.index("100,000")
        assert "99 %" in after  # never full before its time


async def test_a_finding_opens_and_escape_leads_back(corpus: Path) -> None:
    async with opened(corpus, (60, 20)) as console:
        await console.press("f5")
        await show(console.app)
        await console.until("in flight")
        assert "inserted" not in console.text
        await console.press("enter")
        await console.until("inserted")
        await console.press("enter", "j", "j", "j", "enter")
        await console.until(FINDINGS[3].reason)
        assert FINDINGS[3].source_key in console.text
        await console.press("escape", "escape", "escape")
        await console.until("3 in flight")


async def test_the_cursor_keeps_its_job(corpus: Path) -> None:
    async with opened(corpus) as console:
        await console.press("f5")
        jobs = await show(console.app)
        await console.press("j", "j")
        await console.until("reindex the docs of harbour-api")
        newer = replace(jobs[0], id="newer000", target="postgresql://other/newest")
        console.app.jobs = (newer, *jobs)
        console.app.frame_changed.publish(None)
        await console.until("4 in flight")
        assert "reindex the docs of harbour-api" in console.text


async def test_how_jobs_ended_is_said_in_words(corpus: Path) -> None:
    async with opened(corpus) as console:
        await console.press("f5")
        await show(console.app)
        said = (
            "Its worker gave no sign for 12 min.",
            "stuck",
            "Every row that was read is in the target.",
            "2 rows could not be copied",
            "A person stopped it",
            "The server closed the connection",
        )
        for sentence in said:
            await console.press("j")
            await console.until(sentence)


async def test_a_job_is_stopped_after_asking(corpus: Path) -> None:
    async with opened(corpus) as console:
        await console.press("f5")
        ledger = Ledger(console.store)
        run = await ledger.start(
            kind="copy", source="sqlite:/a.db", target="postgresql://b/c", model="", task="", owner="me"
        )
        await console.until("waiting to start")
        await console.press("x")
        await console.until("Stop this job?")
        await console.press("n")
        await console.until("Stop this job?", gone=True)
        assert not (await ledger.job(run.id)).cancel_requested
        await console.press("x")
        await console.until("Stop this job?")
        await console.press("y")
        await console.until("stopping")
        assert (await ledger.job(run.id)).cancel_requested


@pytest.mark.parametrize("size", [(120, 40), (60, 20)])
async def test_an_empty_place_says_how_to_begin(tmp_path: Path, size: tuple[int, int]) -> None:
    path = make_v18(tmp_path / "memory.db", 3, hostile=True)
    async with opened(path, size) as console:
        await console.press("f5")
        await console.until("No job has run yet")
        assert "copy this store to PostgreSQL" in console.text


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("sqlite:/nowhere/x.db", "A copy goes from a SQLite file to PostgreSQL."),
        ("postgresql://me:s3cret@127.0.0.1:1/x", "127.0.0.1"),
    ],
)
async def test_what_cannot_be_copied_is_one_sentence(corpus: Path, target: str, sentence: str) -> None:
    async with opened(corpus) as console:
        await console.press("f5", "c")
        await console.until("Copy this store to PostgreSQL")
        console.app.screen.query_one("Input").insert_text_at_cursor(target)  # type: ignore[attr-defined]  # an Input
        await console.press("enter")
        await console.until("■")
        assert sentence in console.text
        assert "s3cret" not in console.text
        assert not console.app.jobs


async def test_a_real_copy_is_started_and_watched(tmp_path: Path, postgres_database: str) -> None:
    path = tmp_path / "large.db"
    await fill_large(path, 400)
    async with opened(path) as console:
        console.app.clock = None
        await console.press("f7", "c")
        await console.until("Copy this store to PostgreSQL")
        console.app.screen.query_one("Input").insert_text_at_cursor(postgres_database)  # type: ignore[attr-defined]  # an Input
        await console.press("enter")
        await console.until("start the copy")
        assert "memories" in console.text
        await console.press("y")
        async with asyncio.timeout(60):
            while not (console.app.jobs and console.app.jobs[0].status in ("completed", "failed")):
                await console.pilot.pause(0.1)
        await console.until("Every row that was read is in the target.")
        assert row(console, "memories  ").split()[-5:] == ["400", "400", "─", "─", "─"]
