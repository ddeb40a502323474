"""Waiting for a condition that announces itself by no event."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

POLL_SECONDS = 0.02


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Poll a condition until it holds; the only limit is the timeout of the test."""
    while True:
        if await holds():
            return
        await asyncio.sleep(POLL_SECONDS)
