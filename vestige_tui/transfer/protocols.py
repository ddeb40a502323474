"""The two ends of a copy or a comparison: what a source gives and what a target takes, whichever database it is.

Between them every row has one form, whatever database it comes from: its values as PostgreSQL's binary format spells
them (``wire``), in the order in which ``load_<table>`` lists its columns, after mending. Two rows are equal when these
are, JSON compared by what it says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import ModelSignature
    from vestige_tui.core.jobs import JobFinding
    from vestige_tui.store.backends.protocol import Transaction
    from vestige_tui.transfer.convert import Table, TransferContext, TransferRow

Key: TypeAlias = tuple[Any, ...]
"""Where a read continues: a number, or one to three texts (with half surrogates for bytes that are no UTF-8)."""


@dataclass(frozen=True, slots=True)
class Count:
    """Rows of one table; ``keyless`` of them cannot be told apart and are not read."""

    rows: int
    keyless: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one table in their common form, ``failed`` those that have none, ``after`` the key of the last one."""

    rows: Sequence[TransferRow]
    failed: Sequence[JobFinding]
    read: int
    after: Key
    unread: Sequence[bytes | None] = ()
    """The keys of those that failed, None where that cannot be known."""


@dataclass(frozen=True, slots=True)
class WriteOutcome:
    """What became of written rows, by their place in the batch: refused and why; ``present``, which stay as they are.

    Of rows that were to be inserted these were there before; of rows that were to be updated they are not there, or
    belong to another state of their memory. ``inserted`` counts all others.
    """

    inserted: int
    present: frozenset[int]
    refused: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RowComparison:
    """How rows of a source stand in the target, by their place in the batch.

    ``differ`` names the columns that differ. What is in neither is there and equal.
    """

    missing: frozenset[int]
    differ: Mapping[int, tuple[str, ...]]
    target_values: Mapping[int, tuple[bytes | None, ...]] = field(default_factory=dict)
    """Of those that differ, the values in the target."""


class Source(Protocol):
    """What is read. Its methods block, each for a short time, and are called in threads, one at a time."""

    location: str
    """Its URL without a password."""
    title: str

    def close(self) -> None: ...

    def model(self) -> ModelSignature | None:
        """The model that its vectors are of; None where it has none that a target could register."""
        ...

    def count(self, table: str) -> Count: ...

    def start(self, table: str) -> Key:
        """The key before the first row of a table."""
        ...

    def read(self, table: Table, after: Key, limit: int, max_bytes: int, transfer_context: TransferContext) -> Batch:
        """The next rows behind a key, at most ``limit``, and not many more bytes than ``max_bytes``."""
        ...

    def left_behind(self) -> Mapping[str, int]:
        """Tables that no target has a place for, with their counts; empty ones do not count."""
        ...

    def duplicate_ids(self) -> Mapping[str, str]:
        """Ids that are one UUID with another id, which came first: {the later: the first}."""
        ...

    def token(self) -> object:
        """Something that differs once anybody has changed it."""
        ...


class Target(Protocol):
    """What is written: an open store of one dialect.

    What writes or deletes vectors raises ModelMismatch where the store has come to belong to another model.
    """

    model: ModelSignature | None
    """The model of the vectors that are written; None where nobody knows it."""

    async def empty(self, table: str) -> bool:
        """Is there no row in this table yet?"""
        ...

    async def write(
        self, transaction: Transaction, table: Table, rows: Sequence[TransferRow], *, fresh: bool
    ) -> WriteOutcome:
        """Write rows that are not there, leave those that are; a row that is refused costs only itself.

        ``fresh``: none of them can be there, so that they may go straight into the table.
        """
        ...

    async def update(self, transaction: Transaction, table: Table, rows: Sequence[TransferRow]) -> WriteOutcome:
        """Make rows that are there like these; ``inserted`` counts those that were."""
        ...

    async def delete(self, transaction: Transaction, table: Table, keys: Sequence[bytes]) -> int:
        """Delete rows by their keys, as ``TargetReader.keys`` gives them; gives how many were there."""
        ...

    async def settle(self, transaction: Transaction) -> None:
        """Make what is derived from the rows follow them."""
        ...

    async def analyze(self, transaction: Transaction) -> None:
        """Give the planner its figures."""
        ...

    async def hold_model(self, transaction: Transaction) -> None:
        """Keep the store with the model of the vectors until the transaction ends. Raises ModelMismatch."""
        ...


class TargetReader(Protocol):
    """What a source is compared with: an open store of one dialect, which is only read."""

    vectors: bool
    """Are vectors compared by what they are? Else it only matters whether there is one."""
    half: bool
    """Does it hold vectors in half precision?"""

    async def count(self, table: str) -> int: ...

    async def compare(self, table: Table, rows: Sequence[TransferRow]) -> RowComparison:
        """Compare rows, by digests computed where the rows lie."""
        ...

    async def keys(self, table: str, after: bytes | None, limit: int) -> Sequence[bytes]:
        """The keys of a table's rows behind a key, in order: what tells a row from every other one, in wire form.

        They are those of ``keys.key_of``.
        """
        ...
