"""A sheet that leads through steps: each asks one thing, escape goes back to the one before, from the first one out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import PurePath
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

from textual import events
from textual.app import App, ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static
from textual.worker import Worker, WorkerState

from vestige_tui.core.errors import Cancelled, VestigeError
from vestige_tui.core.text import plain, redact
from vestige_tui.tui.dialogs.modals import Dialog
from vestige_tui.tui.widgets.status_line import STYLES, Severity
from vestige_tui.tui.workers import work

T = TypeVar("T")

ShowJob: TypeAlias = Callable[[App[Any], str, str], Awaitable[None]]
"""Goes to the Jobs place, with the cursor on the job with this id, and says there what was done."""


class WizardStep(Vertical):
    """One step. ``word`` is its place in the trail; ``keys`` are told in the last line."""

    word: str = ""
    keys: Sequence[tuple[str, str]] = (("enter", "go on"),)

    def begin(self) -> None:
        """The step comes to the front, for the first time or again: give the keyboard to what is asked."""

    def say(self, said: Content) -> bool:
        """Show what goes on or failed beside what it is about; False where a step has no place for it."""
        return False


class Wizard(Dialog[T | None], Generic[T]):
    """Answers what its last step made, None where the person left. Nothing is made before that step.

    A step goes on with ``go``; what takes time it does with ``busy``, which says so, and what fails there is said as
    one sentence while the step stays. Escape stops what is under way, then goes back. Enter does what a step is for; a
    step that wants another key for it says so.
    """

    CSS_PATH: ClassVar[list[str | PurePath]] = ["wizard.tcss"]
    trail: ClassVar[Sequence[str]] = ()
    """The words of the steps, in order."""

    def __init__(self, title: str) -> None:
        super().__init__(title, ())
        self._steps: list[WizardStep] = []
        self._under_way: Worker[None] | None = None

    def first(self) -> WizardStep:
        """The step that it begins with."""
        raise NotImplementedError

    def compose_body(self) -> ComposeResult:
        yield Static(id="wizard-trail", markup=False)
        yield Vertical(id="wizard-steps")
        yield Static(id="wizard-said", markup=False)

    async def on_mount(self) -> None:
        await self._show(self.first())

    @property
    def step(self) -> WizardStep:
        """The step in front."""
        return self._steps[-1]

    async def go(self, step: WizardStep) -> None:
        """Go on to another step; the one left keeps what was typed into it."""
        self.say("")
        self.step.display = False
        await self._show(step)

    @work(group="wizard-go", exit_on_error=False)
    async def go_on(self, step: WizardStep) -> None:
        """The same, from where nothing can be waited for."""
        await self.go(step)

    async def _show(self, step: WizardStep) -> None:
        self._steps.append(step)
        await self.query_one("#wizard-steps").mount(step)
        self._come(step)

    def _come(self, step: WizardStep) -> None:
        step.display = True
        self.say("")
        self.redraw()
        step.begin()

    def redraw(self) -> None:
        """Show trail and keys anew."""
        self.query_one("#wizard-trail", Static).update(self._trail())
        self.query_one("#sheet-keys", Static).update(self._key_line())

    def _trail(self) -> Content:
        at = self.trail.index(self.step.word) if self.step.word in self.trail else 0
        pieces: list[tuple[str, str]] = []
        for place, word in enumerate(self.trail):
            style = "$accent bold" if place == at else "$text-muted" if place < at else "$text-disabled"
            pieces += [(f"{'► ' if place == at else ''}{word}", style), ("   ", "")]
        return Content.assemble(*pieces[:-1])

    def _key_line(self) -> Content:
        if not self._steps:
            return Content("")
        leave = "stop" if self.is_busy else "back" if len(self._steps) > 1 else "leave"
        keys = [*(() if self.is_busy else self.step.keys), ("esc", leave)]
        pieces = [((f"{key} ", "$accent bold"), (what, "$text-muted")) for key, what in keys]
        if not self.is_busy:
            # The one thing to do next stands out from what else can be done.
            key, what = keys[0]
            pieces[0] = ((f" {key} ", "$background on $accent bold"), (f" {what}", "$text bold"))
        return Content("   ").join(Content.assemble(*piece) for piece in pieces)

    def on_key(self, event: events.Key) -> None:
        wanted = self.step.keys[0] if self._steps and self.step.keys else ("enter", "")
        if event.key == "enter" and wanted[0] != "enter" and not self.is_busy:
            event.stop()
            self.say(f"Press {wanted[0]} to {wanted[1]}; enter alone begins nothing.", "waiting")

    def say(self, text: str, severity: Severity = "quiet") -> None:
        """Say in one sentence what goes on here, or what failed."""
        glyph, style = STYLES[severity]
        said = Content.styled(glyph.lstrip() + plain(text), style) if text else Content("")
        beside = bool(self._steps) and self.step.say(said)
        self.query_one("#wizard-said", Static).update(Content("") if beside else said)

    # What takes time

    @property
    def is_busy(self) -> bool:
        """Whether something is under way that this step waits for."""
        return self._under_way is not None and not self._under_way.is_finished

    def busy(self, said: str, what: Callable[[], Awaitable[None]]) -> None:
        """Do something that takes time, and say so meanwhile; again while it is under way does nothing."""
        if self.is_busy:
            return
        self.say(f"◌ {said}")
        self._under_way = self._do(what)
        self.redraw()

    @work(group="wizard", exit_on_error=False)
    async def _do(self, what: Callable[[], Awaitable[None]]) -> None:
        await what()

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if event.worker is not self._under_way or not event.worker.is_finished or not self.is_mounted:
            return
        error = event.worker.error if event.state is WorkerState.ERROR else None
        if error is not None:
            event.stop()
            if not isinstance(error, Cancelled):
                known = isinstance(error, VestigeError)
                self.say(redact(str(error)) if known else "Something went wrong here; nothing was begun.", "bad")
        elif event.state is WorkerState.CANCELLED:
            self.say("Stopped.", "waiting")
        self.redraw()

    def action_leave(self) -> None:
        if self.is_busy and self._under_way is not None:
            self._under_way.cancel()
        elif len(self._steps) > 1:
            self._steps.pop().remove()
            self._come(self.step)
        else:
            self.dismiss(None)
