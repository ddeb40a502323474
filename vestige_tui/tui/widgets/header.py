"""Header of the frame: a line of facts about the open store, and a line of the six places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from textual import events
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from vestige_tui.core.text import cells, cut, grouped, plain
from vestige_tui.core.times import moment_text
from vestige_tui.tui.commands.places import PLACES, GoTo
from vestige_tui.tui.store_session_events import Badge, SessionState, StoreFacts

STATES = {
    SessionState.OPENING: ("◌ opening", "◌", "$text-muted"),
    SessionState.LIVE: ("● live", "●", "$text-muted"),
    SessionState.WAITING: ("◐ no answer", "◐", "$warning"),
    SessionState.RECONNECTING: ("◐ reconnecting", "◐", "$warning"),
    SessionState.REFUSED: ("■ closed", "■", "$error"),
    SessionState.CLOSED: ("■ closed", "■", "$error"),
}


VIEWER_CELLS = 16
"""Most cells of the handle of the user as whom the store is viewed; it is never left out."""
WHOLE_STORE_CELLS, LEAST_STORE_CELLS = 40, 16
"""Cells of the store's name: with room for all, and the least while other facts can be left out."""


class FactsLine(Widget):
    """First line: store, mode, size, model, the past moment that is shown, and link.

    Facts are left out for want of room, the least important first: the brand, the kind of store, the beginning of the
    store's name, the model, the count, and last the word for the link; its shape stays.
    """

    DEFAULT_CSS = "FactsLine { height: 1; width: 1fr; padding: 0 1; background: $surface; color: $text-muted; }"

    facts: reactive[StoreFacts] = reactive(StoreFacts())

    def render(self) -> Content:
        facts, width = self.facts, self.size.width
        word, shape, style = STATES[facts.state]
        viewer = f"as {cut(plain(facts.viewer), VIEWER_CELLS)}   " if facts.viewer else ""
        # A store that is viewed as a user is always read-only.
        kind, mode = plain(facts.backend), "read-only" if facts.read_only and not viewer else ""
        count = ""
        if facts.memories is not None:
            count = f"{grouped(facts.memories)} {'memory' if facts.memories == 1 else 'memories'}"
        model = plain(facts.model) if facts.model else ""
        whole_cells = min(cells(plain(facts.store)), WHOLE_STORE_CELLS)
        least_cells = min(whole_cells, LEAST_STORE_CELLS)
        moment = f"as of {moment_text(facts.moment)}" if facts.moment is not None else ""
        kind_and_mode = ", ".join(filter(None, (kind, mode)))
        forms = [
            ("vestige  ", (kind_and_mode, count, model), word, whole_cells),
            ("", (kind_and_mode, count, model), word, whole_cells),
            ("", (mode, count, model), word, whole_cells),
            ("", (mode, count, model), word, least_cells),
            ("", (mode, count), word, least_cells),
            ("", (mode,), word, least_cells),
            ("", (mode,), shape, least_cells),
            ("", (), shape, 0),
        ]
        for brand, facts_shown, link, room in forms:
            right = "".join(f"{part}   " for part in facts_shown if part)
            moment_cells = cells(moment) + 3 * bool(moment)
            store_cells = width - cells(brand) - cells(viewer) - cells(right) - moment_cells - cells(link) - 2
            if store_cells >= room:
                break
        store = cut_path(plain(facts.store), max(0, store_cells))
        gap = " " * (store_cells - cells(store) + 2)
        then = (f"{moment}   ", "$warning bold") if moment else ""
        return Content.assemble(
            (brand, "$accent bold"),
            (store, "$text"),
            gap,
            (viewer, "$warning"),
            (right, "$text-muted"),
            then,
            (link, style),
        )


def cut_path(name: str, width: int) -> str:
    """Return a store's name in at most ``width`` cells: the end of a path, the beginning of a URL."""
    if cells(name) <= width or "://" in name or width < 2:
        return cut(name, width)
    end = name[len(name) - width + 1 :]
    while cells(end) > width - 1:
        end = end[1:]
    return f"…{end}"


class PlacesLine(Widget):
    """Second line: the six places with their keys and badges; a click goes to a place."""

    DEFAULT_CSS = "PlacesLine { height: 1; width: 1fr; padding: 0 1; background: $surface; }"

    here: reactive[str] = reactive("")
    badges: reactive[Mapping[str, Badge]] = reactive({})

    def _spans(self) -> list[tuple[str, list[tuple[str, str]]]]:
        """Return the pieces of each place: all with titles if they fit, else only the current one."""
        width = self.size.width
        for gap, with_title in ((2, True), (1, True), (0, True), (1, False)):
            spans = [(place.place, self._pieces(place, gap, with_title)) for place in PLACES]
            if _cells_of(spans) - gap <= width:
                return spans
        # If they still do not fit, drop places on the left until the current one is visible.
        while len(spans) > 1 and spans[0][0] != self.here and self._cells_to_current(spans) > width:
            del spans[0]
        return spans

    def _pieces(self, place: type[GoTo], gap: int, with_title: bool) -> list[tuple[str, str]]:
        is_current, badge, key = place.place == self.here, self.badges.get(place.place), place.key.upper()
        pieces = [("▌" if is_current else " ", "$accent")]
        if with_title or is_current:
            pieces += [(f"{key} ", "$text-disabled"), (place.title, "$text bold" if is_current else "$text-muted")]
        else:
            pieces.append((key, "$text-muted"))
        if badge is not None and badge.text:
            mark = " " if with_title or is_current else "·"
            pieces.append((f"{mark}{plain(badge.text)}", "$warning" if badge.waiting else "$accent"))
        return [*pieces, (" " * gap, "")]

    def _cells_to_current(self, spans: list[tuple[str, list[tuple[str, str]]]]) -> int:
        """Return the cells up to the end of the current place."""
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
    """Both lines of the frame. ``show`` sets facts and badges; ``here`` is the place that shows it."""

    DEFAULT_CSS = "Header { height: 2; width: 1fr; dock: top; layout: vertical; }"

    def __init__(self, here: str, *, id: str | None = None) -> None:
        self._facts = FactsLine()
        self._places = PlacesLine()
        super().__init__(self._facts, self._places, id=id)
        self._places.here = here

    def show(self, facts: StoreFacts | None = None, badges: Mapping[str, Badge] | None = None) -> None:
        """Show new facts, new badges, or both."""
        if facts is not None:
            self._facts.facts = facts
        if badges is not None:
            self._places.badges = dict(badges)
