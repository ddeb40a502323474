"""Results as one aligned table and as a file."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Figure:
    """Figure of ours beside a raw one in the same unit; tails are 99th percentiles.

    ``beside`` describes the raw one, ``goal`` the ratio to reach.
    """

    part: str
    name: str
    unit: str
    ours: float
    raw: float
    beside: str
    ours_tail: float | None = None
    raw_tail: float | None = None
    goal: str = ""

    @property
    def ratio(self) -> float:
        """Ratio of ours to the raw one."""
        return self.ours / self.raw if self.raw else math.nan

    @property
    def met(self) -> bool | None:
        """True if the ratio reaches the goal; None if the goal is not a bound."""
        match self.goal.split():
            case ["<=", bound]:
                return self.ratio <= float(bound)
            case [">=", bound]:
                return self.ratio >= float(bound)
        return None


HEADINGS = ("part", "what", "unit", "ours", "p99", "raw", "p99", "ratio", "goal", "met", "the raw one")
_RIGHT = {3, 4, 5, 6, 7}


def render(figures: Sequence[Figure]) -> str:
    """Return the table, a line for each figure under a line of headings."""
    lines = [HEADINGS, *(_cells(figure) for figure in figures)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in _RIGHT else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _cells(figure: Figure) -> tuple[str, ...]:
    return (
        figure.part,
        figure.name,
        figure.unit,
        _number(figure.ours),
        _number(figure.ours_tail),
        _number(figure.raw),
        _number(figure.raw_tail),
        _ratio(figure.ratio),
        figure.goal,
        {True: "yes", False: "no", None: ""}[figure.met],
        figure.beside,
    )


def _ratio(value: float) -> str:
    return f"{value:.4f}" if value < 0.1 or 0.9 < value < 1 else f"{value:.2f}"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    if value >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def write(figures: Sequence[Figure], path: Path) -> None:
    """Write the figures as JSON, with the machine that they come from."""
    report = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "figures": [asdict(figure) | {"ratio": figure.ratio, "met": figure.met} for figure in figures],
    }
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
