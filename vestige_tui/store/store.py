"""Store service: one async method per operation of the console, the shell and scripts on a store.

Rules and transactions live here; SQL is called by name, so that one method serves SQLite and PostgreSQL.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import getpass
import json
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

from vestige_tui.core.embeddings import ModelSignature, VectorCensus
from vestige_tui.core.errors import (
    Busy,
    Conflict,
    EmbedderUnavailable,
    ForeignStore,
    ModelMismatch,
    NotFound,
    ReadOnly,
    Refused,
    SchemaPending,
    Usage,
    VestigeError,
)
from vestige_tui.core.health import (
    Health,
    HealthProblem,
    MigrationInfo,
    PostgresServer,
    SqliteFile,
    Stats,
    StoreReport,
    TableSize,
    Vacuumed,
)
from vestige_tui.core.links import Edge, Lineage, Neighbor, SupersessionEvent
from vestige_tui.core.memories import (
    Change,
    DeletePreview,
    Draft,
    Facet,
    Filter,
    JournalEntry,
    Memory,
    Page,
    Patch,
    Sort,
)
from vestige_tui.core.reviews import Marks, QueueCounts, Rating, Review, Scheduling
from vestige_tui.core.scheduling import Policy, forecast, horizon, local_midnight
from vestige_tui.core.scheduling import review as fsrs_review
from vestige_tui.core.search import Answer, Explanation, SearchQuery, WhyNot
from vestige_tui.core.text import short_id
from vestige_tui.core.times import format_time
from vestige_tui.embedding.models import EmbedderSource, same_model, signature
from vestige_tui.store import health_checks
from vestige_tui.store.backends.open_files import open_files
from vestige_tui.store.backends.protocol import Backend, Json, Row, Transaction, Write, model_key
from vestige_tui.store.journal_snapshots import (
    edge_fields,
    event_fields,
    insert_params,
    marks_fields,
    memory_fields,
    review_fields,
    schedule_fields,
    schedule_params,
    time_text,
    vector_fields,
    vector_params,
)
from vestige_tui.store.schema import migrations, rows
from vestige_tui.store.search.search import Searcher
from vestige_tui.store.undo import append_event, refuse_cycle, undo_entry

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import Vector
    from vestige_tui.store.backends.protocol import ModelKey

ALL_CHARS = 2**31 - 1
FILL_BATCH = 32
MAX_NEIGHBOR_COUNT = 256
PARSE_CHUNK_ROWS = 10_000
MAX_LINEAGE_MEMORIES = 64
SESSION_LIMIT = 50
MAX_ENCODE_ATTEMPTS = 3
"""Encodings of the same texts before ModelMismatch, while other processes keep changing the store's model."""
MAX_MEASURED_FILE_BYTES = 256_000_000
"""Size of a SQLite file up to which its table sizes are measured by default; measuring reads every page."""
_SQLITE_VACUUM_STEPS = (
    ("the text index", "optimize_text"),
    ("the file", "vacuum"),
    ("the figures for the planner", "optimize"),
    ("the write-ahead log", "checkpoint"),
)

FacetName: TypeAlias = Literal["domains", "tags", "node_types", "codebases", "owners"]
Clock: TypeAlias = Callable[[], datetime]


@dataclasses.dataclass(frozen=True, slots=True)
class _VectorBatch:
    """Vectors in the order of their texts, with the model that made them."""

    model: ModelSignature
    vectors: Sequence[Vector]

    @property
    def key(self) -> ModelKey:
        return self.model.name, self.model.dimension


def _clean(text: str) -> str:
    """Return text that every store accepts: NUL becomes U+2400, and each lone surrogate a question mark."""
    if text.isascii():
        return text.replace("\0", "\u2400")
    return text.replace("\0", "\u2400").encode("utf-8", "replace").decode()


def _clean_json(data: Mapping[str, Any]) -> Any:
    return json.loads(_clean(json.dumps(dict(data), ensure_ascii=False)).replace("\\u0000", "\u2400"))


def _actor() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


class Store:
    """Store of memories. Use it as ``async with open_store(url) as store``; every method may raise ``VestigeError``."""

    def __init__(
        self,
        backend: Backend,
        *,
        create: bool = False,
        embedders: EmbedderSource | None = None,
        policy: Policy | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._backend = backend
        self._create = create
        self.embedders = embedders or EmbedderSource()
        self.policy = policy or Policy()
        self._clock: Clock = clock or (lambda: datetime.now(UTC))
        self._model: ModelSignature | None = None
        self._in_place_job: str | None = None
        self._reading_model = asyncio.Lock()
        self._actor = _actor()
        self._searcher = Searcher(
            backend,
            self.embedders,
            registered=self.registered_model,
            refresh=self.refresh_model,
            in_place_job=self.in_place_job,
            filters=self._filters,
        )

    # The store as a whole

    @property
    def kind(self) -> Literal["sqlite", "postgres", "vestige"]:
        return "vestige" if self._backend.foreign else self._backend.dialect

    @property
    def title(self) -> str:
        """Display form of the store's location, never with a password."""
        return self._backend.title

    @property
    def location(self) -> str:
        """URL of the store, never with a password."""
        return self._backend.location()

    @property
    def read_only(self) -> bool:
        return self._backend.read_only

    @property
    def read_only_reason(self) -> str:
        return self._backend.reason

    @property
    def backend(self) -> Backend:
        """Backend of the store, for jobs that move rows in bulk."""
        return self._backend

    def now(self) -> datetime:
        """Return the current time of the store's clock, in UTC."""
        return self._clock()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Connect and apply pending migrations. Raises SchemaPending if the store may not be changed."""
        try:
            await self._backend.open()
            if not self._backend.foreign:
                await self._ensure_schema()
            await self.refresh_model()
        except BaseException:
            await self._backend.close()
            raise

    async def _ensure_schema(self) -> None:
        if not await migrations.is_ours(self._backend):
            clashes = [str(row["name"]) for row in await self._backend.fetch("list_taken_names")]
            if clashes:
                raise ForeignStore(f"{self.title} already has a {clashes[0]} that is not ours; it was not touched.")
            if not self._create:
                raise SchemaPending(
                    f"{self.title} holds no memory store yet; `vestige-tui schema up` makes its tables."
                )
        pending = [info for info in await self.schema_status() if info.state == "pending"]
        if not pending:
            return
        if self.read_only:
            raise SchemaPending(
                f"{self.title} lacks {len(pending)} schema steps "
                f"(next: {pending[0].version:04d}_{pending[0].name}) and is open read-only."
            )
        await migrations.up(self._backend)

    async def close(self) -> None:
        await self._backend.close()

    async def schema_status(self) -> tuple[MigrationInfo, ...]:
        """Return every migration of this dialect with its state; none for a Vestige file."""
        return await migrations.status(self._backend)

    async def finalize_schema(self, settings: Mapping[str, str] | None = None) -> bool:
        """Apply the staged migration once the vector dimension is known; True if this call applied it.

        ``settings`` are server settings (memory, parallel workers) for this transaction alone.
        """
        return await migrations.finalize(self._backend, settings)

    async def health_check(self) -> Health:
        """Run the health checks. Never raises: a store that does not answer is "unavailable"."""
        try:
            [row] = await self._backend.fetch("probe")
            checks = await self._run_health_checks()
        except VestigeError as error:
            check = health_checks.of_no_answer(error.message, self._backend.dialect)
            return Health("unavailable", (check,), "", self._backend.pool_state())
        product = "PostgreSQL" if self._backend.dialect == "postgres" else "SQLite"
        return Health(
            "degraded" if checks else "healthy",
            tuple(checks),
            f"{product} {row['version']}",
            self._backend.pool_state(),
        )

    async def _run_health_checks(self) -> list[HealthProblem]:
        checks: list[HealthProblem] = []
        model = await self.refresh_model()
        if self._backend.dialect == "postgres":
            preflight = (await self._backend.fetch("preflight"))[0]
            checks += health_checks.of_pgvector(str(preflight["installed"] or ""), str(preflight["available"] or ""))
            index = await self._backend.fetch("find_index")
            if model and (not index or not index[0]["valid"]):
                blockers = [info.waits_for for info in await self.schema_status() if info.state == "waiting"]
                checks.append(health_checks.of_index(blockers[0] if blockers else None))
        configured = self.embedders.configured
        if model and configured and not same_model(configured, model.name):
            checks.append(health_checks.of_model(configured, model.name))
        return checks

    async def get_stats(self) -> Stats:
        """Return counts, model, schema version and size of the whole store."""
        [row] = await self._backend.fetch("get_stats")
        [size] = await self._backend.fetch("read_size")
        model = await self.refresh_model()
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
        health, status = await self.health_check(), backend.status()
        if health.state == "unavailable":
            return StoreReport(
                health, None, None, status.connections, (), None, status.vectors, backend.timings.slowest()
            )
        stats = await self.get_stats()
        [row] = await backend.fetch("describe_server")
        sizes: tuple[TableSize, ...] | None = None
        server: PostgresServer | SqliteFile
        if backend.dialect == "postgres":
            server, measurable = rows.postgres_server(row), True
            params = {"mine": list(status.sessions), "limit": SESSION_LIMIT}
            sessions = tuple(map(rows.session, await backend.fetch("list_sessions", params)))
        else:
            server = rows.sqlite_file(row, status)
            measurable = bool(row["measured"]) and (
                thorough or server.page_size * server.pages <= MAX_MEASURED_FILE_BYTES
            )
            sessions = await asyncio.to_thread(open_files, status.path)
        if measurable:
            # An exclusive lock on a table prevents measuring; the rest of the report is still useful.
            with contextlib.suppress(Busy):
                sizes = tuple(map(rows.table_size, await backend.fetch("list_sizes")))
        checks = tuple(health_checks.of_report(server, status.vectors, sizes, sessions, datetime.now(UTC)))
        if checks:
            health = dataclasses.replace(health, state="degraded", problems=(*health.problems, *checks))
        return StoreReport(
            health, stats, server, status.connections, sessions, sizes, status.vectors, backend.timings.slowest()
        )

    async def vacuum(self, progress: Callable[[str], None] | None = None) -> Vacuumed:
        """Vacuum the store and refresh the planner's statistics; cancelling it loses nothing.

        ``progress`` receives the label of each step before it starts.
        """
        self._refuse_read_only()
        [size_before] = await self._backend.fetch("read_size")
        if self._backend.dialect == "postgres":
            names = [str(row["name"]) for row in await self._backend.fetch("list_vacuumable")]
            if not names:
                raise Refused(f"The role may not vacuum any table of {self.title}; ask the owner of the tables.")
            steps = [(f"{name} ({n} of {len(names)})", "vacuum", name) for n, name in enumerate(names, 1)]
        else:
            steps = [(label, name, "") for label, name in _SQLITE_VACUUM_STEPS]
        for label, name, table in steps:
            if progress is not None:
                progress(label)
            await self._backend.maintain(name, table)
        [size_after] = await self._backend.fetch("read_size")
        return Vacuumed(int(size_before["n"]), int(size_after["n"]))

    async def wait_for_change(self, seconds: float) -> bool:
        """Wait until any process, this one included, changes the store; False on timeout.

        Supports one watcher. The first wait, and the first one after an outage, return at once.
        """
        return await self._backend.wait_for_change(seconds)

    async def warm(self) -> None:
        """Prepare the backend for searches, so that the first one does not wait."""
        await self.refresh_model()
        await self._backend.warm()

    def _refuse_read_only(self) -> None:
        if self.read_only:
            raise ReadOnly(f"{self.title} is open read-only: {self.read_only_reason}.")

    # Memories

    async def resolve(self, text: str) -> str:
        """Resolve an id or a unique prefix of at least six characters. Raises NotFound, or Usage if ambiguous."""
        text = text.strip()
        if self._backend.is_id(text) and (records := await self._backend.fetch("list_existing", {"ids": [text]})):
            return str(records[0]["id"])
        if len(text) < 6:
            raise NotFound(f"No memory has the id {text!r}; a beginning needs at least six characters.")
        span = self._backend.prefix_range(text)
        candidates = await self._backend.fetch("find_by_prefix", {"low": span[0], "high": span[1]}) if span else []
        if not candidates:
            raise NotFound(f"No memory has an id that begins with {text!r}.")
        if len(candidates) > 1:
            raise Usage(f"{text!r} is the beginning of several ids; give more of it.")
        return str(candidates[0]["id"])

    async def get(self, memory_id: str) -> Memory:
        """Return one memory by its whole id. Raises NotFound."""
        records = await self._backend.fetch("get_memory", {"id": memory_id}) if self._backend.is_id(memory_id) else []
        if not records:
            raise NotFound(f"No memory has the id {memory_id!r}.")
        return rows.memory(records[0])

    async def get_many(self, memory_ids: Sequence[str]) -> tuple[Memory, ...]:
        """Return the existing memories among these ids, in the order of the ids."""
        ids = [memory_id for memory_id in memory_ids if self._backend.is_id(memory_id)]
        by_id = {str(row["id"]): rows.memory(row) for row in await self._backend.fetch("get_memories", {"ids": ids})}
        return tuple(by_id[memory_id] for memory_id in ids if memory_id in by_id)

    async def insert(self, draft: Draft, *, embedding: Vector | None = None, embed: bool = True) -> Change:
        """Write one memory. Without a usable model it is stored without a vector, with a warning in the change."""
        self._refuse_read_only()
        batch, warnings = await self._vectors_for([draft.content], embedding, embed)
        memory_id = draft.id or str(uuid.uuid4())
        if not self._backend.is_id(memory_id):
            raise Usage(f"{memory_id!r} cannot be an id here; PostgreSQL takes UUIDs only.")
        writes, stamps = self._insert_writes([(memory_id, draft)], batch)
        try:
            *results, [row] = await self._backend.write_all([*writes, self._entry("add", [], stamps)])
        except Conflict:
            if await self._backend.fetch("list_existing", {"ids": [memory_id]}):
                raise Conflict(f"A memory with the id {memory_id} is already there.") from None
            raise
        if batch and self._omits_vectors(batch, writes, results):
            warnings += await self._encode_omitted({memory_id: _clean(draft.content)}, by_caller=embedding is not None)
        return Change((memory_id,), int(row["id"]), draft.scheduling, warnings)

    async def insert_many(
        self, drafts: Sequence[Draft], *, embeddings: Sequence[Vector] | None = None, embed: bool = True
    ) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        """Insert the drafts with new ids; return inserted ids, ids already present, and warnings.

        Writes no journal entry: ``journal_import`` writes one for all batches together.
        """
        self._refuse_read_only()
        ids = [draft.id or str(uuid.uuid4()) for draft in drafts]
        for memory_id in ids:
            if not self._backend.is_id(memory_id):
                raise Usage(f"{memory_id!r} cannot be an id here; PostgreSQL takes UUIDs only.")
        existing = await self._existing_ids([draft.id for draft in drafts if draft.id])
        fresh = {
            memory_id: (index, draft)
            for index, (memory_id, draft) in enumerate(zip(ids, drafts, strict=True))
            if memory_id not in existing
        }
        batch: _VectorBatch | None = None
        warnings: tuple[str, ...] = ()
        if embeddings is not None and fresh:
            batch = await self._caller_vectors([embeddings[index] for index, _ in fresh.values()])
        elif embeddings is None:
            batch, warnings = await self._vectors_for([draft.content for _, draft in fresh.values()], None, embed)
        new_drafts = {memory_id: draft for memory_id, (_, draft) in fresh.items()}
        while new_drafts:
            writes, _ = self._insert_writes(new_drafts.items(), batch)
            try:
                results = await self._backend.write_all(writes)
            except Conflict:
                # Another process inserted some of these ids meanwhile: count those as present, retry the rest.
                conflicting = await self._existing_ids(list(new_drafts))
                if not conflicting:
                    raise
                if batch:
                    vectors = [
                        vector
                        for memory_id, vector in zip(new_drafts, batch.vectors, strict=True)
                        if memory_id not in conflicting
                    ]
                    batch = dataclasses.replace(batch, vectors=vectors)
                new_drafts = {
                    memory_id: draft for memory_id, draft in new_drafts.items() if memory_id not in conflicting
                }
                continue
            if batch and self._omits_vectors(batch, writes, results):
                texts = {memory_id: _clean(draft.content) for memory_id, draft in new_drafts.items()}
                warnings += await self._encode_omitted(texts, by_caller=embeddings is not None)
            break
        present = tuple(memory_id for memory_id in dict.fromkeys(ids) if memory_id not in new_drafts)
        return tuple(new_drafts), present, warnings

    async def _existing_ids(self, ids: list[str]) -> set[str]:
        records = await self._backend.fetch("list_existing", {"ids": ids}) if ids else []
        return {str(row["id"]) for row in records}

    async def journal_import(self, memory_ids: Sequence[str]) -> int:
        """Write one journal entry for all imported memories. Raises NotFound if one of them was deleted."""
        async with self._backend.write() as transaction:
            records = await transaction.fetch("list_stamps", {"ids": list(memory_ids)})
            stamps = {str(row["id"]): _stamp(str(row["id"]), rows.as_time(row["updated_at"])) for row in records}
            if len(stamps) < len(set(memory_ids)):
                missing = next(memory_id for memory_id in memory_ids if memory_id not in stamps)
                raise NotFound(f"No memory has the id {missing!r}.")
            return await self._journal(transaction, "import", [], list(stamps.values()))

    def _insert_writes(
        self, drafts: Iterable[tuple[str, Draft]], batch: _VectorBatch | None
    ) -> tuple[list[Write], list[dict[str, str | None]]]:
        """Return the writes that insert these drafts, and the (id, updated_at) stamps for the journal.

        With vectors, the last write reads the store's model in the same transaction.
        """
        memories: list[dict[str, Any]] = []
        embeddings: list[dict[str, Any]] = []
        schedules: list[dict[str, Any]] = []
        now = self.now()
        for index, (memory_id, draft) in enumerate(drafts):
            params = insert_params(draft, memory_id, now)
            params["content"] = _clean(draft.content)
            params["node_type"] = _clean(params["node_type"])
            params["tags"] = [_clean(tag) for tag in draft.tags]
            params["domains"] = [_clean(domain) for domain in draft.domains]
            params["codebase"] = None if draft.codebase is None else _clean(draft.codebase)
            if draft.metadata:
                params["metadata"] = Json(_clean_json(draft.metadata))
            memories.append(params)
            if batch:
                embeddings.append(vector_params(memory_id, batch.vectors[index], batch.key))
            if draft.scheduling is not None:
                schedules.append(schedule_params(memory_id, draft.scheduling))
        parts = {"insert_memory": memories, "insert_embedding": embeddings, "put_scheduling": schedules}
        writes = [Write(name, many=many) for name, many in parts.items() if many]
        if embeddings:
            writes.append(Write("get_model"))
        return writes, [_stamp(params["id"], rows.as_time(params["updated_at"])) for params in memories]

    async def _lock_memory(self, transaction: Transaction, memory_id: str) -> Memory:
        records = await transaction.fetch("lock_memory", {"id": memory_id}) if self._backend.is_id(memory_id) else []
        if not records:
            raise NotFound(f"No memory has the id {memory_id!r}.")
        [row] = await transaction.fetch("get_memory", {"id": memory_id})
        return rows.memory(row)

    async def update(
        self, memory_id: str, patch: Patch, *, expected: datetime | None = None, embed: bool = True
    ) -> Change:
        """Edit a memory. Optimistic locking: raises Conflict if updated_at is no longer ``expected``."""
        self._refuse_read_only()
        batch: _VectorBatch | None = None
        warnings: tuple[str, ...] = ()
        text = _clean(patch.content or "")
        if patch.content is not None and (await self.get(memory_id)).content != text:
            batch, warnings = await self._vectors_for([text], None, embed)
        async with self._backend.write() as transaction:
            memory = await self._lock_memory(transaction, memory_id)
            if expected is not None and memory.updated_at != expected:
                raise Conflict(f"Memory {memory_id[:8]} was changed by somebody else meanwhile; nothing was saved.")
            entry = await self._edit(transaction, "edit", [(memory, patch)], batch)
            model_records = await transaction.fetch("get_model") if batch else []
        if batch and self._is_of_other_model(batch, model_records) and memory.content != text:
            warnings += await self._encode_omitted({memory_id: text})
        return Change((memory_id,) if entry is not None else (), entry, None, warnings)

    async def tag(self, memory_ids: Sequence[str], add: Sequence[str] = (), remove: Sequence[str] = ()) -> Change:
        """Add and remove tags on several memories, all or none."""
        self._refuse_read_only()
        removals = {_clean(tag) for tag in remove}
        async with self._backend.write() as transaction:
            edits: list[tuple[Memory, Patch]] = []
            for memory_id in dict.fromkeys(memory_ids):
                memory = await self._lock_memory(transaction, memory_id)
                tags = dict.fromkeys([*memory.tags, *(_clean(tag).strip() for tag in add)])
                edits.append((memory, Patch(tags=tuple(tag for tag in tags if tag and tag not in removals))))
            entry = await self._edit(transaction, "tag", edits)
        return Change(tuple(memory.id for memory, patch in edits if patch.tags != memory.tags), entry)

    async def _edit(
        self,
        transaction: Transaction,
        verb: str,
        edits: Sequence[tuple[Memory, Patch]],
        batch: _VectorBatch | None = None,
    ) -> int | None:
        before: list[dict[str, Any]] = []
        after: list[dict[str, Any]] = []
        for index, (memory, patch) in enumerate(edits):
            new_memory = self._apply_patch(memory, patch)
            old, new = memory_fields(memory), memory_fields(new_memory)
            if old == new:
                continue
            moves_timestamp = any(
                old[name] != new[name] for name in ("content", "node_type", "tags", "metadata", "codebase")
            )
            new["updated_at"] = time_text(self.now() if moves_timestamp else memory.updated_at)
            snapshot: dict[str, Any] = {"id": memory.id, "memory": old}
            if old["content"] != new["content"]:
                snapshot |= vector_fields(await transaction.fetch("get_embedding", {"id": memory.id}))
            await transaction.execute(
                "update_memory",
                {
                    "id": memory.id,
                    "content": new_memory.content,
                    "node_type": new_memory.node_type,
                    "tags": new_memory.tags,
                    "metadata": Json(dict(new_memory.metadata)),
                    "domains": new_memory.domains,
                    "codebase": new_memory.codebase,
                    "visibility": new_memory.visibility,
                    "updated_at": rows.as_time(new["updated_at"]),
                },
            )
            if old["content"] != new["content"]:
                # The old vector belongs to the old text: no vector is better than a wrong one.
                await transaction.execute("delete_embedding", {"id": memory.id})
                if batch:
                    await transaction.execute(
                        "insert_embedding", vector_params(memory.id, batch.vectors[index], batch.key)
                    )
            before.append(snapshot)
            after.append({"id": memory.id, "memory": new})
        return await self._journal(transaction, verb, before, after) if after else None

    def _apply_patch(self, memory: Memory, patch: Patch) -> Memory:
        values: dict[str, Any] = {}
        for name in ("content", "node_type", "visibility"):
            if (value := getattr(patch, name)) is not None:
                values[name] = _clean(value)
        for name in ("tags", "domains"):
            if (items := getattr(patch, name)) is not None:
                values[name] = tuple(dict.fromkeys(_clean(item) for item in items))
        if patch.codebase is not None:
            values["codebase"] = _clean(patch.codebase) or None
        if patch.metadata is not None:
            values["metadata"] = dict(patch.metadata)
        if values.get("visibility", "private") not in ("private", "group", "public"):
            raise Usage("Visibility is one of private, group and public.")
        return dataclasses.replace(memory, **values)

    async def delete_preview(self, memory_ids: Sequence[str]) -> DeletePreview:
        """Preview a delete: its memories, links and reviews, and the memories that become active again.

        Raises NotFound.
        """
        ids = list(dict.fromkeys(memory_ids))
        memories = await self.get_many(ids)
        if len(memories) < len(ids):
            existing = {memory.id for memory in memories}
            missing = next(memory_id for memory_id in ids if memory_id not in existing)
            raise NotFound(f"No memory has the id {missing!r}.")
        edges = await self._backend.fetch("list_edges", {"ids": ids})
        [reviews] = await self._backend.fetch("count_reviews_of", {"ids": ids})
        losers = [rows.memory(row) for row in await self._backend.fetch("list_losers", {"ids": ids})]
        deleted_ids = set(ids)
        reactivated = tuple(loser for loser in losers if loser.id not in deleted_ids)
        return DeletePreview(memories, len(edges), int(reviews["n"]), reactivated)

    async def delete(self, memory_ids: Sequence[str]) -> Change:
        """Delete memories, all or none; the journal keeps a snapshot of each."""
        self._refuse_read_only()
        ids = list(dict.fromkeys(memory_ids))
        async with self._backend.write() as transaction:
            before = [await self._snapshot(transaction, memory_id) for memory_id in ids]
            entry = await self._journal(transaction, "delete", before, [])
            await transaction.execute("delete_memories", {"ids": ids})
        return Change(tuple(ids), entry)

    async def _snapshot(self, transaction: Transaction, memory_id: str) -> dict[str, Any]:
        memory = await self._lock_memory(transaction, memory_id)
        marks = await transaction.fetch("get_marks", {"id": memory_id})
        reviews = await transaction.fetch("list_reviews", {"id": memory_id})
        return {
            "id": memory_id,
            "memory": memory_fields(memory),
            **vector_fields(await transaction.fetch("get_embedding", {"id": memory_id})),
            "scheduling": schedule_fields(memory.scheduling),
            "marks": marks_fields(_marks(marks)) if marks else None,
            "edges": [
                edge_fields(rows.edge(row)) for row in await transaction.fetch("list_edges", {"ids": [memory_id]})
            ],
            "reviews": [review_fields(rows.review(row)) for row in reviews],
            "events": [
                event_fields(rows.event(row))
                for row in await transaction.fetch("list_lost_events", {"ids": [memory_id]})
            ],
            "losers": [str(row["id"]) for row in await transaction.fetch("list_losers", {"ids": [memory_id]})],
        }

    async def page(
        self,
        filter: Filter | None = None,
        *,
        sort: Sort = "created",
        limit: int = 50,
        after: str | None = None,
        offset: int | None = None,
        head: int | None = None,
    ) -> Page[Memory]:
        """Return one page of a filtered list, newest first (due: next due first), by keyset or offset.

        ``after`` is the cursor of the previous page. ``head`` truncates each content to so many characters.
        """
        filters, params = self._filters(filter or Filter())
        if sort == "due":
            filters = [*filters, "only_due"]
        slots = {"filters": filters, "order": [f"order_{sort}"], "sort_key": [f"sort_key_{sort}"]}
        params = {**params, "head": ALL_CHARS if head is None else head, "limit": limit}
        if after is not None:
            params.update(_read_cursor(after, sort))
            slots["after"] = [f"after_{sort}"]
        if offset is not None and after is None:
            records = await self._backend.fetch("page_memories_at", {**params, "offset": offset}, slots)
        else:
            records = await self._backend.fetch("page_memories", params, slots)
        last = records[-1] if len(records) == limit and limit > 0 else None
        return Page(tuple(rows.memory(row) for row in records), _cursor(sort, last) if last else None)

    async def count(self, filter: Filter | None = None, *, sort: Sort = "created") -> int:
        """Count the memories that pass a filter; sorted by due date, only those that have one."""
        filters, params = self._filters(filter or Filter())
        name = "count_scheduled" if sort == "due" else "count_memories"
        [row] = await self._backend.fetch(
            name, params, {"filters": [*filters, "only_due"] if sort == "due" else filters}
        )
        return int(row["n"])

    async def list_ids(self, filter: Filter | None = None, limit: int = 100_000) -> tuple[str, ...]:
        """Return the ids that pass a filter, newest first, for an action on all of them."""
        filters, params = self._filters(filter or Filter())
        records = await self._backend.fetch("list_ids", {**params, "limit": limit}, {"filters": filters})
        return tuple(str(row["id"]) for row in records)

    async def facets(self, name: FacetName, filter: Filter | None = None, limit: int = 200) -> tuple[Facet, ...]:
        """Return the values of one facet with their counts, most frequent first."""
        filters, params = self._filters(filter or Filter())
        records = await self._backend.fetch(f"facet_{name}", {**params, "limit": limit}, {"filters": filters})
        if name != "owners":
            return tuple(Facet(str(row["value"]), int(row["n"])) for row in records)
        return tuple(
            Facet(str(row["value"]), int(row["n"]), str(row["alias"] or ""), str(row["title"] or "")) for row in records
        )

    async def count_since(self, moments: Sequence[datetime], filter: Filter | None = None) -> tuple[int, ...]:
        """Count the memories of a filter that were created at or after each of these times."""
        return await self._count_each("since", {"moments": [format_time(moment) for moment in moments]}, filter)

    async def count_until(self, moments: Sequence[datetime], filter: Filter | None = None) -> tuple[int, ...]:
        """Count the memories of a filter that were created before each of these times."""
        return await self._count_each("until", {"moments": [format_time(moment) for moment in moments]}, filter)

    async def count_recalled(self, shares: Sequence[float], filter: Filter | None = None) -> tuple[int, ...]:
        """Count the memories of a filter with at least each of these retrievabilities now, 0 to 1."""
        horizons = [horizon(share, self.policy.weights) for share in shares]
        return await self._count_each("recall", {"horizons": horizons, "now": self.now()}, filter)

    async def _count_each(self, name: str, bounds: dict[str, Any], filter: Filter | None) -> tuple[int, ...]:
        filters, params = self._filters(filter or Filter())
        records = await self._backend.fetch(f"facet_{name}", {**params, **bounds}, {"filters": filters})
        counts = {int(row["place"]): int(row["n"]) for row in records}
        [first, *_] = bounds.values()
        return tuple(counts.get(index, 0) for index in range(len(first)))

    async def resolved(self, filter: Filter) -> Filter:
        """Replace an owner's handle or name in a filter by the id. Raises Usage if none or several match."""
        if filter.owner is None:
            return filter
        label = repr(filter.owner if len(filter.owner) <= 40 else f"{filter.owner[:40]}...")
        records = await self._backend.fetch("find_owner", {"owner": _clean(filter.owner.strip())})
        closest = min((int(row["place"]) for row in records), default=0)
        ids = {str(row["value"]) for row in records if int(row["place"]) == closest}
        if not ids:
            raise Usage(f"No owner is called {label} here.")
        if len(ids) > 1:
            raise Usage(f"Several owners are called {label}; give a handle or an id.")
        return dataclasses.replace(filter, owner=ids.pop())

    def _filters(self, filter: Filter) -> tuple[list[str], dict[str, Any]]:
        """Return the SQL fragments of a filter by name, and their parameters."""
        fragments: list[str] = []
        params: dict[str, Any] = {}
        for name in ("domains", "tags", "node_types", "codebase", "owner", "since", "until"):
            value = getattr(filter, name)
            if value:
                fragments.append(f"filter_{name}")
                params[name] = list(value) if isinstance(value, tuple) else value
        if filter.owner and not self._backend.is_id(filter.owner):
            raise Usage(f"{filter.owner!r} is no owner's id.")
        if filter.min_retrievability is not None:
            if not 0 <= filter.min_retrievability <= 1:
                raise Usage("Retrievability lies between 0 and 1.")
            fragments.append("filter_min_retrievability")
            recall = filter.min_retrievability
            params |= {
                "now": self.now(),
                "retrievability": recall,
                "horizon": horizon(recall, self.policy.weights),
            }
        if filter.without_embedding:
            fragments.append("filter_without_embedding")
        if not filter.superseded:
            fragments.append("filter_active")
        return fragments, params

    # Search

    async def search(self, query: SearchQuery) -> Answer:
        """Search the text branch, the vector branch, or both fused. Raises Usage for an empty query."""
        return await self._searcher.answer(query)

    async def explain(self, query: SearchQuery) -> Explanation:
        """Return the ranking of a search explained: branches, words, filters, and steps with their cost."""
        return await self._searcher.explain(query)

    async def why_not(self, query: SearchQuery, memory_id: str) -> WhyNot:
        """Return the ranks of one memory for a query, and the reasons that exclude it. Raises NotFound."""
        return await self._searcher.why_not(query, await self.get(memory_id))

    async def fts_search(self, text: str, limit: int = 10) -> Answer:
        """Search the text branch only."""
        return await self.search(SearchQuery(text=text, mode="text", limit=limit))

    async def vector_search(self, embedding: Vector, limit: int = 10) -> Answer:
        """Search the vector branch only, by a vector of the registered model."""
        return await self.search(SearchQuery(embedding=embedding, mode="vector", limit=limit))

    # Embedding model

    async def registered_model(self) -> ModelSignature | None:
        """Return the store's embedding model as last read; None if it has none yet."""
        return self._model or await self.refresh_model()

    async def refresh_model(self) -> ModelSignature | None:
        """Read the store's embedding model again: another process may have changed it."""
        async with self._reading_model:
            self._set_model(await self._backend.fetch("get_model"))
            self._in_place_job = await self._find_in_place_job()
            return self._model

    async def in_place_job(self) -> str | None:
        """Return the id of a job that re-embeds the store in place, if any: vector searches wait for it."""
        if self._in_place_job is not None:
            self._in_place_job = await self._find_in_place_job()
        return self._in_place_job

    async def _find_in_place_job(self) -> str | None:
        if self._backend.foreign:
            return None
        records = await self._backend.fetch("find_in_place")
        return str(records[0]["delegation_id"]) if records else None

    def _set_model(self, records: Sequence[Row]) -> None:
        model = rows.model(records[0]) if records else None
        if model_key(model) != model_key(self._model):
            self._backend.use_model(model)
        self._model = model

    async def register_model(self, model: ModelSignature, *, finalize: bool = True) -> ModelSignature:
        """Register the store's model. Raises ModelMismatch if it already has another.

        A different hash alone is recorded, not refused: the same model in another build.
        """
        self._refuse_read_only()
        async with self._backend.write() as transaction:
            await transaction.fetch("lock_schema")
            records = await transaction.fetch("get_model")
            if records:
                current = rows.model(records[0])
                if not same_model(current.name, model.name) or current.dimension != model.dimension:
                    raise ModelMismatch(
                        f"The store belongs to {current.name} ({current.dimension} dimensions), "
                        f"not to {model.name} ({model.dimension})."
                    )
                if model.hash and current.hash != model.hash:
                    await transaction.execute("set_model_hash", {"hash": model.hash})
            else:
                self._backend.use_model(model)
                await transaction.fetch("stamp_width")
                await transaction.execute(
                    "put_model",
                    {
                        "name": model.name,
                        "dimension": model.dimension,
                        "hash": model.hash,
                        "created_at": model.created_at or self.now(),
                    },
                )
        self._model = None
        if finalize:
            await self.finalize_schema()
        registered = await self.registered_model()
        assert registered is not None
        return registered

    async def vector_census(self) -> VectorCensus:
        """Count the stored vectors by dimension, and the missing, zero and non-finite ones."""
        import numpy as np

        widths = {int(row["width"]): int(row["n"]) for row in await self._backend.fetch("count_vectors_by_width")}
        model = await self.refresh_model()
        zero = non_finite = seq = 0
        while model:
            records = await self._backend.fetch(
                "list_embeddings_by_width", {"width": model.dimension, "seq": seq, "limit": 4_000}
            )
            for row in records:
                norm = float(np.linalg.norm(rows.as_vector(row["embedding"])))
                zero += norm == 0
                non_finite += not np.isfinite(norm)
            if len(records) < 4_000 or self._backend.dialect == "postgres":
                break
            seq = int(records[-1]["seq"])
        without = await self.count(Filter(superseded=True, without_embedding=True))
        return VectorCensus(widths, without, zero, non_finite)

    async def fill_embeddings(self, progress: Callable[[int, int], None] | None = None) -> int:
        """Encode memories without a vector; return their number. ``progress`` receives (done, total) after each batch.

        Stops when a job begins to re-embed the store in place. Raises Refused if one is running at the start.
        """

        self._refuse_read_only()
        total = await self.count(Filter(superseded=True, without_embedding=True))
        filled, after = 0, self._backend.lowest_id
        while batch := await self._backend.fetch("list_without_embedding", {"after_id": after, "limit": FILL_BATCH}):
            if job := await self._find_in_place_job():
                if filled:
                    break
                raise Refused(
                    f"Job {short_id(job)} makes the vectors of this store anew; the missing ones are left to it."
                )
            await self._fill_vectors({str(row["id"]): str(row["content"]) for row in batch})
            after = str(batch[-1]["id"])
            filled += len(batch)
            if progress:
                progress(filled, max(total, filled))
        return filled

    async def _fill_vectors(self, texts: Mapping[str, str]) -> None:
        """Encode texts by id; insert each vector if the memory still has that text and no vector.

        Encodes again if the store's model changes meanwhile, MAX_ENCODE_ATTEMPTS in all. Raises ModelMismatch.
        """
        for _ in range(MAX_ENCODE_ATTEMPTS):
            batch = await self._encode(list(texts.values()))
            params = [
                {**vector_params(memory_id, vector, batch.key), "content": text}
                for (memory_id, text), vector in zip(texts.items(), batch.vectors, strict=True)
            ]
            _, model_records = await self._backend.write_all(
                [Write("insert_embedding_if_current", many=params), Write("get_model")]
            )
            if not self._is_of_other_model(batch, model_records):
                return
        raise ModelMismatch("The store came to belong to another embedding model again and again; try again later.")

    async def _encode_omitted(self, texts: Mapping[str, str], *, by_caller: bool = False) -> tuple[str, ...]:
        """Encode texts again by the current model after their vectors were not stored; return warnings."""
        if by_caller:
            name = self._model.name if self._model else "another model"
            return (f"The store has come to belong to {name}; stored without the vector that was given.",)
        try:
            await self._fill_vectors(texts)
        except (ModelMismatch, EmbedderUnavailable) as error:
            return (f"{error.message} Stored without a vector.",)
        return ()

    def _omits_vectors(self, batch: _VectorBatch, writes: Sequence[Write], results: Sequence[Sequence[Row]]) -> bool:
        """Check whether the writes of ``_insert_writes`` skipped the vectors because the store's model differs."""
        by_name = {write.name: records for write, records in zip(writes, results, strict=True)}
        return self._is_of_other_model(batch, by_name["get_model"])

    def _is_of_other_model(self, batch: _VectorBatch, model_records: Sequence[Row]) -> bool:
        """Check whether the store's current model differs from the model of these vectors."""
        self._set_model(model_records)
        return model_key(self._model) != batch.key

    async def _encode(self, texts: Sequence[str]) -> _VectorBatch:
        registered = await self.registered_model()
        try:
            embedder = await self.embedders.get(registered)
        except (ModelMismatch, EmbedderUnavailable):
            cached, registered = registered, await self.refresh_model()
            if model_key(registered) == model_key(cached):
                raise
            embedder = await self.embedders.get(registered)
        if registered is None:
            registered = await self.register_model(signature(embedder))
        return _VectorBatch(registered, await self.embedders.embed(texts, registered=registered))

    async def _vectors_for(
        self, texts: Sequence[str], embedding: Vector | None, embed: bool
    ) -> tuple[_VectorBatch | None, tuple[str, ...]]:
        if embedding is not None:
            return await self._caller_vectors([embedding]), ()
        if not embed or not texts:
            return None, ()
        try:
            return await self._encode(texts), ()
        except (ModelMismatch, EmbedderUnavailable) as error:
            return None, (f"{error.message} Stored without a vector.",)

    async def _caller_vectors(self, vectors: Sequence[Vector]) -> _VectorBatch:
        """Return the caller's vectors, attributed to the registered model. Raises Usage or ModelMismatch."""
        registered = await self.registered_model()
        if registered is None:
            raise Usage("This store has no registered model; register one before giving vectors.")
        if any(vector.shape != (registered.dimension,) for vector in vectors):
            registered = await self.refresh_model() or registered
        for vector in vectors:
            if vector.shape != (registered.dimension,):
                raise ModelMismatch(
                    f"This vector has {vector.shape[-1]} dimensions, the store's have {registered.dimension}."
                )
        return _VectorBatch(registered, vectors)

    # Reviews

    async def get_scheduling(self, memory_id: str) -> Scheduling | None:
        """Return the FSRS state of a memory; None if it was never scheduled. Raises NotFound."""
        return (await self.get(memory_id)).scheduling

    async def update_scheduling(self, memory_id: str, state: Scheduling) -> None:
        """Write a schedule unchanged, for programs with their own scheduler; reviews go through record_review."""
        self._refuse_read_only()
        async with self._backend.write() as transaction:
            await self._lock_memory(transaction, memory_id)
            await transaction.execute("put_scheduling", schedule_params(memory_id, state))

    async def get_due_memories(
        self, before: datetime | None = None, limit: int = 100, filter: Filter | None = None
    ) -> tuple[Memory, ...]:
        """Return the memories due before a time (default: the end of the local day), longest overdue first.

        Excludes suspended, buried and new memories.
        """
        now = self.now()
        bound = before or _tomorrow(now)
        filters, params = self._filters(filter or Filter())
        # Vestige writes times in several formats: query with a margin of one day, then compare as times.
        query_bound = bound + timedelta(days=1) if self._backend.foreign else bound
        due_memories: list[Memory] = []
        slots: dict[str, list[str]] = {"filters": filters}
        params |= {"before": query_bound, "now": now, "limit": limit}
        while len(due_memories) < limit:
            batch = await self._backend.fetch("list_due", params, slots)
            memories = [rows.memory(row) for row in batch]
            due_memories += [memory for memory in memories if _is_due(memory, bound)]
            if len(batch) < limit:
                break
            slots["after"] = ["after_due"]
            params |= {"after_key": _sort_key(batch[-1]), "after_id": str(batch[-1]["id"])}
        return tuple(due_memories[:limit])

    async def get_new_memories(self, limit: int = 10, filter: Filter | None = None) -> tuple[Memory, ...]:
        """Return memories that were never reviewed, oldest first."""
        filters, params = self._filters(filter or Filter())
        records = await self._backend.fetch(
            "list_new", {**params, "now": self.now(), "limit": limit}, {"filters": filters}
        )
        return tuple(rows.memory(row) for row in records)

    async def queue_counts(self, filter: Filter | None = None) -> QueueCounts:
        """Count the memories to review, by local days."""
        now = self.now()
        today = local_midnight(now)
        bounds = [today, _tomorrow(now), local_midnight(today + timedelta(days=7, hours=12))]
        filters, params = self._filters(filter or Filter())
        params["now"] = now
        slots = {"filters": filters}
        if self._backend.foreign:
            # Vestige writes times in several formats: SQL counts up to a day before the first bound, Python the rest.
            certain = bounds[0] - timedelta(days=1)
            span = {**params, "earliest": certain, "before": bounds[-1] + timedelta(days=1)}
            times = await _parse_due_times(await self._backend.fetch("list_due_times", span, slots))
            extras = [sum(moment < bound for moment in times) for bound in bounds]
            query_bounds = [certain, certain, certain]
        else:
            extras, query_bounds = [0, 0, 0], bounds
        until = dict(zip(("overdue", "tonight", "week"), query_bounds, strict=True))
        [row] = await self._backend.fetch("count_queue", {**params, **until, "midnight": today}, slots)
        overdue, by_tonight, by_week = (int(row[name]) + extra for name, extra in zip(until, extras, strict=True))
        new, first = int(row["new"]), int(row["first"])
        offered = max(0, min(new, self.policy.new_per_day - first))
        return QueueCounts(overdue, by_tonight - overdue, by_week - by_tonight, new, offered)

    async def due_times(self, days: int = 30, filter: Filter | None = None) -> tuple[datetime, ...]:
        """Return the due times within so many days, overdue ones included, for a forecast."""
        now = self.now()
        filters, params = self._filters(filter or Filter())
        epoch = datetime.fromtimestamp(0, UTC)
        span = {**params, "now": now, "earliest": epoch, "before": now + timedelta(days=days + 1)}
        return tuple(await _parse_due_times(await self._backend.fetch("list_due_times", span, {"filters": filters})))

    async def due_by_day(self, days: int = 30, filter: Filter | None = None) -> tuple[int, ...]:
        """Count the memories due on each of the coming local days, today first; overdue ones count for today."""
        now = self.now()
        if self._backend.foreign:
            return tuple(forecast(await self.due_times(days, filter), now, days))
        filters, params = self._filters(filter or Filter())
        today = local_midnight(now)
        ends = [local_midnight(today + timedelta(days=day, hours=36)) for day in range(days)]
        span = {**params, "now": now, "ends": [format_time(end) for end in ends]}
        records = await self._backend.fetch("count_due_by_day", span, {"filters": filters})
        counts = {int(row["day"]): int(row["n"]) for row in records}
        return tuple(counts.get(day, 0) for day in range(days))

    async def record_review(
        self, memory_id: str, rating: Rating, *, expected: Scheduling | Literal["any"] | None = "any"
    ) -> Change:
        """Grade a memory. Optimistic locking: raises Conflict if its schedule is no longer ``expected``."""
        self._refuse_read_only()
        now = self.now()
        async with self._backend.write() as transaction:
            memory = await self._lock_memory(transaction, memory_id)
            prior = memory.scheduling
            if expected != "any" and prior != expected:
                raise Conflict(f"Memory {memory_id[:8]} was graded by somebody else meanwhile; nothing was written.")
            new = fsrs_review(prior, rating, now, self.policy)
            await transaction.execute("put_scheduling", schedule_params(memory_id, new))
            [row] = await transaction.fetch(
                "insert_review",
                {
                    "id": memory_id,
                    "at": now,
                    "rating": int(rating),
                    "prior": Json(schedule_fields(prior) or {}),
                    "new": Json(schedule_fields(new)),
                    "undoes": None,
                },
            )
            entry = await self._journal(
                transaction,
                "review",
                [{"id": memory_id, "scheduling": schedule_fields(prior)}],
                [
                    {
                        "id": memory_id,
                        "scheduling": schedule_fields(new),
                        "review": int(row["id"]),
                        "rating": int(rating),
                    }
                ],
            )
        return Change((memory_id,), entry, new)

    async def undo_review(self, memory_id: str | None = None) -> Change:
        """Undo the last review not yet undone, of one memory or of all. Raises NotFound or Conflict."""
        self._refuse_read_only()
        records = await self._backend.fetch("last_review", {"id": memory_id})
        if not records:
            raise NotFound("There is no review to take back.")
        entry = await self._backend.fetch("find_review_entry", {"review": int(records[0]["id"])})
        if not entry:
            raise Conflict("That review was not made from this program, so it cannot be taken back here.")
        change = await self.undo(int(entry[0]["id"]))
        return dataclasses.replace(change, scheduling=await self.get_scheduling(change.changed[0]))

    async def reviews(self, memory_id: str) -> tuple[Review, ...]:
        """Return the review log of a memory, oldest first."""
        return tuple(rows.review(row) for row in await self._backend.fetch("list_reviews", {"id": memory_id}))

    async def reviews_since(self, since: datetime) -> tuple[Review, ...]:
        """Return all reviews since a time, oldest first."""
        return tuple(rows.review(row) for row in await self._backend.fetch("list_reviews_since", {"since": since}))

    async def marks(self, memory_id: str) -> Marks:
        """Return the marks of a memory: suspended, buried until."""
        return _marks(await self._backend.fetch("get_marks", {"id": memory_id}))

    async def suspend(self, memory_id: str) -> Change:
        """Exclude a memory from reviews until it is resumed."""
        return await self._mark("suspend", memory_id, Marks(suspended=True))

    async def bury(self, memory_id: str, until: datetime | None = None) -> Change:
        """Exclude a memory from reviews until a time, by default tomorrow's local midnight."""
        return await self._mark("bury", memory_id, Marks(buried_until=until or _tomorrow(self.now())))

    async def resume(self, memory_id: str) -> Change:
        """Include a suspended or buried memory in reviews again."""
        return await self._mark("resume", memory_id, Marks())

    async def _mark(self, verb: str, memory_id: str, marks: Marks) -> Change:
        self._refuse_read_only()
        async with self._backend.write() as transaction:
            await self._lock_memory(transaction, memory_id)
            old = _marks(await transaction.fetch("get_marks", {"id": memory_id}))
            await transaction.execute(
                "put_marks", {"id": memory_id, "suspended": marks.suspended, "buried_until": marks.buried_until}
            )
            entry = await self._journal(
                transaction,
                verb,
                [{"id": memory_id, "marks": marks_fields(old)}],
                [{"id": memory_id, "marks": marks_fields(marks)}],
            )
        return Change((memory_id,), entry)

    # Links

    async def add_edge(self, edge: Edge) -> Change:
        """Link two memories, or change the weight of their link."""
        self._refuse_read_only()
        if edge.source_id == edge.target_id:
            raise Usage("A memory cannot be linked to itself.")
        if not 0 <= edge.weight <= 1:
            raise Usage("The weight of a link lies between 0 and 1.")
        link = dataclasses.replace(edge, edge_type=_clean(edge.edge_type), created_at=edge.created_at or self.now())
        async with self._backend.write() as transaction:
            for end in (edge.source_id, edge.target_id):
                await self._lock_memory(transaction, end)
            old = await transaction.fetch("get_edge", _edge_key(link))
            await transaction.execute("put_edge", {**edge_fields(link), "created_at": link.created_at})
            entry = await self._journal(
                transaction,
                "link",
                [{"id": edge.source_id, "edge": edge_fields(rows.edge(old[0]))}] if old else [],
                [{"id": edge.source_id, "edge": edge_fields(link)}],
            )
        return Change((edge.source_id, edge.target_id), entry)

    async def remove_edge(self, source_id: str, target_id: str, edge_type: str = "related") -> Change:
        """Remove a link. Raises NotFound if the memories have none of that type."""
        self._refuse_read_only()
        key = _edge_key(Edge(source_id, target_id, edge_type))
        if not (self._backend.is_id(source_id) and self._backend.is_id(target_id)):
            raise NotFound("These memories are not linked.")
        async with self._backend.write() as transaction:
            old = await transaction.fetch("get_edge", key)
            if not old:
                raise NotFound(f"These memories are not linked as {edge_type!r}.")
            await transaction.execute("delete_edge", key)
            entry = await self._journal(
                transaction, "unlink", [{"id": source_id, "edge": edge_fields(rows.edge(old[0]))}], []
            )
        return Change((source_id, target_id), entry)

    async def get_edges(self, memory_id: str, edge_type: str | None = None) -> tuple[Edge, ...]:
        """Return the links of a memory, in both directions."""
        records = (
            await self._backend.fetch("list_edges", {"ids": [memory_id]}) if self._backend.is_id(memory_id) else []
        )
        edges = [rows.edge(row) for row in records]
        return tuple(edge for edge in edges if edge_type is None or edge.edge_type == edge_type)

    async def get_neighbors(self, memory_id: str, depth: int = 1) -> tuple[Neighbor, ...]:
        """Return memories at most ``depth`` links away, by the best product of weights over all paths, best first.

        Links count in both directions. Returns at most 256 memories.
        """
        best: dict[str, tuple[float, int]] = {memory_id: (1.0, 0)}
        frontier = {memory_id}
        for step in range(1, max(1, min(depth, 6)) + 1):
            edges = [rows.edge(row) for row in await self._backend.fetch("list_edges", {"ids": sorted(frontier)})]
            reached: dict[str, tuple[float, int]] = {}
            for edge in edges:
                for start, end in ((edge.source_id, edge.target_id), (edge.target_id, edge.source_id)):
                    if start in frontier:
                        weight = best[start][0] * edge.weight
                        if weight > max(best.get(end, (0.0, 0))[0], reached.get(end, (0.0, 0))[0]):
                            reached[end] = (weight, step)
            frontier = set(reached)
            best |= reached
            if not frontier:
                break
        del best[memory_id]
        nearest = sorted(best, key=lambda neighbor_id: (-best[neighbor_id][0], best[neighbor_id][1], neighbor_id))[
            :MAX_NEIGHBOR_COUNT
        ]
        return tuple(Neighbor(memory, *best[memory.id]) for memory in await self.get_many(nearest))

    # Supersession

    async def supersede(self, loser_id: str, winner_id: str) -> Change:
        """Replace the loser by the winner. Raises Conflict if that would close a cycle."""
        self._refuse_read_only()
        if loser_id == winner_id:
            raise Usage("A memory cannot replace itself.")
        async with self._backend.write() as transaction:
            await transaction.fetch("lock_supersession")
            loser = await self._lock_memory(transaction, loser_id)
            await self._lock_memory(transaction, winner_id)
            if loser.superseded_by == winner_id:
                return Change(())
            await refuse_cycle(transaction, loser_id, winner_id)
            entry = await self._append_decision(transaction, loser, winner_id)
        return Change((loser_id,), entry)

    async def unsupersede(self, memory_id: str) -> Change:
        """Make a replaced memory active again."""
        self._refuse_read_only()
        async with self._backend.write() as transaction:
            await transaction.fetch("lock_supersession")
            loser = await self._lock_memory(transaction, memory_id)
            if loser.superseded_by is None:
                return Change(())
            entry = await self._append_decision(transaction, loser, None)
        return Change((memory_id,), entry)

    async def _append_decision(self, transaction: Transaction, loser: Memory, winner_id: str | None) -> int:
        verb = "supersede" if winner_id else "unsupersede"
        await append_event(transaction, loser.id, winner_id, verb, self.now())
        return await self._journal(
            transaction,
            verb,
            [{"id": loser.id, "superseded_by": loser.superseded_by}],
            [{"id": loser.id, "superseded_by": winner_id}],
        )

    async def supersession_history(self, memory_id: str) -> tuple[SupersessionEvent, ...]:
        """Return all supersession events in which a memory lost or won, oldest first."""
        records = await self._backend.fetch("list_events", {"id": memory_id}) if self._backend.is_id(memory_id) else []
        return tuple(rows.event(row) for row in records)

    async def lineage(self, memory_id: str) -> Lineage:
        """Return the supersession tree of a memory: the active memory at the root, the replaced ones below."""
        head, visited = await self.get(memory_id), {memory_id}
        while head.superseded_by and head.superseded_by not in visited and len(visited) < MAX_LINEAGE_MEMORIES:
            winners = await self.get_many([head.superseded_by])
            if not winners:
                break
            head = winners[0]
            visited.add(head.id)
        members: dict[str, Memory] = {head.id: head}
        frontier = [head.id]
        while frontier and len(members) < MAX_LINEAGE_MEMORIES:
            losers = [rows.memory(row) for row in await self._backend.fetch("list_losers", {"ids": frontier})]
            fresh = {memory.id: memory for memory in losers if memory.id not in members}
            members |= fresh
            frontier = list(fresh)

        def tree(memory: Memory) -> Lineage:
            children = [child for child in members.values() if child.superseded_by == memory.id and child.id != head.id]
            return Lineage(memory, tuple(tree(child) for child in children))

        return tree(head)

    # Restoring links, reviews and events: imports and sample stores

    async def restore_edges(self, edges: Sequence[Edge]) -> tuple[int, int]:
        """Insert missing links; return (inserted, present). Raises NotFound if a memory of a link is missing."""
        self._refuse_read_only()
        now = self.now()
        params = [{**edge_fields(edge), "created_at": edge.created_at or now} for edge in edges]
        async with self._backend.write() as transaction:
            inserted_count = await transaction.execute_many("insert_edge_if_absent", params)
        return inserted_count, len(edges) - inserted_count

    async def restore_reviews(self, reviews: Sequence[Review]) -> tuple[int, int]:
        """Append missing reviews unchanged, without touching schedules; return (inserted, present)."""
        self._refuse_read_only()
        if not reviews:
            return 0, 0
        keys = [(review.memory_id, format_time(review.at), int(review.rating)) for review in reviews]
        undone_ids = {review.undoes for review in reviews if review.undoes}
        numbered_keys = {key for key, review in zip(keys, reviews, strict=True) if review.id in undone_ids}
        inserted_count = 0
        new_ids: dict[int, int] = {}
        queue: list[dict[str, Any]] = []
        async with self._backend.write() as transaction:
            records = await transaction.fetch("find_reviews", {"asked": Json(keys)})
            ids_by_key: dict[tuple[str, str, int], int | None] = {
                keys[int(row["n"])]: int(row["id"]) for row in records
            }
            for key, review in zip(keys, reviews, strict=True):
                if key not in ids_by_key:
                    params = {
                        "id": review.memory_id,
                        "at": review.at,
                        "rating": review.rating,
                        "prior": Json(schedule_fields(review.prior)),
                        "new": Json(schedule_fields(review.new)),
                        "undoes": new_ids.get(review.undoes) if review.undoes else None,
                    }
                    inserted_count += 1
                    ids_by_key[key] = None
                    queue.append(params)
                    if key in numbered_keys:
                        # A later review undoes this one and needs its id; the log keeps its order.
                        await transaction.execute_many("append_review", queue[:-1])
                        ids_by_key[key] = int((await transaction.fetch("insert_review", params))[0]["id"])
                        queue.clear()
                if (new_id := ids_by_key[key]) is not None:
                    new_ids[review.id] = new_id
            await transaction.execute_many("append_review", queue)
        return inserted_count, len(reviews) - inserted_count

    async def restore_events(self, events: Sequence[SupersessionEvent]) -> tuple[int, int]:
        """Append missing supersession events with their own dates; return (inserted, present).

        Raises Conflict if one would close a cycle.
        """
        self._refuse_read_only()
        inserted_count = 0
        async with self._backend.write() as transaction:
            await transaction.fetch("lock_supersession")
            keys = [(event.loser_id, format_time(event.decided_at)) for event in events]
            existing = {keys[int(row["n"])] for row in await transaction.fetch("find_events", {"asked": Json(keys)})}
            for key, event in zip(keys, events, strict=True):
                if key not in existing:
                    existing.add(key)
                    if event.winner_id:
                        await refuse_cycle(transaction, event.loser_id, event.winner_id)
                    await transaction.fetch("insert_event", {**event_fields(event), "decided_at": event.decided_at})
                    inserted_count += 1
        return inserted_count, len(events) - inserted_count

    # Journal

    async def journal(self, limit: int = 50, before_id: int | None = None) -> tuple[JournalEntry, ...]:
        """Return journal entries, newest first."""
        records = await self._backend.fetch(
            "list_journal", {"before_id": 2**62 if before_id is None else before_id, "limit": limit}
        )
        return tuple(rows.journal_entry(row) for row in records)

    async def undo(self, entry: int | None = None) -> Change:
        """Undo a journal entry, by default the last. Raises NotFound, or Conflict if its memories changed since."""
        self._refuse_read_only()
        async with self._backend.write() as transaction:
            if entry is None:
                records = await transaction.fetch("last_journal")
            else:
                records = await transaction.fetch("get_journal", {"id": entry})
            if not records:
                raise NotFound("There is nothing to take back." if entry is None else f"There is no change {entry}.")
            target = rows.journal_entry(records[0])
            if target.undone_by is not None or target.verb == "undo":
                raise Conflict(f"Change {target.id} has already been taken back.")
            if target.verb == "review" and await self._reviewed_since(transaction, target):
                raise Conflict(f"Memory {target.ids[0][:8]} was graded again since; nothing was undone.")
            changed_ids, texts = await undo_entry(transaction, target, self.now())
            stamps = [{"id": memory_id} for memory_id in changed_ids]
            number = await self._journal(
                transaction, "undo", [{"id": memory_id, "entry": target.id} for memory_id in changed_ids], stamps
            )
            await transaction.execute("mark_undone", {"id": target.id, "undone_by": number})
        warnings: tuple[str, ...] = ()
        if texts:
            await self.refresh_model()
            warnings = await self._encode_omitted(texts)
        return Change(tuple(changed_ids), warnings=warnings)

    async def _reviewed_since(self, transaction: Transaction, target: JournalEntry) -> bool:
        last = await transaction.fetch("last_review", {"id": target.ids[0]})
        return not last or int(last[0]["id"]) != target.after[0]["review"]

    async def _journal(self, transaction: Transaction, verb: str, before: list[Any], after: list[Any]) -> int:
        entry = self._entry(verb, before, after)
        [row] = await transaction.fetch(entry.name, entry.params)
        return int(row["id"])

    def _entry(self, verb: str, before: Sequence[Any], after: Sequence[Any]) -> Write:
        values = {
            "at": self.now(),
            "actor": self._actor,
            "verb": verb,
            "before": Json(list(before)),
            "after": Json(list(after)),
        }
        return Write("insert_journal", values)


def _stamp(memory_id: str, updated_at: datetime | None) -> dict[str, str | None]:
    return {"id": memory_id, "updated_at": time_text(updated_at)}


def _marks(records: Sequence[Row]) -> Marks:
    return Marks(bool(records[0]["suspended"]), rows.as_time(records[0]["buried_until"])) if records else Marks()


def _edge_key(edge: Edge) -> dict[str, str]:
    return {"source_id": edge.source_id, "target_id": edge.target_id, "edge_type": edge.edge_type}


async def _parse_due_times(records: Sequence[Row]) -> list[datetime]:
    """Return the due times in these rows, yielding to the event loop after each chunk."""
    moments: list[datetime] = []
    for start in range(0, len(records), PARSE_CHUNK_ROWS):
        chunk = records[start : start + PARSE_CHUNK_ROWS]
        moments += [moment for row in chunk if (moment := rows.as_time(row["next_review"])) is not None]
        await asyncio.sleep(0)
    return moments


def _tomorrow(now: datetime) -> datetime:
    # 36 hours after midnight lie within tomorrow even if daylight saving time starts or ends today.

    return local_midnight(local_midnight(now) + timedelta(hours=36))


def _is_due(memory: Memory, bound: datetime) -> bool:
    state = memory.scheduling
    return state is not None and state.next_review is not None and state.next_review < bound


def _sort_key(row: Row) -> Any:
    key = row["sort_key"]
    return key.isoformat() if isinstance(key, datetime) else key


def _cursor(sort: Sort, row: Row) -> str:
    return base64.urlsafe_b64encode(json.dumps([sort, _sort_key(row), str(row["id"])]).encode()).decode().rstrip("=")


def _read_cursor(cursor: str, sort: Sort) -> dict[str, Any]:
    try:
        list_sort, key, memory_id = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError:
        raise Usage("That is no cursor of a list.") from None
    if list_sort != sort:
        raise Usage(f"That cursor belongs to a list sorted by {list_sort}.")
    return {"after_key": key, "after_id": memory_id}
