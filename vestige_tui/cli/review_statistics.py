"""The command ``reviews``: past reviews by day, and true retention by type, tag and age of the memory."""

from __future__ import annotations

from argparse import Namespace

from vestige_tui.cli.filters import add_filters, chosen_filter
from vestige_tui.cli.global_options import chosen_store
from vestige_tui.cli.output import Output
from vestige_tui.cli.parser import Commands, days
from vestige_tui.core.review_statistics import ReviewStatistics
from vestige_tui.core.text import grouped
from vestige_tui.presenters.review_statistics import (
    group_name,
    percent,
    retention_tables,
    statistics_document,
    summary_sentence,
    why_no_statistics,
)

DAYS = 365


def add_commands(commands: Commands) -> None:
    reviews = commands.add("reviews", _reviews, "print the reviews of the past by day, and true retention by group")
    reviews.add_argument("--days", metavar="N", type=days, default=DAYS, help=f"number of days (default {DAYS})")
    add_filters(reviews)


async def _reviews(args: Namespace, output: Output) -> int:
    async with chosen_store(args) as store:
        statistics = await store.review_statistics.of_days(args.days, await chosen_filter(args, store))
    if output.as_json:
        output.document(statistics_document(statistics))
        return 0
    if reason := why_no_statistics(statistics):
        output.line(reason)
        return 0
    output.line(summary_sentence(statistics))
    _print_months(output, statistics)
    for table in retention_tables(statistics):
        output.line()
        rows = [(group_name(row), grouped(row.reviews), percent(row.share)) for row in table.rows]
        output.table(rows, flexible=0, header=(table.title, "reviews", "retention"), right=(1, 2))
        if table.more:
            output.line(f"and {grouped(table.more)} more; --json prints all")
    return 0


def _print_months(output: Output, statistics: ReviewStatistics) -> None:
    """Print the reviews of each month that has any, and the number of days with reviews."""
    months: dict[str, list[int]] = {}
    for day, count in statistics.days:
        if count:
            months.setdefault(f"{day:%b %Y}", []).append(count)
    output.line()
    rows = [(month, grouped(sum(counts)), str(len(counts))) for month, counts in months.items()]
    output.table(rows, flexible=0, header=("month", "reviews", "days"), right=(1, 2))
