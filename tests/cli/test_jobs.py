"""Commands for jobs and for work that agents were given."""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

from tests.support.command_line import HOSTILE, Command, TtyStream
from tests.support.passwords import PASSWORD, demand_password, with_password
from tests.support.vestige_files import make_v18
from vestige_tui.cli.jobs import _View, _watch_all
from vestige_tui.cli.output import Output
from vestige_tui.core.jobs import Job, JobFinding, JobProgress, JobStatus, JobWait, TableProgress
from vestige_tui.jobs.known_stores import remember
from vestige_tui.jobs.ledger import CALLER, Ledger
from vestige_tui.jobs.ledger_rows import Run
from vestige_tui.jobs.worker_sign import WorkerSign
from vestige_tui.store.backends.postgres_connection import parse_url
from vestige_tui.store.open import open_store

AGENT = uuid.UUID("11111111-1111-4111-8111-111111111111")
HOUR = timedelta(hours=1)


class Clock:
    """The present moment, or how much earlier."""

    def __init__(self) -> None:
        self.earlier = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) - self.earlier


def fill(url: str) -> dict[str, str]:
    """Work of agents: at work, silent for an hour, over its deadline, done; gives their ids by that word."""

    async def write() -> dict[str, str]:
        clock = Clock()
        ids: dict[str, str] = {}
        async with open_store(url, create=True, clock=clock) as store:
            ledger = Ledger(store)

            async def put(word: str, status: JobStatus, *, beat: bool = True, hours: float = 6.0) -> None:
                ids[word] = await ledger.insert(
                    caller=CALLER, callee=AGENT, task=f"{word} reindex", deadline=clock() + timedelta(hours=hours)
                )
                await ledger.transition(ids[word], status)
                if beat:
                    await ledger.heartbeat(ids[word])

            clock.earlier = 2 * HOUR
            await put("over", "in_progress", hours=1)
            clock.earlier = HOUR
            await put("silent", "dispatched")
            clock.earlier = HOUR / 2
            await put("done", "completed")
            clock.earlier = timedelta()
            await put("lively", "in_progress")
        return ids

    return asyncio.run(write())


def job(url: str, job_id: str) -> Job:
    async def read() -> Job:
        async with open_store(url, read_only=True) as store:
            return await Ledger(store).job(job_id)

    return asyncio.run(read())


def test_work_is_listed_by_its_state(run: Command, store_url: str) -> None:
    ids = fill(store_url)
    listed = run("--store", store_url, "jobs", "list", "--json").json
    assert [item["id"] for item in listed["items"]] == [ids[word] for word in ("lively", "silent", "over", "done")]
    assert listed["next"] is None
    [item] = run("--store", store_url, "jobs", "list", "--status", "dispatched", "--json").json["items"]
    assert (item["id"], item["kind"], item["task"]) == (ids["silent"], "delegation", "silent reindex")
    assert (item["caller"], item["callee"], item["retry_count"]) == (str(CALLER), str(AGENT), 0)
    assert item["last_heartbeat"] < item["deadline"]
    flying = run("--store", store_url, "jobs", "list", "--status", "in_flight", "--limit", "2", "--json").json["items"]
    assert [each["id"] for each in flying] == [ids["lively"], ids["silent"]]
    assert run("--store", store_url, "jobs", "list", "--status", "stuck", "--json").json["items"] == []
    shown = run("--store", store_url, "jobs", "list")
    assert "silent reindex, seen 1 h ago, due in 5 h" in shown.out
    assert "1 starting, 2 running, 1 done." in shown.err
    for wrong in (["--status", "running"], ["--limit", "1001"], ["--limit", "0"]):
        refused = run("--store", store_url, "--json", "jobs", "list", *wrong)
        assert (refused.status, refused.json["error"]["code"]) == (2, "usage")
    assert "in_flight, queued" in run("jobs", "list", "--status", "running").err


@pytest.mark.parametrize("known_as", ["sqlite:", "link", "relative"])
def test_a_file_of_two_names_is_asked_once(
    run: Command, tmp_path: Path, known_as: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, link = tmp_path / "ledger.db", tmp_path / "link.db"
    ids = fill(f"sqlite:{path}")
    link.symlink_to(path)
    monkeypatch.chdir(tmp_path)
    remember(f"sqlite:{link if known_as == 'link' else path}", "theirs", "copy")
    lists_each_job_once(run, path.name if known_as == "relative" else str(path), ids)


@pytest.mark.parametrize("known_as", ["with a password", "with the default port", "at another address"])
def test_a_server_of_two_names_is_asked_once(run: Command, postgres_database: str, known_as: str) -> None:
    ids = fill(postgres_database)
    parts = parse_url(postgres_database)
    if known_as == "with a password":
        other = with_password(postgres_database)
    elif known_as == "with the default port":
        parts["port"] = parts.get("port") or "5432"
        other = f"postgresql://?{urlencode(parts, quote_via=quote)}"
    else:
        # No comparison of URLs tells that this is the same server.
        other = f"{postgres_database}&options=-cgeqo%3Don"
    remember(other, "theirs", "copy")
    lists_each_job_once(run, postgres_database, ids)


def lists_each_job_once(run: Command, url: str, ids: Mapping[str, str]) -> None:
    listed = run("--store", url, "jobs", "list", "--json").json["items"]
    assert sorted(item["id"] for item in listed) == sorted(ids.values())
    assert "1 starting, 2 running, 1 done." in run("--store", url, "jobs", "list").err


def test_a_server_of_two_names_is_counted_once_where_nothing_is_listed(run: Command, postgres_database: str) -> None:
    fill(postgres_database)
    remember(f"{postgres_database}&options=-cgeqo%3Don", "theirs", "copy")
    listed = run("--store", postgres_database, "jobs", "list", "--status", "stuck")
    assert "1 starting, 2 running, 1 done." in listed.err


def test_a_copied_file_adds_the_jobs_of_its_own(run: Command, tmp_path: Path) -> None:
    path, copied = tmp_path / "ledger.db", tmp_path / "copied.db"
    ids = fill(f"sqlite:{path}")
    copied.write_bytes(path.read_bytes())
    own_id = next(iter(set(fill(f"sqlite:{copied}").values()) - set(ids.values())))
    remember(f"sqlite:{copied}", "theirs", "copy")
    listed = run("--store", str(path), "jobs", "list", "--json").json["items"]
    assert len({item["id"] for item in listed}) == len(listed) == 2 * len(ids)
    assert own_id in {item["id"] for item in listed}
    assert "2 starting, 4 running, 2 done." in run("--store", str(path), "jobs", "list").err


def test_a_broken_url_of_the_index_fails_no_command(run: Command, store_url: str) -> None:
    ids = fill(store_url)
    for broken in ("postgresql://[::1/d", "sqlite:/a\0b", "pgembed:\0", "sqlite:~no_such_user/v.db", "\ud800"):
        remember(broken, "theirs", "copy")
    listed = run("--store", store_url, "jobs", "list", "--json")
    assert (listed.status, len(listed.json["items"])) == (0, len(ids))
    assert run("--store", store_url, "jobs", "show", ids["lively"]).status == 0
    assert run("jobs", "sweep").status == 0


def test_what_a_worker_waits_for_is_said_where_its_store_is_away(run: Command, tmp_path: Path) -> None:
    away, job_id = "postgresql://me@127.0.0.1:1/nowhere", "abcdef12-0000-4000-8000-000000000000"
    remember(away, job_id, "copy")
    here = str(tmp_path / "here.db")
    fill(here)
    with WorkerSign(job_id) as sign:
        sign.write(JobWait("nowhere cannot be reached: refused.", datetime.now(UTC)))
        said = f"process {os.getpid()}"
        listed = run("--store", here, "jobs", "list")
        assert listed.status == 0
        assert f"Job abcdef12 is waiting ({said}): nowhere cannot be reached: refused." in listed.err
        for arguments in (["show", job_id], ["watch", "abcdef"], ["cancel", job_id]):
            refused = run("--store", here, "--json", "jobs", *arguments)
            assert (refused.status, refused.json["error"]["code"]) == (1, "unavailable"), arguments
            assert (
                f"The worker of job abcdef12 ({said}) is running and is waiting: nowhere cannot be reached"
                in refused.err
            )
    unknown = run("--store", here, "--json", "jobs", "show", "99999999")
    assert unknown.json["error"]["code"] == "unavailable"
    assert "No other known store has a job '99999999'." in unknown.err


def test_what_a_job_waits_for_is_listed_and_shown(run: Command, store_url: str) -> None:
    async def begin() -> str:
        async with open_store(store_url, create=True) as store:
            run = await Ledger(store).start(
                kind="copy", source="sqlite:a", target="sqlite:b", model="", task="", owner="1@here"
            )
            await Ledger(store).take(run.id, "1@here")
            await Ledger(store).note_wait(run.id, JobWait("The disk of b is full.", datetime.now(UTC)))
            return run.id

    job_id = asyncio.run(begin())
    for arguments in (["list"], ["show", job_id]):
        shown = run("--store", store_url, "jobs", *arguments).out
        assert "waiting" in shown
        assert "The disk of b is full." in shown
    waiting = run("--store", store_url, "jobs", "show", job_id, "--json").json["job"]["waiting"]
    assert waiting["reason"] == "The disk of b is full."
    assert run("--store", store_url, "jobs", "list", "--json").json["items"][0]["waiting"] == waiting


def test_work_is_shown(run: Command, store_url: str) -> None:
    ids = fill(store_url)
    shown = run("--store", store_url, "jobs", "show", ids["silent"])
    for said in ("silent reindex", "starting", str(AGENT), "1 h ago, at ", "in 5 h, at "):
        assert said in shown.out
    assert "attempt" not in shown.out
    assert run("--store", store_url, "jobs", "show", ids["done"], "--json").json["job"]["status"] == "completed"


@pytest.mark.slow
def test_work_is_cancelled_failed_and_retried(run: Command, store_url: str) -> None:
    ids = fill(store_url)
    for word, arguments, error in (
        ("lively", ["cancel"], "cancelled"),
        ("over", ["fail", "--reason", "nobody is there"], "nobody is there"),
    ):
        ran = run("--store", store_url, "jobs", *arguments, ids[word], "--json")
        assert (ran.status, ran.json) == (0, {"changed": [ids[word]], "undo": None})
        ended = job(store_url, ids[word])
        assert (ended.status, ended.error) == ("failed", error)
        again = run("--store", store_url, "jobs", *arguments, ids[word], "--json")
        assert (again.status, again.json["error"]["code"]) == (1, "conflict")
    ran = run("--store", store_url, "jobs", "retry", ids["silent"][:8], "--json")
    [new] = ran.json["changed"]
    assert (ran.status, ran.json["undo"]) == (0, None)
    assert (job(store_url, new).status, job(store_url, new).retry_count, job(store_url, new).task) == (
        "queued",
        1,
        "silent reindex",
    )
    assert job(store_url, ids["silent"]).error == f"retried as {new}"
    assert new[:8] in run("--store", store_url, "jobs", "show", ids["silent"]).out
    refused = run("--store", store_url, "jobs", "retry", ids["done"], "--json")
    assert (refused.status, refused.json["error"]["code"]) == (1, "conflict")
    assert "is marked as failed" in run("--store", store_url, "jobs", "fail", new).out


def test_a_sweep_gives_its_counts(run: Command, store_url: str) -> None:
    ids = fill(store_url)
    # A server that just began took nobody's signs of life, so that only a file calls anybody stuck at once.
    stuck = 1 if store_url.startswith("sqlite") else 0
    swept = run("--store", store_url, "jobs", "sweep", "--json")
    assert swept.status == 0
    assert swept.json["deadline_failures"] == 1
    assert swept.json["stuck_marked"] >= stuck
    assert swept.json["errors"] == 0
    assert job(store_url, ids["over"]).error == "deadline exceeded by sweeper"
    assert job(store_url, ids["lively"]).status == "in_progress"
    assert "No job is past its deadline" in run("--store", store_url, "jobs", "sweep", "--threshold", "99999999999").out


def test_a_shorter_threshold_finds_what_is_silent_for_less(run: Command, tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path / 'ledger.db'}"
    ids = fill(url)
    assert run("--store", url, "jobs", "sweep", "--threshold", "7200", "--json").json["stuck_marked"] == 0
    assert run("--store", url, "jobs", "sweep", "--threshold", "1800", "--json").json["stuck_marked"] == 1
    assert job(url, ids["silent"]).status == "stuck"
    assert run("--store", url, "jobs", "sweep", "--threshold", "-1").status == 2


def test_a_sweep_looks_through_every_store_that_had_jobs(run: Command, tmp_path: Path, postgres_database: str) -> None:
    here = f"sqlite:{tmp_path / 'here.db'}"
    fill(here)
    fill(postgres_database)
    for url in (here, postgres_database, "postgresql://me@127.0.0.1:1/nowhere"):
        remember(url, str(uuid.uuid4()), "copy")
    swept = run("jobs", "sweep", "--json")
    assert (swept.status, swept.json["deadline_failures"]) == (0, 2)
    assert "nowhere" in swept.err


def test_nothing_is_done_to_a_store_that_is_read_only(run: Command, tmp_path: Path, store_url: str) -> None:
    ids = fill(store_url)
    for arguments in (["sweep"], ["cancel", ids["lively"]], ["fail", ids["over"]], ["retry", ids["silent"]]):
        refused = run("--store", store_url, "--read-only", "--json", "jobs", *arguments)
        assert (refused.status, refused.json["error"]["code"]) == (3, "refused"), arguments
    assert [job(store_url, ids[word]).status for word in ("lively", "over", "silent")] == [
        "in_progress",
        "in_progress",
        "dispatched",
    ]
    vestige = str(make_v18(tmp_path / "vestige.db", 3))
    assert run("--store", vestige, "jobs", "sweep").status == 3
    assert run("--store", vestige, "jobs", "list", "--json").json["items"] == []


def of_ours(
    url: str, kind: str, tables: Mapping[str, TableProgress], findings: list[JobFinding], source: str = "sqlite:a.db"
) -> Run:
    """A job of ours that completed, with what became of its rows."""

    async def write() -> Run:
        async with open_store(url, create=True) as store:
            ledger = Ledger(store)
            run = await ledger.start(kind=kind, source=source, target="t", model="m", task="", owner="1@here")
            await ledger.take(run.id, "2@here")
            async with store.backend.write() as transaction:
                await ledger.add_findings(transaction, run.id, findings)
                await ledger.note(transaction, run.id, JobProgress("done", tables))
            await ledger.transition(run.id, "completed", result="compared")
            return run

    return asyncio.run(write())


def test_a_comparison_is_shown_with_what_differs(run: Command, tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path / 'ledger.db'}"
    found = [
        JobFinding("memories", "differs", f"id-1{HOSTILE}", "content, tags"),
        JobFinding("memories", "only_source", "id-2", "It is not in the target."),
        JobFinding("edges", "only_target", "id-3", "It is not in the source."),
    ]
    tables = {
        "memories": TableProgress(read=1_200, total=1_200, differ=1, only_source=1),
        "edges": TableProgress(only_target=1),
        "users": TableProgress(total=0),
    }
    made = of_ours(url, "verify", tables, found)
    shown = run("--store", url, "jobs", "show", made.id)
    assert all(character == "\n" or character.isprintable() for character in shown.out)
    lines = [" ".join(line.split()) for line in shown.out.splitlines()]
    assert "table read differ only in source only in target" in lines
    assert "memories 1,200 1 1 0" in lines
    assert "edges 0 0 0 1" in lines
    assert not any(line.startswith("users") for line in lines)
    assert any(line.startswith("memories only in source id-2") for line in lines)
    document = run("--store", url, "jobs", "show", made.id, "--json").json["job"]
    assert [each["outcome"] for each in document["notes"]] == ["differs", "only_source", "only_target"]
    assert document["tables"]["memories"]["differ"] == 1
    watched = run("--store", url, "jobs", "watch", made.id)
    assert watched.status == 1
    assert "1 differ, 1 only in source, 1 only in target" in watched.out
    equal = of_ours(url, "verify", {"memories": TableProgress(read=5, total=5)}, [], "sqlite:b.db")
    assert run("--store", url, "jobs", "watch", equal.id).status == 0


def test_a_copy_is_shown_with_every_count(run: Command, tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path / 'ledger.db'}"
    made = of_ours(url, "copy", {"memories": TableProgress(9, 7, 1, 0, 1, total=9, updated=3)}, [])
    lines = [" ".join(line.split()) for line in run("--store", url, "jobs", "show", made.id).out.splitlines()]
    assert "table read inserted present repaired failed updated" in lines
    assert "memories 9 7 1 0 1 3" in lines
    assert run("--store", url, "jobs", "watch", made.id).status == 4
    left = of_ours(url, "copy", {"insights": TableProgress(left_behind=12)}, [], "sqlite:b.db")
    lines = [" ".join(line.split()) for line in run("--store", url, "jobs", "show", left.id).out.splitlines()]
    assert "table read inserted present repaired failed left behind" in lines
    assert "insights 0 0 0 0 0 12" in lines


def test_what_became_of_rows_is_whole_in_a_file_with_short_ids(run: Command, tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path / 'ledger.db'}"
    one, two = (str(uuid.uuid5(AGENT, word)) for word in ("one", "two"))
    reason = "One of its memories is not there, and nobody knows where it may have gone. " * 3
    found = [JobFinding("edges", "failed", f"{one} to {two}, related", reason.strip())]
    made = of_ours(url, "copy", {"edges": TableProgress(1, failed=1)}, found)
    shown = run("--store", url, "jobs", "show", made.id).out
    assert f"edges  failed  {one[:8]} to {two[:8]}, related  {reason.strip()}\n" in shown
    [note] = run("--store", url, "jobs", "show", made.id, "--json").json["job"]["errors"]
    assert one in str(note)


def stopped(url: str, error: str) -> str:
    """A copy that ended with an error, by its id."""

    async def write() -> str:
        async with open_store(url, create=True) as store:
            ledger = Ledger(store)
            run = await ledger.start(
                kind="copy", source="sqlite:/far/old.db", target=url, model="m", task="", owner="1@here"
            )
            await ledger.take(run.id, "2@here")
            await ledger.transition(run.id, "failed", error=error)
            return run.id

    return asyncio.run(write())


def test_a_cancelled_job_is_called_so_and_how_to_go_on_is_said(run: Command, tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path / 'ledger.db'}"
    made = stopped(url, "cancelled")
    listed = run("--store", url, "jobs", "list")
    assert made[:8] + "  cancelled" in listed.out
    assert "copy old.db → ledger.db" in listed.out
    assert "1 failed or cancelled." in listed.err
    shown = [" ".join(line.split()) for line in run("--store", url, "jobs", "show", made).out.splitlines()]
    assert "state cancelled" in shown
    assert "A user cancelled it; everything written until then is kept." in shown
    assert f"`vestige-tui jobs retry {made[:8]}` continues from its last checkpoint." in shown
    document = run("--store", url, "jobs", "show", made, "--json").json["job"]
    assert (document["status"], document["error"]) == ("failed", "cancelled")
    lost = stopped(url, "lease lost")
    for said in (run("--store", url, "jobs", "list").out, run("--store", url, "jobs", "show", lost).out):
        assert "Its worker sent no heartbeat, and another attempt took over." in said
        assert "lease" not in said


def test_a_job_goes_by_any_beginning_of_its_id_that_is_its_own(run: Command, tmp_path: Path) -> None:
    here, there = (f"sqlite:{tmp_path / name}" for name in ("here.db", "there.db"))
    ids = ["3e386aaa-0000-4000-8000-000000000000", "3e386abb-0000-4000-8000-000000000000"]

    async def write(url: str, made: str) -> None:
        async with open_store(url, create=True) as store:
            await Ledger(store).insert(caller=CALLER, callee=AGENT, task=f"task of {made[:8]}", delegation_id=made)

    for url, made in zip((here, there), ids, strict=True):
        asyncio.run(write(url, made))
        remember(url, made, "copy")
    assert "task of 3e386aaa" in run("jobs", "show", "3e386aa").out
    assert run("--store", there, "jobs", "show", "3e386ab").status == 0
    for beginning in ("3e38", "3e386a"):
        ran = run("jobs", "show", beginning)
        assert ran.status == 2
        for made in ids:
            assert f"{made} (task of {made[:8]}" in ran.err
    assert (run("jobs", "show", "3e3").status, run("jobs", "show", "3e39").status) == (2, 1)


def test_a_watch_into_a_file_has_a_line_a_change(run: Command, tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path / 'ledger.db'}"
    made = stopped(url, "cancelled")
    ran = run("--store", url, "jobs", "watch", made)
    assert (ran.status, ran.out) == (1, f"{made[:8]}  cancelled, copy old.db → ledger.db\n")


def test_a_watch_on_a_terminal_writes_one_line_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = TtyStream()
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "stdout", screen)
    view = _View(Output(as_json=False))
    running = Job("3e386aaa", "copy", "in_progress", "", target="b.db", source="a.db", plan="p")
    for read in (1, 2):
        view.show([replace(running, progress=JobProgress("copying", {"memories": TableProgress(read, total=3)}))])
        assert screen.lines == [f"3e386aaa  {(33, 66)[read - 1]} %, {read} of 3 rows, copying, copy a.db → b.db"]
    done = JobProgress("done", {"memories": TableProgress(3, total=3)})
    for _ in range(2):
        view.show([replace(running, status="completed", progress=done)])
    view.close()
    assert screen.lines == ["3e386aaa  verified, 3 rows, copy a.db → b.db", ""]


@pytest.mark.slow
def test_a_copy_whose_worker_is_gone_is_taken_up_again(run: Command, sample: str, postgres_database: str) -> None:
    path = sample.removeprefix("sqlite:")
    copied = run("--json", "migrate", "copy", "--sqlite-path", path, "--postgres-url", postgres_database)
    assert copied.status == 0, copied
    first = job(postgres_database, copied.json["job"]["id"])

    async def lose() -> Run:
        clock = Clock()
        clock.earlier = HOUR
        async with open_store(postgres_database, clock=clock) as store:
            model = await store.models.registered()
            assert model is not None
            run = await Ledger(store).start(
                kind=first.kind,
                source=first.source,
                target=first.target,
                model=model.name,
                task=first.task,
                owner="1@here",
                options=first.options,
            )
            await Ledger(store).take(run.id, "2@here")
            return run

    lost = asyncio.run(lose())
    assert lost.attempt == 2
    assert job(postgres_database, lost.id).plan == first.plan
    ran = run("jobs", "retry", lost.id, "--json")
    assert ran.status == 0, ran
    [again] = ran.json["changed"]
    assert run("jobs", "watch", again).status == 0
    assert (job(postgres_database, lost.id).status, job(postgres_database, lost.id).error) == ("failed", "lease lost")
    taken_up = job(postgres_database, again)
    assert (taken_up.status, taken_up.attempt, taken_up.retry_count) == ("completed", 3, 2)
    # The second was no second attempt: the first had completed.
    shown = [run("jobs", "show", each).out for each in (first.id, lost.id, again)]
    assert [", attempt 2\n" in each for each in shown] == [False, False, True]
    assert "Attempt 2 followed this one and is done." in shown[1]


def configured(home: Path, url: str) -> Path:
    """Settings whose store is that one."""
    path = home / "vestige.toml"
    path.write_text(f'[storage]\nbackend = "postgres"\n[storage.postgres]\nurl = "{url}"\n')
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("told", ["in the settings", "before the command"])
def test_a_job_behind_a_password_is_reached_by_the_url_that_has_it(
    run: Command, home: Path, tmp_path: Path, postgres_database: str, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    ids = fill(postgres_database)
    known = with_password(postgres_database)
    here = f"sqlite:{tmp_path / 'here.db'}"
    fill(here)
    before: tuple[str, ...] = ("--store", known)
    if told == "in the settings":
        before = ("--config", str(configured(home, known)), "--store", here)
    remember(known, ids["lively"], "delegation")
    remember(here, "theirs", "copy")
    demand_password(monkeypatch)
    listed = run(*before, "jobs", "list", "--json")
    assert ids["lively"] in {each["id"] for each in listed.json["items"]}, listed
    assert run(*before, "jobs", "show", ids["lively"], "--json").json["job"]["id"] == ids["lively"]
    assert run(*before, "jobs", "cancel", ids["lively"]).status == 0
    watched = run(*before, "jobs", "watch", ids["lively"], "--json")
    assert (watched.status, watched.json["job"]["error"]) == (1, "cancelled")
    [again] = run(*before, "jobs", "retry", ids["silent"], "--json").json["changed"]
    assert run(*before, "jobs", "fail", again).status == 0
    assert PASSWORD not in listed.out + listed.err + watched.out + watched.err


def test_all_jobs_are_watched_with_the_password_of_the_settings(
    home: Path, tmp_path: Path, postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = fill(postgres_database)
    known = with_password(postgres_database)
    remember(known, ids["lively"], "delegation")
    settings = configured(home, known)
    demand_password(monkeypatch)
    output = Output(as_json=True)
    seen: set[str] = set()

    class Seen(Exception):
        pass

    class Watching(_View):
        def show(self, jobs: Sequence[Job]) -> None:
            seen.update(each.id for each in jobs)
            if seen:
                raise Seen

    args = Namespace(config=str(settings), store=f"sqlite:{tmp_path / 'here.db'}")
    with pytest.raises(Seen):
        asyncio.run(asyncio.wait_for(_watch_all(args, Watching(output)), 30))
    assert seen == set(ids.values())
