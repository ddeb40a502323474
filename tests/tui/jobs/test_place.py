"""Jobs: keys pressed, lines seen."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.console import Console, open_console
from tests.support.corpus import NOW, embedders
from tests.support.sample_jobs import FINDINGS, show_jobs
from tests.support.vestige_files import make_v18
from vestige_tui.config.settings import Config
from vestige_tui.core.errors import Unavailable
from vestige_tui.core.jobs import Job, JobFinding, JobProgress, TableProgress
from vestige_tui.core.text import cells, one_line, short_id
from vestige_tui.jobs.ledger import CALLER, Ledger
from vestige_tui.presenters.jobs import title
from vestige_tui.tui.app import VestigeApp
from vestige_tui.tui.dialogs.memory_sheet import MemorySheet
from vestige_tui.tui.jobs.detail import ended, folded, progress_of, shortened
from vestige_tui.tui.jobs.finding_list import FindingList
from vestige_tui.tui.jobs.job_list import JobList
from vestige_tui.tui.jobs.job_progress import JobProgressPanel
from vestige_tui.tui.jobs.place import show_job


def row(console: Console, start: str) -> str:
    return next(line for line in console.lines if start in line and " % of " in line)


async def test_one_job_in_full_beside_the_others(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await console.press("f5")
        await show_jobs(console.app)
        await console.until("findings")
        for said in ("running  1", "no heartbeat  1", "agents  1", "finished  4"):
            assert said in console.text
        for said in ("for 12 min", "at 38 %", "stuck 12 min", "verified, 3 h ago", "2 failed rows, 1 d ago"):
            assert said in console.text
        for said in ("cancelled, 2 d ago", "failed, 5 d ago", "due in 5 h"):
            assert said in console.text
        assert "running   resumed 13:53, attempt 2   started 9 min ago   id " in console.text
        assert "how        500 rows per batch" in console.text
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
    async with open_console(corpus) as console:
        await console.press("f5")
        jobs = await show_jobs(console.app)
        await console.until("findings")
        before = row(console, "memories  ")
        tables = {**jobs[0].progress.tables, "memories": TableProgress(99_999, 96_987, 3_011, 5, 1, total=100_000)}
        progress = replace(jobs[0].progress, tables=tables, rate=99_812.0, eta=9.0)
        console.app.session.jobs = (replace(jobs[0], progress=progress), *jobs[1:])
        console.app.frame_changed.publish(None)
        await console.until("96,987")
        after = row(console, "memories  ")
        assert len(before) == len(after)
        assert before.index("100,000") == after.index("100,000")
        assert "99 %" in after  # never full before its time


@pytest.mark.slow
async def test_a_finding_opens_and_escape_leads_back(corpus: Path) -> None:
    async with open_console(corpus, (60, 20)) as console:
        await console.press("f5")
        await show_jobs(console.app)
        await console.until("running  1")
        assert "inserted" not in console.text
        await console.press("enter")
        await console.until("inserted")
        await console.press("enter", "j", "j", "j", "enter")
        await console.until(FINDINGS[3].reason)
        assert FINDINGS[3].source_key in console.text
        await console.press("escape", "escape", "escape")
        await console.until("running  1")


@pytest.mark.slow
async def test_the_cursor_keeps_its_job(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await console.press("f5")
        jobs = await show_jobs(console.app)
        await console.press("j", "j")
        await console.until("reindex the docs of harbour-api")
        newer = replace(jobs[0], id="newer000", target="postgresql://other/newest")
        console.app.session.jobs = (newer, *jobs)
        console.app.frame_changed.publish(None)
        await console.until("running  2")
        assert "reindex the docs of harbour-api" in console.text


@pytest.mark.slow
async def test_figures_of_a_job_that_gives_no_sign_are_of_the_past(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await console.press("f5")
        await show_jobs(console.app)
        await console.until("9,812 rows/s")
        await console.press("j")
        await console.until("No heartbeat from its worker for 12 min.")
        assert "9,812" not in console.text
        assert "4 min left" not in "\n".join(line[34:] for line in console.lines)
        assert "─ rows/s       ─ left" in console.text
        # Neither under the heading of those that run, nor with their shape.
        shown = [line[1:33].split() for line in console.lines]
        heading = shown.index(["no", "heartbeat", "1"])
        assert shown[heading + 1] == ["◌", "copy", "vestige.db", "→", "memory"]
        assert shown[heading + 2] == ["for", "12", "min", "at", "38", "%"]


async def test_a_job_that_has_read_its_rows_says_what_it_does(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await console.press("f5")
        jobs = await show_jobs(console.app)
        done = replace(jobs[0].progress, tables={"memories": TableProgress(374, 374, total=374)}, rate=0.0, eta=None)
        console.app.session.jobs = (replace(jobs[0], progress=replace(done, phase="comparing memories")),)
        console.app.frame_changed.publish(None)
        await console.until(lambda: any("comparing memories" in line[:33] for line in console.lines))
        assert not any("%" in line[:33] for line in console.lines)
        assert "─ rows/s" in console.text


async def test_jobs_tell_their_ends_apart(corpus: Path) -> None:
    async with open_console(corpus, (80, 24)) as console:
        await console.press("f5")
        jobs = await show_jobs(console.app)
        ends = (("y1.db", "pg"), ("demo.db", "pg"))
        made = [
            replace(jobs[3], id=f"{number}", source=f"sqlite:/a/{one}", target=f"pgembed:/a/{other}")
            for number, (one, other) in enumerate(ends)
        ]
        encoded = [
            replace(jobs[0], id=f"e{wide}", kind="reembed", options={"model": "x/MiniLM-L6-v2", "dimension": wide})
            for wide in (128, 384)
        ]
        console.app.session.jobs = (*encoded, *made)
        console.app.frame_changed.publish(None)
        await console.until("copy y1.db → pg")
        assert "copy demo.db → pg" in console.text
        assert "re-embed → MiniL… 128" in console.text
        assert "re-embed → MiniL… 384" in console.text
        assert "model      x/MiniLM-L6-v2, 128 dimensions" in console.text
        assert "9,812 texts/s" in console.text
        shown = console.app.screen.query_one(JobProgressPanel).progress
        assert shown is not None
        assert shown.columns == ("encoded", "failed", "present", "repaired")


@pytest.mark.parametrize("kind", ["copy", "verify"])
def test_both_ends_of_a_job_find_room(kind: str) -> None:
    job = Job(
        "1", kind, "completed", "", source="sqlite:/a/source-of-it.db", target="postgresql://u@db1.example.org/target"
    )
    whole = title(job)
    for width in range(16, cells(whole) + 1):
        said = title(job, width)
        assert cells(said) <= width
        one, other = said.removeprefix(f"{kind} ").split(" = " if kind == "verify" else " → ")
        assert whole.startswith(f"{kind} {one.removesuffix('…')}")
        assert "db1/target".startswith(other.removesuffix("…"))
    assert title(job, cells(whole)) == whole


@pytest.mark.parametrize(
    ("url", "width", "said"),
    [
        ("sqlite:/home/ada/notes/vestige.db", 40, "sqlite:/home/ada/notes/vestige.db"),
        ("sqlite:/home/ada/notes/vestige.db", 26, "sqlite:…/notes/vestige.db"),
        ("/home/ada/notes/vestige.db", 20, "…/notes/vestige.db"),
        ("sqlite:/home/ada/notes/vestige.db", 12, "sqlite:/hom…"),
        ("postgresql://ada@db1.example.org/vestige", 32, "postgresql://ada@db1.ex…/vestige"),
    ],
)
def test_a_path_is_cut_before_its_last_parts(url: str, width: int, said: str) -> None:
    assert shortened(url, width) == said
    assert cells(said) <= width


def test_what_is_too_long_for_a_line_goes_on_after_a_folder() -> None:
    message = "it is at /home/ada/notes/of/vestige.db now"
    assert folded(message, 20) == ["it is at", "/home/ada/notes/of/", "vestige.db", "now"]


async def test_facts_and_ages_stay_whole_where_there_is_little_room(corpus: Path) -> None:
    async with open_console(corpus, (80, 24)) as console:
        await console.press("f5")
        jobs = await show_jobs(console.app)
        same = replace(jobs[3], id="5a3e0000", kind="verify", options={})
        console.app.session.jobs = (replace(jobs[4], source="sqlite:/home/ada/.local/share/core/of/vestige.db"), same)
        console.app.frame_changed.publish(None)
        await console.until("all equal, 3 h ago")
        assert "2 failed, 1 d ago" in console.text
        assert "id a1f4aaaa" in console.text
        assert "from       sqlite:…/.local/share/core/of/vestige.db" in console.text


async def test_work_whose_name_is_cut_is_told_in_full(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await console.press("f5")
        given = (await show_jobs(console.app))[2]
        task = f"sweep the inbox of everything that nobody has read {'for a very long time ' * 4}and answer it"
        seen = NOW - timedelta(seconds=4)
        long = replace(given, status="in_progress", task=task, last_heartbeat=seen, error=None)
        short = replace(long, id="50a1", task="short work", deadline=NOW - timedelta(hours=2))
        console.app.session.jobs = (long, short)
        console.app.frame_changed.publish(None)
        await console.until("agents  2")
        await console.until("task       sweep the inbox")
        assert console.says("and answer it caller")
        shown = [line[1:33].split() for line in console.lines]
        assert ["seen", "4", "s", "ago", "due", "in", "5", "h"] in shown
        assert ["seen", "4", "s", "ago", "overdue", "by", "2", "h"] in shown
        await console.press("j")
        await console.until("short work")
        assert "task  " not in console.text


async def test_the_last_run_of_a_plan_is_the_one_to_go_on_with(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await console.press("f5")
        failed = (await show_jobs(console.app))[6]
        first = replace(failed, plan="p")
        later = replace(
            failed, id="1a7e0000", plan="p", attempt=2, tries=2, status="in_progress", last_heartbeat=NOW, error=None
        )
        console.app.session.jobs = (first,)
        console.app.frame_changed.publish(None)
        await console.until("R continues from its last checkpoint.")
        console.app.session.jobs = (later, first)
        console.app.frame_changed.publish(None)
        await console.until("Attempt 2 followed this one and is running.")
        assert "R continues" not in console.text
        console.app.session.jobs = (replace(later, status="completed"), first)
        console.app.frame_changed.publish(None)
        await console.until("Attempt 2 followed this one and is done.")
        console.app.session.jobs = (replace(later, tries=1), first)
        console.app.frame_changed.publish(None)
        await console.until("A new run followed this one and is running.")
        # Its own facts say nothing of an attempt.
        assert "attempt" not in console.text


async def test_a_beginning_is_said_until_the_job_is_seen_and_then_its_end(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await console.press("f5")
        jobs = await show_jobs(console.app)
        console.app.session.jobs = ()
        await show_job(console.app, jobs[0].id, "The copy has started.")
        await console.until("The copy has started.")
        await console.until("The new job appears here in a moment.")
        assert "No jobs yet" not in console.text
        console.app.session.jobs = (jobs[0],)
        console.app.frame_changed.publish(None)
        await console.until("► running")
        await console.until("The copy has started.", gone=True)
        tables = {"memories": TableProgress(2_925, 2_925, total=2_925)}
        done = replace(jobs[3], id=jobs[0].id, progress=replace(jobs[3].progress, tables=tables))
        console.app.session.jobs = (done,)
        console.app.frame_changed.publish(None)
        await console.until("▪ The copy is done: 2,925 rows, verified.")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"status": "failed", "error": "The disk is full."}, ("The copy failed: The disk is full.", "bad")),
        (
            {"status": "failed", "error": "cancelled"},
            ("The copy was cancelled; everything written until then is kept.", "done"),
        ),
        ({"kind": "verify"}, ("The comparison is done: 9 rows, verified, all equal.", "done")),
        ({"kind": "reembed", "options": {}}, ("The re-embedding is done: 9 texts.", "done")),
        (
            {"progress": JobProgress("", {"memories": TableProgress(9, 8, failed=1)})},
            ("The copy is done: 9 rows, 1 failed row.", "waiting"),
        ),
    ],
)
def test_how_a_job_ended_is_one_sentence(changes: dict[str, Any], said: tuple[str, str]) -> None:
    progress = JobProgress("", {"memories": TableProgress(9, 9)})
    job = Job("1", "copy", "completed", "", source="sqlite:/a", target="sqlite:/b", progress=progress, finished_at=NOW)
    assert ended(replace(job, **changes)) == said


@pytest.mark.parametrize("size", [(120, 40), (60, 20)])
async def test_a_place_without_jobs_offers_nothing_to_open(empty_store: Path, size: tuple[int, int]) -> None:
    async with open_console(empty_store, size) as console:
        await console.press("f5")
        await console.until("No jobs yet")
        active = console.app.screen.active_bindings
        assert not active["enter"].enabled
        assert active["c"].enabled


async def test_a_store_that_is_only_read_is_not_embedded_anew(corpus: Path) -> None:
    async with open_console(corpus, read_only=True) as console:
        await console.press("f5")
        await console.until("No jobs yet")
        assert not console.app.screen.active_bindings["r"].enabled
        await console.press("r")
        await console.until("This store is read-only")


async def test_a_console_opened_read_only_starts_no_job(corpus: Path) -> None:
    async with open_console(corpus, read_only=True) as console:
        await console.press("f5")
        await console.until("No jobs yet")
        for key in ("c", "v", "x", "R", "F"):
            assert not console.app.screen.active_bindings[key].enabled
            await console.press(key)
            await console.until("This console was opened with --read-only")
            assert len(console.app.screen_stack) == 1


async def test_how_jobs_ended_is_said_in_words(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await console.press("f5")
        await show_jobs(console.app)
        said = (
            "No heartbeat from its worker for 12 min.",
            "stuck",
            "Every row that was read is in the target.",
            "2 rows could not be copied",
            "A user cancelled it",
            "The server closed the connection",
        )
        for sentence in said:
            await console.press("j")
            await console.until(sentence)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(120, 40), (60, 20)])
async def test_an_empty_place_says_how_to_begin(tmp_path: Path, size: tuple[int, int]) -> None:
    path = make_v18(tmp_path / "memory.db", 3, hostile=True)
    async with open_console(path, size) as console:
        await console.press("f5")
        await console.until("No jobs yet")
        assert "copy this store to another" in console.text
        await console.press("x")
        await console.until("There are no jobs yet.")


@pytest.mark.slow
async def test_what_an_agent_was_given_is_told_in_full(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await console.press("f5")
        [*_, stuck, _, _, _, _] = await show_jobs(console.app)
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
        console.app.session.jobs = (stuck, working, done)
        console.app.frame_changed.publish(None)
        await console.until("agents  2")
        for said in (
            "stuck   started 48 min ago",
            "and say which pages are dead",
            f"caller     {stuck.caller}",
            f"agent      {stuck.callee}",
            "retries    1",
            "heartbeat  12 min ago, at 13:50",
            "deadline   in 5 h 12 min, at 19:14",
            "No heartbeat since 13:50, for 12 min; it may still recover.",
        ):
            assert said in console.text
        await console.press("j")
        await console.until("heartbeat  4 s ago")
        assert "caller     this program" in console.text
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
    async with open_console(corpus) as console:
        await console.press("f5")
        copied = (await show_jobs(console.app))[3]
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
        console.app.session.jobs = (compared, clean)
        console.app.frame_changed.publish(None)
        await console.until("◨ only in target")
        assert "verify vestige.db = db1/vestige" in console.text
        assert "◪ 3 differences" in console.text
        assert console.says("3 differences: 1 differ, 1 only in source, 1 only in target; the findings list them.")
        assert "differ  only in source  only in target" in console.text
        assert "findings   1 differ   1 only in source   1 only in target" in console.text
        assert "content and tags differ." in console.text
        await console.press("j")
        await console.until("Every row is the same in both stores.")
        assert "✓ verified, all equal" in console.text


@pytest.mark.parametrize("size", [(80, 24), (60, 20)])
async def test_differences_are_one_figure_where_three_find_no_room(corpus: Path, size: tuple[int, int]) -> None:
    async with open_console(corpus, size) as console:
        await console.press("f5")
        copied = (await show_jobs(console.app))[3]
        tables = {
            "memories": TableProgress(4_961, total=4_961, differ=1),
            "edges": TableProgress(900, total=900, only_source=1, only_target=1),
        }
        compared = replace(copied, kind="verify", options={}, progress=replace(copied.progress, tables=tables))
        console.app.session.jobs = (compared,)
        console.app.frame_changed.publish(None)
        await console.until("3 differences, 3 h")
        await console.press("enter")
        await console.until("4,961            1")
        assert "900            2" in console.text
        assert any(line.rstrip("▁▂▃▄▅▆▇█ ").endswith("differences") for line in console.lines)


@pytest.mark.parametrize("size", [(80, 24), (60, 20)])
async def test_findings_stand_under_their_outcome_and_give_the_reason_room(corpus: Path, size: tuple[int, int]) -> None:
    async with open_console(corpus, size) as console:
        await console.press("f5")
        running = (await show_jobs(console.app))[0]
        run = await Ledger(console.store).start(
            kind="copy", source="sqlite:/a.db", target="postgresql://b/c", model="", task="", owner="me"
        )
        link = JobFinding("edges", "failed", f"{FINDINGS[3].source_key} to {FINDINGS[4].source_key}, x", "No end.")
        async with console.store.backend.write() as transaction:
            await Ledger(console.store).add_findings(transaction, run.id, (*FINDINGS[3:], link))
        console.app.session.jobs = (replace(running, id=run.id),)
        console.app.frame_changed.publish(None)
        await console.until(lambda: console.app.screen.query_one(FindingList).count == 3)
        await console.press("enter", *(("enter",) if size[0] < 70 else ()), "G")
        await console.until("No end.")
        assert "0f9d2c61 to 7c1b8e42, x  No end." in console.text
        for said in ("0f9d2c61  The vector is not finite.", "7c1b8e42  The vector has 768 dimensions, not 256."):
            assert said in console.text
        assert "■ failed   vectors  2" in console.text
        assert console.text.count("■ failed") == 2
        # One list, one bar: the findings scroll with what stands above them.
        assert not console.app.screen.query_one(FindingList).show_vertical_scrollbar


@pytest.mark.slow
async def test_a_finding_opens_the_memory_that_it_is_about(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await console.press("f5")
        running = (await show_jobs(console.app))[0]
        one, other = (await console.store.page(limit=2)).items
        gone = "00000000-0000-4000-8000-000000000000"
        findings = (
            JobFinding("memories", "differs", one.id, "content differs."),
            JobFinding("edges", "only_source", f"{one.id} to {other.id}, related", "The target does not have it."),
            JobFinding("memories", "only_target", gone, "The source does not have it."),
        )
        compared = replace(running, id=str(uuid.uuid4()), kind="verify")
        run = await Ledger(console.store).start(
            kind="verify", source="sqlite:/a.db", target="postgresql://b/c", model="", task="", owner="me"
        )
        async with console.store.backend.write() as transaction:
            await Ledger(console.store).add_findings(transaction, run.id, findings)
        console.app.session.jobs = (replace(compared, id=run.id),)
        console.app.frame_changed.publish(None)
        await console.until("◨ only in target")
        await console.press("enter", "enter")
        await console.until("enter open the memory")
        assert "content differs." in console.text
        assert console.says(one_line(one.content)[:30])
        await console.press("enter")
        await console.until(lambda: isinstance(console.app.screen, MemorySheet))
        await console.until(f"id {short_id(one.id)}")
        await console.press("escape")
        await console.until("findings")
        await console.press("j", "enter")
        await console.until("o open the other")
        await console.press("o")
        await console.until(f"id {short_id(other.id)}")
        await console.press("escape", "j", "enter")
        await console.until("The open store has no memory for this row; look for it in")
        assert "open the memory" not in console.text


async def test_who_reads_about_a_job_is_not_carried_off_to_its_findings(corpus: Path) -> None:
    async with open_console(corpus, (60, 20)) as console:
        await console.press("f5")
        await show_jobs(console.app)
        await console.until("running  1")
        await console.press("enter")
        await console.until("inserted")
        assert "copy vestige.db → db1/vestige" in console.text
        assert "esc back" in console.text
        assert console.app.screen.query_one("#one").scroll_y == 0


@pytest.mark.slow
async def test_many_findings_come_as_one_goes_to_their_end(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await console.press("f5")
        copied = (await show_jobs(console.app))[3]
        run = await Ledger(console.store).start(
            kind="copy", source="sqlite:/a.db", target="postgresql://b/c", model="", task="", owner="me"
        )
        rows = [JobFinding("memories", "failed", f"row-{number}", f"Reason {number}.") for number in range(10_000)]
        async with console.store.backend.write() as transaction:
            await Ledger(console.store).add_findings(transaction, run.id, rows)
        tables = {"memories": TableProgress(10_000, failed=10_000, total=10_000)}
        console.app.session.jobs = (replace(copied, id=run.id, progress=replace(copied.progress, tables=tables)),)
        console.app.frame_changed.publish(None)
        await console.until("first 100 shown, G loads more")
        assert "10,000 failed" in console.text
        await console.press("enter", "G")
        findings = console.app.screen.query_one(FindingList)
        await console.until(lambda: findings.count == 1_000)
        assert "Reason 99." in console.text
        await console.press("G")
        await console.until("Reason 999.")
        await console.until(lambda: findings.count == 10_000)
        assert "are shown" not in console.text
        await console.press("G")
        await console.until("Reason 9999.")


@pytest.mark.slow
@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 20)])
async def test_hostile_and_wide_names_stay_in_their_columns(corpus: Path, size: tuple[int, int]) -> None:
    async with open_console(corpus, size) as console:
        await console.press("f5")
        jobs = await show_jobs(console.app)
        hostile = "postgresql://ada@倉庫倉庫倉庫倉庫倉庫倉庫倉庫/[/red]\x1b[2J\u202e"
        memories = jobs[0].progress.tables["memories"]
        tables = {"倉庫の在庫の長い名前の表": memories, "[/red]": TableProgress(9, 9, total=9)}
        first = replace(jobs[0], target=hostile, progress=replace(jobs[0].progress, tables=tables, phase="\x1b[31mred"))
        console.app.session.jobs = (first, *jobs[1:])
        console.app.frame_changed.publish(None)
        await console.until("倉庫")
        await console.press("enter")
        await console.until("[/red]")
        assert all(cells(line) <= size[0] for line in console.lines)
        assert "\x1b" not in console.text
        assert "\u202e" not in console.text


@pytest.mark.slow
async def test_a_store_that_cannot_be_reached_has_no_jobs_to_read() -> None:
    app = VestigeApp(Config(), "postgresql://127.0.0.1:1/nowhere", embedders=embedders())
    async with app.run_test(size=(80, 24)) as pilot:
        console = Console(app, pilot)
        await console.press("f5")
        await console.until("■ The store could not be opened.")
        for place, key in (("f5", "c"), ("f5", "r"), ("f5", "v"), ("f6", "r")):
            await console.press(place, key)
            await console.until("No store is open.")
            await console.press("escape")
            await console.until("No store is open.", gone=True)


@pytest.mark.slow
@pytest.mark.parametrize("key", ["tab", "enter"])
async def test_escape_leads_from_the_job_back_to_the_list(corpus: Path, key: str) -> None:
    async with open_console(corpus) as console:
        await console.press("f5")
        await show_jobs(console.app)
        await console.until("findings")
        await console.press(key)
        await console.until(lambda: not isinstance(console.app.focused, JobList))
        assert "esc back" in console.text
        await console.press("escape")
        await console.until(lambda: isinstance(console.app.focused, JobList))


async def test_findings_that_could_not_be_read_are_read_when_one_asks(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vestige_tui.jobs import monitor

    async def lost(*_: object) -> tuple[JobFinding, ...]:
        raise Unavailable("The line is cut.")

    async with open_console(corpus) as console:
        await console.press("f5")
        with monkeypatch.context() as broken:
            broken.setattr(monitor, "findings", lost)
            await show_jobs(console.app)
            await console.until("The line is cut.")
        assert FINDINGS[0].reason not in console.text
        await console.press("ctrl+r")
        await console.until(FINDINGS[0].reason)


def test_one_row_that_waits_is_one() -> None:
    progress = JobProgress("copying", {"edges": TableProgress(total=1), "memories": TableProgress(total=2)})
    shown = progress_of(Job(id="j", kind="copy", status="in_progress", store="s", progress=progress), NOW)
    assert shown is not None
    assert [bar.note for bar in shown.tables] == ["waiting, 1 row", "waiting, 2 rows"]


async def test_an_empty_place_names_the_keys_that_are_set(empty_store: Path) -> None:
    config = replace(Config(), keys={"store.copy": "ctrl+k", "job.verify": "V"})
    app = VestigeApp(config, f"sqlite:{empty_store}", embedders=embedders())
    async with app.run_test(size=(120, 40)) as pilot:
        console = Console(app, pilot)
        await console.press("f5")
        await console.until("No jobs yet.")
        assert "ctrl+k  copy this store" in console.text
        assert "V  compare it" in console.text
