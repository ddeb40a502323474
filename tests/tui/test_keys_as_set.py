"""Sentences that name a key name the one of the person's own keymap."""

from __future__ import annotations

import importlib
import pkgutil
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

import pytest
from textual.binding import Binding
from textual.widgets import Input

from tests.support.console import Console, open_explanation
from tests.support.corpus import clock, embedders
from vestige_tui import tui
from vestige_tui.config.settings import Config
from vestige_tui.core.memories import Draft
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.store.open import open_store
from vestige_tui.tui.app import VestigeApp
from vestige_tui.tui.command_screen import CommandScreen
from vestige_tui.tui.commands.catalogue import catalogue
from vestige_tui.tui.doctor.fault_sheet import FaultSheet
from vestige_tui.tui.doctor.fix_dialog import FixDialog
from vestige_tui.tui.filters.picker import FilterPicker


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


@pytest.mark.slow
async def test_the_key_to_fix_works_on_the_sheet_of_a_fault_too(corpus: Path) -> None:
    with closing(sqlite3.connect(corpus)) as connection, connection:
        connection.execute(
            "UPDATE knowledge_nodes SET tags = '[broken' WHERE id = (SELECT min(id) FROM knowledge_nodes)"
        )
    async with with_keys(corpus, {"doctor.fix": "ctrl+g", "memory.undo": "ctrl+y"}, embedders()) as console:
        await console.press("f7", "d")
        await console.until("1 fault of 1 kind")
        await console.press("enter")
        await console.until(lambda: isinstance(console.app.screen, FaultSheet))
        assert "ctrl+g fix…" in console.text
        await console.press("f")
        await console.press("ctrl+g")
        await console.until(lambda: isinstance(console.app.screen, FixDialog))
        await console.press("y")
        await console.until("ctrl+y undo")
        await console.press("ctrl+y")
        await console.until("Undid: repair")


@pytest.mark.slow
async def test_the_key_that_saves_filters_works_in_their_dialog_too(corpus: Path) -> None:
    async with with_keys(corpus, {"filter.save": "ctrl+g"}, embedders()) as console:
        await console.press("f3", "escape", "f")
        await console.until(lambda: isinstance(console.app.screen, FilterPicker))
        await console.until("ctrl+g save")
        await console.press("ctrl+g")
        await console.until("There are no filters to save.")


def _screens(base: type[CommandScreen] = CommandScreen) -> Iterator[type[CommandScreen]]:
    for screen in base.__subclasses__():
        yield screen
        yield from _screens(screen)


def test_every_key_of_a_place_or_a_page_follows_the_keymap() -> None:
    for module in pkgutil.walk_packages(tui.__path__, "vestige_tui.tui."):
        importlib.import_module(module.name)
    names = catalogue()
    screens = [screen for screen in _screens() if screen.__module__.startswith("vestige_tui.")]
    fixed = [
        (screen.__name__, binding)
        for screen in screens
        for binding in vars(screen).get("BINDINGS", ())
        if not isinstance(binding, Binding) or binding.id not in names
    ]
    assert len(screens) > 12
    assert fixed == []
