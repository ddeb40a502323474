"""Sample of the cases of tests with many combinations: ``@pytest.mark.sampled("parameter", …)``."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import pytest


def cases_left_out(items: Sequence[pytest.Item]) -> set[str]:
    """Return the node ids that a run without VESTIGE_THOROUGH leaves out.

    Each combination of values of the named parameters has one case. Which one is always the same, and differs from one
    combination to the next, so that the values of the other parameters are all met as well.
    """
    chosen: dict[tuple[object, ...], str] = {}
    sampled = []
    for item in items:
        marker = item.get_closest_marker("sampled")
        if marker is None or not isinstance(item, pytest.Function):
            continue
        sampled.append(item.nodeid)
        values = item.callspec.params
        key = (item.path, item.originalname, *(repr(values[name]) for name in marker.args))
        chosen[key] = min(chosen.get(key, item.nodeid), item.nodeid, key=_order)
    return set(sampled) - set(chosen.values())


def _order(node_id: str) -> tuple[int, str]:
    return zlib.crc32(node_id.encode()), node_id
