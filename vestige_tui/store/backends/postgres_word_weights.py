"""Weights of words in a PostgreSQL store, and the choice of the memories that are ranked by them."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vestige_tui.core.errors import VestigeError
from vestige_tui.core.log import suppressed
from vestige_tui.store.backends.protocol import Row

if TYPE_CHECKING:
    from vestige_tui.store.backends.protocol import Backend

log = logging.getLogger(__name__)

CANDIDATE_ROWS = 2_000
"""Target number of memories that the text branch ranks."""
MIN_EXPECTED_ROWS = 300
"""Expected matches that a conjunction of words must keep."""
COUNT_SECONDS = 20.0
"""Pause between two checks of the word counts."""
MAX_INLINE_COUNT_MEMORIES = 20_000
"""Larger stores are counted in the background."""
MAX_CACHED_WORDS = 10_000
"""Size of the cache of word weights."""
SMALL_STORE_MEMORIES = 500
"""Smaller stores have their counts checked at every search."""
TOLERATED_GROWTH_RATIO = 0.1
"""Change of a store's size, as a share of it, after which its words are counted again."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a search: its query of the text index, the number of memories that hold it, and its idf."""

    query: str
    documents: int
    weight: float


def _word_of(row: Row) -> Word:
    documents, total = int(row["documents"]), int(row["whole"])
    weight = math.log(1 + (max(total, documents) - documents + 0.5) / (documents + 0.5))
    return Word(str(row["query"]), documents, weight)


def choose_candidates(words: Sequence[Word], required: Sequence[Word], total: int) -> tuple[str, str, bool]:
    """Return a query for the memories to rank, its description, and whether it may match very many.

    Memories with one of the rarest words, as long as these are in some thousands at most. Where no word is rare:
    memories with several words at once, as many of the words as still leave enough expected matches. The
    ``required`` words, which each memory must hold, may leave few enough by themselves.
    """
    if required and total * math.prod(word.documents / max(total, 1) for word in required) <= 2 * CANDIDATE_ROWS:
        return " & ".join(f"({word.query})" for word in required), "memories with all required words", False
    ordered = sorted(words, key=lambda word: word.documents)
    if ordered[0].documents <= 2 * CANDIDATE_ROWS:
        count, documents = 1, ordered[0].documents
        while count < len(ordered):
            total_documents = documents + ordered[count].documents
            if total_documents > CANDIDATE_ROWS and (
                documents > CANDIDATE_ROWS // 2 or total_documents > 2 * CANDIDATE_ROWS
            ):
                break
            count, documents = count + 1, total_documents
        description = (
            "any query word" if count == len(ordered) else f"one of the {count} rarest of {len(ordered)} words"
        )
        return " | ".join(f"({word.query})" for word in ordered[:count]), f"memories with {description}", False
    count, expected = 1, float(ordered[0].documents)
    while count < len(ordered):
        expected *= ordered[count].documents / max(total, 1)
        if expected < MIN_EXPECTED_ROWS:
            break
        count += 1
    description = "the rarest word" if count == 1 else f"all of the {count} rarest words"
    query = " & ".join(f"({word.query})" for word in ordered[:count])
    return query, f"the newest {CANDIDATE_ROWS:,} memories with {description}; all are common", True


class WordWeights:
    """Weights of the words of a store (idf), cached; the counts behind them are kept current."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._count_task: asyncio.Task[None] | None = None
        self._count_due_at = 0.0
        self.viewed = False
        """Whether the store is viewed as a user: each search counts the memories that the user may see."""
        self.counted_memories = -1
        """Number of memories at the last count."""
        self._word_cache: dict[str, Word | None] = {}

    async def close(self) -> None:
        """Stop a count that runs in the background."""
        if self._count_task is not None:
            self._count_task.cancel()
            await asyncio.wait({self._count_task})
            self._count_task = None

    async def of(self, words: Sequence[str]) -> list[Word]:
        """Return the words as the text index has them, with their weights; words without a weight are left out."""
        if self.viewed:
            return await self._of_viewed(words)
        await self.ensure_counted()
        missing = [word for word in words if word not in self._word_cache]
        if missing:
            if len(self._word_cache) > MAX_CACHED_WORDS:
                self._word_cache.clear()
            rows = {str(row["word"]): row for row in await self._backend.fetch("weigh_words", {"words": missing})}
            for word in missing:
                self._word_cache[word] = _word_of(rows[word]) if word in rows else None
        return [entry for word in words if (entry := self._word_cache.get(word)) is not None]

    async def _of_viewed(self, words: Sequence[str]) -> list[Word]:
        rows = {
            str(row["word"]): row for row in await self._backend.fetch("weigh_viewed_words", {"words": list(words)})
        }
        self.counted_memories = max((int(row["whole"]) for row in rows.values()), default=0)
        return [_word_of(rows[word]) for word in words if word in rows]

    async def ensure_counted(self) -> None:
        """Ensure that words are counted; a large store is counted in the background, and again as it grows."""
        now = time.monotonic()
        # A nearly empty store may have been filled since, so it is checked each time.
        if (now < self._count_due_at and self.counted_memories >= SMALL_STORE_MEMORIES) or not (
            self._count_task is None or self._count_task.done()
        ):
            return
        self._count_due_at = now + COUNT_SECONDS
        [state] = await self._backend.fetch("count_terms")
        if state["counted"] != self.counted_memories:
            # Another session has counted since.
            self.counted_memories = int(state["counted"])
            self._word_cache.clear()
        growth = abs(int(state["n"]) - int(state["counted"]))
        if self._backend.read_only or growth <= state["n"] * TOLERATED_GROWTH_RATIO:
            return
        self._count_task = asyncio.create_task(self._recount())
        if state["n"] <= MAX_INLINE_COUNT_MEMORIES:
            await asyncio.shield(self._count_task)

    async def _recount(self) -> None:
        # Ranking keeps the old counts where this fails; a later search tries again.
        with suppressed(log, "count the words of the store", VestigeError):
            async with self._backend.write() as transaction:
                [lock] = await transaction.fetch("lock_terms")
                if lock["mine"]:
                    await transaction.execute("clear_terms")
                    await transaction.execute("fill_terms")
                [state] = await transaction.fetch("count_terms")
            self.counted_memories = int(state["counted"])
            self._word_cache.clear()
            # A store that has grown this much needs new planner statistics, too.
            await self._backend.maintain("analyze")

    async def counts(self, words: Sequence[str]) -> list[tuple[int, float]]:
        """Return for each word or phrase the number of memories that hold it, and its idf."""
        rows = await self._backend.fetch("count_matching", {"words": list(words)})
        [total] = await self._backend.fetch("count_memories")
        return [(int(row["n"]), math.log(1 + (total["n"] - row["n"] + 0.5) / (row["n"] + 0.5))) for row in rows]
