"""Second transaction of a step, for work beside the first one on another connection."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from vestige_tui.core.errors import Cancelled, VestigeError
from vestige_tui.core.log import suppressed

if TYPE_CHECKING:
    from vestige_tui.store.backends.protocol import Backend, Transaction

log = logging.getLogger(__name__)


class SecondTransaction:
    """Second transaction, open during a step."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._open = AsyncExitStack()

    async def begin(self) -> Transaction:
        """Begin the transaction; roll back an earlier one first."""
        await self.roll_back()
        return await self._open.enter_async_context(self._backend.write())

    async def commit(self) -> None:
        await self._open.aclose()

    async def roll_back(self) -> None:
        cancelled = Cancelled("rolled back")
        with suppressed(log, "roll back the second transaction", VestigeError):
            await self._open.__aexit__(Cancelled, cancelled, None)
