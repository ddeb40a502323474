"""Steps that a copy and a comparison share: two stores, each opened before the next step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vestige_tui.core.errors import Usage
from vestige_tui.jobs.known_stores import without_password
from vestige_tui.jobs.start import JobRequest, StartedJob, start
from vestige_tui.jobs.store_identity import same_store
from vestige_tui.presenters.stores import location
from vestige_tui.tui.wizards.store_step import StoreStep, known_stores, with_password
from vestige_tui.tui.wizards.wizard import Wizard, WizardStep

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from vestige_tui.tui.store_session import StoreSession


class BetweenStores(Wizard[StartedJob]):
    """Wizard that asks for two stores, then calls ``settle``. A subclass sets kind, notes and trail.

    The open store is taken as the first of them: the wizard begins with the other one, and escape goes to the first.
    """

    kind: str
    source_note: str
    target_note: str

    def __init__(self, title: str, session: StoreSession) -> None:
        super().__init__(title)
        self.store_session = session
        self.source = self.target = ""

    async def settle(self) -> None:
        """Check both stores and go to the next step. Raises the error that forbids the job."""
        raise NotImplementedError

    def first(self) -> WizardStep:
        store = self.store_session.store
        return StoreStep(
            self.trail[0],
            self.source_note,
            known_stores(self.store_session),
            self._take_source,
            value=without_password(store.location) if store is not None else "",
        )

    def second(self) -> WizardStep | None:
        store = self.store_session.store
        if store is None or self.target:
            return None
        self.source = with_password(self.store_session, without_password(store.location))
        return self._target_step()

    def _take_source(self, typed: str) -> None:
        self.source = with_password(self.store_session, typed)
        self.busy(f"opening {location(typed)} …", self._ask_target)

    async def _ask_target(self) -> None:
        from vestige_tui.store.open import open_store

        store = self.store_session.store
        if store is None or self.source != store.location:
            async with open_store(self.source, read_only=True, max_connections=1):
                pass
        await self.go(self._target_step())

    def _target_step(self) -> WizardStep:
        note = f"From {location(self.source)} (esc changes it). {self.target_note}"
        stores = known_stores(self.store_session, without_password(self.source))
        return StoreStep(self.trail[1], note, stores, self._take_target)

    def _take_target(self, typed: str) -> None:
        self.target = with_password(self.store_session, typed)
        self.busy(f"reading {location(typed)} …", self._settle)

    async def _settle(self) -> None:
        if same_store(self.source, self.target):
            raise Usage("Source and target are the same store; choose another one.")
        await self.settle()

    def work(self, options: Mapping[str, Any] | None = None) -> JobRequest:
        """Return the request of the job."""
        return JobRequest(self.kind, self.source, self.target, dict(options or {}))

    async def begin(self, options: Mapping[str, Any]) -> None:
        """Start the job and close the wizard with it."""
        self.store_session.remember_url(self.source)
        self.store_session.remember_url(self.target)
        self.dismiss(await start(self.work(options)))
