"""Opening another store in the console: which ones there are, and a session of one, connected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vestige_tui.core.errors import Refused, Usage
from vestige_tui.jobs.known_stores import with_password, without_password
from vestige_tui.jobs.store_identity import distinct_stores, same_store
from vestige_tui.presenters.accounts import full_name
from vestige_tui.presenters.stores import location
from vestige_tui.tui.dialogs.modals import Choice, Pick
from vestige_tui.tui.wizards.open_store import OpenStoreWizard
from vestige_tui.tui.wizards.store_step import known_stores

if TYPE_CHECKING:
    from vestige_tui.store.store import Store
    from vestige_tui.tui.console_app import ConsoleApp
    from vestige_tui.tui.store_session import StoreSession

WRITING_GROUPS = frozenset({"write", "card", "fill", "vacuum", "begin"})
"""Groups of the workers that may be writing to the store."""


def other_stores(app: ConsoleApp) -> tuple[str, ...]:
    """Return the stores to open instead of the present one, recent ones first, without passwords."""
    present = without_password(app.session.url)
    return distinct_stores((*app.state.recent_stores(), *known_stores(app.session)), (present,))


async def chosen_session(app: ConsoleApp) -> StoreSession | None:
    """Ask for a store; return its session, connected, or None if the user cancels."""
    refuse_while_writing(app)

    async def connect(typed: str) -> StoreSession:
        return await _connected(app, typed)

    return await app.push_screen_wait(OpenStoreWizard(other_stores(app), connect))


async def session_at(app: ConsoleApp, url: str) -> StoreSession:
    """Return the session of the store at a URL, connected. Raises VestigeError if it cannot be opened."""
    refuse_while_writing(app)
    if (place := app.place_in_front) is not None:
        place.say(f"Opening {location(url)}…", severity="quiet")
    return await _connected(app, url)


async def _connected(app: ConsoleApp, typed: str) -> StoreSession:
    """Return the session of another store. Raises VestigeError if that cannot be opened, or is the present one."""
    url = with_password(typed.strip(), app.session.urls)
    if app.session.store is not None and same_store(url, app.session.store.location):
        raise Usage("This store is open already.")
    return await _connect(app, url, app.session.viewer)


async def session_again(app: ConsoleApp) -> StoreSession:
    """Return another session of the open store, connected: what it may do there has changed."""
    return await _connect(app, app.session.url, app.session.viewer)


async def session_viewed(app: ConsoleApp, user: str | None) -> StoreSession:
    """Return a session of the open store as a user (None: as everybody), connected. Raises VestigeError."""
    refuse_while_writing(app)
    return await _connect(app, app.session.url, user)


async def chosen_viewer(app: ConsoleApp, store: Store) -> str | None:
    """Ask for the user to view the store as; return the handle, or None if the user cancels."""
    choices = [
        Choice(user.account.id, " ".join(filter(None, (user.account.handle, full_name(user)))), user.total)
        for user in await store.accounts.list_users()
    ]
    return await app.push_screen_wait(Pick("View the store as…", choices))


async def _connect(app: ConsoleApp, url: str, viewer: str | None) -> StoreSession:
    present = app.session
    session = app.new_session(
        url, read_only=present.opened_read_only, embedders=present.embedders, typed_urls=present.urls, viewer=viewer
    )
    await session.connect()
    return session


def refuse_while_writing(app: ConsoleApp) -> None:
    if any(worker.group in WRITING_GROUPS and not worker.is_finished for worker in app.workers):
        raise Refused("A change is still being written; open another store when it is done.")
