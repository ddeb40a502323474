"""Section of a card or a page: a faint title over a body that is drawn at every width."""

from __future__ import annotations

from collections.abc import Callable

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget


class Section(Widget):
    """Faint title over a body of one Content, drawn again at every width; hidden while there is no body."""

    DEFAULT_CSS = """
    Section { height: auto; width: 1fr; margin: 1 0 0 0; display: none; }
    Section.-filled { display: block; }
    """

    body: reactive[Callable[[int], Content] | None] = reactive(None, layout=True)

    def __init__(self, title: str, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._title = title

    def fill(self, body: Callable[[int], Content] | None) -> None:
        """Show ``body(width)`` under the title, or hide the section."""
        self.body = body
        self.set_class(body is not None, "-filled")

    def render(self) -> Content:
        if self.body is None:
            return Content("")
        title = (Content.styled(self._title, "$text-disabled bold"),) if self._title else ()
        return Content("\n").join([*title, self.body(self.size.width or 60)])
