"""Status line: one sentence on the last command and the key that undoes it; errors wrap to several lines."""

from __future__ import annotations

from typing import Literal, TypeAlias

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from vestige_tui.core.text import cut, plain

Severity: TypeAlias = Literal["quiet", "done", "waiting", "bad"]
"""quiet: a state; done: a change just made; waiting: amber; bad: a failure."""

StatusMessage: TypeAlias = tuple[str, str, Severity]
"""Sentence, hint to its right, and severity."""

STYLES: dict[Severity, tuple[str, str]] = {
    "quiet": ("  ", "$text-muted"),
    "done": ("▪ ", "$text"),
    "waiting": ("◐ ", "$warning"),
    "bad": ("■ ", "$error"),
}


class StatusLine(Widget):
    """One sentence with a hint on its right: the key that undoes or explains it."""

    DEFAULT_CSS = "StatusLine { height: auto; min-height: 1; max-height: 4; width: 1fr; padding: 0 1; }"

    message: reactive[StatusMessage] = reactive(("", "", "quiet"), layout=True)

    def say(self, text: str, hint: str = "", severity: Severity = "quiet") -> None:
        """Show ``text``; ``hint`` is a key and its label, such as ``u undo``."""
        self.message = (text, hint, severity)

    def render(self) -> Content:
        text, hint, severity = self.message
        if not text:
            return Content("")
        glyph, style = STYLES[severity]
        key, _, verb = plain(hint).partition(" ")
        # Only failures are shown in full; other sentences are cut to one line.
        sentence = plain(text) if severity == "bad" else cut(plain(text), max(4, self.size.width - 5 - len(hint)))
        return Content.assemble((glyph + sentence, style), "   ", (key, "$accent bold"), (f" {verb}", "$text-muted"))
