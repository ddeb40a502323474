"""Options that filter memories."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from vestige_tui.cli.parser import Parser, share
from vestige_tui.core.errors import Usage
from vestige_tui.core.filter_syntax import SIGNED, STATES, Chip, filter_of, read_chips, read_option
from vestige_tui.core.times import parse_argument

if TYPE_CHECKING:
    from vestige_tui.core.memories import Filter
    from vestige_tui.core.times import LocalDays
    from vestige_tui.store.store import Store


_MANY_VALUED = (
    ("domain", "NAME", "domain"),
    ("type", "TYPE", "type"),
    ("tag", "TAG", "tag"),
    ("codebase", "NAME", "codebase"),
    ("visibility", "VISIBILITY", "visibility (private, group or public)"),
    ("group", "GROUP", "group that memories are shared with"),
)
"""Options that take several values, with their placeholder and noun."""


def add_filters(parser: Parser, *, superseded: bool = True) -> None:
    group = parser.add_argument_group(
        "filters",
        "--domain, --type, --tag, --codebase, --visibility and --group, when repeated, match any of the values",
    )
    for name, metavar, noun in _MANY_VALUED:
        group.add_argument(
            f"--{name}", metavar=metavar, action="append", default=[], help=f"only this {noun}; repeat for several"
        )
    group.add_argument(
        "--all-tag",
        metavar="TAG",
        action="append",
        default=[],
        help="memories must have this tag; repeat to require several",
    )
    group.add_argument("--owner", metavar="NAME", help="only this owner: handle, display name or id")
    group.add_argument("--since", metavar="TIME", help="created at or after this time: 2026-11-01, -7d, 3mo, today")
    group.add_argument("--until", metavar="TIME", help="created before this time")
    group.add_argument(
        "--min-retrievability", metavar="R", type=share, help="recall (chance to remember) of R or more, 0 to 1"
    )
    group.add_argument(
        "--is",
        metavar="STATE",
        dest="states",
        action="append",
        default=[],
        help=f"only in this state: {', '.join(STATES)}; several all apply",
    )
    group.add_argument(
        "--not",
        metavar="FIELD:VALUE",
        dest="excluded",
        action="append",
        default=[],
        help=f"leave out what matches, such as tag:draft or is:new; fields: {', '.join(SIGNED)}",
    )
    group.add_argument("--without-vector", action="store_true", help="the same as --is without-vector")
    group.add_argument(
        "--filter",
        metavar="NAME",
        help="a saved filter, to which other filter options add; --owner, --since, --until and --min-retrievability "
        "win over its values",
    )
    if superseded:
        group.add_argument(
            "--with", metavar="replaced", dest="included", action="append", default=[], help="include replaced memories"
        )
        group.add_argument("--superseded", action="store_true", help="the same as --with replaced")


async def chosen_filter(args: Namespace, store: Store, *, superseded: bool = False) -> Filter:
    """Return the filter that the options describe; ``superseded`` always includes replaced memories. Raises Usage."""
    saved_chips = [] if args.filter is None else read_chips(saved_filter(args, args.filter))
    # The last chip of a single-valued field wins: an option overrides the saved filter.
    chips = [*saved_chips, *_option_chips(args)]
    if superseded:
        chips.append(Chip("with", "replaced"))
    chosen = filter_of(chips, store.now(), store.policy.days)
    return await store.memories.resolve_owner(chosen)


def _option_chips(args: Namespace) -> list[Chip]:
    """Return the chips of the options. Raises Usage."""
    chips = [Chip(field, value) for field, _, _ in _MANY_VALUED for value in getattr(args, field)]
    chips += [Chip("tag", value, "+") for value in args.all_tag]
    for field in ("owner", "since", "until"):
        if (value := getattr(args, field)) is not None:
            chips.append(Chip(field, value))
    if args.min_retrievability is not None:
        chips.append(Chip("recall", repr(args.min_retrievability)))
    chips += [Chip("is", value) for value in args.states]
    chips += [replace(read_option(text), sign="-") for text in args.excluded]
    if args.without_vector:
        chips.append(Chip("is", "without-vector"))
    chips += [Chip("with", value) for value in getattr(args, "included", ())]
    if getattr(args, "superseded", False):
        chips.append(Chip("with", "replaced"))
    return chips


def saved_filter(args: Namespace, name: str) -> str:
    """Return the text of a saved filter. Raises Usage."""
    from vestige_tui.cli.output import say
    from vestige_tui.config.reader import load_config
    from vestige_tui.config.saved_filters import rewrite_outdated

    config = load_config(Path(args.config) if args.config else None)
    filters = config.filters
    if name not in filters:
        from difflib import get_close_matches

        matches = get_close_matches(name, filters, n=1)
        hint = f"did you mean {matches[0]}?" if matches else "saved filters are in [filters] of the settings."
        raise Usage(f"There is no saved filter {name[:40]!a}; {hint}")
    _, note = rewrite_outdated(config)
    if note:
        say(note)
    return filters[name]


def moment(text: str | None, days: LocalDays) -> datetime | None:
    """Parse the time of an option. Raises Usage."""
    return None if text is None else parse_argument(text, datetime.now(UTC), days)
