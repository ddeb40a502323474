"""Hints of the first start: how to search, why and how to grade, and how to leave."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import wrap

from textual.content import Content
from textual.widget import Widget

from vestige_tui.tui import layout_widths

NAME_CELLS = 8


@dataclass(frozen=True, slots=True)
class Hint:
    """Hint: its name, its sentence, and a short form for a narrow terminal. ``{…}`` are keys."""

    name: str
    sentence: str
    short: str


HINTS = (
    Hint(
        "Search",
        "Type a question; {list} goes to the results, where {signs} explains the signs. {help} lists all keys.",
        "Type a question; {list} goes to the results.",
    ),
    Hint(
        "Grade",
        "{review} shows you the memories that your agents rely on, one at a time, so that you find the wrong and the "
        "outdated ones. Your grades set how soon each returns.",
        "{review} finds wrong memories, one by one.",
    ),
    Hint(
        "Leave",
        "{quit} quits from anywhere; {back} closes what is open, now these hints.",
        "{quit} quits; {back} closes these hints.",
    ),
)


class FirstHints(Widget):
    """Three quiet lines below the list; ``keys`` are the keys that the sentences name."""

    DEFAULT_CSS = """
    FirstHints { height: auto; width: 1fr; padding: 0 1; margin: 1 0 0 0; color: $text-muted; }
    .-narrow FirstHints { margin: 0; }
    """

    def __init__(self, keys: dict[str, str]) -> None:
        super().__init__()
        self._keys = keys

    def render(self) -> Content:
        width = max(20, (self.size.width or 60) - NAME_CELLS)
        is_narrow = layout_widths.is_narrow(self.screen.size.width)
        lines: list[Content] = []
        for hint in HINTS:
            sentence = (hint.short if is_narrow else hint.sentence).format(**self._keys)
            for number, line in enumerate(wrap(sentence, width)):
                name = "" if number else hint.name
                lines.append(Content.assemble((f"{name:<{NAME_CELLS}}", "$text"), (line, "$text-muted")))
        return Content("\n").join(lines)
