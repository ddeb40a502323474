"""Poll a store's change token: for backends without LISTEN/NOTIFY."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)


class TokenPoller:
    """Poller of a store's change token, with a pause of ``pause`` seconds between two reads."""

    def __init__(self, read_token: Callable[[], Awaitable[object]], pause: float) -> None:
        self._read_token = read_token
        self._pause_seconds = pause
        self._last_token: object = None

    async def wait(self, seconds: float) -> bool:
        """Wait until the token differs from the last one read; return False where it does not within the time."""
        clock = asyncio.get_running_loop().time
        end = clock() + seconds
        while True:
            token = await self._read_token()
            if token != self._last_token:
                log.debug("New change token")
                self._last_token = token
                return True
            if clock() >= end:
                return False
            await asyncio.sleep(self._pause_seconds)
