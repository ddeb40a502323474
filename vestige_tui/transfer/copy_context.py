"""Context in which a source was, or would be, copied into a store: models, moment, and refused rows."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vestige_tui.embedding.models import same_model
from vestige_tui.jobs.known_stores import without_password
from vestige_tui.jobs.ledger import MAX_LISTED_JOBS, Ledger, plan_id
from vestige_tui.transfer.convert import TransferContext
from vestige_tui.transfer.target_readers import read_kept_ids, target_reader_of

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import ModelSignature
    from vestige_tui.store.store import Store
    from vestige_tui.transfer.protocols import Source, TargetReader

FINDINGS_PAGE_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class CopyTarget:
    """Reader of the target, context in which a copy would convert the source, and rows that the last copy refused."""

    target_reader: TargetReader
    transfer_context: TransferContext
    refused: frozenset[tuple[str, str]]


async def copy_target_of(source: Source, store: Store) -> CopyTarget:
    """Return the context in which a source was, or would be, copied into a store."""
    model, target_model = await asyncio.to_thread(source.model), await store.models.registered()
    copies_vectors = model is None or target_model is None or compatible(model, target_model)
    kept_ids = await read_kept_ids(store)
    target_reader = target_reader_of(store, kept_ids, vectors=copies_vectors)
    plan = plan_id(
        "copy", without_password(source.location), without_password(store.location), _name(target_model or model)
    )
    transfer_context = TransferContext(
        # Rows without a time got that of the copy.
        moment=await Ledger(store).first_started(plan) or store.now(),
        duplicate_ids=await asyncio.to_thread(source.duplicate_ids),
        width=model.dimension if model else None,
        half=target_reader.half,
        kept_ids=kept_ids,
    )
    return CopyTarget(target_reader, transfer_context, frozenset(await _refused(Ledger(store), str(plan))))


async def _refused(ledger: Ledger, plan: str) -> set[tuple[str, str]]:
    """Return the rows that the last copy of a plan refused: table and key."""
    refused: set[tuple[str, str]] = set()
    last_job = next((job.id for job in await ledger.jobs(MAX_LISTED_JOBS) if job.plan == plan), None)
    after: str | None = ""
    while last_job is not None and after is not None:
        page = await ledger.findings(last_job, FINDINGS_PAGE_ROWS, after or None)
        refused |= {(each.subject, each.source_key) for each in page.items if each.outcome == "failed"}
        after = page.next
    return refused


def _name(model: ModelSignature | None) -> str:
    return model.name if model else ""


def compatible(one: ModelSignature, other: ModelSignature) -> bool:
    """Check whether vectors of two models can be copied as they are: the same model, width and templates."""
    same_vectors = same_model(one.name, other.name) and one.dimension == other.dimension
    return same_vectors and one.templates == other.templates
