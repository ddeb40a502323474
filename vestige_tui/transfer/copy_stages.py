"""Stages of a copy with their weights: the time of each, in units of one row that is read and written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from vestige_tui.jobs.context import COMPARING, ENCODING, INDEXES, ROWS, VECTOR_INDEX
from vestige_tui.jobs.stages import Stage
from vestige_tui.transfer.table_spec import MEMORIES

if TYPE_CHECKING:
    from vestige_tui.core.jobs import TableProgress

INDEX_WEIGHT = 0.3
"""Weight of the other indexes for each row."""
COMPARISON_WEIGHT = 0.5
"""Weight of the comparison of a row."""
ENCODING_WEIGHT = 200.0
"""Weight of a text that is encoded: about 10 ms, where a row takes some 50 microseconds."""
MIN_VECTOR_WEIGHT, MAX_VECTOR_WEIGHT, LARGE_VECTORS = 6.0, 40.0, 1_000_000
"""Weight of a vector in an HNSW index, whose insertions become slower as the graph grows. At 1,000,000 vectors of 384
dimensions, the rows take two minutes and the index over thirty."""


def stages(tables: Mapping[str, TableProgress], *, is_server: bool, encodes: bool, verifies: bool) -> tuple[Stage, ...]:
    """Return the stages of a copy of these tables; only a server builds indexes after the rows."""
    rows = sum(table.total or 0 for table in tables.values())
    memories, vectors = (_rows_of(tables, name) for name in (MEMORIES.name, "vectors"))
    vectors = memories if encodes else vectors
    growth = min(1.0, vectors / LARGE_VECTORS)
    vector_weight = MIN_VECTOR_WEIGHT + (MAX_VECTOR_WEIGHT - MIN_VECTOR_WEIGHT) * growth
    return (
        Stage(ROWS, rows),
        Stage(INDEXES, INDEX_WEIGHT * rows if is_server else 0.0),
        Stage(ENCODING, ENCODING_WEIGHT * memories if encodes else 0.0),
        Stage(VECTOR_INDEX, vector_weight * vectors if is_server else 0.0),
        Stage(COMPARING, COMPARISON_WEIGHT * rows if verifies else 0.0),
    )


def _rows_of(tables: Mapping[str, TableProgress], name: str) -> int:
    table = tables.get(name)
    return (table.total or 0) if table is not None else 0
