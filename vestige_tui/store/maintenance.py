"""Maintenance of a store: schema, health, statistics, the report, and vacuum."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

from vestige_tui.core.embeddings import MAX_VECTOR_DIMENSIONS
from vestige_tui.core.errors import Busy, ReadOnly, SchemaPending, VestigeError
from vestige_tui.core.health import (
    ContentFault,
    Health,
    HealthProblem,
    MigrationInfo,
    Stats,
    StoreReport,
    TableSize,
    Vacuumed,
)
from vestige_tui.core.jobs import StepProgress
from vestige_tui.core.log import suppressed
from vestige_tui.embedding.models import same_model
from vestige_tui.store import health_checks
from vestige_tui.store.schema import migrations, rows
from vestige_tui.store.schema.named_sql import compose
from vestige_tui.store.server_progress import watched

if TYPE_CHECKING:
    from pathlib import Path

    from vestige_tui.embedding.embedder_source import EmbedderSource
    from vestige_tui.store.context import StoreContext
    from vestige_tui.store.models import ModelService
    from vestige_tui.store.schema.adoption import Adoption, AdoptionPlan

log = logging.getLogger(__name__)

LiveListener: TypeAlias = Callable[[str, StepProgress], None]
"""Receiver of the progress of a vacuum: the label of its step, and how far the server is with it."""

CONTENT_SECONDS, THOROUGH_SECONDS = 1.0, 60.0
"""Longest look at the pages, at the vectors and at the other rows; in the console, and for a command."""
CONTENT_REST_SECONDS = 30.0
"""Time in which the content is not looked at again."""


class MaintenanceService:
    """Schema, health, size and upkeep of a store."""

    def __init__(self, context: StoreContext, models: ModelService, embedders: EmbedderSource) -> None:
        self._context = context
        self._backend = context.backend
        self._models = models
        self._embedders = embedders
        self.pending: tuple[MigrationInfo, ...] = ()
        """Migrations that a store lacks that was opened read-only."""
        self._content_problems: list[HealthProblem] = []
        self._content_look_at = 0.0

    @property
    def kind(self) -> Literal["sqlite", "postgres", "vestige"]:
        return "vestige" if self._backend.foreign else self._backend.dialect

    @property
    def adoptable(self) -> bool:
        """Whether the store is the file of a Vestige server that may be adopted, so that it can be written."""
        return self._backend.adoptable

    async def adoption_plan(self) -> tuple[AdoptionPlan, Path]:
        """Return the additions of an adoption of the file, and the path of its backup. Raises Refused."""
        from vestige_tui.store.backends import sqlite_adoption

        path = self._file()
        plan = await asyncio.to_thread(sqlite_adoption.adoption_plan, path)
        return plan, sqlite_adoption.backup_path(path, self._context.now())

    async def adopt(self) -> Adoption:
        """Write a backup of the file and add the console's columns and tables; the store has to be opened again then.

        Raises Refused, Busy or Unavailable; nothing is added then.
        """
        from vestige_tui.store.backends import sqlite_adoption

        if not self.adoptable:
            self._context.refuse_read_only()
        return await asyncio.to_thread(sqlite_adoption.adopt_file, self._file(), self._context.now())

    def _file(self) -> Path:
        from pathlib import Path

        return Path(self._backend.location().partition(":")[2])

    async def schema_status(self) -> tuple[MigrationInfo, ...]:
        """Return every migration of this dialect with its state; none for a Vestige file."""
        return await migrations.status(self._backend)

    async def ensure_schema(self, *, create: bool) -> None:
        if not await migrations.is_ours(self._backend):
            await migrations.refuse_foreign_tables(self._backend)
            if not create:
                raise SchemaPending(
                    f"{self._backend.title} contains no memory store yet; run `vestige-tui schema up` to create it."
                )
        self.pending = await self._pending()
        reason = self._backend.reason
        if self.pending and not self._backend.read_only:
            try:
                await migrations.up(self._backend)
            except ReadOnly as error:
                if self.pending[0].version == 1:
                    raise
                log.info("The schema was not updated: %s", error)
                reason = "the role may not update its schema"
            self.pending = await self._pending()
        if self.pending and self.pending[0].version == 1:
            raise SchemaPending(self.pending_text())
        if self.pending:
            await self._backend.read_without([info.version for info in self.pending], reason)

    async def _pending(self) -> tuple[MigrationInfo, ...]:
        return tuple(info for info in await self.schema_status() if info.state == "pending")

    def pending_text(self) -> str:
        """Return the pending steps of a store that is open read-only, as a sentence."""
        steps = f"{len(self.pending)} schema step{'' if len(self.pending) == 1 else 's'}"
        return (
            f"{self._backend.title} lacks {steps} (next: {self.pending[0].version:04d}_{self.pending[0].name}) and is "
            "open read-only; run `vestige-tui schema up` to update it."
        )

    def refuse_pending(self) -> None:
        """Raise SchemaPending for work that needs every table of a store."""
        if self.pending:
            raise SchemaPending(self.pending_text())

    async def finalize_schema(self, settings: Mapping[str, str] | None = None) -> bool:
        """Apply the staged migration once the vector dimension is known; True if this call applied it.

        ``settings`` are server settings (memory, parallel workers) for this transaction alone.
        """
        return await migrations.finalize(self._backend, settings)

    async def health(self, *, thorough: bool = False) -> Health:
        """Run the health checks. Never raises: a store that does not answer is "unavailable".

        ``thorough`` looks at the whole content now; otherwise as far as CONTENT_SECONDS allow, now and then.
        """
        try:
            [row] = await self._backend.fetch("probe")
            checks = await self._run_health_checks()
            checks += await self._check_content(thorough=thorough)
        except VestigeError as error:
            check = HealthProblem(error.message, self._backend.capabilities.no_answer_remedy)
            return Health("unavailable", (check,), "", self._backend.pool_state())
        return Health(
            "degraded" if checks else "healthy",
            tuple(checks),
            f"{self._backend.capabilities.product} {row['version']}",
            self._backend.pool_state(),
        )

    async def _run_health_checks(self) -> list[HealthProblem]:
        checks: list[HealthProblem] = [*self._backend.file_problems()]
        if self.pending:
            checks.append(health_checks.of_schema(self.pending))
        model = await self._models.refresh()
        if self._backend.capabilities.typed_vectors:
            preflight = (await self._backend.fetch("preflight"))[0]
            index = await self._backend.fetch("find_index")
            method = str(index[0]["method"]) if index else "hnsw"
            versions = (str(preflight["installed"] or ""), str(preflight["available"] or ""))
            checks += health_checks.of_pgvector(*versions, method)
            if not preflight["installed"]:
                checks.append(health_checks.of_extension(str(preflight["available"] or "")))
            elif model and (not index or not index[0]["valid"]):
                blockers = [info.waits_for for info in await self.schema_status() if info.state == "waiting"]
                checks.append(
                    health_checks.of_index(
                        blockers[0] if blockers else None,
                        exists=bool(index),
                        statement=_index_statement(model.dimension),
                    )
                )
        configured = self._embedders.configured
        if model and configured and not same_model(configured, model.name):
            checks.append(health_checks.of_model(configured, model.name))
        return checks

    async def _check_content(self, *, thorough: bool) -> list[HealthProblem]:
        """Return the problems of pages, vectors and rows; those of the last look if that was just now."""
        if not thorough and time.monotonic() < self._content_look_at:
            return self._content_problems
        seconds = THOROUGH_SECONDS if thorough else CONTENT_SECONDS
        damage = await self._backend.find_damage(seconds)
        checks = [health_checks.of_damage(damage)] if damage else []
        model = await self._models.registered()
        dimension = model.dimension if model else 0
        faults = await self._faults("list_vector_faults", seconds, dimension) if model else []
        faults += await self._faults("list_row_faults", seconds)
        checks += health_checks.of_content(faults, dimension, foreign=self._backend.foreign)
        self._content_problems, self._content_look_at = checks, time.monotonic() + CONTENT_REST_SECONDS
        return checks

    async def _faults(self, name: str, seconds: float, dimension: int = 0) -> list[ContentFault]:
        # Damaged pages and missing columns are problems of their own.
        with suppressed(log, "check for unusable rows", VestigeError, TimeoutError):
            async with asyncio.timeout(seconds):
                params = {"width": dimension} if dimension else None
                return list(map(rows.content_fault, await self._backend.fetch(name, params)))
        return []

    async def stats(self) -> Stats:
        """Return counts, model, schema version and size of the whole store."""
        [row] = await self._backend.fetch("get_stats")
        [size] = await self._backend.fetch("read_size")
        model = await self._models.refresh()
        return Stats(
            total_memories=row["total_memories"],
            memories_with_embeddings=row["memories_with_embeddings"],
            total_edges=row["total_edges"],
            total_domains=row["total_domains"],
            total_reviews=row["total_reviews"],
            superseded=row["superseded"],
            registered_model_name=model.name if model else None,
            registered_model_dim=model.dimension if model else None,
            backend=self.kind,
            schema_version=migrations.version_of(await self.schema_status()),
            size_bytes=size["n"],
        )

    async def growth(self) -> tuple[tuple[str, int], ...]:
        """Return the number of memories created in each month, as ("2026-05", 31), oldest first."""
        return tuple((str(row["value"]), int(row["n"])) for row in await self._backend.fetch("growth"))

    async def report(self, *, thorough: bool = False) -> StoreReport:
        """Return health, statistics, server, connections, sessions, table sizes and query timings.

        ``thorough`` measures the tables of a SQLite file of any size, which reads the whole file.
        """
        backend = self._backend
        health, status = await self.health(thorough=thorough), backend.status()
        if health.state == "unavailable":
            return StoreReport(
                health, None, None, status.connections, (), None, status.vectors, backend.timings.slowest()
            )
        stats = await self.stats()
        described = await backend.describe(thorough=thorough)
        server, sessions = described.server, described.sessions
        sizes: tuple[TableSize, ...] | None = None
        if described.measurable:
            # An exclusive lock on a table prevents measuring; the rest of the report is still useful.
            with suppressed(log, "read the sizes of the tables", Busy):
                sizes = tuple(map(rows.table_size, await backend.fetch("list_sizes")))
        checks = tuple(health_checks.of_report(server, status.vectors, sizes, sessions, datetime.now(UTC)))
        if checks:
            health = dataclasses.replace(health, state="degraded", problems=(*health.problems, *checks))
        return StoreReport(
            health, stats, server, status.connections, sessions, sizes, status.vectors, backend.timings.slowest()
        )

    async def vacuum(self, progress: Callable[[str], None] | None = None, live: LiveListener | None = None) -> Vacuumed:
        """Vacuum the store and refresh the planner's statistics; cancelling it loses nothing.

        ``progress`` receives the label of each step before it starts, ``live`` once a second how far the server is.
        """
        self._context.refuse_read_only()
        [size_before] = await self._backend.fetch("read_size")
        for step in await self._backend.vacuum_steps():
            if progress is not None:
                progress(step.label)
            async with watched(self._backend, "vacuum", partial(_tell, live, step.label)):
                await self._backend.maintain(step.statement, step.table)
        [size_after] = await self._backend.fetch("read_size")
        return Vacuumed(int(size_before["n"]), int(size_after["n"]))


def _index_statement(dimension: int) -> str:
    """Return the statement that builds the vector index of a server for so many dimensions, on one line."""
    vector = "vector" if dimension <= MAX_VECTOR_DIMENSIONS else "halfvec"
    return " ".join(compose("postgres", "build_index_concurrently").split()).replace("{vector}", vector)


async def _tell(live: LiveListener | None, label: str, step: StepProgress) -> None:
    if live is not None:
        live(label, step)
