"""Beginning a copy or a comparison: the steps, what stands against one, and escape at each of them."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from textual.widgets import Input

from tests.support.console import Console, open_console
from tests.support.corpus import MEMORIES, clock, embedders
from tests.support.full_store import fill as fill_large
from tests.support.model_swap import OtherEmbedder
from tests.support.passwords import PASSWORD, demand_password, with_password
from tests.support.sample_jobs import show_jobs
from vestige_tui.config.settings import Config
from vestige_tui.core.errors import EmbedderUnavailable
from vestige_tui.core.jobs import Job
from vestige_tui.embedding.models import signature
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.store.open import open_store
from vestige_tui.transfer import copy_plan
from vestige_tui.tui.app import VestigeApp
from vestige_tui.tui.jobs.place import JobsPlace
from vestige_tui.tui.notice import NO_NOTICE
from vestige_tui.tui.widgets.status_line import StatusLine
from vestige_tui.tui.wizards.two_stores import BetweenStores
from vestige_tui.tui.wizards.wizard import Wizard

TABLES = {
    **{name: name for name in ("users", "groups", "domains", "scheduling", "edges")},
    "memberships": "group_memberships",
    "memories": "knowledge_nodes",
    "vectors": "node_embeddings",
    "reviews": "review_events",
    "supersession": "supersession_events",
    "marks": "review_marks",
    "weights": "review_weights",
}
"""Tables of a SQLite file, by the names of the rows that a copy counts."""
NOTHING_IS_THERE = "127.0.0.1:1/x"


async def to_target(console: Console) -> None:
    """Go from the Jobs screen to the step that asks for the target of a copy."""
    await console.press("f5", "c")
    await console.until("Where to?")


async def give(console: Console, url: str) -> None:
    await console.press("ctrl+u")
    await console.paste(url)
    await console.press("enter")


async def ended(console: Console) -> Job:
    """The job under the cursor, once it has ended."""
    async with asyncio.timeout(90):
        while True:
            jobs = console.app.session.jobs
            if jobs and all(job.status in ("completed", "failed") for job in jobs):
                return max(jobs, key=lambda job: job.created_at or clock())
            await console.pilot.pause(0.1)


def typed(console: Console) -> str:
    """What stands in the line of a step, however much of it is seen."""
    line = console.app.focused
    assert isinstance(line, Input)
    return line.value


@pytest.mark.slow
async def test_escape_goes_back_a_step_and_then_out(corpus: Path, tmp_path: Path) -> None:
    target = tmp_path / "pg"
    async with open_console(corpus) as console:
        await to_target(console)
        await give(console, f"pgembed:{target}")
        await console.until("in total")
        await console.press("enter")
        await console.until("start the copy")
        await console.press("escape")
        await console.until("in total")
        await console.press("escape")
        await console.until("Where to?")
        # What was typed is still there.
        assert typed(console) == f"pgembed:{target}"
        await console.press("escape")
        await console.until("The store to copy; it is only read.")
        assert typed(console) == f"sqlite:{corpus}"
        await console.press("escape")
        await console.until("Nothing was copied.")
        assert not target.exists()
        assert not await Ledger(console.store).jobs()


@pytest.mark.slow
@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 20)])
async def test_what_comes_along_is_counted_first(corpus: Path, tmp_path: Path, size: tuple[int, int]) -> None:
    async with open_console(corpus, size) as console:
        await to_target(console)
        await give(console, f"pgembed:{tmp_path / 'pg'}")
        await console.until("in total")
        figures = {line.split()[-2]: line.split()[-1] for line in console.lines if len(line.split()) >= 2}
        assert figures["memories"] == str(MEMORIES)
        with closing(sqlite3.connect(corpus)) as file:
            counts = {
                name: int(file.execute(f"SELECT count(*) FROM {table}").fetchone()[0]) for name, table in TABLES.items()
            }
        assert f"rows      {sum(counts.values()):,} in total" in console.text
        if size[1] > 24:
            # A table without rows has no line.
            shown = {name: f"{count:,}" for name, count in counts.items() if count}
            assert {name: figures[name] for name in TABLES if name in figures} == shown
        assert "vectors   of test-embedder-64" in console.text
        await console.press("enter")
        await console.until("start the copy")
        assert "v ● compare every row at the end  yes" in console.text
        assert "f ○ copy later changes too, until stopped  no" in console.text
        await console.press("v", "f")
        await console.until("v ○ compare every row at the end  no")
        assert "f ● copy later changes too, until stopped  yes" in console.text


async def test_the_open_store_is_copied_with_the_password_that_the_console_knows(
    tmp_path: Path, postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    demand_password(monkeypatch)
    app = VestigeApp(Config(), with_password(postgres_database), embedders=embedders(), clock=clock)
    async with app.run_test(size=(120, 40)) as pilot:
        console = Console(app, pilot)
        await console.until(lambda: app.session.store is not None)
        await to_target(console)
        assert PASSWORD not in console.text
        await give(console, str(tmp_path / "copy.db"))
        await console.until("in total")
        assert PASSWORD not in console.text
        wizard = console.app.screen
        assert isinstance(wizard, BetweenStores)
        assert PASSWORD in wizard.source


@pytest.mark.slow
async def test_a_password_is_never_seen_while_it_is_typed(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await to_target(console)
        await console.press(*"postgresql://me:s3cret")
        await console.until("postgresql://me:••••••")
        await console.press(*"@host")
        await console.until("postgresql://me:••••••@host")
        line = console.app.focused
        assert isinstance(line, Input)
        assert line.value == "postgresql://me:s3cret@host"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        (f"postgresql://me:s3cret@{NOTHING_IS_THERE}", "127.0.0.1"),
        ("ftp://somewhere/x", "A store cannot be a ftp URL"),
        ("postgresql://[broken", "■"),
    ],
)
async def test_what_cannot_be_copied_is_one_sentence(corpus: Path, target: str, sentence: str) -> None:
    async with open_console(corpus) as console:
        await to_target(console)
        await give(console, target)
        await console.until("■")
        assert console.says(sentence)
        # A password that was typed stands on the screen no longer.
        assert "s3cret" not in console.text
        assert "Where to?" in console.text
        assert not console.app.session.jobs


@pytest.mark.slow
async def test_the_same_store_is_no_target_and_a_missing_one_no_source(corpus: Path, tmp_path: Path) -> None:
    async with open_console(corpus) as console:
        await to_target(console)
        link = tmp_path / "link.db"
        link.symlink_to(corpus)
        for same in (f"sqlite:{corpus}", str(corpus), f"sqlite:{link}"):
            await give(console, same)
            await console.until("Source and target are the same store")
        await console.press("escape")
        await console.until("The store to copy; it is only read.")
        await give(console, f"sqlite:{tmp_path}/nowhere.db")
        await console.until("■")
        assert console.says("nowhere.db")
        assert "Where to?" not in console.text


@pytest.mark.slow
async def test_what_was_said_of_a_store_goes_with_it(corpus: Path, tmp_path: Path) -> None:
    async with open_console(corpus) as console:
        await to_target(console)
        await console.press("enter")
        await console.until("Type the file or URL of a store.")
        await give(console, f"sqlite:{corpus}")
        await console.until("Source and target are the same store")
        said = next(number for number, line in enumerate(console.lines) if "the same store" in line)
        assert f"sqlite:{corpus}"[:40] in console.lines[said - 1]
        await console.press("backspace")
        await console.until("Source and target are the same store", gone=True)
        # Also where the store before turns out to be good.
        await console.press("escape")
        await give(console, f"sqlite:{tmp_path}/nowhere.db")
        await console.until("■")
        await give(console, f"sqlite:{corpus}")
        await console.until("Where to?")
        await console.press("escape")
        await console.until("The store to copy; it is only read.")
        assert "■" not in console.text
        assert "◌" not in console.text


@pytest.mark.slow
async def test_a_target_says_what_it_holds(corpus: Path, tmp_path: Path) -> None:
    new, bare, filled = tmp_path / "new.db", tmp_path / "bare.db", tmp_path / "filled.db"
    shutil.copy(corpus, filled)
    async with open_store(f"sqlite:{bare}", create=True):
        pass
    async with open_console(corpus) as console:
        await to_target(console)
        for path, said in (
            (new, "new, will be created"),
            (bare, "has no memories yet"),
            (filled, "has 374 memories with vectors of test-embedder-64; missing rows are added"),
        ):
            await give(console, f"sqlite:{path}")
            await console.until("in total")
            assert console.says(said)
            # Both are told apart by more than their last names.
            assert path.name in console.text
            assert path.parent.name in console.text
            await console.press("escape")
            await console.until("Where to?")
        assert not new.exists()


@pytest.mark.slow
async def test_enter_alone_begins_nothing(corpus: Path, tmp_path: Path) -> None:
    async with open_console(corpus) as console:
        await to_target(console)
        await give(console, f"sqlite:{tmp_path}/new.db")
        await console.until("in total")
        await console.press("enter")
        await console.until("start the copy")
        await console.press("enter")
        await console.until("Press y to start the copy; Enter does not start it.")
        assert not await Ledger(console.store).jobs()


@pytest.mark.slow
async def test_what_was_not_copied_is_forgotten_with_the_next_beginning(corpus: Path) -> None:
    async with open_console(corpus) as console:
        for key, said in (("c", "Nothing was copied."), ("v", "Nothing was compared.")):
            await console.press("f5", key)
            await console.until("Where to?" if key == "c" else "The copy to compare with it.")
            assert typed(console) == ""
            await console.press("escape")
            await console.until("it is only read." if key == "c" else "The original store.")
            await console.press("escape")
            await console.until(said)
            await console.press(key)
            await console.until(lambda: isinstance(console.app.screen, Wizard))
            place = console.app.screen_stack[0]
            assert isinstance(place, JobsPlace)
            assert place.query_children(StatusLine).last().notice is NO_NOTICE
            await console.until("esc back")
            await console.press("escape")
            await console.until("esc cancel")
            await console.press("escape")
            await console.until(said)


@pytest.mark.slow
async def test_escape_stops_what_is_under_way_and_stays(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, stopped = asyncio.Event(), asyncio.Event()

    async def never(*_: object, **__: object) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    monkeypatch.setattr("vestige_tui.tui.wizards.copy.check", never)
    async with open_console(corpus) as console:
        await to_target(console)
        await give(console, "postgresql://somewhere/x")
        await console.until("reading postgresql://somewhere/x …")
        await begun.wait()
        assert "esc stop" in console.text
        await console.press("escape")
        await stopped.wait()
        await console.until("Stopped.")
        assert "Where to?" in console.text
        await console.press("escape")
        await console.until("The store to copy; it is only read.")


@pytest.mark.slow
async def test_known_stores_are_offered(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await console.press("f5")
        await show_jobs(console.app)
        await to_target(console)
        assert "known stores" in console.text
        assert "pgembed:/srv/memory" in console.text
        await console.press("down", "down")
        await console.until(
            lambda: console.app.screen.query(Input).last().value == "postgresql://ada@db1.example.org/vestige"
        )


@pytest.mark.slow
async def test_models_that_differ_leave_two_ways(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    second, other = OtherEmbedder(8), tmp_path / "other.db"
    known: dict[str, OtherEmbedder] = {}

    def load(name: str, *, dimension: int | None = None) -> OtherEmbedder:
        if name not in known:
            raise EmbedderUnavailable(f"The embedding model {name} is not on this machine.")
        return known[name]

    monkeypatch.setattr(copy_plan, "load_embedder", load)
    async with open_store(f"sqlite:{other}", create=True) as store:
        await store.models.register(signature(second))
    async with open_console(corpus) as console:
        await to_target(console)
        await give(console, f"sqlite:{other}")
        await console.until("re-embed while copying")
        assert "other-embedder-8" in console.text
        assert "cannot be compared." in console.text
        assert "another target" in console.text
        await console.press("down", "enter")
        await console.until("Where to?")
        await console.press("enter")
        await console.until("re-embed while copying")
        await console.press("enter")
        await console.until("■ The embedding model other-embedder-8 is not on this machine.")
        known[second.name] = second
        await console.press("enter")
        await console.until("re-embedded with the target's model, which takes time")
        await console.press("enter")
        await console.until("vectors   re-embedded with the target's model")
        for said in ("which takes time", "re-embed while copying", "Where to?"):
            await console.press("escape")
            await console.until(said)
        await console.press("escape", "escape")
        await console.until("Nothing was copied.")


@pytest.mark.slow
async def test_a_real_copy_is_started_watched_and_compared(tmp_path: Path, postgres_database: str) -> None:
    path = tmp_path / "large.db"
    await fill_large(path, 400)
    async with open_console(path) as console:
        # From another place, too.
        await console.press("f7", "c")
        await console.until("Where to?")
        await give(console, postgres_database)
        await console.until("in total")
        await console.press("enter")
        await console.until("start the copy")
        await console.press("y")
        job = await ended(console)
        assert (job.kind, job.status, job.error) == ("copy", "completed", None)
        rows = sum(table.read for table in job.progress.tables.values())
        await console.until(f"▪ The copy is done: {rows:,} rows, verified.")
        await console.until("Every row that was read is in the target.")
        memories = next(line for line in console.lines if "memories  " in line and " % of " in line)
        assert memories.split()[-5:] == ["400", "400", "─", "─", "─"]
        # The two stores of the job that is under the cursor.
        await console.press("v")
        await console.until("start the comparison")
        assert path.name in console.text
        await console.press("escape")
        await console.until("Nothing was compared.")
        await console.press("v")
        await console.until("start the comparison")
        await console.press("y")
        await console.until(lambda: len(console.app.session.jobs) == 2)
        job = await ended(console)
        assert (job.kind, job.status, job.error) == ("verify", "completed", None)
        await console.until("Every row is the same in both stores.")
        await console.until("▪ The comparison is done: ")


@pytest.mark.slow
async def test_a_comparison_without_a_job_asks_for_both(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await console.press("f5", "v")
        await console.until("The copy to compare with it")
        await console.press("escape")
        await console.until("The original store.")
        await console.press("enter")
        await console.until("The copy to compare with it")
        await give(console, f"postgresql://{NOTHING_IS_THERE}")
        await console.until("■")
        await console.press("escape", "escape")
        await console.until("Nothing was compared.")
