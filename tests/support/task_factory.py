"""Consoles under test run their tasks as the program runs them.

Where Python can (3.12 and newer), ``App.run`` lets a task run to its first await while it is created; ``App.run_test``
leaves the loop as it is.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any

from textual.app import App
from textual.pilot import Pilot

EAGER = getattr(asyncio, "eager_task_factory", None)
"""What ``App.run`` makes tasks with; None where this Python has no such factory."""

run_test_of_textual = App.run_test


def run_test(app: App[Any], **options: Any) -> AbstractAsyncContextManager[Pilot[Any]]:
    """Open an app under test, with the task factory that it has when it runs."""
    asyncio.get_running_loop().set_task_factory(EAGER)
    return run_test_of_textual(app, **options)
