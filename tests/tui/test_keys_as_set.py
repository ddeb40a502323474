"""Sentences that name a key name the one of the person's own keymap."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from textual.widgets import Input

from tests.support.console import Console, open_explanation
from tests.support.corpus import clock, embedders
from vestige_tui.config.settings import Config
from vestige_tui.core.memories import Draft
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.store.open import open_store
from vestige_tui.tui.app import VestigeApp


@asynccontextmanager
async def with_keys(path: Path, keys: Mapping[str, str], source: EmbedderSource) -> AsyncIterator[Console]:
    app = VestigeApp(replace(Config(), keys=keys), f"sqlite:{path}", embedders=source, clock=clock)
    async with app.run_test(size=(120, 40)) as pilot:
        console = Console(app, pilot)
        await console.until(lambda: app.session.store is not None and app.session.facts.memories is not None)
        await console.still()
        yield console


@pytest.mark.slow
async def test_why_not_this_one(empty_store: Path) -> None:
    async with with_keys(empty_store, {"search.why_not": "ctrl+y"}, embedders()) as console:
        await open_explanation(console, "nothing")
        await console.until("No memory matches this search.")
        assert "ctrl+y  why a memory is missing" in console.text


@pytest.mark.slow
async def test_the_key_that_makes_the_first_vectors(tmp_path: Path) -> None:
    path = tmp_path / "vestige.db"
    async with open_store(f"sqlite:{path}", create=True, clock=clock) as store:
        await store.insert(Draft("written without a vector"), embed=False)
    async with with_keys(path, {"registry.fill": "ctrl+g"}, embedders()) as console:
        await console.press("f5")
        await console.until("No jobs yet.")
        await console.press("r")
        await console.until("This store has no model yet; ctrl+g on the Registry screen computes its first vectors.")


@pytest.mark.slow
async def test_the_key_line_names_the_key_that_works_while_one_types(empty_store: Path) -> None:
    async with with_keys(empty_store, {"filter.pick": "P,ctrl+t"}, embedders()) as console:
        assert isinstance(console.app.focused, Input)
        assert "ctrl+t filters" in console.lines[-1]
        await console.press("f3", "escape")
        await console.until("P filters")
