"""`search --explain` and `search --why-not`: how an answer came about, and why a memory is not in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vestige_tui.core.text import grouped, one_line, short_id
from vestige_tui.presenters import explanation, json_shapes
from vestige_tui.presenters.explanation import Branch, figure

if TYPE_CHECKING:
    from vestige_tui.cli.output import Output
    from vestige_tui.core.search import Explanation, Mode, SearchQuery, WhyNot
    from vestige_tui.store.store import Store


async def tell(store: Store, query: SearchQuery, output: Output, *, why_not: str | None) -> int:
    """Print the explanation of a search, or with ``why_not``, an id, what keeps that memory from the answer."""
    now, weights = store.now(), store.policy.weights
    if why_not is not None:
        stands = await store.why_not(query, await store.resolve(why_not))
        if output.as_json:
            output.document(json_shapes.why_not(stands, now, weights))
        else:
            _stands(output, stands)
        return 0
    found = await store.explain(query)
    for warning in found.answer.warnings:
        output.note(warning)
    if output.as_json:
        output.document(json_shapes.explanation(found, now, weights))
    else:
        _explain(output, found, query.mode)
    return 0


def _explain(output: Output, found: Explanation, asked: Mode) -> None:
    said = explanation.summary(found)
    output.line(f"{said[:1].upper()}{said[1:]}.")
    if found.answer.hits:
        _fused(output, found)
    else:
        output.note("Nothing was found.")
    branches: tuple[Branch, ...] = ("text", "vector")
    for branch in branches:
        _branch(output, found, branch, asked)
    if found.words:
        rows = [explanation.word_row(word) for word in found.words]
        _table(output, "Words", rows, ("word", "use", "memories", "weight"), flexible=0, right=(2, 3))
    filters = [(each.text, grouped(each.memories)) for each in found.filters]
    rows_and_all = [*filters, ("all together", f"{grouped(found.passing)} of {grouped(found.total)}")]
    _table(output, "Filters", rows_and_all, ("filter", "memories"), flexible=0, right=(1,))
    output.line("\nHow one list is made")
    for rule in explanation.rules(found):
        output.line(f"  {rule}")
    steps = [(each.what, each.how, explanation.milliseconds(each.ms)) for each in found.steps]
    _table(output, "Steps", steps, ("for", "how", "took"), flexible=1, right=(2,))


def _fused(output: Output, found: Explanation) -> None:
    words, meaning = found.fusion.text_weight > 0 or not found.fusion.vector_weight, found.fusion.vector_weight > 0
    name = explanation.branch_name(found, "text")
    header = ["place", "total"]
    header += [name, "score", "share"] if words else []
    header += ["meaning", "cosine", "share"] if meaning else []
    rows = []
    for place, hit in enumerate(found.answer, start=1):
        row = [grouped(place), figure(hit.score)]
        row += [_rank(hit.text_rank), figure(hit.text_score), figure(hit.text_share)] if words else []
        row += [_rank(hit.vector_rank), figure(hit.vector_score, 3), figure(hit.vector_share)] if meaning else []
        rows.append((*row, short_id(hit.memory.id), one_line(hit.memory.content)))
    figures = range(len(header))
    _table(output, "The answer", rows, (*header, "id", "memory"), flexible=len(header) + 1, right=figures)


def _branch(output: Output, found: Explanation, branch: Branch, asked: Mode) -> None:
    title = {"meaning": "By meaning", "newest": "The newest", "characters": "By characters", "words": "By words"}[
        explanation.branch_name(found, branch)
    ]
    why = explanation.why_missing(found, branch, asked)
    if why:
        output.line(f"\n{title}\n  {why}")
        return
    hits = found.text if branch == "text" else found.vector
    places = {hit.memory.id: place for place, hit in enumerate(explanation.fused(found), start=1)}
    shown = hits[: max(1, len(found.answer))]
    rows = [
        (
            _rank(hit.text_rank if branch == "text" else hit.vector_rank),
            figure(hit.text_score) if branch == "text" else figure(hit.vector_score, 3),
            grouped(places[hit.memory.id]),
            short_id(hit.memory.id),
            one_line(hit.memory.content),
        )
        for hit in shown
    ]
    header = ("rank", "score" if branch == "text" else "cosine", "place", "id", "memory")
    _table(output, title, rows, header, flexible=4, right=(0, 1, 2))
    if len(hits) > len(shown):
        output.line(f"  and {grouped(len(hits) - len(shown))} more that count")


def _rank(rank: int | None) -> str:
    return explanation.NONE if rank is None else grouped(rank)


def _stands(output: Output, found: WhyNot) -> None:
    output.line(found.reason)
    output.line()
    output.table(
        [("memory", f"{short_id(found.memory.id)}  {one_line(found.memory.content)}"), *explanation.standing(found)],
        flexible=1,
    )


def _table(
    output: Output,
    title: str,
    rows: Sequence[Sequence[str]],
    header: Sequence[str],
    *,
    flexible: int,
    right: Sequence[int],
) -> None:
    output.line(f"\n{title}")
    output.table(rows, flexible=flexible, header=header, right=right)
