"""Conflicts between jobs: pairs that must not write to the same store at the same time."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from vestige_tui.core.embeddings import ModelSignature
from vestige_tui.core.errors import ModelMismatch, Refused
from vestige_tui.core.text import short_id
from vestige_tui.embedding.models import same_model
from vestige_tui.jobs.checkpoints import has_written
from vestige_tui.jobs.transitions import IN_FLIGHT, LEASE
from vestige_tui.store.schema import rows

if TYPE_CHECKING:
    from vestige_tui.store.backends.protocol import Backend, Row, Transaction
    from vestige_tui.store.store import Store


async def hold_model(transaction: Transaction, model: ModelSignature | None) -> None:
    """Hold the store to a copy's model until the transaction ends. Raises ModelMismatch if it has another one."""
    if model is None:
        return
    records = await transaction.fetch("hold_model")
    current = rows.model(records[0]) if records else None
    if current is None or not same_model(current.name, model.name) or current.dimension != model.dimension:
        name = f"{current.name} ({current.dimension} dimensions)" if current is not None else "no model"
        raise ModelMismatch(
            f"The target now uses {name}; no more vectors of {model.name} ({model.dimension}) are copied."
        )


async def refuse_reembedding(backend: Backend, now: datetime) -> None:
    """Raise Refused while this store is being re-embedded: copied vectors would belong to the old model."""
    await _refuse_beside(backend, now, "reembed", "A re-embedding of")


async def refuse_repair(backend: Backend, now: datetime) -> None:
    """Raise Refused while this store is being repaired: a repair could take copied rows for differences."""
    await _refuse_beside(backend, now, "repair", "A repair of")


async def _refuse_beside(backend: Backend, now: datetime, kind: str, subject: str) -> None:
    for row in await live_jobs(backend, now):
        if row["kind"] == kind:
            job = short_id(str(row["delegation_id"]))
            raise Refused(f"{subject} {backend.title} is running as job {job}; wait for it to end, or cancel it.")


async def live_jobs(reader: Backend | Transaction, now: datetime) -> list[Row]:
    """Return the jobs that may write to a store: in flight, with a heartbeat within the lease."""
    records = await reader.fetch("list_writing_jobs", {"in_flight": list(IN_FLIGHT)})
    heartbeats = [rows.as_time(row["last_sign"]) for row in records]
    return [row for row, heartbeat in zip(records, heartbeats, strict=True) if heartbeat and now - heartbeat <= LEASE]


async def refuse_competing_jobs(
    reader: Backend | Transaction, store: Store, *, plan: str = "", job_id: str = "", only_begun: bool = False
) -> None:
    """Raise Refused while another job, of another plan, works on the vectors of this store.

    ``only_begun``: ignore jobs that have written nothing yet; of two that start together the first to write continues.
    """
    for row in await live_jobs(reader, store.now()):
        rival = str(row["delegation_id"])
        if rival == job_id or str(row["plan"]) == plan:
            continue
        if row["kind"] == "reembed" and only_begun and not has_written(rows.as_map(row["checkpoint"])):
            continue
        subject = {"copy": "A copy into", "repair": "A repair of"}.get(row["kind"], "Another re-embedding of")
        raise Refused(f"{subject} {store.title} is running as job {short_id(rival)}; wait for it to end, or cancel it.")
