"""Wizard that opens another store in the console: a URL, typed or taken from the recent stores."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import ClassVar

from vestige_tui.presenters.stores import location
from vestige_tui.tui.store_session import StoreSession
from vestige_tui.tui.wizards.store_step import StoreStep
from vestige_tui.tui.wizards.wizard import Wizard, WizardStep

NOTE = "The console switches to it once it is open; the current one stays open until then. Jobs keep running."


class OpenStoreWizard(Wizard[StoreSession]):
    """One step; answers the session of the store, connected. A store that cannot be opened leaves the step open.

    ``connect`` opens the store at a URL; it raises the error that forbids it.
    """

    trail: ClassVar[Sequence[str]] = ("store",)

    def __init__(self, stores: Sequence[str], connect: Callable[[str], Awaitable[StoreSession]]) -> None:
        super().__init__("Open another store")
        self._stores = stores
        self._connect = connect

    def first(self) -> WizardStep:
        return StoreStep(self.trail[0], NOTE, self._stores, self._take)

    def _take(self, typed: str) -> None:
        self.busy(f"opening {location(typed)} …", partial(self._open, typed))

    async def _open(self, typed: str) -> None:
        self.dismiss(await self._connect(typed))
