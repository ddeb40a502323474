"""The frame's two lines on top: what is open and what is true of it, and the six places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from textual import events
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from vestige_tui.core.text import cells, cut, grouped, plain
from vestige_tui.tui.commands import PLACES, GoTo


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the open store; None where it is not known yet. ``store`` is its name without any password."""

    store: str = ""
    backend: str = ""
    read_only: bool = False
    memories: int | None = None
    model: str | None = None
    link: Literal["opening", "live", "reconnecting", "closed"] = "opening"


@dataclass(frozen=True, slots=True)
class Badge:
    """A small figure beside a place: ``37`` due (waiting, amber), ``►1`` running."""

    text: str
    waiting: bool = False


LINKS = {
    "opening": ("◌ opening", "◌", "$text-muted"),
    "live": ("● live", "●", "$text-muted"),
    "reconnecting": ("◐ reconnecting", "◐", "$warning"),
    "closed": ("■ closed", "■", "$error"),
}


WHOLE_STORE, LEAST_STORE = 40, 16
"""The cells that the store's name gets before anything else does, and those that it keeps as long as others can give
way.
"""


class FactsLine(Widget):
    """The first line: store, mode, size, model, and whether it is live.

    Where there is no room for all, the least telling gives way: the brand, the kind of store, then the beginning of the
    store's name, the model, the count, and last the word for the link, whose shape stays.
    """

    DEFAULT_CSS = "FactsLine { height: 1; width: 1fr; padding: 0 1; background: $surface; color: $text-muted; }"

    facts: reactive[Facts] = reactive(Facts())

    def render(self) -> Content:
        facts, width = self.facts, self.size.width
        word, shape, style = LINKS[facts.link]
        kind, mode = plain(facts.backend), "read-only" if facts.read_only else ""
        count = ""
        if facts.memories is not None:
            count = f"{grouped(facts.memories)} {'memory' if facts.memories == 1 else 'memories'}"
        model = plain(facts.model) if facts.model else ""
        whole = min(cells(plain(facts.store)), WHOLE_STORE)
        least = min(whole, LEAST_STORE)
        both = ", ".join(filter(None, (kind, mode)))
        forms = [
            ("vestige  ", (both, count, model), word, whole),
            ("", (both, count, model), word, whole),
            ("", (mode, count, model), word, whole),
            ("", (mode, count, model), word, least),
            ("", (mode, count), word, least),
            ("", (mode,), word, least),
            ("", (mode,), shape, least),
            ("", (), shape, 0),
        ]
        for brand, told, link, room in forms:
            right = "".join(f"{part}   " for part in told if part)
            left = width - cells(brand) - cells(right) - cells(link) - 2
            if left >= room:
                break
        store = cut_path(plain(facts.store), max(0, left))
        gap = " " * (left - cells(store) + 2)
        return Content.assemble((brand, "$accent bold"), (store, "$text"), gap, (right, "$text-muted"), (link, style))


def cut_path(name: str, width: int) -> str:
    """A store's name in at most ``width`` cells: of a path the end is kept, of a URL the beginning."""
    if cells(name) <= width or "://" in name or width < 2:
        return cut(name, width)
    end = name[len(name) - width + 1 :]
    while cells(end) > width - 1:
        end = end[1:]
    return f"…{end}"


class PlacesLine(Widget):
    """The second line: the six places with their keys and badges; a click goes there."""

    DEFAULT_CSS = "PlacesLine { height: 1; width: 1fr; padding: 0 1; background: $surface; }"

    here: reactive[str] = reactive("")
    badges: reactive[Mapping[str, Badge]] = reactive({})

    def _spans(self) -> list[tuple[str, list[tuple[str, str]]]]:
        """Each place in pieces: all named where there is room, else only the one where the person is."""
        width = self.size.width
        for gap, named in ((2, True), (1, True), (0, True), (1, False)):
            spans = [(place.place, self._pieces(place, gap, named)) for place in PLACES]
            if _cells_of(spans) - gap <= width:
                return spans
        # Where even that is too much, the first give way until the place one is at can be seen.
        while len(spans) > 1 and spans[0][0] != self.here and self._reach(spans) > width:
            del spans[0]
        return spans

    def _pieces(self, place: type[GoTo], gap: int, named: bool) -> list[tuple[str, str]]:
        here, badge, key = place.place == self.here, self.badges.get(place.place), place.key.upper()
        pieces = [("▌" if here else " ", "$accent")]
        if named or here:
            pieces += [(f"{key} ", "$text-disabled"), (place.title, "$text bold" if here else "$text-muted")]
        else:
            pieces.append((key, "$text-muted"))
        if badge is not None and badge.text:
            mark = " " if named or here else "·"
            pieces.append((f"{mark}{plain(badge.text)}", "$warning" if badge.waiting else "$accent"))
        return [*pieces, (" " * gap, "")]

    def _reach(self, spans: list[tuple[str, list[tuple[str, str]]]]) -> int:
        """How many cells it takes to the end of the place one is at."""
        last = next(number for number, (place, _) in enumerate(spans) if place == self.here)
        return _cells_of(spans[: last + 1]) - 1

    def render(self) -> Content:
        return Content.assemble(*(piece for _, pieces in self._spans() for piece in pieces))

    async def on_click(self, event: events.Click) -> None:
        at = 1
        for place, pieces in self._spans():
            size = sum(cells(text) for text, _ in pieces)
            if at <= event.x < at + size:
                await self.app.run_action(f"place('{place}')", self.screen)
                return
            at += size


def _cells_of(spans: Sequence[tuple[str, Sequence[tuple[str, str]]]]) -> int:
    return sum(cells(text) for _, pieces in spans for text, _ in pieces)


class Header(Widget):
    """Both lines. ``show`` tells what is known; the place says which one it is."""

    DEFAULT_CSS = "Header { height: 2; width: 1fr; dock: top; layout: vertical; }"

    def __init__(self, here: str, *, id: str | None = None) -> None:
        self._facts = FactsLine()
        self._places = PlacesLine()
        super().__init__(self._facts, self._places, id=id)
        self._places.here = here

    def show(self, facts: Facts | None = None, badges: Mapping[str, Badge] | None = None) -> None:
        """Show new facts, new badges, or both."""
        if facts is not None:
            self._facts.facts = facts
        if badges is not None:
            self._places.badges = dict(badges)
