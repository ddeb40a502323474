"""Asking a person at the terminal before something is deleted, replaced, or takes long."""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace

from vestige_tui.core.errors import Refused
from vestige_tui.core.text import plain


def may_ask(args: Namespace) -> bool:
    """Is there a person to ask, or no need to?"""
    return bool(args.yes) or (sys.stdin.isatty() and sys.stderr.isatty())


def refuse_unasked(args: Namespace, what: str) -> None:
    """Raise Refused where a person would have to be asked and none is there."""
    if not may_ask(args):
        raise Refused(f"{what}; without a terminal to ask on, repeat with --yes to do it.")


async def confirmed(args: Namespace, question: str) -> bool:
    """Does the person agree, by an answer or with --yes? Can be cancelled while it waits for the answer."""
    if args.yes:
        return True
    sys.stderr.write(f"{plain(question)} [y/N] ")
    sys.stderr.flush()
    # A terminal gives whole lines, so that readline does not wait once there is something to read.
    loop, answered = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), answered.set)
    try:
        await answered.wait()
    finally:
        loop.remove_reader(sys.stdin.fileno())
    return sys.stdin.readline().strip().lower() in ("y", "yes")
