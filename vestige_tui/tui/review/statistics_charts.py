"""Charts of review statistics: a heat map of past days, tables of true retention, and the load of coming days."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from textual.content import Content

from vestige_tui.core.review_statistics import ReviewStatistics, weeks
from vestige_tui.core.text import cells, cut, grouped
from vestige_tui.presenters.job_progress import quantity
from vestige_tui.presenters.review_statistics import Load, RetentionTable, group_name, percent
from vestige_tui.tui.widgets.glyphs import level
from vestige_tui.tui.widgets.retention_plot import column

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
NO_REVIEW = "·"
SHADES = "░▒▓█"
"""Shades of a day: up to a quarter of the busiest day, up to a half, up to three quarters, more."""
LABEL_CELLS = 4
BAR_CELLS = 6
LOAD_ROWS = 5
MIN_TABLE_CELLS = 32
_GAP = "   "


def shade(count: int, most: int) -> str:
    """Return the glyph of a day with so many reviews, ``most`` being those of the busiest day."""
    if count <= 0:
        return NO_REVIEW
    return SHADES[min(len(SHADES) - 1, (count * len(SHADES) - 1) // most)]


def heat_map(statistics: ReviewStatistics, width: int) -> Content:
    """Return the reviews of each day: a column a week, the latest on the right, as many as fit."""
    calendar = weeks(statistics.days)
    room = width - LABEL_CELLS
    week_cells = 2 if len(calendar) * 2 <= room else 1
    calendar = calendar[-max(1, room // week_cells) :]
    most = max((count for _, week in calendar for count in week.values()), default=0)
    lines = [Content.styled(_months([monday for monday, _ in calendar], week_cells, width), "$text-disabled")]
    for weekday, name in enumerate(WEEKDAYS):
        pieces: list[tuple[str, str]] = [(f"{name:<{LABEL_CELLS}}", "$text-disabled")]
        for _, week in calendar:
            glyph = shade(week[weekday], most) if weekday in week else " "
            pieces.append((glyph.ljust(week_cells), "$text-disabled" if glyph == NO_REVIEW else "$accent"))
        lines.append(Content.assemble(*pieces))
    none = f"{'':<{LABEL_CELLS}}{NO_REVIEW} none   "
    scale = (
        (none, "$text-disabled"),
        (" ".join(SHADES), "$accent"),
        (f" up to {quantity(most, 'review')} a day", "$text-muted"),
    )
    lines.append(Content.assemble(*scale))
    return Content("\n").join(lines)


def _months(mondays: Sequence[date], week_cells: int, width: int) -> str:
    """Return the line with the name of each month above the week in which it begins."""
    line = " " * LABEL_CELLS
    for index, monday in enumerate(mondays):
        last_day, at = monday + timedelta(days=6), LABEL_CELLS + index * week_cells
        name = f"{last_day:%b}"
        if last_day.day <= 7 and len(line.rstrip()) < at and at + len(name) <= width:
            line = line.rstrip().ljust(at) + name
    return line


def retention_columns(tables: Sequence[RetentionTable], width: int) -> Content:
    """Return the tables of true retention, side by side if they fit, else one below the other."""
    if not tables:
        return Content("")
    per_row = min(len(tables), max(1, (width + len(_GAP)) // (MIN_TABLE_CELLS + len(_GAP))))
    table_cells = min(MIN_TABLE_CELLS + 10, (width - len(_GAP) * (per_row - 1)) // per_row)
    blocks = []
    for start in range(0, len(tables), per_row):
        columns = [_table_lines(table, table_cells) for table in tables[start : start + per_row]]
        height = max(map(len, columns))
        padded = [[*lines, *[Content(" " * table_cells)] * (height - len(lines))] for lines in columns]
        blocks.append(Content("\n").join(Content(_GAP).join(parts) for parts in zip(*padded, strict=True)))
    return Content("\n\n").join(blocks)


def _table_lines(table: RetentionTable, width: int) -> list[Content]:
    counts = [grouped(row.reviews) for row in table.rows]
    count_cells = max(len("reviews"), *map(len, counts))
    name_cells = width - count_cells - BAR_CELLS - 8
    lines = [Content.styled(f"{table.title:<{name_cells}} {'reviews':>{count_cells}}".ljust(width), "$text-disabled")]
    for row, count in zip(table.rows, counts, strict=True):
        name = cut(group_name(row), name_cells)
        full, rest = level(row.share or 0.0, BAR_CELLS)
        lines.append(
            Content.assemble(
                (name + " " * (name_cells - cells(name)), "$text"),
                (f" {count:>{count_cells}}", "$text-muted"),
                (f"  {percent(row.share):>4} ", "$text"),
                (full, "$accent"),
                (rest, "$text-disabled"),
            )
        )
    if table.more:
        lines.append(Content.styled(f"and {grouped(table.more)} more".ljust(width), "$text-disabled"))
    return lines


def load_chart(load: Load, width: int) -> Content:
    """Return the load of each day, now on the left and with the other retention on the right, in one scale."""
    top = max((*load.present, *load.planned), default=0)
    if not top:
        return Content.styled("nothing is due on these days", "$text-disabled")
    margin = max(3, len(grouped(top)))
    room = width - margin - 1
    day_cells = 3 if room >= len(load.days) * 3 else 2
    count = max(1, min(len(load.days), room // day_cells))
    pairs = zip(load.present[:count], load.planned[:count], strict=True)
    bars = [(_bar(present, top), _bar(planned, top)) for present, planned in pairs]
    lines = []
    for row in range(LOAD_ROWS):
        title = grouped(top) if row == 0 else "0" if row == LOAD_ROWS - 1 else ""
        pieces: list[tuple[str, str]] = [(f"{title:>{margin}} ", "$text-disabled")]
        for present, planned in bars:
            pieces += [(present[row], "$text-disabled"), (planned[row].ljust(day_cells - 1), "$accent")]
        lines.append(Content.assemble(*pieces))
    last = f"in {count - 1} d"
    gap = max(1, count * day_cells - len("today") - len(last))
    lines.append(Content.styled(f"{'':<{margin + 1}}today{' ' * gap}{last}", "$text-disabled"))
    return Content("\n").join(lines)


def _bar(count: int, top: int) -> Sequence[str]:
    return column(max(count / top, 1 / (8 * LOAD_ROWS)) if count else 0, LOAD_ROWS)
