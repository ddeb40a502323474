"""Search of a SQLite store: both branches, and the cache that searches share."""

from __future__ import annotations

import asyncio
import math
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from vestige_tui.core.health import VectorsHeld
from vestige_tui.core.search import SearchStep
from vestige_tui.store.backends.protocol import BackendQuery, BackendResult
from vestige_tui.store.backends.sqlite_connection import run_query_on
from vestige_tui.store.search.bm25_candidates import ScoredSeq, TextQuery, best, rank
from vestige_tui.store.search.filter_sets import FilterSet, FilterSets
from vestige_tui.store.search.folding import fold_words
from vestige_tui.store.search.literal import MAX_SCANNED_ROWS, literal_block, literal_params
from vestige_tui.store.search.query_syntax import fold_ascii
from vestige_tui.store.search.vector_index import VectorIndex
from vestige_tui.store.search.viewed_bm25 import ViewedText

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import ModelSignature
    from vestige_tui.store.backends.protocol import Backend, ModelKey, Params
    from vestige_tui.store.backends.sqlite_readers import Readers
    from vestige_tui.store.search.bm25_candidates import RunQuery
    from vestige_tui.store.search.vector_index import Take


_STORED_VECTORS = {
    "measure_embeddings": "measure_stored_embeddings",
    "list_embeddings_after": "list_stored_embeddings_after",
    "list_embedding_seqs": "list_stored_embedding_seqs",
}
"""Queries of the vector index, with those that read past the views of a viewer."""


@dataclass(slots=True)
class _SearchCache:
    """Counts and filter sets that searches share, valid for one change token."""

    token: object
    filter_sets: FilterSets
    counts: dict[str, int]
    total: int | None = None
    visible: frozenset[int] | None = None
    """Memories that the viewer may see; None for a store that is not viewed as a user."""
    viewed_text: ViewedText | None = None

    def viewed(self, run_query: RunQuery) -> ViewedText | None:
        """Return the text index as the viewer has it; None for a store that is not viewed as a user."""
        if self.viewed_text is None and self.visible is not None:
            self.viewed_text = ViewedText(run_query, self.visible)
        return self.viewed_text

    def count_with(self, run_query: RunQuery, phrase: str) -> int:
        """Return the number of memories that hold a word or phrase."""
        if phrase not in self.counts and (viewed := self.viewed(run_query)) is not None:
            self.counts[phrase] = viewed.count(run_query, phrase)
        elif phrase not in self.counts:
            [(self.counts[phrase],)] = run_query("count_matching", {"words": phrase})
        return self.counts[phrase]

    def count(self, run_query: RunQuery) -> int:
        """Return the number of memories."""
        if self.total is None:
            [(self.total,)] = run_query("count_memories", {})
        return self.total


@dataclass(frozen=True, slots=True)
class _Branch:
    """Hits of one branch of a search: memories by seq with their scores."""

    hits: list[ScoredSeq]
    step: SearchStep
    warnings: tuple[str, ...] = ()
    model: ModelKey | None = None
    """Model of the vectors, in a vector branch."""

    def certain_seqs(self, depth: int) -> set[int]:
        """Return the seqs that are certainly in the branch: none where more tie for its last ranks than it has."""
        return {seq for seq, _ in self.hits} if len(self.hits) <= depth else set()


def _too_large_warning(index: VectorIndex) -> str:
    return (
        f"The {index.too_large:,} vectors exceed the limit of {index.limit / 1e9:.1f} GB of memory; text results only. "
        "Copy the store to PostgreSQL with `vestige-tui migrate copy`."
    )


def match_expression(words: Sequence[str], *, every: bool, folded: bool = True) -> str:
    """Return an FTS5 expression for words and phrases: all of them, or any; ``folded`` as our own index has them."""
    # Each word is quoted, so that it cannot be an operator; one without letters matches nothing.
    quoted = ('"' + (fold_words(word) if folded else word).replace('"', " ") + '"' for word in words)
    return (" AND " if every else " OR ").join(quoted)


class SqliteSearch:
    """Searches of one SQLite store: the vector branch in memory, the text branch by FTS5, and their fusion."""

    def __init__(self, backend: Backend, readers: Readers) -> None:
        self._backend = backend
        self._readers = readers
        self.index: VectorIndex | None = None
        """Vectors of the registered model; None for a store without one."""
        self.folds = True
        """Whether the text index holds folded words: not that of another program or of an earlier version."""
        self._cache: _SearchCache | None = None
        self._viewed = False

    def view(self) -> None:
        """Rank as if only the memories existed that the viewer of the store may see."""
        self._viewed, self._cache = True, None
        if self.index is not None:
            self.index = self._index_of(*self.index.own)

    def match(self, words: Sequence[str], *, every: bool) -> str:
        """Return an FTS5 expression for words and phrases, folded as the text index of this file is."""
        return match_expression(words, every=every, folded=self.folds)

    async def close(self) -> None:
        """Drop the vectors from memory, and stop loading them."""
        if self.index is not None:
            await self.index.close()
            self.index = self._index_of(*self.index.own)

    def vectors_held(self) -> VectorsHeld | None:
        """Return the size of the vectors in memory; None for a store without a model."""
        index = self.index
        if index is None:
            return None
        return VectorsHeld(len(index), index.dimension, index.bytes, index.limit, index.too_large)

    def use_model(self, model: ModelSignature | None) -> None:
        """Set the model that the vectors of this store belong to."""
        index = self.index
        if index is not None and (model is None or index.own != (model.name, model.dimension)):
            index.stop()
            self.index = None
        if model is not None and self.index is None:
            self.index = self._index_of(model.name, model.dimension)

    def _index_of(self, name: str, dimension: int) -> VectorIndex:
        return VectorIndex(dimension, self._stream_vectors, name=name, rewritten=self._backend.foreign)

    async def _stream_vectors(self, name: str, params: Params, take: Take) -> None:
        """Read vectors for the index. A viewer's has those of the whole store: a filter set hides memories from it.

        An index of the visible vectors alone would be read anew after each change, because a memory can become
        visible without a new vector.
        """
        await self._readers.stream(_STORED_VECTORS[name] if self._viewed else name, params, take)

    async def warm(self) -> None:
        """Load the vectors, so that the first vector search need not wait for them."""
        if self.index is not None:
            await self.index.sync(await self._backend.change_token())

    async def run(self, query: BackendQuery) -> BackendResult:
        """Run a search as ``Backend.search`` does."""
        params = query.statement_params()
        steps: list[SearchStep] = []
        warnings: list[str] = []
        vector_block, text_block, filters = "branch_vector_none", "branch_text_none", query.filters
        if query.literal is not None:
            text_block, params = literal_block(query.literal), params | literal_params(query.literal)
            steps.append(SearchStep("text", f"character scan of the newest {MAX_SCANNED_ROWS:,} memories"))
        elif query.newest:
            text_block = "branch_text_newest"
            steps.append(SearchStep("text", "no words to search for: the newest memories"))
        else:
            # Both branches apply their filters themselves.
            filters, index = (), self.index
            cache = await self._current_cache()
            (vector_branch, text_scores), text_branch = await asyncio.gather(
                self._vector_branch_and_text_scores(query, index, cache), self._text_branch(query, cache)
            )
            if vector_branch is not None and vector_branch.model != query.model:
                return BackendResult([], (), model=vector_branch.model)
            if vector_branch is not None:
                vector_block, params["vector_hits"], params["vector_also"] = (
                    "branch_vector_given",
                    vector_branch.hits,
                    [],
                )
                steps.append(vector_branch.step)
                warnings += vector_branch.warnings
            if query.pieces:
                text_block, filters = "branch_text_pieces", query.filters
                params |= self._piece_params(query)
                steps.append(SearchStep("text", f"letter pairs in at most the newest {MAX_SCANNED_ROWS:,} memories"))
            elif text_branch is not None:
                text_block, params["text_hits"], params["text_also"] = "branch_text", text_branch.hits, []
                steps.append(text_branch.step)
            if vector_branch is not None and text_branch is not None and index is not None and query.vector is not None:
                certain_vector, certain_text = (
                    vector_branch.certain_seqs(query.depth),
                    text_branch.certain_seqs(query.depth),
                )
                params["text_also"] = [hit for hit in text_scores if hit[0] not in certain_text]
                others = [seq for seq, _ in text_branch.hits if seq not in certain_vector]
                params["vector_also"] = await index.cosines(query.vector, others)
                if index.model != query.model:
                    return BackendResult([], (), model=index.model)
        slots = {
            "vector_branch": [vector_block],
            "text_branch": [text_block],
            "filters": filters,
            "chosen": ["chosen_one" if query.only else "chosen_best"],
        }
        rows = await self._backend.fetch("search_memories", params, slots)
        return BackendResult(rows, tuple(steps), tuple(warnings), query.model)

    def _piece_params(self, query: BackendQuery) -> dict[str, object]:
        # The index of another program holds no word that stands among letters of a script without spaces.
        by_letters = () if self.folds else map(fold_ascii, query.spaced)
        by_index = [self.match([word], every=True) for word in query.spaced] if self.folds else []
        return {"pieces": (*query.pieces, *by_letters), "spaced": by_index, "scanned": MAX_SCANNED_ROWS}

    async def _current_cache(self) -> _SearchCache:
        """Return the cache for the store's current change token; an empty one where the store has changed."""
        token = await self._backend.change_token()
        if self._cache is None or self._cache.token != token:
            sets = FilterSets(self._backend.fetch, viewed=self._viewed)
            self._cache = _SearchCache(token, sets, {}, visible=(await sets.of((), {})).only)
        return self._cache

    async def _vector_branch(
        self, query: BackendQuery, index: VectorIndex | None, cache: _SearchCache
    ) -> _Branch | None:
        if query.vector is None or index is None:
            return None
        if index.own == query.model:
            await index.sync(cache.token)
        if self.index is not None and self.index is not index:
            # The index was replaced meanwhile; this one may have been stopped half full.
            index = self.index
        allowed = await cache.filter_sets.of(query.filters, query.params)
        if index.model != query.model:
            return _Branch([], SearchStep("vector", "skipped: the vectors are of another model"), model=index.model)
        if index.too_large:
            step = SearchStep("vector", "skipped: too many vectors for the memory")
            return _Branch([], step, (_too_large_warning(index),), index.model)
        started = time.perf_counter()
        hits, how = await index.nearest(query.vector, query.depth, allowed, exact=query.exact)
        return _Branch(hits, SearchStep("vector", how, (time.perf_counter() - started) * 1000), model=query.model)

    async def _vector_branch_and_text_scores(
        self, query: BackendQuery, index: VectorIndex | None, cache: _SearchCache
    ) -> tuple[_Branch | None, list[ScoredSeq]]:
        """Return the vector branch, and the BM25 scores of the memories in it."""
        branch = await self._vector_branch(query, index, cache)
        if branch is None or not branch.hits or not query.words:
            return branch, []
        rows = await self._readers.read(partial(self._score_text, query, {seq for seq, _ in branch.hits}, cache))
        return branch, [(int(seq), float(score)) for seq, score in rows]

    def _score_text(
        self, query: BackendQuery, seqs: set[int], cache: _SearchCache, connection: sqlite3.Connection
    ) -> Sequence[tuple[int, float]]:
        """Return the BM25 scores of those of these memories that hold a word."""
        run_query = partial(run_query_on, self._backend.timings, connection)
        if (viewed := cache.viewed(run_query)) is not None:
            phrases = [self.match([word], every=True) for word in query.words]
            return [hit for hit in viewed.rank(run_query, phrases, every=False) if hit[0] in seqs]
        return run_query("rank_matching_among", {"words": self.match(query.words, every=False), "among": sorted(seqs)})

    async def _text_branch(self, query: BackendQuery, cache: _SearchCache) -> _Branch | None:
        if not query.words:
            return None
        filters, every = query.filters, False
        if query.params.get("must") == self.match(query.words, every=True):
            # All words must occur: the ranking query finds exactly the memories that pass this filter.
            filters, every = tuple(name for name in filters if name != "filter_must"), True
        allowed = await cache.filter_sets.of(filters, query.params)
        started = time.perf_counter()
        hits, how = await self._readers.read(partial(self._rank_text, query, every, allowed, cache))
        return _Branch(hits, SearchStep("text", how, (time.perf_counter() - started) * 1000))

    def _rank_text(
        self, query: BackendQuery, every: bool, allowed: FilterSet, cache: _SearchCache, connection: sqlite3.Connection
    ) -> tuple[list[ScoredSeq], str]:
        run_query = partial(run_query_on, self._backend.timings, connection)
        phrases = [self.match([word], every=True) for word in query.words]
        if (viewed := cache.viewed(run_query)) is not None:
            hits = [hit for hit in viewed.rank(run_query, phrases, every=every) if allowed.passes(hit[0])]
            return best(hits, query.depth), "FTS5, over the memories of the viewer, ranked by bm25"
        counts = tuple((phrase, cache.count_with(run_query, phrase)) for phrase in phrases)
        return rank(run_query, TextQuery(counts, every, query.depth, query.exact), allowed, cache.count(run_query))

    async def word_counts(self, words: Sequence[str]) -> list[tuple[int, float]]:
        """Return for each word or phrase the number of memories that hold it, and its idf."""
        cache = await self._current_cache()
        return await self._readers.read(partial(self._count_words, words, cache))

    def _count_words(
        self, words: Sequence[str], cache: _SearchCache, connection: sqlite3.Connection
    ) -> list[tuple[int, float]]:
        run_query = partial(run_query_on, self._backend.timings, connection)
        counts = [cache.count_with(run_query, self.match([word], every=True)) for word in words]
        return [
            (count, max(1e-6, math.log((cache.count(run_query) - count + 0.5) / (count + 0.5)))) for count in counts
        ]
