"""Checkpoint of a copy: its phase, and the position from which the next attempt continues.

A comparison and a repair have no checkpoint of their own, because they start over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from vestige_tui.core.errors import CheckpointUnreadable
from vestige_tui.jobs.checkpoints import version_of
from vestige_tui.transfer.row_keys import read_key, write_key
from vestige_tui.transfer.table_spec import BY_NAME

if TYPE_CHECKING:
    from vestige_tui.transfer.protocols import Key

VERSION = 1
"""Version of the stored form. Version 0 had the same fields without ``version``. An older program that continues a
copy keeps fields that it does not know: so the phase follows from the others, and has no field of its own."""
_ALL_READ = ""
"""Name of the table in the stored form once all tables have been read."""


class CopyPhase(Enum):
    """Part of a copy that its next attempt begins with."""

    COUNTING = "counting"
    """The rows are not counted yet."""
    ROWS = "rows"
    FINISHING = "finishing"
    """All tables have been read; the steps after the rows find their remaining work by themselves."""


@dataclass(frozen=True, slots=True)
class Position:
    """Key of the last row written, in its table."""

    table: str
    after: Key


@dataclass(frozen=True, slots=True)
class UnconfirmedBatch:
    """Batch that the checkpoint counts, but whose own transaction may not have committed.

    ``after`` is the key before its first row, ``rows`` the number of rows that it was read with.
    """

    after: Key
    rows: int


@dataclass(frozen=True, slots=True)
class CopyCheckpoint:
    """State of a copy between two steps.

    ``chain`` is the id of the copy's first job, None until it has begun. ``empty_tables`` were empty at that time.
    ``blind``: the sync state of earlier attempts is lost. ``encoded`` is the id of the last memory that the pass over
    missing vectors has met; None between two passes.
    """

    phase: CopyPhase = CopyPhase.COUNTING
    chain: str | None = None
    empty_tables: frozenset[str] = frozenset()
    position: Position | None = None
    unconfirmed: UnconfirmedBatch | None = None
    blind: bool = False
    encoded: str | None = None

    @property
    def resumed(self) -> bool:
        """True where an earlier attempt, or this one, has counted the rows and recorded the empty tables."""
        return self.chain is not None

    def resume_at(self, tables: Sequence[str], first: Key) -> tuple[int, Key]:
        """Return the index of the table and the key after which a resumed copy reads; it skips all rows up to there.

        ``first`` is the key before the first row of the first table, where a copy without a position begins.
        """
        if self.position is None:
            return 0, first
        return tables.index(self.position.table), self.position.after

    def begun(self, chain: str, empty_tables: frozenset[str]) -> CopyCheckpoint:
        """Return the checkpoint after the counting; a position that is known already stays."""
        phase = CopyPhase.ROWS if self.phase is CopyPhase.COUNTING else self.phase
        return replace(self, phase=phase, chain=chain, empty_tables=empty_tables)

    def written(self, table: str, after: Key, unconfirmed: UnconfirmedBatch | None = None) -> CopyCheckpoint:
        """Return the checkpoint after a batch."""
        return replace(self, position=Position(table, after), unconfirmed=unconfirmed)

    def confirmed(self) -> CopyCheckpoint:
        """Return the checkpoint once every counted batch is committed."""
        return replace(self, unconfirmed=None)

    def all_read(self) -> CopyCheckpoint:
        """Return the checkpoint after the last batch of the last table."""
        return replace(self, phase=CopyPhase.FINISHING, position=None, unconfirmed=None)

    def to_json(self) -> dict[str, Any]:
        """Return the stored form."""
        fields: dict[str, Any] = {"version": VERSION}
        if self.chain is not None:
            fields |= {"chain": self.chain, "fresh": sorted(self.empty_tables)}
        if self.phase is CopyPhase.FINISHING:
            fields |= {"table": _ALL_READ, "after": []}
        elif self.position is not None:
            fields |= {"table": self.position.table, "after": write_key(self.position.after)}
        if self.unconfirmed is not None:
            fields["beside"] = {"after": write_key(self.unconfirmed.after), "rows": self.unconfirmed.rows}
        if self.blind:
            fields["blind"] = True
        if self.encoded is not None:
            fields["encoded"] = self.encoded
        return fields

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> CopyCheckpoint:
        """Read the stored form of any version; an empty one is that of a copy that has not begun.

        Raises CheckpointUnreadable.
        """
        version_of(stored, newest=VERSION)
        try:
            chain, table, encoded = (_optional_text(stored.get(name)) for name in ("chain", "table", "encoded"))
            return cls(
                phase=_phase(chain, table),
                chain=chain,
                empty_tables=frozenset(_table(name) for name in _list(stored.get("fresh", []))),
                position=Position(_table(table), _key(stored["after"])) if table else None,
                unconfirmed=_unconfirmed(stored.get("beside")),
                blind=bool(stored.get("blind", False)),
                encoded=encoded,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointUnreadable(
                "The checkpoint of this copy cannot be read, so it cannot continue; copy into another store."
            ) from error


def _phase(chain: str | None, table: str | None) -> CopyPhase:
    if table == _ALL_READ:
        return CopyPhase.FINISHING
    return CopyPhase.COUNTING if chain is None else CopyPhase.ROWS


def _unconfirmed(stored: object) -> UnconfirmedBatch | None:
    if not stored:
        return None
    if not isinstance(stored, Mapping):
        raise TypeError(stored)
    return UnconfirmedBatch(_key(stored["after"]), int(stored["rows"]))


def _optional_text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise TypeError(value)


def _list(value: object) -> Sequence[Any]:
    if isinstance(value, (list, tuple)):
        return value
    raise TypeError(value)


def _key(value: object) -> Key:
    return read_key(_list(value))


def _table(name: object) -> str:
    """Return the name of a table that this program copies. Raises KeyError for another one."""
    return BY_NAME[str(name)].name
