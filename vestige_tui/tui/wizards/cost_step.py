"""Step with the cost of a re-embedding: texts, time, disk space, vectors that are deleted, and the mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from vestige_tui.core.text import bytes_size, duration, grouped
from vestige_tui.presenters.jobs import short_model
from vestige_tui.tui.jobs.detail import folded, labelled
from vestige_tui.tui.widgets.panels import Panels
from vestige_tui.tui.wizards.wizard import Wizard, WizardStep

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import SpareVectors
    from vestige_tui.reembed.plan import Estimate

LABEL_CELLS = 11
ONLINE = "beside the old ones: searches go on with those until all are made"
IN_PLACE = "in place: for a small disk; search by meaning waits until it is done, and the old vectors go first"


class CostStep(WizardStep):
    """Estimate of a re-embedding; ``i`` switches between shadow table and in place.

    ``ways`` are the estimates to choose from, the current one first. Without any, the step shows the rows ``facts``
    (label and text) and calls ``measure``; ``show`` then sets the estimates. ``on`` goes on with the chosen estimate
    and the vectors of an earlier model that are deleted either way.
    """

    word = "cost"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "go_on", "go on", show=False),
        Binding("i", "turn", "other way", show=False),
    ]

    def __init__(
        self,
        ways: Sequence[Estimate],
        notes: Sequence[tuple[str, str]],
        on: Callable[[Estimate, SpareVectors | None], None],
        *,
        facts: Sequence[tuple[str, str]] = (),
        measure: Callable[[], None] | None = None,
    ) -> None:
        super().__init__()
        self._ways, self._notes, self._on, self._facts, self._measure = tuple(ways), notes, on, facts, measure

    def compose(self) -> ComposeResult:
        with Panels(classes="body"):
            yield Static(markup=False)

    def begin(self) -> None:
        self.query_one(Panels).focus()
        self._draw()
        if not self._ways and self._measure is not None:
            self._measure()

    def show(self, *ways: Estimate) -> None:
        """Show these estimates."""
        self._ways = ways
        self._draw()

    @property
    def estimate(self) -> Estimate | None:
        """Chosen estimate, None until it is measured."""
        return self._ways[0] if self._ways else None

    @property
    def kept(self) -> SpareVectors | None:
        """Vectors of an earlier model, which are deleted in either mode."""
        return next((way.drops for way in self._ways if way.kind == "reembed"), None)

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    def _draw(self) -> None:
        width = max(20, self.query_one(Panels).scrollable_content_region.width)
        estimate = self.estimate
        rows = (
            cost_rows(estimate, self.kept)
            if estimate is not None
            else [(label, text, "$text") for label, text in self._facts]
        )
        lines: list[Content] = []
        for label, text, style in rows:
            lines += labelled(label, text, width, LABEL_CELLS, style)
        for note, style in self._notes:
            lines.append(Content(""))
            lines += [Content.styled(line, style) for line in folded(note, width)]
        self.query_one(Static).update(Content("\n").join(lines))
        self._set_keys()

    def _set_keys(self) -> None:
        keys = [("enter", "go on")]
        if others := self._ways[1:]:
            keys.append(("i", "in place instead" if others[0].kind == "in_place" else "beside instead"))
        self.keys = keys
        screen = self.screen
        assert isinstance(screen, Wizard)
        screen.redraw()

    def action_go_on(self) -> None:
        if (estimate := self.estimate) is not None:
            self._on(estimate, self.kept)
        elif self._measure is not None:
            self._measure()

    def action_turn(self) -> None:
        self._ways = (*self._ways[1:], *self._ways[:1])
        self._draw()


def cost_rows(estimate: Estimate, kept: SpareVectors | None) -> list[tuple[str, str, str]]:
    """Return an estimate as rows of label, text and style."""
    before, after = estimate.before, estimate.after
    rows = [
        ("from", f"{before.name}, {grouped(before.dimension)} dimensions", "$text-muted"),
        ("to", f"{after.name}, {grouped(after.dimension)} dimensions", "$text"),
        ("how", IN_PLACE if estimate.kind == "in_place" else ONLINE, "$text"),
        ("memories", f"{grouped(estimate.memories)} to be encoded", "$text"),
    ]
    if estimate.texts_per_second is not None and estimate.seconds is not None:
        rate = estimate.texts_per_second
        figure = f"{rate:,.1f}" if rate < 10 else grouped(round(rate))
        rows += [
            ("speed", f"{figure} texts a second, measured here just now", "$text"),
            ("time", f"about {duration(estimate.seconds)}, and what the index takes", "$text bold"),
        ]
    else:
        rows.append(("time", "there was nothing to measure", "$text-muted"))
    rows.append(("room", f"{bytes_size(estimate.bytes)} for the new vectors and their index", "$text"))
    for index, text in enumerate(going(estimate, kept)):
        rows.append(("what goes" if not index else "", text, "$warning"))
    return rows


def going(estimate: Estimate, kept: SpareVectors | None) -> list[str]:
    """Return sentences on the vectors that are deleted first; ``kept`` are those of an earlier model."""
    sentences = []
    if estimate.kind == "in_place" and estimate.drops is not None:
        sentences.append(f"{_vectors(estimate.drops)}, all that are in use, are deleted first; there is no way back.")
    if kept is not None:
        sentences.append(f"The kept ones of the way back, {_vectors(kept)}, are deleted at the start.")
    return sentences


def _vectors(spare: SpareVectors) -> str:
    count = f"{grouped(spare.vectors)} {'vector' if spare.vectors == 1 else 'vectors'}"
    return f"{count} of {short_model(spare.model.name)}, {grouped(spare.model.dimension)} dimensions"
