"""Step with the cost of a re-embedding: texts, time, disk space, vectors that are deleted, and the mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from vestige_tui.presenters.reembedding import cost_facts
from vestige_tui.presenters.style import Fact
from vestige_tui.tui.jobs.detail import INKS, folded, labelled
from vestige_tui.tui.widgets.panels import Panels
from vestige_tui.tui.wizards.wizard import Wizard, WizardStep

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import SpareVectors
    from vestige_tui.reembed.plan import Estimate

LABEL_CELLS = 11


class CostStep(WizardStep):
    """Estimate of a re-embedding; ``i`` switches between shadow table and in place.

    ``ways`` are the estimates to choose from, the current one first. Without any, the step shows the ``facts`` and
    calls ``measure``; ``show`` then sets the estimates. ``on`` continues with the chosen estimate and the vectors of an
    earlier model that are deleted either way.
    """

    word = "cost"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "go_on", "continue", show=False),
        Binding("i", "turn", "other method", show=False),
    ]

    def __init__(
        self,
        ways: Sequence[Estimate],
        notes: Sequence[tuple[str, str]],
        on: Callable[[Estimate, SpareVectors | None], None],
        *,
        facts: Sequence[Fact] = (),
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
        facts = cost_facts(estimate, self.kept) if estimate is not None else self._facts
        lines: list[Content] = []
        for fact in facts:
            lines += labelled(fact.label, fact.text, width, LABEL_CELLS, INKS.get(fact.ink, "$text"))
        for note, style in self._notes:
            lines.append(Content(""))
            lines += [Content.styled(line, style) for line in folded(note, width)]
        self.query_one(Static).update(Content("\n").join(lines))
        self._set_keys()

    def _set_keys(self) -> None:
        keys = [("enter", "continue")]
        if others := self._ways[1:]:
            keys.append(("i", "in place instead" if others[0].kind == "in_place" else "second table instead"))
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
