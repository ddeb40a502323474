"""demo: a filled store, made once, finished where it was interrupted, with nobody's settings touched."""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.command_line import Command, copy_store
from tests.support.ordinary_use import bare_env
from tests.support.terminal import Terminal
from vestige_tui import sample_store
from vestige_tui.config.directories import HOME_VARIABLE
from vestige_tui.core.file_targets import SIDES
from vestige_tui.core.memories import Filter, Memory
from vestige_tui.core.reviews import MarkedMemory
from vestige_tui.core.scheduling import is_leech
from vestige_tui.store.open import open_store


@pytest.fixture(scope="module")
def made(demo_file: Path) -> Path:
    """The folder of a demo."""
    return demo_file.parent


def test_everything_of_the_corpus_is_there(run: Command, made: Path) -> None:
    notes = list(sample_store.notes())
    url = f"sqlite:{made / 'demo.db'}"
    stats = run("--store", url, "stats", "--json").json
    assert stats["total_memories"] == stats["memories_with_embeddings"] == len(notes)
    assert stats["total_edges"] == sum(len(note["edges"]) for note in notes) + 1
    assert stats["total_reviews"] == sum(len(note["reviews"]) for note in notes)
    assert stats["superseded"] == sum(note["superseded_by"] is not None for note in notes)
    reviewed = next(note for note in notes if len(note["reviews"]) > 2 and note["source"])
    shown = run("--store", url, "show", sample_store.memory_id(reviewed["key"]), "--json").json
    assert len(shown["reviews"]) == shown["memory"]["scheduling"]["reps"] == len(reviewed["reviews"])
    assert shown["reviews"][-1]["new"]["next_review"] == shown["memory"]["scheduling"]["next_review"]
    assert shown["memory"]["metadata"] == {"source": reviewed["source"]}
    assert int(run("--store", url, "due", "--count").out) > 0


def test_doing_it_again_changes_nothing(run: Command, made: Path, tmp_path: Path, home: Path) -> None:
    folder = tmp_path / "again"
    folder.mkdir()
    copy_store(made / "demo.db", folder / "demo.db")
    url = f"sqlite:{folder / 'demo.db'}"
    before = run("--store", url, "stats", "--json").json
    ran = run("demo", str(folder), "--json")
    assert ran.status == 0
    assert not ran.json["created"]
    assert ran.json["stats"].items() <= before.items()
    # As if the first time had been cut short: it is finished with the same dates.
    newest = run("--store", url, "list", "--limit", "1", "--json").json["items"][0]
    run("--store", url, "delete", newest["id"])
    (folder / ".filling-demo.db").write_text(filled_at(newest))
    finished = run("demo", str(folder), "--json").json
    assert finished["stats"]["total_memories"] == before["total_memories"]
    assert finished["stats"]["total_reviews"] == before["total_reviews"]
    assert not (folder / ".filling-demo.db").exists()
    assert not (home / ".vestige").exists()


def filled_at(memory: dict[str, str]) -> str:
    """The moment from which a demo store was dated back, told from one of its memories."""
    from datetime import timedelta

    from vestige_tui.core.times import format_time, parse_stored

    [note] = [note for note in sample_store.notes() if sample_store.memory_id(note["key"]) == memory["id"]]
    created = parse_stored(memory["created_at"])
    assert created is not None
    return format_time(created + timedelta(days=note["days_ago"]))


def test_settings_are_not_read(run: Command, tmp_path: Path, home: Path, made: Path) -> None:
    (home / ".vestige").mkdir()
    (home / ".vestige" / "vestige.toml").write_text("nonsense = = =")
    assert run("demo", str(made), "--no-console").out == f"Already exists: sqlite:{made / 'demo.db'}\n"
    assert run("--store", "x.db", "demo", str(made), "--no-console").status == 3
    assert run("--config", "x.toml", "demo", str(made), "--no-console").status == 3
    assert run("--read-only", "demo", str(tmp_path / "none"), "--no-console").status == 3
    assert not (tmp_path / "none").exists()


def test_the_demo_holds_an_example_of_each_state(run: Command, made: Path) -> None:
    """What the screens have a sign for is there to be seen."""
    url = f"sqlite:{made / 'demo.db'}"

    async def read() -> tuple[list[MarkedMemory], list[str], list[Memory]]:
        async with open_store(url, read_only=True) as store:
            verbs = [entry.verb for entry in await store.journal.entries()]
            page = await store.page(Filter(superseded=True), limit=1_000)
            return list(await store.reviews.marked()), verbs, list(page.items)

    marked, verbs, memories = asyncio.run(read())
    assert sum(each.marks.suspended for each in marked) == 1
    assert [each.marks.buried_until > datetime.now(UTC) for each in marked if each.marks.buried_until] == [True]
    assert sum(each.marks.pinned for each in marked) == 1
    assert verbs == ["pin", "bury", "suspend", "edit", "link", "tag"]
    assert any(memory.scheduling and is_leech(memory.scheduling) for memory in memories)
    assert {memory.visibility for memory in memories} == {"private", "group", "public"}
    assert any(memory.superseded_by for memory in memories)
    stats = run("--store", url, "stats", "--json").json
    assert stats["total_domains"] == len(sample_store.DOMAIN_LABELS)


@pytest.mark.slow
def test_the_default_folder_and_postgres(run: Command, home: Path, made: Path) -> None:
    """On PostgreSQL the demo of a moment has the same rows as on SQLite."""
    place = home / ".local/share/vestige-tui/demo/postgres"
    place.parent.mkdir(parents=True)
    url = f"sqlite:{made / 'demo.db'}"
    [newest] = run("--store", url, "list", "--limit", "1", "--json").json["items"]
    (place.parent / ".filling-postgres").write_text(filled_at(newest))
    ran = run("demo", "--postgres", "--json")
    assert ran.status == 0, ran
    assert ran.json["store"] == f"pgembed:{place}"
    assert ran.json["stats"]["backend"] == "postgres"
    assert ran.json["stats"]["total_memories"] == len(list(sample_store.notes()))
    document = run("--store", f"pgembed:{place}", "search", "rotate keys", "--json").json
    assert document["mode"] == "hybrid"
    assert len(document["hits"]) == 10
    compared = run("migrate", "verify", "--source", url, "--target", f"pgembed:{place}", "--json")
    assert compared.json["differences"] == []
    assert compared.json["equal"]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(
    "command",
    [
        ["demo", "{}", "--no-console"],
        ["demo", "{}/below", "--no-console"],
        ["demo", "{}", "--postgres", "--no-console"],
        ["--store", "sqlite:{}", "schema", "up"],
        ["--store", "sqlite:{}/below/new.db", "schema", "up"],
        ["--store", "pgembed:{}", "schema", "up"],
        ["--store", "sqlite:{}", "add", "A text"],
        ["migrate", "copy", "--source", "{store}", "--target", "sqlite:{}"],
    ],
)
def test_no_store_is_created_under_the_name_of_a_side_file(
    run: Command, made: Path, tmp_path: Path, side: str, command: list[str]
) -> None:
    copy_store(made / "demo.db", tmp_path / "kept.db")
    store, name = f"sqlite:{tmp_path / 'kept.db'}", str(tmp_path / f"kept.db{side}")
    for each in ("-wal", "-shm", "-journal"):
        (tmp_path / f"kept.db{each}").unlink(missing_ok=True)
    before = sorted(tmp_path.iterdir())
    ran = run(*(word.replace("{}", name).replace("{store}", store) for word in command))
    assert ran.status == 3, ran
    assert f"would be taken by SQLite for the {side} file of kept.db; choose another name." in ran.err
    # The source of a copy is opened, which creates its own side files.
    own = {tmp_path / f"kept.db{each}" for each in ("-wal", "-shm")} if command[0] == "migrate" else set()
    assert sorted({*tmp_path.iterdir()} - own) == before
    assert run("--store", store, "list", "--limit", "1").status == 0


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, with its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.terminal
def test_a_console_of_the_demo_keeps_everything_below_its_folder(demo_file: Path, tmp_path: Path) -> None:
    """Settings, saved filters, theme and log: those of the user are neither read nor written."""
    home, folder = tmp_path / "person", tmp_path / "demo"
    for path in (home / ".vestige", home / ".local" / "state" / "vestige-tui", folder):
        path.mkdir(parents=True)
    (home / ".vestige" / "vestige.toml").write_text("nonsense = = =")
    (home / "other.toml").write_text("nonsense = = =")
    (home / ".local" / "state" / "vestige-tui" / "vestige-tui.log").write_text("of the user\n")
    copy_store(demo_file, folder / "demo.db")
    before = contents(home)
    env = {**bare_env(home), "VESTIGE_CONFIG": str(home / "other.toml")}
    command = [sys.executable, "-m", "vestige_tui", "demo", str(folder)]
    with Terminal(command, env=env, folder=tmp_path) as terminal:
        terminal.until("374 memories")
        terminal.send("type:decision ")
        terminal.until("type decision")
        terminal.press("ctrl+s")
        terminal.until("Save these filters")
        terminal.send("mine\r")
        terminal.until("Save these filters", gone=True)
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
    assert contents(home) == before
    settings = folder / "home" / "vestige.toml"
    assert 'mine = "type:decision"' in settings.read_text()
    assert "demo" in (folder / "home" / "state" / "vestige-tui.log").read_text()
    settings.write_text(settings.read_text() + '[ui]\ntheme = "nosuchtheme"\n')
    with Terminal(command, env=env, folder=tmp_path) as terminal:
        assert terminal.wait() == 1
        assert "nosuchtheme" in terminal.text


def test_the_variable_of_the_demo_is_gone_after_it(run: Command, made: Path) -> None:
    assert run("demo", str(made), "--json").status == 0
    assert HOME_VARIABLE not in os.environ
    assert str(made) not in run("about").out
