"""Rows of domains in a transaction: read under a lock, written, and as snapshots of the journal.

The first snapshot of an entry on domains has no memory: ``names`` before, ``into`` after, ``rows`` with the row of each
of these domains (null for one without), and the ``model`` of the centroids.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from vestige_tui.core.accounts import Domain
from vestige_tui.core.domains import CENTROID_AT
from vestige_tui.store.backends.protocol import Json
from vestige_tui.store.journal_snapshots import time_text, vector_value
from vestige_tui.store.schema import rows

if TYPE_CHECKING:
    from vestige_tui.store.backends.protocol import Transaction


async def lock_rows(transaction: Transaction, names: Iterable[str]) -> dict[str, Domain]:
    """Lock the rows of domains until the transaction ends, and return those that exist by name."""
    params = {"names": sorted(names)}
    await transaction.fetch("lock_domains", params)
    return {
        domain.id: domain for domain in map(rows.domain_with_centroid, await transaction.fetch("get_domains", params))
    }


async def put_row(transaction: Transaction, domain: Domain) -> None:
    """Upsert the row of a domain."""
    values = {
        "id": domain.id,
        "label": domain.label,
        "centroid": domain.centroid,
        "top_terms": list(domain.top_terms),
        "memory_count": domain.memory_count,
        "created_at": domain.created_at,
        "metadata": Json(dict(domain.metadata)),
    }
    await transaction.execute("put_domain", values)


async def delete_rows(transaction: Transaction, names: Iterable[str]) -> None:
    """Delete the rows of domains. Does nothing without names: a file of a Vestige server may lack the table."""
    if chosen := sorted(names):
        await transaction.execute("delete_domains", {"names": chosen})


async def row_snapshots(
    transaction: Transaction, names: Sequence[str], existing: Mapping[str, Domain]
) -> dict[str, Any]:
    """Return the rows of these domains and the model of their centroids as JSON data."""
    return {
        "rows": {name: _fields(existing[name]) if name in existing else None for name in names},
        "model": await current_model(transaction),
    }


async def current_model(transaction: Transaction) -> list[Any] | None:
    """Return name and dimension of the registered model as JSON data; None without one."""
    records = await transaction.fetch("get_model")
    model = rows.model(records[0]) if records else None
    return [model.name, model.dimension] if model is not None else None


def _fields(domain: Domain) -> dict[str, Any]:
    centroid = domain.centroid
    return {
        "label": domain.label,
        "centroid": None if centroid is None else base64.b64encode(centroid.astype("<f4").tobytes()).decode(),
        "top_terms": list(domain.top_terms),
        "memory_count": domain.memory_count,
        "created_at": time_text(domain.created_at),
        "metadata": dict(domain.metadata),
    }


def same_row(domain: Domain | None, snapshot: Mapping[str, Any] | None, *, same_model: bool) -> bool:
    """Check whether a row is as in its snapshot; after a change of the model whatever its centroid is."""
    current = _fields(domain) if domain is not None else None
    if current is None or snapshot is None or same_model:
        return current == snapshot
    return all(current[name] == snapshot[name] for name in ("label", "top_terms", "created_at"))


def row_value(name: str, snapshot: Mapping[str, Any], now: datetime, *, same_model: bool) -> Domain:
    """Return the row of a snapshot; without its centroid if that belongs to another model."""
    metadata = dict(snapshot["metadata"])
    if not same_model:
        metadata.pop(CENTROID_AT, None)
    text = snapshot["centroid"] if same_model else None
    return Domain(
        name,
        str(snapshot["label"]),
        tuple(snapshot["top_terms"]),
        int(snapshot["memory_count"]),
        rows.as_time(snapshot["created_at"]) or now,
        metadata,
        vector_value(text) if text else None,
    )
