"""Commands on several memories: by ids or by filters, with a preview, in one change."""

from __future__ import annotations

from argparse import Namespace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from vestige_tui.cli.change_lines import is_answered, named, print_sentence
from vestige_tui.cli.filters import add_filters, chosen_filter, saved_filter
from vestige_tui.cli.output import Output
from vestige_tui.cli.parser import Parser
from vestige_tui.core.bulk import BulkPreview, Operation, Target
from vestige_tui.core.errors import Refused, Usage
from vestige_tui.core.filter_syntax import filter_of, read_chips
from vestige_tui.core.memories import Change, Filter
from vestige_tui.core.text import grouped, one_line, short_id
from vestige_tui.presenters.bulk import (
    beside_notes,
    bulk_sentence,
    followed_notes,
    left_out_notes,
    loss_notes,
    many,
    preview_title,
    types_line,
)

if TYPE_CHECKING:
    from vestige_tui.store.store import Store

READ_ROWS = 200
KEEP_REPLACED = "--keep-replaced"
"""Option of a deletion that keeps the memories replaced which it would make active again."""


def add_target(parser: Parser, *, filters: bool = True) -> None:
    """Add the options that choose memories by filters, and --dry-run; the command adds its ids itself.

    Without ``filters``, where --type and others set new values, the filters are those of --where.
    """
    parser.add_argument("--dry-run", action="store_true", help="print the memories that would change; change none")
    if filters:
        add_filters(parser)
        return
    group = parser.add_argument_group("filters", "every memory that passes them is edited")
    group.add_argument("--where", metavar="FILTERS", help="such as 'type:note domain:auth since:-30d'")
    group.add_argument(
        "--filter",
        metavar="NAME",
        help="a saved filter, to which --where adds; owner:, since:, until: and recall: of --where win over those of "
        "the saved filter",
    )


async def chosen_target(args: Namespace, store: Store) -> Target:
    """Return the memories of the ids or of the filters. Raises Usage without either and with both, and NotFound."""
    criteria = await _where(args, store) if hasattr(args, "where") else await chosen_filter(args, store)
    if args.ids and criteria != Filter():
        raise Usage("Give ids or filters, not both.")
    if criteria != Filter():
        return Target(filter=criteria)
    if not args.ids:
        raise Usage(f"{args.command} needs the ids of memories, or filters; see `vestige-tui {args.command} --help`.")
    return Target(tuple(dict.fromkeys([await store.memories.resolve(each) for each in args.ids])))


async def _where(args: Namespace, store: Store) -> Filter:
    texts = [saved_filter(args, args.filter)] if args.filter is not None else []
    texts += [args.where] if args.where is not None else []
    try:
        chips = [chip for text in texts for chip in read_chips(text)]
    except Usage as error:
        raise Usage(f"--where is not valid: {error.message}.") from None
    return await store.memories.resolve_owner(filter_of(chips, datetime.now(UTC), store.policy.days))


async def change_many(
    args: Namespace,
    output: Output,
    store: Store,
    target: Target,
    operation: Operation,
    *,
    most_unconfirmed: int | None = None,
    **extra: Any,
) -> int:
    """Change the memories of a target, or with --dry-run print them; return the exit status.

    Raises Refused for more than ``most_unconfirmed`` memories without --yes, Conflict if one changes meanwhile.
    """
    if not args.dry_run:
        store.refuse_read_only()
    preview = await store.bulk.preview(target, operation)
    if args.dry_run:
        await print_preview(output, store, preview)
        return 0
    if most_unconfirmed is not None and len(preview.ids) > most_unconfirmed and not args.yes:
        raise Refused(f"This would {operation.verb} {many(len(preview.ids))}; add --yes to confirm.")
    _note_consequences(output, preview)
    change = await store.bulk.apply(preview) if preview.ids else Change(())
    if not is_answered(output, change, **extra):
        subject = named(preview.first) if len(preview.ids) == 1 and preview.first else ""
        print_sentence(output, change, bulk_sentence(preview, subject))
    return 0


async def print_preview(output: Output, store: Store, preview: BulkPreview) -> None:
    """Print the memories that a change would change, and its other consequences."""
    if output.as_json:
        output.document(preview_document(preview))
        return
    output.line(preview_title(preview))
    for start in range(0, len(preview.ids), READ_ROWS):
        memories = await store.memories.get_many(preview.ids[start : start + READ_ROWS])
        output.table([(short_id(each.id), each.node_type, one_line(each.content)) for each in memories], flexible=2)
    if len(preview.ids) > 1:
        output.note(f"{types_line(preview)}.")
    _note_consequences(output, preview)
    output.note("Nothing was changed: this was a dry run.")


def _note_consequences(output: Output, preview: BulkPreview) -> None:
    for note in loss_notes(preview):
        output.note(note)
    for memory in preview.resurrected:
        output.note(f"Becomes active again: {named(memory)}")
    if preview.resurrected_count > len(preview.resurrected):
        output.note(f"and {grouped(preview.resurrected_count - len(preview.resurrected))} more.")
    for note in (*beside_notes(preview, KEEP_REPLACED), *followed_notes(preview)):
        output.note(note)
    for note in left_out_notes(preview):
        output.note(note)


def preview_document(preview: BulkPreview) -> dict[str, Any]:
    """Return the JSON document of a preview."""
    return {
        "verb": preview.operation.verb,
        "ids": list(preview.ids),
        "types": dict(preview.types),
        "left_out": [{"reason": each.reason, "ids": list(each.ids)} for each in preview.left_out],
        "links": preview.edges,
        "reviews": preview.reviews,
        "active_again": preview.resurrected_count,
        "kept_replaced": preview.followed_count,
        "beside": {memory_id: successor.id for memory_id, successor in preview.beside.items()},
    }
