"""The vectors of a second model beside those of the store's own: what is there, whose, and who may change them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from vestige_tui.core.embeddings import ModelChange, ModelSignature, SpareVectors
from vestige_tui.core.errors import ReadOnly, Refused
from vestige_tui.embedding.encoder_pool import other_build
from vestige_tui.embedding.models import same_model
from vestige_tui.jobs.conflicts import refuse_rivals
from vestige_tui.store.schema import rows

if TYPE_CHECKING:
    from vestige_tui.store.backends.protocol import Backend, Row, Transaction
    from vestige_tui.store.store import Store


async def spare(store: Store) -> SpareVectors | None:
    """The vectors of a second model that the store holds, if any."""
    return None if store.backend.foreign else read_spare(await store.backend.fetch("get_spare"))


def read_spare(found: Sequence[Row]) -> SpareVectors | None:
    """What ``get_spare`` found."""
    if not found:
        return None
    return SpareVectors(rows.model(found[0]), found[0]["role"], int(found[0]["vectors"]))


async def history(store: Store, limit: int = 20) -> tuple[ModelChange, ...]:
    """The models that the store belonged to, the latest change first."""
    if store.backend.foreign:
        return ()
    found = await store.backend.fetch("list_model_changes", {"limit": limit})
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
        for row in found
    )


async def drop_spare(store: Store) -> SpareVectors | None:
    """Let go of the vectors that lie beside the store's own; gives what they were. There is no way back then.

    Raises Refused while a job is at work on them.
    """
    refuse_unwritable(store)
    await refuse_rivals(store.backend, store)
    async with store.backend.write() as transaction:
        await transaction.fetch("lock_schema")
        found = read_spare(await transaction.fetch("get_spare"))
        if found is not None:
            await forget_spare(transaction, store.backend)
    return found


async def forget_spare(transaction: Transaction, backend: Backend) -> None:
    """Leave nothing of the second model. Raises Busy where somebody reads or writes its vectors for longer."""
    if backend.dialect == "postgres":
        await transaction.fetch("wait_briefly")
        await transaction.execute("drop_spare_index")
    await transaction.execute("empty_spare")
    await transaction.execute("delete_spare_model")


def named(options: Mapping[str, Any]) -> ModelSignature:
    """The model that the options of a job name, in full."""
    return ModelSignature(str(options["model"]), int(options["dimension"]), str(options["hash"]))


def equal(one: ModelSignature, other: ModelSignature) -> bool:
    """The same model in the same width and build."""
    return same_model(one.name, other.name) and one.dimension == other.dimension and one.hash == other.hash


def refuse_unwritable(store: Store, *, dry: bool = False) -> None:
    """Raises ReadOnly for a file that a Vestige server made, and for a store that is open read-only unless ``dry``."""
    if store.backend.foreign:
        raise ReadOnly(f"{store.title} belongs to a Vestige server and is only read; its vectors stay as they are.")
    if store.read_only and not dry:
        raise ReadOnly(f"{store.title} is open read-only: {store.read_only_reason}.")


def refuse_other_spare(store: Store, there: ModelSignature, wanted: ModelSignature, *, in_place: bool) -> None:
    """Raises Refused where the vectors that are being made are not those that are wanted now."""
    if equal(there, wanted) and not in_place:
        return
    if same_model(there.name, wanted.name) and there.dimension == wanted.dimension and not in_place:
        raise Refused(
            f"{other_build(there, wanted.hash)} `vestige-tui migrate reembed --drop-old` drops what was made so far."
        )
    raise Refused(
        f"A re-embedding of {store.title} with {there.name} ({there.dimension} dimensions) is not done; go on with it, "
        "or drop what it made with `vestige-tui migrate reembed --drop-old`."
    )
