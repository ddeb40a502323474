"""Last step of a wizard: summary of the job, its switches, and the key that starts it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from vestige_tui.core.text import plain
from vestige_tui.tui.jobs.detail import labelled
from vestige_tui.tui.widgets.panels import Panels
from vestige_tui.tui.wizards.wizard import Wizard, WizardStep

ON, OFF = "●", "○"
LABEL_CELLS = 10


@dataclass(frozen=True, slots=True)
class Switch:
    """Optional part of a job: name, key, text, and whether it is on."""

    name: str
    key: str
    says: str
    on: bool


def _no_warnings(switches: Mapping[str, bool]) -> Sequence[str]:
    return ()


class StartStep(WizardStep, can_focus=False):
    """Summary of the job; only ``y`` starts it.

    ``warnings`` returns sentences on losses for the state of the switches.
    """

    word = "start"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("y", "agree", "start", show=False)]

    def __init__(
        self,
        rows: Sequence[tuple[str, str]],
        switches: Sequence[Switch],
        verb: str,
        agree: Callable[[Mapping[str, bool]], None],
        notes: Sequence[str] = ("The job continues when this console is closed; any console can watch it.",),
        warnings: Callable[[Mapping[str, bool]], Sequence[str]] = _no_warnings,
    ) -> None:
        super().__init__()
        self._rows, self._switches, self._agree, self._notes = rows, tuple(switches), agree, notes
        self._warnings = warnings
        self.keys = (("y", verb),)

    def compose(self) -> ComposeResult:
        with Panels(classes="body"):
            yield Static(markup=False)

    def begin(self) -> None:
        self.query_one(Panels).focus()
        self._draw()

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    def _draw(self) -> None:
        width = max(20, self.query_one(Panels).scrollable_content_region.width)
        lines: list[Content] = []
        for label, text in self._rows:
            lines += labelled(label, text, width, LABEL_CELLS, "$text")
        if self._switches:
            lines.append(Content(""))
        for switch in self._switches:
            lines.append(
                Content.assemble(
                    (f"{switch.key} ", "$accent bold"),
                    (f"{ON if switch.on else OFF} ", "$accent" if switch.on else "$text-disabled"),
                    (switch.says, "$text" if switch.on else "$text-muted"),
                    (f"  {'yes' if switch.on else 'no'}", "$text-disabled"),
                )
            )
        if sentences := self._warnings(self._switch_states):
            lines.append(Content(""))
        lines += [Content.styled(f"◐ {plain(sentence)}", "$warning") for sentence in sentences]
        for note in self._notes:
            lines += [Content(""), Content.styled(plain(note), "$text-muted")]
        self.query_one(Static).update(Content("\n").join(lines))

    def on_key(self, event: events.Key) -> None:
        for index, switch in enumerate(self._switches):
            if switch.key == event.key and not self._wizard.is_busy:
                event.stop()
                toggled = replace(switch, on=not switch.on)
                self._switches = (*self._switches[:index], toggled, *self._switches[index + 1 :])
                self._draw()

    @property
    def _wizard(self) -> Wizard[object]:
        screen = self.screen
        assert isinstance(screen, Wizard)
        return screen

    @property
    def _switch_states(self) -> Mapping[str, bool]:
        return {switch.name: switch.on for switch in self._switches}

    def action_agree(self) -> None:
        self._agree(self._switch_states)
