"""Domains of a store: names on memories, with rows of their own for a label, top terms and a centroid.

A rename, a merge or a deletion is previewed like any bulk change, and is one transaction and one journal entry with the
rows and the memories that it changes.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from vestige_tui.core.accounts import Domain
from vestige_tui.core.bulk import BulkPreview, DomainMove, Target
from vestige_tui.core.domains import CENTROID_AT, SET_DOMAIN, Classification, DomainSummary
from vestige_tui.core.errors import Conflict, NotFound, Usage
from vestige_tui.core.memories import Change, Filter, Patch
from vestige_tui.core.search import SearchQuery
from vestige_tui.core.storable import check_labels, clean
from vestige_tui.core.text import quoted
from vestige_tui.store.centroids import centroid_of, similarities
from vestige_tui.store.domain_rows import delete_rows, lock_rows, put_row, row_snapshots
from vestige_tui.store.domain_terms import top_terms
from vestige_tui.store.domain_undo import name_params
from vestige_tui.store.journal_parts import JournalParts
from vestige_tui.store.journal_snapshots import time_text
from vestige_tui.store.memory_writes import patched
from vestige_tui.store.schema import rows

if TYPE_CHECKING:
    from vestige_tui.core.search import Answer, Hit
    from vestige_tui.store.backends.protocol import Transaction
    from vestige_tui.store.bulk import BulkService
    from vestige_tui.store.context import StoreContext
    from vestige_tui.store.memories import MemoryService

TERM_MEMORIES = 1_000
"""Memories of a domain, and as many others, whose words are counted for its top terms: the newest ones."""
TERM_CHARS = 2_000
"""Characters of each of them."""
NO_CENTROID = "No domain has a centroid of the current model; compute one with `vestige-tui domains set NAME`."


class DomainService:
    """Domains with their members; ``preview`` a move of names, then ``apply`` it."""

    def __init__(
        self,
        context: StoreContext,
        memories: MemoryService,
        bulk: BulkService,
        search: Callable[[SearchQuery], Awaitable[Answer]],
    ) -> None:
        self._context = context
        self._backend = context.backend
        self._memories = memories
        self._bulk = bulk
        self._search = search

    # Reading

    async def list_all(self) -> tuple[DomainSummary, ...]:
        """Return the domains on memories and those with a row, most memories first."""
        summaries = {each.name: each for each in map(rows.domain_summary, await self._backend.fetch("list_domains"))}
        for row in await self._backend.fetch("count_domain_members"):
            name = str(row["name"])
            summary = summaries.get(name) or DomainSummary(name)
            replaced = int(row["replaced"] or 0)
            summaries[name] = dataclasses.replace(summary, memories=int(row["n"]), replaced=replaced)
        return tuple(sorted(summaries.values(), key=lambda each: (-each.memories, each.name)))

    async def get(self, name: str) -> DomainSummary:
        """Return one domain. Raises NotFound for a name that no memory and no row has."""
        name = clean(name)
        for summary in await self.list_all():
            if summary.name == name:
                return summary
        raise NotFound(f"No domain is called {quoted(name)}.")

    async def near(self, name: str, limit: int = 10) -> tuple[Hit, ...]:
        """Return the active memories outside of a domain that are nearest to its centroid, nearest first.

        Empty without a centroid of the current model.
        """
        records = await self._backend.fetch("get_domains", {"names": [clean(name)]})
        model = await self._backend.fetch("get_model")
        centroid = rows.domain_with_centroid(records[0]).centroid if records else None
        # A centroid of zeros has no direction.
        if centroid is None or not centroid.any() or not model or len(centroid) != rows.model(model[0]).dimension:
            return ()
        query = SearchQuery(embedding=centroid, mode="vector", limit=limit, no_domains=(clean(name),))
        return (await self._search(query)).hits

    async def classify(self, memory_id: str) -> Classification:
        """Return the domains by the cosine of their centroids and the memory's vector.

        Raises NotFound for a memory without a vector, or where no domain has a centroid of the current model.
        """
        memory = await self._memories.get(memory_id)
        vectors = await self._backend.fetch("get_embedding", {"id": memory_id})
        if not vectors:
            raise NotFound(f"Memory {memory_id[:8]} has no vector, so it cannot be classified.")
        if self._backend.capabilities.computes_vectors:
            records = await self._backend.fetch("rank_domains", {"id": memory_id})
            scores = [rows.domain_score(row) for row in records if row["similarity"] is not None]
        else:
            vector = rows.as_vector(vectors[0]["embedding"])
            records = await self._backend.fetch("list_centroids", {"dimension": len(vector)})
            scores = await similarities(records, vector)
        if not scores:
            raise NotFound(NO_CENTROID)
        return Classification(memory.id, memory.domains, tuple(scores))

    # Changes

    async def add_best(self, classification: Classification) -> Change:
        """Add the best domain of a classification to its memory, with its similarity as the score of the domain.

        Nothing changes if the memory is in it already. Raises Conflict if its domains have changed since.
        """
        self._context.refuse_read_only()
        best = classification.best
        if best.name in classification.domains:
            return Change(())
        async with self._backend.write() as transaction:
            memory = await self._context.lock_memory(transaction, classification.memory_id)
            if memory.domains != classification.domains:
                raise Conflict(f"Memory {memory.id[:8]} was changed elsewhere meanwhile; nothing was saved.")
            names = patched(memory, Patch(domains=(*memory.domains, best.name))).domains
            scores = {**memory.domain_scores, best.name: best.similarity}
            await transaction.execute("update_domains", name_params(memory.id, names, scores))
            before = {"domains": list(memory.domains), "domain_scores": dict(memory.domain_scores)}
            after = {"domains": list(names), "domain_scores": scores}
            entry = await self._context.journal(
                transaction, "edit", [{"id": memory.id, "memory": before}], [{"id": memory.id, "memory": after}]
            )
        return Change((memory.id,), entry)

    async def put(self, name: str, *, label: str | None = None, terms: Sequence[str] | None = None) -> Change:
        """Create or update the row of a domain, with its number of memories and their centroid.

        ``label`` defaults to the present one, then to the name; ``terms`` to those that are typical of its memories.
        The warnings say if the domain has no centroid.
        """
        self._context.refuse_read_only()
        name = checked_name(name)
        words = tuple(dict.fromkeys(map(clean, terms))) if terms is not None else await self._typical_terms(name)
        check_labels("term", words)
        check_labels("label", [clean(label or "")])
        async with self._backend.write() as transaction:
            existing = await lock_rows(transaction, [name])
            before = await row_snapshots(transaction, [name], existing)
            row = await self._computed(transaction, existing.get(name) or self._empty(name))
            label = clean(label).strip() if label is not None else row.label
            row = dataclasses.replace(row, label=label or name, top_terms=words)
            await put_row(transaction, row)
            after = await row_snapshots(transaction, [name], await lock_rows(transaction, [name]))
            heads = [{**before, "names": [name]}], [{**after, "into": name}]
            entry = await self._context.journal(transaction, SET_DOMAIN, *heads)
        return Change((), entry, warnings=_without_centroid(row))

    async def compute_missing(self) -> None:
        """Compute the centroids of rows without one, as restored rows are. It is no change of a user."""
        self._context.refuse_read_only()
        names = [each.name for each in await self.list_all() if each.has_row and each.dimension is None]
        async with self._backend.write() as transaction:
            for row in (await lock_rows(transaction, names)).values():
                await put_row(transaction, await self._computed(transaction, row))

    async def preview(self, move: DomainMove) -> BulkPreview:
        """Return the memories that a rename, a merge or a deletion changes, replaced ones included.

        Raises NotFound for a domain that does not exist, Usage for a name that is taken or that no memory can have.
        """
        move = await self._checked(move)
        return await self._bulk.preview(Target(filter=Filter(domains=move.names, superseded=True)), move)

    async def apply(self, preview: BulkPreview) -> Change:
        """Write a previewed move, rows and memories, all or none. Raises Conflict if one has changed since."""
        self._context.refuse_read_only()
        move = preview.operation
        assert isinstance(move, DomainMove), move
        names = list(dict.fromkeys([*move.names, *filter(None, [move.into])]))
        async with self._backend.write() as transaction:
            existing = await lock_rows(transaction, names)
            before = {**await row_snapshots(transaction, names, existing), "names": list(move.names)}
            journal = JournalParts(self._context, transaction, move.verb)
            await self._bulk.write(transaction, preview, journal)
            await self._refuse_newcomers(transaction, move)
            await self._move_rows(transaction, move, existing)
            after = {**await row_snapshots(transaction, names, await lock_rows(transaction, names)), "into": move.into}
            entry = await journal.close((before, after))
        return Change(preview.ids, entry)

    async def _checked(self, move: DomainMove) -> DomainMove:
        """Return a move with its names as they are stored."""
        existing = {summary.name for summary in await self.list_all()}
        into = checked_name(move.into) if move.into is not None else None
        names = tuple(dict.fromkeys(name for name in map(clean, move.names) if name != into))
        for name in names:
            if name not in existing:
                raise NotFound(f"No domain is called {quoted(name)}.")
        if not names:
            raise Usage(f"{quoted(into or '')} is the name already; give another one.")
        if move.verb == "rename_domain" and into in existing:
            raise Usage(f"A domain {quoted(into or '')} exists; merge {quoted(names[0])} into it instead.")
        return dataclasses.replace(move, names=names, into=into)

    async def _refuse_newcomers(self, transaction: Transaction, move: DomainMove) -> None:
        """Raise Conflict if memories came into a moved domain since the preview."""
        filters, params = self._context.filters(Filter(domains=move.names, superseded=True))
        [row] = await transaction.fetch("count_memories", params, {"filters": filters})
        if row["n"]:
            names = ", ".join(map(quoted, move.names))
            raise Conflict(f"Memories came into {names} meanwhile; nothing was saved. Look at them and try again.")

    async def _move_rows(self, transaction: Transaction, move: DomainMove, existing: dict[str, Domain]) -> None:
        """Write the row of the new name, if there is a row to begin with, and delete those of the old names."""
        old = [existing[name] for name in move.names if name in existing]
        await delete_rows(transaction, [row.id for row in old])
        into = move.into
        if into is None or not (old or into in existing):
            return
        row = existing.get(into)
        if row is None:
            # A label that only repeats the name follows it.
            labels = [each.label for each in old if each.label != each.id]
            row = dataclasses.replace(old[0], id=into, label=labels[0] if labels else into)
        terms = tuple(dict.fromkeys([*row.top_terms, *(term for each in old for term in each.top_terms)]))
        row = dataclasses.replace(row, top_terms=terms[: max(map(_term_count, [row, *old]))])
        centred = any(each.centroid is not None for each in [row, *old])
        if move.verb == "merge_domains":
            row = await self._computed(transaction, row, centred=centred)
        await put_row(transaction, row)

    async def _computed(self, transaction: Transaction, row: Domain, *, centred: bool = True) -> Domain:
        """Return a row with the number of its memories now, and, if ``centred``, their centroid."""
        filters, params = self._context.filters(Filter(domains=(row.id,), superseded=True))
        [count] = await transaction.fetch("count_memories", params, {"filters": filters})
        row = dataclasses.replace(row, memory_count=int(count["n"]))
        records = await transaction.fetch("get_model") if centred else []
        centroid = None
        if records:
            by_database = self._backend.capabilities.computes_vectors
            dimension = rows.model(records[0]).dimension
            centroid = await centroid_of(transaction.fetch, row.id, dimension, by_database=by_database)
        metadata: dict[str, Any] = {key: value for key, value in row.metadata.items() if key != CENTROID_AT}
        if centroid is not None:
            metadata[CENTROID_AT] = time_text(self._context.now())
        return dataclasses.replace(row, centroid=centroid, metadata=metadata)

    async def _typical_terms(self, name: str) -> tuple[str, ...]:
        """Return the words that tell the memories of a domain from the others."""
        inside = await self._texts(Filter(domains=(name,)))
        return await asyncio.to_thread(top_terms, inside, await self._texts(Filter(no_domains=(name,))))

    async def _texts(self, filter: Filter) -> list[str]:
        page = await self._memories.page(filter, limit=TERM_MEMORIES, head=TERM_CHARS)
        return [f"{memory.content} {' '.join(memory.tags)}" for memory in page.items]

    def _empty(self, name: str) -> Domain:
        return Domain(name, name, (), 0, self._context.now())


def checked_name(name: str) -> str:
    """Return the name of a domain as it is stored. Raises Usage for one that no memory can have."""
    name = clean(name).strip()
    if not name:
        raise Usage("A domain needs a name.")
    check_labels("domain", [name])
    return name


def _term_count(row: Domain) -> int:
    return len(row.top_terms)


def _without_centroid(row: Domain) -> tuple[str, ...]:
    if row.centroid is not None:
        return ()
    return (f"The domain {quoted(row.id)} has no centroid: none of its memories has a vector.",)
