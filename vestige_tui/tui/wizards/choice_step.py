"""Step that offers alternatives after a conflict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from vestige_tui.core.text import plain
from vestige_tui.tui.wizards.wizard import WizardStep


@dataclass(frozen=True, slots=True)
class Way:
    """Alternative: its name, its meaning, and the callback that takes it."""

    name: str
    means: str
    go: Callable[[], None]


class ChoiceStep(WizardStep):
    """Statement of the conflict and the list of alternatives."""

    keys = (("enter", "choose"), ("↑↓", "move"))

    def __init__(self, word: str, why: str, ways: Sequence[Way]) -> None:
        super().__init__()
        self.word = word
        self._why, self._ways = why, tuple(ways)

    def compose(self) -> ComposeResult:
        yield Static(Content.styled(plain(self._why), "$warning"), classes="note", markup=False)
        yield OptionList(
            *(
                Option(
                    Content.assemble((plain(way.name), "$text bold"), "\n", (f"  {plain(way.means)}", "$text-muted"))
                )
                for way in self._ways
            ),
            markup=False,
        )

    def begin(self) -> None:
        ways = self.query_one(OptionList)
        ways.highlighted = 0
        ways.focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self._ways[event.option_index].go()
