"""Plan of a copy: refusals before a row or a table is created, the model of the target, the counts of a dry run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from vestige_tui.core.embeddings import ModelSignature
from vestige_tui.core.errors import ModelMismatch, ReadOnly, StoreMissing, Unavailable, Usage
from vestige_tui.core.jobs import TableProgress
from vestige_tui.core.paths import kind_of
from vestige_tui.embedding.loaders import load_embedder
from vestige_tui.embedding.models import same_model, signature
from vestige_tui.jobs.conflicts import refuse_reembedding, refuse_repair
from vestige_tui.jobs.known_stores import without_password
from vestige_tui.jobs.start import JobRequest, ValidatedJob
from vestige_tui.store.open import open_backend, open_store
from vestige_tui.store.schema import migrations
from vestige_tui.store.schema.rows import model as read_model
from vestige_tui.transfer.copy_context import compatible
from vestige_tui.transfer.copy_rows import BATCH_ROWS
from vestige_tui.transfer.open import open_source, refuse_foreign
from vestige_tui.transfer.sqlite_source import sqlite_path
from vestige_tui.transfer.table_spec import TABLES

if TYPE_CHECKING:
    from vestige_tui.store.backends.protocol import Backend


async def check(request: JobRequest, *, dry: bool = False) -> ValidatedJob:
    """Refuse a copy that cannot succeed, before a row or a table is created."""
    backend = open_backend(request.target, create=not dry, max_connections=1)
    if not dry:
        _refuse_read_only(backend)
    async with open_store(request.source, read_only=True) as source_store:
        source_store.maintenance.refuse_pending()
        source = await asyncio.to_thread(open_source, request.source)
        try:
            model = source.model()
        finally:
            source.close()
        registered = None
        if await _exists(backend):
            try:
                await backend.open()
            except StoreMissing:
                if not dry:
                    raise
                # The copy would create this embedded server.
            else:
                try:
                    await _refusecompatible(source_store.backend, backend)
                    registered = await _check_target(backend, dry=dry)
                finally:
                    await backend.close()
        target_model = await _target_model(model, registered, request.options)
        backend.use_model(target_model)  # refuses vectors that are too wide
        encodes_here = target_model is not None and model is not None and not compatible(target_model, model)
        return ValidatedJob(
            without_password(source_store.location),
            without_password(backend.location()),
            target_model.name if target_model else "",
            f"copy {source_store.title} to {backend.title}",
            {
                "batch": int(request.options.get("batch", BATCH_ROWS)),
                **{name: True for name in ("follow", "reembed") if request.options.get(name)},
                **({"model": request.options["model"]} if request.options.get("model") else {}),
                **({} if request.options.get("verify", True) else {"verify": False}),
                **({"encode": _model_values(target_model)} if encodes_here and target_model is not None else {}),
            },
            creates=True,
        )


def _refuse_read_only(backend: Backend) -> None:
    if backend.read_only:
        raise ReadOnly(f"{backend.title} is open read-only: {backend.reason}.")


async def _exists(backend: Backend) -> bool:
    """Check whether the target exists; the copy alone creates a missing file. Raises Unavailable."""
    if backend.capabilities.is_server:
        return True
    path = sqlite_path(backend.location())
    if kind_of(path, backend.title):
        return path.is_dir() or path.stat().st_size > 0
    folder = next(each for each in path.parents if kind_of(each, backend.title))
    if not os.access(folder, os.W_OK | os.X_OK) or not folder.is_dir():
        raise Unavailable(f"{backend.title} cannot be created: its directory is not writable.")
    return False


async def _refusecompatible(source: Backend, target: Backend) -> None:
    if source.capabilities != target.capabilities:
        return
    if await _store_identity(source) == await _store_identity(target):
        raise Usage(f"{target.title} cannot be copied to itself.")


async def _store_identity(backend: Backend) -> tuple[object, ...]:
    """Return a value that is equal for two URLs of one store."""
    if not backend.capabilities.is_server:
        return (sqlite_path(backend.location()).resolve(),)
    [server] = await backend.fetch("describe_server")
    [store] = await backend.fetch("find_channel")
    return server["started_at"], server["database"], store["key"]


async def _check_target(backend: Backend, *, dry: bool) -> ModelSignature | None:
    """Refuse a target that cannot be written; return its registered model, if any."""
    refuse_foreign(backend)
    if not dry:
        _refuse_read_only(backend)
    if not await migrations.is_ours(backend):
        await migrations.refuse_foreign_tables(backend)
        return None
    applied = {info.name for info in await migrations.status(backend) if info.state == "applied"}
    if not applied:
        return None
    if "jobs" in applied:
        await refuse_reembedding(backend, datetime.now(UTC))
        await refuse_repair(backend, datetime.now(UTC))
    rows = await backend.fetch("get_model")
    return read_model(rows[0]) if rows else None


async def _target_model(
    model: ModelSignature | None, registered: ModelSignature | None, options: Mapping[str, Any]
) -> ModelSignature | None:
    """Return the future model of the target. Raises ModelMismatch where the source's vectors are of another."""
    name = options.get("model")
    if not options.get("reembed"):
        if name:
            raise Usage("A model is only for a copy that computes new vectors; add --reembed.")
        if registered is not None and model is not None and not compatible(registered, model):
            difference = (
                f"The source uses {model.name} ({model.dimension} dimensions), the target {registered.name} "
                f"({registered.dimension})"
            )
            if model.templates != registered.templates:
                difference += f"; the source encodes texts as {model.templates.document!r}, the target as "
                difference += repr(registered.templates.document)
            raise ModelMismatch(
                f"{difference}; nothing was copied. Add --reembed to compute new vectors with the target's model.",
                difference=difference,
            )
        return registered or model
    if name and registered is not None and not same_model(str(name), registered.name):
        raise ModelMismatch(f"The target uses {registered.name}; {name} cannot compute its vectors.")
    if registered is None and (not name or (model is not None and same_model(str(name), model.name))):
        return model
    if registered is not None and (model is None or compatible(registered, model)):
        return registered
    # Load the model up front, so that a missing one is refused before the job starts.
    encoder_name, dimension = (registered.name, registered.dimension) if registered is not None else (str(name), None)
    loaded = signature(await asyncio.to_thread(load_embedder, encoder_name, dimension=dimension))
    return registered or loaded


def _model_values(model: ModelSignature) -> dict[str, Any]:
    return {
        "name": model.name,
        "dimension": model.dimension,
        "hash": model.hash,
        **model.templates.to_options(),
    }


async def dry_run(request: JobRequest) -> dict[str, TableProgress]:
    """Count the rows that a copy would read and leave behind; write nothing. Raises as a copy does."""
    await check(request, dry=True)
    return await asyncio.to_thread(_count_tables, request.source)


def _count_tables(url: str) -> dict[str, TableProgress]:
    source = open_source(url)
    try:
        tables = {table.name: TableProgress(total=source.count(table.name).rows) for table in TABLES}
        left_behind = {name: TableProgress(left_behind=rows) for name, rows in source.left_behind().items()}
    finally:
        source.close()
    return tables | left_behind
