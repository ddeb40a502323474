"""Last line of the frame: as many live keys as fit; help and quit always.

For want of room disabled keys are left out first, then enabled ones, in a narrow line the palette before those; escape
stays. Keys keep their order, so that none moves when another is enabled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from textual import events
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget

from vestige_tui.core.text import cells
from vestige_tui.core.times import moment_text
from vestige_tui.tui import layout_widths
from vestige_tui.tui.commands.everywhere import OpenPalette, Quit, ShowHelp

if TYPE_CHECKING:
    from datetime import datetime

    from textual.dom import DOMNode

WIDE_GAP_CELLS, NARROW_GAP_CELLS = 3, 2
"""Cells between two keys; the narrow gap if more keys fit with it."""
BACK = "escape"
ALWAYS = (ShowHelp.id, Quit.id)
"""Commands that the line shows at every width."""


@runtime_checkable
class Relabelling(Protocol):
    """Protocol of a screen whose keys have other labels in some of its states."""

    def label_of(self, action: str) -> str:
        """Return the label of an action now; empty for the one of its command."""
        ...


@runtime_checkable
class AtMoment(Protocol):
    """Protocol of a screen that may show a past moment."""

    @property
    def shown_moment(self) -> datetime | None:
        """Past moment that the line names."""
        ...


@dataclass(frozen=True, slots=True)
class Key:
    """Key of the line: its spelling, its label, and its action with the node that has it."""

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
    """Live bindings of the screen, those of the focused widget first; a click runs the command."""

    DEFAULT_CSS = "KeyLine { height: 1; width: 1fr; padding: 0 1; dock: bottom; background: $background; }"

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def _changed(self, screen: Screen[Any]) -> None:
        self.refresh()

    def _keys(self) -> tuple[list[Key], Key | None, int]:
        """Return the keys on the left that fit, the key of the palette on the right, and the cells between two."""
        by_action: dict[str, Key] = {}
        always: dict[str, Key] = {}
        palette: Key | None = None
        screen = self.screen
        for key, (node, binding, enabled, _) in screen.active_bindings.items():
            spelling = self.app.get_key_display(binding)
            label = screen.label_of(binding.action) if isinstance(screen, Relabelling) else ""
            entry = Key(spelling, label or binding.description, binding.action, node, enabled, key == BACK)
            if binding.id == OpenPalette.id:
                palette = entry
            elif binding.id in ALWAYS:
                always.setdefault(binding.id, entry)
            elif binding.show and binding.action not in by_action:
                by_action[binding.action] = entry
        ranked = sorted(by_action.values(), key=lambda each: (not each.leads_back, not each.enabled))
        if palette is not None:
            is_narrow = layout_widths.is_narrow(self.screen.size.width)
            ranked.insert(sum(each.leads_back or (each.enabled and is_narrow) for each in ranked), palette)
        kept = [always[id] for id in ALWAYS if id in always]
        fitting, gap = self._fitting(ranked, kept, WIDE_GAP_CELLS), WIDE_GAP_CELLS
        if len(closer := self._fitting(ranked, kept, NARROW_GAP_CELLS)) > len(fitting):
            fitting, gap = closer, NARROW_GAP_CELLS
        keys = [entry for action, entry in by_action.items() if action in fitting]
        return [*keys, *kept], palette if palette is not None and palette.action in fitting else None, gap

    def _fitting(self, ranked: Sequence[Key], always: Sequence[Key], gap: int) -> set[str]:
        """Return the actions of the keys that fit, taken in order of rank."""
        room = self.size.width - cells(self._moment) - sum(key.cells + gap for key in always)
        fitting: set[str] = set()
        for key in ranked:
            if key.cells + gap <= room:
                room -= key.cells + gap
                fitting.add(key.action)
        return fitting

    @property
    def _moment(self) -> str:
        """The past moment that the line names, with the gap after it; empty for now."""
        screen = self.screen
        moment = screen.shown_moment if isinstance(screen, AtMoment) else None
        return f"as of {moment_text(moment)}   " if moment is not None else ""

    def render(self) -> Content:
        keys, palette, gap = self._keys()
        pieces: list[tuple[str, str]] = [(self._moment, "$warning bold")] if self._moment else []
        cells_used = cells(self._moment)
        for key in keys:
            pieces += self._pieces(key)
            pieces.append((" " * gap, ""))
            cells_used += key.cells + gap
        if palette is not None:
            pieces.append((" " * max(0, self.size.width - cells_used - palette.cells), ""))
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
        at = 1 + cells(self._moment)
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
