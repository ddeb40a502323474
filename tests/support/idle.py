"""When a console under test is idle.

Textual waits after each key until the whole process uses less than 1 ms of CPU time in 20 ms, or a second is over: a
console at whose side a worker thread reads or computes is never that quiet. Here only the event loop's thread counts,
in shorter looks; what a test means to see it waits for by ``Console.until``.
"""

from __future__ import annotations

import asyncio
import time

import textual.app
import textual.pilot

LOOK_SECONDS = 0.003
QUIET_SECONDS = 0.0004
"""CPU time of the event loop's thread in a look in which it had nothing to do but to wake up."""
QUIET_LOOKS = 2


async def wait_for_idle(min_sleep: float = 0.0, max_sleep: float = 1.0) -> None:
    """Wait until the event loop had nothing to do in two looks, for at most ``max_sleep`` seconds."""
    began, quiet = time.monotonic(), 0
    while quiet < QUIET_LOOKS and time.monotonic() - began < max_sleep:
        used = time.thread_time()
        await asyncio.sleep(LOOK_SECONDS)
        quiet = quiet + 1 if time.thread_time() - used < QUIET_SECONDS else 0


def watch_the_event_loop() -> None:
    """Let Textual's pilot wait in this way."""
    for module in (textual.app, textual.pilot):
        assert hasattr(module, "wait_for_idle")
        module.wait_for_idle = wait_for_idle  # type: ignore[attr-defined]
