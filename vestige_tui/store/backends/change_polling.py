"""Hearing of changes by asking: for a store that tells nobody by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class Tokens:
    """Asks for a store's change token, with a pause of ``pause`` seconds between two questions."""

    def __init__(self, ask: Callable[[], Awaitable[object]], pause: float) -> None:
        self._ask = ask
        self._pause = pause
        self._seen: object = None

    async def change(self, seconds: float) -> bool:
        """Wait until the token is another one than last time; False where it is not for so long."""
        clock = asyncio.get_running_loop().time
        end = clock() + seconds
        while True:
            token = await self._ask()
            if token != self._seen:
                self._seen = token
                return True
            if clock() >= end:
                return False
            await asyncio.sleep(self._pause)
