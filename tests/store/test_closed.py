"""A store that is closed answers every call at once, with an error, also one that waited for a connection."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from vestige_tui.core.errors import Unreachable
from vestige_tui.core.memories import Draft
from vestige_tui.store.backends.sqlite import READER_COUNT, SqliteBackend
from vestige_tui.store.open import open_store


async def test_a_closed_store_refuses_reads_and_writes(store_url: str) -> None:
    store = open_store(store_url, create=True)
    await store.open()
    await store.insert(Draft("there"), embed=False)
    await store.close()
    with pytest.raises(Unreachable, match="is not open"):
        await store.memories.count()
    with pytest.raises(Unreachable, match="is not open"):
        await store.insert(Draft("never written"), embed=False)
    async with store:
        assert await store.memories.count() == 1


async def test_a_read_that_waits_for_a_reader_ends_with_its_store(tmp_path: Path) -> None:
    backend = SqliteBackend(tmp_path / "store.db", create=True)
    await backend.open()
    running, go_on = threading.Semaphore(0), threading.Event()

    def hold(_: object) -> None:
        running.release()
        go_on.wait()

    held = [asyncio.create_task(backend.run("held", hold)) for _ in range(READER_COUNT)]
    try:
        for _ in held:
            await asyncio.to_thread(running.acquire)
        waiting = [asyncio.create_task(backend.run("waiting", hold)) for _ in range(2)]
        closing = asyncio.create_task(backend.close())
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [Unreachable] * 2
        assert not any(read.done() for read in held)
    finally:
        # Also if the test fails: a thread that waits would keep the process from ending.
        go_on.set()
    await closing
    assert await asyncio.gather(*held) == [None] * READER_COUNT
    with pytest.raises(Unreachable):
        await backend.fetch("probe")
