"""LRU cache of filter -> row ids (seqs) in SQLite, valid for one change token."""

from __future__ import annotations

import re
from array import array
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import cache
from typing import TYPE_CHECKING

from vestige_tui.store.schema.named_sql import compose

if TYPE_CHECKING:
    from vestige_tui.store.backends.protocol import Params, Row
    from vestige_tui.store.schema.named_sql import Slots

_MAX_CACHED_FILTERS = 24
"""Single filters with cached seqs."""
_MAX_CACHED_SETS = 6
"""Combinations of filters with a cached set."""


class FilterSet:
    """Row ids (seqs) that pass: all of ``only`` (of the whole store, where that is None) except ``without``."""

    __slots__ = ("only", "without")

    def __init__(self, only: frozenset[int] | None, without: frozenset[int]) -> None:
        self.only = only if only is None or without.isdisjoint(only) else only - without
        self.without = without if only is None else frozenset()

    def passes(self, seq: int) -> bool:
        """Check whether a memory passes."""
        return seq not in self.without if self.only is None else seq in self.only

    def count(self, total: int) -> int:
        """Return how many of ``total`` memories pass."""
        return max(0, total - len(self.without)) if self.only is None else len(self.only)


EVERYTHING = FilterSet(None, frozenset())


class FilterSets:
    """LRU cache of filter sets for one state of the store; ``fetch`` runs its named queries.

    ``viewed``: the store is viewed as a user, and no set has a memory that the user may not see.
    """

    def __init__(self, fetch: Callable[[str, Params, Slots], Awaitable[list[Row]]], *, viewed: bool = False) -> None:
        self._fetch = fetch
        self._viewed = viewed
        self._seqs: OrderedDict[tuple[str, str], array[int]] = OrderedDict()
        self._sets: OrderedDict[tuple[tuple[str, str], ...], FilterSet] = OrderedDict()

    async def of(self, filters: Collection[str], params: Params) -> FilterSet:
        """Return the set of the memories that pass all of these filters."""
        keys = tuple((name, repr([params.get(param) for param in _param_names(name)])) for name in filters)
        if cached := self._sets.get(keys):
            self._sets.move_to_end(keys)
            return cached
        only: frozenset[int] | None = None
        without: frozenset[int] = frozenset()
        if self._viewed:
            only = frozenset(await self._seqs_of(_ALL, params))
        for key in keys:
            seqs = await self._seqs_of(key, params)
            if key[0] in _COMPLEMENTS:
                without = without.union(seqs)
            else:
                only = frozenset(seqs) if only is None else only.intersection(seqs)
        filter_set = self._sets[keys] = FilterSet(only, without)
        if len(self._sets) > _MAX_CACHED_SETS:
            self._sets.popitem(last=False)
        return filter_set

    async def _seqs_of(self, key: tuple[str, str], params: Params) -> array[int]:
        if (seqs := self._seqs.get(key)) is not None:
            self._seqs.move_to_end(key)
            return seqs
        name = key[0]
        if name == "filter_active":
            rows = await self._fetch("list_replaced_seqs", {}, {})
        elif name in _OPPOSITES:
            opposite, renamed = _OPPOSITES[name]
            params = {**params, **{param: params[by] for param, by in renamed.items()}}
            rows = await self._fetch("list_passing_seqs", params, {"filters": (opposite,)})
        elif key == _ALL:
            rows = await self._fetch("list_passing_seqs", {}, {})
        elif name in _FTS_PARAMS:
            rows = await self._fetch("list_matching_seqs", {"words": params[_FTS_PARAMS[name]]}, {})
        else:
            rows = await self._fetch("list_passing_seqs", params, {"filters": (name,)})
        # One long text instead of rows: one row for each seq would take four times as long.
        text = rows[0]["seqs"]
        seqs = self._seqs[key] = array("q", map(int, str(text).split(",")) if text else ())
        if len(self._seqs) > _MAX_CACHED_FILTERS:
            self._seqs.popitem(last=False)
        return seqs


@cache
def _param_names(name: str) -> tuple[str, ...]:
    return tuple(re.findall(r":([a-z_]+)", compose("sqlite", name)))


_ALL = ("", "")
"""Key of the memories without a filter."""
_FTS_PARAMS: Mapping[str, str] = {"filter_must": "must", "filter_must_not": "must_not"}
_OPPOSITES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "filter_no_domains": ("filter_domains", {"domains": "no_domains"}),
    "filter_no_tags": ("filter_tags", {"tags": "no_tags"}),
    "filter_no_node_types": ("filter_node_types", {"node_types": "no_node_types"}),
    "filter_no_codebases": ("filter_codebases", {"codebases": "no_codebases"}),
    "filter_no_visibilities": ("filter_visibilities", {"visibilities": "no_visibilities"}),
    "filter_no_groups": ("filter_groups", {"groups": "no_groups"}),
    "filter_not_due": ("filter_due", {}),
    "filter_not_due_at": ("filter_due_at", {}),
    "filter_not_suspended": ("filter_suspended", {}),
    "filter_not_buried": ("filter_buried", {}),
    "filter_not_leech": ("filter_leech", {}),
    "filter_not_pinned": ("filter_pinned", {}),
    "filter_with_embedding": ("filter_without_embedding", {}),
    "filter_active_at": ("filter_replaced_at", {}),
}
"""Filters with the one that passes exactly the other memories, and its parameters by those of the filter."""
# Queried for their complement: these filters exclude fewer memories than they pass.
_COMPLEMENTS = {"filter_active", "filter_must_not", *_OPPOSITES}
