"""Signals that a shell lets the commands of its background ignore."""

from __future__ import annotations

import signal


def hear_signals() -> None:
    """Take SIGINT and SIGHUP back: a shell without job control starts background commands with these ignored.

    Every program under test would inherit them.
    """
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)
