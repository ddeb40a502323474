"""Wizard: a dialog of steps; each asks one thing, escape goes back one step, and from the first one closes it."""

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
from vestige_tui.tui.notice import Severity
from vestige_tui.tui.removal import WhileMounted
from vestige_tui.tui.widgets.status_line import STYLES
from vestige_tui.tui.workers import work

T = TypeVar("T")

ShowJob: TypeAlias = Callable[[App[Any], str, str], Awaitable[None]]
"""Callback (app, job id, sentence) that goes to the Jobs screen, selects the job and shows the sentence."""


class WizardStep(WhileMounted, Vertical):
    """One step. ``word`` is its name in the trail; the last line shows ``keys``, the main one first."""

    word: str = ""
    keys: Sequence[tuple[str, str]] = (("enter", "continue"),)

    def begin(self) -> None:
        """Focus the input of this step; called whenever the step comes to the front."""

    def say(self, content: Content) -> bool:
        """Show progress or failure inside the step; return False if it has no room for it."""
        return False


class Wizard(Dialog[T | None], Generic[T]):
    """Dialog that answers the result of its last step, None if the user cancels; nothing is written before that step.

    Steps advance with ``go`` and run slow work with ``busy``, which shows progress; a failure becomes one sentence and
    the step stays. Escape cancels running work, else goes back. Enter is the main key of a step; a step with another
    main key says so on enter.
    """

    CSS_PATH: ClassVar[list[str | PurePath]] = ["wizard.tcss"]
    trail: ClassVar[Sequence[str]] = ()
    """Words of the steps, in order."""

    def __init__(self, title: str) -> None:
        super().__init__(title, ())
        self._steps: list[WizardStep] = []
        self._running_work: Worker[None] | None = None

    def first(self) -> WizardStep:
        """Return the first step."""
        raise NotImplementedError

    def second(self) -> WizardStep | None:
        """Hook: return the step to begin with if the answer of the first is known; escape goes back to the first."""
        return None

    def compose_body(self) -> ComposeResult:
        yield Static(id="wizard-trail", markup=False)
        yield Vertical(id="wizard-steps")
        yield Static(id="wizard-said", markup=False)

    async def on_mount(self) -> None:
        first, second = self.first(), self.second()
        await self._show(first, in_front=second is None)
        if second is not None:
            await self._show(second)

    @property
    def step(self) -> WizardStep:
        """Step in front."""
        return self._steps[-1]

    async def go(self, step: WizardStep) -> None:
        """Advance to another step; the hidden one keeps its input."""
        self.say("")
        self.step.display = False
        await self._show(step)

    @work(group="wizard-go", exit_on_error=False)
    async def go_on(self, step: WizardStep) -> None:
        """Advance as ``go`` does, from code that cannot await."""
        await self.go(step)

    async def _show(self, step: WizardStep, *, in_front: bool = True) -> None:
        self._steps.append(step)
        step.display = in_front
        await self.query_one("#wizard-steps").mount(step)
        if in_front:
            self._bring_to_front(step)

    def _bring_to_front(self, step: WizardStep) -> None:
        step.display = True
        self.say("")
        self.redraw()
        step.begin()

    def redraw(self) -> None:
        """Redraw trail and keys."""
        self.query_one("#wizard-trail", Static).update(self._trail())
        self.query_one("#sheet-keys", Static).update(self._key_line())

    def _trail(self) -> Content:
        current = self.trail.index(self.step.word) if self.step.word in self.trail else 0
        pieces: list[tuple[str, str]] = []
        for index, word in enumerate(self.trail):
            style = "$accent bold" if index == current else "$text-muted" if index < current else "$text-disabled"
            pieces += [(f"{'► ' if index == current else ''}{word}", style), ("   ", "")]
        return Content.assemble(*pieces[:-1])

    def _key_line(self) -> Content:
        if not self._steps:
            return Content("")
        leave = "stop" if self.is_busy else "back" if len(self._steps) > 1 else "cancel"
        keys = [*(() if self.is_busy else self.step.keys), ("esc", leave)]
        pieces = [((f"{key} ", "$accent bold"), (label, "$text-muted")) for key, label in keys]
        if not self.is_busy:
            # The main key stands out from the others.
            key, label = keys[0]
            pieces[0] = ((f" {key} ", "$background on $accent bold"), (f" {label}", "$text bold"))
        return Content("   ").join(Content.assemble(*piece) for piece in pieces)

    def on_key(self, event: events.Key) -> None:
        main_key = self.step.keys[0] if self._steps and self.step.keys else ("enter", "")
        if event.key == "enter" and main_key[0] != "enter" and not self.is_busy:
            event.stop()
            self.say(f"Press {main_key[0]} to {main_key[1]}; Enter does not start it.", "waiting")

    def say(self, text: str, severity: Severity = "quiet") -> None:
        """Show one sentence of progress or failure, inside the step or below it."""
        glyph, style = STYLES[severity]
        content = Content.styled(glyph.lstrip() + plain(text), style) if text else Content("")
        in_step = bool(self._steps) and self.step.say(content)
        self.query_one("#wizard-said", Static).update(Content("") if in_step else content)

    # Slow work

    @property
    def is_busy(self) -> bool:
        """True while slow work is running."""
        return self._running_work is not None and not self._running_work.is_finished

    def busy(self, sentence: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run slow work in a worker with a sentence of progress; no-op while other work is running."""
        if self.is_busy:
            return
        self.say(f"◌ {sentence}")
        self._running_work = self._run_work(run)
        self.redraw()

    @work(group="wizard", exit_on_error=False)
    async def _run_work(self, run: Callable[[], Awaitable[None]]) -> None:
        await run()

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if event.worker is not self._running_work or not event.worker.is_finished or not self.is_mounted:
            return
        error = event.worker.error if event.state is WorkerState.ERROR else None
        if error is not None:
            event.stop()
            if not isinstance(error, Cancelled):
                is_ours = isinstance(error, VestigeError)
                self.say(redact(str(error)) if is_ours else "Unexpected error; nothing was started.", "bad")
        elif event.state is WorkerState.CANCELLED:
            self.say("Stopped.", "waiting")
        self.redraw()

    def action_leave(self) -> None:
        if self.is_busy and self._running_work is not None:
            self._running_work.cancel()
        elif len(self._steps) > 1:
            self._steps.pop().remove()
            self._bring_to_front(self.step)
        else:
            self.dismiss(None)
