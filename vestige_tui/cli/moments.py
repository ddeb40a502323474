"""The store at a past moment: the option --as-of, and the command diff, which compares two moments."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from vestige_tui.cli.filters import add_filters, chosen_filter, moment
from vestige_tui.cli.global_options import chosen_store
from vestige_tui.cli.parser import Commands, whole
from vestige_tui.core.filter_match import leaves_untold
from vestige_tui.core.text import ago, grouped, one_line, short_id
from vestige_tui.presenters.moments import (
    GROUP_TITLES,
    GROUPS,
    TODAYS_TEXTS,
    UNTOLD_OF_DELETED,
    counts_sentence,
    decision_words,
    deletion_words,
    difference_document,
    span_sentence,
)

if TYPE_CHECKING:
    from vestige_tui.cli.output import Output
    from vestige_tui.core.history import Difference

LIST_LIMIT = 50
HEAD_CHARS = 400


def add_commands(commands: Commands) -> None:
    diff = commands.add("diff", _diff, "compare the store at two moments: appeared, replaced, active again, deleted")
    diff.add_argument(
        "--from", metavar="TIME", dest="start", required=True, help="first moment: 2026-11-01, -7d, today, RFC 3339"
    )
    diff.add_argument("--to", metavar="TIME", dest="end", help="second moment (default: now)")
    diff.add_argument(
        "--limit", metavar="N", type=whole, default=LIST_LIMIT, help=f"memories of each group (default {LIST_LIMIT})"
    )
    add_filters(diff, superseded=False)


async def _diff(args: Namespace, output: Output) -> int:
    async with chosen_store(args) as store:
        days = store.policy.days
        start = moment(args.start, days)
        end = moment(args.end, days) or store.now()
        assert start is not None
        chosen = await chosen_filter(args, store)
        head = None if output.as_json else HEAD_CHARS
        difference = await store.history.difference(start, end, chosen, limit=args.limit, head=head)
        weights = store.policy.weights
    if output.as_json:
        output.document(difference_document(difference, weights))
        return 0
    output.line(f"{span_sentence(difference)}: {counts_sentence(difference.counts)}")
    _print_groups(output, difference, datetime.now(UTC))
    if difference.counts.deleted and leaves_untold(chosen):
        output.note(UNTOLD_OF_DELETED)
    if difference.counts.total:
        output.note(TODAYS_TEXTS)
    return 0


def _print_groups(output: Output, difference: Difference, now: datetime) -> None:
    groups: Mapping[str, Sequence[tuple[str, str, str]]] = {
        "appeared": [(each.id, each.content, _created(each.created_at, now)) for each in difference.appeared],
        "superseded": [
            (each.memory.id, each.memory.content, decision_words(each.decision, now)) for each in difference.superseded
        ],
        "active_again": [
            (each.memory.id, each.memory.content, decision_words(each.decision, now))
            for each in difference.active_again
        ],
        "deleted": [(each.id, each.content, deletion_words(each, now)) for each in difference.deleted],
    }
    for name in GROUPS:
        rows = groups[name]
        if not rows:
            continue
        count = getattr(difference.counts, name)
        output.line()
        output.line(f"{GROUP_TITLES[name]}: {grouped(count)}")
        output.table([(short_id(id), one_line(text), words) for id, text, words in rows], flexible=1)
        if count > len(rows):
            output.note(f"{grouped(count - len(rows))} more; --limit {grouped(count).replace(',', '')} shows them.")


def _created(at: datetime | None, now: datetime) -> str:
    return "" if at is None else f"created {ago(at, now)}"
