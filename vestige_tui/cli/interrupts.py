"""Blocking reads that a signal ends at once."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt as soon as a signal comes that ends the program.

    Outside of this a signal only cancels the command, which notices that when it next awaits something.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
    handled = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for number in handled:
        signal.signal(number, _interrupt)
    try:
        if _is_cancelled():
            raise KeyboardInterrupt
        yield
    finally:
        for number, handler in handled.items():
            signal.signal(number, handler)


def _is_cancelled() -> bool:
    """Check whether a signal has cancelled the command since it last awaited something."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return False
    return task is not None and task.cancelling() > 0


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
