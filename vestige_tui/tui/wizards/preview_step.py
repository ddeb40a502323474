"""Step that compares two models: the hits of both for the same queries over a sample of the memories."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Input, Static

from vestige_tui.core.embeddings import ModelSignature
from vestige_tui.core.text import cells, cut, grouped, one_line
from vestige_tui.embedding.catalogue import CatalogModel
from vestige_tui.presenters.models import distinct_names, short_name
from vestige_tui.presenters.reembedding import overlap, shared_hits
from vestige_tui.tui.widgets.glyphs import level
from vestige_tui.tui.widgets.panels import Panels
from vestige_tui.tui.wizards.wizard import Wizard, WizardStep

if TYPE_CHECKING:
    from vestige_tui.reembed.preview import Preview, RankedMemory, Ranking
    from vestige_tui.store.store import Store

SHARED, ALONE = "=", " "
LEGEND = ("= found by both", "0.59 similarity (1 = same)")
BAR_CELLS = 20
GAP_CELLS = 3
LEAST_COLUMN_CELLS = 32
"""Least width of a column; in less room the rankings are stacked."""


class PreviewStep(WizardStep):
    """Input of a query (empty: first sentences of memories), and below it both rankings.

    ``on`` goes to the next step; None if there is none. The other model's vectors are of ``dimension``.
    """

    word = "compare"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "skip", "skip", show=False, priority=True),
        Binding("slash", "ask", "another query", show=False),
        Binding("enter", "go_on", "continue", show=False),
    ]

    def __init__(
        self, store: Store, model: CatalogModel, dimension: int, current: ModelSignature, on: Callable[[], None] | None
    ) -> None:
        super().__init__()
        self._store, self._model, self._dimension, self._current, self._on = store, model, dimension, current, on
        self._preview: Preview | None = None
        self._asking = True

    def compose(self) -> ComposeResult:
        away = "" if self._model.offline else f" It is downloaded first ({_megabytes(self._model)})."
        other = ModelSignature(self._model.name, self._dimension, "")
        one, two = distinct_names(self._current, other, cut=self._dimension != self._model.dimension)
        note = f"{one} and {two} rank a sample of the memories for the same queries; nothing is written.{away}"
        yield Static(Content(note), classes="note", markup=False)
        yield Input(placeholder="your query; empty: first sentences of memories", compact=True)
        with Panels(classes="body", id="rankings"):
            yield Static(id="preview", markup=False)

    def begin(self) -> None:
        self._ask(self._preview is None)

    def _ask(self, asking: bool) -> None:
        """Focus the input, or the rankings."""
        self._asking = asking
        (self.query_one(Input) if asking else self.query_one("#rankings")).focus()
        self._set_keys()

    def _set_keys(self) -> None:
        skip = (("tab", "skip"),) if self._on is not None else ()
        if self._preview is None or self._asking:
            self.keys = (("enter", "compare"), *skip)
        else:
            self.keys = ((("enter", "continue"),) if self._on is not None else ()) + (("/", "another query"),)
        self._wizard.redraw()

    @property
    def _wizard(self) -> Wizard[object]:
        screen = self.screen
        assert isinstance(screen, Wizard)
        return screen

    def action_skip(self) -> None:
        if self._on is not None and not self._wizard.is_busy:
            self._on()

    def action_go_on(self) -> None:
        if self._on is not None and self._preview is not None and not self._wizard.is_busy:
            self._on()

    def action_ask(self) -> None:
        self._ask(True)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        typed = event.value.strip()
        self._wizard.busy(f"loading {short_name(self._model.name)} …", lambda: self._compare(typed))

    async def _compare(self, typed: str) -> None:
        from vestige_tui.reembed.preview import preview

        queries = (typed,) if typed else ()
        self._preview = await preview(
            self._store, self._model.name, queries, progress=self._encoded, dimension=self._dimension
        )
        self._draw()
        self.query_one("#rankings").scroll_home(animate=False)
        self._ask(False)
        self._wizard.say("")

    def _encoded(self, done: int, total: int) -> None:
        full, rest = level(done / total if total else 1.0, BAR_CELLS)
        self._wizard.say(f"{full}{rest}  {grouped(done)} of {grouped(total)} vectors computed")

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    def _draw(self) -> None:
        preview = self._preview
        if preview is not None:
            width = max(20, self.query_one("#rankings").scrollable_content_region.width)
            self.query_one("#preview", Static).update(side_by_side(preview, width))


def _megabytes(model: CatalogModel) -> str:
    return f"{model.size_mb:,.0f} MB" if model.size_mb else "size unknown"


def side_by_side(preview: Preview, width: int) -> Content:
    """Return both rankings of each question, below the share of hits that they have in common."""
    same, over = overlap(preview)
    between = "   " if cells(same) + 3 + cells(over) <= width else "\n"
    lines = [Content.assemble((same, "$text bold"), between, (over, "$text-muted"))]
    lines.append(Content.assemble((LEGEND[0][0], "$accent"), ("   ".join(LEGEND)[1:], "$text-muted")))
    for ranking in preview.rankings:
        lines += [Content(""), *_ranking(ranking, preview, width)]
    return Content("\n").join(lines)


def _ranking(ranking: Ranking, preview: Preview, width: int) -> list[Content]:
    count = shared_hits(ranking)
    question = one_line(ranking.question, max(8, width - cells(count) - 2))
    gap = " " * max(2, width - cells(question) - cells(count))
    lines = [Content.assemble((question, "$text bold"), gap, (count, "$text-muted"))]
    names = distinct_names(preview.current, preview.other)
    column = (width - GAP_CELLS) // 2
    if column < LEAST_COLUMN_CELLS:
        for name, hits in zip(names, (ranking.current, ranking.other), strict=True):
            lines.append(Content.styled(cut(name, width), "$text-disabled"))
            lines += [Content.assemble(*_hit(rank, hit, width)) for rank, hit in enumerate(hits, 1)]
        return lines
    heads = [cut(name, column) for name in names]
    lines.append(Content.styled(heads[0] + " " * (column - cells(heads[0]) + GAP_CELLS) + heads[1], "$text-disabled"))
    for rank, (left, right) in enumerate(zip(ranking.current, ranking.other, strict=True), 1):
        lines.append(Content.assemble(*_hit(rank, left, column), " " * GAP_CELLS, *_hit(rank, right, column)))
    return lines


def _hit(rank: int, hit: RankedMemory, width: int) -> list[tuple[str, str]]:
    """Return a line of exactly ``width`` cells: rank, whether both models find it, text, and similarity."""
    room = width - 5 - 6
    text = one_line(hit.content, room)
    mark = SHARED if hit.shared else ALONE
    style = "$text" if hit.shared else "$text-muted"
    return [
        (f"{rank:>2} ", "$text-disabled"),
        (f"{mark} ", "$accent"),
        (text + " " * (room - cells(text)), style),
        (f"{hit.score:>6.2f}", "$text-muted"),
    ]
