"""Shadow table: the vectors of a second model beside the store's own, and the rules for changing them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from vestige_tui.core.embeddings import EncodingTemplates, ModelChange, ModelSignature, SpareVectors
from vestige_tui.core.errors import ReadOnly, Refused
from vestige_tui.embedding.encoder_pool import other_build
from vestige_tui.embedding.models import same_model
from vestige_tui.jobs.conflicts import refuse_competing_jobs
from vestige_tui.store.schema import rows

if TYPE_CHECKING:
    from vestige_tui.store.backends.protocol import Backend, Row, Transaction
    from vestige_tui.store.store import Store


async def spare(store: Store) -> SpareVectors | None:
    """Return the vectors of a second model that the store holds, if any."""
    return None if store.backend.foreign else read_spare(await store.backend.fetch("get_spare"))


def read_spare(records: Sequence[Row]) -> SpareVectors | None:
    """Convert the rows of ``get_spare``."""
    if not records:
        return None
    return SpareVectors(rows.model(records[0]), records[0]["role"], int(records[0]["vectors"]))


async def history(store: Store, limit: int = 20) -> tuple[ModelChange, ...]:
    """Return the models that the store belonged to, the latest change first."""
    if store.backend.foreign:
        return ()
    records = await store.backend.fetch("list_model_changes", {"limit": limit})
    return tuple(
        ModelChange(
            kind=row["kind"],
            before=ModelSignature(str(row["from_name"]), int(row["from_dimension"]), str(row["from_hash"])),
            after=ModelSignature(str(row["to_name"]), int(row["to_dimension"]), str(row["to_hash"])),
            memories=int(row["memories"]),
            seconds=float(row["seconds"]),
            changed_at=rows.as_time(row["changed_at"]) or datetime.fromtimestamp(0, UTC),
            job_id=row["delegation_id"],
        )
        for row in records
    )


async def drop_spare(store: Store) -> SpareVectors | None:
    """Delete the vectors beside the store's own and return their description; a rollback is then impossible.

    Raises Refused while a job works on them.
    """
    refuse_unwritable(store)
    await refuse_competing_jobs(store.backend, store)
    async with store.backend.write() as transaction:
        await transaction.fetch("lock_schema")
        vectors = read_spare(await transaction.fetch("get_spare"))
        if vectors is not None:
            await forget_spare(transaction, store.backend)
    return vectors


async def forget_spare(transaction: Transaction, backend: Backend) -> None:
    """Delete everything of the second model. Raises Busy if its vectors stay locked by a reader or writer."""
    if backend.capabilities.typed_vectors:
        await transaction.fetch("wait_briefly")
        await transaction.execute("drop_spare_index")
    await transaction.execute("empty_spare")
    await transaction.execute("delete_spare_model")


def model_of(options: Mapping[str, Any]) -> ModelSignature:
    """Return the model that the options of a job name, in full."""
    templates = EncodingTemplates.from_options(options)
    return ModelSignature(str(options["model"]), int(options["dimension"]), str(options["hash"]), templates=templates)


def equal(one: ModelSignature, other: ModelSignature) -> bool:
    """Check whether two signatures are the same model in the same width and build."""
    return same_model(one.name, other.name) and one.dimension == other.dimension and one.hash == other.hash


def refuse_unwritable(store: Store, *, dry: bool = False) -> None:
    """Raise ReadOnly for a Vestige server's file, and for a store that is open read-only unless ``dry``."""
    if store.backend.foreign:
        raise ReadOnly(f"{store.title} belongs to a Vestige server and is read-only; copy it to re-embed the copy.")
    if store.read_only and not dry:
        raise ReadOnly(f"{store.title} is open read-only: {store.read_only_reason}.")


def refuse_other_spare(store: Store, other: ModelSignature, model: ModelSignature, *, in_place: bool) -> None:
    """Raise Refused if the vectors under construction are not those of ``model``."""
    if equal(other, model) and not in_place:
        return
    if same_model(other.name, model.name) and other.dimension == model.dimension and not in_place:
        raise Refused(
            f"{other_build(other, model.hash)} Run `vestige-tui migrate reembed --drop-old` to delete its unfinished "
            "vectors."
        )
    raise Refused(
        f"A re-embedding of {store.title} with {other.name} ({other.dimension} dimensions) is unfinished; continue it, "
        "or delete its unfinished vectors with `vestige-tui migrate reembed --drop-old`."
    )
