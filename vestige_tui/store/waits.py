"""Waits for answers of a database: registered while they last, so that a long one can be shown and broken off."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from weakref import WeakSet

from vestige_tui.core.errors import Cancelled
from vestige_tui.core.health import Session
from vestige_tui.core.waits import WaitKind, WaitReport

SHOWN_AFTER_SECONDS = 8.0
"""A wait that lasts longer is shown."""
EXPLAINED_AFTER_SECONDS = 1.0
"""The cause of a wait that lasts longer is looked for."""

_takes_long: ContextVar[bool] = ContextVar("takes_long", default=False)
_registries: WeakSet[Waits] = WeakSet()


@contextmanager
def long_work() -> Iterator[None]:
    """Let the waits of a block last as long as they like: a vacuum, an index build, a migration, a copy."""
    token = _takes_long.set(True)
    try:
        yield
    finally:
        _takes_long.reset(token)


class Wait:
    """One wait of one task, from ``with`` to its end. Broken off, it raises ``error`` there instead of a cancellation.

    A class, because a generator would cost three times as much.
    """

    __slots__ = ("_error", "_registry", "_task", "answers", "holders", "is_broken_off", "kind", "session", "started")

    def __init__(
        self, registry: Waits, kind: WaitKind, session: int | None, error: Callable[[], Exception] | None
    ) -> None:
        self._registry = registry
        self._error = error
        self._task: asyncio.Task[object] | None = None
        self.kind = kind
        self.session = session
        """The server's number of the session that waits."""
        self.holders: tuple[Session, ...] = ()
        """Sessions that hold the lock that it waits for."""
        self.answers: bool | None = None
        """Whether the server answered another question meanwhile."""
        self.is_broken_off = False

    def __enter__(self) -> Wait:
        self._task = asyncio.current_task()
        self.started = self._registry.clock()
        if not _takes_long.get():
            self._registry.add(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._registry.discard(self)
        if self.is_broken_off and self._task is not None and self._error is not None:
            # As asyncio.timeout does it: a cancellation by another caller goes on.
            still_cancelled = self._task.uncancel()
            if kind is asyncio.CancelledError and not still_cancelled:
                raise self._error() from error

    def break_off(self) -> bool:
        """Cancel the waiting task; return whether it can be."""
        if self._error is None or self._task is None or self.is_broken_off:
            return False
        self.is_broken_off = True
        self._task.cancel()
        return True


class Waits:
    """The waits of one open store that last now. ``explain`` is called once one of them has lasted a while."""

    def __init__(self, title: Callable[[], str], clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.explain: Callable[[], None] | None = None
        self._migration: tuple[str, float] | None = None
        self._title = title
        self._waits: dict[Wait, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        _registries.add(self)

    def of(
        self,
        kind: WaitKind = WaitKind.ANSWER,
        session: int | None = None,
        error: Callable[[], Exception] | None = Cancelled,
    ) -> Wait:
        """Return a context manager for a wait; broken off it raises ``error``, None where it cannot be."""
        return Wait(self, kind, session, error)

    def note_migration(self, step: str) -> None:
        """Note how far a step of the schema is; nothing once it is done. It is shown as a wait is."""
        started = self._migration[1] if self._migration else self.clock()
        self._migration = (step, started) if step else None

    def add(self, wait: Wait) -> None:
        self._waits[wait] = None
        if self._timer is None and self.explain is not None:
            self._timer = asyncio.get_running_loop().call_later(EXPLAINED_AFTER_SECONDS, self._look)

    def discard(self, wait: Wait) -> None:
        self._waits.pop(wait, None)

    def _look(self) -> None:
        """Call ``explain`` if a wait has lasted a while; look again later while any lasts."""
        self._timer = None
        if not self._waits or self.explain is None:
            return
        if self.older_than(EXPLAINED_AFTER_SECONDS):
            self.explain()
        self._timer = asyncio.get_running_loop().call_later(EXPLAINED_AFTER_SECONDS, self._look)

    def older_than(self, seconds: float) -> list[Wait]:
        """Return the waits that have lasted so long, the longest first."""
        limit = self.clock() - seconds
        return [wait for wait in self._waits if wait.started <= limit]

    def report(self) -> WaitReport | None:
        """Return the longest wait once it is long enough to be shown."""
        if self._migration and self.clock() - self._migration[1] >= SHOWN_AFTER_SECONDS:
            step, started = self._migration
            return WaitReport(self._title(), WaitKind.MIGRATION, self.clock() - started, step=step)
        # One that was broken off lasts until its server has heard of that, and is waited for by no caller.
        waits = [wait for wait in self.older_than(SHOWN_AFTER_SECONDS) if not wait.is_broken_off]
        if not waits:
            return None
        # One that has a cause says more than the first one.
        wait = next((each for each in waits if each.holders), waits[0])
        return WaitReport(self._title(), wait.kind, self.clock() - wait.started, wait.holders, wait.answers)

    def break_off(self) -> int:
        """End every wait that can be ended, as its caller's error; return their number."""
        return sum(wait.break_off() for wait in list(self._waits))

    def close(self) -> None:
        """Look for no more causes."""
        self.explain = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def long_waits() -> list[WaitReport]:
    """Return the longest wait of each open store of this process, of those that are long enough to be shown."""
    return [report for waits in list(_registries) if (report := waits.report()) is not None]
