"""One quiet line that says what just happened, and which key takes it back; an error takes as many as it needs."""

from __future__ import annotations

from typing import Literal, TypeAlias

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from vestige_tui.core.text import cut, plain

Severity: TypeAlias = Literal["quiet", "done", "waiting", "bad"]
"""quiet: what is so; done: what just happened; waiting: amber; bad: something failed."""

Said: TypeAlias = tuple[str, str, Severity]
"""A sentence, the hint to its right, and how grave it is."""

STYLES: dict[Severity, tuple[str, str]] = {
    "quiet": ("  ", "$text-muted"),
    "done": ("▪ ", "$text"),
    "waiting": ("◐ ", "$warning"),
    "bad": ("■ ", "$error"),
}


class StatusLine(Widget):
    """Shows one sentence and, on the right of it, the key that undoes or explains it."""

    DEFAULT_CSS = "StatusLine { height: auto; min-height: 1; max-height: 4; width: 1fr; padding: 0 1; }"

    said: reactive[Said] = reactive(("", "", "quiet"), layout=True)

    def say(self, text: str, hint: str = "", severity: Severity = "quiet") -> None:
        """Show ``text``; ``hint`` names a key and what it does, such as ``u undo``."""
        self.said = (text, hint, severity)

    def render(self) -> Content:
        text, hint, severity = self.said
        if not text:
            return Content("")
        glyph, style = STYLES[severity]
        key, _, verb = plain(hint).partition(" ")
        # What failed is said whole; anything else keeps to its line.
        sentence = plain(text) if severity == "bad" else cut(plain(text), max(4, self.size.width - 5 - len(hint)))
        return Content.assemble((glyph + sentence, style), "   ", (key, "$accent bold"), (f" {verb}", "$text-muted"))
