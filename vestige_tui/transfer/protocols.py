"""Protocols of a copy or comparison: Source, Target and TargetReader, independent of the database.

Every row has one common form between them: its sanitized values in PostgreSQL's binary format (wire form), in the
order of its table's columns (``table_spec``). Two rows are equal when their values are; JSON is compared as parsed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import ModelSignature
    from vestige_tui.core.jobs import JobFinding
    from vestige_tui.store.backends.protocol import Transaction
    from vestige_tui.transfer.convert import TransferContext, TransferRow
    from vestige_tui.transfer.table_spec import Table

Key: TypeAlias = tuple[Any, ...]
"""Position of keyset pagination: a number, or one to three texts (with half surrogates for bytes that are no UTF-8)."""


@dataclass(frozen=True, slots=True)
class Count:
    """Row count of a table; ``keyless`` rows have no usable key and are not read."""

    rows: int
    keyless: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """Transfer rows of one table; ``failed`` rows have none, and ``after`` is the key of the last row."""

    rows: Sequence[TransferRow]
    failed: Sequence[JobFinding]
    read: int
    after: Key
    unread: Sequence[bytes | None] = ()
    """Keys of the failed rows; None where a key is unknown."""


@dataclass(frozen=True, slots=True)
class WriteOutcome:
    """Outcome of a write, by position in the batch: refused rows with the reason, and ``present`` rows, left unchanged.

    On insert, ``present`` rows existed before; on update, they do not exist or belong to another state of their memory.
    ``inserted`` counts all others.
    """

    inserted: int
    present: frozenset[int]
    refused: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RowComparison:
    """Comparison of source rows with the target, by position in the batch.

    ``differ`` names the columns that differ. Rows in neither are equal.
    """

    missing: frozenset[int]
    differ: Mapping[int, tuple[str, ...]]
    target_values: Mapping[int, tuple[bytes | None, ...]] = field(default_factory=dict)
    """Values in the target of the rows that differ."""


class Source(Protocol):
    """Store that is read. Its methods block for a short time and are called in threads, one at a time."""

    location: str
    """URL without a password."""
    title: str

    def close(self) -> None: ...

    def model(self) -> ModelSignature | None:
        """Return the model of the vectors; None where a target could register none."""
        ...

    def count(self, table: str) -> Count: ...

    def start(self, table: str) -> Key:
        """Return the key before the first row of a table."""
        ...

    def read(self, table: Table, after: Key, limit: int, max_bytes: int, transfer_context: TransferContext) -> Batch:
        """Read the next rows behind a key (keyset pagination), at most ``limit`` and about ``max_bytes``."""
        ...

    def left_behind(self) -> Mapping[str, int]:
        """Return the non-empty tables that have no counterpart in a target, with their counts."""
        ...

    def duplicate_ids(self) -> Mapping[str, str]:
        """Return ids that spell the UUID of another, earlier id: {later: earlier}."""
        ...

    def token(self) -> object:
        """Return a change token, which differs after any change."""
        ...


class Target(Protocol):
    """Store that is written, of one dialect.

    Methods that write or delete vectors raise ModelMismatch where the store has changed its model.
    """

    model: ModelSignature | None
    """Model of the vectors that are written; None where it is unknown."""

    async def empty(self, table: str) -> bool:
        """Check whether the table has no row."""
        ...

    async def write(
        self, transaction: Transaction, table: Table, rows: Sequence[TransferRow], *, fresh: bool
    ) -> WriteOutcome:
        """Insert missing rows and leave present ones unchanged; a refused row costs only itself.

        ``fresh``: none of the rows can be present, so that they may be copied directly.
        """
        ...

    async def update(self, transaction: Transaction, table: Table, rows: Sequence[TransferRow]) -> WriteOutcome:
        """Update present rows; ``inserted`` counts them."""
        ...

    async def delete(self, transaction: Transaction, table: Table, keys: Sequence[bytes]) -> int:
        """Delete rows by their keys, as ``TargetReader.keys`` returns them; return the number of deleted rows."""
        ...

    async def settle(self, transaction: Transaction) -> None:
        """Rebuild the data that is derived from the rows."""
        ...

    async def analyze(self, transaction: Transaction) -> None:
        """Update the statistics of the query planner."""
        ...

    async def hold_model(self, transaction: Transaction) -> None:
        """Pin the model of the vectors until the transaction ends. Raises ModelMismatch."""
        ...


class TargetReader(Protocol):
    """Store that a source is compared with, read-only, of one dialect."""

    vectors: bool
    """True where vectors are compared by value, else only by presence."""
    half: bool
    """True where vectors are stored in half precision."""

    async def count(self, table: str) -> int: ...

    async def compare(self, table: Table, rows: Sequence[TransferRow]) -> RowComparison:
        """Compare rows, by digests computed in the database where that is possible."""
        ...

    async def keys(self, table: str, after: bytes | None, limit: int) -> Sequence[bytes]:
        """Return the keys of a table's rows behind a key, in order, as ``row_keys.key_of`` makes them."""
        ...
