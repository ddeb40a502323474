"""Card of one memory: text, facts, forgetting curve, lineage, links, reviews, metadata and history."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

from textual.actions import SkipAction
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Markdown, Static

from vestige_tui.core.links import Edge, Lineage, Neighbor
from vestige_tui.core.memories import JournalEntry, Memory
from vestige_tui.core.reviews import Rating, Review, is_redo, undone_reviews
from vestige_tui.core.scheduling import retrievability
from vestige_tui.core.search import Hit
from vestige_tui.core.text import ago, cells, cut, grouped, one_line, plain, short_id
from vestige_tui.tui.commands.command import bindings
from vestige_tui.tui.commands.lists import MOTIONS
from vestige_tui.tui.commands.memories import LeaveCard, ShowWhole, ToggleRaw
from vestige_tui.tui.widgets.glyphs import due, figure, level, state_of
from vestige_tui.tui.widgets.lineage import LineageTree
from vestige_tui.tui.widgets.panels import Panels
from vestige_tui.tui.widgets.retention_plot import Retention, RetentionPlot
from vestige_tui.tui.widgets.stored_markdown import StoredMarkdown

SHOWN_CHARACTERS = 20_000
SHOWN_ROWS = 12
MARKDOWN_LINES = 500
MARKDOWN_COLUMNS = 40


@dataclass(frozen=True, slots=True)
class MemoryDetail:
    """Memory with all that its card shows; parts not loaded are empty."""

    memory: Memory
    edges: tuple[Edge, ...] = ()
    neighbors: tuple[Neighbor, ...] = ()
    reviews: tuple[Review, ...] = ()
    history: tuple[JournalEntry, ...] = ()
    lineage: Lineage | None = None
    hit: Hit | None = None
    """Hit of the search that found it."""


def too_much_for_markdown(text: str) -> bool:
    """Return True if a text would make so many widgets that the screen blocks: very long, or all lists or columns."""
    lines = text.split("\n")
    return len(text) > SHOWN_CHARACTERS or len(lines) > MARKDOWN_LINES or max(map(_bars, lines)) > MARKDOWN_COLUMNS


def _bars(line: str) -> int:
    return line.count("|")


class Section(Widget):
    """Faint title over a body of one Content, drawn again at every width; hidden while there is no body."""

    DEFAULT_CSS = """
    Section { height: auto; width: 1fr; margin: 1 0 0 0; display: none; }
    Section.-filled { display: block; }
    """

    body: reactive[Callable[[int], Content] | None] = reactive(None, layout=True)

    def __init__(self, title: str, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._title = title

    def fill(self, body: Callable[[int], Content] | None) -> None:
        """Show ``body(width)`` under the title, or hide the section."""
        self.body = body
        self.set_class(body is not None, "-filled")

    def render(self) -> Content:
        if self.body is None:
            return Content("")
        title = (Content.styled(self._title, "$text-disabled bold"),) if self._title else ()
        return Content("\n").join([*title, self.body(self.size.width or 60)])


class MemoryCard(Panels):
    """Details of one memory; ``show`` fills it, ``clear`` empties it."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(LeaveCard, ToggleRaw, ShowWhole, *MOTIONS)

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
    MemoryCard #card-curve { height: 7; margin: 1 0 0 0; display: none; }
    MemoryCard #card-curve.-filled { display: block; }
    MemoryCard #card-links, MemoryCard #card-reviews, MemoryCard #card-metadata { text-wrap: nowrap; }
    MemoryCard LineageTree { text-wrap: nowrap; margin: 1 0 0 0; display: none; }
    MemoryCard LineageTree.-filled { display: block; }
    MemoryCard.-empty > * { display: none; }
    """

    def __init__(
        self, *, clock: Callable[[], datetime] | None = None, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._clock = clock or (lambda: datetime.now(UTC))
        self._detail: MemoryDetail | None = None
        self._whole = False
        self._raw = False
        self._cut_of: int | None = None
        self.add_class("-empty")

    def compose(self) -> ComposeResult:
        yield Section("", id="card-facts")
        yield StoredMarkdown(id="card-text")
        yield Static(id="card-raw", markup=False)
        yield Static(id="card-cut", markup=False)
        yield Section("", id="card-times")
        yield Section("search rank", id="card-why")
        yield RetentionPlot(id="card-curve")
        yield LineageTree(id="card-lineage")
        yield Section("links", id="card-links")
        yield Section("reviews", id="card-reviews")
        yield Section("metadata", id="card-metadata")
        yield Section("history", id="card-history")

    @property
    def detail(self) -> MemoryDetail | None:
        """Details shown, None while empty."""
        return self._detail

    async def show(self, detail: MemoryDetail) -> None:
        """Show a memory; the same one again keeps the scroll position, and unchanged text is not laid out again."""
        before, self._detail = self._detail, detail
        same = before is not None and before.memory.id == detail.memory.id
        if not same:
            self._whole = False
            self.scroll_to(y=0, animate=False)
        self.remove_class("-empty")
        if not (same and before is not None and before.memory.content == detail.memory.content):
            await self._show_text()
        self._show_around(detail)

    def clear(self) -> None:
        """Empty the card."""
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
        content = self._detail.memory.content
        cut_short = len(content) > SHOWN_CHARACTERS and not self._whole
        text = plain(content[:SHOWN_CHARACTERS] if cut_short else content, newlines=True)
        self.set_class(cut_short or (too_much_for_markdown(text) and not self._raw), "-cut")
        self._say_cut(len(content) if cut_short else None)
        as_stored = self._raw or too_much_for_markdown(text)
        self.set_class(as_stored, "-raw")
        if as_stored:
            self.query_one("#card-raw", Static).update(Content(text))
        else:
            await self.query_one("#card-text", Markdown).update(text)

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
        self._fill("card-facts", lambda width: _facts(memory, now, width))
        self._fill("card-times", lambda width: _times(memory, now))
        hit = detail.hit if detail.hit is not None and (detail.hit.text_rank or detail.hit.vector_rank) else None
        self._fill("card-why", (lambda width: _why(hit)) if hit is not None else None)
        retention = Retention.of(memory, detail.reviews, now)
        curve = self.query_one("#card-curve", RetentionPlot)
        curve.show(retention)
        curve.set_class(retention is not None, "-filled")
        tree = self.query_one("#card-lineage", LineageTree)
        related = detail.lineage is not None and bool(detail.lineage.replaces)
        tree.shown = (detail.lineage, memory.id) if related and detail.lineage is not None else None
        tree.set_class(related, "-filled")
        self._fill("card-links", (lambda width: _links(detail, width)) if detail.edges or detail.neighbors else None)
        self._fill("card-reviews", (lambda width: _reviews(detail, now)) if detail.reviews else None)
        self._fill("card-metadata", (lambda width: _pairs(memory, width)) if memory.metadata else None)
        self._fill("card-history", (lambda width: _history(detail, now)) if detail.history else None)

    def _fill(self, id: str, body: Callable[[int], Content] | None) -> None:
        self.query_one(f"#{id}", Section).fill(body)


def _lines(lines: list[Content], total: int, width: int) -> Content:
    more = total - len(lines)
    if more > 0:
        lines = [*lines, Content.styled(f"and {grouped(more)} more", "$text-disabled")]
    return Content("\n").join(lines)


def _facts(memory: Memory, now: datetime, width: int) -> Content:
    state = state_of(memory, now)
    ink = {"waiting": "$warning", "faint": "$text-disabled"}.get(state.ink, "$text-muted")
    domains = ", ".join(plain(name) for name in memory.domains)
    parts: list[str | tuple[str, str]] = [(f"{state.glyph} {state.word}", ink), "   ", plain(memory.node_type)]
    if domains:
        parts += ["   ", (domains, "$text-muted")]
    if memory.codebase:
        parts += ["   ", (plain(memory.codebase), "$text-muted")]
    lines = [Content.assemble(*parts)]
    if memory.tags:
        lines.append(Content.styled(" ".join(f"#{plain(tag)}" for tag in memory.tags), "$text-muted"))
    return Content("\n").join(lines)


def _why(hit: Hit) -> Content:
    lines = []
    for name, rank, unit, score in (
        ("text", hit.text_rank, "score", hit.text_score),
        ("vector", hit.vector_rank, "cosine", hit.vector_score),
    ):
        place = f"#{grouped(rank)}" if rank is not None else "not ranked"
        pieces = [(f"{name:<8}", "$text-muted"), (f"{place:<12}", "$text" if rank is not None else "$text-disabled")]
        if score is not None:
            pieces.append((f"{unit} {score:.2f}", "$text-disabled"))
        lines.append(Content.assemble(*pieces))
    lines.append(Content.assemble(("score   ", "$text-muted"), (f"{hit.score:.2f}", "$text")))
    return Content("\n").join(lines)


def _times(memory: Memory, now: datetime) -> Content:
    times = {"created": memory.created_at}
    if memory.updated_at != memory.created_at:
        times["updated"] = memory.updated_at
    shown = [_time(word, moment, now) for word, moment in times.items() if moment is not None]
    lines = [Content("   ").join(shown)] if shown else []
    scheduling = memory.scheduling
    # On a line of its own: beside the others it would be broken in a narrow card.
    if scheduling is not None and scheduling.reps and scheduling.last_review is not None:
        lines.append(_time("last reviewed", scheduling.last_review, now))
    recall = retrievability(scheduling, now) if scheduling is not None else None
    if recall is not None:
        full, rest = level(recall, 10)
        word, ink = due(memory, now)
        lines.append(
            Content.assemble(
                ("recall ", "$text-disabled"),
                (full, "$accent"),
                (rest, "$track"),
                (f" {figure(recall)}   ", "$text"),
                ("due ", "$text-disabled"),
                (word, "$warning" if ink == "waiting" else "$text-muted"),
            )
        )
    owner = f"{short_id(memory.id)}   {plain(memory.visibility)}" + ("" if memory.has_embedding else "   no vector")
    lines.append(Content.assemble(("id ", "$text-disabled"), (owner, "$text-muted")))
    return Content("\n").join(lines)


def _time(word: str, moment: datetime, now: datetime) -> Content:
    return Content.assemble((f"{word} ", "$text-disabled"), (ago(moment, now), "$text-muted"))


def _links(detail: MemoryDetail, width: int) -> Content:
    """Return lines of the memories at the other ends of the edges, then of those more than one edge away."""
    texts = {neighbor.memory.id: one_line(neighbor.memory.content) for neighbor in detail.neighbors}
    rows: list[tuple[float, str, str, str]] = []
    near: set[str] = set()
    for edge in detail.edges:
        out = edge.source_id == detail.memory.id
        other = edge.target_id if out else edge.source_id
        near.add(other)
        rows.append((edge.weight, "─▶" if out else "◀─", plain(edge.edge_type), texts.get(other, short_id(other))))
    rows.sort(key=lambda row: -row[0])
    for neighbor in detail.neighbors:
        if neighbor.memory.id not in near:
            steps = f"{neighbor.depth} steps" if neighbor.depth > 1 else ""
            rows.append((neighbor.weight, "··", steps, texts[neighbor.memory.id]))
    shown = rows[:SHOWN_ROWS]
    kinds = min(12, max(cells(kind) for _, _, kind, _ in shown))
    lines = []
    for weight, arrow, kind, text in shown:
        kind = cut(kind, kinds)
        lines.append(
            Content.assemble(
                (f"{figure(weight):>3} {arrow} ", "$text-disabled"),
                (kind + " " * (kinds - cells(kind) + 2), "$text-muted"),
                cut(text, max(8, width - kinds - 9)),
            )
        )
    return _lines(lines, len(rows), width)


def _reviews(detail: MemoryDetail, now: datetime) -> Content:
    names = {rating.value: rating.name.capitalize() for rating in Rating}
    undone = undone_reviews(detail.reviews)
    latest = sorted(detail.reviews, key=lambda review: review.at, reverse=True)
    lines = []
    for review in latest[:SHOWN_ROWS]:
        reversal = "redone" if is_redo(review, detail.reviews) else "undone"
        name = reversal if review.undoes is not None else names.get(review.rating, str(review.rating))
        ink = "$text-disabled" if review.id in undone or review.undoes is not None else "$text"
        stability = f"stability {review.prior.stability:.0f} → {review.new.stability:.0f} d"
        lines.append(
            Content.assemble(
                (f"{ago(review.at, now):>9}  ", "$text-muted"),
                (f"{name:<7}", ink),
                (stability if review.undoes is None else "", "$text-disabled"),
            )
        )
    return _lines(lines, len(latest), 0)


def _pairs(memory: Memory, width: int) -> Content:
    names = min(20, max(len(plain(str(name))) for name in list(memory.metadata)[:SHOWN_ROWS]))
    lines = []
    for name, value in list(memory.metadata.items())[:SHOWN_ROWS]:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        lines.append(
            Content.assemble(
                (f"{cut(plain(str(name)), names):<{names}}  ", "$text-muted"),
                cut(plain(text[:1000]), max(8, width - names - 2)),
            )
        )
    return _lines(lines, len(memory.metadata), width)


def _history(detail: MemoryDetail, now: datetime) -> Content:
    lines = [
        Content.assemble(
            (f"{ago(entry.at, now):>9}  ", "$text-muted"),
            (plain(entry.verb), "$text" if entry.undone_by is None else "$text-disabled"),
            ("   undone" if entry.undone_by is not None else "", "$text-disabled"),
        )
        for entry in detail.history[:SHOWN_ROWS]
    ]
    return _lines(lines, len(detail.history), 0)
