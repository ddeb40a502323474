"""Commands for the graph: edges, link, unlink, neighbors."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from vestige_tui.cli.change_lines import is_answered, names, print_sentence
from vestige_tui.cli.global_options import chosen_store
from vestige_tui.cli.memories import fraction, since
from vestige_tui.cli.output import Output
from vestige_tui.cli.parser import ID_HELP, Commands, share, whole
from vestige_tui.core.links import Edge
from vestige_tui.core.memories import Change
from vestige_tui.core.text import one_line, plain, short_id
from vestige_tui.presenters import json_shapes

if TYPE_CHECKING:
    from vestige_tui.store.store import Store


def add_commands(commands: Commands) -> None:
    edges = commands.add("edges", _edges, "list the links to and from a memory")
    edges.add_argument("id", metavar="ID", help=ID_HELP)
    edges.add_argument("--type", metavar="TYPE", help="only links of this type")
    link = commands.add("link", _link, "link two memories")
    link.add_argument("source", metavar="A", help=ID_HELP)
    link.add_argument("target", metavar="B", help=ID_HELP)
    link.add_argument("--type", metavar="TYPE", default="related", help="type of the link (default: related)")
    link.add_argument("--weight", metavar="W", type=share, default=1.0, help="weight, 0 to 1 (default 1)")
    unlink = commands.add("unlink", _unlink, "remove a link between two memories")
    unlink.add_argument("source", metavar="A", help=ID_HELP)
    unlink.add_argument("target", metavar="B", help=ID_HELP)
    unlink.add_argument("--type", metavar="TYPE", default="related", help="type of the link (default: related)")
    neighbors = commands.add(
        "neighbors", _neighbors, "list memories linked to this one, directly or through others, closest first"
    )
    neighbors.add_argument("id", metavar="ID", help=ID_HELP)
    neighbors.add_argument(
        "--depth", metavar="N", type=whole, default=1, help="how many links away a memory may be, 1 to 6 (default 1)"
    )


async def _edges(args: Namespace, output: Output) -> int:
    async with chosen_store(args) as store:
        memory_id = await store.memories.resolve(args.id)
        edges = await store.links.edges(memory_id, args.type)
        if output.as_json:
            output.document(json_shapes.listed(map(json_shapes.edge, edges)))
            return 0
        other_ids = [edge.target_id if edge.source_id == memory_id else edge.source_id for edge in edges]
        first_lines = {memory.id: one_line(memory.content) for memory in await store.memories.get_many(other_ids)}
        now = store.now()
    if not edges:
        output.note("This memory has no links.")
        return 0
    rows = [
        (
            "→" if edge.source_id == memory_id else "←",
            short_id(other),
            first_lines.get(other, ""),
            edge.edge_type,
            fraction(edge.weight),
            since(edge.created_at, now),
        )
        for edge, other in zip(edges, other_ids, strict=True)
    ]
    output.table(rows, flexible=2, header=("", "id", "memory", "type", "weight", "created"), right=(4, 5))
    return 0


async def _link(args: Namespace, output: Output) -> int:
    async with chosen_store(args) as store:
        source, target = await store.memories.resolve(args.source), await store.memories.resolve(args.target)
        change = await store.links.add(Edge(source, target, args.type, args.weight))
        return await _print_link(output, store, change, "Linked", (source, target), args.type)


async def _unlink(args: Namespace, output: Output) -> int:
    async with chosen_store(args) as store:
        source, target = await store.memories.resolve(args.source), await store.memories.resolve(args.target)
        change = await store.links.remove(source, target, args.type)
        return await _print_link(output, store, change, "Unlinked", (source, target), args.type)


async def _print_link(
    output: Output, store: Store, change: Change, verb: str, ends: tuple[str, str], edge_type: str
) -> int:
    if not is_answered(output, change):
        by_id = await names(store, ends)
        joined = " → ".join(by_id[memory_id] for memory_id in ends)
        print_sentence(output, change, f"{verb} ({plain(edge_type)}) {joined}")
    return 0


async def _neighbors(args: Namespace, output: Output) -> int:
    async with chosen_store(args) as store:
        neighbors = await store.links.neighbors(await store.memories.resolve(args.id), args.depth)
        now, weights = store.now(), store.policy.weights
    if output.as_json:
        output.document(json_shapes.listed(json_shapes.neighbor(neighbor, now, weights) for neighbor in neighbors))
        return 0
    if not neighbors:
        output.note("This memory has no links.")
        return 0
    rows = [
        (
            short_id(neighbor.memory.id),
            one_line(neighbor.memory.content),
            neighbor.memory.node_type,
            str(neighbor.depth),
            fraction(neighbor.weight),
        )
        for neighbor in neighbors
    ]
    output.table(rows, flexible=1, header=("id", "memory", "type", "links", "weight"), right=(3, 4))
    return 0
