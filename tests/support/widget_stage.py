"""One widget alone in an app."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from textual.app import App, ComposeResult
from textual.message import Message as TextualMessage
from textual.pilot import Pilot
from textual.widget import Widget

from tests.support.sample_memories import NOW, Source
from vestige_tui.tui.browse.memory_table import MemoryTable
from vestige_tui.tui.filters.bar import FilterBar
from vestige_tui.tui.search.hit_list import HitList
from vestige_tui.tui.themes import THEMES, register


class Stage(App[None]):
    """One widget alone, with a list of what it posted."""

    def __init__(self, widget: Widget) -> None:
        super().__init__()
        self.widget = widget
        self.posted: list[TextualMessage] = []
        register(self)
        self.theme = THEMES[0].name

    def compose(self) -> ComposeResult:
        yield self.widget

    def on_mount(self) -> None:
        if self.widget.can_focus:
            self.widget.focus()

    def on_memory_table_memory_highlighted(self, event: MemoryTable.MemoryHighlighted) -> None:
        self.posted.append(event)

    def on_memory_table_memory_chosen(self, event: MemoryTable.MemoryChosen) -> None:
        self.posted.append(event)

    def on_memory_table_not_here(self, event: MemoryTable.NotHere) -> None:
        self.posted.append(event)

    def on_memory_table_failed(self, event: MemoryTable.Failed) -> None:
        self.posted.append(event)

    def on_memory_rows_selection_changed(self, event: MemoryTable.SelectionChanged) -> None:
        self.posted.append(event)

    def on_hit_list_hit_highlighted(self, event: HitList.HitHighlighted) -> None:
        self.posted.append(event)

    def on_filter_bar_asked(self, event: FilterBar.Asked) -> None:
        self.posted.append(event)


@asynccontextmanager
async def open_table(
    source: Source, size: tuple[int, int] = (120, 40)
) -> AsyncIterator[tuple[MemoryTable, Pilot[None]]]:
    table = MemoryTable(clock=lambda: NOW)
    app = Stage(table)
    async with app.run_test(size=size) as pilot:
        table.set_source(source.total, source.fetch, sort="created")
        await settle(pilot)
        yield table, pilot


def selected_ids(table: MemoryTable) -> list[str]:
    """Return the ids that are selected."""
    return [item.id for item in table.selected]


async def settle(pilot: Pilot[None]) -> None:
    """Wait until no rows are being fetched and the screen shows them."""
    await pilot.pause()
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()
