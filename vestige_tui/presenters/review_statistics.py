"""Texts and JSON about past reviews, true retention and the load of the coming days, for console and commands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from vestige_tui.core.review_statistics import NO_TAGS, ReviewStatistics, TrueRetention
from vestige_tui.core.scheduling import forecast
from vestige_tui.core.text import cut, grouped, plain
from vestige_tui.core.times import LocalDays

NO_LOG = (
    "This file belongs to a Vestige server that keeps no log of reviews. Adopt the file, and reviews in this console "
    "are logged from then on."
)
NO_REVIEWS = "There are no reviews in this time."
FIRST_REVIEWS_ONLY = "True retention needs second reviews: so far each memory was reviewed once."
TAG_ROWS = 8
"""Tags with most reviews that a list shows."""
NAME_CELLS = 32


@dataclass(frozen=True, slots=True)
class RetentionTable:
    """Rows of one grouping: name, number of reviews and share remembered; ``more`` is the number of rows left out."""

    title: str
    rows: tuple[TrueRetention, ...]
    more: int = 0


@dataclass(frozen=True, slots=True)
class Load:
    """Memories that fall due on each coming day, now and under another desired retention."""

    days: tuple[date, ...]
    present: tuple[int, ...]
    planned: tuple[int, ...]
    retention: float
    """The other desired retention."""

    @property
    def change(self) -> float | None:
        """Relative change of the sum; None where nothing is due."""
        total = sum(self.present)
        return (sum(self.planned) - total) / total if total else None


def load_of(
    present: Sequence[datetime],
    planned: Sequence[datetime],
    retention: float,
    now: datetime,
    day_count: int,
    days: LocalDays,
) -> Load:
    """Return the load of the coming days from the due times now and under another desired retention."""
    today = days.of(now)
    return Load(
        tuple(today + timedelta(days=offset) for offset in range(day_count)),
        tuple(forecast(present, now, day_count, days)),
        tuple(forecast(planned, now, day_count, days)),
        retention,
    )


def percent(share: float | None) -> str:
    """Return a share in percent; a dash for none."""
    return "-" if share is None else f"{share:.0%}"


def why_no_statistics(statistics: ReviewStatistics) -> str:
    """Return why there are no statistics, as a sentence; empty where there are."""
    if not statistics.has_log:
        return NO_LOG
    return "" if statistics.total else NO_REVIEWS


def summary_sentence(statistics: ReviewStatistics) -> str:
    """Return the sentence on all reviews of the span: their number, days with reviews, and true retention."""
    active = sum(count > 0 for _, count in statistics.days)
    span = len(statistics.days)
    reviews = f"{grouped(statistics.total)} {'review' if statistics.total == 1 else 'reviews'}"
    text = f"{reviews} on {active} of the last {span} {'day' if span == 1 else 'days'}."
    retention = statistics.retention
    if retention.share is None:
        return f"{text} {FIRST_REVIEWS_ONLY}"
    of_all = f"{grouped(retention.remembered)} of {grouped(retention.reviews)} remembered"
    return f"{text} True retention {percent(retention.share)}: {of_all}."


def retention_tables(statistics: ReviewStatistics, tag_rows: int = TAG_ROWS) -> tuple[RetentionTable, ...]:
    """Return true retention by type, tag and age; tables without rows are left out."""
    tables = (
        RetentionTable("type", statistics.by_type),
        RetentionTable("tag", statistics.by_tag[:tag_rows], max(0, len(statistics.by_tag) - tag_rows)),
        RetentionTable("age at review", statistics.by_age),
    )
    return tuple(table for table in tables if table.rows)


def group_name(row: TrueRetention) -> str:
    """Return the name of a group, safe to show."""
    return cut(plain(row.name), NAME_CELLS) if row.name != NO_TAGS else "(no tag)"


def load_sentence(load: Load) -> str:
    """Return the sentence that compares the load now and under the other desired retention."""
    present, planned = sum(load.present), sum(load.planned)
    change = "" if load.change is None else f" ({load.change:+.0%})"
    due = "review is" if present == 1 else "reviews are"
    return (
        f"{grouped(present)} {due} due within {len(load.days)} days; "
        f"with a desired retention of {load.retention:.2f}: {grouped(planned)}{change}."
    )


def statistics_document(statistics: ReviewStatistics) -> dict[str, Any]:
    """Return the statistics as JSON data; ``retention`` is null without reviews to compute it from."""
    return {
        "has_log": statistics.has_log,
        "reviews": statistics.total,
        "retention": _group(statistics.retention),
        "days": [{"date": day.isoformat(), "reviews": count} for day, count in statistics.days],
        "by_type": [{"type": row.name, **_group(row)} for row in statistics.by_type],
        "by_tag": [{"tag": row.name or None, **_group(row)} for row in statistics.by_tag],
        "by_age": [{"age": row.name, **_group(row)} for row in statistics.by_age],
    }


def _group(row: TrueRetention) -> dict[str, Any]:
    return {"reviews": row.reviews, "remembered": row.remembered, "retention": row.share}


def load_document(load: Load) -> dict[str, Any]:
    """Return a what-if forecast as JSON data: a list of days, and the desired retention that it assumes."""
    rows = zip(load.days, load.present, load.planned, strict=True)
    items = [{"date": day.isoformat(), "due": due, "due_at_retention": planned} for day, due, planned in rows]
    return {"items": items, "next": None, "retention": load.retention}
