"""The last line: the keys that work here, as many as fit whole, with help and the palette always among them.

Where not all fit, those that do nothing just now give way first; the way back out stays. What is shown keeps its order,
so that nothing changes its place when a key comes to work.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from textual import events
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget

from vestige_tui.commands import ShowHelp
from vestige_tui.text import cells

if TYPE_CHECKING:
    from textual.dom import DOMNode

GAP = 3
BACK = "escape"


@dataclass(frozen=True, slots=True)
class Key:
    """One key as it is written, what it does in a word, and where its action is found."""

    written: str
    label: str
    action: str
    node: DOMNode
    enabled: bool = True
    leads_back: bool = False

    @property
    def cells(self) -> int:
        return cells(self.written) + 1 + cells(self.label)


class KeyLine(Widget):
    """Follows the live bindings of its screen: those of the focused widget first; a click runs the command."""

    DEFAULT_CSS = "KeyLine { height: 1; width: 1fr; padding: 0 1; dock: bottom; background: $background; }"

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def _changed(self, screen: Screen[Any]) -> None:
        self.refresh()

    def _keys(self) -> tuple[list[Key], Key | None]:
        """Return the keys on the left, those that fit, and the palette's on the right."""
        shown: dict[str, Key] = {}
        helps: Key | None = None
        palette: Key | None = None
        for key, (node, binding, enabled, _) in self.screen.active_bindings.items():
            written = self.app.get_key_display(binding)
            found = Key(written, binding.description, binding.action, node, enabled, key == BACK)
            if key == self.app.COMMAND_PALETTE_BINDING:
                palette = Key(found.written, "commands", binding.action, node)
            elif binding.id == ShowHelp.id:
                helps = helps or found
            elif binding.show and binding.action not in shown:
                shown[binding.action] = found
        room = self.size.width - (palette.cells + GAP if palette else 0) - (helps.cells + GAP if helps else 0)
        fitting: set[str] = set()
        for found in sorted(shown.values(), key=lambda each: (not each.leads_back, not each.enabled)):
            if found.cells + GAP <= room:
                room -= found.cells + GAP
                fitting.add(found.action)
        keys = [found for action, found in shown.items() if action in fitting]
        return [*keys, *([helps] if helps else [])], palette

    def render(self) -> Content:
        keys, palette = self._keys()
        pieces: list[tuple[str, str]] = []
        used = 0
        for key in keys:
            pieces += self._pieces(key)
            pieces.append((" " * GAP, ""))
            used += key.cells + GAP
        if palette is not None:
            pieces.append((" " * max(0, self.size.width - used - palette.cells), ""))
            pieces += self._pieces(palette)
        return Content.assemble(*pieces)

    @staticmethod
    def _pieces(key: Key) -> list[tuple[str, str]]:
        if not key.enabled:
            return [(f"{key.written} {key.label}", "$text-disabled")]
        return [(key.written, "$text bold"), (f" {key.label}", "$text-muted")]

    def on_click(self, event: events.Click) -> None:
        event.stop()
        keys, palette = self._keys()
        at = 1
        for key in keys:
            if at <= event.x < at + key.cells:
                self._run(key)
                return
            at += key.cells + GAP
        if palette is not None and event.x >= self.size.width + 1 - palette.cells:
            self._run(palette)

    def _run(self, key: Key) -> None:
        if key.enabled:
            self.app.call_later(partial(self.app.run_action, key.action, key.node))
