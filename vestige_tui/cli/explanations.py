"""Output of `search --explain` (the ranking) and `search --why-not` (the reason that a memory is missing)."""

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


async def print_explanation(store: Store, query: SearchQuery, output: Output, *, why_not: str | None) -> int:
    """Print the explanation of a search, or the reason that the memory with the id ``why_not`` is not in its answer."""
    now, weights = store.now(), store.policy.weights
    if why_not is not None:
        result = await store.why_not(query, await store.memories.resolve(why_not))
        if output.as_json:
            output.document(json_shapes.why_not(result, now, weights))
        else:
            _print_why_not(output, result)
        return 0
    details = await store.explain(query)
    for warning in details.answer.warnings:
        output.note(warning)
    if output.as_json:
        output.document(json_shapes.explanation(details, now, weights))
    else:
        _print_details(output, details, query.mode)
    return 0


def _print_details(output: Output, details: Explanation, mode: Mode) -> None:
    summary = explanation.summary(details)
    output.line(f"{summary[:1].upper()}{summary[1:]}.")
    if details.answer.hits:
        _print_fused(output, details)
    else:
        output.note("No memory matches.")
    branches: tuple[Branch, ...] = ("text", "vector")
    for branch in branches:
        _print_branch(output, details, branch, mode)
    if details.words:
        rows = [explanation.word_row(word) for word in details.words]
        _print_table(output, "Query words", rows, ("word", "use", "memories", "weight"), flexible=0, right=(2, 3))
    _print_table(output, "Filters", explanation.filter_rows(details), ("filter", "memories"), flexible=0, right=(1,))
    output.line("\nHow the scores are combined")
    for rule in explanation.rules(details):
        output.line(f"  {rule}")
    _print_table(output, "Steps", explanation.step_rows(details), ("step", "method", "time"), flexible=1, right=(2,))


def _print_fused(output: Output, details: Explanation) -> None:
    text, vector = (
        details.fusion.text_weight > 0 or not details.fusion.vector_weight,
        details.fusion.vector_weight > 0,
    )
    header = ["rank", "score"]
    header += ["text", "score", "norm"] if text else []
    header += ["vector", "cosine", "norm"] if vector else []
    rows = []
    for position, hit in enumerate(details.answer, start=1):
        row = [grouped(position), figure(hit.score)]
        row += [_rank(hit.text_rank), figure(hit.text_score), figure(hit.text_share)] if text else []
        row += [_rank(hit.vector_rank), figure(hit.vector_score, 3), figure(hit.vector_share)] if vector else []
        rows.append((*row, short_id(hit.memory.id), one_line(hit.memory.content)))
    figures = range(len(header))
    _print_table(output, "Results", rows, (*header, "id", "memory"), flexible=len(header) + 1, right=figures)


def _print_branch(output: Output, details: Explanation, branch: Branch, mode: Mode) -> None:
    title = _branch_title(details, branch)
    missing_reason = explanation.why_missing(details, branch, mode)
    if missing_reason:
        output.line(f"\n{title}\n  {missing_reason}")
        return
    hits = details.text if branch == "text" else details.vector
    positions = {hit.memory.id: position for position, hit in enumerate(explanation.fused(details), start=1)}
    top_hits = hits[: max(1, len(details.answer))]
    rows = [
        (
            _rank(hit.text_rank if branch == "text" else hit.vector_rank),
            figure(hit.text_score) if branch == "text" else figure(hit.vector_score, 3),
            grouped(positions[hit.memory.id]),
            short_id(hit.memory.id),
            one_line(hit.memory.content),
        )
        for hit in top_hits
    ]
    header = ("rank", "score" if branch == "text" else "cosine", "overall", "id", "memory")
    _print_table(output, title, rows, header, flexible=4, right=(0, 1, 2))
    if len(hits) > len(top_hits):
        output.line(f"  and {grouped(len(hits) - len(top_hits))} more candidates")


def _branch_title(details: Explanation, branch: Branch) -> str:
    if branch == "vector":
        return "Vector search"
    if explanation.is_newest(details):
        return "Newest memories"
    return "Exact characters" if details.answer.mode == "literal" else "Text search"


def _rank(rank: int | None) -> str:
    return explanation.NONE if rank is None else grouped(rank)


def _print_why_not(output: Output, result: WhyNot) -> None:
    output.line(result.reason)
    output.line()
    output.table(
        [
            ("memory", f"{short_id(result.memory.id)}  {one_line(result.memory.content)}"),
            *explanation.rank_rows(result),
        ],
        flexible=1,
    )


def _print_table(
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
