"""Options that filter memories."""

from __future__ import annotations

from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from vestige_tui.cli.parser import Parser, share
from vestige_tui.core.errors import Usage
from vestige_tui.core.filter_syntax import Chip, filter_of, read_chips
from vestige_tui.core.times import parse_argument

if TYPE_CHECKING:
    from vestige_tui.core.memories import Filter
    from vestige_tui.core.times import LocalDays
    from vestige_tui.store.store import Store


def add_filters(parser: Parser, *, superseded: bool = True) -> None:
    group = parser.add_argument_group("filters", "several values of one option match any of them")
    group.add_argument(
        "--domain", metavar="NAME", action="append", default=[], help="only this domain; repeat for several"
    )
    group.add_argument("--type", metavar="TYPE", action="append", default=[], help="only this type; repeat for several")
    group.add_argument("--tag", metavar="TAG", action="append", default=[], help="only this tag; repeat for several")
    group.add_argument("--codebase", metavar="NAME", help="only this codebase")
    group.add_argument("--owner", metavar="NAME", help="only this owner: handle, display name or id")
    group.add_argument("--since", metavar="TIME", help="created at or after this time: 2026-11-01, -7d, 3mo, today")
    group.add_argument("--until", metavar="TIME", help="created before this time")
    group.add_argument(
        "--min-retrievability", metavar="R", type=share, help="recall (chance to remember) of R or more, 0 to 1"
    )
    group.add_argument("--without-vector", action="store_true", help="only memories without a vector")
    group.add_argument("--filter", metavar="NAME", help="a saved filter; other options override or narrow it")
    if superseded:
        group.add_argument("--superseded", action="store_true", help="include replaced memories")


async def chosen_filter(args: Namespace, store: Store, *, superseded: bool = False) -> Filter:
    """Return the filter that the options describe; ``superseded`` always includes replaced memories. Raises Usage."""
    chips = [Chip(field, value) for field in ("domain", "type", "tag") for value in getattr(args, field)]
    for field in ("codebase", "owner", "since", "until"):
        if (value := getattr(args, field)) is not None:
            chips.append(Chip(field, value))
    if args.min_retrievability is not None:
        chips.append(Chip("recall", repr(args.min_retrievability)))
    if args.without_vector:
        chips.append(Chip("is", "without-vector"))
    if superseded or args.superseded:
        chips.append(Chip("is", "replaced"))
    saved_chips = [] if args.filter is None else read_chips(_saved_filter(args, args.filter))
    # The last chip of a single-valued field wins: an option overrides the saved filter.
    chosen = filter_of([*saved_chips, *chips], datetime.now(UTC), store.policy.days)
    return await store.memories.resolve_owner(chosen)


def _saved_filter(args: Namespace, name: str) -> str:
    from vestige_tui.config.reader import load_config

    filters = load_config(Path(args.config) if args.config else None).filters
    if name not in filters:
        from difflib import get_close_matches

        matches = get_close_matches(name, filters, n=1)
        hint = f"did you mean {matches[0]}?" if matches else "saved filters are in [filters] of the settings."
        raise Usage(f"There is no saved filter {name[:40]!a}; {hint}")
    return filters[name]


def moment(text: str | None, days: LocalDays) -> datetime | None:
    """Parse the time of an option. Raises Usage."""
    return None if text is None else parse_argument(text, datetime.now(UTC), days)
