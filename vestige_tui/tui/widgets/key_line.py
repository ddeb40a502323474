"""The last line: the keys that work here, as many as fit whole, with help and the palette always among them.

Where not all fit, those that do nothing just now give way first; the way back out stays. What is shown keeps its order,
so that nothing changes its place when a key comes to work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from textual import events
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget

from vestige_tui.core.text import cells
from vestige_tui.tui.commands import ShowHelp

if TYPE_CHECKING:
    from textual.dom import DOMNode

WIDE, NARROW = 3, 2
"""The cells between two keys; the fewer where that lets more keys in."""
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

    def _keys(self) -> tuple[list[Key], Key | None, int]:
        """Return the keys on the left, those that fit, the palette's on the right, and the cells between two."""
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
        ranked = sorted(shown.values(), key=lambda each: (not each.leads_back, not each.enabled))
        always = [each for each in (helps, palette) if each is not None]
        fitting, gap = self._fitting(ranked, always, WIDE), WIDE
        if len(closer := self._fitting(ranked, always, NARROW)) > len(fitting):
            fitting, gap = closer, NARROW
        keys = [found for action, found in shown.items() if action in fitting]
        return [*keys, *([helps] if helps else [])], palette, gap

    def _fitting(self, ranked: Sequence[Key], always: Sequence[Key], gap: int) -> set[str]:
        """The actions of the keys that find room, those in front first."""
        room = self.size.width - sum(each.cells + gap for each in always)
        fitting: set[str] = set()
        for found in ranked:
            if found.cells + gap <= room:
                room -= found.cells + gap
                fitting.add(found.action)
        return fitting

    def render(self) -> Content:
        keys, palette, gap = self._keys()
        pieces: list[tuple[str, str]] = []
        used = 0
        for key in keys:
            pieces += self._pieces(key)
            pieces.append((" " * gap, ""))
            used += key.cells + gap
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
        keys, palette, gap = self._keys()
        at = 1
        for key in keys:
            if at <= event.x < at + key.cells:
                self._run(key)
                return
            at += key.cells + gap
        if palette is not None and event.x >= self.size.width + 1 - palette.cells:
            self._run(palette)

    def _run(self, key: Key) -> None:
        if key.enabled:
            self.app.call_later(partial(self.app.run_action, key.action, key.node))
