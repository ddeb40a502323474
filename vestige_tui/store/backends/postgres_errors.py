"""Translation of the errors of psycopg and its pool into VestigeErrors."""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from datetime import UTC, datetime

import psycopg
from psycopg import errors
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from vestige_tui.core.errors import (
    Busy,
    Cancelled,
    Conflict,
    DiskFull,
    NotFound,
    OutOfResources,
    ReadOnly,
    Refused,
    SchemaPending,
    Unreachable,
    VestigeError,
)
from vestige_tui.core.health import Session
from vestige_tui.core.text import redact
from vestige_tui.core.waits import sessions_in_words
from vestige_tui.store.backends.postgres_rights import RightMissing

_FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
_DRIVER_PREFIX = re.compile(r"^connection (failed|is bad): (?=connection )")
"""Words of psycopg before a message of libpq that says the same."""


class Unsuitable(psycopg.InterfaceError):
    """A session that would corrupt texts; its message continues a sentence that begins with the store's name."""


class BrokenOff(errors.QueryCanceled):
    """A statement whose answer a person did not want to wait for."""


class LockTimeout(errors.LockNotAvailable):
    """A lock that was not granted in time, with the sessions that held it."""

    def __init__(self, error: errors.LockNotAvailable, holders: Sequence[Session]) -> None:
        super().__init__(*error.args)
        self.holders = tuple(holders)


def translate(error: Exception, title: str) -> VestigeError:
    """Return the VestigeError for an error of the driver or the pool."""
    if isinstance(error, Unsuitable):
        return Refused(f"{title} {error}")
    if isinstance(error, PoolTimeout | TooManyRequests):
        return Busy(f"All connections to {title} are in use; try again.")
    if isinstance(error, BrokenOff):
        return Cancelled("Cancelled; nothing was changed.")
    if isinstance(error, LockTimeout) and error.holders:
        holders = sessions_in_words(error.holders, datetime.now(UTC))
        return Busy(f"{title} is locked by {holders}; nothing was changed. Try again.")
    if isinstance(error, errors.LockNotAvailable | errors.DeadlockDetected | errors.SerializationFailure):
        return Busy(f"{title} is locked by another session; nothing was changed. Try again.")
    if isinstance(error, errors.QueryCanceled):
        # Our own cancellations wait for no answer: the server or another session ended this one.
        return VestigeError(f"The server cancelled the query: {_first_line(error)}.")
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return ReadOnly(f"{title} accepts only reads.")
    if isinstance(error, errors.InsufficientPrivilege):
        line = _first_line(error)
        return RightMissing(f"The role may not do this on {title}: {line}.", refusal=line)
    if isinstance(error, errors.ForeignKeyViolation):
        return NotFound("This change refers to a memory, user or job that does not exist; it was not made.")
    # A value too large for an index is an operational error of the driver, and no fault of the connection.
    if isinstance(
        error, errors.IntegrityError | errors.DataError | errors.ProgramLimitExceeded | errors.StatementTooComplex
    ):
        return Conflict(f"The store refused this: {_first_line(error)}.")
    if isinstance(error, errors.UndefinedTable | errors.UndefinedColumn | errors.UndefinedFunction):
        return SchemaPending(f"{title} lacks tables for this ({_first_line(error)}); run `vestige-tui schema up`.")
    if isinstance(error, errors.DiskFull) or (isinstance(error, OSError) and error.errno in _FULL_DISK):
        return DiskFull(
            f"The disk of {title} is full ({_first_line(error)}); free some space and try again.",
            disk=f"the disk of {title}",
        )
    if isinstance(error, errors.OutOfMemory | errors.InsufficientResources | errors.ConfigurationLimitExceeded):
        return OutOfResources(f"{title} is out of memory or space: {_first_line(error)}.")
    if isinstance(error, errors.TooManyConnections):
        return Unreachable(f"{title} accepts no more connections ({_first_line(error)}); try again later.")
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError | PoolClosed | OSError):
        return Unreachable(f"{title} cannot be reached: {_DRIVER_PREFIX.sub('', _first_line(error))}.")
    return VestigeError(f"PostgreSQL failed: {_first_line(error)}.")


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return redact(lines[0] if lines else type(error).__name__).rstrip(".")
