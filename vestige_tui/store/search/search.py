"""Search: from a typed question to an answer, to an explanation of it, and to where any one memory stands.

Each branch gives its own order and scores; the statement that reads the memories fuses the two by shares of the best.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from vestige_tui.core.errors import Busy, EmbedderUnavailable, ModelMismatch, Usage
from vestige_tui.core.memories import Filter, Memory
from vestige_tui.core.search import (
    Answer,
    Explanation,
    FilterCount,
    Fusion,
    Hit,
    Mode,
    QueryWord,
    SearchQuery,
    SearchStep,
    WhyNot,
)
from vestige_tui.store.backends.protocol import Backend, BackendQuery, BackendResult, Row, model_key
from vestige_tui.store.schema import rows
from vestige_tui.store.search.query_syntax import Words, fold_ascii, is_unspaced, parse, pieces

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import ModelSignature, Vector
    from vestige_tui.embedding.models import EmbedderSource
    from vestige_tui.store.backends.protocol import ModelKey

T = TypeVar("T")
MAX_LIMIT = 1_000
MAX_LITERAL = 1_000
OVERFETCH = 3
MIN_DEPTH = 30
FLOOR = 0.75
FAR = 10_000
ASKED_AGAIN = 2
"""How often a query is asked again where the store comes to belong to another model meanwhile."""
WORDS_LOOKED_AT = 16

_FILTER_WORDS = {
    "filter_domains": ("domain", "domains"),
    "filter_tags": ("tag", "tags"),
    "filter_node_types": ("type", "node_types"),
    "filter_codebase": ("codebase", "codebase"),
    "filter_owner": ("owner", "owner"),
    "filter_since": ("made since", "since"),
    "filter_until": ("made before", "until"),
    "filter_holds": ("with", "holds"),
    "filter_lacks": ("without", "lacks"),
}


class _Moved(Exception):
    """The store belongs to another model than the one that the query was made for."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Prepared:
    """A query read, embedded and filtered: what the backend is asked, and what the person should know."""

    words: Words
    asked: BackendQuery
    mode: Mode
    filter_words: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    steps: tuple[SearchStep, ...]


class Searcher:
    """Answers search queries of one store, which gives ``registered``, ``refresh``, ``remaking`` and ``filters``."""

    def __init__(
        self,
        backend: Backend,
        embedders: EmbedderSource,
        *,
        registered: Callable[[], Awaitable[ModelSignature | None]],
        refresh: Callable[[], Awaitable[ModelSignature | None]],
        remaking: Callable[[], Awaitable[str | None]],
        filters: Callable[[Filter], tuple[list[str], dict[str, Any]]],
    ) -> None:
        self._backend = backend
        self._embedders = embedders
        self._registered = registered
        self._refresh = refresh
        self._remaking = remaking
        self._filters = filters

    async def answer(self, query: SearchQuery) -> Answer:
        """The best memories for a query. Raises Usage where there are neither words nor a vector."""
        started = time.perf_counter()

        async def answered(prepared: _Prepared) -> Answer:
            found = await self._ask(prepared.asked)
            took = (time.perf_counter() - started) * 1000
            return Answer(tuple(map(_hit, found.rows)), prepared.mode, took, (*prepared.warnings, *found.warnings))

        return await self._by_model_of_today(query, answered)

    async def _by_model_of_today(self, query: SearchQuery, work: Callable[[_Prepared], Awaitable[T]]) -> T:
        """Do what needs a query prepared; anew, where that was for a model that the store no longer belongs to."""
        for _ in range(1 + ASKED_AGAIN):
            made_for = await self._registered()
            try:
                return await work(await self._prepare(query))
            except _Moved:
                model = await self._refresh()
                if query.embedding is not None and made_for and model:
                    _refuse_width(query.embedding, model)
                    raise ModelMismatch(
                        f"The store has come to belong to {model.name}; this vector was given for {made_for.name}."
                    ) from None
        if query.mode == "vector" or query.embedding is not None:
            raise Busy("The store came to belong to another embedding model again and again; try again later.")
        return await work(await self._prepare(query, by_meaning=False))

    async def _ask(self, asked: BackendQuery) -> BackendResult:
        found = await self._backend.search(asked)
        if asked.vector is not None and found.model != asked.model:
            raise _Moved
        return found

    async def explain(self, query: SearchQuery) -> Explanation:
        """The same answer, with both branches, what became of the words, and how it was found at what cost."""
        started = time.perf_counter()

        async def explained(prepared: _Prepared) -> Explanation:
            return await self._explained(query, prepared, started)

        return await self._by_model_of_today(query, explained)

    async def _explained(self, query: SearchQuery, prepared: _Prepared, started: float) -> Explanation:
        asked = prepared.asked
        found = await self._ask(asked)
        took = (time.perf_counter() - started) * 1000
        warnings = (*prepared.warnings, *found.warnings)
        answer = Answer(tuple(map(_hit, found.rows)), prepared.mode, took, warnings)
        whole = await self._ask(dataclasses.replace(asked, limit=2 * asked.fusion.depth))
        hits = [_hit(row) for row in whole.rows]
        return Explanation(
            query=query.text,
            answer=answer,
            text=tuple(sorted((hit for hit in hits if hit.text_rank), key=lambda hit: hit.text_rank or 0)),
            vector=tuple(sorted((hit for hit in hits if hit.vector_rank), key=lambda hit: hit.vector_rank or 0)),
            words=await self._words(prepared.words) if prepared.mode != "literal" else (),
            filters=await self._filter_counts(prepared),
            passing=await self._count(asked.filters, asked.params),
            total=await self._count((), {}),
            fusion=asked.fusion,
            steps=(*prepared.steps, *found.steps, SearchStep("all", "from the query to its memories", took)),
        )

    async def why_not(self, query: SearchQuery, memory: Memory) -> WhyNot:
        """Where a memory stands for a query, and what keeps it from the answer."""

        async def looked_for(prepared: _Prepared) -> WhyNot:
            return await self._looked_for(prepared, memory)

        return await self._by_model_of_today(query, looked_for)

    async def _looked_for(self, prepared: _Prepared, memory: Memory) -> WhyNot:
        asked = prepared.asked
        answer = await self._ask(asked)
        last = float(answer.rows[-1]["score"]) if len(answer.rows) >= asked.limit else 0.0
        fails = []
        for name, said in zip(asked.filters, prepared.filter_words, strict=True):
            if not await self._passes(memory.id, (name,), asked.params):
                fails.append(" ".join(filter(None, said)))
        missing = []
        if asked.words:
            for word in prepared.words.ranked[:WORDS_LOOKED_AT]:
                must = {"must": self._backend.match([word], every=True)}
                if not await self._passes(memory.id, ("filter_must",), must):
                    missing.append(word)
        if fails:
            hit, place = None, None
        else:
            hit, place = await self._place(asked, memory.id)
        reason = _reason(asked, memory, fails, place, hit, len(answer.rows))
        return WhyNot(memory, place, hit, tuple(fails), tuple(missing), last, reason)

    async def _place(self, asked: BackendQuery, memory_id: str) -> tuple[Hit | None, int | None]:
        """The hit of one memory and its place in the fused list; behind all that counts where it is not among it."""
        counted = 2 * asked.fusion.depth
        near = await self._ask(dataclasses.replace(asked, limit=counted))
        for row in near.rows:
            if str(row["id"]) == memory_id:
                return _hit(row), int(row["place"])
        far = await self._ask(dataclasses.replace(asked, only=memory_id, far=FAR, exact=True))
        if not far.rows:
            return None, None
        return _hit(far.rows[0]), max(int(far.rows[0]["place"]), len(near.rows) + 1)

    async def _passes(self, memory_id: str, filters: tuple[str, ...], params: Any) -> bool:
        return await self._count((*filters, "filter_id"), {**params, "only": memory_id}) > 0

    async def _count(self, filters: tuple[str, ...], params: Any) -> int:
        [row] = await self._backend.fetch("count_memories", params, {"filters": filters})
        return int(row["n"])

    async def _filter_counts(self, prepared: _Prepared) -> tuple[FilterCount, ...]:
        asked = prepared.asked
        return tuple(
            [
                FilterCount(" ".join(filter(None, said)), await self._count((name,), asked.params))
                for name, said in zip(asked.filters, prepared.filter_words, strict=True)
            ]
        )

    async def _words(self, words: Words) -> tuple[QueryWord, ...]:
        looked = words.ranked[:WORDS_LOOKED_AT]
        counted = await self._backend.word_counts(looked)
        return (
            *(
                QueryWord(word, "must" if word in words.must else "ranked", documents, weight)
                for word, (documents, weight) in zip(looked, counted, strict=True)
            ),
            *(QueryWord(word, "must_not") for word in words.must_not),
            *(QueryWord(word, "dropped") for word in dict.fromkeys(words.dropped)),
        )

    # From the query to what the backend is asked

    async def _prepare(self, query: SearchQuery, *, by_meaning: bool = True) -> _Prepared:
        limit = max(1, min(query.limit, MAX_LIMIT))
        filters, params = self._filters(query.filter)
        if query.mode == "literal":
            return self._literally(query, filters, params, limit)
        words = parse(query.text)
        if query.embedding is None and not (words.spoken or words.must_not):
            raise Usage("A search needs words or a vector.")
        filters, params = self._constrained(words, filters, params)
        warnings: list[str] = []
        started = time.perf_counter()
        if by_meaning:
            vector, model = await self._query_vector(query, words, warnings)
        else:
            vector, model = None, None
            warnings.append("The store is coming to belong to another embedding model; answered by words alone.")
        encoded = (time.perf_counter() - started) * 1000
        steps = (SearchStep("query", "encoded by the store's model", encoded),) if vector is not None else ()
        by_words = query.mode != "vector" and bool(words.ranked)
        unspaced = by_words and any(map(is_unspaced, words.ranked))
        if words.dropped and not words.ranked:
            what = "answered by meaning alone" if vector is not None else "nothing is left to look for"
            warnings.append(f"Every word of this query is too common to search for; {what}.")
        asked = BackendQuery(
            words=words.ranked if by_words and not unspaced else (),
            vector=vector,
            literal=None,
            newest=words.negative_only and vector is None,
            filters=tuple(filters),
            params=params,
            fusion=_fusion(limit, text=by_words, vector=vector is not None),
            limit=limit,
            pieces=pieces(words.ranked) if unspaced else (),
            model=model,
        )
        mode: Mode = "vector" if vector is not None and not by_words else "text" if vector is None else "hybrid"
        return _Prepared(words, asked, mode, _filter_words(filters, params, words), tuple(warnings), steps)

    def _constrained(
        self, words: Words, filters: list[str], params: dict[str, Any]
    ) -> tuple[list[str], dict[str, Any]]:
        """The filters of a query with what has to occur and what may not."""
        chosen, values = list(filters), dict(params)
        for marked, by_index, by_letter in (
            (words.must, "must", "holds"),
            (words.must_not, "must_not", "lacks"),
        ):
            spaced = [word for word in marked if not is_unspaced(word)]
            unspaced = [fold_ascii(word) for word in marked if is_unspaced(word)]
            if spaced:
                chosen.append(f"filter_{by_index}")
                values[by_index] = self._backend.match(spaced, every=by_index == "must")
            if unspaced:
                chosen.append(f"filter_{by_letter}")
                values[by_letter] = unspaced
        return chosen, values

    def _literally(self, query: SearchQuery, filters: list[str], params: dict[str, Any], limit: int) -> _Prepared:
        wanted = query.text.strip()
        if not wanted:
            raise Usage("A literal search needs the characters to look for.")
        if len(wanted) > MAX_LITERAL:
            raise Usage(f"A literal search takes {MAX_LITERAL:,} characters at most.")
        asked = BackendQuery(
            (), None, wanted, False, tuple(filters), params, _fusion(limit, text=True, vector=False), limit
        )
        words = Words((), (), (), wanted, ())
        return _Prepared(words, asked, "literal", _filter_words(filters, params, words), (), ())

    async def _query_vector(
        self, query: SearchQuery, words: Words, warnings: list[str]
    ) -> tuple[Vector | None, ModelKey | None]:
        """The vector to look near to, and the model that it is of. Raises _Moved."""
        if query.mode == "text":
            return None, None
        registered: ModelSignature | None = await self._registered()
        key = model_key(registered)
        if query.embedding is not None:
            if registered and query.embedding.shape != (registered.dimension,):
                registered = await self._refresh()
            if registered is None:
                return None, None
            _refuse_width(query.embedding, registered)
            return query.embedding, model_key(registered)
        if not words.spoken:
            return None, None
        if registered is None:
            if query.mode == "vector":
                raise EmbedderUnavailable("This store has no vectors yet, so it cannot be searched by meaning.")
            warnings.append("This store has no vectors yet; answered by words alone.")
            return None, None
        if job := await self._remaking():
            paused = f"Search by meaning pauses while job {job[:8]} makes the vectors anew in place."
            if query.mode == "vector":
                raise EmbedderUnavailable(paused)
            warnings.append(f"{paused} Answered by words alone.")
            return None, None
        try:
            [vector] = await self._embedders.embed([words.spoken], registered=registered, query=True)
        except (ModelMismatch, EmbedderUnavailable) as error:
            if model_key(await self._refresh()) != key:
                raise _Moved from None
            if query.mode == "vector":
                raise
            warnings.append(f"{error.message} Answered by words alone.")
            return None, None
        return vector, key


def _refuse_width(vector: Vector, model: ModelSignature) -> None:
    if vector.shape != (model.dimension,):
        raise ModelMismatch(f"This vector has {vector.shape[-1]} dimensions, the store's have {model.dimension}.")


def _fusion(limit: int, *, text: bool, vector: bool) -> Fusion:
    """Both branches weigh the same; one that is not asked weighs nothing."""
    weight = 0.5 if text and vector else 1.0
    depth = max(limit * OVERFETCH, MIN_DEPTH)
    return Fusion(weight if text else 0.0, weight if vector else 0.0, FLOOR, depth)


def _filter_words(filters: list[str], params: dict[str, Any], words: Words) -> tuple[tuple[str, str], ...]:
    """Each filter for a person: what it is about, and its values."""
    said: list[tuple[str, str]] = []
    for name in filters:
        if name == "filter_active":
            said.append(("not replaced", ""))
        elif name == "filter_without_embedding":
            said.append(("without a vector", ""))
        elif name == "filter_min_retrievability":
            said.append(("recall at least", f"{params['retrievability']:.2f}"))
        elif name == "filter_must":
            said.append(("with", " and ".join(word for word in words.must if not is_unspaced(word))))
        elif name == "filter_must_not":
            said.append(("without", " or ".join(word for word in words.must_not if not is_unspaced(word))))
        else:
            what, key = _FILTER_WORDS[name]
            value = params[key]
            said.append((what, " or ".join(value) if isinstance(value, list) else str(value)))
    return tuple(said)


def _reason(
    asked: BackendQuery, memory: Memory, fails: list[str], place: int | None, hit: Hit | None, shown: int
) -> str:
    if fails:
        return f"The filters keep it out: {', '.join(fails)}."
    if place is None or hit is None:
        if asked.literal is not None:
            return "These characters do not occur in it."
        if asked.vector is not None and not memory.has_embedding:
            return "It holds none of the words, and it has no vector that meaning could find."
        if asked.vector is None:
            return "It holds none of the words."
        what = "Neither its words nor its meaning bring" if asked.words else "Its meaning does not bring"
        return f"{what} it among the first ten thousand."
    if place <= shown:
        return f"It is in the answer, at place {place}."
    parts = []
    for name, rank in (("words", hit.text_rank), ("meaning", hit.vector_rank)):
        if rank is None:
            parts.append(f"{name} do not find it" if name == "words" else f"{name} does not find it")
        else:
            beyond = "" if rank <= asked.fusion.depth else f", beyond the {asked.fusion.depth} that count"
            parts.append(f"place {rank:,} by {name}{beyond}")
    return f"It stands at place {place:,}: {'; '.join(parts)}."


def _hit(row: Row) -> Hit:
    return Hit(
        memory=rows.memory(row),
        score=float(row["score"]),
        text_rank=row["text_rank"],
        text_score=row["text_score"],
        vector_rank=row["vector_rank"],
        vector_score=row["vector_score"],
        text_share=float(row["text_share"] or 0.0),
        vector_share=float(row["vector_share"] or 0.0),
    )
