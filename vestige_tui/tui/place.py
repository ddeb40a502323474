"""Place: base class of the six places; the frame, the store, the status line and the commands of every place.

Inheritance: CommandScreen (command_screen.py) → Place (here) → FilteredPlace (filtered_place.py) → MemoryPlace
(memory_place.py) → ReadingPlace (reading_place.py). Jobs, Registry and Store derive from Place, Review from
MemoryPlace, Search and Browse from ReadingPlace.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import islice
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.timer import Timer

from vestige_tui.core.errors import Cancelled, TablesChanged, Unavailable, Unreachable, Unsure, VestigeError
from vestige_tui.core.log import chain_of
from vestige_tui.core.text import plain, redact
from vestige_tui.core.waits import wait_sentence
from vestige_tui.tui.command_screen import CommandScreen
from vestige_tui.tui.commands.catalogue import action_names
from vestige_tui.tui.commands.command import Command, bindings
from vestige_tui.tui.commands.everywhere import EVERYWHERE, Leave, Quit, Refresh, ShowErrorDetails
from vestige_tui.tui.commands.memories import RedoChange, UndoChange
from vestige_tui.tui.commands.places import PLACES, GoTo
from vestige_tui.tui.dialogs.modals import Message
from vestige_tui.tui.moments import show_moment
from vestige_tui.tui.notice import Notice, Severity
from vestige_tui.tui.shown_keys import shown_key
from vestige_tui.tui.store_session import comes_back
from vestige_tui.tui.widgets.empty import Empty
from vestige_tui.tui.widgets.header import Header
from vestige_tui.tui.widgets.key_line import KeyLine
from vestige_tui.tui.workers import work

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from textual.widget import Widget

    from vestige_tui.core.memories import Change
    from vestige_tui.core.waits import WaitReport


CANCEL_WAIT = "cancel_wait"
"""Action that breaks off a wait for the store."""

WITHOUT_A_STORE = {CANCEL_WAIT} | action_names(EVERYWHERE)
"""Actions that work in a place while no store is open."""


class Place(CommandScreen):
    """Screen of one of the six places. A subclass sets ``GO_TO`` and ``HELP``, composes ``compose_body`` and refreshes.

    ``refresh_place`` runs when the place is shown, first or again, and when the store changes while it is shown; timers
    made with ``every`` pause while it is hidden. A worker started with ``exit_on_error=False`` that fails becomes one
    sentence in the status line, its details behind ``!``. If the store cannot be opened, the reason replaces the body.
    """

    GO_TO: ClassVar[type[GoTo]]
    DEFAULT_CSS = """
    Place {
        background: $background;
        color: $foreground;
        layout: vertical;
    }

    Place > StatusLine { dock: bottom; margin: 0 0 1 0; }
    Place.-narrow Grade { height: 3; margin: 0; }
    Place > #refused { display: none; }
    Place.-refused > #refused { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings(*EVERYWHERE),
        # The key that goes back, also out of a line: while the store is waited for it cancels that first.
        Binding(Leave.key, CANCEL_WAIT, "cancel", id=Leave.id, show=False, priority=True),
    ]

    def __init__(self) -> None:
        super().__init__(id=self.GO_TO.place)
        self._header = Header(self.GO_TO.place)
        self._refused = Empty(id="refused")
        self._focus_to_restore: Widget | None = None
        self._timers_while_shown: list[Timer] = []
        self._enabling: tuple[bool, bool, datetime | None] | None = None
        """Store open, read-only, and its moment: what the commands were enabled by when the keys were shown last."""
        self._shown = False
        self._stale = False
        self._refusal: VestigeError | None = None
        self._details = ""
        self._complaint: Notice | None = None
        self._wait: WaitReport | None = None
        self._wait_notice: Notice | None = None

    # For subclasses ──────────────────────────────────────────────────────────────────────────────────────────────

    def compose_body(self) -> ComposeResult:
        """Yield the widgets between header and status line."""
        raise NotImplementedError

    def refresh_place(self) -> None:
        """Query the store (if it is open) in a worker and show the answer; keep the old content until then."""

    # Frame ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def compose(self) -> ComposeResult:
        yield self._header
        yield from self.compose_body()
        yield self._refused
        yield self._status
        yield KeyLine()

    def on_mount(self) -> None:
        self.console.store_changed.subscribe(self, self._store_changed)
        self.console.frame_changed.subscribe(self, self._frame_changed)
        self.console.outage_ended.subscribe(self, self._outage_ended)

    @property
    def shown_moment(self) -> datetime | None:
        return None

    @property
    def help_title(self) -> str:
        return self.GO_TO.title

    def on_screen_resume(self) -> None:
        self._shown = True
        for timer in self._timers_while_shown:
            timer.resume()
        self._frame_changed(None)
        self._stale = False
        self.refresh_place()

    def set_focus(self, widget: Widget | None, scroll_visible: bool = True, from_app_focus: bool = False) -> None:
        if widget is not None and self._refusal is not None:
            # A hidden widget takes no focus; it gets it once the body is back.
            self._focus_to_restore = widget
        else:
            super().set_focus(widget, scroll_visible, from_app_focus)

    def on_screen_suspend(self) -> None:
        self._shown = False
        if self.app.current_mode != self.GO_TO.place and not self.complains:
            # The message is stale when the user comes back; a dialog in front does not count as leaving.
            self._status.clear()
        for timer in self._timers_while_shown:
            timer.pause()

    def every(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call ``callback`` every ``seconds``, but only while this place is shown."""
        self._timers_while_shown.append(self.set_interval(seconds, callback, pause=not self._shown))

    def _store_changed(self, _: None) -> None:
        if self._shown:
            self.refresh_place()

    def _frame_changed(self, _: None) -> None:
        session = self.store_session
        self._header.show(session.facts, session.badges)
        enabling = session.store is not None, session.facts.read_only, session.moment
        if enabling != self._enabling:
            self._enabling = enabling
            self.refresh_bindings()
        self._show_refusal(session.refusal if session.store is None else None)
        self._show_wait(session.wait)

    def _show_wait(self, wait: WaitReport | None) -> None:
        """Show the wait for the store, with the key that cancels it, until it is over."""
        before, self._wait = self._wait, wait
        if wait is None:
            self._status.withdraw(self._wait_notice)
            self._wait_notice = None
        elif wait != before and not isinstance(self._status.notice.error, Unsure):
            sentence = wait_sentence(wait, datetime.now(UTC))
            self._wait_notice = self._status.say(sentence, f"{self.key_named(Leave)} cancel", "waiting")

    def _outage_ended(self, outage: VestigeError) -> None:
        """Clear the message of an outage that is over; that a write is unconfirmed stays on view."""
        error = self._status.notice.error
        if error is outage or isinstance(error, Unreachable):
            self._status.clear()

    def _show_refusal(self, error: VestigeError | None) -> None:
        """Replace the body by the reason for which no store is open, with keys; None restores it."""
        if error is not None:
            sentence = redact(plain(str(error)))
            again = "The console retries every few seconds." if comes_back(error) else ""
            keys = [(self._key_of(Refresh.id, Refresh.key), "retry now")]
            if error.__cause__ is not None:
                self._details = redact("\n\n".join(causes(error)))
                keys.append((self._key_of(ShowErrorDetails.id, "!"), "details"))
            keys.append((self._key_of(Quit.id, Quit.key), "quit"))
            text = "\n".join(filter(None, (sentence, again)))
            self._refused.say(text, *keys, failed="The store could not be opened.")
        was_refused, self._refusal = self._refusal is not None, error
        refused = error is not None
        if refused == was_refused:
            return
        focused = self.focused
        if refused:
            # Before the class: a hidden widget loses the focus by itself.
            super().set_focus(None)
        self.set_class(refused, "-refused")
        self._focus_to_restore = focused if refused else self._focus_to_restore
        frame = (self._header, self._refused, self._status, *self.query_children(KeyLine))
        for part in self.children:
            if part not in frame:
                # An inline style overrides the place's own rules.
                part.styles.display = "none" if refused else None
        self.refresh_bindings()
        if not refused and self._focus_to_restore is not None:
            self.call_after_refresh(self.set_focus, self._focus_to_restore)

    # Status line ─────────────────────────────────────────────────────────────────────────────────────────────────

    def say(self, text: str, change: Change | None = None, severity: Severity = "done") -> Notice:
        """Show one sentence in the status line; for a change also the key that undoes it, for an undo that redoes."""
        hint = ""
        if change is not None and change.undone is not None:
            hint = f"{self._key_of(RedoChange.id, RedoChange.key)} redo"
        elif change is not None and (change.undo is not None or change.redone is not None):
            hint = f"{self._key_of(UndoChange.id, UndoChange.key)} undo"
        return self._status.say(text, hint, severity)

    def say_error(self, error: BaseException, hint: str = "") -> None:
        """Show an error as one sentence; keep its details for the key ``!``."""
        if isinstance(error, TablesChanged):
            # The session opens the file again, and tells why.
            return
        if not isinstance(error, Cancelled):
            self._details = redact("\n\n".join(causes(error)))
        has_details = not isinstance(error, VestigeError) or error.__cause__ is not None
        super().say_error(error, hint or (f"{self._key_of(ShowErrorDetails.id, '!')} details" if has_details else ""))

    def complain(self, error: BaseException) -> None:
        """Show that the store does not answer, until ``answered_again`` or another message."""
        if not self._keeps_unconfirmed_write(error):
            self.say_error(error)
            self._complaint = self._status.notice

    def answered_again(self) -> None:
        """Clear the message of ``complain`` if the status line still shows it."""
        self._status.withdraw(self._complaint)
        self._complaint = None

    def _keeps_unconfirmed_write(self, error: BaseException) -> bool:
        """Return True if the status line shows an unconfirmed write, which a failed read must not overwrite."""
        return isinstance(error, Unavailable) and isinstance(self._status.notice.error, Unsure)

    @property
    def complains(self) -> bool:
        """True if the status line shows a failure."""
        return self._status.notice.severity == "bad"

    def _key_of(self, id: str, otherwise: str) -> str:
        return self._keys_of({id: otherwise})[id]

    def _keys_of(self, otherwise: Mapping[str, str]) -> dict[str, str]:
        """Return the displayed keys of commands by id, of those without an active key what is given for them.

        All are looked up at once: each look-up of the active keys runs check_action for every binding.
        """
        keys = dict(otherwise)
        for _, binding, _, _ in reversed(self.active_bindings.values()):
            if binding.id in keys:
                keys[binding.id] = self.app.get_key_display(binding)
        return keys

    def key_named(self, command: type[Command], *, typing: bool = False) -> str:
        """Return a key of this command as it is displayed, even if it is not active now.

        With ``typing`` return a key without a character, if there is one: an input line would take a letter.
        """
        return shown_key(self.app, command, typing=typing)

    def worker_failed(self, group: str, error: BaseException) -> None:
        if group not in ("read", "look") or not self._keeps_unconfirmed_write(error):
            self.say_error(error)

    def reason_against(self, action: str) -> str:
        return "No store is open." if self._is_refused(action) else self.why_not(action)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == CANCEL_WAIT:
            return self._wait is not None
        return super().check_action(action, parameters)

    def _is_refused(self, action: str) -> bool:
        return self._refusal is not None and action not in WITHOUT_A_STORE

    # Commands ────────────────────────────────────────────────────────────────────────────────────────────────────

    def action_step_place(self, step: int) -> None:
        places = [command.place for command in PLACES]
        self.action_place(places[(places.index(self.GO_TO.place) + step) % len(places)])

    def action_refresh_place(self) -> None:
        if self._refusal is not None:
            self.say("Opening the store…", severity="quiet")
            self.store_session.open_again()
            return
        self.refresh_place()
        self.say("Refreshed.", severity="quiet")

    async def action_show_domains(self) -> None:
        await self.app.run_action("app.show_domains")

    async def action_show_users(self) -> None:
        await self.app.run_action("app.show_users")

    def action_show_details(self) -> None:
        if self._details:
            self.app.push_screen(Message("Error details", self._details))

    @work(group="offer", exclusive=True, exit_on_error=False)
    async def run_offer(self, offer: Callable[[], Awaitable[None]]) -> None:
        """Run an entry of the palette that waits; its error is shown here."""
        await offer()

    def action_cancel_wait(self) -> None:
        """Break off the waits for the store; a write that may have been saved is said to be by its own error."""
        self.store_session.cancel_waits()
        self.say("Cancelled; no longer waiting for the store.", severity="quiet")

    def action_back(self) -> None:
        """Clear the status line, or return from a past moment; a place with something to close overrides this."""
        if not self._status.notice.text and self.store_session.moment is not None:
            show_moment(self, None)
        else:
            self._status.clear()

    @property
    def is_page_open(self) -> bool:
        """True while a page of this place, such as a card in a narrow terminal, has replaced its list."""
        return False

    def action_close(self) -> None:
        """Close the page that has replaced the list; else show the key that quits, for a letter must not quit."""
        if self.is_page_open:
            self.action_back()
        else:
            self.say(f"{self._key_of(Quit.id, Quit.key)} quits; jobs keep running.", severity="quiet")


def causes(error: BaseException) -> list[str]:
    """Return the chain of an error, outermost first: type, message, and the function and line that raised it."""
    lines: list[str] = []
    for cause in islice(chain_of(error), 10):
        trace = cause.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        code = trace.tb_frame.f_code if trace is not None else None
        place = (
            f"\n  in {code.co_name}, {PurePath(code.co_filename).name} line {trace.tb_lineno}" if code and trace else ""
        )
        lines.append(f"{type(cause).__name__}: {cause}{place}")
    return lines
