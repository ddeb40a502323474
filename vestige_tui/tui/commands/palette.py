"""The command palette: the live commands of the screen in front."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Protocol, runtime_checkable

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.screen import Screen

from vestige_tui.tui.commands.catalogue import catalogue
from vestige_tui.tui.commands.everywhere import EVERYWHERE
from vestige_tui.tui.commands.lists import MOTIONS
from vestige_tui.tui.commands.places import GoTo


@runtime_checkable
class Offering(Protocol):
    """Protocol of a screen that adds entries of its own to the palette."""

    def offers(self) -> Iterator[tuple[str, str, Callable[[], Awaitable[bool]]]]:
        """Yield palette entries: title, help sentence, and the callable that runs the entry."""
        ...


class CommandPalette(Provider):
    """Palette of the live commands, those of the place first, then general ones; typing narrows them."""

    def _live(self) -> Iterator[tuple[str, str, Callable[[], Awaitable[bool]]]]:
        commands = catalogue()
        general_ids = {command.id for command in EVERYWHERE}
        ids: set[str] = set()
        screen: Screen[object] = self.screen
        # A screen's own bindings follow those of its base class; the palette shows the place's commands first.
        ordered = sorted(screen.active_bindings.values(), key=lambda active: (active.binding.id or "") in general_ids)
        for node, binding, enabled, _ in ordered:
            command = commands.get(binding.id or "")
            if command is None or not enabled or command.id in ids or command in MOTIONS:
                continue
            ids.add(command.id)
            title = command.title if issubclass(command, GoTo) else command.label
            run = partial(self.app.run_action, binding.action, node)
            yield f"{title.capitalize()}  ({self.app.get_key_display(binding)})", command.help, run
        if isinstance(screen, Offering):
            yield from screen.offers()

    async def discover(self) -> Hits:
        for title, sentence, run in self._live():
            yield DiscoveryHit(Content(title), run, text=title, help=sentence)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for title, sentence, run in self._live():
            score = max(matcher.match(title), matcher.match(sentence) * 0.6)
            if score > 0:
                yield Hit(score, Content(title), run, text=title, help=sentence)
