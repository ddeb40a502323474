"""Pages of sorted lists: the orders, keyset pagination with a cursor, and jumps by offset."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from vestige_tui.core.errors import Conflict, Usage
from vestige_tui.core.memories import Filter, Memory, Page, Sort
from vestige_tui.core.times import format_time
from vestige_tui.store.backends.protocol import fitting
from vestige_tui.store.moments import as_they_were
from vestige_tui.store.schema import rows

if TYPE_CHECKING:
    from vestige_tui.store.backends.protocol import Row
    from vestige_tui.store.context import StoreContext

ALL_CHARS = 2**31 - 1
NO_CURSOR = "The cursor of --after is not valid; omit --after to start at the beginning."


@dataclass(frozen=True, slots=True)
class _Segment:
    """Part of a sorted list, as SQL fragments: its rows, ORDER BY, its sort keys as columns, the keyset condition."""

    order: str
    sort_keys: str
    after: str
    only: tuple[str, ...] = ()
    keys: int = 1
    """Number of sort keys beside the id."""
    by_id: bool = False
    """True if no index has this order: one bounded pass over ids and keys, before whole rows are read."""


_NEWEST = ("order_created", "sort_key_created", "after_created")
_SEGMENTS: Mapping[Sort, tuple[_Segment, ...]] = {
    "created": (_Segment(*_NEWEST),),
    "oldest": (_Segment("order_oldest", "sort_key_created", "after_oldest"),),
    "updated": (_Segment("order_updated", "sort_key_updated", "after_updated"),),
    "type": (_Segment("order_type", "sort_key_type", "after_type", keys=2, by_id=True),),
    "due": (
        _Segment("order_due", "sort_key_due", "after_due", ("only_due",)),
        _Segment(*_NEWEST, ("without_due",)),
    ),
    "recall": (
        _Segment("order_recall", "sort_key_recall", "after_recall", ("only_recalled",), by_id=True),
        _Segment(*_NEWEST, ("without_recall",)),
    ),
}
"""Orders. Memories without the key of an order stand last in it, newest first: no order leaves out a memory."""


_RECALLED_THEN: tuple[_Segment, ...] = (
    _Segment("order_recall_at", "sort_key_recall_at", "after_recall_at", ("only_recalled_at",), by_id=True),
    _Segment(*_NEWEST, ("without_recall_at",)),
)
_DUE_THEN: tuple[_Segment, ...] = (
    _Segment("order_due_at", "sort_key_due_at", "after_due_at", ("only_due_at",), by_id=True),
    _Segment(*_NEWEST, ("without_due_at",)),
)
_THEN: Mapping[Sort, tuple[_Segment, ...]] = {"recall": _RECALLED_THEN, "due": _DUE_THEN}
"""Orders at a past moment that follow from the schedules of then."""


def _segments(sort: Sort, as_of: datetime | None) -> tuple[_Segment, ...]:
    return _SEGMENTS[sort] if as_of is None else _THEN.get(sort, _SEGMENTS[sort])


@dataclass(frozen=True, slots=True)
class _Cursor:
    """Place in a sorted list: after this id and these keys of a segment. ``moment`` is that of recalls in the keys."""

    segment: int
    keys: tuple[str | float, ...]
    memory_id: str
    moment: datetime


async def read_page(
    context: StoreContext,
    filter: Filter,
    *,
    sort: Sort,
    limit: int,
    after: str | None,
    offset: int | None,
    head: int | None,
    moment: datetime | None,
) -> Page[Memory]:
    """Return one page of a filtered list, as ``MemoryService.page`` does."""
    fitting(limit)
    as_of = context.as_of(filter)
    segments = _segments(sort, as_of)
    cursor = _read_cursor(after, sort) if after is not None else None
    if cursor is not None and not context.backend.is_id(cursor.memory_id):
        raise Usage(NO_CURSOR)
    moment = cursor.moment if cursor is not None else moment or as_of or context.now()
    filters, params = context.filters(filter)
    params |= {"head": ALL_CHARS if head is None else head, "moment": moment}
    index, skipped = (cursor.segment, 0) if cursor is not None else (0, offset or 0)
    records: list[Row] = []
    last: tuple[int, Row] | None = None
    if skipped and len(segments) > 1:
        first = await _count(context, filters, params, segments[0])
        index, skipped = (0, skipped) if skipped < first else (1, skipped - first)
    while index < len(segments) and len(records) < limit:
        wanted = {**params, "limit": limit - len(records), "offset": skipped}
        part = await _fetch(context, segments[index], filters, wanted, cursor)
        records += part
        if part:
            last = (index, part[-1])
        index, skipped, cursor = index + 1, 0, None
    full = last is not None and len(records) == limit
    memories = await as_they_were(context.backend, [rows.memory(row) for row in records], as_of)
    return Page(
        memories,
        _write_cursor(sort, segments, *last, moment) if full and last is not None else None,
    )


async def count_last(context: StoreContext, filter: Filter, sort: Sort) -> int:
    """Count the memories that stand last in this order, because they have no due date or no recall."""
    segments = _segments(sort, context.as_of(filter))
    if len(segments) == 1:
        return 0
    filters, params = context.filters(filter)
    return await _count(context, filters, params | {"moment": context.as_of(filter) or context.now()}, segments[1])


async def find_position(
    context: StoreContext, filter: Filter, sort: Sort, memory_id: str, moment: datetime | None
) -> int | None:
    """Return the index of a memory in a sorted list, from 0; None if the list lacks it."""
    if not context.backend.is_id(memory_id):
        return None
    segments, moment = _segments(sort, context.as_of(filter)), moment or context.as_of(filter) or context.now()
    filters, params = context.filters(filter)
    params |= {"moment": moment}
    before = 0
    for index, segment in enumerate(segments):
        only = {**params, "head": 1, "only": memory_id, "limit": 1, "offset": 0}
        records = await _fetch(context, segment, [*filters, "filter_id"], only, None)
        count = await _count(context, filters, params, segment)
        if records:
            cursor = _read_cursor(_write_cursor(sort, segments, index, records[0], moment), sort)
            return before + count - await _count(context, filters, params, segment, cursor) - 1
        before += count
    return None


async def _count(
    context: StoreContext,
    filters: list[str],
    params: dict[str, Any],
    segment: _Segment,
    after: _Cursor | None = None,
) -> int:
    slots = {"filters": [*filters, *segment.only]}
    if after is not None:
        slots["after"] = [segment.after]
        params = params | _after_params(after)
    [row] = await context.backend.fetch("count_scheduled", params, slots)
    return int(row["n"])


def _after_params(cursor: _Cursor) -> dict[str, Any]:
    return {"after_key": cursor.keys[0], "after_second": cursor.keys[-1], "after_id": cursor.memory_id}


async def _fetch(
    context: StoreContext, segment: _Segment, filters: list[str], params: dict[str, Any], cursor: _Cursor | None
) -> list[Row]:
    slots = {"filters": [*filters, *segment.only], "order": [segment.order], "sort_key": [segment.sort_keys]}
    if cursor is not None:
        slots["after"] = [segment.after]
        params |= _after_params(cursor)
    name = "page_memories_at" if segment.by_id or params["offset"] else "page_memories"
    try:
        return await context.backend.fetch(name, params, slots)
    except Conflict:
        if cursor is None:
            raise
        # The database refuses the key: it is no time.
        raise Usage(NO_CURSOR) from None


def _write_cursor(sort: Sort, segments: tuple[_Segment, ...], index: int, row: Row, moment: datetime) -> str:
    keys = [row["sort_key"], row["second_key"]] if segments[index].keys == 2 else [row["sort_key"]]
    data = [sort, index, keys, str(row["id"]), format_time(moment)]
    return base64.urlsafe_b64encode(json.dumps(data).encode()).decode().rstrip("=")


def _read_cursor(text: str, sort: Sort) -> _Cursor:
    """Return the cursor that a text describes. Raises Usage."""
    try:
        list_sort, index, keys, memory_id, moment = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, TypeError, RecursionError):
        raise Usage(NO_CURSOR) from None
    if not isinstance(list_sort, str) or list_sort not in _SEGMENTS:
        raise Usage(NO_CURSOR)
    if list_sort != sort:
        raise Usage(f"The cursor of --after belongs to a list sorted by {list_sort}; use the same --sort.")
    segments, at = _SEGMENTS[sort], rows.as_time(moment) if isinstance(moment, str) else None
    if type(index) is not int or not 0 <= index < len(segments) or not isinstance(memory_id, str) or at is None:
        raise Usage(NO_CURSOR)
    key_types = (float, int) if segments[index].after.startswith("after_recall") else (str,)
    if not isinstance(keys, list) or len(keys) != segments[index].keys:
        raise Usage(NO_CURSOR)
    if not all(type(key) in key_types for key in keys):
        raise Usage(NO_CURSOR)
    return _Cursor(index, tuple(keys), memory_id, at)
