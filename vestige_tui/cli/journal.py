"""Commands on the journal: journal, undo, redo."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vestige_tui.cli.change_lines import print_redo, print_undo
from vestige_tui.cli.filters import moment
from vestige_tui.cli.global_options import chosen_store
from vestige_tui.cli.output import Output
from vestige_tui.cli.parser import ID_HELP, Commands, entry_number, whole
from vestige_tui.core.errors import NotFound
from vestige_tui.core.journal import UNDO, JournalFilter, origin_label
from vestige_tui.core.text import ago
from vestige_tui.presenters import json_shapes
from vestige_tui.presenters.changes import journal_sentence, named_change
from vestige_tui.store.memories import MIN_PREFIX_LENGTH

if TYPE_CHECKING:
    from datetime import datetime

    from vestige_tui.core.journal import JournalLine
    from vestige_tui.store.store import Store

_ENTRY_HELP = "number of the entry; `journal` lists them"


def add_commands(commands: Commands) -> None:
    journal = commands.add("journal", _journal, "list the changes of the store, newest first")
    journal.add_argument("--actor", metavar="NAME", help="only changes by this user")
    journal.add_argument("--since", metavar="TIME", help="made at or after this time: 2026-11-01, -7d, 3mo, today")
    journal.add_argument("--memory", metavar="ID", help=f"only changes of this memory: {ID_HELP}")
    journal.add_argument("--limit", metavar="N", type=whole, default=50, help="entries per page (default 50)")
    journal.add_argument("--after", metavar="ENTRY", type=entry_number, help="continue after this entry")
    undo = commands.add(
        "undo",
        _undo,
        "undo the change with this number; without a number, your last change, made in a console or by a command",
    )
    undo.add_argument("entry", metavar="ENTRY", nargs="?", type=entry_number, help=_ENTRY_HELP)
    redo = commands.add("redo", _redo, "redo the undo with this number; without a number, your last undo")
    redo.add_argument("entry", metavar="ENTRY", nargs="?", type=entry_number, help=_ENTRY_HELP)


async def _journal(args: Namespace, output: Output) -> int:
    async with chosen_store(args) as store:
        since = moment(args.since, store.policy.days)
        memory = None if args.memory is None else await _memory(store, args.memory)
        filter = JournalFilter(args.actor, since, memory)
        page = await store.journal.page(filter, limit=args.limit, before_id=args.after)
        if memory is not None and not page.items and args.after is None:
            # Neither the store nor its journal knows the id: an error, not an empty list.
            await store.memories.resolve(args.memory)
        now = store.now()
    if output.as_json:
        output.document(json_shapes.listed(map(json_shapes.journal_line, page.items), page.next))
        return 0
    _print_lines(output, page.items, now)
    if page.next is not None:
        output.note(f"More: add --after {page.next}")
    if not page.items:
        output.note(
            "This file belongs to a Vestige server; it has no journal."
            if store.kind == "vestige"
            else "No entry of the journal matches."
        )
    return 0


async def _memory(store: Store, text: str) -> str:
    """Return the id of a memory, or the text as it is: the journal also has memories that are deleted."""
    try:
        return await store.memories.resolve(text)
    except NotFound:
        if len(text.strip()) < MIN_PREFIX_LENGTH:
            raise
        return text.strip()


def _print_lines(output: Output, lines: Sequence[JournalLine], now: datetime) -> None:
    rows = [
        (
            str(line.id),
            ago(line.at, now),
            line.actor,
            origin_label(line.origin),
            journal_sentence(line, with_id=True),
            "" if line.undone_by is None else f"{'redone' if line.verb == UNDO else 'undone'} by {line.undone_by}",
        )
        for line in lines
    ]
    output.table(rows, flexible=4, header=("entry", "when", "actor", "origin", "change", ""), right=(0,))


async def _undo(args: Namespace, output: Output) -> int:
    async with chosen_store(args) as store:
        store.refuse_read_only()
        entry = args.entry
        if entry is None:
            last = await store.journal.last_change()
            if last is None:
                raise NotFound("There is nothing to undo.")
            entry = last.id
            await _announce(store, output, entry, "Undoing")
        return print_undo(output, await store.journal.undo(entry))


async def _redo(args: Namespace, output: Output) -> int:
    async with chosen_store(args) as store:
        store.refuse_read_only()
        entry = args.entry
        if entry is None:
            last = await store.journal.last_undo()
            if last is None:
                raise NotFound("There is nothing to redo.")
            entry = last.id
            await _announce(store, output, entry, "Redoing")
        return print_redo(output, await store.journal.redo(entry))


async def _announce(store: Store, output: Output, entry: int, word: str) -> None:
    """Name the change that was not chosen by its number, before it is undone or redone."""
    line = (await store.journal.lines([entry]))[entry]
    change = line.target or line
    named = named_change(change, change.content, change.other, with_id=True)
    source = f", {label}" if (label := origin_label(change.origin)) else ""
    output.note(f"{word} change {change.id} ({ago(change.at, store.now())}{source}): {named}", fold=False)
