"""Notes on stderr about the stores that a command waits for."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from datetime import UTC, datetime

from vestige_tui.cli.output import say

POLL_SECONDS = 0.5


async def note_waits() -> None:
    """Say once of each store why it is waited for, and again where the cause has become known; until cancelled."""
    from vestige_tui.core.waits import WaitReport, wait_sentence
    from vestige_tui.store.waits import long_waits

    said: dict[str, WaitReport] = {}
    while True:
        await asyncio.sleep(POLL_SECONDS)
        waits = {wait.store: wait for wait in long_waits()}
        for store, wait in waits.items():
            if said.get(store) != wait:
                with suppress(OSError):
                    # A progress line may stand there.
                    sys.stderr.write("\r\x1b[K" if sys.stderr.isatty() else "")
                say(f"{wait_sentence(wait, datetime.now(UTC))} ctrl-C cancels.")
        said = waits
