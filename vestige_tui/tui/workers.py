"""Textual's workers, started at the same moment on every version of Python.

From Python 3.12 on Textual runs a task to its first await while it is created. The body of a worker would begin before
the caller has kept the worker, and before the worker that it replaces has cleaned up; a cancel would not reach it yet.
Here it begins in the next turn of the event loop, as on Python 3.11.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import textual
from textual.worker import Worker

P = ParamSpec("P")
T = TypeVar("T")


def work(
    *, group: str, exclusive: bool = False, exit_on_error: bool = True
) -> Callable[[Callable[P, Coroutine[Any, Any, T]]], Callable[P, Worker[T]]]:
    """Return a decorator that makes a worker of a coroutine method, as Textual's own does."""

    def decorate(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Worker[T]]:
        @wraps(method)
        async def begin(*args: P.args, **kwargs: P.kwargs) -> T:
            await asyncio.sleep(0)
            return await method(*args, **kwargs)

        return textual.work(begin, group=group, exclusive=exclusive, exit_on_error=exit_on_error)

    return decorate
