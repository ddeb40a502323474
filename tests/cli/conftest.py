"""Commands run as a person runs them: arguments in, status and two streams out."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.command_line import HOSTILE, Answer, Command, CommandResult, copy_store, fill_sample, sample_id
from vestige_tui.__main__ import main
from vestige_tui.core.links import Edge
from vestige_tui.core.memories import Draft
from vestige_tui.core.reviews import Rating
from vestige_tui.core.scheduling import review
from vestige_tui.store.open import open_store


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of the test's own, with nothing in it."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("VESTIGE_CONFIG", "VESTIGE_DATA_DIR", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name in ("EDITOR", "VISUAL"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the program in this process."""

    def run(*arguments: str) -> CommandResult:
        capsys.readouterr()
        status = main(arguments)
        captured = capsys.readouterr()
        return CommandResult(status, captured.out, captured.err)

    return run


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answer]:
    """A person at a terminal, who types this."""
    with ExitStack() as stack:

        def answer(typed: str) -> None:
            person, terminal = os.openpty()
            stack.callback(os.close, person)
            os.write(person, typed.encode())
            monkeypatch.setattr(sys, "stdin", stack.enter_context(open(terminal, encoding="utf-8")))
            monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)

        yield answer


@pytest.fixture(scope="session")
def sample_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "sample.db"
    asyncio.run(fill_sample(f"sqlite:{path}"))
    return path


@pytest.fixture
def sample(sample_file: Path, tmp_path: Path) -> str:
    """The URL of a store of the test's own with the sample memories."""
    return f"sqlite:{copy_store(sample_file, tmp_path / 'store.db')}"


@pytest.fixture(scope="session")
def demo_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample store of ``demo``, to be copied."""
    folder = tmp_path_factory.mktemp("demo") / "new"
    assert main(["demo", str(folder), "--no-console"]) == 0
    return folder / "demo.db"


@pytest.fixture(scope="session")
def hostile_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    async def fill(url: str) -> None:
        async with open_store(url, create=True) as store:
            for position in range(3):
                await store.insert(
                    Draft(
                        f"{HOSTILE} {position}",
                        sample_id(position),
                        node_type=f"type{HOSTILE}",
                        tags=(f"tag{HOSTILE}",),
                        domains=(f"domain{HOSTILE}",),
                        codebase=f"codebase{HOSTILE}",
                        metadata={f"key{HOSTILE}": f"value{HOSTILE}"},
                        scheduling=review(None, Rating.AGAIN, datetime.now(UTC) - timedelta(days=20)),
                    ),
                    embed=False,
                )
            await store.links.add(Edge(sample_id(0), sample_id(1), f"edge{HOSTILE}", 0.5))
            await store.links.supersede(sample_id(2), sample_id(0))

    path = tmp_path_factory.mktemp("hostile") / "hostile.db"
    asyncio.run(fill(f"sqlite:{path}"))
    return path
