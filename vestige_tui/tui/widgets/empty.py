"""Empty state: the reason why an area is empty, and the keys that change that."""

from __future__ import annotations

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from vestige_tui.core.text import plain


class Empty(Widget):
    """Centred sentence with keys: ``Empty("No memory matches.", ("esc", "clear the filter"))``."""

    DEFAULT_CSS = """
    Empty { width: 1fr; height: 1fr; padding: 1 2; }
    Empty { content-align: center middle; text-align: center; color: $text-muted; }
    """

    shown: reactive[tuple[str, tuple[tuple[str, str], ...], str]] = reactive(("", (), ""), layout=True)

    def __init__(
        self, why: str = "", *keys: tuple[str, str], id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.set_reactive(Empty.shown, (why, keys, ""))

    def say(self, why: str, *keys: tuple[str, str], failed: str = "") -> None:
        """Show another sentence, under the error ``failed`` if there is one."""
        self.shown = (why, keys, failed)

    def render(self) -> Content:
        why, keys, failed = self.shown
        lines = [Content.styled(f"■ {plain(failed)}", "$error bold"), Content("")] if failed else []
        lines.append(Content(plain(why, newlines=True)))
        if keys:
            lines.append(Content(""))
        key_cells = max((len(key) for key, _ in keys), default=0)
        label_cells = max((len(plain(label)) for _, label in keys), default=0)
        for key, label in keys:
            text = f"  {plain(label):<{label_cells}}"
            lines.append(Content.assemble((f"{key:>{key_cells}}", "$accent bold"), (text, "$text-muted")))
        return Content("\n").join(lines)
