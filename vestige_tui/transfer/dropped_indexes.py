"""Indexes that a copy drops before its rows and builds again after them; the ledger records their statements."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vestige_tui.core.errors import VestigeError
from vestige_tui.core.log import suppressed
from vestige_tui.jobs.context import INDEXES
from vestige_tui.transfer.second_transaction import SecondTransaction

if TYPE_CHECKING:
    from vestige_tui.jobs.context import JobContext
    from vestige_tui.store.backends.protocol import Transaction
    from vestige_tui.transfer.postgres_target import PostgresTarget

log = logging.getLogger(__name__)


class DroppedIndexes:
    """Indexes that are missing in the target, by their statements; those of an earlier attempt at first."""

    def __init__(self, context: JobContext, server: PostgresTarget, statements: tuple[str, ...]) -> None:
        self._context = context
        self._backend = context.store.backend
        self._server = server
        self._statements = statements

    def __bool__(self) -> bool:
        return bool(self._statements)

    async def drop(self) -> None:
        """Drop the indexes: building one afterwards is faster than updating it row by row."""

        async def drop(transaction: Transaction) -> tuple[str, ...]:
            dropped = (*self._statements, *await self._server.drop_indexes(transaction))
            await self._context.ledger.note_dropped(transaction, self._context.job_id, dropped)
            return dropped

        self._statements = await self._context.step(drop)

    async def build(self) -> None:
        """Build the dropped indexes, GIN indexes in a second transaction beside the others."""
        second_transaction = SecondTransaction(self._backend)
        gin_indexes = [each for each in self._statements if " USING gin " in each]
        other_indexes = [each for each in self._statements if each not in gin_indexes]

        async def build(transaction: Transaction) -> None:
            await self._server.hold_indexes(transaction)
            other = await second_transaction.begin()
            # The GIN indexes are built meanwhile; these take longer together.
            for outcome in await asyncio.gather(
                self._build(transaction, other_indexes, watched=True),
                self._build(other, gin_indexes),
                return_exceptions=True,
            ):
                if outcome is not None:
                    raise outcome
            # After a failure between the two commits, an existing index is not built again.
            await second_transaction.commit()
            await self._context.ledger.note_dropped(transaction, self._context.job_id, ())

        try:
            await self._context.step(build)
        except BaseException:
            await second_transaction.roll_back()
            raise
        self._statements = ()

    async def _build(self, transaction: Transaction, statements: Sequence[str], *, watched: bool = False) -> None:
        part = 1 / max(1, len(statements))
        for number, statement in enumerate(statements):
            start = time.monotonic()
            if watched:
                async with self._context.watching(INDEXES, begun=number * part, part=part):
                    await self._server.build_index(transaction, statement)
            else:
                await self._server.build_index(transaction, statement)
            log.info("Built an index in %.1f s", time.monotonic() - start)

    async def restore(self) -> None:
        """Rebuild the dropped indexes after a copy that failed."""
        with suppressed(log, "rebuild the dropped indexes", VestigeError):
            while self._statements:
                async with self._backend.write() as transaction:
                    await self._server.hold_indexes(transaction)
                    await self._build(transaction, self._statements[:1])
                    await self._context.ledger.note_dropped(transaction, self._context.job_id, self._statements[1:])
                self._statements = self._statements[1:]
