"""What the six places have in common: the frame, the store they are given, and how they say what happened."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.signal import Signal
from textual.timer import Timer
from textual.worker import Worker, WorkerState

from vestige_tui.core.errors import Cancelled, StoreMissing, Unavailable, Unsure, VestigeError
from vestige_tui.core.text import plain, redact
from vestige_tui.tui.commands import (
    EVERYWHERE,
    PLACES,
    Command,
    GoTo,
    Quit,
    Refresh,
    ShowErrorDetails,
    UndoChange,
    bindings,
)
from vestige_tui.tui.dialogs.help import HelpScreen
from vestige_tui.tui.dialogs.modals import Message
from vestige_tui.tui.filters.saved import Configured
from vestige_tui.tui.widgets.empty import Empty
from vestige_tui.tui.widgets.header import Badge, Facts, Header
from vestige_tui.tui.widgets.key_line import KeyLine
from vestige_tui.tui.widgets.status_line import Said, Severity, StatusLine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from textual.widget import Widget

    from vestige_tui.core.jobs import Job
    from vestige_tui.embedding.models import EmbedderSource
    from vestige_tui.store.store import Store

WITHOUT_A_STORE = {command.action.partition("(")[0] for command in EVERYWHERE}
"""What can be done in a place also while no store is open."""


@runtime_checkable
class Console(Protocol):
    """What a place expects of its app."""

    store: Store | None
    """The open store, None until it is open."""
    facts: Facts
    """What the first line shows."""
    badges: Mapping[str, Badge]
    """What stands beside the places."""
    store_changed: Signal[None]
    """Published when the store was opened, or changed by us or by another process."""
    frame_changed: Signal[None]
    """Published when ``facts``, ``badges``, ``jobs`` or ``banner`` were replaced."""
    jobs: tuple[Job, ...]
    """Every job of every store that is watched."""
    banner: str
    """What the person should know about the model, empty where all is well."""
    embedders: EmbedderSource
    """What makes the vectors of this console."""
    refused: VestigeError | None
    """Why the store could not be opened; None once it is, and before that is known."""

    def open_again(self) -> None:
        """Try at once to open the store that could not be opened."""
        ...

    @property
    def urls(self) -> tuple[str, ...]:
        """Stores known to this console, with the passwords that no ledger holds: its own, and those typed since."""
        ...

    def remember_url(self, url: str) -> None:
        """Know the password in a URL that was typed, for as long as this console runs."""
        ...

    def prepare_model(self) -> None:
        """Look again which model the store needs, and load it."""
        ...

    def note_change(self) -> None:
        """Something was written from this console: look at once."""
        ...


class Place(Screen[None]):
    """One of the six places. A subclass names its ``GO_TO`` command and HELP, composes ``compose_body`` and refreshes.

    ``refresh_place`` runs when the place is first shown, when it is shown again, and when the store changed while it is
    shown; while hidden it rests: timers made with ``every`` are paused. A worker started with ``exit_on_error=False``
    that fails becomes one sentence in the status line, its details behind ``!``. Where the store could not be opened,
    its body gives way to the reason.
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
    BINDINGS: ClassVar[list[BindingType]] = bindings(*EVERYWHERE)
    HORIZONTAL_BREAKPOINTS: list[tuple[int, str]] | None = [(0, "-narrow"), (70, "-medium"), (100, "-wide")]  # noqa: RUF012 - Textual declares it so

    def __init__(self) -> None:
        super().__init__(id=self.GO_TO.place)
        self._header = Header(self.GO_TO.place)
        self._status = StatusLine()
        self._refused = Empty(id="refused")
        self._focused_before: Widget | None = None
        self._timers_while_shown: list[Timer] = []
        self._shown = False
        self._stale = False
        self._details = ""
        self._unsure: Said | None = None
        self._complaint: Said | None = None

    # What a subclass says ────────────────────────────────────────────────────────────────────────────────────────

    def compose_body(self) -> ComposeResult:
        """The widgets between header and status line."""
        raise NotImplementedError

    def refresh_place(self) -> None:
        """Ask the store (if it is open) for what this place shows, in a worker; keep what is shown until then."""

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

    @property
    def console(self) -> Console:
        """The app, as far as a place knows it."""
        app = self.app
        assert isinstance(app, Console)
        return app

    @property
    def store(self) -> Store | None:
        """The open store, None until it is open."""
        return self.console.store

    def on_screen_resume(self) -> None:
        self._shown = True
        for timer in self._timers_while_shown:
            timer.resume()
        self._frame_changed(None)
        self._stale = False
        self.refresh_place()

    def set_focus(self, widget: Widget | None, scroll_visible: bool = True, from_app_focus: bool = False) -> None:
        if widget is not None and self.has_class("-refused"):
            # What is out of sight has no keyboard; it gets it once it is back.
            self._focused_before = widget
        else:
            super().set_focus(widget, scroll_visible, from_app_focus)

    def on_screen_suspend(self) -> None:
        self._shown = False
        if self.app.current_mode != self.GO_TO.place and not self.complains:
            # What had just happened has not when somebody comes back; a dialog in front is no leaving.
            self._status.say("")
        for timer in self._timers_while_shown:
            timer.pause()

    def every(self, seconds: float, what: Callable[[], None]) -> None:
        """Call ``what`` every so many seconds, but only while this place is shown."""
        self._timers_while_shown.append(self.set_interval(seconds, what, pause=not self._shown))

    def _store_changed(self, _: None) -> None:
        if self._shown:
            self.refresh_place()

    def _frame_changed(self, _: None) -> None:
        self._header.show(self.console.facts, self.console.badges)
        self._show_refusal(self.console.refused if self.store is None else None)

    def _show_refusal(self, error: VestigeError | None) -> None:
        """Say instead of everything else why no store is open, and what to do about it; None brings all back."""
        if error is not None:
            sentence = redact(plain(str(error)))
            again = "It is tried again every few seconds." if comes_back(error) else ""
            keys = [(self._key_of(Refresh.id, Refresh.key), "try again now")]
            if error.__cause__ is not None:
                self._details = redact("\n\n".join(causes(error)))
                keys.append((self._key_of(ShowErrorDetails.id, "!"), "details"))
            keys.append((self._key_of(Quit.id, Quit.key), "leave"))
            said = "\n".join(filter(None, (sentence, again)))
            self._refused.say(said, *keys, failed="The store could not be opened.")
        refused = error is not None
        if refused == self.has_class("-refused"):
            return
        had_keyboard = self.focused
        if refused:
            self.set_focus(None)
        self.set_class(refused, "-refused")
        self._focused_before = had_keyboard if refused else self._focused_before
        frame = (self._header, self._refused, self._status, *self.query_children(KeyLine))
        for part in self.children:
            if part not in frame:
                # Whatever the place's own rules say of its parts.
                part.styles.display = "none" if refused else None
        self.refresh_bindings()
        if not refused and self._focused_before is not None:
            self.call_after_refresh(self.set_focus, self._focused_before)

    # Saying ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def say(self, text: str, undo: int | None = None, severity: Severity = "done") -> None:
        """Say in one line what happened; with ``undo``, the journal entry, also which key takes it back."""
        hint = f"{self._key_of(UndoChange.id, UndoChange.key)} undo" if undo is not None else ""
        self._status.say(text, hint, severity)

    def say_error(self, error: BaseException) -> None:
        """Say in one sentence what failed, and keep the details for the person who asks."""
        if isinstance(error, Cancelled):
            return
        known = isinstance(error, VestigeError)
        self._details = redact("\n\n".join(causes(error)))
        sentence = plain(str(error)) if known else "Something went wrong here; nothing was lost."
        hint = f"{self._key_of(ShowErrorDetails.id, '!')} details"
        self._status.say(redact(sentence), "" if known and error.__cause__ is None else hint, "bad")
        self._unsure = self._status.said if isinstance(error, Unsure) else None

    def complain(self, error: BaseException) -> None:
        """Say why the store gives no answer, until it does (``answered_again``) or something else is said."""
        if not self._outweighed(error):
            self.say_error(error)
            self._complaint = self._status.said

    def answered_again(self) -> None:
        """Take back what was complained of, if it is still said."""
        if self._complaint is not None and self._status.said == self._complaint:
            self.say("")
        self._complaint = None

    def _outweighed(self, error: BaseException) -> bool:
        """Whether the line tells of a write that may have been saved, which matters more than that reading failed."""
        return isinstance(error, Unavailable) and self._unsure is not None and self._status.said == self._unsure

    @property
    def complains(self) -> bool:
        """Whether its line tells of a failure."""
        return self._status.said[2] == "bad"

    def _key_of(self, id: str, otherwise: str) -> str:
        for _, binding, _, _ in self.active_bindings.values():
            if binding.id == id:
                return self.app.get_key_display(binding)
        return otherwise

    def key_named(self, command: type[Command], *, typing: bool = False) -> str:
        """A key of this command as it is written, also where it is not heard just now.

        With ``typing`` one that is no letter, if it has one: a line that is typed in would take it.
        """
        app = self.app
        set_by = app.config.keys.get(command.id) if isinstance(app, Configured) else None
        keys = (set_by or command.key).split(",")
        key = next((each for each in keys if len(each) > 1), keys[0]) if typing else keys[0]
        display = None if set_by else command.display
        return app.get_key_display(Binding(key, command.action, key_display=display))

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if event.state is WorkerState.ERROR and event.worker.error is not None:
            event.stop()
            if event.worker.group not in ("read", "look") or not self._outweighed(event.worker.error):
                self.say_error(event.worker.error)

    def why_not(self, action: str) -> str:
        """Why a command cannot be given now, as a sentence; empty where it can. Its key then says so."""
        return ""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if self.is_mounted and (self._is_refused(action) or self.why_not(action)):
            return None
        return super().check_action(action, parameters)

    def on_key(self, event: events.Key) -> None:
        active = self.active_bindings.get(event.key)
        if active is None or active.enabled or active.node is not self:
            return
        action = active.binding.action.partition("(")[0]
        if why := "There is no store to do this with." if self._is_refused(action) else self.why_not(action):
            self.say(why, severity="quiet")

    def _is_refused(self, action: str) -> bool:
        return self.has_class("-refused") and action not in WITHOUT_A_STORE

    # Commands ────────────────────────────────────────────────────────────────────────────────────────────────────

    def action_place(self, place: str) -> None:
        self.app.switch_mode(place)

    def action_step_place(self, step: int) -> None:
        places = [command.place for command in PLACES]
        self.action_place(places[(places.index(self.GO_TO.place) + step) % len(places)])

    def action_refresh_place(self) -> None:
        if self.has_class("-refused"):
            self.say("Trying to open the store…", severity="quiet")
            self.console.open_again()
            return
        self.refresh_place()
        self.say("Asked the store again.", severity="quiet")

    def action_show_details(self) -> None:
        if self._details:
            self.app.push_screen(Message("What went wrong", self._details))

    def action_show_help(self) -> None:
        self.app.push_screen(HelpScreen(self.GO_TO.title, self.HELP or self.GO_TO.help, self))

    def action_back(self) -> None:
        """Leave what is open; a place with something to leave overrides this."""
        self._status.say("")


def comes_back(error: VestigeError) -> bool:
    """Whether a store that could not be opened may open by itself later, as a server does that is started again."""
    return isinstance(error, Unavailable) and not isinstance(error, StoreMissing)


def causes(error: BaseException) -> list[str]:
    """Return what went wrong and what caused it, outermost first: the kind, its message, and where it was raised."""
    said: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(said) < 10:
        where = cause.__traceback__
        while where is not None and where.tb_next is not None:
            where = where.tb_next
        code = where.tb_frame.f_code if where is not None else None
        place = (
            f"\n  in {code.co_name}, {PurePath(code.co_filename).name} line {where.tb_lineno}" if code and where else ""
        )
        said.append(f"{type(cause).__name__}: {cause}{place}")
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return said
