"""Bar chart of a store's growth: one column a month, from the first that fits to the latest."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from vestige_tui.core.text import grouped
from vestige_tui.tui.widgets.glyphs import EIGHTHS

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
HEIGHT = 6
MIN_MONTH_CELLS, MAX_MONTH_CELLS = 3, 6


def every_month(counted: Sequence[tuple[str, int]]) -> list[tuple[int, int, int]]:
    """Return (year, month, count) from the first month to the last, months without memories included.

    Labels that are no month, such as an unreadable time, are left out.
    """
    counts: dict[tuple[int, int], int] = {}
    for label, count in counted:
        year, _, month = label.partition("-")
        if len(year) == 4 and year.isdecimal() and month.isdecimal() and 1 <= int(month) <= 12:
            counts[int(year), int(month)] = count
    if not counts:
        return []
    (first_year, first_month), (last_year, last_month) = min(counts), max(counts)
    span = range(first_year * 12 + first_month - 1, last_year * 12 + last_month)
    return [(at // 12, at % 12 + 1, counts.get((at // 12, at % 12 + 1), 0)) for at in span[-600:]]


class GrowthChart(Widget):
    """Chart with counts above the columns, and months and years below them."""

    DEFAULT_CSS = """
    GrowthChart { height: auto; width: 1fr; display: none; }
    GrowthChart.-known { display: block; }
    """

    growth: reactive[tuple[tuple[str, int], ...] | None] = reactive(None, layout=True)

    def watch_growth(self) -> None:
        # Hidden until the first counts arrive.
        self.set_class(self.growth is not None, "-known")

    def render(self) -> Content:
        title = Content.styled("memories created, by month", "$text-disabled")
        if self.growth is None:
            return title
        months = every_month(self.growth)
        if not months:
            return Content("\n").join([title, Content.styled("None yet.", "$text-muted")])
        width = self.size.width or 60
        cells = max(MIN_MONTH_CELLS, min(MAX_MONTH_CELLS, width // min(len(months), 12)))
        cells = max(cells, 1 + max(len(grouped(count)) for *_, count in months[-(width // cells) :]))
        visible = months[-max(1, width // cells) :]
        most = max(count for *_, count in visible) or 1
        lines = [title, Content("")]
        for line in range(HEIGHT, -1, -1):
            pieces = []
            for *_, count in visible:
                full = round(count / most * HEIGHT * 8)
                full = max(1, full) if count else 0
                if line * 8 < full:
                    pieces.append((EIGHTHS[min(8, full - line * 8)] * (cells - 1) + " ", "$accent"))
                elif (line - 1) * 8 < full or (line == 0 and not full):
                    label = grouped(count) if count else "─"
                    pieces.append((f"{label:^{cells - 1}} ", "$text" if count else "$text-disabled"))
                else:
                    pieces.append((" " * cells, ""))
            lines.append(Content.assemble(*pieces))
        names = "".join(f"{MONTHS[month - 1][: cells - 1]:^{cells - 1}} " for _, month, _ in visible)
        lines.append(Content.styled(names.rstrip(), "$text-muted"))
        lines.append(Content.styled(_years(visible, cells), "$text-disabled"))
        return Content("\n").join(lines)


def _years(months: Sequence[tuple[int, int, int]], cells: int) -> str:
    """Return the line of years, each below its first month where it fits."""
    line = ""
    for index, (year, month, _) in enumerate(months):
        if (index == 0 or month == 1) and len(line) <= index * cells:
            line = line.ljust(index * cells) + str(year) + " "
    return line.rstrip()
