"""Commands run as a person runs them: arguments in, status and two streams out."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from vestige_tui.__main__ import main
from vestige_tui.core.links import Edge
from vestige_tui.core.memories import Draft
from vestige_tui.core.reviews import Rating, Review, Scheduling
from vestige_tui.core.scheduling import review
from vestige_tui.store.open import open_store

HOSTILE = "\x1b]52;c;ZXZpbA==\x07\x1b[2J\x9b31m \u202edlrow [bold]x[/bold] \x00 \x7f \ud800 evil"
SENTENCES = (
    "Signing keys rotate every 90 days; the old public key stays in the JWKS for one more period.",
    "The nightly backup runs after the retention job, at 03:10 UTC.",
    "Deploys go out behind a flag and are rolled back by turning it off.",
    "Postgres connections are pooled by pgbouncer in transaction mode.",
    "The search index is rebuilt every Sunday.",
    "Old note: signing keys rotate once a year.",
)


def sample_id(position: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"sample {position}"))


@dataclass(frozen=True, slots=True)
class Ran:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Command: TypeAlias = Callable[..., Ran]
Answer: TypeAlias = Callable[[str], None]


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

    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        status = main(arguments)
        captured = capsys.readouterr()
        return Ran(status, captured.out, captured.err)

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


def run_process(*arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Ran:
    """Run the program as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "vestige_tui", *arguments],
        input=stdin,
        capture_output=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONWARNINGS": "error", **(env or {})},
    )
    return Ran(done.returncode, done.stdout.decode("utf-8", "backslashreplace"), done.stderr.decode("utf-8", "replace"))


async def fill_sample(url: str) -> None:
    """Six memories with vectors; the first is due, the second too, 0 replaces 5, 0 and 1 are linked."""
    now = datetime.now(UTC)
    async with open_store(url, create=True) as store:
        drafts = []
        log = []
        for position, text in enumerate(SENTENCES):
            made = now - timedelta(days=60 - position)
            state: Scheduling | None = None
            if position < 2:
                at = now - timedelta(days=40 - position)
                state = review(None, Rating.GOOD, at)
                log.append(Review(position + 1, sample_id(position), at, int(Rating.GOOD), Scheduling(), state))
            drafts.append(
                Draft(
                    text,
                    sample_id(position),
                    ("decision", "procedure")[position % 2],
                    tags=("ops", "security") if position == 0 else ("ops",),
                    domains=("infra",),
                    codebase="auth" if position in (0, 5) else None,
                    metadata={"source": "sample", "n": position},
                    created_at=made,
                    scheduling=state,
                )
            )
        await store.memories.insert_many(drafts)
        await store.reviews.restore(log)
        await store.links.add(Edge(sample_id(0), sample_id(1), "related", 0.8))
        await store.links.supersede(sample_id(5), sample_id(0))
        store.embedders.close()


@pytest.fixture(scope="session")
def sample_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "sample.db"
    asyncio.run(fill_sample(f"sqlite:{path}"))
    return path


@pytest.fixture
def sample(sample_file: Path, tmp_path: Path) -> str:
    """The URL of a store of the test's own with the sample memories."""
    return f"sqlite:{copied(sample_file, tmp_path / 'store.db')}"


def copied(source: Path, target: Path) -> Path:
    """A copy of a store, with what still lies in its log."""
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
    return target


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
