"""ConsoleApp: what the parts of the console use of their app; `VestigeApp` is the one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.app import App

from vestige_tui.tui.place import Place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vestige_tui.config.settings import Config
    from vestige_tui.core.backups import RestorePlan
    from vestige_tui.core.filter_syntax import Chip
    from vestige_tui.tui.console_state import ConsoleState
    from vestige_tui.tui.store_session import StoreSession


class ConsoleApp(App[None], inherit_bindings=False):
    """App with the session of a store, settings and state."""

    config: Config
    session: StoreSession
    """The store of this console, its state and its jobs."""
    state: ConsoleState
    """What the console remembers between two starts."""

    @property
    def place_in_front(self) -> Place | None:
        """The place on the screen, or behind its dialogs; None once the console closes."""
        place = next(iter(self.screen_stack), None)
        return place if isinstance(place, Place) else None

    def new_session(self, url: str, **options: Any) -> StoreSession:
        """Return a session of a store; its events are shown once it is the session of the console."""
        raise NotImplementedError

    def read_settings(self, path: Path) -> None:
        """Read theme and saved filters again from the settings file. Raises ConfigError."""
        raise NotImplementedError

    def action_open_store(self, url: str = "") -> object:
        """Go over to the store at a URL, or ask for one; a store that cannot be opened leaves the present one open."""
        raise NotImplementedError

    def action_adopt(self) -> object:
        """Adopt the open file of a Vestige server after a preview, and open it again for writing."""
        raise NotImplementedError

    def action_restore(self, plan: RestorePlan) -> object:
        """Restore a backup into the open store, as the user has agreed, and open it again."""
        raise NotImplementedError

    def action_view_as(self, user: str | None = None) -> object:
        """Open the store again as a user, asked for if None; an empty one is everybody."""
        raise NotImplementedError

    def open_filters(self, place: str, chips: Sequence[Chip]) -> object:
        """Go to a place that filters, and show there what passes these filters."""
        raise NotImplementedError
