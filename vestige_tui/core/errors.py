"""Errors, each with a message of one sentence for the user.

Every error has a ``code`` (printed by ``--json``) and an ``exit_status`` (of the command that it ends).
A backend turns every exception of its driver into one of these.
"""

from __future__ import annotations

from typing import ClassVar


class VestigeError(Exception):
    """Something failed."""

    code: ClassVar[str] = "failed"
    exit_status: ClassVar[int] = 1

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])

    @property
    def message(self) -> str:
        return str(self)


class NotFound(VestigeError):
    """No such memory."""

    code = "not_found"


class Usage(VestigeError):
    """The command is not valid."""

    code = "usage"
    exit_status = 2


class Refused(VestigeError):
    """This was refused; nothing was changed."""

    code = "refused"
    exit_status = 3


class TimeOutOfRange(Usage):
    """The time is outside the years 1 to 9999."""


class ReadOnly(Refused):
    """This store is open read-only."""


class StoreReplaced(Refused):
    """The file of this store was replaced by another file."""


class ForeignStore(Refused):
    """This is not a memory store."""


class SchemaPending(Refused):
    """The store's schema is behind this program; run `vestige-tui schema up`."""


class SchemaBroken(Refused):
    """The store's migrations do not match this program's."""


class ModelMismatch(Refused):
    """The configured embedding model is not the one that this store uses."""

    code = "mismatch"

    def __init__(self, message: str | None = None, *, difference: str = "") -> None:
        super().__init__(message)
        self.difference = difference or self.message
        """Which models differ, without what follows from it; a clause without a full stop where it was given."""


class EmbedderUnavailable(Refused):
    """The embedding model is not available."""

    code = "mismatch"


class FitUnavailable(Refused):
    """The package that fits weights is not installed."""


class TooFewReviews(Refused):
    """The log has too few reviews to fit weights."""


class CheckpointUnreadable(Refused):
    """The checkpoint of this job cannot be read; nothing was changed."""


class Conflict(VestigeError):
    """The memory was changed elsewhere meanwhile."""

    code = "conflict"


class Busy(VestigeError):
    """The store is busy; try again."""

    code = "busy"


class Unavailable(VestigeError):
    """The store cannot be reached."""

    code = "unavailable"


class TablesChanged(Unavailable):
    """The tables of this file of a Vestige server have changed since it was opened; try again."""


class Unreachable(Unavailable):
    """The server or the file of the store cannot be reached at present."""


class OutOfResources(Unavailable):
    """The server lacks memory or disk space for this."""


class DiskFull(OutOfResources):
    """A disk is full."""

    def __init__(self, message: str | None = None, *, disk: str = "") -> None:
        super().__init__(message)
        self.disk = disk
        """Name of the disk in a sentence: "the disk of" a store, a server or a folder."""


class Unsure(Unavailable):
    """The connection to the store broke while saving; check whether the change was saved."""


class StoreMissing(Unavailable):
    """There is no store here yet."""


class ConfigError(VestigeError):
    """The configuration file is wrong."""


class HomeUnknown(ConfigError):
    """The home directory of this user is unknown; set HOME to a directory."""


class Cancelled(VestigeError):
    """Cancelled."""
