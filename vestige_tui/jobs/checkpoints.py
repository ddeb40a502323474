"""Form of every checkpoint in the ledger: a JSON object with its step number, a version, and the fields of its kind.

A kind of job reads and writes its own fields with a typed class, in a module of its own. These functions are all that
the engine reads itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from vestige_tui.core.errors import CheckpointUnreadable


class Checkpoint(Protocol):
    """State of one kind of job between two steps."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields to store, with their version and without the step number."""
        ...


def step_number(stored: Mapping[str, Any]) -> int:
    """Return the number of committed steps; 0 before the first one."""
    number = stored.get("step")
    return int(number) if isinstance(number, (int, float)) else 0


def version_of(stored: Mapping[str, Any], *, newest: int) -> int:
    """Return the version of the fields; 0 where they were written before versions existed, or nothing is stored yet.

    Raises CheckpointUnreadable for a version that this program does not know: it would misread the fields.
    """
    version = stored.get("version", 0)
    if type(version) is int and 0 <= version <= newest:
        return version
    raise CheckpointUnreadable(
        f"A newer vestige-tui wrote the checkpoint of this job (version {version}; this program reads up to {newest}); "
        "continue the job there, or update this program."
    )


def has_written(stored: Mapping[str, Any]) -> bool:
    """Check whether a re-embedding has begun to write to its store.

    Every known version has the field ``begun``; a version without it counts as one that has written.
    """
    return bool(stored.get("begun", "version" in stored))
