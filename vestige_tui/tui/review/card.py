"""Card of a review: the question first, then the whole memory in the same place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Markdown, Static

from vestige_tui.core.memories import Memory
from vestige_tui.core.scheduling import is_leech, retrievability
from vestige_tui.core.text import ago, cells, cut, grouped, plain
from vestige_tui.tui.review.cloze import blanked
from vestige_tui.tui.widgets.glyphs import PINNED, due, figure
from vestige_tui.tui.widgets.memory_card import SHOWN_CHARACTERS, too_much_for_markdown
from vestige_tui.tui.widgets.panels import Panels
from vestige_tui.tui.widgets.stored_markdown import StoredMarkdown

PRACTICE = "practice: grade not saved"


class CardText(Panels):
    """Text of the card; scrolls if it is longer than the card."""


class CardEdge(Widget):
    """Line at the edge of the card: pieces on the left, and one on the right that is cut last."""

    DEFAULT_CSS = "CardEdge { height: 1; width: 1fr; }"

    pieces: reactive[tuple[tuple[tuple[str, str], ...], tuple[str, str]]] = reactive(((), ("", "")))

    def render(self) -> Content:
        left, (right, ink) = self.pieces
        room = self.size.width - (cells(right) + 3 if right else 0)
        pieces: list[tuple[str, str]] = []
        for text, style in left:
            part = cut(text, room)
            if not part:
                break
            pieces.append((part, style))
            room -= cells(part)
        return Content.assemble(*pieces, " " * max(0, room + 3 if right else 0), (right, ink))


@dataclass(frozen=True, slots=True)
class CardFace:
    """Face of a card: the memory, the question (plain text), its blanked spans, and the time of asking.

    With ``blanks`` the text is the whole memory; without, the whole memory replaces it once revealed. ``marks`` are its
    spans of ``code`` or ``stress``.
    """

    memory: Memory
    text: str
    blanks: Sequence[tuple[int, int]]
    marks: Sequence[tuple[int, int, str]]
    now: datetime
    practice: bool = False
    keys: tuple[str, str, str] = ("space", "e", "x")
    """Labels of the keys that reveal, edit and suspend."""


class ReviewCard(Vertical):
    """Widget for a ``CardFace``, hidden or revealed; a click posts ``Clicked``."""

    DEFAULT_CSS = """
    ReviewCard { background: $surface; padding: 1 3; border-left: outer $surface; }
    ReviewCard:ansi { border-left: blank; }
    ReviewCard:focus-within { border-left: outer $accent; }
    ReviewCard > CardText { height: 1fr; width: 1fr; margin: 1 0; }
    ReviewCard > CardText { scrollbar-size-vertical: 1; scrollbar-gutter: stable; background: $surface; }
    ReviewCard > CardText { scrollbar-background: $surface; }
    ReviewCard > CardText, ReviewCard > CardText:focus { border-left: none; }
    ReviewCard #asked { width: 1fr; height: auto; }
    ReviewCard #answer { width: 1fr; height: auto; padding: 0; margin: 0; background: transparent; display: none; }
    ReviewCard.-whole #asked { display: none; }
    ReviewCard.-whole #answer { display: block; }
    ReviewCard #answer MarkdownH1 { content-align: left middle; margin: 0 0 1 0; }
    ReviewCard #answer MarkdownH2 { margin: 1 0 0 0; }
    ReviewCard #answer > MarkdownBlock:last-child { margin-bottom: 0; }
    """

    @dataclass
    class Clicked(Message):
        """The card was clicked."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._face: CardFace | None = None

    def compose(self) -> ComposeResult:
        yield CardEdge(id="card-head")
        with CardText():
            yield Static(id="asked", markup=False)
            yield StoredMarkdown(id="answer")
        yield CardEdge(id="card-foot")

    @property
    def overflows(self) -> bool:
        """True if the text is longer than the card, and scrolls."""
        return self.query_one(CardText).max_scroll_y > 0

    def fits(self, rows: int) -> bool:
        """Return whether the whole text would fit a card of so many rows."""
        text = self.query_one(CardText)
        text_rows = max((each.virtual_region_with_margin.bottom for each in text.children if each.display), default=0)
        return text_rows <= rows - (self.size.height - text.size.height)

    def focus_text(self) -> None:
        """Focus the text of the card."""
        self.query_one(CardText).focus()

    async def show(self, face: CardFace, *, revealed: bool) -> None:
        """Show a card; the same memory again keeps its scroll position."""
        before, self._face = self._face, face
        if before is None or before.memory.id != face.memory.id:
            self.query_one(CardText).scroll_to(y=0, animate=False)
        self.query_one("#card-head", CardEdge).pieces = (_facts(face.memory), _state(face))
        self.query_one("#card-foot", CardEdge).pieces = _foot(face, revealed)
        await self._show_text(face, revealed)

    async def _show_text(self, face: CardFace, revealed: bool) -> None:
        prompt, answer = self.query_one("#asked", Static), self.query_one("#answer", Markdown)
        if face.blanks or not revealed:
            self.remove_class("-whole")
            prompt.update(_cloze(face, revealed) if face.blanks else Content.styled(face.text, "$text bold"))
            return
        content = face.memory.content
        text = plain(content[:SHOWN_CHARACTERS], newlines=True)
        if len(content) > SHOWN_CHARACTERS or too_much_for_markdown(text):
            self.remove_class("-whole")
            more = len(content) - SHOWN_CHARACTERS
            note = f"\n\nand {grouped(more)} more characters; y copies the whole text" if more > 0 else ""
            prompt.update(Content.assemble(text, (note, "$warning")))
            return
        await answer.update(text)
        self.add_class("-whole")

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self.post_message(self.Clicked())


def _cloze(face: CardFace, revealed: bool) -> Content:
    """Return the text with its blanks, each as wide as the words there, so that revealing moves nothing."""
    text = list(face.text) if revealed else blanked(face.text, face.blanks)
    # A blank may be longer or shorter than its character, so spans are mapped to new offsets.
    offsets = [0]
    for each in text:
        offsets.append(offsets[-1] + len(each))
    content = Content("".join(text))
    for start, end, mark in face.marks:
        content = content.stylize("$text on $panel" if mark == "code" else "bold", offsets[start], offsets[end])
    for start, end in face.blanks:
        content = content.stylize("$accent bold" if revealed else "$accent", offsets[start], offsets[end])
    return content


def _facts(memory: Memory) -> tuple[tuple[str, str], ...]:
    pieces = [(plain(memory.node_type), "$text")]
    pieces += [(f"   {plain(name)}", "$text-muted") for name in (*memory.domains, *filter(None, [memory.codebase]))]
    if memory.tags:
        pieces.append(("   " + " ".join(f"#{plain(tag)}" for tag in memory.tags), "$text-muted"))
    if memory.marks.pinned:
        pieces.append((f"   {PINNED.glyph} {PINNED.word}", "$text-muted"))
    return tuple(pieces)


def _state(face: CardFace) -> tuple[str, str]:
    if face.practice:
        return "practice", "$accent"
    if is_leech(face.memory.scheduling, face.memory.marks.cleared_lapses):
        return "leech", "$warning"
    word, ink = due(face.memory, face.now)
    return word, "$warning" if ink == "waiting" and word.endswith("late") else "$text-muted"


def _foot(face: CardFace, revealed: bool) -> tuple[tuple[tuple[str, str], ...], tuple[str, str]]:
    if not revealed:
        practice = ((f"   {PRACTICE}", "$accent"),) if face.practice else ()
        return ((face.keys[0], "$accent bold"), (" shows the answer", "$text-muted"), *practice), ("", "")
    if face.practice:
        return ((PRACTICE, "$accent"),), ("", "")
    state = face.memory.scheduling
    if state is None or state.reps == 0:
        return (("never reviewed before", "$text-muted"),), ("", "")
    if is_leech(state, face.memory.marks.cleared_lapses):
        leech = f"leech: forgotten {grouped(state.lapses)} times   "
        keys = (
            (face.keys[1], "$accent bold"),
            (" rewrite   ", "$text-muted"),
            (face.keys[2], "$accent bold"),
            (" suspend", "$text-muted"),
        )
        return ((leech, "$warning"), *keys), ("", "")
    parts = [_times(state.reps, "reviewed")]
    if state.lapses:
        parts.append(_times(state.lapses, "forgotten"))
    if state.last_review is not None:
        parts.append(f"last {ago(state.last_review, face.now)}")
    recall = retrievability(state, face.now)
    return ((", ".join(parts), "$text-muted"),), (
        f"recall {figure(recall)}" if recall is not None else "",
        "$text-muted",
    )


def _times(count: int, verb: str) -> str:
    return f"{verb} {'once' if count == 1 else 'twice' if count == 2 else f'{grouped(count)} times'}"
