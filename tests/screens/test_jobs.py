"""Jobs: keys pressed, lines seen."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.screens.corpus import NOW, Console, embedders, opened
from tests.screens.work import FINDINGS, show
from tests.vestige_files import make_v18
from vestige_tui.app import VestigeApp
from vestige_tui.config import Config
from vestige_tui.jobs.ledger import CALLER, Ledger
from vestige_tui.model import JobFinding, TableProgress
from vestige_tui.text import cells


def row(console: Console, start: str) -> str:
    return next(line for line in console.lines if start in line and " % of " in line)


async def test_one_job_in_full_beside_the_others(corpus: Path) -> None:
    async with opened(corpus) as console:
        await console.press("f5")
        await show(console.app)
        await console.until("findings")
        for said in ("running  2", "agents  1", "finished  4"):
            assert said in console.text
        for said in ("no sign for 12 min", "stuck 12 min", "verified, 3 h ago", "2 failed rows, 1 d ago"):
            assert said in console.text
        for said in ("cancelled, 2 d ago", "failed, 5 d ago", "in 5 h 12 min"):
            assert said in console.text
        assert "running   attempt 2, resumed 13:53   begun 9 min ago   deadline in 6 h" in console.text
        assert "how        500 rows a batch" in console.text
        assert "9,812 rows/s" in console.text
        assert "heartbeat 2 s ago" in console.text
        assert "checkpoint at 116,107 rows" in console.text
        figures = row(console, "memories  ").split()
        assert figures[-6:] == ["of", "100,000", "58,190", "3,011", "5", "3"]
        assert "waiting, 100,000 rows" in console.text
        assert "left behind, 17 rows" in console.text
        assert "findings   5 failed   5 repaired   1 left behind" in console.text
        assert "note\ufffd]52;c;x\ufffd" in console.text
        assert "NUL in the text became its symbol" in console.text


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
        await console.until("running  2")
        assert "inserted" not in console.text
        await console.press("enter")
        await console.until("inserted")
        await console.press("enter", "j", "j", "j", "enter")
        await console.until(FINDINGS[3].reason)
        assert FINDINGS[3].source_key in console.text
        await console.press("escape", "escape", "escape")
        await console.until("running  2")


async def test_the_cursor_keeps_its_job(corpus: Path) -> None:
    async with opened(corpus) as console:
        await console.press("f5")
        jobs = await show(console.app)
        await console.press("j", "j")
        await console.until("reindex the docs of harbour-api")
        newer = replace(jobs[0], id="newer000", target="postgresql://other/newest")
        console.app.jobs = (newer, *jobs)
        console.app.frame_changed.publish(None)
        await console.until("running  3")
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


@pytest.mark.parametrize("size", [(120, 40), (60, 20)])
async def test_an_empty_place_says_how_to_begin(tmp_path: Path, size: tuple[int, int]) -> None:
    path = make_v18(tmp_path / "memory.db", 3, hostile=True)
    async with opened(path, size) as console:
        await console.press("f5")
        await console.until("No job has run yet")
        assert "copy this store into another one" in console.text
        await console.press("x")
        await console.until("There is no job here yet.")


async def test_what_an_agent_was_given_is_told_in_full(corpus: Path) -> None:
    async with opened(corpus) as console:
        await console.press("f5")
        [*_, stuck, _, _, _, _] = await show(console.app)
        working = replace(
            stuck,
            id="a6e27bbb",
            status="in_progress",
            error=None,
            caller=str(CALLER),
            task="[/red] sweep \x1b[2J the 倉庫の在庫 of everything that nobody has read for a very long time",
            last_heartbeat=NOW - timedelta(seconds=4),
            deadline=NOW - timedelta(minutes=3),
            retry_count=0,
        )
        done = replace(stuck, id="d0e27bbb", status="completed", error=None, result="12 pages\nare dead")
        console.app.jobs = (stuck, working, done)
        console.app.frame_changed.publish(None)
        await console.until("agents  2")
        for said in (
            "stuck   begun 48 min ago",
            "and say which pages are dead",
            f"asked by   {stuck.caller}",
            f"given to   {stuck.callee}",
            "retries    1",
            "heartbeat  12 min ago, at 13:50",
            "deadline   in 5 h 12 min, at 19:14",
            "no sign of life since 13:50, for 12 min; it may still recover.",
        ):
            assert said in console.text
        await console.press("j")
        await console.until("heartbeat  4 s ago")
        assert "asked by   this program" in console.text
        assert "overdue by 3 min" in console.text
        assert "[/red] sweep \ufffd[2J the 倉庫の在庫" in console.text
        await console.press("j")
        await console.until("result     12 pages")
        assert "           are dead" in console.text
        assert "deadline   " not in console.text


async def test_differences_of_a_comparison_say_on_which_side(corpus: Path) -> None:
    findings = (
        JobFinding("memories", "differs", "id-1", "content and tags differ."),
        JobFinding("edges", "only_source", "id-2", "It is not in the target."),
        JobFinding("edges", "only_target", "id-3", "It is not in the source."),
    )
    async with opened(corpus) as console:
        await console.press("f5")
        copied = (await show(console.app))[3]
        run = await Ledger(console.store).start(
            kind="verify", source="sqlite:/a.db", target="postgresql://b/c", model="", task="", owner="me"
        )
        async with console.store.backend.write() as transaction:
            await Ledger(console.store).add_findings(transaction, run.id, findings)
        tables = {
            "memories": TableProgress(4_961, total=4_961, differ=1),
            "edges": TableProgress(900, total=900, only_source=1, only_target=1),
        }
        progress = replace(copied.progress, tables=tables)
        compared = replace(copied, id=run.id, kind="verify", options={}, progress=progress)
        same = replace(progress, tables={"memories": TableProgress(9, total=9)})
        clean = replace(compared, id="c1ea0", progress=same)
        console.app.jobs = (compared, clean)
        console.app.frame_changed.publish(None)
        await console.until("◨ target only")
        assert "verify vestige.db = db1/vestige" in console.text
        assert "3 differ" in console.text
        assert "3 rows differ, or are on one side only; the findings name them." in console.text
        assert "differ  source only  target only" in console.text
        assert "findings   1 differ   1 only in the source   1 only in the target" in console.text
        assert "content and tags differ." in console.text
        await console.press("j")
        await console.until("Every row is the same on both sides.")
        assert "✓ verified, all equal" in console.text


async def test_many_findings_come_as_one_goes_to_their_end(corpus: Path) -> None:
    async with opened(corpus) as console:
        await console.press("f5")
        copied = (await show(console.app))[3]
        run = await Ledger(console.store).start(
            kind="copy", source="sqlite:/a.db", target="postgresql://b/c", model="", task="", owner="me"
        )
        findings = [JobFinding("memories", "failed", f"row-{number}", f"Reason {number}.") for number in range(10_000)]
        async with console.store.backend.write() as transaction:
            await Ledger(console.store).add_findings(transaction, run.id, findings)
        tables = {"memories": TableProgress(10_000, failed=10_000, total=10_000)}
        console.app.jobs = (replace(copied, id=run.id, progress=replace(copied.progress, tables=tables)),)
        console.app.frame_changed.publish(None)
        await console.until("the first 100 are shown, G brings more")
        assert "10,000 failed" in console.text
        await console.press("enter", "G")
        await console.until("the first 1,000 are shown, G brings more")
        await console.press("G")
        await console.until("Reason 999.")
        await console.until("are shown", gone=True)
        await console.press("G")
        await console.until("Reason 9999.")


@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 20)])
async def test_hostile_and_wide_names_stay_in_their_columns(corpus: Path, size: tuple[int, int]) -> None:
    async with opened(corpus, size) as console:
        await console.press("f5")
        jobs = await show(console.app)
        hostile = "postgresql://ada@倉庫倉庫倉庫倉庫倉庫倉庫倉庫/[/red]\x1b[2J\u202e"
        memories = jobs[0].progress.tables["memories"]
        tables = {"倉庫の在庫の長い名前の表": memories, "[/red]": TableProgress(9, 9, total=9)}
        first = replace(jobs[0], target=hostile, progress=replace(jobs[0].progress, tables=tables, phase="\x1b[31mred"))
        console.app.jobs = (first, *jobs[1:])
        console.app.frame_changed.publish(None)
        await console.until("倉庫")
        await console.press("enter")
        await console.until("[/red]")
        assert all(cells(line) <= size[0] for line in console.lines)
        assert "\x1b" not in console.text
        assert "\u202e" not in console.text


async def test_a_store_that_cannot_be_reached_has_no_jobs_to_read() -> None:
    app = VestigeApp(Config(), "postgresql://127.0.0.1:1/nowhere", embedders=embedders())
    async with app.run_test(size=(80, 24)) as pilot:
        console = Console(app, pilot)
        await console.press("f5")
        await console.until("The store could not be opened, so that its jobs cannot be read.")
        for key in ("c", "r", "v"):
            await console.press(key)
            await console.until("■ The store is not open yet.")
        await console.press("f6")
        await console.until("The store could not be opened.")
        await console.until("usable here")
        await console.press("r")
        await console.until("■ The store is not open yet.")
