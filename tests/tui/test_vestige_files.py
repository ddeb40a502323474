"""A console session on a file of a Vestige server changes no byte of it."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest

from tests.support.console import Console
from tests.support.corpus import embedders
from tests.support.random_vestige_files import make_random
from vestige_tui.config.settings import Config
from vestige_tui.tui.app import VestigeApp

FRESH_SEED = random.SystemRandom().randrange(2**32)


@pytest.mark.slow
@pytest.mark.parametrize("line", ["4", "14 (phase 1)", "18", "28", "35", "40"])
async def test_all_places_of_a_session(tmp_path: Path, line: str) -> None:
    print(f"random Vestige file: seed {FRESH_SEED}")
    path = tmp_path / "vestige.db"
    make_random(path, line, FRESH_SEED)
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    app = VestigeApp(Config(), f"sqlite:{path}", embedders=embedders())
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        console = Console(app, pilot)
        await console.until(lambda: app.session.store is not None and app.session.facts.memories is not None)
        for key in ("f3", "down", "enter", "escape", "f4", "f5", "f6", "f7", "f2"):
            await console.press(key)
            await console.still()
        assert hashlib.sha256(path.read_bytes()).hexdigest() == before, FRESH_SEED
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before, FRESH_SEED
