"""Translation of the errors of psycopg and its pool into VestigeErrors."""

from __future__ import annotations

import psycopg
from psycopg import errors
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from vestige_tui.core.errors import (
    Busy,
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
from vestige_tui.core.text import redact


class Unsuitable(psycopg.InterfaceError):
    """A session that would corrupt texts; its message continues a sentence that begins with the store's name."""


def translate(error: Exception, title: str) -> VestigeError:
    """Return the VestigeError for an error of the driver or the pool."""
    if isinstance(error, Unsuitable):
        return Refused(f"{title} {error}")
    if isinstance(error, PoolTimeout | TooManyRequests):
        return Busy(f"All connections to {title} are in use; try again.")
    if isinstance(error, errors.LockNotAvailable | errors.DeadlockDetected | errors.SerializationFailure):
        return Busy(f"{title} is busy: another session holds what this needs. Nothing was changed; try again.")
    if isinstance(error, errors.QueryCanceled):
        # Our own cancellations wait for no answer: the server or another session ended this one.
        return VestigeError(f"The server broke the query off: {_first_line(error)}.")
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return ReadOnly(f"{title} only accepts reads.")
    if isinstance(error, errors.InsufficientPrivilege):
        return ReadOnly(f"The role may not do this on {title}: {_first_line(error)}.")
    if isinstance(error, errors.ForeignKeyViolation):
        return NotFound("A memory that this belongs to is not there.")
    # A value too large for an index is an operational error of the driver, and no fault of the connection.
    if isinstance(
        error, errors.IntegrityError | errors.DataError | errors.ProgramLimitExceeded | errors.StatementTooComplex
    ):
        return Conflict(f"This is refused by the store: {_first_line(error)}.")
    if isinstance(error, errors.UndefinedTable | errors.UndefinedColumn | errors.UndefinedFunction):
        return SchemaPending(
            f"{title} lacks tables that this needs ({_first_line(error)}); run `vestige-tui schema up`."
        )
    if isinstance(error, errors.DiskFull):
        return DiskFull(f"{title} has no room: {_first_line(error)}.", disk=f"the disk of {title}")
    if isinstance(error, errors.OutOfMemory):
        return OutOfResources(f"{title} has too little memory: {_first_line(error)}.")
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError | PoolClosed | OSError):
        return Unreachable(f"{title} cannot be reached: {_first_line(error).removeprefix('connection is bad: ')}.")
    return VestigeError(f"PostgreSQL failed: {_first_line(error)}.")


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return redact(lines[0] if lines else type(error).__name__).rstrip(".")
