"""Commands for the embedding model of a store: registry show, models, fill."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from dataclasses import asdict

from vestige_tui import shapes
from vestige_tui.cli.output import Output
from vestige_tui.cli.parser import Commands
from vestige_tui.cli.session import chosen_store
from vestige_tui.text import bytes_size, grouped, short_id


def add_commands(commands: Commands) -> None:
    registry = commands.add("registry", None, "say which embedding model the store belongs to, and make vectors")
    below = commands.below(registry, "step")
    below.add("show", _show, "print the registered model and what vectors are really there")
    below.add("models", _models, "list the models one could use")
    below.add("fill", _fill, "make the vectors that are missing")


async def _show(args: Namespace, output: Output) -> int:
    async with chosen_store(args) as store:
        registered = await store.registered_model()
        census = await store.vector_census()
        configured = store.embedders.configured
    if output.as_json:
        output.document(
            {
                "registered": shapes.model(registered) if registered else None,
                "configured": configured,
                "vectors": shapes.census(census),
            }
        )
        return 0
    rows = [("model", registered.name if registered else "none yet")]
    if registered:
        rows += [("dimensions", str(registered.dimension)), ("hash", short_id(registered.hash))]
    if configured:
        rows.append(("configured", configured))
    rows += [(f"vectors of {width}", grouped(count)) for width, count in sorted(census.by_width.items())]
    rows.append(("without a vector", grouped(census.without)))
    rows += [(name, grouped(count)) for name, count in (("zero", census.zero), ("broken", census.non_finite)) if count]
    output.table(rows, flexible=1)
    return 0


async def _models(args: Namespace, output: Output) -> int:
    from vestige_tui.embedding import catalog

    found = await asyncio.to_thread(catalog)
    if output.as_json:
        output.document(shapes.listed(asdict(each) for each in found))
        return 0
    rows = [
        (
            each.name,
            str(each.dimension),
            bytes_size(int(each.size_mb * 1_000_000)) if each.size_mb else "",
            each.licence,
            "here" if each.offline else "download",
        )
        for each in found
    ]
    output.table(rows, flexible=0, header=("model", "width", "size", "licence", ""), right=(1, 2))
    return 0


async def _fill(args: Namespace, output: Output) -> int:
    progress = output.progress("vectors")
    async with chosen_store(args) as store:
        try:
            filled = await store.fill_embeddings(progress)
        finally:
            progress.end()
    if output.as_json:
        output.document({"filled": filled})
    output.line(f"Made {grouped(filled)} vectors." if filled else "No vector was missing.")
    return 0
