"""Entries of the journal as they are listed, and the origin of a change: the console or command that made it."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

UNDO, REDO = "undo", "redo"
REPAIR = "repair"
"""Verb of a fix of the doctor, whose snapshots are whole rows."""
REVERSALS = frozenset({UNDO, REDO})
"""Verbs of entries that reverse another entry."""
FURTHER = "further"
"""Key of the first snapshot of a long import: numbers of the parts with its other memories."""
UNFINISHED = "unfinished"
"""Key of the first snapshot of an import that has not run to its end."""
_TOKEN_BYTES = 4


@dataclass(frozen=True, slots=True)
class JournalLine:
    """One entry of the journal without its snapshots.

    ``before`` and ``after`` have one snapshot at most, without its large parts; of a ``tag`` they have the tags of each
    memory. ``content`` is the text of its memory if it has only one, ``other`` that of the other memory of a link or
    a replacement; both are cut, and empty for a memory that is gone. ``target`` is the change that an undo or a redo
    reversed.
    """

    id: int
    at: datetime
    actor: str
    origin: str | None
    verb: str
    ids: tuple[str, ...]
    undone_by: int | None
    before: Sequence[Mapping[str, Any]]
    after: Sequence[Mapping[str, Any]]
    content: str = ""
    other: str = ""
    target: JournalLine | None = None


@dataclass(frozen=True, slots=True)
class JournalFilter:
    """Conditions on journal entries, ANDed. ``memory`` is the id of a memory, or its beginning."""

    actor: str | None = None
    since: datetime | None = None
    memory: str | None = None


def console_origin() -> str:
    """Return a new origin for one run of the console: ``console PID@HOST TOKEN``."""
    # A token: the same process number and host name come again.
    return f"console {os.getpid()}@{socket.gethostname()} {secrets.token_hex(_TOKEN_BYTES)}"


def command_origin(name: str) -> str:
    """Return the origin of the changes of one command: ``command NAME``."""
    return f"command {name}"


def origin_label(origin: str | None) -> str:
    """Return an origin as it is displayed, without its token; empty if it is not known."""
    if origin is None:
        return ""
    kind, _, rest = origin.partition(" ")
    return f"{kind} {rest.rpartition(' ')[0] or rest}" if kind == "console" else origin


def entry_of(snapshots: Sequence[Mapping[str, Any]]) -> int | None:
    """Return the number of the change that an undo or a redo has reversed, from its ``before``."""
    number = snapshots[0].get("entry") if snapshots else None
    return number if isinstance(number, int) else None
