"""A small real store for every test of a place: the sample corpus, filled once and copied for each."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.support.corpus import fill_corpus
from vestige_tui.tui.app import VestigeApp


@pytest.fixture(autouse=True)
def one_clock_everywhere() -> Iterator[None]:
    """Let the times of day that a screen shows be the same on every machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture(scope="session")
def filled_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample corpus in a store that nobody writes to."""
    path = tmp_path_factory.mktemp("corpus") / "vestige.db"
    asyncio.run(fill_corpus(path))
    return path


@pytest.fixture
def corpus(filled_corpus: Path, tmp_path: Path) -> Path:
    """The sample corpus in a store of one's own."""
    path = tmp_path / "vestige.db"
    shutil.copy(filled_corpus, path)
    return path


@pytest.fixture
def filled(corpus: Path) -> str:
    """The URL of a store of one's own with the sample corpus, for a program in a terminal."""
    return f"sqlite:{corpus}"


@pytest.fixture
def empty_store(tmp_path: Path) -> Path:
    """A store without a memory."""

    async def make() -> None:
        from tests.support.corpus import clock, embedders
        from vestige_tui.store.open import open_store

        source = embedders()
        async with open_store(f"sqlite:{path}", create=True, embedders=source, clock=clock):
            pass
        source.close()

    path = tmp_path / "empty.db"
    asyncio.run(make())
    return path


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets $EDITOR to a script that gets the file as ``$1``; the terminal is not ours to suspend in a test."""

    def use(body: str) -> None:
        script = tmp_path / "editor"
        script.write_text(f"#!/bin/sh\n{body}\n")
        script.chmod(0o700)
        monkeypatch.setenv("EDITOR", str(script))

    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setattr(VestigeApp, "suspend", lambda self: nullcontext())
    drafts = tmp_path / "drafts"
    drafts.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(drafts))
    return use
