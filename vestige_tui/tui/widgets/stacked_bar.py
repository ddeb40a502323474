"""One bar of several parts with its legend, for what a whole is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from vestige_tui.core.text import grouped, plain

SHAPES = ("█", "▓", "▒", "░", "▚")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the whole: its name, its count, and a style such as ``$accent`` or ``$warning``."""

    label: str
    count: int
    style: str = "$text-muted"


def shares(counts: Sequence[int], cells: int) -> list[int]:
    """Return how many of ``cells`` each count gets: at least one if it is not zero, together all of them."""
    total = sum(counts)
    if not total or cells <= 0:
        return [0] * len(counts)
    given = [max(1, round(count / total * cells)) if count else 0 for count in counts]
    while sum(given) != cells and max(given) > 1:
        given[given.index(max(given))] += 1 if sum(given) < cells else -1
    return given


class StackedBar(Widget):
    """Parts side by side, told apart by shape as well as colour, with a legend below."""

    DEFAULT_CSS = "StackedBar { height: auto; width: 1fr; }"

    parts: reactive[tuple[Part, ...]] = reactive((), layout=True)

    def render(self) -> Content:
        width = self.size.width or 60
        shown = [part for part in self.parts if part.count]
        if not shown:
            return Content.styled("nothing here yet", "$text-disabled")
        cells = shares([part.count for part in shown], width)
        shapes = [SHAPES[min(index, len(SHAPES) - 1)] for index in range(len(shown))]
        bar = [(shape * size, part.style) for part, shape, size in zip(shown, shapes, cells, strict=True)]
        figures = max(len(grouped(part.count)) for part in shown)
        total = sum(part.count for part in shown)
        lines = [Content.assemble(*bar), Content("")]
        for part, shape in zip(shown, shapes, strict=True):
            percent = part.count / total * 100
            lines.append(
                Content.assemble(
                    (f"{shape}{shape} ", part.style),
                    (f"{grouped(part.count):>{figures}}", "$text"),
                    (f"  {percent:>5.1f} %" if percent >= 0.1 else "   <0.1 %", "$text-disabled"),
                    (f"  {plain(part.label)}", "$text-muted"),
                )
            )
        return Content("\n").join(lines)
