"""Card of one memory: text, facts, forgetting curve, lineage, links, reviews and metadata."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

from textual.actions import SkipAction
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.geometry import Region
from textual.message import Message
from textual.widgets import Static

from vestige_tui.core.search import NO_TERMS
from vestige_tui.core.text import grouped, plain
from vestige_tui.tui.commands.command import bindings
from vestige_tui.tui.commands.lists import MOTIONS
from vestige_tui.tui.commands.memories import (
    LeaveCard,
    NextLink,
    OpenLink,
    PreviousLink,
    ShowWhole,
    ToggleMetadata,
    ToggleRaw,
)
from vestige_tui.tui.widgets.highlighted_text import HighlightedMarkdown, highlighted
from vestige_tui.tui.widgets.lineage import LineageTree
from vestige_tui.tui.widgets.memory_detail import MemoryDetail
from vestige_tui.tui.widgets.memory_links import LinkList, MemoryLines, link_rows
from vestige_tui.tui.widgets.memory_metadata import MetadataView, ownership
from vestige_tui.tui.widgets.memory_sections import facts, latest_reviews, search_ranks, times
from vestige_tui.tui.widgets.panels import Panels
from vestige_tui.tui.widgets.retention_plot import Retention, RetentionPlot
from vestige_tui.tui.widgets.section import Section

SHOWN_CHARACTERS = 20_000
MAX_STEPS = 100
MARKDOWN_LINES = 500
MARKDOWN_COLUMNS = 40


def too_much_for_markdown(text: str) -> bool:
    """Return True if a text would make so many widgets that the screen blocks: very long, or all lists or columns."""
    lines = text.split("\n")
    return len(text) > SHOWN_CHARACTERS or len(lines) > MARKDOWN_LINES or max(map(_bars, lines)) > MARKDOWN_COLUMNS


def _bars(line: str) -> int:
    return line.count("|")


@dataclass(frozen=True, slots=True)
class Step:
    """Memory that the card showed before a link was opened, its marked link and its scroll position in lines."""

    detail: MemoryDetail
    marked: int | None
    scroll_y: float


class MemoryCard(Panels):
    """Details of one memory; ``show`` fills it, ``clear`` empties it."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(
        LeaveCard, OpenLink, NextLink, PreviousLink, ToggleRaw, ShowWhole, ToggleMetadata, *MOTIONS
    )

    DEFAULT_CSS = """
    MemoryCard { width: 1fr; height: 1fr; padding: 1 0 1 2; background: $surface; scrollbar-size-vertical: 1; }
    MemoryCard { scrollbar-gutter: stable; }
    MemoryCard > * { padding: 0 2 0 0; }
    MemoryCard { scrollbar-background: $surface; border-left: outer $surface; }
    MemoryCard:ansi { border-left: blank; }
    MemoryCard:focus { border-left: outer $accent; }
    MemoryCard #card-facts { margin: 0 0 1 0; }
    MemoryCard #card-raw { width: 1fr; height: auto; display: none; }
    MemoryCard.-raw #card-raw { display: block; }
    MemoryCard.-raw #card-text { display: none; }
    MemoryCard #card-text { padding: 0 2 0 0; margin: 0; height: auto; background: transparent; }
    MemoryCard #card-text MarkdownH1 { content-align: left middle; margin: 0 0 1 0; }
    MemoryCard #card-text MarkdownH2 { margin: 1 0 0 0; }
    MemoryCard #card-text > MarkdownBlock:last-child { margin-bottom: 0; }
    MemoryCard #card-cut { color: $warning; margin: 1 0 0 0; display: none; height: auto; }
    MemoryCard.-cut #card-cut { display: block; }
    MemoryCard #card-curve { height: 8; margin: 1 0 0 0; display: none; }
    MemoryCard #card-curve.-filled { display: block; }
    MemoryCard #card-reviews { text-wrap: nowrap; }
    MemoryCard.-empty > * { display: none; }
    """

    def __init__(
        self, *, clock: Callable[[], datetime] | None = None, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._clock = clock or (lambda: datetime.now(UTC))
        self._detail: MemoryDetail | None = None
        self._laid_out: tuple[str, str] | None = None
        """Id and text of the memory whose text is laid out."""
        self._whole = False
        self._raw = False
        self._cut_of: int | None = None
        self._trail: list[Step] = []
        self._marked: int | None = None
        self._had_links = False
        self.add_class("-empty")

    def compose(self) -> ComposeResult:
        yield Section("", id="card-facts")
        yield HighlightedMarkdown(id="card-text")
        yield Static(id="card-raw", markup=False)
        yield Static(id="card-cut", markup=False)
        yield Section("", id="card-times")
        yield Section("", id="card-owner")
        yield Section("search rank", id="card-why")
        yield RetentionPlot(id="card-curve")
        yield LineageTree(id="card-lineage")
        yield LinkList(id="card-links")
        yield Section("reviews", id="card-reviews")
        yield MetadataView(id="card-metadata")

    @property
    def detail(self) -> MemoryDetail | None:
        """Details shown, None while empty."""
        return self._detail

    async def show(self, detail: MemoryDetail) -> None:
        """Show a memory; the same one again keeps the scroll position, and unchanged text is not laid out again.

        Another memory ends the trail of links by which the card came to the one before.
        """
        if self._detail is not None and self._detail.memory.id != detail.memory.id:
            self._trail.clear()
        await self._show(detail)

    async def _show(self, detail: MemoryDetail) -> None:
        before, self._detail = self._detail, detail
        same = before is not None and before.memory.id == detail.memory.id
        if not same:
            self._whole = False
            self.scroll_to(y=0, animate=False)
        self.remove_class("-empty")
        if self._laid_out != (detail.memory.id, detail.memory.content):
            await self._show_text()
        else:
            self._highlight()
        self._show_around(detail)

    def clear(self) -> None:
        """Empty the card."""
        self._trail.clear()
        self._detail = None
        self.add_class("-empty")

    def action_leave_card(self) -> None:
        # The place implements this action; the card only shows its key.
        raise SkipAction

    async def action_toggle_raw(self) -> None:
        self._raw = not self._raw
        await self._show_text()

    async def action_show_whole(self) -> None:
        self._whole = True
        await self._show_text()

    async def _show_text(self) -> None:
        if self._detail is None:
            return
        # A layout may be cancelled half-way.
        self._laid_out, memory = None, self._detail.memory
        content = memory.content
        cut_short = len(content) > SHOWN_CHARACTERS and not self._whole
        text = plain(content[:SHOWN_CHARACTERS] if cut_short else content, newlines=True)
        self.set_class(cut_short or (too_much_for_markdown(text) and not self._raw), "-cut")
        self._say_cut(len(content) if cut_short else None)
        as_stored = self._raw or too_much_for_markdown(text)
        self.set_class(as_stored, "-raw")
        if as_stored:
            self.query_one("#card-raw", Static).update(Content(text))
        else:
            await self.query_one("#card-text", HighlightedMarkdown).update(text)
        self._laid_out = (memory.id, memory.content)
        self._highlight()

    def _highlight(self) -> None:
        """Mark the matches of the terms of the search, in the text that is shown."""
        terms = self._detail.terms if self._detail is not None else NO_TERMS
        self.query_one("#card-text", HighlightedMarkdown).highlight_terms(terms)
        raw = self.query_one("#card-raw", Static)
        if isinstance(raw.content, Content):
            raw.update(highlighted(raw.content, terms))

    def _say_cut(self, characters: int | None) -> None:
        """Show that the text is cut, with its whole length in characters; None if only its form differs."""
        self._cut_of = characters
        text = "Shown as plain text: too large to show as Markdown."
        if characters is not None:
            # The card's key works only while the card has the focus.
            way = "w shows" if self.has_focus_within else "enter, then w, shows"
            text = f"The first {grouped(SHOWN_CHARACTERS)} of {grouped(characters)} characters; {way} the full text."
        self.query_one("#card-cut", Static).update(text)

    def on_focus(self) -> None:
        self._say_cut(self._cut_of)

    def on_blur(self) -> None:
        self._say_cut(self._cut_of)

    def _show_around(self, detail: MemoryDetail) -> None:
        memory, now = detail.memory, self._clock()
        self._fill("card-facts", lambda width: facts(detail, now))
        self._fill("card-times", lambda width: times(memory, now))
        hit = detail.hit if detail.hit is not None and (detail.hit.text_rank or detail.hit.vector_rank) else None
        self._fill("card-why", (lambda width: search_ranks(hit)) if hit is not None else None)
        retention = Retention.of(memory, detail.reviews, now, is_past=detail.is_past)
        curve = self.query_one("#card-curve", RetentionPlot)
        curve.show(retention)
        curve.set_class(retention is not None, "-filled")
        marked = self._marked_id
        self.query_one("#card-lineage", LineageTree).show(detail.lineage, memory.id)
        self.query_one("#card-links", LinkList).show(memory.id, link_rows(detail))
        self._marked = None
        self._mark_again(marked)
        self._fill("card-reviews", (lambda width: latest_reviews(detail, now)) if detail.reviews else None)
        self._fill("card-owner", lambda width: ownership(detail, now, width))
        self.query_one("#card-metadata", MetadataView).show(memory.metadata)
        self._tell_links()

    # Links ───────────────────────────────────────────────────────────────────────────────────────────────────────

    @dataclass
    class LinkOpened(Message):
        """The user opened a linked memory; the card's owner reads it and calls ``visit``."""

        memory_id: str

    @property
    def visiting(self) -> bool:
        """True while a memory is shown that was opened from the card itself."""
        return bool(self._trail)

    @property
    def origin_id(self) -> str | None:
        """Id of the memory from which the links were followed; None unless ``visiting``."""
        return self._trail[0].detail.memory.id if self._trail else None

    async def visit(self, detail: MemoryDetail) -> None:
        """Show the memory of a link; ``step_back`` returns to the present one."""
        if self._detail is not None:
            self._trail.append(Step(self._detail, self._marked, self.scroll_y))
            del self._trail[:-MAX_STEPS]
        self._marked = None
        await self._show(detail)

    def step_back(self) -> Step | None:
        """Take the last step off the trail and return it, None if there is none; ``restore`` shows it."""
        return self._trail.pop() if self._trail else None

    async def restore(self, step: Step) -> None:
        """Show the memory of a step as it was left: the marked link, and the scroll position."""
        self._marked = None
        await self._show(step.detail)
        self._mark(step.marked)
        self.call_after_refresh(self.scroll_to, y=step.scroll_y, animate=False, force=True)

    @property
    def _lines(self) -> tuple[MemoryLines, ...]:
        return (self.query_one("#card-lineage", LineageTree), self.query_one("#card-links", LinkList))

    @property
    def _targets(self) -> list[tuple[MemoryLines, int, str]]:
        return [(lines, index, target) for lines in self._lines for index, target in enumerate(lines.targets)]

    @property
    def _marked_id(self) -> str | None:
        shown = ((lines.marked, lines.targets) for lines in self._lines)
        return next((targets[marked] for marked, targets in shown if marked is not None), None)

    def _mark_again(self, memory_id: str | None) -> None:
        """Mark the link to this memory, if there still is one."""
        ids = [target for _, _, target in self._targets] if memory_id is not None else []
        self._mark(ids.index(memory_id) if memory_id in ids else None)

    def _mark(self, place: int | None) -> None:
        """Mark one of all links, None for none."""
        targets = self._targets
        self._marked = place if place is not None and place < len(targets) else None
        chosen = targets[self._marked] if self._marked is not None else None
        for lines in self._lines:
            lines.marked = chosen[1] if chosen is not None and chosen[0] is lines else None

    def _reveal_marked(self) -> None:
        if self._marked is None or self._marked >= len(targets := self._targets):
            return
        lines, index, _ = targets[self._marked]
        region = lines.virtual_region
        line = Region(region.x, region.y + lines.line_of(index), region.width, 1)
        self.scroll_to_region(line, animate=False, force=True)

    def _tell_links(self) -> None:
        """Refresh the key line if the card begins or ceases to have links."""
        has_links = bool(self._targets)
        if has_links != self._had_links and self.has_focus_within:
            self.screen.refresh_bindings()
        self._had_links = has_links

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in (OpenLink.action, NextLink.action, PreviousLink.action):
            return self._had_links
        return super().check_action(action, parameters)

    def action_next_link(self) -> None:
        self._step_mark(1)

    def action_previous_link(self) -> None:
        self._step_mark(-1)

    def _step_mark(self, step: int) -> None:
        count = len(self._targets)
        first = 0 if step > 0 else count - 1
        place = first if self._marked is None else self._marked + step
        if not 0 <= place < count:
            # Beyond the last link the key moves the focus, as it does where there are none.
            self._mark(None)
            raise SkipAction
        self._mark(place)
        self.call_after_refresh(self._reveal_marked)

    def action_open_link(self) -> None:
        if self._marked is None:
            self._step_mark(1)
        else:
            self.post_message(self.LinkOpened(self._targets[self._marked][2]))

    def on_memory_lines_opened(self, event: MemoryLines.Opened) -> None:
        event.stop()
        self.focus(scroll_visible=False)
        self._mark_again(event.memory_id)
        self.post_message(self.LinkOpened(event.memory_id))

    # Metadata ────────────────────────────────────────────────────────────────────────────────────────────────────

    def action_toggle_metadata(self) -> None:
        view = self.query_one("#card-metadata", MetadataView)
        view.unfolded = not view.unfolded
        if view.unfolded:
            self.call_after_refresh(self.scroll_to_widget, view, animate=False, top=True)

    def on_metadata_view_toggled(self, event: MetadataView.Toggled) -> None:
        event.stop()
        self.action_toggle_metadata()

    def name_key(self, key: str) -> None:
        """Show this key beside the metadata, which it folds and unfolds."""
        self.query_one("#card-metadata", MetadataView).key = key

    def _fill(self, id: str, body: Callable[[int], Content] | None) -> None:
        self.query_one(f"#{id}", Section).fill(body)
