"""Cancellation of asyncio tasks that reaches the task, whatever a library does with it."""

from __future__ import annotations

import asyncio
from types import TracebackType


class cancellation_kept:
    """Context manager around a library's waits: a cancellation that arrives meanwhile is raised, though it was lost.

    A library may answer a cancellation with a result, as ``asyncio.wait_for`` of Python 3.11 does where both come at
    once, and with it the pool of psycopg; or with an error of its own. A task that repeats its work would go on for
    ever then, and who waits for its end with it. An earlier cancellation, during which a task cleans up, is none of
    these. Raises CancelledError.
    """

    def __enter__(self) -> None:
        self._task = asyncio.current_task()
        self._cancellations = self._task.cancelling() if self._task is not None else 0

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        is_lost = kind is None or issubclass(kind, Exception)
        if is_lost and self._task is not None and self._task.cancelling() > self._cancellations:
            raise asyncio.CancelledError from error


__all__ = ["cancellation_kept"]
