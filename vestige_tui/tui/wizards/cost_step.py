"""What a re-embedding would cost: how many texts, how long, how much room, what goes, and which way."""

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

LABEL = 11
ONLINE = "beside the old ones: searches go on with those until all are made"
IN_PLACE = "in place: for a small disk; search by meaning waits until it is done, and the old vectors go first"


class CostStep(WizardStep):
    """What it would cost, to read; ``i`` turns the way it is done, which counts at once.

    ``ways`` are the estimates to choose from, the first one first. Where there is none yet, ``known`` says what is, as
    rows of a label and a text, and ``measure`` begins to find out; ``show`` then takes what was found. ``on`` goes on
    with the chosen one, and with the vectors of an earlier model that go either way.
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
        known: Sequence[tuple[str, str]] = (),
        measure: Callable[[], None] | None = None,
    ) -> None:
        super().__init__()
        self._ways, self._notes, self._on, self._known, self._measure = tuple(ways), notes, on, known, measure

    def compose(self) -> ComposeResult:
        with Panels(classes="body"):
            yield Static(markup=False)

    def begin(self) -> None:
        self.query_one(Panels).focus()
        self._draw()
        if not self._ways and self._measure is not None:
            self._measure()

    def show(self, *ways: Estimate) -> None:
        """Show what was found out."""
        self._ways = ways
        self._draw()

    @property
    def estimate(self) -> Estimate | None:
        """What is chosen, as far as it is known."""
        return self._ways[0] if self._ways else None

    @property
    def kept(self) -> SpareVectors | None:
        """Vectors of an earlier model, whose room is taken whichever way is chosen."""
        return next((way.drops for way in self._ways if way.kind == "reembed"), None)

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    def _draw(self) -> None:
        width = max(20, self.query_one(Panels).scrollable_content_region.width)
        found = self.estimate
        rows = (
            cost_rows(found, self.kept)
            if found is not None
            else [(label, text, "$text") for label, text in self._known]
        )
        lines: list[Content] = []
        for label, text, style in rows:
            lines += labelled(label, text, width, LABEL, style)
        for note, style in self._notes:
            lines.append(Content(""))
            lines += [Content.styled(line, style) for line in folded(note, width)]
        self.query_one(Static).update(Content("\n").join(lines))
        self._set_keys()

    def _set_keys(self) -> None:
        keys = [("enter", "go on")]
        if found := self._ways[1:]:
            keys.append(("i", "in place instead" if found[0].kind == "in_place" else "beside instead"))
        self.keys = keys
        screen = self.screen
        assert isinstance(screen, Wizard)
        screen.redraw()

    def action_go_on(self) -> None:
        if (found := self.estimate) is not None:
            self._on(found, self.kept)
        elif self._measure is not None:
            self._measure()

    def action_turn(self) -> None:
        self._ways = (*self._ways[1:], *self._ways[:1])
        self._draw()


def cost_rows(estimate: Estimate, kept: SpareVectors | None) -> list[tuple[str, str, str]]:
    """Return an estimate as labels, what they say, and how it looks."""
    before, after = estimate.before, estimate.after
    rows = [
        ("from", f"{before.name}, {grouped(before.dimension)} dimensions", "$text-muted"),
        ("to", f"{after.name}, {grouped(after.dimension)} dimensions", "$text"),
        ("how", IN_PLACE if estimate.kind == "in_place" else ONLINE, "$text"),
        ("memories", f"{grouped(estimate.memories)} to be encoded", "$text"),
    ]
    if estimate.texts_per_second is not None and estimate.seconds is not None:
        each = estimate.texts_per_second
        said = f"{each:,.1f}" if each < 10 else grouped(round(each))
        rows += [
            ("speed", f"{said} texts a second, measured here just now", "$text"),
            ("time", f"about {duration(estimate.seconds)}, and what the index takes", "$text bold"),
        ]
    else:
        rows.append(("time", "there was nothing to measure", "$text-muted"))
    rows.append(("room", f"{bytes_size(estimate.bytes)} for the new vectors and their index", "$text"))
    for place, text in enumerate(going(estimate, kept)):
        rows.append(("what goes" if not place else "", text, "$warning"))
    return rows


def going(estimate: Estimate, kept: SpareVectors | None) -> list[str]:
    """Return which vectors are deleted first, as sentences; ``kept`` are those of an earlier model."""
    said = []
    if estimate.kind == "in_place" and estimate.drops is not None:
        said.append(f"{_vectors(estimate.drops)}, all that are in use, are deleted first; there is no way back.")
    if kept is not None:
        said.append(f"The kept ones of the way back, {_vectors(kept)}, are deleted at the start.")
    return said


def _vectors(held: SpareVectors) -> str:
    count = f"{grouped(held.vectors)} {'vector' if held.vectors == 1 else 'vectors'}"
    return f"{count} of {short_model(held.model.name)}, {grouped(held.model.dimension)} dimensions"
