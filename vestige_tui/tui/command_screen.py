"""CommandScreen: base of all screens with commands, the places and the pages over them; decides which are disabled."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from textual import events
from textual.binding import ActiveBinding
from textual.keys import key_to_character
from textual.screen import Screen
from textual.signal import Signal
from textual.worker import Worker, WorkerState

from vestige_tui.core.errors import Cancelled, VestigeError
from vestige_tui.core.text import plain, redact
from vestige_tui.presenters.moments import only_now_reason, past_moment_reason
from vestige_tui.presenters.stores import read_only_sentence
from vestige_tui.tui import layout_widths
from vestige_tui.tui.commands.catalogue import ONLY_NOW, WRITES_ELSEWHERE, WRITES_THE_STORE
from vestige_tui.tui.dialogs.help import HelpScreen
from vestige_tui.tui.notice import Notice
from vestige_tui.tui.removal import WhileMounted
from vestige_tui.tui.widgets.status_line import StatusLine

if TYPE_CHECKING:
    from datetime import datetime

    from vestige_tui.config.search_history import SearchHistory
    from vestige_tui.store.store import Store
    from vestige_tui.tui.console_state import ConsoleState
    from vestige_tui.tui.store_session import StoreSession

log = logging.getLogger(__name__)

NOT_OPEN = "The store is not open yet."
CONSOLE_READ_ONLY = "This console was opened with --read-only and writes to no store; start it without --read-only."
OPENED_READ_ONLY = "opened with --read-only"
"""Reason of a store that is not open yet, in the words of its backend."""


@runtime_checkable
class Console(Protocol):
    """Protocol of the app, as far as screens use it."""

    session: StoreSession
    """The store of this console, its state and its jobs."""
    store_changed: Signal[None]
    """Published when the store has been opened, or changed by this console or another process."""
    frame_changed: Signal[None]
    """Published when facts, badges, jobs, banner or refusal of the session have been replaced."""
    outage_ended: Signal[VestigeError]
    """Published with the error of an outage when the store answers again."""
    card_hidden: bool
    """True after the user has hidden the card beside the lists."""
    search_history: SearchHistory | None
    """Queries of the search line; None if the settings turn it off."""
    state: ConsoleState
    """What the console remembers between two starts."""
    last_words: list[str]
    """Sentences for stderr after the console has ended."""

    async def copy(self, text: str, subject: str, *, instead: str = "") -> str:
        """Copy a text to the clipboard; return the sentence on it. Raises Refused for one that is too long."""
        ...


class CommandScreen(WhileMounted, Screen[None]):
    """Screen with commands. A disabled one is dim in the key line, and its key shows the reason in the status line.

    A subclass sets ``HELP``, yields ``self._status`` in ``compose``, and adds its own reasons in ``why_not``. Commands
    that write are bound on such a screen and never on a widget, so that each is disabled with its reason.
    """

    HORIZONTAL_BREAKPOINTS: list[tuple[int, str]] | None = layout_widths.HORIZONTAL

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._status = StatusLine()
        self._checked_console: Console | None = None

    @property
    def console(self) -> Console:
        """The app, as the Console protocol."""
        if self._checked_console is None:
            # Checked once: the check reads every attribute of the protocol, and this property is read for each key.
            app = self.app
            assert isinstance(app, Console)
            self._checked_console = app
        return self._checked_console

    @property
    def store_session(self) -> StoreSession:
        """The session of the open store."""
        return self.console.session

    @property
    def store(self) -> Store | None:
        """The open store; None until it is open."""
        return self.store_session.store

    @property
    def shown_moment(self) -> datetime | None:
        """Past moment that the key line names; None for now, and on a screen that names it elsewhere."""
        return self.store_session.moment

    @property
    def help_title(self) -> str:
        """Title of the help of this screen."""
        return self.title or ""

    @property
    def active_bindings(self) -> dict[str, ActiveBinding]:
        # Textual leaves out the keys that the focused input line takes, but before it applies the user's own keys.
        active = super().active_bindings
        focused = self.focused
        if focused is None:
            return active
        return {
            key: each
            for key, each in active.items()
            if each.node is focused or not focused.check_consume_key(key, key_to_character(key))
        }

    # Disabled commands

    def why_not(self, action: str) -> str:
        """Return why a command is disabled, as a sentence; empty if it is enabled."""
        if action in WRITES_THE_STORE:
            return self._why_not_written()
        if action in WRITES_ELSEWHERE:
            return self._why_not_written_elsewhere()
        if action in ONLY_NOW and (moment := self.store_session.moment) is not None:
            return only_now_reason(moment)
        return ""

    def _why_not_written_elsewhere(self) -> str:
        session = self.store_session
        if session.moment is not None:
            return past_moment_reason(session.moment)
        if session.opened_read_only:
            return CONSOLE_READ_ONLY
        if self.store is not None and self.store.viewer is not None:
            return read_only_sentence(self.store.read_only_reason)
        return ""

    def _why_not_written(self) -> str:
        """Return why the open store accepts no write; empty if it does."""
        store, moment = self.store, self.store_session.moment
        if store is not None and moment is not None:
            return past_moment_reason(moment)
        if store is not None:
            return read_only_sentence(store.read_only_reason) if store.read_only else ""
        return read_only_sentence(OPENED_READ_ONLY) if self.store_session.opened_read_only else NOT_OPEN

    def reason_against(self, action: str) -> str:
        """Return why a command is disabled now, by this screen or by its state; empty if it is enabled."""
        return self.why_not(action)

    def say_why_not(self, action: str) -> bool:
        """Show why a command is disabled; return whether it is."""
        if why := self.reason_against(action):
            self._status.show(Notice(why, action=action))
        return bool(why)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if self.is_mounted and self.reason_against(action):
            return None
        return super().check_action(action, parameters)

    def on_key(self, event: events.Key) -> None:
        active = self.active_bindings.get(event.key)
        if active is None or active.enabled or active.node is not self:
            return
        action = active.binding.action.partition("(")[0]
        self.say_why_not(action)
        if action in WRITES_THE_STORE and self._may_adopt():
            self.call_later(self.app.run_action, "app.adopt")

    def _may_adopt(self) -> bool:
        """Check whether the store is the file of a Vestige server, which a key that writes offers to adopt."""
        store = self.store
        return store is not None and store.moment is None and store.maintenance.adoptable

    # Errors

    def say_error(self, error: BaseException, hint: str = "") -> None:
        """Show an error as one sentence; one that is not of this program is logged."""
        if isinstance(error, Cancelled):
            return
        is_ours = isinstance(error, VestigeError)
        if not is_ours:
            log.error("Unexpected error on %s", type(self).__name__, exc_info=error)
        sentence = plain(str(error)) if is_ours else "Unexpected error; nothing was lost."
        self._status.show(Notice(redact(sentence), hint, "bad", error))

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if event.state is WorkerState.ERROR and event.worker.error is not None:
            event.stop()
            self.worker_failed(event.worker.group, event.worker.error)

    def worker_failed(self, group: str, error: BaseException) -> None:
        """Show the error of a worker of this screen."""
        self.say_error(error)

    # Commands

    def tell(self, text: str, hint: str = "") -> Notice:
        """Show a sentence on the result of a command of the whole console, with a key that goes on."""
        return self._status.say(text, hint)

    def hint(self, text: str) -> Notice:
        """Show a hint of the app until ``withdraw_hint``."""
        return self._status.say(text, severity="waiting")

    def withdraw_hint(self, notice: Notice) -> None:
        """Clear the hint, if it is still shown."""
        self._status.withdraw(notice)

    def action_place(self, place: str) -> None:
        self.app.switch_mode(place)

    def action_close(self) -> None:
        """Close this page; a place, which nothing is behind, overrides it."""
        self.dismiss(None)

    def action_show_legend(self) -> None:
        from vestige_tui.tui.dialogs.legend import LegendScreen

        self.app.push_screen(LegendScreen())

    def action_show_help(self) -> None:
        self.app.push_screen(HelpScreen(self.help_title, self.HELP or "", self))
