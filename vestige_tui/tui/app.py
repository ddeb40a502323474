"""The console's app: frame, places and keys around one `StoreSession`, whose events it shows."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events
from textual.actions import SkipAction
from textual.app import App, SuspendNotSupported
from textual.binding import Binding, BindingType
from textual.command import Provider
from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver
from textual.screen import Screen
from textual.signal import Signal
from textual.widgets import Input, TextArea
from textual.worker import Worker, WorkerError, WorkerState

from vestige_tui.config.keymap import check_keys
from vestige_tui.config.reader import check_theme
from vestige_tui.config.saved_filters import rewrite_outdated
from vestige_tui.config.search_history import search_history
from vestige_tui.config.settings import Config
from vestige_tui.config.writer import set_value
from vestige_tui.core.encodings import encodable, encoding_of
from vestige_tui.core.errors import VestigeError
from vestige_tui.core.text import plain, typed
from vestige_tui.core.widths import load_table
from vestige_tui.tui.clipboard import Clipboard
from vestige_tui.tui.command_screen import CommandScreen
from vestige_tui.tui.commands.catalogue import default_keys
from vestige_tui.tui.commands.command import bindings, key_display
from vestige_tui.tui.commands.everywhere import Interrupt, Quit, SuspendConsole
from vestige_tui.tui.commands.journal import ShowJournal
from vestige_tui.tui.commands.palette import CommandPalette
from vestige_tui.tui.dialogs.help import HelpScreen
from vestige_tui.tui.dialogs.modals import Confirm, Dialog
from vestige_tui.tui.notice import Notice
from vestige_tui.tui.place import Place
from vestige_tui.tui.store_session import StoreSession
from vestige_tui.tui.store_session_events import (
    Failed,
    FrameChanged,
    OutageBegan,
    OutageEnded,
    Reported,
    SessionEvent,
    StoreChanged,
    StoreLost,
)
from vestige_tui.tui.style_sheet import CachedStylesheet
from vestige_tui.tui.terminal_driver import TerminalDriver
from vestige_tui.tui.themes import register, themes
from vestige_tui.tui.workers import work

if TYPE_CHECKING:
    from vestige_tui.embedding.embedder_source import EmbedderSource
    from vestige_tui.store.context import Clock

log = logging.getLogger(__name__)

LEAVING_SECONDS = 0.5
QUIT_AGAIN_SECONDS = 2.0
"""Time in which a second ctrl+c quits."""
BEGIN_SECONDS = 2.0
"""The store is opened after this time even if no paint has been reported."""
FIRST_PLACE = "search"


def _search() -> Place:
    from vestige_tui.tui.search.place import SearchPlace

    return SearchPlace()


def _browse() -> Place:
    from vestige_tui.tui.browse.place import BrowsePlace

    return BrowsePlace()


def _review() -> Place:
    from vestige_tui.tui.review.place import ReviewPlace

    return ReviewPlace()


def _jobs() -> Place:
    from vestige_tui.tui.jobs.place import JobsPlace

    return JobsPlace()


def _registry() -> Place:
    from vestige_tui.tui.registry.place import RegistryPlace

    return RegistryPlace()


def _store() -> Place:
    from vestige_tui.tui.store.place import StorePlace

    return StorePlace()


class VestigeApp(App[None], inherit_bindings=False):
    """Textual app of the console: it owns the session of the store; places act on the store."""

    TITLE = "vestige"
    ENABLE_COMMAND_PALETTE = True
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {CommandPalette}
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {  # imported when first visited
        "search": _search,
        "browse": _browse,
        "review": _review,
        "jobs": _jobs,
        "registry": _registry,
        "store": _store,
    }
    BINDINGS: ClassVar[list[BindingType]] = bindings(Quit, Interrupt, SuspendConsole, ShowJournal)

    def __init__(
        self,
        config: Config,
        store_url: str,
        *,
        read_only: bool = False,
        create_confirmed: bool = False,
        embedders: EmbedderSource | None = None,
        clock: Clock | None = None,
    ) -> None:
        load_table()
        super().__init__()
        self.stylesheet = CachedStylesheet(variables=self.get_css_variables())
        self.config = config
        self.session = StoreSession(
            config,
            store_url,
            emit=self._show_event,
            may_create=self._confirm_creation,
            read_only=read_only,
            create_confirmed=create_confirmed,
            embedders=embedders,
            clock=clock,
        )
        self.store_changed: Signal[None] = Signal(self, "store_changed")
        self.frame_changed: Signal[None] = Signal(self, "frame_changed")
        self.outage_ended: Signal[VestigeError] = Signal(self, "outage_ended")
        self._session_worker: Worker[None] | None = None
        self._clipboard_of_terminal = Clipboard(self._write_to_terminal)
        self._end_quit_hint: Callable[[], None] | None = None
        """Ends the hint that a second ctrl+c quits; None while there is none."""
        self._lent = False
        """True while the terminal is an editor's."""
        self.search_history = search_history(config)
        self.card_hidden = False
        """True after the user has hidden the card beside the lists, until the console quits."""
        self.last_words: list[str] = []
        """Sentences for stderr after the console has ended."""

    def get_driver_class(self) -> type[Driver]:
        chosen = super().get_driver_class()
        return TerminalDriver if chosen is LinuxDriver else chosen

    def on_load(self) -> None:
        # Before the first rule is parsed: the colours of Textual's own theme are never used.
        register(self)
        self.theme = self.config.theme
        self.stylesheet.set_variables(self.get_css_variables())

    def get_theme_variable_defaults(self) -> dict[str, str]:
        # Themes of other people do not have the colours that only our style sheet uses.
        return {"track": "#808080"}

    async def on_mount(self) -> None:
        self.set_keymap(dict(self.config.keys))
        self.watch(self, "theme", self._theme_chosen, init=False)
        if not self.is_headless:
            # Close the store on these signals: an embedded PostgreSQL server ends with its last user.
            for signum in (signal.SIGTERM, signal.SIGHUP):
                asyncio.get_running_loop().add_signal_handler(signum, partial(self.exit, return_code=128 + signum))
        # Not DEFAULT_MODE: from Python 3.12 on tasks run while they are created, so the screen of that mode would be
        # mounted before it is on the stack, and its widgets ask the app for its screen. Other places are mounted over
        # the previous place; this one over Textual's own empty screen.
        await self.switch_mode(FIRST_PLACE)
        # The first screen is painted before any store is touched. The timer is for a callback that never comes: it
        # belongs to the screen in front, and is lost with it where that is the palette, opened and closed meanwhile.
        self.call_after_refresh(self._run_session_once)
        if self.config.outdated_filters:
            self.call_after_refresh(self._rewrite_filters)
        self.set_timer(BEGIN_SECONDS, self._run_session_once)

    @work(group="filters", exit_on_error=False)
    async def _rewrite_filters(self) -> None:
        # In a thread, because the disk may be slow.
        rewritten, note = await asyncio.to_thread(rewrite_outdated, self.config)
        self.config = replace(self.config, outdated_filters=rewritten.outdated_filters)
        if (place := self._place_in_front) is not None:
            place.say(note, severity="waiting")

    def _theme_chosen(self, theme: str) -> None:
        if self.config.path is not None and theme != self.config.theme:
            try:
                set_value(self.config.path, "ui.theme", theme)
            except (VestigeError, OSError) as error:
                self._say_error(error)

    # The session

    def _run_session_once(self) -> None:
        if self._session_worker is None:
            self._session_worker = self._run_session()

    @work(group="session", exit_on_error=False)
    async def _run_session(self) -> None:
        await self.session.run()

    def _handle_exception(self, error: Exception) -> None:
        # Textual's own method, called with every exception that ends the app.
        log.critical("Uncaught exception in the console", exc_info=error)
        super()._handle_exception(error)

    def _show_event(self, event: SessionEvent) -> None:
        """Tell the places, or the user, what has happened in the session."""
        place = self._place_in_front
        match event:
            case FrameChanged():
                self.frame_changed.publish(None)
            case StoreChanged():
                self.store_changed.publish(None)
            case OutageEnded(error):
                self.outage_ended.publish(error)
            case Reported(text, severity, yields) if place is not None:
                if not (yields and place.complains):
                    place.say(text, severity=severity)
            case OutageBegan(error) if place is not None:
                if place.is_mounted and not place.complains:
                    place.say_error(error)
            case Failed(error) | StoreLost(error):
                self._say_error(error)

    @property
    def _place_in_front(self) -> Place | None:
        """The place on the screen, or behind its dialogs; None once the console closes."""
        place = next(iter(self.screen_stack), None)
        return place if isinstance(place, Place) else None

    def _say_error(self, error: BaseException) -> None:
        if (place := self._place_in_front) is not None:
            place.say_error(error)

    async def _confirm_creation(self, error: VestigeError) -> bool:
        # The sentence names the other ways to go on, so it is wrapped and never cut.
        rows, notes = [self.session.shown_url], [error.message]
        return await self.push_screen_wait(Confirm("Create a new memory store here?", rows, verb="create", notes=notes))

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Show the failure of a worker that no place has started."""
        if event.state is WorkerState.ERROR and event.worker.error is not None:
            self._say_error(event.worker.error)

    # The terminal

    @contextmanager
    def suspend(self) -> Iterator[None]:
        """Lend the terminal, and take it back and repaint it however the body ends. Keys typed meanwhile are dropped.

        Textual's own method does not take it back after an exception.
        """
        driver = self._driver
        if driver is None or not driver.can_suspend or self._lent:
            raise SuspendNotSupported("This terminal cannot be handed to another program.")
        self._suspend_signal()
        driver.suspend_application_mode()
        self._lent = True
        try:
            with driver.no_automatic_restart():
                yield
        finally:
            self._lent = False
            if not self._exit:
                driver.resume_application_mode()
                self._resume_signal()
                self.refresh(layout=True)

    async def on_event(self, event: events.Event) -> None:
        if self._lent and isinstance(event, (events.Key, events.Paste)):
            return
        if isinstance(event, events.Paste) and not event.is_forwarded and isinstance(self.focused, Input):
            # Textual's input takes the first line alone.
            event = events.Paste(typed(event.text))
        await super().on_event(event)

    @property
    def clipboard(self) -> str:
        """The text that was copied last, for an input as one line."""
        text = super().clipboard
        return typed(text) if isinstance(self.focused, Input) else text

    def copy_to_clipboard(self, text: str) -> None:
        """Copy a text, and say how; Textual calls this for selected text."""
        self._copy(text)

    @work(group="copy", exclusive=True, exit_on_error=False)
    async def _copy(self, text: str) -> None:
        sentence = await self.copy(text, "the selected text")
        if (place := self._place_in_front) is not None:
            place.say(sentence, severity="quiet")

    async def copy(self, text: str, subject: str, *, instead: str = "") -> str:
        """Copy a text, also for inputs of the console; return the sentence on it.

        Raises Refused for a text that is too long; ``instead`` is the command that writes a file.
        """
        self._clipboard = text
        return (await self._clipboard_of_terminal.copy(text, instead=instead)).sentence(subject)

    def _write_to_terminal(self, sequence: str) -> None:
        if self._driver is not None:
            self._driver.write(sequence)

    def action_suspend_console(self) -> None:
        """Stop the console, as a job of the shell."""
        if isinstance(self._driver, TerminalDriver):
            self._driver.stop_process(group=True)

    # Commands

    def get_key_display(self, binding: Binding) -> str:
        return key_display(binding)

    async def action_interrupt(self) -> None:
        """Leave the key to the widget or screen that copies a selected text; else quit, if pressed again soon."""
        if self._is_text_selected():
            raise SkipAction
        if self._end_quit_hint is not None:
            await self.action_quit()
            return
        screen = self.screen
        if isinstance(screen, CommandScreen | Dialog):
            key = Binding(self.config.keys.get(Interrupt.id, Interrupt.key).partition(",")[0], Interrupt.action)
            hint = screen.hint(f"Press {self.get_key_display(key)} again to quit.")
            self._end_quit_hint = partial(self._withdraw_quit_hint, screen, hint)
            self.set_timer(QUIT_AGAIN_SECONDS, self._end_quit_hint)

    def _withdraw_quit_hint(self, screen: CommandScreen | Dialog[Any], hint: Notice) -> None:
        self._end_quit_hint = None
        screen.withdraw_hint(hint)

    def _is_text_selected(self) -> bool:
        if isinstance(self.focused, Input | TextArea) and self.focused.selected_text:
            return True
        return bool(self.screen.get_selected_text())

    def action_show_journal(self) -> None:
        """Open the journal over the screen in front, unless it is that screen."""
        from vestige_tui.tui.journal.page import JournalScreen

        if not isinstance(self.screen, JournalScreen):
            self.push_screen(JournalScreen(self.session.origin))

    def action_command_palette(self) -> None:
        """Open the palette; close help first, so that it lists the commands of the place."""
        if isinstance(self.screen, HelpScreen):
            self.pop_screen()
        super().action_command_palette()

    async def action_quit(self) -> None:
        """Quit; a store that is slow to close is announced after LEAVING_SECONDS."""
        if not self.is_headless:
            asyncio.get_running_loop().call_later(LEAVING_SECONDS, self._say_leaving)
        await super().action_quit()

    def _say_leaving(self) -> None:
        # Textual no longer paints, so write to the terminal itself.
        if (terminal := sys.__stderr__) is not None:
            terminal.write(f"\x1b[{self.size.height};1H\x1b[0m\x1b[2K Closing the store; jobs keep running.")
            terminal.flush()

    async def on_unmount(self) -> None:
        # Wait until the session has closed its stores: the end of the loop would cut that short.
        worker = self._session_worker
        if worker is not None:
            if not worker.is_cancelled:
                worker.cancel()
            with suppress(WorkerError):
                await worker.wait()
        self.session.embedders.close()


def run_console(config: Config, store_url: str, *, read_only: bool = False, create_confirmed: bool = False) -> int:
    """Run the console until the user quits; return the exit status. Raises ConfigError for an unknown key or theme."""
    check_keys(config, default_keys())
    check_theme(config, themes())
    app = VestigeApp(config, store_url, read_only=read_only, create_confirmed=create_confirmed)
    app.run()
    for sentence in app.last_words:
        with suppress(OSError):
            print(encodable(plain(sentence), encoding_of(sys.stderr)), file=sys.stderr, flush=True)
    return app.return_code or 0
