"""Memories of a store: reading, listing, counting, writing, editing and deleting."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from vestige_tui.core.errors import Conflict, NotFound, Refused, Usage
from vestige_tui.core.memories import (
    Change,
    Draft,
    Facet,
    Filter,
    Memory,
    Page,
    Patch,
    Sort,
)
from vestige_tui.core.reviews import left_out_sentence
from vestige_tui.core.scheduling import horizon
from vestige_tui.core.storable import as_uuid, check_draft, clean, replacement_warning
from vestige_tui.core.text import plain, quoted, short_id
from vestige_tui.core.times import format_time, moment_text
from vestige_tui.store.backends.protocol import Transaction
from vestige_tui.store.insertion import insert_drafts
from vestige_tui.store.journal_snapshots import (
    memory_fields,
    time_text,
    update_params,
    vector_fields,
    vector_params,
)
from vestige_tui.store.memory_writes import insert_writes, new_sharing_warning, patched, sharing_warning, snapshots
from vestige_tui.store.moments import as_they_were
from vestige_tui.store.pages import count_last, find_position, read_page
from vestige_tui.store.schema import rows

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import Vector
    from vestige_tui.store.accounts import AccountService
    from vestige_tui.store.context import StoreContext
    from vestige_tui.store.import_journal import ImportJournal
    from vestige_tui.store.models import ModelService, VectorBatch

MIN_PREFIX_LENGTH = 6

FacetName: TypeAlias = Literal["domains", "tags", "node_types", "codebases", "owners", "visibilities", "groups"]
_FACET_QUERIES: Mapping[FacetName, str] = {
    "domains": "facet_domains",
    "tags": "facet_tags",
    "node_types": "facet_node_types",
    "codebases": "facet_codebases",
    "owners": "facet_owners",
    "visibilities": "facet_visibilities",
    "groups": "facet_groups",
}


class MemoryService:
    """Memories by id, by filter and page by page; every write has an entry in the journal."""

    def __init__(self, context: StoreContext, models: ModelService, accounts: AccountService) -> None:
        self._context = context
        self._accounts = accounts
        self._backend = context.backend
        self._models = models

    async def resolve(self, text: str) -> str:
        """Resolve an id or a unique prefix of at least six characters. Raises NotFound, or Usage if ambiguous."""
        text = text.strip()
        canonical = str(as_uuid(text) or text)
        ids = [each for each in dict.fromkeys([text, canonical]) if self._backend.is_id(each)]
        if ids and (records := await self._backend.fetch("list_existing", {"ids": ids})):
            return str(records[0]["id"])
        if len(text) < MIN_PREFIX_LENGTH:
            raise NotFound(f"No memory has the id {quoted(text)}; a shortened id needs at least six characters.")
        span = self._backend.prefix_range(text)
        candidates = await self._backend.fetch("find_by_prefix", {"low": span[0], "high": span[1]}) if span else []
        if not candidates:
            raise NotFound(f"No memory has an id that begins with {quoted(text)}.")
        if len(candidates) > 1:
            raise Usage(f"Several ids begin with {quoted(text)}; give more characters.")
        return str(candidates[0]["id"])

    def is_id(self, text: str) -> bool:
        """Check whether this can be the id of a memory in this store."""
        return self._backend.is_id(text)

    async def get(self, memory_id: str) -> Memory:
        """Return one memory by its whole id. Raises NotFound."""
        records = await self._backend.fetch("get_memory", {"id": memory_id}) if self._backend.is_id(memory_id) else []
        if not records:
            raise NotFound(f"No memory has the id {quoted(memory_id)}.")
        memory = rows.memory(records[0])
        if not self._context.has(memory):
            raise NotFound(
                f"Memory {short_id(plain(memory.id))} did not exist yet at {moment_text(self._context.now())}."
            )
        [memory] = await as_they_were(self._backend, [memory], self._context.moment)
        return memory

    async def get_many(self, memory_ids: Sequence[str]) -> tuple[Memory, ...]:
        """Return the existing memories among these ids, in the order of the ids."""
        ids = [memory_id for memory_id in memory_ids if self._backend.is_id(memory_id)]
        memories = [rows.memory(row) for row in await self._backend.fetch("get_memories", {"ids": ids})]
        existing = [memory for memory in memories if self._context.has(memory)]
        then = await as_they_were(self._backend, existing, self._context.moment)
        by_id = {memory.id: memory for memory in then}
        return tuple(by_id[memory_id] for memory_id in ids if memory_id in by_id)

    async def page(
        self,
        filter: Filter | None = None,
        *,
        sort: Sort = "created",
        limit: int = 50,
        after: str | None = None,
        offset: int | None = None,
        head: int | None = None,
        moment: datetime | None = None,
    ) -> Page[Memory]:
        """Return one page of a filtered list, by keyset or offset; memories without due date or recall stand last.

        Newest first; ``due``: next due first; ``recall``: lowest first. ``after`` is the cursor of the previous page.
        ``head`` truncates each content to so many characters. ``moment`` is the time of recalls, now by default; a
        cursor has its own, so that the pages of one list agree.
        """
        return await read_page(
            self._context,
            filter or Filter(),
            sort=sort,
            limit=limit,
            after=after,
            offset=offset,
            head=head,
            moment=moment,
        )

    async def count(self, filter: Filter | None = None) -> int:
        """Count the memories that pass a filter."""
        return await self._context.count(filter or Filter())

    async def count_last(self, filter: Filter | None = None, *, sort: Sort) -> int:
        """Count the memories that stand last in this order, because they have no due date or no recall."""
        return await count_last(self._context, filter or Filter(), sort)

    async def position(
        self, memory_id: str, filter: Filter | None = None, *, sort: Sort = "created", moment: datetime | None = None
    ) -> int | None:
        """Return the index of a memory in a list as ``page`` sorts it, from 0; None if the list lacks it."""
        return await find_position(self._context, filter or Filter(), sort, memory_id, moment)

    async def facets(self, name: FacetName, filter: Filter | None = None, limit: int = 200) -> tuple[Facet, ...]:
        """Return the values of one facet with their counts, most frequent first."""
        filters, params = self._context.filters(filter or Filter())
        records = await self._backend.fetch(_FACET_QUERIES[name], {**params, "limit": limit}, {"filters": filters})
        if name not in ("owners", "groups"):
            return tuple(Facet(str(row["value"]), int(row["n"])) for row in records)
        return tuple(
            Facet(str(row["value"]), int(row["n"]), str(row["alias"] or ""), str(row["title"] or "")) for row in records
        )

    async def count_since(self, moments: Sequence[datetime], filter: Filter | None = None) -> tuple[int, ...]:
        """Count the memories of a filter that were created at or after each of these times."""
        return await self._count_each("facet_since", {"moments": [format_time(moment) for moment in moments]}, filter)

    async def count_until(self, moments: Sequence[datetime], filter: Filter | None = None) -> tuple[int, ...]:
        """Count the memories of a filter that were created before each of these times."""
        return await self._count_each("facet_until", {"moments": [format_time(moment) for moment in moments]}, filter)

    async def count_recalled(self, shares: Sequence[float], filter: Filter | None = None) -> tuple[int, ...]:
        """Count the memories of a filter with at least each of these retrievabilities now, 0 to 1."""
        horizons = [horizon(share, self._context.policy.weights) for share in shares]
        return await self._count_each("facet_recall", {"horizons": horizons, "now": self._context.now()}, filter)

    async def _count_each(self, query: str, bounds: dict[str, Any], filter: Filter | None) -> tuple[int, ...]:
        filters, params = self._context.filters(filter or Filter())
        records = await self._backend.fetch(query, {**params, **bounds}, {"filters": filters})
        counts = {int(row["place"]): int(row["n"]) for row in records}
        [first, *_] = bounds.values()
        return tuple(counts.get(index, 0) for index in range(len(first)))

    async def resolve_owner(self, filter: Filter) -> Filter:
        """Replace the handles and names of owners and groups in a filter by ids.

        Raises Usage if none or several match.
        """
        return dataclasses.replace(
            filter,
            groups=await self._group_ids(filter.groups),
            all_groups=await self._group_ids(filter.all_groups),
            no_groups=await self._group_ids(filter.no_groups),
            owner=None if filter.owner is None else await self._owner_id(filter.owner),
            no_owners=tuple([await self._owner_id(owner) for owner in filter.no_owners]),
        )

    async def _group_ids(self, groups: Sequence[str]) -> tuple[str, ...]:
        return tuple([(await self._accounts.group(name)).id for name in groups])

    async def _owner_id(self, owner: str) -> str:
        label = quoted(owner)
        records = await self._backend.fetch("find_owner", {"owner": clean(owner.strip())})
        closest = min((int(row["place"]) for row in records), default=0)
        ids = {str(row["value"]) for row in records if int(row["place"]) == closest}
        if not ids:
            raise Usage(f"No owner is called {label}.")
        if len(ids) > 1:
            raise Usage(f"Several owners are called {label}; give a handle or an id.")
        return ids.pop()

    async def owner_names(self, ids: Sequence[str]) -> dict[str, str]:
        """Return the handles of users and groups by id, of those that exist."""
        records = await self._backend.fetch("owner_names", {"ids": list(dict.fromkeys(ids))})
        return {str(row["value"]): str(row["name"]) for row in records}

    async def insert(self, draft: Draft, *, embedding: Vector | None = None, embed: bool = True) -> Change:
        """Write one memory. Without a usable model it is stored without a vector, with a warning in the change.

        Raises Usage for labels and metadata past the bounds of a memory.
        """
        self._context.refuse_read_only()
        check_draft(draft)
        batch, warnings = await self._models.vectors_for([draft.content], embedding, embed)
        warnings += new_sharing_warning(draft)
        warnings += replacement_warning(
            draft.content, draft.node_type, draft.tags, draft.domains, draft.codebase, draft.metadata
        )
        memory_id = draft.id or str(uuid.uuid4())
        if not self._backend.is_id(memory_id):
            raise Usage(f"{quoted(memory_id)} is not a valid id; PostgreSQL takes only UUIDs.")
        writes, stamps = insert_writes([(memory_id, draft)], batch, self._context.now())
        try:
            *results, [row] = await self._backend.write_all([*writes, self._context.journal_write("add", [], stamps)])
        except Conflict:
            if await self._backend.fetch("list_existing", {"ids": [memory_id]}):
                raise Conflict(f"A memory with the id {memory_id} already exists.") from None
            raise
        if batch and self._models.omits_vectors(batch, writes, results):
            warnings += await self._models.encode_omitted(
                {memory_id: clean(draft.content)}, by_caller=embedding is not None
            )
        return Change((memory_id,), int(row["id"]), draft.scheduling, warnings)

    async def insert_many(
        self,
        drafts: Sequence[Draft],
        *,
        embeddings: Sequence[Vector] | None = None,
        embed: bool = True,
        journal: ImportJournal | None = None,
    ) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        """Insert the drafts with new ids; return inserted ids, ids already present, and warnings.

        ``journal``, of ``journal.start_import``, gets the new memories in the same transaction; without it there is no
        entry. Raises Usage as ``insert`` does, before the first draft is written, and Cancelled where the entry was
        undone meanwhile.
        """
        self._context.refuse_read_only()
        return await insert_drafts(
            self._context, self._models, drafts, embeddings=embeddings, embed=embed, journal=journal
        )

    async def update(
        self, memory_id: str, patch: Patch, *, expected: datetime | None = None, embed: bool = True
    ) -> Change:
        """Edit a memory. Optimistic locking: raises Conflict if updated_at is no longer ``expected``."""
        self._context.refuse_read_only()
        batch: VectorBatch | None = None
        warnings: tuple[str, ...] = ()
        text = clean(patch.content or "")
        if patch.content is not None and (await self.get(memory_id)).content != text:
            batch, warnings = await self._models.vectors_for([text], None, embed)
        async with self._backend.write() as transaction:
            memory = await self._context.lock_memory(transaction, memory_id)
            if expected is not None and memory.updated_at != expected:
                raise Conflict(
                    f"Memory {memory_id[:8]} was changed elsewhere meanwhile; nothing was saved. "
                    "Look at it and try again."
                )
            entry = await self._edit(transaction, "edit", [(memory, patch)], batch)
            warnings += sharing_warning(memory, patch)
            warnings += replacement_warning(
                patch.content, patch.node_type, patch.tags, patch.domains, patch.codebase, patch.metadata
            )
            model_records = await transaction.fetch("get_model") if batch else []
        if batch and self._models.is_of_other_model(batch, model_records) and memory.content != text:
            warnings += await self._models.encode_omitted({memory_id: text})
        return Change((memory_id,) if entry is not None else (), entry, None, warnings)

    async def tag(self, memory_ids: Sequence[str], add: Sequence[str] = (), remove: Sequence[str] = ()) -> Change:
        """Add and remove tags on several memories, all or none."""
        self._context.refuse_read_only()
        removals = {clean(tag) for tag in remove}
        async with self._backend.write() as transaction:
            edits: list[tuple[Memory, Patch]] = []
            for memory_id in dict.fromkeys(memory_ids):
                memory = await self._context.lock_memory(transaction, memory_id)
                tags = dict.fromkeys([*memory.tags, *(clean(tag).strip() for tag in add)])
                edits.append((memory, Patch(tags=tuple(tag for tag in tags if tag and tag not in removals))))
            entry = await self._edit(transaction, "tag", edits)
        return Change(tuple(memory.id for memory, patch in edits if patch.tags != memory.tags), entry)

    async def _edit(
        self,
        transaction: Transaction,
        verb: str,
        edits: Sequence[tuple[Memory, Patch]],
        batch: VectorBatch | None = None,
    ) -> int | None:
        before: list[dict[str, Any]] = []
        after: list[dict[str, Any]] = []
        for index, (memory, patch) in enumerate(edits):
            new_memory = patched(memory, patch)
            old, new = memory_fields(memory), memory_fields(new_memory)
            if old == new:
                continue
            moves_timestamp = any(
                old[name] != new[name] for name in ("content", "node_type", "tags", "metadata", "codebase")
            )
            new["updated_at"] = time_text(self._context.now() if moves_timestamp else memory.updated_at)
            snapshot: dict[str, Any] = {"id": memory.id, "memory": old}
            if old["content"] != new["content"]:
                snapshot |= vector_fields(await transaction.fetch("get_embedding", {"id": memory.id}))
            await transaction.execute("update_memory", update_params(memory.id, new))
            if old["content"] != new["content"]:
                # The old vector belongs to the old text: no vector is better than a wrong one.
                await transaction.execute("delete_embedding", {"id": memory.id})
                if batch:
                    await transaction.execute(
                        "insert_embedding", vector_params(memory.id, batch.vectors[index], batch.key)
                    )
            before.append(snapshot)
            after.append({"id": memory.id, "memory": new})
        return await self._context.journal(transaction, verb, before, after) if after else None

    async def delete(self, memory_ids: Sequence[str]) -> Change:
        """Delete memories, all or none; the journal keeps a snapshot of each.

        A delete of several leaves out pinned ones, with a warning. Raises Refused if all of several are pinned.
        """
        self._context.refuse_read_only()
        ids = list(dict.fromkeys(memory_ids))
        async with self._backend.write() as transaction:
            memories = [await self._context.lock_memory(transaction, memory_id) for memory_id in ids]
            several = len(memories) > 1
            pinned = [memory for memory in memories if several and memory.marks.pinned]
            deleted = [memory for memory in memories if not (several and memory.marks.pinned)]
            if pinned and not deleted:
                raise Refused(f"All {len(pinned):,} memories are pinned; unpin them to delete them.")
            before = await snapshots(transaction, deleted)
            entry = await self._context.journal(transaction, "delete", before, [])
            await transaction.execute("delete_memories", {"ids": [memory.id for memory in deleted]})
        warnings = (left_out_sentence(len(pinned)),) if pinned else ()
        return Change(tuple(memory.id for memory in deleted), entry, warnings=warnings)
