"""Commands for reviews: due, review, forecast."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from datetime import timedelta

from vestige_tui.cli import weights
from vestige_tui.cli.bulk import add_target, change_many, chosen_target
from vestige_tui.cli.change_lines import print_change, print_undo
from vestige_tui.cli.filters import add_filters, chosen_filter, moment
from vestige_tui.cli.global_options import chosen_store
from vestige_tui.cli.memories import print_memories
from vestige_tui.cli.output import Output
from vestige_tui.cli.parser import ID_HELP, Commands, days, desired_retention, whole
from vestige_tui.core.bulk import MarkEdit
from vestige_tui.core.errors import Usage
from vestige_tui.core.marks import MarkVerb
from vestige_tui.core.reviews import Rating
from vestige_tui.core.scheduling import forecast
from vestige_tui.core.text import ago, grouped
from vestige_tui.presenters import json_shapes
from vestige_tui.presenters.review_statistics import Load, load_document, load_of, load_sentence

_GRADES = {rating.name.lower(): rating for rating in Rating}
_MARK_ACTIONS = {
    "suspend": ("Suspended", ""),
    "bury": ("Buried", " until tomorrow"),
    "resume": ("Resumed", ""),
    "clear": ("Cleared the marks of", ""),
}
"""Actions of ``review`` that mark a memory, with the words before and after it."""
_MARK_HELP: Mapping[MarkVerb, str] = {
    "suspend": "exclude memories from reviews until they are resumed",
    "bury": "exclude memories from reviews until tomorrow",
    "resume": "include suspended and buried memories in reviews again",
    "pin": "pin memories: deleting several at once leaves them out",
    "unpin": "unpin memories",
}
_UNLIMITED_ROWS = 1_000_000
_MAX_BAR_COLUMNS = 40


def add_commands(commands: Commands) -> None:
    due = commands.add("due", _due, "list the memories due for review by the end of today, longest overdue first")
    due.add_argument("--before", metavar="TIME", help="due before this time instead: tomorrow, +7d, 2026-11-01")
    due.add_argument("--limit", metavar="N", type=whole, default=100, help="maximum number (default 100)")
    due.add_argument("--count", action="store_true", help="print only the number")
    add_filters(due)
    review = commands.add(
        "review", _review, "grade a memory (again, hard, good, easy), or undo, suspend, bury, resume, clear, optimize"
    )
    review.add_argument(
        "what",
        metavar="ID|undo|suspend|bury|resume|clear|optimize",
        help="id of the memory to grade, or an action; clear removes all review marks (suspended, buried, leech, "
        "pinned); optimize fits the weights of FSRS to the review log",
    )
    review.add_argument(
        "grade",
        metavar="GRADE|ID",
        nargs="?",
        help="after an id: again, hard, good or easy; after an action: id of the memory (optional for undo)",
    )
    weights.add_options(review)
    for verb, help_text in _MARK_HELP.items():
        marking = commands.add(verb, _mark_many, help_text)
        marking.add_argument("ids", metavar="ID", nargs="*", help=ID_HELP)
        add_target(marking)
    forecasting = commands.add("forecast", _forecast, "print how many memories are due on each coming day")
    forecasting.add_argument("--days", metavar="N", type=days, default=30, help="number of days (default 30)")
    forecasting.add_argument(
        "--retention",
        metavar="R",
        type=desired_retention,
        help="compare with what would be due under this desired retention, 0.5 to 0.99; nothing is changed",
    )
    add_filters(forecasting)


async def _due(args: Namespace, output: Output) -> int:
    async with chosen_store(args) as store:
        before = moment(args.before, store.policy.days)
        chosen = await chosen_filter(args, store)
        now, current = store.now(), store.policy.weights
        if args.count and before is None:
            counts = await store.reviews.queue_counts(chosen)
            if output.as_json:
                output.document(json_shapes.queue(counts))
            output.line(str(counts.overdue + counts.today))
            return 0
        memories = await store.reviews.due(before, _UNLIMITED_ROWS if args.count else args.limit, chosen)
    if args.count:
        if output.as_json:
            output.document({"count": len(memories)})
        output.line(str(len(memories)))
    elif output.as_json:
        output.document(json_shapes.listed(json_shapes.memory(memory, now, current) for memory in memories))
    else:
        print_memories(output, memories, now, due=True)
    return 0


async def _review(args: Namespace, output: Output) -> int:
    if args.what == weights.OPTIMIZE:
        return await weights.optimize(args, output)
    weights.refuse_options(args)
    if args.what == "undo" or args.what in _MARK_ACTIONS:
        return await _mark(args, output)
    if args.grade not in _GRADES:
        raise Usage(f"The grade must be one of {', '.join(_GRADES)}; for example `vestige-tui review 1a2b3c4d good`.")
    async with chosen_store(args) as store:
        change = await store.reviews.record(await store.memories.resolve(args.what), _GRADES[args.grade])
        now, current, state = store.now(), store.policy.weights, change.scheduling
        due = f", due {ago(state.next_review, now)}" if state and state.next_review else ""
        scheduling = None if state is None else json_shapes.scheduling(state, now, current)
        return await print_change(
            output, store, change, "Graded", f" {args.grade.capitalize()}{due}", scheduling=scheduling
        )


async def _mark(args: Namespace, output: Output) -> int:
    if args.grade is None and args.what != "undo":
        raise Usage(f"review {args.what} needs the id of a memory.")
    async with chosen_store(args) as store:
        memory_id = await store.memories.resolve(args.grade) if args.grade else None
        now, current = store.now(), store.policy.weights
        if args.what == "undo":
            change = await store.reviews.undo(memory_id)
            state = change.scheduling
        else:
            assert memory_id is not None
            reviews = store.reviews
            if args.what == "clear":
                change = await reviews.clear_marks([memory_id])
            else:
                action = {"suspend": reviews.suspend, "bury": reviews.bury, "resume": reviews.resume}[args.what]
                change = await action(memory_id)
            state = await store.reviews.scheduling(memory_id)
        scheduling = None if state is None else json_shapes.scheduling(state, now, current)
        if args.what == "undo":
            return print_undo(output, change, scheduling=scheduling)
        verb, detail = _MARK_ACTIONS[args.what]
        return await print_change(output, store, change, verb, detail, scheduling=scheduling)


async def _mark_many(args: Namespace, output: Output) -> int:
    async with chosen_store(args) as store:
        target = await chosen_target(args, store)
        return await change_many(args, output, store, target, MarkEdit(args.command))


async def _forecast(args: Namespace, output: Output) -> int:
    async with chosen_store(args) as store:
        now, local_days = store.now(), store.policy.days
        chosen = await chosen_filter(args, store)
        times = await store.reviews.due_times(args.days, chosen)
        if args.retention is not None:
            planned = await store.review_statistics.due_times(args.retention, chosen)
            return _what_if(output, load_of(times, planned, args.retention, now, args.days, local_days))
    counts, today = forecast(times, now, args.days, local_days), local_days.of(now)
    dates = [(today + timedelta(days=offset), count) for offset, count in enumerate(counts)]
    if output.as_json:
        output.document(json_shapes.listed({"date": day.isoformat(), "due": count} for day, count in dates))
        return 0
    max_count = max(1, *counts)
    for day, count in dates:
        bar = "▇" * -(-count * _MAX_BAR_COLUMNS // max_count)
        output.line(f"{day:%a %d %b}  {grouped(count):>7}  {bar}".rstrip())
    return 0


def _what_if(output: Output, load: Load) -> int:
    """Print the load of each day now and under another desired retention."""
    if output.as_json:
        output.document(load_document(load))
        return 0
    output.line(load_sentence(load))
    days = zip(load.days, load.present, load.planned, strict=True)
    rows = [(f"{day:%a %d %b}", grouped(due), grouped(planned)) for day, due, planned in days]
    output.table(rows, flexible=0, header=("day", "due", f"due at {load.retention:.2f}"), right=(1, 2))
    return 0
