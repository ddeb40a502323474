"""From the chips of a filter line to the filter that the store understands."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from vestige_tui.errors import Usage
from vestige_tui.model import Filter
from vestige_tui.times import parse_argument
from vestige_tui.widgets.filter_bar import Chip

_MANY = {"type": "node_types", "domain": "domains", "tag": "tags"}


def filter_of(chips: Iterable[Chip], now: datetime, *, superseded: bool = False) -> Filter:
    """The filter that these chips say; several of one field mean any of them. Raises Usage for a bad date or number."""
    many: dict[str, list[str]] = {}
    fields: dict[str, Any] = {}
    for chip in chips:
        if chip.field in _MANY:
            many.setdefault(_MANY[chip.field], []).append(chip.value)
        elif chip.field in ("since", "until"):
            fields[chip.field] = parse_argument(chip.value, now)
        elif chip.field == "recall":
            try:
                fields["min_retrievability"] = float(chip.value.removeprefix(">"))
            except ValueError:
                raise Usage(f"recall takes a number such as 0.8, not {chip.value!r}.") from None
        else:
            fields[chip.field] = chip.value
    fields |= {name: tuple(values) for name, values in many.items()}
    return Filter(**fields, superseded=superseded)
