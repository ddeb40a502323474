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
from textual._context import active_message_pump
from textual.actions import SkipAction
from textual.app import SuspendNotSupported
from textual.binding import Binding, BindingType
from textual.css.query import NoMatches
from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver
from textual.screen import ModalScreen, Screen
from textual.signal import Signal
from textual.widget import MountError, Widget
from textual.widgets import Input, TextArea
from textual.worker import Worker, WorkerError, WorkerState

from vestige_tui.config.directories import default_path, state_dir
from vestige_tui.config.keymap import check_keys
from vestige_tui.config.reader import check_theme, load_config
from vestige_tui.config.saved_filters import rewrite_outdated
from vestige_tui.config.search_history import search_history
from vestige_tui.config.settings import Config
from vestige_tui.config.writer import set_value
from vestige_tui.core.encodings import encodable, encoding_of
from vestige_tui.core.errors import Refused, VestigeError
from vestige_tui.core.text import below_home, plain, typed
from vestige_tui.core.widths import load_table
from vestige_tui.presenters.accounts import NO_ACCOUNTS, viewing_sentence
from vestige_tui.presenters.stores import location
from vestige_tui.tui.clipboard import Clipboard
from vestige_tui.tui.command_screen import CommandScreen
from vestige_tui.tui.commands.catalogue import default_keys
from vestige_tui.tui.commands.command import bindings, key_display
from vestige_tui.tui.commands.everywhere import Interrupt, OpenPalette, OpenStore, Quit, SuspendConsole
from vestige_tui.tui.commands.journal import ShowJournal
from vestige_tui.tui.commands.moments import CompareMoments, EarlierDecision, LaterDecision, ShowMoment
from vestige_tui.tui.commands.palette import PaletteEntry, entries_of
from vestige_tui.tui.console_app import ConsoleApp
from vestige_tui.tui.console_state import ConsoleState
from vestige_tui.tui.dialogs.help import HelpScreen
from vestige_tui.tui.dialogs.modals import Confirm, Dialog
from vestige_tui.tui.moments import choose_moment, step_moment
from vestige_tui.tui.notice import Notice
from vestige_tui.tui.place import Place
from vestige_tui.tui.removal import is_being_removed
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
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from vestige_tui.core.backups import RestorePlan
    from vestige_tui.core.filter_syntax import Chip
    from vestige_tui.embedding.embedder_source import EmbedderSource
    from vestige_tui.store.context import Clock

log = logging.getLogger(__name__)

LEAVING_SECONDS = 0.5
QUIT_AGAIN_SECONDS = 2.0
"""Time in which a second ctrl+c quits."""
BETWEEN = "between"
"""Mode in front while the places are made anew for another store."""
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


class VestigeApp(ConsoleApp, inherit_bindings=False):
    """Textual app of the console: it owns the session of the store; places act on the store."""

    TITLE = "vestige"
    ENABLE_COMMAND_PALETTE = False
    """Textual's own is replaced by ``Palette``."""
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {  # imported when first visited
        "search": _search,
        "browse": _browse,
        "review": _review,
        "jobs": _jobs,
        "registry": _registry,
        "store": _store,
    }
    BINDINGS: ClassVar[list[BindingType]] = bindings(
        Quit,
        Interrupt,
        SuspendConsole,
        OpenPalette,
        OpenStore,
        ShowJournal,
        ShowMoment,
        EarlierDecision,
        LaterDecision,
        CompareMoments,
    )

    def __init__(
        self,
        config: Config,
        store_url: str,
        *,
        read_only: bool = False,
        viewer: str | None = None,
        create_confirmed: bool = False,
        embedders: EmbedderSource | None = None,
        clock: Clock | None = None,
        state: ConsoleState | None = None,
        moment: datetime | None = None,
    ) -> None:
        load_table()
        super().__init__()
        self.stylesheet = CachedStylesheet(variables=self.get_css_variables())
        self.config = config
        self._said_leaving = False
        self._candidates: list[StoreSession] = []
        """Every session of this console, also those of stores that were opened and then not used."""
        self.state = state or ConsoleState(None)
        """What the console remembers; nothing unless it is given."""
        self._clock = clock
        self.session = self.new_session(
            store_url,
            read_only=read_only,
            viewer=viewer,
            create_confirmed=create_confirmed,
            embedders=embedders,
            moment=moment,
        )
        self._noted_url = ""
        self.store_changed: Signal[None] = Signal(self, "store_changed")
        self.frame_changed: Signal[None] = Signal(self, "frame_changed")
        self.outage_ended: Signal[VestigeError] = Signal(self, "outage_ended")
        self._session_worker: Worker[None] | None = None
        self._ending_sessions: list[Worker[None]] = []
        """Sessions of stores that this console had open before."""
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
        if (place := self.place_in_front) is not None:
            place.say(note, severity="waiting")

    def _theme_chosen(self, theme: str) -> None:
        if theme == self.config.theme:
            return
        path = self.config.path or (default_path() if self.state.is_kept else None)
        until = "until the console closes"
        if path is not None:
            try:
                set_value(path, "ui.theme", theme)
            except (VestigeError, OSError) as error:
                self._say_error(error)
                return
            until = f"saved in {plain(below_home(str(path)))}"
        self.config = replace(self.config, theme=theme, path=path)
        if (place := self.place_in_front) is not None:
            place.say(f"The theme is {theme}, {until}.", severity="quiet")

    def read_settings(self, path: Path) -> None:
        """Read theme and saved filters again from the settings file. Raises ConfigError."""
        settings = load_config(path)
        check_theme(settings, themes())
        self.config = replace(self.config, filters=settings.filters, theme=settings.theme, path=path)
        self.theme = settings.theme

    # The session

    def new_session(self, url: str, **options: Any) -> StoreSession:
        """Return a session of a store; its events are shown once it is the session of the console."""

        def emit(event: SessionEvent) -> None:
            if session is self.session:
                self._show_event(event)

        async def may_create(error: VestigeError) -> bool:
            # The sentence names the other ways to go on, so it is wrapped and never cut.
            rows, notes = [session.shown_url], [error.message]
            question = Confirm("Create a new memory store here?", rows, verb="create", notes=notes)
            return await self.push_screen_wait(question)

        session = StoreSession(self.config, url, emit=emit, may_create=may_create, clock=self._clock, **options)
        self._candidates.append(session)
        return session

    def _run_session_once(self) -> None:
        if self._session_worker is None:
            self._session_worker = self._run_session()

    @work(group="session", exit_on_error=False)
    async def _run_session(self) -> None:
        await self.session.run()

    def _handle_exception(self, error: Exception) -> None:
        # Textual's own method, called with every exception that ends the app.
        widget = active_message_pump.get(None)
        if isinstance(error, NoMatches | MountError) and isinstance(widget, Widget) and is_being_removed(widget):
            log.debug("Ignored in a widget that is being removed: %s", error)
            return
        log.critical("Uncaught exception in the console", exc_info=error)
        super()._handle_exception(error)

    def _show_event(self, event: SessionEvent) -> None:
        """Tell the places, or the user, what has happened in the session."""
        place = self.place_in_front
        match event:
            case FrameChanged():
                self.frame_changed.publish(None)
            case StoreChanged():
                self.store_changed.publish(None)
                self._note_store()
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

    def _say_error(self, error: BaseException) -> None:
        if (place := self.place_in_front) is not None:
            place.say_error(error)

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
            raise SuspendNotSupported("This terminal cannot run another program, such as an editor.")
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
        if (place := self.place_in_front) is not None:
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

    def action_show_domains(self) -> None:
        """Open the page of domains over the place in front."""
        from vestige_tui.tui.domains.page import DomainsScreen

        self.push_screen(DomainsScreen())

    def action_show_users(self) -> None:
        """Open the page of users over the place in front."""
        from vestige_tui.tui.users.page import UsersScreen

        self.push_screen(UsersScreen())

    def action_show_journal(self) -> None:
        """Open the journal over the screen in front, unless it is that screen."""
        from vestige_tui.tui.journal.page import JournalScreen

        if not isinstance(self.screen, JournalScreen):
            self.push_screen(JournalScreen(self.session.origin))

    @work(group="moment", exclusive=True, exit_on_error=False)
    async def action_show_moment(self) -> None:
        """Ask for the moment at which the store is shown."""
        if isinstance(self.screen, CommandScreen):
            await choose_moment(self.screen)

    @work(group="moment", exclusive=True, exit_on_error=False)
    async def action_step_moment(self, step: int) -> None:
        """Show the store as of the decision before the present moment, or after it."""
        if isinstance(self.screen, CommandScreen):
            await step_moment(self.screen, step)

    def action_compare_moments(self) -> None:
        """Open the comparison of two moments over the screen in front, unless it is that screen."""
        from vestige_tui.tui.compare.page import ComparisonScreen

        if not isinstance(self.screen, ComparisonScreen):
            self.push_screen(ComparisonScreen())

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("open_palette", "open_store") and isinstance(self.screen, Dialog):
            # A dialog has the keys; help alone gives way.
            return True if isinstance(self.screen, HelpScreen) else None
        return super().check_action(action, parameters)

    @work(group="palette", exclusive=True, exit_on_error=False)
    async def action_open_palette(self) -> None:
        """Open the palette, and run the entry chosen; close help first, so that it lists the commands of the place."""
        if isinstance(self.screen, HelpScreen):
            self.pop_screen()
        from vestige_tui.tui.dialogs.palette import Palette

        if (entry := await self.push_screen_wait(Palette(entries_of(self.screen)))) is not None:
            # Later, when the place is in front again.
            self.call_later(entry.run)

    def offers(self) -> Iterator[PaletteEntry]:
        """Yield the entries of the console for the palette."""
        from vestige_tui.tui.console_offers import console_offers

        return console_offers(self)

    # Stores

    def _note_store(self) -> None:
        """Remember the open store among the recent ones, once."""
        store = self.session.store
        if store is not None and store.location != self._noted_url:
            self._noted_url = store.location
            self._write_state(partial(self.state.note_store, store.location))

    @work(group="state", exit_on_error=False)
    async def _write_state(self, write: Callable[[], None]) -> None:
        # In a thread, because the disk may be slow.
        await asyncio.to_thread(write)

    @work(group="open", exclusive=True, exit_on_error=False)
    async def action_open_store(self, url: str = "") -> None:
        """Go over to the store at a URL, or ask for one; a store that cannot be opened leaves the present one open."""
        from vestige_tui.tui.another_store import chosen_session, session_at

        if isinstance(self.screen, HelpScreen):
            self.pop_screen()
        if (session := await (session_at(self, url) if url else chosen_session(self))) is not None:
            await self._go_over_to(session)

    @work(group="open", exclusive=True, exit_on_error=False)
    async def action_adopt(self) -> None:
        """Adopt the open file of a Vestige server after a preview, and open it again for writing."""
        from vestige_tui.tui.adoption import ask_and_adopt
        from vestige_tui.tui.another_store import session_again

        store = self.session.store
        if store is None or not store.maintenance.adoptable or isinstance(self.screen, ModalScreen):
            return
        if done := await ask_and_adopt(self, store):
            await self._go_over_to(await session_again(self), done)

    @work(group="open", exclusive=True, exit_on_error=False)
    async def action_restore(self, plan: RestorePlan) -> None:
        """Restore a backup into the open store, as the user has agreed, and open it again."""
        from vestige_tui.tui.another_store import refuse_while_writing, session_again
        from vestige_tui.tui.backups import restored

        place = self.place_in_front
        refuse_while_writing(self)
        if place is None:
            return
        if self.session.store is not None and self.session.store.file is not None:
            # A file is replaced only while nothing has it open.
            await self._close_session()
        note, failure = "", None
        try:
            note = await restored(place, plan)
        except VestigeError as error:
            failure = error
        await self._go_over_to(await session_again(self), note)
        if failure is not None and (place := self.place_in_front) is not None:
            place.say_error(failure)

    async def _close_session(self) -> None:
        """End the session of the open store, and wait until the store is closed."""
        if (worker := self._session_worker) is not None:
            worker.cancel()
            with suppress(WorkerError):
                await worker.wait()

    @work(group="pick", exclusive=True, exit_on_error=False)
    async def open_filters(self, place: str, chips: Sequence[Chip]) -> None:
        """Go to a place that filters, and show there what passes these filters."""
        from vestige_tui.tui.filtered_place import FilteredPlace

        await self.switch_mode(place)
        if isinstance(screen := self.screen, FilteredPlace):
            screen.call_after_refresh(screen.set_filters, chips)

    @work(group="open", exclusive=True, exit_on_error=False)
    async def action_view_as(self, user: str | None = None) -> None:
        """Open the store again as a user, asked for if None; an empty one is everybody."""
        from vestige_tui.tui.another_store import chosen_viewer, session_viewed

        store = self.session.store
        if store is None or isinstance(self.screen, ModalScreen):
            return
        if not store.accounts.are_kept:
            raise Refused(NO_ACCOUNTS)
        if user is None and (user := await chosen_viewer(self, store)) is None:
            return
        session = await session_viewed(self, user or None)
        await self._go_over_to(session, viewing_sentence(session.store_viewer))

    async def _go_over_to(self, session: StoreSession, note: str = "") -> None:
        """Make a connected session that of the console: new places, in the same place, and the old store closed.

        ``note``: what is said then.
        """
        mode, before = self.current_mode, self._session_worker
        self.session = session
        # Before anything is awaited: if the console ends meanwhile, it closes both stores.
        self._session_worker = self._run_session()
        if before is not None:
            before.cancel()
            self._ending_sessions.append(before)
        with self.batch_update():
            # A mode cannot be removed while it is in front.
            self.add_mode(BETWEEN, Screen)
            await self.switch_mode(BETWEEN)
            for each, screen in self.MODES.items():
                await self.remove_mode(each)
                self.add_mode(each, screen)
            await self.switch_mode(mode if mode in self.MODES else FIRST_PLACE)
            await self.remove_mode(BETWEEN)
        if (place := self.place_in_front) is not None:
            place.say(note or f"Opened {location(session.shown_url)}.")

    async def action_quit(self) -> None:
        """Quit; a store that is slow to close is announced after LEAVING_SECONDS."""
        if not self.is_headless:
            asyncio.get_running_loop().call_later(LEAVING_SECONDS, self._say_leaving)
        await super().action_quit()

    def _say_leaving(self) -> None:
        # Textual no longer paints, so write to the terminal itself.
        self._said_leaving = True
        if (terminal := sys.__stderr__) is not None:
            terminal.write(f"\x1b[{self.size.height};1H\x1b[0m\x1b[2K Closing the store; jobs keep running.")
            terminal.flush()

    async def on_unmount(self) -> None:
        # Wait until the session has closed its stores: the end of the loop would cut that short.
        for worker in (*self._ending_sessions, self._session_worker):
            if worker is not None:
                if not worker.is_cancelled:
                    worker.cancel()
                with suppress(WorkerError):
                    await worker.wait()
        for session in self._candidates:
            await session.disconnect()
        if self._said_leaving and (terminal := sys.__stderr__) is not None:
            terminal.write("\r\x1b[2K")
            terminal.flush()
        self.session.embedders.close()


def run_console(
    config: Config,
    store_url: str,
    *,
    read_only: bool = False,
    viewer: str | None = None,
    create_confirmed: bool = False,
    moment: datetime | None = None,
) -> int:
    """Run the console until the user quits; return the exit status. Raises ConfigError for an unknown key or theme.

    ``viewer`` is the user as whom it shows the store, ``moment`` the past moment at which it shows it first.
    """
    check_keys(config, default_keys())
    check_theme(config, themes())
    state = ConsoleState(state_dir())
    app = VestigeApp(
        config,
        store_url,
        read_only=read_only,
        viewer=viewer,
        create_confirmed=create_confirmed,
        state=state,
        moment=moment,
    )
    app.run()
    for sentence in app.last_words:
        with suppress(OSError):
            print(encodable(plain(sentence), encoding_of(sys.stderr)), file=sys.stderr, flush=True)
    return app.return_code or 0
