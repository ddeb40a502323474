"""A wait for a store in words, the same for console and command line."""

from __future__ import annotations

from datetime import datetime

from vestige_tui.core.text import redact
from vestige_tui.core.waits import WaitKind, WaitReport, sessions_in_words
from vestige_tui.store.waits import SHOWN_AFTER_SECONDS


def wait_sentence(wait: WaitReport, now: datetime) -> str:
    """Return the cause of a wait as a sentence: a lock and its holders, no connection, no answer, or long work."""
    store = redact(wait.store)
    # The store comes last: a status line is cut at its end.
    if wait.holders:
        verb = "hold" if len(wait.holders) > 1 else "holds"
        return f"Waiting for a lock that {sessions_in_words(wait.holders, now)} {verb} in {store}."
    if wait.kind is WaitKind.CONNECTION:
        return f"No connection for {SHOWN_AFTER_SECONDS:.0f} s to {store}."
    if wait.answers:
        return f"Still at work after {SHOWN_AFTER_SECONDS:.0f} s, while other questions are answered: {store}."
    return f"No answer for {SHOWN_AFTER_SECONDS:.0f} s from {store}."
