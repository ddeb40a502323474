"""Waits for a database, as they are shown: for an answer or for a connection, and the sessions that hold a lock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from vestige_tui.core.health import Session
from vestige_tui.core.text import one_line, redact
from vestige_tui.core.times import clock_time


class WaitKind(Enum):
    """Subject of a wait."""

    ANSWER = "answer"
    """The answer to a statement that was sent."""
    CONNECTION = "connection"
    """A connection to the server, a new one or one of the pool."""
    MIGRATION = "migration"
    """A step of the schema that changes every memory."""


@dataclass(frozen=True, slots=True)
class WaitReport:
    """The longest wait for a store. ``holders`` are the sessions that hold the lock that it is for, if it is for one.

    ``answers``: whether the server answered another question meanwhile; None where none was asked. Reports of the same
    cause are equal.
    """

    store: str
    """Name of the store, without a password."""
    kind: WaitKind
    seconds: float = field(compare=False)
    holders: tuple[Session, ...] = ()
    answers: bool | None = None
    step: str = ""
    """Name of the step of the schema, and how far it is: ``0010_folding: 30 %``."""


def wait_sentence(wait: WaitReport, now: datetime) -> str:
    """Return the cause of a wait as a sentence: a lock and its holders, no connection, no answer, or long work."""
    store, lasted = redact(wait.store), f"{wait.seconds:.0f} s"
    # The store comes last: a status line is cut at its end.
    if wait.holders:
        return f"Waiting for a lock held by {sessions_in_words(wait.holders, now)} in {store}."
    if wait.kind is WaitKind.MIGRATION:
        return f"Updating the schema ({wait.step} of the memories done) in {store}."
    if wait.kind is WaitKind.CONNECTION:
        return f"Waiting {lasted} for a connection to {store}."
    if wait.answers:
        return f"A query has run for {lasted}; other queries are answered by {store}."
    return f"Waiting {lasted} for an answer from {store}."


MAX_NAMED_HOLDERS = 2
"""Sessions that a sentence names; the others are counted."""
_NAME_CELLS = 40


def sessions_in_words(sessions: Sequence[Session], now: datetime) -> str:
    """Return sessions in words: ``session 4711 (psql, user ann, since 12:31)``, or the same of a process."""
    names = [_session_in_words(session, now) for session in sessions[:MAX_NAMED_HOLDERS]]
    if more := len(sessions) - len(names):
        names.append(f"{more} more")
    return " and ".join(names)


def _session_in_words(session: Session, now: datetime) -> str:
    if not session.pid:
        return "a prepared transaction"
    details = [one_line(session.application, _NAME_CELLS)] if session.application else []
    if session.user:
        details.append(f"user {one_line(session.user, _NAME_CELLS)}")
    if session.state == STOPPED:
        details.append(STOPPED)
    if session.since is not None:
        details.append(f"since {clock_time(session.since, now)}")
    noun = "process" if session.state in (STOPPED, WRITES) else "session"
    return f"{noun} {session.pid} ({', '.join(details)})" if details else f"{noun} {session.pid}"


STOPPED = "stopped"
"""State of a process that a signal has stopped."""
WRITES = "may write"
"""State of a process that has a file open for writing."""
