"""Stacked bar with a legend, for the parts of a whole."""

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
    """Part of the whole: its name, its count, and a style such as ``$accent`` or ``$warning``."""

    label: str
    count: int
    style: str = "$text-muted"


def shares(counts: Sequence[int], cells: int) -> list[int]:
    """Return the number of ``cells`` for each count: at least one unless it is zero, all cells together."""
    total = sum(counts)
    if not total or cells <= 0:
        return [0] * len(counts)
    sizes = [max(1, round(count / total * cells)) if count else 0 for count in counts]
    while sum(sizes) != cells and max(sizes) > 1:
        sizes[sizes.index(max(sizes))] += 1 if sum(sizes) < cells else -1
    return sizes


class StackedBar(Widget):
    """Parts side by side, different in shape as well as colour, with a legend below."""

    DEFAULT_CSS = "StackedBar { height: auto; width: 1fr; }"

    parts: reactive[tuple[Part, ...]] = reactive((), layout=True)

    def render(self) -> Content:
        width = self.size.width or 60
        parts = [part for part in self.parts if part.count]
        if not parts:
            return Content.styled("nothing here yet", "$text-disabled")
        cells = shares([part.count for part in parts], width)
        shapes = [SHAPES[min(index, len(SHAPES) - 1)] for index in range(len(parts))]
        bar = [(shape * size, part.style) for part, shape, size in zip(parts, shapes, cells, strict=True)]
        figures = max(len(grouped(part.count)) for part in parts)
        total = sum(part.count for part in parts)
        lines = [Content.assemble(*bar), Content("")]
        for part, shape in zip(parts, shapes, strict=True):
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
