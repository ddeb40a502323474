"""Checkpoints in the ledger of a store: read, replaced, and brought into the form that older programs wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.attempts import change
from vestige_tui.core.errors import Refused
from vestige_tui.jobs.context import JobContext
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.store.open import open_store


async def stored_checkpoint(url: str) -> dict[str, Any]:
    """Return the checkpoint of the last attempt."""
    async with open_store(url) as store:
        ledger = Ledger(store)
        last = max(await ledger.jobs(), key=lambda job: job.attempt)
        return dict((await ledger.run(last.id)).checkpoint)


def put_checkpoint(url: str, stored: Mapping[str, Any]) -> None:
    """Replace the checkpoint of all attempts."""
    text = json.dumps(stored)
    assert "'" not in text
    change(url, f"UPDATE job_runs SET checkpoint = '{text}'")


def without_version(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return a checkpoint as programs wrote it before it had a version."""
    return {name: value for name, value in stored.items() if name != "version"}


@contextmanager
def stopped_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Let a job commit so many steps, and refuse the next one; the list is empty until then."""
    inner, stopped, committed = JobContext.step, list[bool](), 0

    async def step(self: JobContext, *arguments: Any) -> Any:
        nonlocal committed
        if committed == steps:
            stopped.append(True)
            raise Refused("Something else is wrong.")
        result: Any = await inner(self, *arguments)
        committed += 1
        return result

    with monkeypatch.context() as patch:
        patch.setattr(JobContext, "step", step)
        yield stopped
