"""Relaxations: a query without one of its conditions, to find the one that leaves no memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from vestige_tui.core.memories import Filter
from vestige_tui.core.search import EmptyKind, SearchQuery
from vestige_tui.store.search.query_syntax import MarkedPart, marked_parts, parse, without_marks

MAX_TRIED = 8
"""Relaxed queries that are run at most for one empty answer."""
MAX_PARTS = 4
"""Marked parts of a query that are left out one by one."""


@dataclass(frozen=True, slots=True)
class Relaxation:
    """Query without one condition: its kind, the condition as it is written, and the field of a filter."""

    kind: EmptyKind
    condition: str
    query: SearchQuery
    fields: tuple[str, ...] = ()


def relaxations(query: SearchQuery, describe: Callable[[Filter], str]) -> Sequence[Relaxation]:
    """Return the query without each of its conditions in turn, then without several; ``describe`` names a filter.

    A query that would be left without words is not among them.
    """
    # The short field of one codebase is no field of a filter.
    query = dataclasses.replace(query, codebase=None, codebases=query.filter.codebases)
    singles = [*_without_parts(query), *_without_filters(query, describe)]
    candidates = [*singles, *_without_several(query, singles)]
    return [each for each in candidates if query.mode == "literal" or _has_words(each.query)][:MAX_TRIED]


def _has_words(query: SearchQuery) -> bool:
    parsed = parse(query.text)
    return bool(parsed.spoken or parsed.must_not)


def _parts(query: SearchQuery) -> Sequence[MarkedPart]:
    return () if query.mode == "literal" else marked_parts(query.text)


def _without_parts(query: SearchQuery) -> Iterator[Relaxation]:
    for part in _parts(query)[:MAX_PARTS]:
        relaxed = dataclasses.replace(query, text=without_marks(query.text, [part]))
        yield Relaxation(part.kind, part.written, relaxed)


def _without_filters(query: SearchQuery, describe: Callable[[Filter], str]) -> Iterator[Relaxation]:
    for name, default in _set_fields(query):
        value: dict[str, Any] = {name: getattr(query, name)}
        relaxed = dataclasses.replace(query, **{name: default})
        yield Relaxation("filter", describe(Filter(**{"superseded": True, **value})), relaxed, (name,))
    if not query.superseded:
        yield Relaxation("replaced", "", dataclasses.replace(query, superseded=True))


def _without_several(query: SearchQuery, singles: Sequence[Relaxation]) -> Iterator[Relaxation]:
    words = [each for each in singles if each.kind in ("phrase", "word", "excluded")]
    filters = [each for each in singles if each.kind == "filter"]
    unmarked = without_marks(query.text, _parts(query))
    if len(words) > 1:
        yield Relaxation("several", _joined(words), dataclasses.replace(query, text=unmarked))
    if len(filters) > 1:
        yield _unfiltered(filters, query, query.text)
    if words and filters:
        yield _unfiltered([*words, *filters], query, unmarked)


def _unfiltered(left_out: Sequence[Relaxation], query: SearchQuery, text: str) -> Relaxation:
    defaults: dict[str, Any] = dict(_set_fields(query))
    relaxed = dataclasses.replace(query, text=text, **defaults)
    return Relaxation("several", _joined(left_out), relaxed, tuple(defaults))


def _joined(left_out: Sequence[Relaxation]) -> str:
    *first, last = [each.condition for each in left_out]
    return f"{', '.join(first)} and {last}" if first else last


def _set_fields(query: SearchQuery) -> Iterator[tuple[str, Any]]:
    """Yield each field of a filter that narrows the query, with its default."""
    for field in dataclasses.fields(Filter):
        if field.name not in ("superseded", "as_of") and getattr(query, field.name) != field.default:
            yield field.name, field.default
