"""Conflicts between jobs: which of them must not be at work on the same store at the same time."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from vestige_tui.core.embeddings import ModelSignature
from vestige_tui.core.errors import ModelMismatch, Refused
from vestige_tui.core.text import short_id
from vestige_tui.embedding.models import same_model
from vestige_tui.jobs.ledger import IN_FLIGHT, LEASE
from vestige_tui.store.schema import rows

if TYPE_CHECKING:
    from vestige_tui.store.backends.protocol import Backend, Transaction
    from vestige_tui.store.store import Store


async def hold_model(transaction: Transaction, model: ModelSignature | None) -> None:
    """Keep the store with a copy's model until the transaction ends. Raises ModelMismatch where it has another."""
    if model is None:
        return
    found = await transaction.fetch("hold_model")
    there = rows.model(found[0]) if found else None
    if there is None or not same_model(there.name, model.name) or there.dimension != model.dimension:
        now = f"{there.name} ({there.dimension} dimensions)" if there is not None else "no model"
        raise ModelMismatch(
            f"The target has come to belong to {now}; no more vectors of {model.name} ({model.dimension}) are copied."
        )


async def refuse_reembedding(backend: Backend, now: datetime) -> None:
    """Raises Refused where a re-embedding of this store is under way: what a copy brings would be of the old model."""
    await _refuse_beside(backend, now, "reembed", "A re-embedding of")


async def refuse_repair(backend: Backend, now: datetime) -> None:
    """Raises Refused where a repair of this store is under way, which could take for different what a copy brings."""
    await _refuse_beside(backend, now, "repair", "A repair of")


async def _refuse_beside(backend: Backend, now: datetime, kind: str, what: str) -> None:
    for row in await backend.fetch("list_writing_jobs", {"in_flight": list(IN_FLIGHT)}):
        last = rows.as_time(row["last_sign"])
        if row["kind"] == kind and last is not None and now - last <= LEASE:
            job = short_id(str(row["delegation_id"]))
            raise Refused(f"{what} {backend.title} is under way, as job {job}; wait for its end, or cancel it.")


async def refuse_rivals(
    asked: Backend | Transaction, store: Store, *, plan: str = "", mine: str = "", begun: bool = False
) -> None:
    """Raises Refused where another job, of another plan, is at work on the vectors of this store.

    ``begun``: one that has only been started does not count; of two that start together the first to write goes on.
    """
    for row in await asked.fetch("list_writing_jobs", {"in_flight": list(IN_FLIGHT)}):
        last, job = rows.as_time(row["last_sign"]), str(row["delegation_id"])
        if job == mine or str(row["plan"]) == plan or last is None or store.now() - last > LEASE:
            continue
        if row["kind"] == "reembed" and begun and not rows.as_map(row["checkpoint"]).get("begun"):
            continue
        what = {"copy": "A copy into", "repair": "A repair of"}.get(row["kind"], "Another re-embedding of")
        raise Refused(f"{what} {store.title} is under way, as job {short_id(job)}; wait for its end, or cancel it.")
