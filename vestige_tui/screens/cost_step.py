"""What a re-embedding would cost: how many texts, how long, how much room, what goes, and which way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from vestige_tui.screens.job_detail import folded
from vestige_tui.screens.wizard import Step
from vestige_tui.text import bytes_size, duration, grouped, plain
from vestige_tui.widgets.panels import Panels

if TYPE_CHECKING:
    from vestige_tui.jobs.reembed import Estimate

LABEL = 11
ONLINE = "beside the old ones: searches go on with those until all are made"
IN_PLACE = "in place: for a small disk; search by meaning waits until it is done, and the old vectors go first"


class CostStep(Step):
    """An estimate to read; ``i`` turns the way it is done, which is then estimated anew."""

    word = "cost"
    keys = (("enter", "go on"), ("i", "other way"))
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "go_on", "go on", show=False),
        Binding("i", "turn", "other way", show=False),
    ]

    def __init__(
        self, estimate: Estimate, notes: Sequence[str], on: Callable[[Estimate], None], turn: Callable[[Estimate], None]
    ) -> None:
        super().__init__()
        self._estimate, self._notes, self._on, self._turn = estimate, notes, on, turn

    def compose(self) -> ComposeResult:
        with Panels(classes="body"):
            yield Static(markup=False)

    def begin(self) -> None:
        self.query_one(Panels).focus()
        self._draw()

    def show(self, estimate: Estimate) -> None:
        """Show another estimate."""
        self._estimate = estimate
        self._draw()

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    def _draw(self) -> None:
        width = max(20, self.query_one(Panels).scrollable_content_region.width)
        lines = []
        for label, text, style in cost_rows(self._estimate):
            for place, line in enumerate(folded(text, width - LABEL)):
                lines.append(
                    Content.assemble((f"{label if not place else '':<{LABEL}}", "$text-disabled"), (line, style))
                )
        for note in self._notes:
            lines += [Content(""), Content.styled(plain(note), "$text-muted")]
        self.query_one(Static).update(Content("\n").join(lines))

    def action_go_on(self) -> None:
        self._on(self._estimate)

    def action_turn(self) -> None:
        self._turn(self._estimate)


def cost_rows(estimate: Estimate) -> list[tuple[str, str, str]]:
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
    if estimate.drops is not None:
        dropped = estimate.drops
        which = "in use" if estimate.kind == "in_place" else "kept since the last time"
        said = f"{grouped(dropped.vectors)} vectors of {dropped.model.name}, {which}, are deleted"
        rows.append(("what goes", said, "$warning"))
    return rows
