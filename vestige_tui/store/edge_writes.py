"""Writes of links, with a refusal where the database has no room for a second link between two memories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vestige_tui.core.errors import Conflict
from vestige_tui.core.links import Edge
from vestige_tui.core.text import quoted
from vestige_tui.store.journal_snapshots import edge_fields
from vestige_tui.store.schema import rows

if TYPE_CHECKING:
    from datetime import datetime

    from vestige_tui.store.backends.protocol import Transaction


def edge_key(edge: Edge) -> dict[str, str]:
    """Return the columns by which a link is found."""
    return {"source_id": edge.source_id, "target_id": edge.target_id, "edge_type": edge.edge_type}


async def put_edge(transaction: Transaction, fields: Mapping[str, Any], created_at: datetime | None) -> None:
    """Write a link or its weight. Raises Conflict if the store keeps another link between the two memories."""
    edge = Edge(fields["source_id"], fields["target_id"], fields["edge_type"])
    await transaction.execute("put_edge", {**fields, "created_at": created_at})
    if not await transaction.fetch("get_edge", edge_key(edge)):
        raise await _taken(transaction, edge)


async def insert_missing_edges(transaction: Transaction, edges: Sequence[Edge], now: datetime) -> int:
    """Insert missing links; return their number. Raises Conflict as ``put_edge`` does."""
    params = [{**edge_fields(edge), "created_at": edge.created_at or now} for edge in edges]
    inserted_count = await transaction.execute_many("insert_edge_if_absent", params)
    if inserted_count < len(edges):
        ids = sorted({edge.source_id for edge in edges})
        stored = [rows.edge(row) for row in await transaction.fetch("list_edges", {"ids": ids})]
        keys = {(each.source_id, each.target_id, each.edge_type) for each in stored}
        for edge in edges:
            if (edge.source_id, edge.target_id, edge.edge_type) not in keys:
                raise await _taken(transaction, edge)
    return inserted_count


async def _taken(transaction: Transaction, edge: Edge) -> Conflict:
    stored = [rows.edge(row) for row in await transaction.fetch("list_edges", {"ids": [edge.source_id]})]
    types = [each.edge_type for each in stored if (each.source_id, each.target_id) == (edge.source_id, edge.target_id)]
    return Conflict(
        f"These memories are already linked (type {quoted(', '.join(types))}), and this store allows only one link in "
        "each direction. Remove that link first."
    )
