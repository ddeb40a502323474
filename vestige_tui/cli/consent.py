"""Confirmation at the terminal before a deletion, a replacement or long work."""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace

from vestige_tui.core.encodings import encodable, encoding_of
from vestige_tui.core.errors import Refused
from vestige_tui.core.text import plain


def may_ask(args: Namespace) -> bool:
    """Check whether the user can be asked, or --yes makes the question needless."""
    return bool(args.yes) or (sys.stdin.isatty() and sys.stderr.isatty())


def refuse_unasked(args: Namespace, effect: str) -> None:
    """Raise Refused if the user must be asked and there is no terminal."""
    if not may_ask(args):
        raise Refused(f"{effect}; add --yes to confirm, because there is no terminal to ask.")


async def confirmed(args: Namespace, question: str) -> bool:
    """Ask a yes/no question, or return True with --yes. Can be cancelled while it waits for the answer."""
    return True if args.yes else await ask(question)


async def ask(question: str, *, default: bool = False) -> bool:
    """Ask a yes/no question at the terminal; ``default`` is the answer of an empty line."""
    choice = "Y/n" if default else "y/N"
    sys.stderr.write(encodable(f"{plain(question)} [{choice}] ", encoding_of(sys.stderr)))
    sys.stderr.flush()
    # A terminal delivers whole lines, so that readline does not block once stdin is readable.
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(sys.stdin.fileno())
    # The end of the input is no consent.
    line = sys.stdin.readline()
    return line.strip().lower() in ("y", "yes", *([""] if default and line else []))
