"""Search: from a query to an answer, to its explanation, and to the rank of any one memory.

Each branch gives its own order and scores; the statement that reads the memories fuses the two by normalised scores.
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
    EmptyReason,
    Explanation,
    FilterCount,
    Fusion,
    Hit,
    MatchTerms,
    Mode,
    QueryWord,
    SearchQuery,
    SearchStep,
    WhyNot,
)
from vestige_tui.core.text import ordinal
from vestige_tui.core.times import moment_text
from vestige_tui.store.backends.protocol import Backend, BackendQuery, BackendResult, Row, model_key
from vestige_tui.store.moments import as_they_were
from vestige_tui.store.schema import rows
from vestige_tui.store.search.matches import terms_of
from vestige_tui.store.search.query_syntax import ParsedQuery, fold_ascii, is_unspaced, parse, pieces, spaced_words
from vestige_tui.store.search.relaxations import relaxations

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import ModelSignature, Vector
    from vestige_tui.embedding.embedder_source import EmbedderSource
    from vestige_tui.store.backends.protocol import ModelKey

T = TypeVar("T")
MAX_LIMIT = 1_000
"""Rows of an answer at most."""
MAX_LITERAL_CHARS = 1_000
OVERFETCH_FACTOR = 3
"""Hits that each branch gives for each row of the answer."""
MIN_DEPTH = 30
"""Hits that each branch gives at least."""
FLOOR = 0.75
"""``Fusion.floor`` of every search."""
EXTENDED_DEPTH = 10_000
"""Hits of each branch when one memory's rank is looked up."""
MAX_MODEL_CHANGE_RETRIES = 2
"""Retries of a query while the store changes its embedding model."""
MAX_EXPLAINED_WORDS = 16
"""Words of a query that an explanation counts."""
FOREIGN_INDEX_NOTE = (
    "The text index of Vestige's server finds a word with an accent, ß or ø only in the same spelling, and may miss "
    "a word next to Chinese, Japanese or Thai letters; use literal search for such words."
)

_FILTER_LABELS = {
    "filter_domains": ("domain", "domains"),
    "filter_all_domains": ("domain", "all_domains"),
    "filter_no_domains": ("not domain", "no_domains"),
    "filter_tags": ("tag", "tags"),
    "filter_all_tags": ("tag", "all_tags"),
    "filter_no_tags": ("not tag", "no_tags"),
    "filter_node_types": ("type", "node_types"),
    "filter_all_node_types": ("type", "all_node_types"),
    "filter_no_node_types": ("not type", "no_node_types"),
    "filter_codebases": ("codebase", "codebases"),
    "filter_all_codebases": ("codebase", "all_codebases"),
    "filter_no_codebases": ("not codebase", "no_codebases"),
    "filter_owner": ("owner", "owner"),
    "filter_no_owners": ("not owner", "no_owners"),
    "filter_visibilities": ("visibility", "visibilities"),
    "filter_all_visibilities": ("visibility", "all_visibilities"),
    "filter_no_visibilities": ("not visibility", "no_visibilities"),
    "filter_groups": ("group", "groups"),
    "filter_all_groups": ("group", "all_groups"),
    "filter_no_groups": ("not group", "no_groups"),
    "filter_since": ("created since", "since"),
    "filter_until": ("created before", "until"),
    "filter_holds": ("with", "holds"),
    "filter_lacks": ("without", "lacks"),
}
_STATE_LABELS = {
    "filter_active": "not replaced",
    "filter_replaced": "replaced",
    "filter_active_at": "not replaced at the moment",
    "filter_replaced_at": "replaced at the moment",
    "filter_due": "due",
    "filter_not_due": "not due",
    "filter_due_at": "due at the moment",
    "filter_not_due_at": "not due at the moment",
    "filter_new": "new",
    "filter_not_new": "not new",
    "filter_new_at": "new at the moment",
    "filter_not_new_at": "not new at the moment",
    "filter_suspended": "suspended",
    "filter_not_suspended": "not suspended",
    "filter_buried": "buried",
    "filter_not_buried": "not buried",
    "filter_leech": "leech",
    "filter_not_leech": "not leech",
    "filter_pinned": "pinned",
    "filter_not_pinned": "not pinned",
    "filter_without_embedding": "without a vector",
    "filter_with_embedding": "with a vector",
}


class _ModelChanged(Exception):
    """Raised where the store belongs to another model than the one that the query was prepared for."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Prepared:
    """A query parsed, embedded and filtered: the backend's query, and the notes for the user."""

    parsed: ParsedQuery
    backend_query: BackendQuery
    mode: Mode
    filter_words: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    steps: tuple[SearchStep, ...]
    terms: MatchTerms


class Searcher:
    """Search service of one store, which provides ``registered``, ``refresh``, ``in_place_job`` and ``filters``."""

    def __init__(
        self,
        backend: Backend,
        embedders: EmbedderSource,
        *,
        registered: Callable[[], Awaitable[ModelSignature | None]],
        refresh: Callable[[], Awaitable[ModelSignature | None]],
        in_place_job: Callable[[], Awaitable[str | None]],
        filters: Callable[[Filter], tuple[list[str], dict[str, Any]]],
    ) -> None:
        self._backend = backend
        self._embedders = embedders
        self._registered = registered
        self._refresh = refresh
        self._in_place_job = in_place_job
        self._filters = filters

    async def answer(self, query: SearchQuery) -> Answer:
        """Return the best memories for a query. Raises Usage where there are neither words nor a vector."""
        started = time.perf_counter()

        async def run(prepared: _Prepared) -> Answer:
            result = await self._run(prepared.backend_query)
            elapsed_ms = (time.perf_counter() - started) * 1000
            answer = await self._at_moment(_answer(prepared, result, elapsed_ms), prepared)
            return answer if result.rows else await self._explain_empty(query, prepared, answer)

        return await self._with_current_model(query, run)

    async def _at_moment(self, answer: Answer, prepared: _Prepared) -> Answer:
        """Return an answer with its memories as they were at the moment of the query."""
        moment = prepared.backend_query.params.get("as_of")
        memories = await as_they_were(self._backend, [hit.memory for hit in answer.hits], moment)
        hits = tuple(dataclasses.replace(hit, memory=memory) for hit, memory in zip(answer.hits, memories, strict=True))
        return dataclasses.replace(answer, hits=hits)

    async def _explain_empty(self, query: SearchQuery, prepared: _Prepared, answer: Answer) -> Answer:
        """Return an empty answer with the condition that leaves no hit: the first without which there are some.

        Best are hits by text, for the vector branch ranks any memory; and one condition is better than several.
        """
        vector = prepared.backend_query.vector
        if vector is not None:
            # The words that are encoded stay the same.
            tried = dataclasses.replace(query, embedding=vector)
        else:
            tried = query if query.mode == "literal" else dataclasses.replace(query, mode="text")
        reason: EmptyReason | None = None
        for relaxation in relaxations(tried, self._describe_filter):
            if reason is not None and relaxation.kind == "several":
                break
            rows = (await self._run((await self._prepare(relaxation.query)).backend_query)).rows
            by_text = any(row["text_rank"] for row in rows)
            if rows and (by_text or reason is None):
                original = dataclasses.replace(relaxation.query, embedding=query.embedding, mode=query.mode)
                reason = EmptyReason(relaxation.kind, relaxation.condition, len(rows), original, relaxation.fields)
            if by_text:
                break
        return dataclasses.replace(answer, empty_because=reason)

    def _describe_filter(self, chosen: Filter) -> str:
        names, params = self._filters(chosen)
        words = _filter_words(names, params, ParsedQuery((), (), (), "", ()))
        return ", ".join(" ".join(filter(None, each)) for each in words)

    async def _with_current_model(self, query: SearchQuery, work: Callable[[_Prepared], Awaitable[T]]) -> T:
        """Run work on the prepared query; prepare it again where the store changes its model meanwhile."""
        for _ in range(1 + MAX_MODEL_CHANGE_RETRIES):
            prepared_for = await self._registered()
            try:
                return await work(await self._prepare(query))
            except _ModelChanged:
                model = await self._refresh()
                if query.embedding is not None and prepared_for and model:
                    _check_dimension(query.embedding, model)
                    raise ModelMismatch(
                        f"The store now uses {model.name}; this vector was given for {prepared_for.name}."
                    ) from None
        if query.mode == "vector" or query.embedding is not None:
            raise Busy("The embedding model of the store keeps changing; try again later.")
        return await work(await self._prepare(query, with_vector=False))

    async def _run(self, backend_query: BackendQuery) -> BackendResult:
        result = await self._backend.search(backend_query)
        if backend_query.vector is not None and result.model != backend_query.model:
            raise _ModelChanged
        return result

    async def explain(self, query: SearchQuery) -> Explanation:
        """Return the same answer with both branches, its words and filters, and the steps with their times."""
        started = time.perf_counter()

        async def run(prepared: _Prepared) -> Explanation:
            return await self._explain(query, prepared, started)

        return await self._with_current_model(query, run)

    async def _explain(self, query: SearchQuery, prepared: _Prepared, started: float) -> Explanation:
        backend_query = prepared.backend_query
        result = await self._run(backend_query)
        elapsed_ms = (time.perf_counter() - started) * 1000
        answer = _answer(prepared, result, elapsed_ms)
        branches = await self._run(dataclasses.replace(backend_query, limit=2 * backend_query.fusion.depth))
        hits = [_hit(row) for row in branches.rows]
        return Explanation(
            query=query.text,
            answer=answer,
            text=tuple(sorted((hit for hit in hits if hit.text_rank), key=lambda hit: hit.text_rank or 0)),
            vector=tuple(sorted((hit for hit in hits if hit.vector_rank), key=lambda hit: hit.vector_rank or 0)),
            words=await self._words(prepared.parsed) if prepared.mode != "literal" else (),
            filters=await self._filter_counts(prepared),
            passing=await self._count(backend_query.filters, backend_query.params),
            total=await self._count((), {}),
            fusion=backend_query.fusion,
            steps=(
                *prepared.steps,
                *result.steps,
                *self._index_steps(backend_query),
                SearchStep("all", "from the query to the results", elapsed_ms),
            ),
        )

    def _index_steps(self, backend_query: BackendQuery) -> tuple[SearchStep, ...]:
        by_index = self._backend.foreign and backend_query.words
        return (SearchStep("text", FOREIGN_INDEX_NOTE),) if by_index else ()

    async def why_not(self, query: SearchQuery, memory: Memory) -> WhyNot:
        """Return the rank of a memory for a query, and the reasons that keep it out of the answer."""

        async def run(prepared: _Prepared) -> WhyNot:
            return await self._why_not(prepared, memory)

        return await self._with_current_model(query, run)

    async def _why_not(self, prepared: _Prepared, memory: Memory) -> WhyNot:
        backend_query = prepared.backend_query
        result = await self._run(backend_query)
        last = float(result.rows[-1]["score"]) if len(result.rows) >= backend_query.limit else 0.0
        fails = []
        for name, words in zip(backend_query.filters, prepared.filter_words, strict=True):
            if not await self._passes(memory.id, (name,), backend_query.params):
                fails.append(" ".join(filter(None, words)))
        missing = []
        if backend_query.words:
            for word in prepared.parsed.ranked[:MAX_EXPLAINED_WORDS]:
                must = {"must": self._backend.match([word], every=True)}
                if not await self._passes(memory.id, ("filter_must",), must):
                    missing.append(word)
        if fails:
            hit, place = None, None
        else:
            hit, place = await self._place(backend_query, memory.id)
        reason = _reason(backend_query, memory, fails, place, hit, len(result.rows))
        if missing and self._backend.foreign:
            reason = f"{reason} {FOREIGN_INDEX_NOTE}"
        return WhyNot(memory, place, hit, tuple(fails), tuple(missing), last, reason)

    async def _place(self, backend_query: BackendQuery, memory_id: str) -> tuple[Hit | None, int | None]:
        """Return one memory's hit and its place; a memory outside the fused list is placed after it."""
        fused_rows = 2 * backend_query.fusion.depth
        result = await self._run(dataclasses.replace(backend_query, limit=fused_rows))
        for row in result.rows:
            if str(row["id"]) == memory_id:
                return _hit(row), int(row["place"])
        exact_result = await self._run(
            dataclasses.replace(backend_query, only=memory_id, extended_depth=EXTENDED_DEPTH, exact=True)
        )
        if not exact_result.rows:
            return None, None
        return _hit(exact_result.rows[0]), max(int(exact_result.rows[0]["place"]), len(result.rows) + 1)

    async def _passes(self, memory_id: str, filters: tuple[str, ...], params: Any) -> bool:
        return await self._count((*filters, "filter_id"), {**params, "only": memory_id}) > 0

    async def _count(self, filters: tuple[str, ...], params: Any) -> int:
        [row] = await self._backend.fetch("count_memories", params, {"filters": filters})
        return int(row["n"])

    async def _filter_counts(self, prepared: _Prepared) -> tuple[FilterCount, ...]:
        backend_query = prepared.backend_query
        return tuple(
            [
                FilterCount(" ".join(filter(None, words)), await self._count((name,), backend_query.params))
                for name, words in zip(backend_query.filters, prepared.filter_words, strict=True)
            ]
        )

    async def _words(self, parsed: ParsedQuery) -> tuple[QueryWord, ...]:
        ranked = parsed.ranked[:MAX_EXPLAINED_WORDS]
        counts = await self._backend.word_counts(ranked)
        return (
            *(
                QueryWord(word, "must" if word in parsed.must else "ranked", documents, weight)
                for word, (documents, weight) in zip(ranked, counts, strict=True)
            ),
            *(QueryWord(word, "must_not") for word in parsed.must_not),
            *(QueryWord(word, "dropped") for word in dict.fromkeys(parsed.dropped)),
        )

    # Preparing a query for the backend

    async def _prepare(self, query: SearchQuery, *, with_vector: bool = True) -> _Prepared:
        limit = max(1, min(query.limit, MAX_LIMIT))
        filters, params = self._filters(query.filter)
        if query.mode == "literal":
            return self._prepare_literal(query, filters, params, limit)
        parsed = parse(query.text)
        if query.embedding is None and not (parsed.spoken or parsed.must_not):
            raise Usage("A search needs words or a vector.")
        filters, params = self._add_word_filters(parsed, filters, params)
        warnings: list[str] = []
        started = time.perf_counter()
        if with_vector:
            vector, model = await self._query_vector(query, parsed, warnings)
        else:
            vector, model = None, None
            warnings.append("The embedding model of the store is changing; text results only.")
        encode_ms = (time.perf_counter() - started) * 1000
        steps = (SearchStep("query", "vector computed by the store's model", encode_ms),) if vector is not None else ()
        with_text = query.mode != "vector" and bool(parsed.ranked)
        unspaced = with_text and any(map(is_unspaced, parsed.ranked))
        if parsed.dropped and not parsed.ranked:
            fallback = "vector results only" if vector is not None else "use rarer words"
            warnings.append(f"Every word of this query is too common to search for; {fallback}.")
        if self._backend.foreign and with_text and not unspaced and not "".join(parsed.ranked).isascii():
            warnings.append(FOREIGN_INDEX_NOTE)
        backend_query = BackendQuery(
            words=parsed.ranked if with_text and not unspaced else (),
            vector=vector,
            literal=None,
            newest=parsed.negative_only and vector is None,
            filters=tuple(filters),
            params=params,
            fusion=_fusion(limit, text=with_text, vector=vector is not None),
            limit=limit,
            pieces=pieces(parsed.ranked) if unspaced else (),
            spaced=spaced_words(parsed.ranked) if unspaced else (),
            model=model,
        )
        mode: Mode = "vector" if vector is not None and not with_text else "text" if vector is None else "hybrid"
        terms = terms_of(parsed, ranked=with_text, revised_stems=self._backend.capabilities.revised_stems)
        return _Prepared(
            parsed, backend_query, mode, _filter_words(filters, params, parsed), tuple(warnings), steps, terms
        )

    def _add_word_filters(
        self, parsed: ParsedQuery, filters: list[str], params: dict[str, Any]
    ) -> tuple[list[str], dict[str, Any]]:
        """Add the words that must occur, and those that must not, to the filters."""
        names, values = list(filters), dict(params)
        for words, every, by_index, by_letter in (
            (parsed.must, True, "filter_must", "filter_holds"),
            (parsed.must_not, False, "filter_must_not", "filter_lacks"),
        ):
            spaced = [word for word in words if not is_unspaced(word)]
            unspaced = [fold_ascii(word) for word in words if is_unspaced(word)]
            if spaced:
                names.append(by_index)
                values[by_index.removeprefix("filter_")] = self._backend.match(spaced, every=every)
            if unspaced:
                names.append(by_letter)
                values[by_letter.removeprefix("filter_")] = unspaced
        return names, values

    def _prepare_literal(self, query: SearchQuery, filters: list[str], params: dict[str, Any], limit: int) -> _Prepared:
        literal = query.text.strip()
        if not literal:
            raise Usage("A search for exact characters (literal) needs at least one character.")
        if len(literal) > MAX_LITERAL_CHARS:
            raise Usage(f"A search for exact characters (literal) takes at most {MAX_LITERAL_CHARS:,} characters.")
        backend_query = BackendQuery(
            (), None, literal, False, tuple(filters), params, _fusion(limit, text=True, vector=False), limit
        )
        parsed = ParsedQuery((), (), (), literal, ())
        words, terms = _filter_words(filters, params, parsed), MatchTerms(characters=literal)
        return _Prepared(parsed, backend_query, "literal", words, (), (), terms)

    async def _query_vector(
        self, query: SearchQuery, parsed: ParsedQuery, warnings: list[str]
    ) -> tuple[Vector | None, ModelKey | None]:
        """Return the query vector and its model. Raises _ModelChanged."""
        if query.mode == "text":
            return None, None
        registered: ModelSignature | None = await self._registered()
        key = model_key(registered)
        if query.embedding is not None:
            if registered and query.embedding.shape != (registered.dimension,):
                registered = await self._refresh()
            if registered is None:
                return None, None
            _check_dimension(query.embedding, registered)
            return query.embedding, model_key(registered)
        if not parsed.spoken:
            return None, None
        if registered is None:
            if query.mode == "vector":
                raise EmbedderUnavailable("This store has no vectors yet; use text search.")
            warnings.append("This store has no vectors yet; text results only.")
            return None, None
        if job := await self._in_place_job():
            notice = f"Vector search pauses while job {job[:8]} re-embeds the store in place."
            if query.mode == "vector":
                raise EmbedderUnavailable(notice)
            warnings.append(f"{notice} Text results only.")
            return None, None
        try:
            [vector] = await self._embedders.embed([parsed.spoken], registered=registered, query=True)
        except (ModelMismatch, EmbedderUnavailable) as error:
            if model_key(await self._refresh()) != key:
                raise _ModelChanged from None
            if query.mode == "vector":
                raise
            warnings.append(f"{error.message} Text results only.")
            return None, None
        return vector, key


def _check_dimension(vector: Vector, model: ModelSignature) -> None:
    if vector.shape != (model.dimension,):
        raise ModelMismatch(f"This vector has {vector.shape[-1]} dimensions, but the store's have {model.dimension}.")


def _fusion(limit: int, *, text: bool, vector: bool) -> Fusion:
    """Return the fusion of the enabled branches, with equal weights."""
    weight = 0.5 if text and vector else 1.0
    depth = max(limit * OVERFETCH_FACTOR, MIN_DEPTH)
    return Fusion(weight if text else 0.0, weight if vector else 0.0, FLOOR, depth)


def _filter_words(filters: list[str], params: dict[str, Any], parsed: ParsedQuery) -> tuple[tuple[str, str], ...]:
    """Return each filter in words: its subject, and its values."""
    labels: list[tuple[str, str]] = []
    for name in filters:
        if name in _STATE_LABELS:
            labels.append((_STATE_LABELS[name], ""))
        elif name == "filter_created_by":
            labels.append(("created by", moment_text(params["as_of"])))
        elif name in ("filter_min_retrievability", "filter_min_retrievability_at"):
            labels.append(("recall at least", f"{params['retrievability']:.2f}"))
        elif name == "filter_must":
            labels.append(("with", " and ".join(word for word in parsed.must if not is_unspaced(word))))
        elif name == "filter_must_not":
            labels.append(("without", " or ".join(word for word in parsed.must_not if not is_unspaced(word))))
        else:
            subject, key = _FILTER_LABELS[name]
            value = params[key]
            joint = " and " if key.startswith("all_") else " or "
            labels.append((subject, joint.join(value) if isinstance(value, list) else str(value)))
    return tuple(labels)


def _reason(
    backend_query: BackendQuery, memory: Memory, fails: list[str], place: int | None, hit: Hit | None, row_count: int
) -> str:
    if fails:
        return f"It does not pass the filters: {', '.join(fails)}."
    if place is None or hit is None:
        if backend_query.literal is not None:
            return "It does not contain these characters."
        if backend_query.vector is not None and not memory.has_embedding:
            return "It contains no query word and has no vector."
        if backend_query.vector is None:
            return "It contains no query word."
        branches = "by text or by vector" if backend_query.fusion.text_weight else "by vector"
        return f"It is not among the first 10,000 {branches}."
    if place <= row_count:
        return f"It is in the results, ranked {ordinal(place)}."
    fusion = backend_query.fusion
    parts = []
    if fusion.text_weight:
        parts.append(_place_in_branch("text", hit.text_rank, fusion.depth) or "no query word matches")
    if fusion.vector_weight:
        no_rank = "not ranked by vector" if memory.has_embedding else "no vector"
        parts.append(_place_in_branch("vector", hit.vector_rank, fusion.depth) or no_rank)
    return f"Ranked {ordinal(place)}: {'; '.join(parts)}." if parts else f"Ranked {ordinal(place)}."


def _place_in_branch(name: str, rank: int | None, depth: int) -> str:
    if rank is None:
        return ""
    return f"{ordinal(rank)} by {name}" + ("" if rank <= depth else f", outside the {depth:,} considered")


def _answer(prepared: _Prepared, result: BackendResult, elapsed_ms: float) -> Answer:
    warnings = (*prepared.warnings, *result.warnings)
    return Answer(tuple(map(_hit, result.rows)), prepared.mode, elapsed_ms, warnings, prepared.terms)


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
