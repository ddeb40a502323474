"""Search of a PostgreSQL store: the blocks of its one statement, and their values."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vestige_tui.core.errors import Busy, Unavailable, VestigeError
from vestige_tui.core.search import SearchStep
from vestige_tui.store.backends.postgres_word_weights import CANDIDATE_ROWS, choose_candidates
from vestige_tui.store.backends.protocol import BackendQuery, BackendResult, Params, Row
from vestige_tui.store.schema.named_sql import Slots
from vestige_tui.store.schema.rows import foreign_index
from vestige_tui.store.search.literal import MAX_SCANNED_ROWS, literal_block, literal_params

if TYPE_CHECKING:
    from vestige_tui.store.backends.postgres_word_weights import WordWeights
    from vestige_tui.store.backends.protocol import Backend, ModelKey

MAX_EXACT_ROWS = 4_000
"""Filter sets of at most this size are measured exactly, without the HNSW index."""
_VECTOR_STEPS = {
    "branch_vector_index": "{index}, scanned until enough pass the filters",
    "branch_vector_either": f"exact if at most {MAX_EXACT_ROWS:,} pass the filters, otherwise {{index}}",
    "branch_vector_exact": "exact, over all that pass the filters",
}


class PostgresSearch:
    """Searches of one PostgreSQL store: both branches, their fusion and the memories in one statement."""

    def __init__(self, backend: Backend, weights: WordWeights) -> None:
        self._backend = backend
        self._weights = weights
        self._index_name = ""
        self.viewed = False
        """Whether the store is viewed as a user, who may see few of its memories."""

    async def run(self, query: BackendQuery) -> BackendResult:
        """Run a search as ``Backend.search`` does."""
        started = time.perf_counter()
        steps: list[SearchStep] = []
        params = query.statement_params()
        vector_block, text_block = "branch_vector_none", "branch_text_none"
        if query.vector is not None:
            params |= {"embedding": query.vector, "few": MAX_EXACT_ROWS}
            vector_block = "branch_vector_exact" if query.exact else self._choose_vector_block(query.filters)
            step = _VECTOR_STEPS[vector_block]
            if "{index}" in step:
                step = step.format(index=await self._name_of_index())
            steps.append(SearchStep("vector", step))
        if query.literal is not None:
            text_block, params = literal_block(query.literal), params | literal_params(query.literal)
            steps.append(SearchStep("text", f"character scan of at most the newest {MAX_SCANNED_ROWS:,} memories"))
        elif query.pieces:
            text_block = "branch_text_pieces"
            params |= {"pieces": list(query.pieces), "spaced": list(query.spaced), "scanned": MAX_SCANNED_ROWS}
            steps.append(SearchStep("text", f"letter pairs in at most the newest {MAX_SCANNED_ROWS:,} memories"))
        elif query.words:
            ranked_words = await self._weights.of(query.words)
            if ranked_words:
                required_words = await self._weights.of(query.params["must"]) if "filter_must" in query.filters else []
                candidate_query, description, is_common = choose_candidates(
                    ranked_words, required_words, self._weights.counted_memories
                )
                if query.exact:
                    candidate_query, description, is_common = (
                        " | ".join(f"({word.query})" for word in ranked_words),
                        "all memories with any query word",
                        False,
                    )
                params |= {
                    "queries": [word.query for word in ranked_words],
                    "weights": [word.weight for word in ranked_words],
                    "rare": candidate_query,
                    "candidates": CANDIDATE_ROWS,
                }
                text_block = "branch_text_common" if is_common else "branch_text"
                steps.append(SearchStep("text", f"{description}, ranked by idf x ts_rank"))
        elif query.newest:
            text_block = "branch_text_newest"
            steps.append(SearchStep("text", "no words to search for: the newest memories"))
        slots = {
            "vector_branch": [vector_block],
            "text_branch": [text_block],
            "text_score": ["score_text" if text_block in ("branch_text", "branch_text_common") else "score_none"],
            "vector_score": ["score_none" if query.vector is None else "score_vector"],
            "filters": query.filters,
            "chosen": ["chosen_one" if query.only else "chosen_best"],
        }
        rows, model = await self._search_once(params, slots, query.model)
        used_index = vector_block in ("branch_vector_index", "branch_vector_either")
        if used_index and model == query.model and query.only is None and len(rows) < query.limit:
            # An HNSW scan may end before enough rows passed the filters; an exact pass cannot.
            steps.append(SearchStep("vector", "too few found; exact, over all that pass the filters"))
            slots = {**slots, "vector_branch": ["branch_vector_exact"]}
            rows, model = await self._search_once(params, slots, query.model)
        elapsed_ms = (time.perf_counter() - started) * 1000
        steps.append(SearchStep("search", "both branches, their fusion and the memories, in one statement", elapsed_ms))
        return BackendResult(rows, tuple(steps), model=model)

    async def _name_of_index(self) -> str:
        """Return the kind of the vector index, and its name where it is not of this program; looked up once."""
        if not self._index_name:
            found = await self._backend.fetch("find_index")
            foreign = foreign_index(found)
            self._index_name = f"index {foreign}" if foreign else "HNSW index"
        return self._index_name

    async def _search_once(
        self, params: Params, slots: Slots, expected: ModelKey | None
    ) -> tuple[list[Row], ModelKey | None]:
        """Return the rows of a search, and the model of the vectors that it read."""
        try:
            rows = await self._backend.fetch("search_memories", params, slots)
        except (Busy, Unavailable):
            raise
        except VestigeError:
            # Vectors of two widths or types cannot be compared: an error only where both are of one model.
            if expected is None or (current := await self._current_model()) == expected:
                raise
            return [], current
        model = (str(rows[0]["model"]), int(rows[0]["width"])) if rows and rows[0]["model"] else None
        return [row for row in rows if row["place"] is not None], model

    async def _current_model(self) -> ModelKey | None:
        rows = await self._backend.fetch("get_model")
        return (str(rows[0]["name"]), int(rows[0]["dimension"])) if rows else None

    def _choose_vector_block(self, filters: Sequence[str]) -> str:
        # Replaced memories are rare: the index meets few of them, and nothing needs to be counted first.
        is_broad = set(filters) <= {"filter_active"} and not self.viewed
        return "branch_vector_index" if is_broad else "branch_vector_either"
