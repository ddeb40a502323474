"""The frame's two lines on top: what is open and what is true of it, and the six places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from textual import events
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from vestige_tui.commands import PLACES
from vestige_tui.text import cells, cut, grouped, plain


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


class FactsLine(Widget):
    """The first line: store, mode, size, model, and whether it is live; the store's name gives way first."""

    DEFAULT_CSS = "FactsLine { height: 1; width: 1fr; padding: 0 1; background: $surface; color: $text-muted; }"

    facts: reactive[Facts] = reactive(Facts())

    def render(self) -> Content:
        facts, width = self.facts, self.size.width
        word, shape, style = LINKS[facts.link]
        mode = ", ".join(filter(None, (plain(facts.backend), "read-only" if facts.read_only else "")))
        count = f"{grouped(facts.memories)} memories" if facts.memories is not None else ""
        model = plain(facts.model) if facts.model else ""
        parts = [("mode", mode), ("count", count), ("model", model)]
        if width < 100:
            parts = [part for part in parts if part[0] != "model"]
        if width < 70:
            parts = [("mode", "read-only" if facts.read_only else ""), ("count", count.removesuffix(" memories"))]
            word = shape
        rest = [text for _, text in parts if text]
        right = "   ".join([*rest, word])
        brand = "vestige  " if width >= 70 else ""
        store = cut(plain(facts.store), max(8, width - len(brand) - cells(right) - 2))
        gap = " " * max(2, width - len(brand) - cells(store) - cells(right))
        facts_text = "   ".join(rest) + ("   " if rest else "")
        return Content.assemble(
            (brand, "$accent bold"), (store, "$text"), gap, (facts_text, "$text-muted"), (word, style)
        )


class PlacesLine(Widget):
    """The second line: the six places with their keys and badges; a click goes there."""

    DEFAULT_CSS = "PlacesLine { height: 1; width: 1fr; padding: 0 1; background: $surface; }"

    here: reactive[str] = reactive("")
    badges: reactive[Mapping[str, Badge]] = reactive({})

    def _spans(self) -> list[tuple[str, list[tuple[str, str]]]]:
        wide = self.size.width >= 90
        spans = []
        for place in PLACES:
            badge = self.badges.get(place.place)
            here = place.place == self.here
            pieces = [("▌" if here else " ", "$accent")]
            if wide:
                pieces.append((f"{place.key.upper()} ", "$text-disabled"))
            title = place.title if self.size.width >= 66 or here else place.title[:4]
            pieces.append((title, "$text bold" if here else "$text-muted"))
            if badge is not None and badge.text:
                pieces.append((f" {plain(badge.text)}", "$warning" if badge.waiting else "$accent"))
            spans.append((place.place, [*pieces, ("  " if self.size.width >= 66 else " ", "")]))
        # Where there is no room for all, the first give way until the place one is at can be seen.
        while len(spans) > 1 and spans[0][0] != self.here and self._reach(spans) > self.size.width:
            del spans[0]
        return spans

    def _reach(self, spans: list[tuple[str, list[tuple[str, str]]]]) -> int:
        """How many cells it takes to the end of the place one is at."""
        taken = 0
        for place, pieces in spans:
            taken += sum(cells(text) for text, _ in pieces)
            if place == self.here:
                break
        return taken - 1

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
