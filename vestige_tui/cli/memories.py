"""Commands that read memories: search, list, show."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Collection, Sequence
from datetime import datetime
from shlex import quote
from typing import TYPE_CHECKING

from vestige_tui.cli import explanations
from vestige_tui.cli.filters import add_filters, chosen_filter
from vestige_tui.cli.global_options import chosen_store
from vestige_tui.cli.output import Output
from vestige_tui.cli.parser import ID_HELP, Commands, whole
from vestige_tui.core.errors import Usage
from vestige_tui.core.filter_syntax import misspelled_field
from vestige_tui.core.links import Edge
from vestige_tui.core.memories import LOCAL_USER, Memory
from vestige_tui.core.reviews import Review, Scheduling, is_redo
from vestige_tui.core.scheduling import retrievability
from vestige_tui.core.search import Hit, SearchQuery
from vestige_tui.core.text import ago, grouped, one_line, plain, short_id
from vestige_tui.core.times import moment_text
from vestige_tui.presenters import json_shapes
from vestige_tui.presenters.empty_answers import empty_sentence, literal_offer, literal_sentence
from vestige_tui.presenters.job_progress import quantity
from vestige_tui.presenters.marks import mark_words
from vestige_tui.presenters.moments import EDITED_SINCE
from vestige_tui.presenters.passages import passage_parts
from vestige_tui.presenters.sorting import SORTS, sort_sentence

if TYPE_CHECKING:
    from vestige_tui.store.store import Store

RATINGS = ("", "again", "hard", "good", "easy")
_HEAD_CHARS = 400


def add_commands(commands: Commands) -> None:
    search = commands.add("search", _search, "search memories by text, by vector, or by both", dashed_words=True)
    search.add_argument(
        "text", metavar="TEXT", nargs="*", help='query; "a phrase" and +word are required, -word is excluded'
    )
    search.add_argument(
        "--mode", choices=("hybrid", "text", "vector", "literal"), default="hybrid", help="default: hybrid"
    )
    search.add_argument("--limit", metavar="N", type=whole, default=10, help="number of results (default 10)")
    explaining = search.add_mutually_exclusive_group()
    explaining.add_argument("--explain", action="store_true", help="show how the results were ranked")
    explaining.add_argument("--why-not", metavar="ID", help="explain the rank of this memory, or why it is missing")
    add_filters(search)
    listing = commands.add("list", _list, "list memories, one page at a time")
    listing.add_argument("--sort", choices=tuple(SORTS), default="created", help="default: created (newest first)")
    listing.add_argument("--limit", metavar="N", type=whole, default=50, help="memories per page (default 50)")
    listing.add_argument("--after", metavar="CURSOR", help="continue after the cursor that the last page printed")
    add_filters(listing)
    show = commands.add("show", _show, "show one memory in full")
    show.add_argument("id", metavar="ID", help=ID_HELP)
    show.add_argument("--text", action="store_true", help="print only the text of the memory")


async def _search(args: Namespace, output: Output) -> int:
    text = " ".join([*args.text, *args.extra])
    if not text.strip():
        raise Usage("The query is empty; see `vestige-tui search --help`.")
    async with chosen_store(args) as store:
        criteria = await chosen_filter(args, store)
        query = SearchQuery.within(criteria, text, mode=args.mode, limit=args.limit)
        if args.explain or args.why_not is not None:
            return await explanations.print_explanation(store, query, output, why_not=args.why_not)
        answer = await store.search(query)
        now, weights = store.now(), store.policy.weights
    for warning in answer.warnings:
        output.note(warning)
    if hint := misspelled_field(text):
        output.note(f"{hint}; options such as --tag filter.")
    if not answer.hits:
        reason = answer.empty_because
        hint = " Add --superseded to show them." if reason is not None and reason.kind == "replaced" else ""
        output.note(f"{empty_sentence(reason)}{hint}" if reason is not None else "No memory matches.")
        if reason is not None and reason.query.text != text:
            output.note(f"Without it: vestige-tui search {quote(reason.query.text)}", fold=False)
    if (word := literal_offer(query, answer)) is not None:
        output.note(literal_sentence(word))
        output.note(f"For the exact characters: vestige-tui search --mode literal {quote(word.characters)}", fold=False)
    if output.as_json:
        output.document(json_shapes.answer(answer, now, weights))
        return 0
    for rank, hit in enumerate(answer.hits, start=1):
        parts = passage_parts(hit.memory.content, answer.terms, output.width - 5)
        output.line(f"{rank:>3}  {''.join(text for text, _ in parts)}")
        output.line(f"     {_hit_facts(hit, now)}")
    return 0


def _hit_facts(hit: Hit, now: datetime) -> str:
    memory = hit.memory
    parts = [
        short_id(memory.id),
        *(f"{name} #{rank}" for name, rank in (("text", hit.text_rank), ("vector", hit.vector_rank)) if rank),
        f"score {fraction(hit.score, 2)}",
        since(memory.created_at, now),
        plain(memory.node_type),
        *map(plain, memory.domains),
        *mark_words(memory, now),
    ]
    return "  ".join(part for part in parts if part)


async def _list(args: Namespace, output: Output) -> int:
    async with chosen_store(args) as store:
        chosen = await chosen_filter(args, store)
        last = await store.memories.count_last(chosen, sort=args.sort) if args.after is None else 0
        page = await store.page(
            chosen,
            sort=args.sort,
            limit=args.limit,
            after=args.after,
            head=None if output.as_json else _HEAD_CHARS,
        )
        now, weights = store.now(), store.policy.weights
        edited = await store.history.edited_since(page.items, now) if store.moment is not None else {}
    if last:
        output.note(f"Sorted {sort_sentence(args.sort, last)}.")
    if output.as_json:
        output.document(
            json_shapes.listed((json_shapes.memory(memory, now, weights) for memory in page.items), page.next)
        )
        return 0
    print_memories(output, page.items, now, due=args.sort == "due", edited=edited)
    if page.next:
        output.note(f"Next page: --after {page.next}")
    return 0


def print_memories(
    output: Output, memories: Sequence[Memory], now: datetime, *, due: bool, edited: Collection[str] = ()
) -> None:
    """Print one line for each memory, with its creation time or, with ``due``, its due time.

    ``edited``: ids of those whose text was another one at the moment of the store.
    """
    rows = [
        (
            short_id(memory.id),
            one_line(memory.content),
            memory.node_type,
            ", ".join(memory.tags[:3]),
            since(memory.scheduling.next_review if due and memory.scheduling else memory.created_at, now),
            recall(memory.scheduling, now),
            ", ".join([*mark_words(memory, now), *([EDITED_SINCE] if memory.id in edited else [])]),
        )
        for memory in memories
    ]
    if rows:
        header = ("id", "memory", "type", "tags", "due" if due else "created", "recall", "marks")
        marked = any(row[-1] for row in rows)
        output.table(
            rows if marked else [row[:-1] for row in rows],
            flexible=1,
            header=header if marked else header[:-1],
            right=(4, 5),
        )
    else:
        output.note("No memory is due." if due else "No memory matches.")


async def _show(args: Namespace, output: Output) -> int:
    async with chosen_store(args) as store:
        memory = await store.get(await store.memories.resolve(args.id))
        if args.text and not output.as_json:
            output.line(memory.content.removesuffix("\n"))
            return 0
        edges = await store.links.edges(memory.id)
        reviews = await store.reviews.log(memory.id)
        events = await store.links.history(memory.id)
        now, weights = store.now(), store.policy.weights
        edited = await store.history.edited_since([memory], now) if store.moment is not None else {}
        if output.as_json:
            document: dict[str, object] = {
                "memory": json_shapes.memory(memory, now, weights),
                "edges": [json_shapes.edge(each) for each in edges],
                "reviews": [json_shapes.review(each) for each in reviews],
                "supersession": [json_shapes.event(each) for each in events],
            }
            if store.moment is not None:
                document["text_edited_since"] = json_shapes.time(edited.get(memory.id))
            output.document(document)
            return 0
        await _show_text(output, store, memory, edges, reviews)
        if (at := edited.get(memory.id)) is not None:
            output.note(f"Its text has been edited since this moment, last at {moment_text(at)}.")
    return 0


async def _sharing(store: Store, memory: Memory) -> list[tuple[str, str]]:
    """Return the owner, unless it is the local user, and the groups that a memory is shared with, by their handles."""
    owner = [] if memory.owner_user_id == LOCAL_USER else [memory.owner_user_id]
    if not owner and not memory.shared_with_groups:
        return []
    handles = await store.memories.owner_names([*owner, *memory.shared_with_groups])
    return [
        ("owner", ", ".join(handles.get(each, each) for each in owner)),
        ("shared with", ", ".join(sorted(handles.get(each, each) for each in memory.shared_with_groups))),
    ]


async def _show_text(
    output: Output, store: Store, memory: Memory, edges: Sequence[Edge], reviews: Sequence[Review]
) -> None:
    now = store.now()
    output.line(memory.content.rstrip("\n"))
    output.line()
    facts = [
        ("id", memory.id),
        ("type", memory.node_type),
        ("tags", ", ".join(memory.tags)),
        ("domains", ", ".join(memory.domains)),
        ("codebase", memory.codebase or ""),
        ("created", since(memory.created_at, now)),
        ("updated", since(memory.updated_at, now) if memory.updated_at != memory.created_at else ""),
        ("marks", ", ".join(mark_words(memory, now, dated=True))),
        ("visibility", "" if memory.visibility == "private" else memory.visibility),
        *await _sharing(store, memory),
        ("recall", _schedule(memory.scheduling, now)),
        ("vector", "" if memory.has_embedding else "none"),
        *((f"meta {name}", _value(value)) for name, value in memory.metadata.items()),
    ]
    if reviews:
        last = reviews[-1]
        reversal = "redone" if is_redo(last, reviews) else "undone"
        grade = reversal if last.undoes else RATINGS[last.rating] if 0 < last.rating < 5 else str(last.rating)
        facts.append(("reviews", f"{grouped(len(reviews))}, last {grade} {ago(last.at, now)}"))
    other_ids = {other for edge in edges for other in (edge.source_id, edge.target_id)} - {memory.id}
    if memory.superseded_by:
        other_ids.add(memory.superseded_by)
    first_lines = {each.id: one_line(each.content) for each in await store.memories.get_many(sorted(other_ids))}
    if memory.superseded_by:
        facts.append(
            ("replaced by", f"{short_id(memory.superseded_by)}  {first_lines.get(memory.superseded_by, 'deleted')}")
        )
    for edge in edges:
        outgoing = edge.source_id == memory.id
        other = edge.target_id if outgoing else edge.source_id
        facts.append(
            (
                "link" if outgoing else "linked by",
                f"{plain(edge.edge_type)} {fraction(edge.weight)}  {short_id(other)}  {first_lines.get(other, '')}",
            )
        )
    output.table([fact for fact in facts if fact[1]], flexible=1)


def _schedule(state: Scheduling | None, now: datetime) -> str:
    if state is None or state.reps == 0:
        return ""
    due = f", due {ago(state.next_review, now)}" if state.next_review else ""
    return (
        f"R {recall(state, now) or 'unknown'}{due}, {quantity(state.reps, 'review')}, {quantity(state.lapses, 'lapse')}"
    )


def _value(value: object) -> str:
    from vestige_tui.core.json_text import dumps

    return value if isinstance(value, str) else dumps(json_shapes.finite(value))


def recall(state: Scheduling | None, now: datetime) -> str:
    """Retrievability now, ``.84``; empty for a memory never reviewed."""
    value = retrievability(state, now) if state else None
    return "" if value is None else fraction(value)


def fraction(value: float, digits: int = 2) -> str:
    """A number from 0 to 1 without its zero: ``.84``."""
    text = f"{value:.{digits}f}"
    return text.removeprefix("0") if text.startswith("0.") else text


def since(moment: datetime | None, now: datetime) -> str:
    return ago(moment, now) if moment else ""
