"""Commands for the embedding model of a store: registry show, models, fill, preview."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from dataclasses import asdict
from shlex import quote
from typing import TYPE_CHECKING, Any

from vestige_tui.cli.global_options import chosen_store
from vestige_tui.cli.output import Output
from vestige_tui.cli.parser import Commands, whole
from vestige_tui.cli.reembed import add_rollback, spare_document
from vestige_tui.core.text import bytes_size, cells, cut, duration, grouped, one_line, plain, short_id
from vestige_tui.presenters import json_shapes
from vestige_tui.presenters.job_progress import quantity
from vestige_tui.presenters.models import dimensions, full_name, model_hint, template_rows
from vestige_tui.presenters.reembedding import fill_result, overlap, shared_hits

if TYPE_CHECKING:
    from vestige_tui.embedding.catalogue import CatalogModel
    from vestige_tui.reembed.preview import Preview, RankedMemory

_NEXT_COMMANDS = {
    "building": "`vestige-tui migrate reembed --model {name} --dimension {dimension}` finishes them, "
    "`migrate reembed --drop-old` deletes them",
    "kept": "`vestige-tui registry rollback` restores them, `migrate reembed --drop-old` deletes them",
}
_SECOND_VECTORS = {"building": "unfinished vectors", "kept": "kept vectors"}
"""Labels of the vectors of a second model, by their role."""


def add_commands(commands: Commands) -> None:
    registry = commands.add("registry", None, "show the embedding model of a store, compare models, compute vectors")
    steps = commands.subcommands(registry, "step")
    steps.add("show", _show, "print the registered model and the number of vectors")
    steps.add("models", _models, "list the available models")
    steps.add("fill", _fill, "compute missing vectors")
    add_rollback(steps)
    preview = steps.add("preview", _preview, "compare the results of queries under two models")
    preview.add_argument("model", metavar="MODEL", help="the other model; see `registry models`")
    preview.add_argument(
        "--dimension", metavar="N", type=whole, help="cut the vectors of the other model to N dimensions"
    )
    preview.add_argument(
        "--query",
        metavar="TEXT",
        nargs="+",
        action="extend",
        default=[],
        help="queries (default: first sentences of memories)",
    )
    preview.add_argument(
        "--sample", metavar="N", type=whole, default=200, help="number of memories to compare (default 200)"
    )
    preview.add_argument("--limit", metavar="K", type=whole, default=5, help="results per query (default 5)")


async def _show(args: Namespace, output: Output) -> int:
    from vestige_tui.reembed.spare_vectors import spare

    async with chosen_store(args) as store:
        registered = await store.models.registered()
        census = await store.models.census()
        configured = store.embedders.configured
        second = await spare(store)
    if output.as_json:
        output.document(
            {
                "registered": json_shapes.model(registered) if registered else None,
                "configured": configured,
                "vectors": json_shapes.census(census),
                "second": spare_document(second),
            }
        )
        return 0
    rows = [("model", registered.name if registered else "none yet")]
    if registered:
        rows += [("dimensions", str(registered.dimension)), ("hash", short_id(registered.hash))]
        rows += template_rows(registered)
    if configured:
        rows.append(("configured", configured))
    rows += [(f"vectors, {width} dimensions", grouped(count)) for width, count in sorted(census.by_width.items())]
    rows.append(("without a vector", grouped(census.without)))
    rows += [
        (label, grouped(count))
        for label, count in (("all zeros", census.zero), ("with NaN or infinity", census.non_finite))
        if count
    ]
    if second is not None:
        state = f"{full_name(second.model)}, {quantity(second.vectors, 'vector')}"
        commands = _NEXT_COMMANDS[second.role].format(
            name=quote(plain(second.model.name)), dimension=second.model.dimension
        )
        rows.append((_SECOND_VECTORS[second.role], f"{state}; {commands}"))
    output.table(rows, flexible=1, wrap=True)
    return 0


async def _models(args: Namespace, output: Output) -> int:
    from vestige_tui.embedding.catalogue import catalog

    models = await asyncio.to_thread(catalog)
    if output.as_json:
        output.document(json_shapes.listed(_document(model) for model in models))
        return 0
    rows = [("model", "dimensions", "download", "language", "licence")]
    for model in models:
        size = bytes_size(int(model.size_mb * 1_000_000)) if model.size_mb else "unknown"
        rows.append(
            (model.name, str(model.dimension), "here" if model.offline else size, model.language, model.licence)
        )
    # Names stay whole, to be copied after `--model`; a narrow terminal omits the licences.
    fits = sum(max(cells(row[column]) for row in rows) + 2 for column in range(5)) <= output.width + 2
    columns = 5 if fits or not output.terminal else 4
    header, *lines = (row[:columns] for row in rows)
    output.table(lines, flexible=0, header=header, right=(1, 2), wrap=True)
    return 0


def _document(model: CatalogModel) -> dict[str, Any]:
    return {**asdict(model), "language": model.language, "max_tokens": model.max_tokens, "hint": model_hint(model)}


async def _fill(args: Namespace, output: Output) -> int:
    progress = output.progress("vectors")
    async with chosen_store(args) as store:
        try:
            count = await store.models.fill(progress)
        finally:
            progress.end()
    if output.as_json:
        output.document({"filled": count})
    output.line(fill_result(count))
    return 0


async def _preview(args: Namespace, output: Output) -> int:
    from vestige_tui.reembed.plan import refuse_width
    from vestige_tui.reembed.preview import preview

    progress = output.progress("computed vectors")
    await asyncio.to_thread(refuse_width, args.model, args.dimension)
    async with chosen_store(args) as store:
        try:
            result = await preview(store, args.model, args.query, args.sample, args.limit, progress, args.dimension)
        finally:
            progress.end()
    if output.as_json:
        output.document(_preview_document(result))
        return 0
    width = (output.width - 3) // 2

    def print_columns(left: str, right: str) -> None:
        cut_left = cut(plain(left), width)
        output.line(f"{cut_left}{' ' * (width - cells(cut_left))} | {cut(plain(right), width)}".rstrip())

    print_columns(result.current.name, result.other.name)
    print_columns(*(dimensions(model.dimension) for model in (result.current, result.other)))
    for ranking in result.rankings:
        output.line()
        output.line(f"{one_line(ranking.question, output.width - 20)}  ({shared_hits(ranking)})")
        for left, right in zip(ranking.current, ranking.other, strict=True):
            print_columns(_hit_line(left, width), _hit_line(right, width))
    output.line()
    seconds = result.seconds_per_text
    output.line(f"{', '.join(overlap(result))} (= found by both).")
    named_alike = result.other.name == result.current.name
    output.line(
        f"{full_name(result.other) if named_alike else result.other.name} needs {seconds * 1000:,.1f} ms per text: "
        f"about {duration(seconds * result.memories)} for all memories on this machine."
    )
    return 0


def _hit_line(hit: RankedMemory, width: int) -> str:
    head = f"{'=' if hit.shared else ' '} {hit.score:6.3f}  {short_id(hit.id)}  "
    return head + one_line(hit.content, max(8, width - cells(head)))


def _preview_document(preview: Preview) -> json_shapes.Document:
    def hits(ranked: tuple[RankedMemory, ...]) -> list[json_shapes.Document]:
        return [
            {"id": hit.id, "content": hit.content, "score": json_shapes.number(hit.score), "shared": hit.shared}
            for hit in ranked
        ]

    return {
        "current": json_shapes.model(preview.current),
        "other": json_shapes.model(preview.other),
        "memories": preview.memories,
        "sampled": preview.sampled,
        "limit": preview.limit,
        "overlap": preview.overlap,
        "seconds_per_text": preview.seconds_per_text,
        "queries": [
            {
                "query": ranking.question,
                "asked_of": ranking.asked_of,
                "overlap": ranking.overlap,
                "current": hits(ranking.current),
                "other": hits(ranking.other),
            }
            for ranking in preview.rankings
        ],
    }
