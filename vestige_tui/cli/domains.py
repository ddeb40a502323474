"""Commands for domains: list, show, set, rename, merge, delete; and classify."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from vestige_tui.cli.bulk import print_preview
from vestige_tui.cli.change_lines import is_answered, named, print_change, print_sentence
from vestige_tui.cli.global_options import chosen_store
from vestige_tui.cli.output import Output
from vestige_tui.cli.parser import ID_HELP, Commands, Parser, whole
from vestige_tui.core.bulk import DomainMove
from vestige_tui.core.text import grouped, one_line, plain, short_id
from vestige_tui.presenters import json_shapes
from vestige_tui.presenters.bulk import bulk_sentence
from vestige_tui.presenters.changes import change_sentence
from vestige_tui.presenters.domains import (
    NO_DOMAINS,
    centroid_age,
    classification_document,
    classification_sentence,
    domain_document,
    exact_similarity,
    members,
    near_documents,
    similarity,
    terms,
)

if TYPE_CHECKING:
    from vestige_tui.core.domains import Classification

NEAR_ROWS = 5
DRY_RUN_HELP = "print the memories that would change; change none"


def add_commands(commands: Commands) -> None:
    domains = commands.add("domains", None, "list the domains of a store, rename, merge or delete them")
    steps = commands.subcommands(domains, "step")
    steps.add("list", _list, "list the domains with their memories, most memories first")
    show = steps.add("show", _show, "show one domain, and the memories near its centroid that are not in it")
    show.add_argument("name", metavar="NAME", help="name of a domain")
    show.add_argument(
        "--limit", metavar="N", type=whole, default=NEAR_ROWS, help=f"how many near memories (default {NEAR_ROWS})"
    )
    put = steps.add("set", _set, "set the label and top terms of a domain, and compute the centroid of its memories")
    put.add_argument("name", metavar="NAME", help="name of a domain")
    put.add_argument(
        "--label", metavar="TEXT", help="title of the domain (default: unchanged; if it has none, its name)"
    )
    put.add_argument(
        "--term",
        metavar="TERM",
        action="append",
        help="a top term; repeat it for several (default: words that tell its memories from the others)",
    )
    _add_moves(steps)
    classify = commands.add("classify", _classify, "rank the domains by the similarity of their centroids to a memory")
    classify.add_argument("id", metavar="ID", help=ID_HELP)
    classify.add_argument("--apply", action="store_true", help="add the nearest domain to the memory")


def _add_moves(steps: Commands) -> None:
    rename = steps.add("rename", _rename, "rename a domain on all of its memories")
    rename.add_argument("name", metavar="NAME", help="name of a domain")
    rename.add_argument("new", metavar="TO", help="its new name, which no domain has yet")
    merge = steps.add("merge", _merge, "merge domains into one, which may be new")
    merge.add_argument("names", metavar="NAME", nargs="+", help="domains that are merged")
    merge.add_argument("--into", metavar="NAME", required=True, help="the domain that all of their memories get")
    delete = steps.add("delete", _delete, "delete a domain; its memories stay, without it")
    delete.add_argument("name", metavar="NAME", help="name of a domain")
    for parser in (rename, merge, delete):
        _add_dry_run(parser)


def _add_dry_run(parser: Parser) -> None:
    parser.add_argument("--dry-run", action="store_true", help=DRY_RUN_HELP)


async def _list(args: Namespace, output: Output) -> int:
    async with chosen_store(args) as store:
        domains, now = await store.domains.list_all(), store.now()
    if output.as_json:
        output.document(json_shapes.listed(map(domain_document, domains)))
        return 0
    if not domains:
        output.note(NO_DOMAINS)
        return 0
    rows = [(each.name, each.label, grouped(each.memories), centroid_age(each, now), terms(each)) for each in domains]
    output.table(rows, flexible=4, header=("domain", "label", "memories", "centroid", "top terms"), right=(2,))
    return 0


async def _show(args: Namespace, output: Output) -> int:
    async with chosen_store(args) as store:
        domain, now = await store.domains.get(args.name), store.now()
        hits = await store.domains.near(domain.name, args.limit)
    if output.as_json:
        output.document({"domain": domain_document(domain), "near": near_documents(hits)})
        return 0
    facts = [("domain", domain.name), ("label", domain.label or "none"), ("memories", members(domain))]
    facts += [("top terms", terms(domain) or "none"), ("centroid", centroid_age(domain, now))]
    output.table(facts, flexible=1, wrap=True)
    if hits:
        output.line()
        rows = [
            (similarity(hit.vector_score or 0.0), short_id(hit.memory.id), one_line(hit.memory.content)) for hit in hits
        ]
        output.table(rows, flexible=2, header=("near", "id", "memory outside of the domain"), right=(0,))
    return 0


async def _set(args: Namespace, output: Output) -> int:
    async with chosen_store(args) as store:
        change = await store.domains.put(args.name, label=args.label, terms=args.term)
        domain = await store.domains.get(args.name.strip())
    if not is_answered(output, change, domain=domain_document(domain)):
        print_sentence(output, change, change_sentence("set_domain", "", plain(domain.name)))
    return 0


async def _rename(args: Namespace, output: Output) -> int:
    return await _move(args, output, DomainMove("rename_domain", (args.name,), args.new))


async def _merge(args: Namespace, output: Output) -> int:
    return await _move(args, output, DomainMove("merge_domains", tuple(args.names), args.into))


async def _delete(args: Namespace, output: Output) -> int:
    return await _move(args, output, DomainMove("delete_domain", (args.name,)))


async def _move(args: Namespace, output: Output, move: DomainMove) -> int:
    async with chosen_store(args) as store:
        if not args.dry_run:
            store.refuse_read_only()
        preview = await store.domains.preview(move)
        if args.dry_run:
            await print_preview(output, store, preview)
            return 0
        change = await store.domains.apply(preview)
    if not is_answered(output, change):
        subject = named(preview.first) if len(preview.ids) == 1 and preview.first else ""
        print_sentence(output, change, bulk_sentence(preview, subject))
    return 0


async def _classify(args: Namespace, output: Output) -> int:
    async with chosen_store(args) as store:
        if args.apply:
            store.refuse_read_only()
        classification = await store.domains.classify(await store.memories.resolve(args.id))
        document = classification_document(classification)
        if not output.as_json:
            _print_scores(output, classification)
        if args.apply:
            change = await store.domains.add_best(classification)
            detail = f": domains +{plain(classification.best.name)}"
            return await print_change(output, store, change, "Edited", detail, classification=document)
    if output.as_json:
        output.document(document)
    return 0


def _print_scores(output: Output, classification: Classification) -> None:
    rows = [
        (
            exact_similarity(score.similarity),
            score.name,
            score.label,
            "in it" if score.name in classification.domains else "",
        )
        for score in classification.scores
    ]
    output.table(rows, flexible=2, header=("similarity", "domain", "label", ""), right=(0,))
    output.line(classification_sentence(classification))
