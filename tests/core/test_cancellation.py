"""Cancellations that a library loses still end the task."""

from __future__ import annotations

import asyncio

import pytest

from vestige_tui.core.cancellation import cancellation_kept


async def lose(result: Exception | None = None) -> None:
    """Wait until cancelled, and answer that with a result or an error, as some libraries do."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        if result is not None:
            raise result from None


@pytest.mark.parametrize("answer", [None, ValueError("broken")], ids=["a result", "an error"])
async def test_a_lost_cancellation_is_raised(answer: Exception | None) -> None:
    async def work() -> None:
        with cancellation_kept():
            await lose(answer)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


async def test_errors_and_results_without_one_pass() -> None:
    with cancellation_kept():
        await asyncio.sleep(0)
    with pytest.raises(ValueError, match="broken"), cancellation_kept():
        raise ValueError("broken")


async def test_a_task_that_was_cancelled_before_can_clean_up() -> None:
    cleaned = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            with cancellation_kept():
                await asyncio.sleep(0)
            cleaned.append(True)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert cleaned == [True]


async def test_a_timeout_around_it_is_still_a_timeout() -> None:
    async def work() -> None:
        async with asyncio.timeout(0):
            with cancellation_kept():
                await lose()

    with pytest.raises(TimeoutError):
        await work()
