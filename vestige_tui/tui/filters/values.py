"""What a field of a filter can be set to, each value with the number of memories that it would leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vestige_tui.core.errors import Usage
from vestige_tui.core.filter_syntax import STATES, BadChip, Chip, filter_of, read_chips, without_field
from vestige_tui.core.memories import Facet, Filter

if TYPE_CHECKING:
    from vestige_tui.store.store import FacetName, Store

MOST_VALUES = 5_000
FACETS: Mapping[str, FacetName] = {
    "domain": "domains",
    "type": "node_types",
    "tag": "tags",
    "codebase": "codebases",
    "owner": "owners",
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
IS = {"replaced": "also what another memory replaced", "without-vector": "only what has no vector"}
OPEN: Mapping[str, Mapping[str, str]] = {"since": SINCE, "until": UNTIL, "recall": RECALL}
"""Fields that take more values than are offered."""


@dataclass(frozen=True, slots=True)
class Value:
    """One value to choose: the chip it makes (or, of a saved filter, its name), how it reads, what it would leave."""

    chip: Chip
    label: str
    count: int | None = None


async def resolved(store: Store, chips: Sequence[Chip]) -> Filter:
    """The filter that chips ask of this store. Raises BadChip, also where nobody is called as the owner is."""
    chosen = filter_of(chips, store.now())
    try:
        return await store.resolved(chosen)
    except Usage as error:
        owner = next(chip for chip in reversed(chips) if chip.field == "owner")
        raise BadChip(owner, error.message) from None


async def values_of(store: Store, field: str, chips: Sequence[Chip], typed: str = "") -> tuple[Value, ...]:
    """What a field can be set to while the chips of the other fields stay; chosen values come first if not offered.

    ``typed`` is offered too where the field takes any date or number. Raises BadChip where the others say nothing.
    """
    if field == "is":
        return await _states(store, chips)
    others = await resolved(store, without_field(chips, field))
    chosen = [chip for chip in chips if chip.field == field]
    if field in FACETS:
        found = tuple(_facet(field, facet) for facet in await store.facets(FACETS[field], others, MOST_VALUES))
        offered = {value.chip for value in found}
        return (*(Value(chip, chip.value, 0) for chip in chosen if chip not in offered), *found)
    asked = dict.fromkeys([typed] if typed else [])
    asked |= dict.fromkeys(chip.value for chip in chosen if not typed and chip.value not in OPEN[field])
    asked |= {} if typed else dict.fromkeys(OPEN[field])
    readable = [Chip(field, value) for value in asked if _readable(store, Chip(field, value))]
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
    asked = [filter_of([chip], store.now()) for chip in chips]
    if not asked:
        return ()
    if field == "recall":
        return await store.count_recalled([each.min_retrievability or 0.0 for each in asked], others)
    if field == "since":
        return await store.count_since([each.since for each in asked if each.since], others)
    return await store.count_until([each.until for each in asked if each.until], others)


async def _states(store: Store, chips: Sequence[Chip]) -> tuple[Value, ...]:
    made = []
    for state in STATES:
        chip = Chip("is", state)
        # The two say different things, so each is counted beside the other.
        count = await store.count(await resolved(store, [*(each for each in chips if each != chip), chip]))
        made.append(Value(chip, IS[state], count))
    return tuple(made)


async def saved_values(store: Store, saved: Mapping[str, str]) -> tuple[Value, ...]:
    """The saved filters; without a count where one does not fit this store."""
    made = []
    for name, text in saved.items():
        try:
            count: int | None = await store.count(await resolved(store, read_chips(text)))
        except BadChip:
            count = None
        made.append(Value(Chip("saved", name), f"{name}  {text}", count))
    return tuple(made)
