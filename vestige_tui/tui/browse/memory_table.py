"""Table of memories for a million rows: it holds a few pages, and fetches others as they come into view."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, TypeAlias

from textual import events
from textual.binding import BindingType
from textual.message import Message
from textual.worker import Worker, WorkerState

from vestige_tui.core.memories import Memory, Page, Sort
from vestige_tui.core.scheduling import retrievability
from vestige_tui.core.text import cells, grouped, one_line, plain
from vestige_tui.tui.browse.columns import Columns
from vestige_tui.tui.commands.command import bindings
from vestige_tui.tui.commands.lists import SELECTING
from vestige_tui.tui.widgets.glyphs import age, due, figure, level, state_cells
from vestige_tui.tui.widgets.memory_rows import MemoryRows
from vestige_tui.tui.widgets.row_list import Piece, fit
from vestige_tui.tui.workers import work

PAGE_ROWS = 100
PAGES_HELD = 50
SELECTION_LIMIT = 10_000
"""Memories that a selection holds; of a longer list, all rows are selected without being read."""

Fetch: TypeAlias = Callable[[int, int, str | None], Awaitable[Page[Memory]]]
"""``fetch(offset, limit, after)``: rows ``offset`` .. ``offset + limit``; ``after`` is the keyset cursor at which they
begin, if known, so that only jumps need the offset. ``Page.next`` is the cursor behind the last row, if any."""


Locate: TypeAlias = Callable[[str], Awaitable[int | None]]
"""``locate(memory_id)``: index of the row of a memory, None if the list lacks it."""


class MemoryTable(MemoryRows):
    """Table of memories, one a line; ``set_source`` replaces its rows, ``reload`` reads them again after a change."""

    head_height: ClassVar[int] = 1
    BINDINGS: ClassVar[list[BindingType]] = bindings(*SELECTING)

    @dataclass
    class MemoryHighlighted(Message):
        """Another memory came under the cursor; None for an empty table."""

        memory: Memory | None

    @dataclass
    class MemoryChosen(Message):
        """A memory was opened."""

        memory: Memory

    @dataclass
    class SortChosen(Message):
        """The head of a column was clicked."""

        sort: Sort

    @dataclass
    class NotHere(Message):
        """A key had no effect, because its rows are still being read."""

    @dataclass
    class Failed(Message):
        """Rows could not be fetched; those already loaded stay."""

        error: BaseException

    def __init__(
        self, *, clock: Callable[[], datetime] | None = None, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(clock=clock, id=id, classes=classes)
        self._fetch: Fetch | None = None
        self._locate: Locate | None = None
        self._sort: Sort | None = None
        self._pages: OrderedDict[int, tuple[Memory, ...]] = OrderedDict()
        self._page_cursors: dict[int, str] = {}
        self._range_from: int | None = None
        self._loader: Worker[None] | None = None
        self._selector: Worker[None] | None = None
        self._everything = False
        self._highlighted_id: str | None = None

    # Source ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def set_source(self, count: int, fetch: Fetch, *, sort: Sort | None = None, locate: Locate | None = None) -> None:
        """Show ``count`` memories that ``fetch`` gives page by page, the cursor on the first, nothing selected."""
        self._fetch, self._sort, self._locate = fetch, sort, locate
        self._stop_loading()
        self._stop_selecting()
        self._forget()
        self._range_from = None
        lost = self._count if self._everything else len(self._selected)
        self._selected.clear()
        self._edited.clear()
        self._everything = False
        self._cursor = 0
        self._highlighted_id = None
        self.scroll_to(y=0, animate=False, force=True)
        self._resize_to(count)
        if lost:
            self.post_message(self.SelectionChanged((), lost=lost))
        if not count:
            self.post_message(self.MemoryHighlighted(None))
        self._load_visible()

    def reload(self, count: int, *, go_to: str | None = None) -> None:
        """Read again after a change of the store to ``count`` rows.

        The cursor follows its memory, wherever the order moves it, and keeps its line; with ``go_to`` it goes to that
        memory.
        """
        self._stop_loading()
        self._loader = self._reload(count, go_to)

    def _forget(self) -> None:
        self._pages.clear()
        self._page_cursors.clear()

    def _stop_loading(self) -> None:
        if self._loader is not None:
            self._loader.cancel()
            self._loader = None

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        # Textual does not bubble this message beyond the widget that started the worker.
        if event.state is WorkerState.ERROR and event.worker.error is not None:
            self.post_message(self.Failed(event.worker.error))

    async def _read(self, page: int, page_cursors: dict[int, str]) -> tuple[Memory, ...]:
        """Fetch page ``page``, by keyset if ``page_cursors`` has its cursor, and add that of the next page."""
        assert self._fetch is not None
        answer = await self._fetch(page * PAGE_ROWS, PAGE_ROWS, page_cursors.get(page))
        if answer.next is not None:
            page_cursors[page + 1] = answer.next
        return tuple(answer.items)

    def _keep(self, page: int, rows: tuple[Memory, ...]) -> None:
        self._pages[page] = rows
        self._pages.move_to_end(page)
        while len(self._pages) > PAGES_HELD:
            self._pages.popitem(last=False)
        if self._renew(rows):
            self.post_message(self.SelectionChanged(self.selected, len(self._selected) >= SELECTION_LIMIT))

    def _page_to_fetch(self) -> int | None:
        """Return the next page to fetch: a visible one, else the one below (prefetch); None when all are loaded."""
        visible = self.visible_rows
        if not self._count or not len(visible):
            return None
        first, last = visible.start // PAGE_ROWS, (visible.stop - 1) // PAGE_ROWS
        pages = [*range(first, last + 1), last + 1]
        return next((page for page in pages if page not in self._pages and page * PAGE_ROWS < self._count), None)

    def _load_visible(self) -> None:
        if self._fetch is None or (self._loader is not None and self._loader.is_running):
            return
        if self._page_to_fetch() is not None:
            self._loader = self._load()

    @work(group="rows", exclusive=True, exit_on_error=False)
    async def _load(self) -> None:
        await self._read_missing()

    async def _read_missing(self) -> None:
        while (page := self._page_to_fetch()) is not None:
            self._keep(page, await self._read(page, self._page_cursors))
            self.repaint()
            self._post_highlighted()

    @work(group="rows", exclusive=True, exit_on_error=False)
    async def _reload(self, count: int, go_to: str | None) -> None:
        self._page_cursors.clear()
        fresh: dict[int, tuple[Memory, ...]] = {}
        while True:
            old_cursor = self._cursor
            cursor = await self._find_row(count, fresh, go_to)
            # The old rows stay in use until the new ones are read, so the cursor may have moved meanwhile.
            if old_cursor == self._cursor:
                break
        shift = cursor - self._cursor
        self._pages.clear()
        for page, rows in fresh.items():
            self._keep(page, rows)
        self._resize_to(count)
        if self._everything:
            self.post_message(self.SelectionChanged((), everything=count))
        self._cursor = cursor
        if self._range_from is not None:
            self._range_from = max(0, min(self._range_from + shift, count - 1))
        if self.scroll_y > 0:
            # New rows above must not move the visible ones, except at the top of the table.
            self.scroll_to(y=self.scroll_y + shift * self.row_height, animate=False, force=True)
        self._reveal()
        self._highlighted_id = None
        await self._read_missing()
        self._post_highlighted()

    async def _find_row(self, count: int, fresh: dict[int, tuple[Memory, ...]], go_to: str | None) -> int:
        """Return the row of the current memory, or of ``go_to``; pages read on the way go to ``fresh``."""
        memory_id, old = go_to or (self.current.id if self.current is not None else None), self._cursor
        if memory_id is None or self._fetch is None:
            return max(0, min(old, count - 1))
        guesses = [old + count - self._count, old]
        pages = [guess // PAGE_ROWS + near for near in (0, -1, 1) for guess in guesses] if go_to is None else []
        for page in dict.fromkeys(page for page in pages if 0 <= page * PAGE_ROWS < count):
            if (row := await self._row_on(page, memory_id, fresh)) is not None:
                return row
        position = await self._locate(memory_id) if self._locate is not None else None
        if position is not None:
            row = await self._row_on(position // PAGE_ROWS, memory_id, fresh)
            return position if row is None else row
        return max(0, min(old, count - 1))

    async def _row_on(self, page: int, memory_id: str, fresh: dict[int, tuple[Memory, ...]]) -> int | None:
        """Return the row of a memory if it is on this page."""
        if page not in fresh:
            fresh[page] = await self._read(page, self._page_cursors)
        ids = [row.id for row in fresh[page]]
        return page * PAGE_ROWS + ids.index(memory_id) if memory_id in ids else None

    # Rows ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def memory_at(self, index: int) -> Memory | None:
        """Return the memory of row ``index``, None while its page is not loaded."""
        page, place = divmod(index, PAGE_ROWS)
        rows = self._pages.get(page)
        return rows[place] if rows is not None and 0 <= place < len(rows) else None

    @property
    def current(self) -> Memory | None:
        """Memory under the cursor, None while its page is not loaded."""
        return self.memory_at(self._cursor)

    def _post_highlighted(self) -> None:
        memory = self.current
        memory_id = memory.id if memory is not None else None
        if memory_id != self._highlighted_id and (memory is not None or not self._count):
            self._highlighted_id = memory_id
            self.post_message(self.MemoryHighlighted(memory))

    def cursor_moved(self) -> None:
        if self._range_from is not None:
            self.repaint()
        self._post_highlighted()
        self._load_visible()

    def row_chosen(self) -> None:
        if self.current is not None:
            self.post_message(self.MemoryChosen(self.current))
        else:
            self._wait_for_rows()

    def _wait_for_rows(self) -> None:
        self.post_message(self.NotHere())
        # A failed read is not repeated otherwise.
        self._load_visible()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._load_visible()

    def on_resize(self) -> None:
        super().on_resize()
        self._load_visible()

    # Selection ───────────────────────────────────────────────────────────────────────────────────────────────────

    def is_selected(self, index: int) -> bool:
        if self._everything or (self._range_from is not None and index in self._range()):
            return True
        return super().is_selected(index)

    @property
    def everything(self) -> bool:
        return self._everything

    def _range(self) -> range:
        start = self._cursor if self._range_from is None else self._range_from
        return range(min(start, self._cursor), max(start, self._cursor) + 1)

    @property
    def range_open(self) -> bool:
        """True while a range is started and not yet selected."""
        return self._range_from is not None

    @property
    def selecting(self) -> bool:
        return self._selector is not None and not self._selector.is_finished

    def select_none(self) -> None:
        """Clear range and selection, and cancel a selection still being read."""
        self._stop_selecting()
        self._range_from = None
        self._everything = False
        super().select_none()

    def _stop_selecting(self) -> None:
        if self._selector is not None:
            self._selector.cancel()
            self._selector = None

    def action_toggle_selected(self) -> None:
        if self._range_from is not None:
            self.action_toggle_range()
        elif self._count and (self.current is None or self.selecting or self._everything):
            # The running selection would select the row again.
            self._wait_for_rows()
        else:
            super().action_toggle_selected()

    def action_toggle_range(self) -> None:
        if self._range_from is None and (self.selecting or self._everything):
            self._wait_for_rows()
        elif self._range_from is None:
            self._range_from = self._cursor if self._count else None
            self.repaint()
        else:
            self._select_rows(self._range())

    def action_select_all(self) -> None:
        if self._count <= SELECTION_LIMIT:
            self._select_rows(range(self._count))
            return
        self.select_none()
        self._everything = True
        self.post_message(self.SelectionChanged((), everything=self._count))

    def action_clear_selection(self) -> None:
        if self._range_from is not None or self.selecting or self._everything:
            self.select_none()
        else:
            super().action_clear_selection()

    def _select_rows(self, rows: range) -> None:
        self._selector = self._gather(rows)

    @work(group="selection", exclusive=True, exit_on_error=False)
    async def _gather(self, rows: range) -> None:
        truncated = len(rows) > SELECTION_LIMIT
        rows = rows[:SELECTION_LIMIT]
        memories: dict[str, Memory] = {}
        # Copies with the present row numbers: the table may be reloaded meanwhile.
        pages, page_cursors = dict(self._pages), dict(self._page_cursors)
        for page in range(rows.start // PAGE_ROWS, (rows.stop - 1) // PAGE_ROWS + 1) if rows else ():
            page_memories = pages.get(page)
            if page_memories is None:
                page_memories = await self._read(page, page_cursors)
            for place, memory in enumerate(page_memories, page * PAGE_ROWS):
                if place in rows:
                    memories[memory.id] = memory
        # All at once, so that a cancelled read leaves no partial selection.
        self._selected |= memories
        for page_memories in self._pages.values():
            self._renew(page_memories)
        self._range_from = None
        self.repaint()
        self.post_message(self.SelectionChanged(self.selected, truncated))

    # Painting ────────────────────────────────────────────────────────────────────────────────────────────────────

    def draw_head(self, width: int) -> Iterable[Piece]:
        for text, _ in self._head_columns(width):
            yield text, "head"

    def _head_columns(self, width: int) -> Iterable[tuple[str, Sort | None]]:
        """Yield the texts of the head from left to right, each with the order that a click on it chooses."""
        columns = Columns.of(width, self._sort)

        def title(name: str, *sorts: Sort) -> str:
            arrow = "▲" if self._sort in ("oldest", "due", "recall", "type") else "▼"
            return f"{name} {arrow}" if self._sort in sorts else name

        yield "    ", None
        if columns.kind:
            yield fit(title("type", "type"), columns.kind) + "  ", "type"
        if columns.domain:
            yield fit("domain", columns.domain) + "  ", None
        yield fit("memory", columns.text), None
        if columns.tags:
            yield "  " + fit("tags", columns.tags), None
        created: tuple[str, Sort] = title("created", "created", "oldest"), _other(self._sort)
        due: tuple[str, Sort] = title("due", "due"), "due"
        first = {"updated": (title("updated", "updated"), _other(self._sort)), "due": due}.get(
            self._sort or "", created
        )
        yield "  " + fit(first[0], columns.age, right=True), first[1]
        yield (
            "  " + fit(title("recall" if columns.recall >= 6 else "R", "recall"), columns.recall, right=True),
            "recall",
        )
        if columns.due:
            # Sorted by due date, the column before shows that date, and this one the age.
            last = created if self._sort == "due" else due
            yield "  " + fit(last[0], columns.due, right=True), last[1]

    def on_click(self, event: events.Click) -> None:
        if event.y >= self.head_height:
            super().on_click(event)
            return
        # Two cells of the bar stand before the columns.
        right = 2
        for text, sort in self._head_columns(self.scrollable_content_region.width - 3):
            right += cells(text)
            if event.x < right:
                if sort is not None:
                    self.post_message(self.SortChosen(sort))
                return

    def draw_row(self, index: int, line: int, width: int) -> Iterable[Piece]:
        columns = Columns.of(width, self._sort)
        memory = self.memory_at(index)
        yield ("■ " if self.is_selected(index) else "  "), "accent"
        if memory is None:
            yield from self._draw_waiting(columns)
            return
        now = self._clock()
        yield from state_cells(memory, now)
        superseded = memory.superseded_by is not None
        if columns.kind:
            yield fit(plain(memory.node_type), columns.kind) + "  ", "muted"
        if columns.domain:
            yield fit(", ".join(plain(name) for name in memory.domains), columns.domain) + "  ", "muted"
        mark = self.edited_mark(memory)
        yield from mark
        room = columns.text - sum(cells(text) for text, _ in mark)
        yield fit(one_line(memory.content, room), room), "muted" if superseded else "text"
        if columns.tags:
            yield "  " + fit(", ".join(plain(tag) for tag in memory.tags), columns.tags), "muted"
        created: Piece = (age(memory.created_at, now), "muted")
        first: Piece = created
        if self._sort == "updated":
            first = (age(memory.updated_at, now), "muted")
        elif self._sort == "due":
            first = due(memory, now)
        yield "  " + fit(first[0], columns.age, right=True), first[1]
        yield from self._draw_recall(memory, now, columns)
        if columns.due:
            last = created if self._sort == "due" else due(memory, now)
            yield "  " + fit(last[0], columns.due, right=True), last[1]

    def _draw_recall(self, memory: Memory, now: datetime, columns: Columns) -> Iterable[Piece]:
        recall = retrievability(memory.scheduling, now) if memory.scheduling is not None else None
        if recall is None:
            yield "  " + fit("─", columns.recall, right=True), "faint"
            return
        yield "  ", "text"
        if columns.recall > 6:
            full, rest = level(recall, columns.recall - 4)
            yield full, "muted"
            yield rest, "track"
            yield " " + figure(recall), "text"
        else:
            yield fit(figure(recall), columns.recall, right=True), "text"

    def _draw_waiting(self, columns: Columns) -> Iterable[Piece]:
        yield "· ", "faint"
        if columns.kind:
            yield fit("·", columns.kind) + "  ", "faint"
        if columns.domain:
            yield fit("·", columns.domain) + "  ", "faint"
        yield fit("·", columns.text), "faint"
        if columns.tags:
            yield "  " + fit("·", columns.tags), "faint"
        for size in (columns.age, columns.recall, columns.due):
            if size:
                yield "  " + fit("·", size, right=True), "faint"


def _other(sort: Sort | None) -> Sort:
    """Return the order of a click on the column of times: the opposite of its own, else the newest first."""
    return "oldest" if sort == "created" else "created"


def selection_line(memories: tuple[Memory, ...]) -> str:
    """Return the selection in words: ``34 selected, from 12 domains``."""
    domains = {domain for memory in memories for domain in memory.domains}
    text = f"{grouped(len(memories))} selected"
    return f"{text}, from {len(domains)} {'domain' if len(domains) == 1 else 'domains'}" if domains else text
