"""The options that say which memories a question is about."""

from __future__ import annotations

from argparse import Namespace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from vestige_tui.cli.parser import Parser, share
from vestige_tui.times import parse_argument

if TYPE_CHECKING:
    from vestige_tui.model import Filter


def add_filters(parser: Parser, *, superseded: bool = True) -> None:
    group = parser.add_argument_group("filters")
    group.add_argument("--domain", metavar="NAME", action="append", default=[], help="of this domain, or several")
    group.add_argument("--type", metavar="TYPE", action="append", default=[], help="of this type, or several")
    group.add_argument("--tag", metavar="TAG", action="append", default=[], help="with this tag, or one of several")
    group.add_argument("--codebase", metavar="NAME", help="of this codebase")
    group.add_argument("--owner", metavar="ID", help="of this user")
    group.add_argument("--since", metavar="TIME", help="made then or later: 2026-11-01, -7d, today")
    group.add_argument("--until", metavar="TIME", help="made before then")
    group.add_argument("--min-retrievability", metavar="R", type=share, help="remembered at least this well, 0 to 1")
    if superseded:
        group.add_argument("--superseded", action="store_true", help="also those that another memory replaced")


def chosen_filter(args: Namespace, *, superseded: bool | None = None) -> Filter:
    from vestige_tui.model import Filter

    return Filter(
        domains=tuple(args.domain),
        tags=tuple(args.tag),
        node_types=tuple(args.type),
        codebase=args.codebase,
        owner=args.owner,
        since=moment(args.since),
        until=moment(args.until),
        min_retrievability=args.min_retrievability,
        superseded=args.superseded if superseded is None else superseded,
    )


def moment(text: str | None) -> datetime | None:
    """The moment that an option names. Raises Usage."""
    return None if text is None else parse_argument(text, datetime.now(UTC))
