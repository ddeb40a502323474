"""The store service: one async method per question that a screen, a command or a script asks of a store.

Rules and transactions live here; SQL is asked by name, so that a method says the same thing to SQLite and PostgreSQL.
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
    HealthCheck,
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
from vestige_tui.store.undo import append_event, refuse_cycle, take_back

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import Vector
    from vestige_tui.store.backends.protocol import ModelKey

ALL_TEXT = 2**31 - 1
FILL_BATCH = 32
MAX_NEIGHBORS = 256
PARSED = 10_000
MAX_LINEAGE = 64
SESSIONS = 50
TRIES = 3
"""How often vectors are made anew for a store that comes to belong to another model meanwhile."""
MEASURED = 256_000_000
"""Of a file larger than this, every page is not read only to say what each table takes."""
_VACUUM = (
    ("the text index", "optimize_text"),
    ("the file", "vacuum"),
    ("the figures for the planner", "optimize"),
    ("the write-ahead log", "checkpoint"),
)

FacetName: TypeAlias = Literal["domains", "tags", "node_types", "codebases", "owners"]
Clock: TypeAlias = Callable[[], datetime]


@dataclasses.dataclass(frozen=True, slots=True)
class _Encoded:
    """Vectors of texts, in their order, and the model that they are of."""

    model: ModelSignature
    vectors: Sequence[Vector]

    @property
    def key(self) -> ModelKey:
        return self.model.name, self.model.dimension


def _clean(text: str) -> str:
    """Text as every store can hold it: NUL becomes its symbol, half surrogates the replacement character."""
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
    """An open store. Use it as ``async with open_store(url) as store``; every method may raise ``VestigeError``."""

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
        self._remaking: str | None = None
        self._reading_model = asyncio.Lock()
        self._actor = _actor()
        self._searcher = Searcher(
            backend,
            self.embedders,
            registered=self.registered_model,
            refresh=self.refresh_model,
            remaking=self.remaking,
            filters=self._filters,
        )

    # The store as a whole

    @property
    def kind(self) -> Literal["sqlite", "postgres", "vestige"]:
        return "vestige" if self._backend.foreign else self._backend.dialect

    @property
    def title(self) -> str:
        """Where the store is, for a person; never with a password."""
        return self._backend.title

    @property
    def location(self) -> str:
        """The URL of the store, never with a password."""
        return self._backend.location()

    @property
    def read_only(self) -> bool:
        return self._backend.read_only

    @property
    def read_only_reason(self) -> str:
        return self._backend.reason

    @property
    def backend(self) -> Backend:
        """For the jobs, which move rows in bulk."""
        return self._backend

    def now(self) -> datetime:
        """The moment by the store's clock, in UTC."""
        return self._clock()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Connect, and bring the schema up where this may be done. Raises SchemaPending where it may not."""
        try:
            await self._backend.open()
            if not self._backend.foreign:
                await self._settle_schema()
            await self.refresh_model()
        except BaseException:
            await self._backend.close()
            raise

    async def _settle_schema(self) -> None:
        if not await migrations.is_ours(self._backend):
            taken = [str(row["name"]) for row in await self._backend.fetch("list_taken_names")]
            if taken:
                raise ForeignStore(f"{self.title} already has a {taken[0]} that is not ours; it was not touched.")
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
        """Every migration of this dialect with its state; none for a file that a Vestige server made."""
        return await migrations.status(self._backend)

    async def finalize_schema(self, settings: Mapping[str, str] | None = None) -> bool:
        """Build what had to wait for the width of the vectors; tells whether it was done now.

        ``settings`` of the server hold for that alone: memory and helpers.
        """
        return await migrations.finalize(self._backend, settings)

    async def health_check(self) -> Health:
        """Is the store well, in words. Never raises: a store that does not answer is unavailable."""
        try:
            [row] = await self._backend.fetch("probe")
            found = await self._concerns()
        except VestigeError as error:
            silence = health_checks.of_silence(error.message, self._backend.dialect)
            return Health("unavailable", (silence,), "", self._backend.pool_state())
        product = "PostgreSQL" if self._backend.dialect == "postgres" else "SQLite"
        return Health(
            "degraded" if found else "healthy", tuple(found), f"{product} {row['version']}", self._backend.pool_state()
        )

    async def _concerns(self) -> list[HealthCheck]:
        found: list[HealthCheck] = []
        model = await self.refresh_model()
        if self._backend.dialect == "postgres":
            preflight = (await self._backend.fetch("preflight"))[0]
            found += health_checks.of_pgvector(str(preflight["installed"] or ""), str(preflight["available"] or ""))
            index = await self._backend.fetch("find_index")
            if model and (not index or not index[0]["valid"]):
                waits = [info.waits_for for info in await self.schema_status() if info.state == "waiting"]
                found.append(health_checks.of_index(waits[0] if waits else None))
        configured = self.embedders.configured
        if model and configured and not same_model(configured, model.name):
            found.append(health_checks.of_model(configured, model.name))
        return found

    async def get_stats(self) -> Stats:
        """Figures of the whole store."""
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
        """How many memories each month brought: ("2026-05", 31) and so on, oldest first."""
        return tuple((str(row["value"]), int(row["n"])) for row in await self._backend.fetch("growth"))

    async def report(self, *, thorough: bool = False) -> StoreReport:
        """Whether the store is well, and everything that one would look at to say so.

        ``thorough`` measures the tables of a SQLite file of any size, which reads all of it.
        """
        backend = self._backend
        health, inside = await self.health_check(), backend.inside()
        if health.state == "unavailable":
            return StoreReport(
                health, None, None, inside.connections, (), None, inside.vectors, backend.timings.slowest()
            )
        stats = await self.get_stats()
        [row] = await backend.fetch("describe_server")
        sizes: tuple[TableSize, ...] | None = None
        server: PostgresServer | SqliteFile
        if backend.dialect == "postgres":
            server, measured = rows.postgres_server(row), True
            asked = {"mine": list(inside.sessions), "limit": SESSIONS}
            sessions = tuple(map(rows.session, await backend.fetch("list_sessions", asked)))
        else:
            server = rows.sqlite_file(row, inside)
            measured = bool(row["measured"]) and (thorough or server.page_size * server.pages <= MEASURED)
            sessions = await asyncio.to_thread(open_files, inside.path)
        if measured:
            # Who holds a table for itself keeps others from measuring it; the rest is worth saying.
            with contextlib.suppress(Busy):
                sizes = tuple(map(rows.occupied, await backend.fetch("list_sizes")))
        more = tuple(health_checks.of_report(server, inside.vectors, sizes, sessions, datetime.now(UTC)))
        if more:
            health = dataclasses.replace(health, state="degraded", concerns=(*health.concerns, *more))
        return StoreReport(
            health, stats, server, inside.connections, sessions, sizes, inside.vectors, backend.timings.slowest()
        )

    async def vacuum(self, progress: Callable[[str], None] | None = None) -> Vacuumed:
        """Give unused space back, and let the planner look at what is there; cancelling it loses nothing.

        ``progress`` is told what is worked on next.
        """
        self._refuse_read_only()
        [before] = await self._backend.fetch("read_size")
        if self._backend.dialect == "postgres":
            names = [str(row["name"]) for row in await self._backend.fetch("list_vacuumable")]
            if not names:
                raise Refused(f"The role may not vacuum any table of {self.title}; ask the owner of the tables.")
            work = [(f"{name} ({n} of {len(names)})", "vacuum", name) for n, name in enumerate(names, 1)]
        else:
            work = [(what, name, "") for what, name in _VACUUM]
        for what, name, table in work:
            if progress is not None:
                progress(what)
            await self._backend.maintain(name, table)
        [after] = await self._backend.fetch("read_size")
        return Vacuumed(int(before["n"]), int(after["n"]))

    async def wait_for_change(self, seconds: float) -> bool:
        """Wait until anybody, this process included, has changed the store; False where nobody did for so long.

        For one watcher. The first wait, and the first one after an outage, end at once.
        """
        return await self._backend.wait_for_change(seconds)

    async def warm(self) -> None:
        """Make ready what searches need, so that the first one need not wait for it."""
        await self.refresh_model()
        await self._backend.warm()

    def _refuse_read_only(self) -> None:
        if self.read_only:
            raise ReadOnly(f"{self.title} is open read-only: {self.read_only_reason}.")

    # Memories

    async def resolve(self, text: str) -> str:
        """The id that a person meant: a whole id, or a unique beginning of at least six characters."""
        text = text.strip()
        if self._backend.is_id(text) and (found := await self._backend.fetch("list_existing", {"ids": [text]})):
            return str(found[0]["id"])
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
        """One memory by its whole id. Raises NotFound."""
        found = await self._backend.fetch("get_memory", {"id": memory_id}) if self._backend.is_id(memory_id) else []
        if not found:
            raise NotFound(f"No memory has the id {memory_id!r}.")
        return rows.memory(found[0])

    async def get_many(self, memory_ids: Sequence[str]) -> tuple[Memory, ...]:
        """Those of these memories that are there, in the order asked for."""
        ids = [memory_id for memory_id in memory_ids if self._backend.is_id(memory_id)]
        found = {str(row["id"]): rows.memory(row) for row in await self._backend.fetch("get_memories", {"ids": ids})}
        return tuple(found[memory_id] for memory_id in ids if memory_id in found)

    async def insert(self, draft: Draft, *, embedding: Vector | None = None, embed: bool = True) -> Change:
        """Write one memory. Without a usable model it is stored without a vector, and the change says so."""
        self._refuse_read_only()
        made, warnings = await self._vectors_for([draft.content], embedding, embed)
        memory_id = draft.id or str(uuid.uuid4())
        if not self._backend.is_id(memory_id):
            raise Usage(f"{memory_id!r} cannot be an id here; PostgreSQL takes UUIDs only.")
        writes, stamps = self._writes([(memory_id, draft)], made)
        try:
            *done, [row] = await self._backend.write_all([*writes, self._entry("add", [], stamps)])
        except Conflict:
            if await self._backend.fetch("list_existing", {"ids": [memory_id]}):
                raise Conflict(f"A memory with the id {memory_id} is already there.") from None
            raise
        if made and self._left_out(made, writes, done):
            warnings += await self._make_up({memory_id: _clean(draft.content)}, given=embedding is not None)
        return Change((memory_id,), int(row["id"]), draft.scheduling, warnings)

    async def insert_many(
        self, drafts: Sequence[Draft], *, embeddings: Sequence[Vector] | None = None, embed: bool = True
    ) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        """Write those whose id is not there yet; gives ids inserted, ids that were present, and warnings.

        Writes no journal entry: ``journal_import`` makes one for all batches together.
        """
        self._refuse_read_only()
        ids = [draft.id or str(uuid.uuid4()) for draft in drafts]
        for memory_id in ids:
            if not self._backend.is_id(memory_id):
                raise Usage(f"{memory_id!r} cannot be an id here; PostgreSQL takes UUIDs only.")
        there = await self._there([draft.id for draft in drafts if draft.id])
        fresh = {
            memory_id: (index, draft)
            for index, (memory_id, draft) in enumerate(zip(ids, drafts, strict=True))
            if memory_id not in there
        }
        made: _Encoded | None = None
        warnings: tuple[str, ...] = ()
        if embeddings is not None and fresh:
            made = await self._given([embeddings[index] for index, _ in fresh.values()])
        elif embeddings is None:
            made, warnings = await self._vectors_for([draft.content for _, draft in fresh.values()], None, embed)
        new = {memory_id: draft for memory_id, (_, draft) in fresh.items()}
        while new:
            writes, _ = self._writes(new.items(), made)
            try:
                done = await self._backend.write_all(writes)
            except Conflict:
                # Somebody else wrote some of them just now: those are present, and the others are tried again.
                raced = await self._there(list(new))
                if not raced:
                    raise
                if made:
                    kept = [
                        vector for memory_id, vector in zip(new, made.vectors, strict=True) if memory_id not in raced
                    ]
                    made = dataclasses.replace(made, vectors=kept)
                new = {memory_id: draft for memory_id, draft in new.items() if memory_id not in raced}
                continue
            if made and self._left_out(made, writes, done):
                texts = {memory_id: _clean(draft.content) for memory_id, draft in new.items()}
                warnings += await self._make_up(texts, given=embeddings is not None)
            break
        present = tuple(memory_id for memory_id in dict.fromkeys(ids) if memory_id not in new)
        return tuple(new), present, warnings

    async def _there(self, ids: list[str]) -> set[str]:
        found = await self._backend.fetch("list_existing", {"ids": ids}) if ids else []
        return {str(row["id"]) for row in found}

    async def journal_import(self, memory_ids: Sequence[str]) -> int:
        """One journal entry for everything that an import brought. Raises NotFound where one of them is gone."""
        async with self._backend.write() as transaction:
            found = await transaction.fetch("list_stamps", {"ids": list(memory_ids)})
            stamps = {str(row["id"]): _stamp(str(row["id"]), rows.as_time(row["updated_at"])) for row in found}
            if len(stamps) < len(set(memory_ids)):
                missing = next(memory_id for memory_id in memory_ids if memory_id not in stamps)
                raise NotFound(f"No memory has the id {missing!r}.")
            return await self._journal(transaction, "import", [], list(stamps.values()))

    def _writes(
        self, drafts: Iterable[tuple[str, Draft]], made: _Encoded | None
    ) -> tuple[list[Write], list[dict[str, str | None]]]:
        """What writes these drafts under their ids, and the stamps by which the journal knows them again.

        With vectors it also reads the model that the store belongs to while they are written.
        """
        memories: list[dict[str, Any]] = []
        embeddings: list[dict[str, Any]] = []
        schedules: list[dict[str, Any]] = []
        now = self.now()
        for place, (memory_id, draft) in enumerate(drafts):
            params = insert_params(draft, memory_id, now)
            params["content"] = _clean(draft.content)
            params["node_type"] = _clean(params["node_type"])
            params["tags"] = [_clean(tag) for tag in draft.tags]
            params["domains"] = [_clean(domain) for domain in draft.domains]
            params["codebase"] = None if draft.codebase is None else _clean(draft.codebase)
            if draft.metadata:
                params["metadata"] = Json(_clean_json(draft.metadata))
            memories.append(params)
            if made:
                embeddings.append(vector_params(memory_id, made.vectors[place], made.key))
            if draft.scheduling is not None:
                schedules.append(schedule_params(memory_id, draft.scheduling))
        parts = {"insert_memory": memories, "insert_embedding": embeddings, "put_scheduling": schedules}
        writes = [Write(name, many=many) for name, many in parts.items() if many]
        if embeddings:
            writes.append(Write("get_model"))
        return writes, [_stamp(params["id"], rows.as_time(params["updated_at"])) for params in memories]

    async def _locked(self, transaction: Transaction, memory_id: str) -> Memory:
        held = await transaction.fetch("lock_memory", {"id": memory_id}) if self._backend.is_id(memory_id) else []
        if not held:
            raise NotFound(f"No memory has the id {memory_id!r}.")
        [row] = await transaction.fetch("get_memory", {"id": memory_id})
        return rows.memory(row)

    async def update(
        self, memory_id: str, patch: Patch, *, expected: datetime | None = None, embed: bool = True
    ) -> Change:
        """Edit a memory. ``expected`` is the updated_at that the person saw: Conflict where it has moved since."""
        self._refuse_read_only()
        made: _Encoded | None = None
        warnings: tuple[str, ...] = ()
        text = _clean(patch.content or "")
        if patch.content is not None and (await self.get(memory_id)).content != text:
            made, warnings = await self._vectors_for([text], None, embed)
        async with self._backend.write() as transaction:
            memory = await self._locked(transaction, memory_id)
            if expected is not None and memory.updated_at != expected:
                raise Conflict(f"Memory {memory_id[:8]} was changed by somebody else meanwhile; nothing was saved.")
            entry = await self._edit(transaction, "edit", [(memory, patch)], made)
            current = await transaction.fetch("get_model") if made else []
        if made and self._is_other(made, current) and memory.content != text:
            warnings += await self._make_up({memory_id: text})
        return Change((memory_id,) if entry is not None else (), entry, None, warnings)

    async def tag(self, memory_ids: Sequence[str], add: Sequence[str] = (), remove: Sequence[str] = ()) -> Change:
        """Add and remove tags on several memories, all or none."""
        self._refuse_read_only()
        gone = {_clean(tag) for tag in remove}
        async with self._backend.write() as transaction:
            edits: list[tuple[Memory, Patch]] = []
            for memory_id in dict.fromkeys(memory_ids):
                memory = await self._locked(transaction, memory_id)
                tags = dict.fromkeys([*memory.tags, *(_clean(tag).strip() for tag in add)])
                edits.append((memory, Patch(tags=tuple(tag for tag in tags if tag and tag not in gone))))
            entry = await self._edit(transaction, "tag", edits)
        return Change(tuple(memory.id for memory, patch in edits if patch.tags != memory.tags), entry)

    async def _edit(
        self,
        transaction: Transaction,
        verb: str,
        edits: Sequence[tuple[Memory, Patch]],
        made: _Encoded | None = None,
    ) -> int | None:
        before: list[dict[str, Any]] = []
        after: list[dict[str, Any]] = []
        for place, (memory, patch) in enumerate(edits):
            changed = self._patched(memory, patch)
            old, new = memory_fields(memory), memory_fields(changed)
            if old == new:
                continue
            moved = any(old[name] != new[name] for name in ("content", "node_type", "tags", "metadata", "codebase"))
            new["updated_at"] = time_text(self.now() if moved else memory.updated_at)
            kept: dict[str, Any] = {"id": memory.id, "memory": old}
            if old["content"] != new["content"]:
                kept |= vector_fields(await transaction.fetch("get_embedding", {"id": memory.id}))
            await transaction.execute(
                "update_memory",
                {
                    "id": memory.id,
                    "content": changed.content,
                    "node_type": changed.node_type,
                    "tags": changed.tags,
                    "metadata": Json(dict(changed.metadata)),
                    "domains": changed.domains,
                    "codebase": changed.codebase,
                    "visibility": changed.visibility,
                    "updated_at": rows.as_time(new["updated_at"]),
                },
            )
            if old["content"] != new["content"]:
                # The old vector speaks of the old text: better none than a wrong one.
                await transaction.execute("delete_embedding", {"id": memory.id})
                if made:
                    await transaction.execute(
                        "insert_embedding", vector_params(memory.id, made.vectors[place], made.key)
                    )
            before.append(kept)
            after.append({"id": memory.id, "memory": new})
        return await self._journal(transaction, verb, before, after) if after else None

    def _patched(self, memory: Memory, patch: Patch) -> Memory:
        values: dict[str, Any] = {}
        for name in ("content", "node_type", "visibility"):
            if (value := getattr(patch, name)) is not None:
                values[name] = _clean(value)
        for name in ("tags", "domains"):
            if (many := getattr(patch, name)) is not None:
                values[name] = tuple(dict.fromkeys(_clean(each) for each in many))
        if patch.codebase is not None:
            values["codebase"] = _clean(patch.codebase) or None
        if patch.metadata is not None:
            values["metadata"] = dict(patch.metadata)
        if values.get("visibility", "private") not in ("private", "group", "public"):
            raise Usage("Visibility is one of private, group and public.")
        return dataclasses.replace(memory, **values)

    async def delete_preview(self, memory_ids: Sequence[str]) -> DeletePreview:
        """What a delete would take along, and which memories it would bring back. Raises NotFound."""
        ids = list(dict.fromkeys(memory_ids))
        found = await self.get_many(ids)
        if len(found) < len(ids):
            there = {memory.id for memory in found}
            missing = next(memory_id for memory_id in ids if memory_id not in there)
            raise NotFound(f"No memory has the id {missing!r}.")
        edges = await self._backend.fetch("list_edges", {"ids": ids})
        [reviews] = await self._backend.fetch("count_reviews_of", {"ids": ids})
        losers = [rows.memory(row) for row in await self._backend.fetch("list_losers", {"ids": ids})]
        going = set(ids)
        back = tuple(loser for loser in losers if loser.id not in going)
        return DeletePreview(found, len(edges), int(reviews["n"]), back)

    async def delete(self, memory_ids: Sequence[str]) -> Change:
        """Delete memories, all or none; the journal keeps each of them whole."""
        self._refuse_read_only()
        ids = list(dict.fromkeys(memory_ids))
        async with self._backend.write() as transaction:
            before = [await self._whole(transaction, memory_id) for memory_id in ids]
            entry = await self._journal(transaction, "delete", before, [])
            await transaction.execute("delete_memories", {"ids": ids})
        return Change(tuple(ids), entry)

    async def _whole(self, transaction: Transaction, memory_id: str) -> dict[str, Any]:
        memory = await self._locked(transaction, memory_id)
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
        """One page of a filtered list, newest first (due: next due first), behind a cursor or at a position.

        ``head`` cuts each content to its first characters, for lists that show no more.
        """
        filters, params = self._filters(filter or Filter())
        if sort == "due":
            filters = [*filters, "only_due"]
        slots = {"filters": filters, "order": [f"order_{sort}"], "sort_key": [f"sort_key_{sort}"]}
        params = {**params, "head": ALL_TEXT if head is None else head, "limit": limit}
        if after is not None:
            params.update(_read_cursor(after, sort))
            slots["after"] = [f"after_{sort}"]
        if offset is not None and after is None:
            found = await self._backend.fetch("page_memories_at", {**params, "offset": offset}, slots)
        else:
            found = await self._backend.fetch("page_memories", params, slots)
        last = found[-1] if len(found) == limit and limit > 0 else None
        return Page(tuple(rows.memory(row) for row in found), _cursor(sort, last) if last else None)

    async def count(self, filter: Filter | None = None, *, sort: Sort = "created") -> int:
        """How many memories a filter leaves (of those with a due date where the list is by due date)."""
        filters, params = self._filters(filter or Filter())
        name = "count_scheduled" if sort == "due" else "count_memories"
        [row] = await self._backend.fetch(
            name, params, {"filters": [*filters, "only_due"] if sort == "due" else filters}
        )
        return int(row["n"])

    async def list_ids(self, filter: Filter | None = None, limit: int = 100_000) -> tuple[str, ...]:
        """The ids that a filter leaves, newest first: what an action on all of them is about."""
        filters, params = self._filters(filter or Filter())
        found = await self._backend.fetch("list_ids", {**params, "limit": limit}, {"filters": filters})
        return tuple(str(row["id"]) for row in found)

    async def facets(self, name: FacetName, filter: Filter | None = None, limit: int = 200) -> tuple[Facet, ...]:
        """The values that memories can be filtered by, most frequent first."""
        filters, params = self._filters(filter or Filter())
        found = await self._backend.fetch(f"facet_{name}", {**params, "limit": limit}, {"filters": filters})
        if name != "owners":
            return tuple(Facet(str(row["value"]), int(row["n"])) for row in found)
        return tuple(
            Facet(str(row["value"]), int(row["n"]), str(row["alias"] or ""), str(row["title"] or "")) for row in found
        )

    async def count_since(self, moments: Sequence[datetime], filter: Filter | None = None) -> tuple[int, ...]:
        """How many of a filter's memories were made at or after each of these moments."""
        return await self._count_each("since", {"moments": [format_time(moment) for moment in moments]}, filter)

    async def count_until(self, moments: Sequence[datetime], filter: Filter | None = None) -> tuple[int, ...]:
        """How many of a filter's memories were made before each of these moments."""
        return await self._count_each("until", {"moments": [format_time(moment) for moment in moments]}, filter)

    async def count_recalled(self, shares: Sequence[float], filter: Filter | None = None) -> tuple[int, ...]:
        """How many of a filter's memories have at least each of these retrievabilities, 0 to 1, now."""
        horizons = [horizon(share, self.policy.weights) for share in shares]
        return await self._count_each("recall", {"horizons": horizons, "now": self.now()}, filter)

    async def _count_each(self, name: str, bounds: dict[str, Any], filter: Filter | None) -> tuple[int, ...]:
        filters, params = self._filters(filter or Filter())
        found = await self._backend.fetch(f"facet_{name}", {**params, **bounds}, {"filters": filters})
        counts = {int(row["place"]): int(row["n"]) for row in found}
        [first, *_] = bounds.values()
        return tuple(counts.get(place, 0) for place in range(len(first)))

    async def resolved(self, filter: Filter) -> Filter:
        """The filter with its owner's id, where that is given as a handle or a name. Raises Usage for nobody's."""
        if filter.owner is None:
            return filter
        shown = repr(filter.owner if len(filter.owner) <= 40 else f"{filter.owner[:40]}...")
        found = await self._backend.fetch("find_owner", {"owner": _clean(filter.owner.strip())})
        nearest = min((int(row["place"]) for row in found), default=0)
        ids = {str(row["value"]) for row in found if int(row["place"]) == nearest}
        if not ids:
            raise Usage(f"No owner is called {shown} here.")
        if len(ids) > 1:
            raise Usage(f"Several owners are called {shown}; give a handle or an id.")
        return dataclasses.replace(filter, owner=ids.pop())

    def _filters(self, filter: Filter) -> tuple[list[str], dict[str, Any]]:
        """The named fragments that a filter needs, and their parameters."""
        chosen: list[str] = []
        params: dict[str, Any] = {}
        for name in ("domains", "tags", "node_types", "codebase", "owner", "since", "until"):
            value = getattr(filter, name)
            if value:
                chosen.append(f"filter_{name}")
                params[name] = list(value) if isinstance(value, tuple) else value
        if filter.owner and not self._backend.is_id(filter.owner):
            raise Usage(f"{filter.owner!r} is no owner's id.")
        if filter.min_retrievability is not None:
            if not 0 <= filter.min_retrievability <= 1:
                raise Usage("Retrievability lies between 0 and 1.")
            chosen.append("filter_min_retrievability")
            recalled = filter.min_retrievability
            params |= {
                "now": self.now(),
                "retrievability": recalled,
                "horizon": horizon(recalled, self.policy.weights),
            }
        if filter.without_embedding:
            chosen.append("filter_without_embedding")
        if not filter.superseded:
            chosen.append("filter_active")
        return chosen, params

    # Search

    async def search(self, query: SearchQuery) -> Answer:
        """Answer a question by words, by meaning, or by both fused. Raises Usage where there is neither."""
        return await self._searcher.answer(query)

    async def explain(self, query: SearchQuery) -> Explanation:
        """The same answer laid open: both branches, words, filters, steps and their cost."""
        return await self._searcher.explain(query)

    async def why_not(self, query: SearchQuery, memory_id: str) -> WhyNot:
        """Where one memory stands for a query, and what keeps it from the answer. Raises NotFound."""
        return await self._searcher.why_not(query, await self.get(memory_id))

    async def fts_search(self, text: str, limit: int = 10) -> Answer:
        """Search by words alone."""
        return await self.search(SearchQuery(text=text, mode="text", limit=limit))

    async def vector_search(self, embedding: Vector, limit: int = 10) -> Answer:
        """Search by a vector of the registered model alone."""
        return await self.search(SearchQuery(embedding=embedding, mode="vector", limit=limit))

    # Embedding model

    async def registered_model(self) -> ModelSignature | None:
        """The embedding model that the store belongs to, as last seen; None where it has no vectors yet."""
        return self._model or await self.refresh_model()

    async def refresh_model(self) -> ModelSignature | None:
        """The same, read anew: another process may have given the store vectors of another model."""
        async with self._reading_model:
            self._note_model(await self._backend.fetch("get_model"))
            self._remaking = await self._find_remaking()
            return self._model

    async def remaking(self) -> str | None:
        """The job that makes the vectors anew in place, if one does: searches by meaning wait for it."""
        if self._remaking is not None:
            self._remaking = await self._find_remaking()
        return self._remaking

    async def _find_remaking(self) -> str | None:
        if self._backend.foreign:
            return None
        found = await self._backend.fetch("find_in_place")
        return str(found[0]["delegation_id"]) if found else None

    def _note_model(self, found: Sequence[Row]) -> None:
        model = rows.model(found[0]) if found else None
        if model_key(model) != model_key(self._model):
            self._backend.use_model(model)
        self._model = model

    async def register_model(self, model: ModelSignature, *, finalize: bool = True) -> ModelSignature:
        """Make this the store's model. Raises ModelMismatch where it already belongs to another.

        A different hash alone is only noted: the same model in another build.
        """
        self._refuse_read_only()
        async with self._backend.write() as transaction:
            await transaction.fetch("lock_schema")
            found = await transaction.fetch("get_model")
            if found:
                there = rows.model(found[0])
                if not same_model(there.name, model.name) or there.dimension != model.dimension:
                    raise ModelMismatch(
                        f"The store belongs to {there.name} ({there.dimension} dimensions), "
                        f"not to {model.name} ({model.dimension})."
                    )
                if model.hash and there.hash != model.hash:
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
        """What vectors are really there, and what is wrong with some."""
        import numpy as np

        widths = {int(row["width"]): int(row["n"]) for row in await self._backend.fetch("count_vectors_by_width")}
        model = await self.refresh_model()
        zero = non_finite = seq = 0
        while model:
            found = await self._backend.fetch(
                "list_embeddings_by_width", {"width": model.dimension, "seq": seq, "limit": 4_000}
            )
            for row in found:
                norm = float(np.linalg.norm(rows.as_vector(row["embedding"])))
                zero += norm == 0
                non_finite += not np.isfinite(norm)
            if len(found) < 4_000 or self._backend.dialect == "postgres":
                break
            seq = int(found[-1]["seq"])
        without = await self.count(Filter(superseded=True, without_embedding=True))
        return VectorCensus(widths, without, zero, non_finite)

    async def fill_embeddings(self, progress: Callable[[int, int], None] | None = None) -> int:
        """Make the vectors that are missing; gives how many. ``progress`` hears (done, total) after each batch.

        While a job makes all of them anew in place, they are left to that. Raises Refused where none was made for it.
        """
        self._refuse_read_only()
        total = await self.count(Filter(superseded=True, without_embedding=True))
        done, after = 0, self._backend.lowest_id
        while batch := await self._backend.fetch("list_without_embedding", {"after_id": after, "limit": FILL_BATCH}):
            if job := await self._find_remaking():
                if done:
                    break
                raise Refused(
                    f"Job {short_id(job)} makes the vectors of this store anew; the missing ones are left to it."
                )
            await self._fill({str(row["id"]): str(row["content"]) for row in batch})
            after = str(batch[-1]["id"])
            done += len(batch)
            if progress:
                progress(done, max(total, done))
        return done

    async def _fill(self, texts: Mapping[str, str]) -> None:
        """Make vectors of these texts for the memories that still have them and no vector, whatever model comes."""
        for _ in range(TRIES):
            made = await self._encode(list(texts.values()))
            many = [
                {**vector_params(memory_id, vector, made.key), "content": text}
                for (memory_id, text), vector in zip(texts.items(), made.vectors, strict=True)
            ]
            _, current = await self._backend.write_all(
                [Write("insert_embedding_if_current", many=many), Write("get_model")]
            )
            if not self._is_other(made, current):
                return
        raise ModelMismatch("The store came to belong to another embedding model again and again; try again later.")

    async def _make_up(self, texts: Mapping[str, str], *, given: bool = False) -> tuple[str, ...]:
        """For vectors that were left out: make others by the model of today. Gives warnings."""
        if given:
            name = self._model.name if self._model else "another model"
            return (f"The store has come to belong to {name}; stored without the vector that was given.",)
        try:
            await self._fill(texts)
        except (ModelMismatch, EmbedderUnavailable) as error:
            return (f"{error.message} Stored without a vector.",)
        return ()

    def _left_out(self, made: _Encoded, writes: Sequence[Write], done: Sequence[Sequence[Row]]) -> bool:
        """Were the vectors left out of what ``_writes`` made, because they are of another model than the store's?"""
        read = {write.name: found for write, found in zip(writes, done, strict=True)}
        return self._is_other(made, read["get_model"])

    def _is_other(self, made: _Encoded, current: Sequence[Row]) -> bool:
        """Does the store belong to another model now than these vectors?"""
        self._note_model(current)
        return model_key(self._model) != made.key

    async def _encode(self, texts: Sequence[str]) -> _Encoded:
        registered = await self.registered_model()
        try:
            embedder = await self.embedders.get(registered)
        except (ModelMismatch, EmbedderUnavailable):
            seen, registered = registered, await self.refresh_model()
            if model_key(registered) == model_key(seen):
                raise
            embedder = await self.embedders.get(registered)
        if registered is None:
            registered = await self.register_model(signature(embedder))
        return _Encoded(registered, await self.embedders.embed(texts, registered=registered))

    async def _vectors_for(
        self, texts: Sequence[str], given: Vector | None, embed: bool
    ) -> tuple[_Encoded | None, tuple[str, ...]]:
        if given is not None:
            return await self._given([given]), ()
        if not embed or not texts:
            return None, ()
        try:
            return await self._encode(texts), ()
        except (ModelMismatch, EmbedderUnavailable) as error:
            return None, (f"{error.message} Stored without a vector.",)

    async def _given(self, vectors: Sequence[Vector]) -> _Encoded:
        """Vectors that a caller brings: they are taken to be of the model that this store said it belongs to."""
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
        return _Encoded(registered, vectors)

    # Reviews

    async def get_scheduling(self, memory_id: str) -> Scheduling | None:
        """The FSRS state of a memory; None where it was never scheduled. Raises NotFound."""
        return (await self.get(memory_id)).scheduling

    async def update_scheduling(self, memory_id: str, state: Scheduling) -> None:
        """Write a schedule as it is given: for programs that bring their own; a review goes through record_review."""
        self._refuse_read_only()
        async with self._backend.write() as transaction:
            await self._locked(transaction, memory_id)
            await transaction.execute("put_scheduling", schedule_params(memory_id, state))

    async def get_due_memories(
        self, before: datetime | None = None, limit: int = 100, filter: Filter | None = None
    ) -> tuple[Memory, ...]:
        """What is due before a moment (the end of the local day where none is given), longest waiting first.

        Suspended and buried memories are left out, and so are new ones.
        """
        now = self.now()
        bound = before or _tomorrow(now)
        filters, params = self._filters(filter or Filter())
        # A Vestige server writes times in several spellings: asked with a day's margin, then compared as times.
        asked = bound + timedelta(days=1) if self._backend.foreign else bound
        found: list[Memory] = []
        slots: dict[str, list[str]] = {"filters": filters}
        params |= {"before": asked, "now": now, "limit": limit}
        while len(found) < limit:
            batch = await self._backend.fetch("list_due", params, slots)
            memories = [rows.memory(row) for row in batch]
            found += [memory for memory in memories if _is_due(memory, bound)]
            if len(batch) < limit:
                break
            slots["after"] = ["after_due"]
            params |= {"after_key": _sort_key(batch[-1]), "after_id": str(batch[-1]["id"])}
        return tuple(found[:limit])

    async def get_new_memories(self, limit: int = 10, filter: Filter | None = None) -> tuple[Memory, ...]:
        """Memories that were never reviewed, oldest first."""
        filters, params = self._filters(filter or Filter())
        found = await self._backend.fetch(
            "list_new", {**params, "now": self.now(), "limit": limit}, {"filters": filters}
        )
        return tuple(rows.memory(row) for row in found)

    async def queue_counts(self, filter: Filter | None = None) -> QueueCounts:
        """How many memories wait, by local days."""
        now = self.now()
        today = local_midnight(now)
        bounds = [today, _tomorrow(now), local_midnight(today + timedelta(days=7, hours=12))]
        filters, params = self._filters(filter or Filter())
        params["now"] = now
        slots = {"filters": filters}
        if self._backend.foreign:
            # Times of several spellings: what is due a day before the first bound is certain, the rest is compared.
            sure = bounds[0] - timedelta(days=1)
            span = {**params, "earliest": sure, "before": bounds[-1] + timedelta(days=1)}
            times = await _moments(await self._backend.fetch("list_due_times", span, slots))
            near = [sum(moment < bound for moment in times) for bound in bounds]
            asked = [sure, sure, sure]
        else:
            near, asked = [0, 0, 0], bounds
        until = dict(zip(("overdue", "tonight", "week"), asked, strict=True))
        [row] = await self._backend.fetch("count_queue", {**params, **until, "midnight": today}, slots)
        overdue, by_tonight, by_week = (int(row[name]) + more for name, more in zip(until, near, strict=True))
        new, first = int(row["new"]), int(row["first"])
        offered = max(0, min(new, self.policy.new_per_day - first))
        return QueueCounts(overdue, by_tonight - overdue, by_week - by_tonight, new, offered)

    async def due_times(self, days: int = 30, filter: Filter | None = None) -> tuple[datetime, ...]:
        """When the memories due within these days come back, overdue ones included: for a forecast."""
        now = self.now()
        filters, params = self._filters(filter or Filter())
        epoch = datetime.fromtimestamp(0, UTC)
        span = {**params, "now": now, "earliest": epoch, "before": now + timedelta(days=days + 1)}
        return tuple(await _moments(await self._backend.fetch("list_due_times", span, {"filters": filters})))

    async def due_by_day(self, days: int = 30, filter: Filter | None = None) -> tuple[int, ...]:
        """How many fall due on each of the coming local days; what is overdue counts for today, the first of them."""
        now = self.now()
        if self._backend.foreign:
            return tuple(forecast(await self.due_times(days, filter), now, days))
        filters, params = self._filters(filter or Filter())
        today = local_midnight(now)
        ends = [local_midnight(today + timedelta(days=day, hours=36)) for day in range(days)]
        span = {**params, "now": now, "ends": [format_time(end) for end in ends]}
        found = await self._backend.fetch("count_due_by_day", span, {"filters": filters})
        counts = {int(row["day"]): int(row["n"]) for row in found}
        return tuple(counts.get(day, 0) for day in range(days))

    async def record_review(
        self, memory_id: str, rating: Rating, *, expected: Scheduling | Literal["any"] | None = "any"
    ) -> Change:
        """Grade a memory. ``expected`` is the schedule that the person saw: Conflict where it is another now."""
        self._refuse_read_only()
        now = self.now()
        async with self._backend.write() as transaction:
            memory = await self._locked(transaction, memory_id)
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
        """Take back the last review that still stands, of one memory or of all. Conflict after a later grade."""
        self._refuse_read_only()
        found = await self._backend.fetch("last_review", {"id": memory_id})
        if not found:
            raise NotFound("There is no review to take back.")
        entry = await self._backend.fetch("find_review_entry", {"review": int(found[0]["id"])})
        if not entry:
            raise Conflict("That review was not made from this program, so it cannot be taken back here.")
        change = await self.undo(int(entry[0]["id"]))
        return dataclasses.replace(change, scheduling=await self.get_scheduling(change.changed[0]))

    async def reviews(self, memory_id: str) -> tuple[Review, ...]:
        """The review log of a memory, oldest first."""
        return tuple(rows.review(row) for row in await self._backend.fetch("list_reviews", {"id": memory_id}))

    async def reviews_since(self, since: datetime) -> tuple[Review, ...]:
        """All reviews since a moment, oldest first."""
        return tuple(rows.review(row) for row in await self._backend.fetch("list_reviews_since", {"since": since}))

    async def marks(self, memory_id: str) -> Marks:
        """Is the memory suspended or buried?"""
        return _marks(await self._backend.fetch("get_marks", {"id": memory_id}))

    async def suspend(self, memory_id: str) -> Change:
        """Ask for this memory no more until it is resumed."""
        return await self._mark("suspend", memory_id, Marks(suspended=True))

    async def bury(self, memory_id: str, until: datetime | None = None) -> Change:
        """Ask for this memory no more until a moment, by default tomorrow's local midnight."""
        return await self._mark("bury", memory_id, Marks(buried_until=until or _tomorrow(self.now())))

    async def resume(self, memory_id: str) -> Change:
        """Ask for this memory again."""
        return await self._mark("resume", memory_id, Marks())

    async def _mark(self, verb: str, memory_id: str, marks: Marks) -> Change:
        self._refuse_read_only()
        async with self._backend.write() as transaction:
            await self._locked(transaction, memory_id)
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
        written = dataclasses.replace(edge, edge_type=_clean(edge.edge_type), created_at=edge.created_at or self.now())
        async with self._backend.write() as transaction:
            for end in (edge.source_id, edge.target_id):
                await self._locked(transaction, end)
            old = await transaction.fetch("get_edge", _edge_key(written))
            await transaction.execute("put_edge", {**edge_fields(written), "created_at": written.created_at})
            entry = await self._journal(
                transaction,
                "link",
                [{"id": edge.source_id, "edge": edge_fields(rows.edge(old[0]))}] if old else [],
                [{"id": edge.source_id, "edge": edge_fields(written)}],
            )
        return Change((edge.source_id, edge.target_id), entry)

    async def remove_edge(self, source_id: str, target_id: str, edge_type: str = "related") -> Change:
        """Remove a link. Raises NotFound where there is none of that type."""
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
        """The links of a memory, in both directions."""
        found = await self._backend.fetch("list_edges", {"ids": [memory_id]}) if self._backend.is_id(memory_id) else []
        edges = [rows.edge(row) for row in found]
        return tuple(edge for edge in edges if edge_type is None or edge.edge_type == edge_type)

    async def get_neighbors(self, memory_id: str, depth: int = 1) -> tuple[Neighbor, ...]:
        """Memories within so many links, each once, with the best product of weights along any path; best first.

        Links count in both directions. At most 256 memories are given.
        """
        best: dict[str, tuple[float, int]] = {memory_id: (1.0, 0)}
        frontier = {memory_id}
        for step in range(1, max(1, min(depth, 6)) + 1):
            found = [rows.edge(row) for row in await self._backend.fetch("list_edges", {"ids": sorted(frontier)})]
            reached: dict[str, tuple[float, int]] = {}
            for edge in found:
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
        nearest = sorted(best, key=lambda each: (-best[each][0], best[each][1], each))[:MAX_NEIGHBORS]
        return tuple(Neighbor(memory, *best[memory.id]) for memory in await self.get_many(nearest))

    # Supersession

    async def supersede(self, loser_id: str, winner_id: str) -> Change:
        """From now on the winner replaces the loser. Raises Conflict where that would close a circle."""
        self._refuse_read_only()
        if loser_id == winner_id:
            raise Usage("A memory cannot replace itself.")
        async with self._backend.write() as transaction:
            await transaction.fetch("lock_supersession")
            loser = await self._locked(transaction, loser_id)
            await self._locked(transaction, winner_id)
            if loser.superseded_by == winner_id:
                return Change(())
            await refuse_cycle(transaction, loser_id, winner_id)
            entry = await self._decide(transaction, loser, winner_id)
        return Change((loser_id,), entry)

    async def unsupersede(self, memory_id: str) -> Change:
        """From now on nothing replaces this memory."""
        self._refuse_read_only()
        async with self._backend.write() as transaction:
            await transaction.fetch("lock_supersession")
            loser = await self._locked(transaction, memory_id)
            if loser.superseded_by is None:
                return Change(())
            entry = await self._decide(transaction, loser, None)
        return Change((memory_id,), entry)

    async def _decide(self, transaction: Transaction, loser: Memory, winner_id: str | None) -> int:
        verb = "supersede" if winner_id else "unsupersede"
        await append_event(transaction, loser.id, winner_id, verb, self.now())
        return await self._journal(
            transaction,
            verb,
            [{"id": loser.id, "superseded_by": loser.superseded_by}],
            [{"id": loser.id, "superseded_by": winner_id}],
        )

    async def supersession_history(self, memory_id: str) -> tuple[SupersessionEvent, ...]:
        """Every decision in which a memory lost or won, in their order."""
        found = await self._backend.fetch("list_events", {"id": memory_id}) if self._backend.is_id(memory_id) else []
        return tuple(rows.event(row) for row in found)

    async def lineage(self, memory_id: str) -> Lineage:
        """The family of a memory: from the one that stands today down to all that it replaced."""
        head, seen = await self.get(memory_id), {memory_id}
        while head.superseded_by and head.superseded_by not in seen and len(seen) < MAX_LINEAGE:
            above = await self.get_many([head.superseded_by])
            if not above:
                break
            head = above[0]
            seen.add(head.id)
        members: dict[str, Memory] = {head.id: head}
        frontier = [head.id]
        while frontier and len(members) < MAX_LINEAGE:
            found = [rows.memory(row) for row in await self._backend.fetch("list_losers", {"ids": frontier})]
            fresh = {memory.id: memory for memory in found if memory.id not in members}
            members |= fresh
            frontier = list(fresh)

        def tree(memory: Memory) -> Lineage:
            below = [each for each in members.values() if each.superseded_by == memory.id and each.id != head.id]
            return Lineage(memory, tuple(tree(each) for each in below))

        return tree(head)

    # Bringing logs along: imports and sample stores

    async def restore_edges(self, edges: Sequence[Edge]) -> tuple[int, int]:
        """Write links that were not there; gives (inserted, present). Raises NotFound where an end is missing."""
        self._refuse_read_only()
        now = self.now()
        written = [{**edge_fields(edge), "created_at": edge.created_at or now} for edge in edges]
        async with self._backend.write() as transaction:
            inserted = await transaction.execute_many("insert_edge_if_absent", written)
        return inserted, len(edges) - inserted

    async def restore_reviews(self, reviews: Sequence[Review]) -> tuple[int, int]:
        """Append log lines that were not there, as they were, schedules untouched; gives (inserted, present)."""
        self._refuse_read_only()
        if not reviews:
            return 0, 0
        keys = [(review.memory_id, format_time(review.at), int(review.rating)) for review in reviews]
        taken_back = {review.undoes for review in reviews if review.undoes}
        asked = {key for key, review in zip(keys, reviews, strict=True) if review.id in taken_back}
        inserted = 0
        numbers: dict[int, int] = {}
        waiting: list[dict[str, Any]] = []
        async with self._backend.write() as transaction:
            found = await transaction.fetch("find_reviews", {"asked": Json(keys)})
            there: dict[tuple[str, str, int], int | None] = {keys[int(row["n"])]: int(row["id"]) for row in found}
            for key, review in zip(keys, reviews, strict=True):
                if key not in there:
                    line = {
                        "id": review.memory_id,
                        "at": review.at,
                        "rating": review.rating,
                        "prior": Json(schedule_fields(review.prior)),
                        "new": Json(schedule_fields(review.new)),
                        "undoes": numbers.get(review.undoes) if review.undoes else None,
                    }
                    inserted += 1
                    there[key] = None
                    waiting.append(line)
                    if key in asked:
                        # Another line takes this one back and needs its number; the log keeps its order.
                        await transaction.execute_many("append_review", waiting[:-1])
                        there[key] = int((await transaction.fetch("insert_review", line))[0]["id"])
                        waiting.clear()
                if (number := there[key]) is not None:
                    numbers[review.id] = number
            await transaction.execute_many("append_review", waiting)
        return inserted, len(reviews) - inserted

    async def restore_events(self, events: Sequence[SupersessionEvent]) -> tuple[int, int]:
        """Append decisions that were not there, as they were dated; gives (inserted, present)."""
        self._refuse_read_only()
        inserted = 0
        async with self._backend.write() as transaction:
            await transaction.fetch("lock_supersession")
            keys = [(event.loser_id, format_time(event.decided_at)) for event in events]
            there = {keys[int(row["n"])] for row in await transaction.fetch("find_events", {"asked": Json(keys)})}
            for key, event in zip(keys, events, strict=True):
                if key not in there:
                    there.add(key)
                    if event.winner_id:
                        await refuse_cycle(transaction, event.loser_id, event.winner_id)
                    await transaction.fetch("insert_event", {**event_fields(event), "decided_at": event.decided_at})
                    inserted += 1
        return inserted, len(events) - inserted

    # Journal

    async def journal(self, limit: int = 50, before_id: int | None = None) -> tuple[JournalEntry, ...]:
        """What people changed, newest first."""
        found = await self._backend.fetch(
            "list_journal", {"before_id": 2**62 if before_id is None else before_id, "limit": limit}
        )
        return tuple(rows.journal_entry(row) for row in found)

    async def undo(self, entry: int | None = None) -> Change:
        """Take a change back, the last one where none is named. Conflict where its memories have changed since."""
        self._refuse_read_only()
        async with self._backend.write() as transaction:
            if entry is None:
                found = await transaction.fetch("last_journal")
            else:
                found = await transaction.fetch("get_journal", {"id": entry})
            if not found:
                raise NotFound("There is nothing to take back." if entry is None else f"There is no change {entry}.")
            taken = rows.journal_entry(found[0])
            if taken.undone_by is not None or taken.verb == "undo":
                raise Conflict(f"Change {taken.id} has already been taken back.")
            if taken.verb == "review" and await self._reviewed_since(transaction, taken):
                raise Conflict(f"Memory {taken.ids[0][:8]} was graded again since; nothing was undone.")
            changed, bare = await take_back(transaction, taken, self.now())
            stamps = [{"id": memory_id} for memory_id in changed]
            number = await self._journal(
                transaction, "undo", [{"id": memory_id, "entry": taken.id} for memory_id in changed], stamps
            )
            await transaction.execute("mark_undone", {"id": taken.id, "undone_by": number})
        warnings: tuple[str, ...] = ()
        if bare:
            await self.refresh_model()
            warnings = await self._make_up(bare)
        return Change(tuple(changed), warnings=warnings)

    async def _reviewed_since(self, transaction: Transaction, taken: JournalEntry) -> bool:
        last = await transaction.fetch("last_review", {"id": taken.ids[0]})
        return not last or int(last[0]["id"]) != taken.after[0]["review"]

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


def _marks(found: Sequence[Row]) -> Marks:
    return Marks(bool(found[0]["suspended"]), rows.as_time(found[0]["buried_until"])) if found else Marks()


def _edge_key(edge: Edge) -> dict[str, str]:
    return {"source_id": edge.source_id, "target_id": edge.target_id, "edge_type": edge.edge_type}


async def _moments(found: Sequence[Row]) -> list[datetime]:
    """The due dates in these rows; each chunk gives the event loop its turn."""
    moments: list[datetime] = []
    for start in range(0, len(found), PARSED):
        chunk = found[start : start + PARSED]
        moments += [moment for row in chunk if (moment := rows.as_time(row["next_review"])) is not None]
        await asyncio.sleep(0)
    return moments


def _tomorrow(now: datetime) -> datetime:
    # A day and a half after midnight is tomorrow whatever a change of clocks does to the day between.
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
        made_for, key, memory_id = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError:
        raise Usage("That is no cursor of a list.") from None
    if made_for != sort:
        raise Usage(f"That cursor belongs to a list sorted by {made_for}.")
    return {"after_key": key, "after_id": memory_id}
