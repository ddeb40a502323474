"""Values of the fields of a filter, each with the number of memories that would pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vestige_tui.core.errors import Usage
from vestige_tui.core.filter_syntax import (
    STATES,
    BadChip,
    Chip,
    filter_of,
    read_chips,
    without_field,
)
from vestige_tui.core.memories import Facet, Filter

if TYPE_CHECKING:
    from vestige_tui.store.memories import FacetName
    from vestige_tui.store.store import Store

MAX_VALUE_COUNT = 5_000
FACETS: Mapping[str, FacetName] = {
    "domain": "domains",
    "type": "node_types",
    "tag": "tags",
    "codebase": "codebases",
    "owner": "owners",
    "visibility": "visibilities",
    "group": "groups",
}
SINCE = {
    "today": "today",
    "-7d": "the last 7 days",
    "-30d": "the last 30 days",
    "-90d": "the last 90 days",
    "-1y": "the last year",
}
UNTIL = {
    "today": "before today",
    "-7d": "more than 7 days ago",
    "-30d": "more than 30 days ago",
    "-90d": "more than 90 days ago",
    "-1y": "more than a year ago",
}
RECALL = {"0.9": "at least .9", "0.8": "at least .8", "0.7": "at least .7", "0.5": "at least .5"}
WITH = {"replaced": "replaced memories too"}
OPEN: Mapping[str, Mapping[str, str]] = {"since": SINCE, "until": UNTIL, "recall": RECALL}
"""Fields that also take typed values, with the values they offer."""
STATE_FIELDS: Mapping[str, Mapping[str, str]] = {"is": STATES, "with": WITH}
"""Fields whose values are independent of one another, with the label of each."""


@dataclass(frozen=True, slots=True)
class Value:
    """Value of a field: its chip (of a saved filter, its name), its label, and the number of memories that pass."""

    chip: Chip
    label: str
    count: int | None = None


async def resolved(store: Store, chips: Sequence[Chip]) -> Filter:
    """Return the filter of these chips for this store. Raises BadChip, also for an unknown owner or group."""
    parsed = filter_of(chips, store.now(), store.policy.days)
    try:
        return await store.memories.resolve_owner(parsed)
    except Usage:
        # Ask again, one by one, for the chip that the message is on.
        for chip in chips:
            if chip.field in ("owner", "group"):
                try:
                    await store.memories.resolve_owner(filter_of([replace(chip, sign="")], store.now()))
                except Usage as error:
                    raise BadChip(chip, error.message) from None
        raise


async def values_of(store: Store, field: str, chips: Sequence[Chip], typed: str = "") -> tuple[Value, ...]:
    """Return the values of a field under the chips of the other fields, chosen values that are not offered first.

    ``typed`` is offered too if the field takes any date or number. Raises BadChip for the other chips.
    """
    if field in STATE_FIELDS:
        return await _states(store, field, chips)
    others = await resolved(store, without_field(chips, field))
    chosen = [replace(chip, sign="") for chip in chips if chip.field == field]
    if field in FACETS:
        values = tuple(
            _facet(field, facet) for facet in await store.memories.facets(FACETS[field], others, MAX_VALUE_COUNT)
        )
        offered_chips = {value.chip for value in values}
        return (*(Value(chip, chip.value, 0) for chip in chosen if chip not in offered_chips), *values)
    candidates = dict.fromkeys([typed] if typed else [])
    candidates |= dict.fromkeys(chip.value for chip in chosen if not typed and chip.value not in OPEN[field])
    candidates |= {} if typed else dict.fromkeys(OPEN[field])
    readable = [Chip(field, value) for value in candidates if _readable(store, Chip(field, value))]
    counts = await _count(store, field, readable, others)
    return tuple(
        Value(chip, OPEN[field].get(chip.value, chip.value), count)
        for chip, count in zip(readable, counts, strict=True)
    )


def _facet(field: str, facet: Facet) -> Value:
    name = facet.alias or facet.value
    label = name if not facet.title or facet.title == name else f"{name}  {facet.title}"
    return Value(Chip(field, name), label, facet.count)


def _readable(store: Store, chip: Chip) -> bool:
    try:
        filter_of([chip], store.now())
    except BadChip:
        return False
    return True


async def _count(store: Store, field: str, chips: Sequence[Chip], others: Filter) -> tuple[int, ...]:
    filters = [filter_of([chip], store.now(), store.policy.days) for chip in chips]
    if not filters:
        return ()
    if field == "recall":
        return await store.memories.count_recalled([filter.min_retrievability or 0.0 for filter in filters], others)
    if field == "since":
        return await store.memories.count_since([filter.since for filter in filters if filter.since], others)
    return await store.memories.count_until([filter.until for filter in filters if filter.until], others)


async def _states(store: Store, field: str, chips: Sequence[Chip]) -> tuple[Value, ...]:
    values = []
    for state, label in STATE_FIELDS[field].items():
        chip = Chip(field, state)
        # Each state is counted together with the others that are chosen.
        others = [other for other in chips if replace(other, sign="") != chip]
        count = await store.memories.count(await resolved(store, [*others, chip]))
        values.append(Value(chip, f"{state}  {label}" if field == "is" else label, count))
    return tuple(values)


async def saved_values(store: Store, saved: Mapping[str, str]) -> tuple[Value, ...]:
    """Return the saved filters as values; without a count if a filter does not fit this store."""
    values = []
    for name, text in saved.items():
        try:
            count: int | None = await store.memories.count(await resolved(store, read_chips(text)))
        except BadChip:
            count = None
        values.append(Value(Chip("saved", name), f"{name}  {text}", count))
    return tuple(values)
