"""Sync state of a copy: ownership and last state of each row of the target.

It lies in the target itself, as packed records written in the transaction of their rows, so that the two cannot
diverge, also when the copy continues on another machine. Without it a copy deletes nothing and overwrites nothing.
"""

from __future__ import annotations

import hashlib
import struct
import tempfile
from array import array
from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeAlias

from vestige_tui.config.directories import make_private_dir, state_dir
from vestige_tui.core.errors import Refused
from vestige_tui.store.backends import pgbinary_encode
from vestige_tui.transfer.copy_checkpoint import CopyCheckpoint
from vestige_tui.transfer.row_keys import key_of
from vestige_tui.transfer.table_spec import BY_NAME, TABLES
from vestige_tui.transfer.target_readers import canonical_values

if TYPE_CHECKING:
    from datetime import datetime

    import numpy as np

    from vestige_tui.core.jobs import JobFinding
    from vestige_tui.jobs.context import JobContext
    from vestige_tui.store.backends.protocol import Row, Transaction
    from vestige_tui.transfer.convert import TransferRow
    from vestige_tui.transfer.protocols import WriteOutcome

    Records: TypeAlias = np.ndarray[Any, np.dtype[np.void]]

OWNED, EQUAL, REFUSED, DELETED, REPORTED, EDIT_REFUSED = 1, 2, 4, 8, 16, 32
"""Flags of a row: inserted by this copy; equal on both sides when last seen; refused by the target; deleted since;
reported to stay as it is in the target; present, but its last edit was refused.

Older versions recorded a refused edit without EQUAL, and with the stamp of the edit instead of that of the target."""

SYNCED = OWNED | EQUAL
"""Flags of a row that this copy has inserted or found equal."""
RETENTION = timedelta(days=30)
"""Time after which the sync state of an abandoned copy is deleted."""
CHUNKS_PER_READ = 64
"""Chunks of the sync state read at once, each the records of one batch."""

# Flags, table number, key hash, content hash, and the stamp of its last edit.
_RECORD = struct.Struct("<BBQQq")
_RECORD_DTYPE = [("what", "u1"), ("table", "u1"), ("key", "<u8"), ("state", "<u8"), ("stamp", "<i8")]
_TABLE_NUMBERS = {table.name: number for number, table in enumerate(TABLES)}


class RowState(NamedTuple):
    """State of a row.

    ``key`` and ``content_hash`` are hashes, the latter of the row as the source last had it. ``stamp`` is of the row as
    the copy left it in the target: the time of its last edit in microseconds since 2000; in a table without such a time
    a hash of the canonical row; 0 for none.
    """

    key: int
    content_hash: int
    stamp: int
    flags: int


def row_state_of(table: str, row: TransferRow) -> RowState:
    """Return the present state of a row."""
    content_hash = hashed(pgbinary_encode.row(*row.values))
    return RowState(hashed(key_of(table, row.values)), content_hash, _stamp(table, row.values, content_hash), 0)


def stamp_of(table: str, values: Sequence[bytes | None]) -> int:
    """Return the part of a row that every edit changes, from values of a source or of the target."""
    return _stamp(table, values, hashed(pgbinary_encode.row(*values)))


def _stamp(table: str, values: Sequence[bytes | None], content_hash: int) -> int:
    spec = BY_NAME[table]
    if spec.version_position is not None:
        return int.from_bytes(values[spec.version_position] or b"", "big", signed=True)
    if not spec.log and not spec.embedded:
        # No column tells of an edit. A log has none, and an edit of a vector is one of its memory.
        canonical = canonical_values(table, values)
        # Most rows are canonical already: hashing them once is enough.
        return (content_hash if canonical is values else hashed(pgbinary_encode.row(*canonical))) - 2**63
    return 0


def written_states(states: Sequence[RowState], outcome: WriteOutcome) -> list[RowState]:
    """Return the states of written rows: refused, inserted, or merely present."""
    left_out = outcome.present | outcome.refused.keys()
    inserted = {state.key for position, state in enumerate(states) if position not in left_out}
    if len(inserted) != outcome.inserted:
        # Another process inserted some of them at the same time, so that ownership is unknown.
        inserted = set()
    return [
        state._replace(flags=OWNED if state.key in inserted else REFUSED if position in outcome.refused else 0)
        for position, state in enumerate(states)
    ]


def unwritten_state(state: RowState, known_state: RowState, flags: int) -> RowState:
    """Return the state of a row whose edit the target does not have: content of the source, stamp of the target."""
    return state._replace(stamp=known_state.stamp, flags=known_state.flags | flags)


def updated_states(
    states: Sequence[RowState], known_states: Sequence[RowState], outcome: WriteOutcome
) -> list[RowState]:
    """Return the states of updated rows; without those left unchanged, whose recorded state still holds."""
    return [
        unwritten_state(state, known_state, EQUAL | EDIT_REFUSED)
        if position in outcome.refused
        else state._replace(flags=known_state.flags & OWNED | EQUAL)
        for position, (state, known_state) in enumerate(zip(states, known_states, strict=True))
        if position not in outcome.present
    ]


def failed_row_state(finding: JobFinding) -> RowState:
    """Return the state of a row that cannot be copied, so that it is reported once."""
    return RowState(failed_key(finding.source_key), 0, 0, REFUSED)


def failed_key(key: str) -> int:
    """Return the key of the state that records the failure of a row, by its name in findings."""
    return hashed(b"failed " + key.encode())


def hashed(data: bytes) -> int:
    """Return the first 64 bits of a BLAKE2b digest."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def without_older_refusals(records: Records) -> Records:
    """Leave out refused edits that an older version has recorded, so that they are tried again.

    The record before is of the row as the target has it.
    """
    kept: Records = records[records["what"] & (EQUAL | EDIT_REFUSED) != EDIT_REFUSED]
    return kept


class SyncState:
    """Row states of one copy over all its attempts; ``chain``, the first of these jobs, identifies it.

    ``blind``: the states of earlier attempts are unknown, because an older version recorded them elsewhere, or because
    they have expired.
    """

    def __init__(self, context: JobContext, chain: str, *, blind: bool) -> None:
        self.chain = chain
        self.blind = blind
        self._context = context
        self._last_id = 0
        # Local copy of the records, so that each pass reads only new ones; on disk to save memory.
        self._folder = state_dir() / "jobs"
        make_private_dir(self._folder)
        self._spool: IO[bytes] = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed by ``close``
        self._spool_bytes = 0
        self._stale = True
        """True while the target has records that the local copy lacks."""

    @classmethod
    async def of_run(cls, context: JobContext) -> SyncState:
        """Return the sync state of the copy that an attempt belongs to."""
        checkpoint = CopyCheckpoint.from_json(context.checkpoint)
        if checkpoint.chain is None:
            return cls(context, context.job_id, blind=False)
        rows = await _fetch(context, "list_sync_state", {"chain": checkpoint.chain, "after": 0, "limit": 1})
        return cls(context, checkpoint.chain, blind=not rows or checkpoint.blind)

    def close(self) -> None:
        """Delete the local copy of the records."""
        self._spool.close()

    async def begin(self, transaction: Transaction, now: datetime) -> None:
        """Add a first record in the transaction of the attempt's first step; delete expired states of other copies."""
        await transaction.execute("forget_old_sync_state", {"chain": self.chain, "since": now - RETENTION})
        await self._append(transaction, b"")

    async def add(self, transaction: Transaction, table: str, states: Iterable[RowState]) -> None:
        """Record row states in the transaction that makes them true."""
        number = _TABLE_NUMBERS[table]
        packed = b"".join(
            [_RECORD.pack(state.flags, number, state.key, state.content_hash, state.stamp) for state in states]
        )
        if packed:
            await self._append(transaction, packed)

    async def _append(self, transaction: Transaction, packed: bytes) -> None:
        await transaction.execute("add_sync_state", {"chain": self.chain, "records": packed})
        self._stale = True

    async def forget(self, transaction: Transaction) -> None:
        """Delete all records, in the transaction that completes the copy."""
        await transaction.execute("forget_sync_state", {"chain": self.chain})

    async def index_of(self, table: str) -> SyncIndex:
        """Return the row states of a table, from all committed transactions."""
        import numpy as np

        if self._stale:
            await self._read()
        if not self._spool_bytes:
            return SyncIndex(np.zeros(0, dtype=_RECORD_DTYPE))
        records = np.memmap(self._spool, dtype=_RECORD_DTYPE, mode="r")
        return SyncIndex(records[records["table"] == _TABLE_NUMBERS[table]])

    async def last_keys(self) -> set[int]:
        """Return the keys of the batch that was written last."""
        import numpy as np

        [row] = await _fetch(self._context, "last_sync_state", {"chain": self.chain})
        return set(np.frombuffer(row["records"], dtype=_RECORD_DTYPE)["key"].tolist())

    async def _read(self) -> None:
        params = {"chain": self.chain, "limit": CHUNKS_PER_READ}
        while rows := await _fetch(self._context, "list_sync_state", {**params, "after": self._last_id}):
            try:
                self._spool.seek(self._spool_bytes)
                self._spool.write(b"".join([row["records"] for row in rows]))
                self._spool.flush()
            except OSError as error:
                raise Refused(
                    f"The state of the copy cannot be written to {self._folder}: {error.strerror}."
                ) from error
            self._spool_bytes += sum(len(row["records"]) for row in rows)
            self._last_id = int(rows[-1]["id"])
        # No other process writes these records.
        self._stale = False


async def _fetch(context: JobContext, name: str, params: dict[str, Any]) -> list[Row]:
    return await context.with_retries(partial(context.store.backend.fetch, name, params))


class SyncIndex:
    """Newest state of each row of a table; takes some 34 bytes of memory per row."""

    def __init__(self, records: Records) -> None:
        import numpy as np

        records = without_older_refusals(records)
        order = np.argsort(records["key"], kind="stable")
        keys = records["key"][order]
        newest = np.append(keys[1:] != keys[:-1], True) if len(keys) else np.zeros(0, dtype=bool)
        self._records = records[order[newest]]
        self._keys = np.ascontiguousarray(self._records["key"])
        self.has_refusals = bool((self._records["what"] & REFUSED).any())
        """True where a row of the table was refused."""

    def get(self, key: int) -> RowState | None:
        import numpy as np

        position = int(self._keys.searchsorted(np.uint64(key)))
        if position == len(self._keys) or int(self._keys[position]) != key:
            return None
        flags, _, _, content_hash, stamp = self._records[position].tolist()
        return RowState(key, content_hash, stamp, flags)

    def owned_except(self, seen_keys: array[int]) -> set[int]:
        """Return the keys of rows that this copy has inserted and not deleted since, without ``seen_keys``."""
        import numpy as np

        flags = self._records["what"]
        owned_keys = self._keys[(flags & OWNED > 0) & (flags & DELETED == 0)]
        return set(np.setdiff1d(owned_keys, np.frombuffer(seen_keys, dtype=np.uint64)).tolist())
