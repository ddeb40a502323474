"""Filters on memories as values, for those that are in no table: the deleted ones, which only the journal keeps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import TYPE_CHECKING

from vestige_tui.core.memories import Filter
from vestige_tui.core.storable import clean

if TYPE_CHECKING:
    from vestige_tui.core.memories import Memory

UNTOLD = frozenset({"states", "no_states", "min_retrievability"})
"""Conditions that a memory without a schedule and a moment cannot meet or fail."""
_BESIDE = frozenset({"superseded", "as_of"})
"""Fields of a filter that choose the moment of the answer, and narrow nothing by a label."""


def narrows(filter: Filter) -> bool:
    """Check whether a filter has conditions that ``passes`` decides."""
    return any(getattr(filter, each.name) for each in fields(Filter) if each.name not in UNTOLD | _BESIDE)


def leaves_untold(filter: Filter) -> bool:
    """Check whether a filter has conditions that ``passes`` cannot decide."""
    return bool(filter.states or filter.no_states) or filter.min_retrievability is not None


def passes(filter: Filter, memory: Memory) -> bool:
    """Check whether a memory passes the conditions on its labels, owner, sharing and creation."""
    labels = (
        (memory.domains, filter.domains, filter.all_domains, filter.no_domains),
        (memory.tags, filter.tags, filter.all_tags, filter.no_tags),
        ((memory.node_type,), filter.node_types, filter.all_node_types, filter.no_node_types),
        ((memory.codebase,), filter.codebases, filter.all_codebases, filter.no_codebases),
        ((memory.owner_user_id,), (filter.owner,) if filter.owner else (), (), filter.no_owners),
        ((memory.visibility,), filter.visibilities, filter.all_visibilities, filter.no_visibilities),
        (memory.shared_with_groups, filter.groups, filter.all_groups, filter.no_groups),
    )
    return _in_time(filter, memory) and all(
        _meets(set(values), any_of, all_of, none_of) for values, any_of, all_of, none_of in labels
    )


def _in_time(filter: Filter, memory: Memory) -> bool:
    created, since, until = memory.created_at, filter.since, filter.until
    if created is None:
        return since is None and until is None
    return (since is None or created >= since) and (until is None or created < until)


def _meets(values: set[str | None], any_of: Iterable[str], all_of: Iterable[str], none_of: Iterable[str]) -> bool:
    wanted, needed, refused = ({clean(name) for name in names} for names in (any_of, all_of, none_of))
    return (not wanted or bool(wanted & values)) and needed <= values and not refused & values
