"""Status line: one sentence on the last command and the key that undoes it; errors, warnings and reasons wrap."""

from __future__ import annotations

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from vestige_tui.core.text import cut, plain
from vestige_tui.tui.notice import NO_NOTICE, Notice, Severity

STYLES: dict[Severity, tuple[str, str]] = {
    "quiet": ("  ", "$text-muted"),
    "done": ("▪ ", "$text"),
    "waiting": ("◐ ", "$warning"),
    "bad": ("■ ", "$error"),
}


class StatusLine(Widget):
    """One sentence with a hint on its right: the key that undoes or explains it."""

    DEFAULT_CSS = "StatusLine { height: auto; min-height: 1; max-height: 12; width: 1fr; padding: 0 1; }"

    notice: reactive[Notice] = reactive(NO_NOTICE, layout=True)

    def say(self, text: str, hint: str = "", severity: Severity = "quiet") -> Notice:
        """Show ``text``; ``hint`` is a key and its label, such as ``u undo``. Return its notice."""
        return self.show(Notice(text, hint, severity) if text else NO_NOTICE)

    def show(self, notice: Notice) -> Notice:
        """Show a notice in place of the present one, and return it."""
        self.notice = notice
        return notice

    def clear(self) -> None:
        """Show nothing."""
        self.notice = NO_NOTICE

    def withdraw(self, notice: Notice | None) -> None:
        """Show nothing if ``notice`` is still shown."""
        if notice is self.notice:
            self.clear()

    def render(self) -> Content:
        notice = self.notice
        if not notice.text:
            return Content("")
        glyph, style = STYLES[notice.severity]
        key, _, verb = plain(notice.hint).partition(" ")
        text = plain(notice.text)
        # Failures, warnings and reasons against a command are shown in full; other sentences are cut to one line.
        whole = notice.severity in ("bad", "waiting") or bool(notice.action)
        sentence = text if whole else cut(text, max(4, self.size.width - 5 - len(notice.hint)))
        return Content.assemble((glyph + sentence, style), "   ", (key, "$accent bold"), (f" {verb}", "$text-muted"))
