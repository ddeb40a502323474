"""Which memories pass the filters of a search, as numbers: each filter is asked once for one state of the store."""

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

_FILTERS_KEPT = 24
_SETS_KEPT = 6


class Passing:
    """The memories that pass, by their seq: all of ``only`` (or of the store, where that is None) but ``without``."""

    __slots__ = ("only", "without")

    def __init__(self, only: frozenset[int] | None, without: frozenset[int]) -> None:
        self.only = only if only is None or without.isdisjoint(only) else only - without
        self.without = without if only is None else frozenset()

    def leaves(self, seq: int) -> bool:
        """Does this memory pass?"""
        return seq not in self.without if self.only is None else seq in self.only

    def count(self, total: int) -> int:
        """How many of so many memories pass."""
        return max(0, total - len(self.without)) if self.only is None else len(self.only)


EVERYTHING = Passing(None, frozenset())


class PassingSets:
    """What filters leave of one state of the store; ``fetch`` asks the store's named queries."""

    def __init__(self, fetch: Callable[[str, Params, Slots], Awaitable[list[Row]]]) -> None:
        self._fetch = fetch
        self._seqs: OrderedDict[tuple[str, str], array[int]] = OrderedDict()
        self._sets: OrderedDict[tuple[tuple[str, str], ...], Passing] = OrderedDict()

    async def of(self, filters: Collection[str], params: Params) -> Passing:
        """What passes all of these filters."""
        keys = tuple((name, repr([params.get(each) for each in _parameters(name)])) for name in filters)
        if found := self._sets.get(keys):
            self._sets.move_to_end(keys)
            return found
        only: frozenset[int] | None = None
        without: frozenset[int] = frozenset()
        for key in keys:
            seqs = await self._of_one(key, params)
            if key[0] in _COMPLEMENTS:
                without = without.union(seqs)
            else:
                only = frozenset(seqs) if only is None else only.intersection(seqs)
        made = self._sets[keys] = Passing(only, without)
        if len(self._sets) > _SETS_KEPT:
            self._sets.popitem(last=False)
        return made

    async def _of_one(self, key: tuple[str, str], params: Params) -> array[int]:
        if (seqs := self._seqs.get(key)) is not None:
            self._seqs.move_to_end(key)
            return seqs
        name = key[0]
        if name == "filter_active":
            rows = await self._fetch("list_replaced_seqs", {}, {})
        elif name in _MATCHED:
            rows = await self._fetch("list_matching_seqs", {"words": params[_MATCHED[name]]}, {})
        else:
            rows = await self._fetch("list_passing_seqs", params, {"filters": (name,)})
        # One long text instead of rows: a row each would take four times as long.
        text = rows[0]["seqs"]
        seqs = self._seqs[key] = array("q", map(int, str(text).split(",")) if text else ())
        if len(self._seqs) > _FILTERS_KEPT:
            self._seqs.popitem(last=False)
        return seqs


@cache
def _parameters(name: str) -> tuple[str, ...]:
    return tuple(re.findall(r":([a-z_]+)", compose("sqlite", name)))


_MATCHED: Mapping[str, str] = {"filter_must": "must", "filter_must_not": "must_not"}
# Asked for what they keep out, which is less than what they leave.
_COMPLEMENTS = {"filter_active", "filter_must_not"}
