"""Entries of the command palette, and those that a query names: by words of names, never by those of sentences."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import Any, Protocol, TypeAlias, runtime_checkable

from textual.screen import Screen

from vestige_tui.tui.commands.command import Command
from vestige_tui.tui.commands.everywhere import EVERYWHERE, Close, Interrupt, OpenPalette
from vestige_tui.tui.commands.lists import MOTIONS, ChooseRow, LeaveLine
from vestige_tui.tui.commands.offered import OfferedCommand, offered_commands
from vestige_tui.tui.commands.places import GoTo

Run: TypeAlias = Callable[[], Awaitable[object]]

NOT_OFFERED = frozenset({*MOTIONS, ChooseRow, LeaveLine, Close, Interrupt, OpenPalette})
"""Commands that mean nothing apart from the row or the page that they are pressed on; so do those of escape."""
BACK = "escape"


class Kind(IntEnum):
    """Kind of an entry, in the order of the palette."""

    VERB = 0
    PLACE = 1
    STORE = 2
    CONSOLE = 3
    FILTER = 4
    THEME = 5


HEADINGS = {
    Kind.VERB: "Here",
    Kind.PLACE: "Screens",
    Kind.STORE: "Stores",
    Kind.CONSOLE: "Console",
    Kind.FILTER: "Saved filters",
    Kind.THEME: "Themes",
}


@dataclass(frozen=True, slots=True)
class PaletteEntry:
    """Entry of the palette. ``words`` are further names by which it is found."""

    kind: Kind
    name: str
    sentence: str
    run: Run
    keys: str = ""
    words: str = ""
    reason: str = ""
    """Why it is disabled, as a sentence; empty if it works."""


@runtime_checkable
class Offering(Protocol):
    """Protocol of a screen or an app that adds entries of its own to the palette."""

    def offers(self) -> Iterator[PaletteEntry]:
        """Yield palette entries."""
        ...


def entries_of(screen: Screen[Any]) -> list[PaletteEntry]:
    """Return all entries for a screen: its commands and those of the app, the place's own first."""
    general = {*EVERYWHERE}
    offered = [each for each in offered_commands(screen) if _is_offered(each.command)]
    entries = [_entry_of(screen, each, general) for each in offered]
    for source in (screen, screen.app):
        if isinstance(source, Offering):
            entries += source.offers()
    # Disabled commands come last among their own; the order is otherwise that of the screen.
    return sorted(entries, key=lambda entry: (entry.kind, bool(entry.reason)))


def _is_offered(command: type[Command]) -> bool:
    return command not in NOT_OFFERED and BACK not in command.key.split(",")


def _entry_of(screen: Screen[Any], each: OfferedCommand, general: set[Any]) -> PaletteEntry:
    command = each.command
    if issubclass(command, GoTo):
        kind, name = Kind.PLACE, f"Go to {command.title}"
    else:
        is_general = command in general or command.group in ("Everywhere", "Screens")
        kind, name = Kind.CONSOLE if is_general else Kind.VERB, command.label[:1].upper() + command.label[1:]
    run = partial(screen.app.run_action, each.action, each.node)
    return PaletteEntry(kind, name, command.help, run, each.keys, command.words, each.reason)


def matching(entries: Sequence[PaletteEntry], query: str) -> list[PaletteEntry]:
    """Return the entries that a query names, best first: all entries for an empty one.

    A name that begins with the query comes before one with words that begin so, before further names, before a part of
    a word. Of equally good ones, enabled ones come first, then verbs and places.
    """
    words = query.casefold().split()
    if not words:
        return list(entries)
    ranked = ((quality, entry) for entry in entries if (quality := _quality(entry, words)) is not None)
    return [entry for _, entry in sorted(ranked, key=lambda each: (each[0], bool(each[1].reason), each[1].kind))]


def _quality(entry: PaletteEntry, words: Sequence[str]) -> int | None:
    """Return how well the words of a query name an entry, 0 best; None if they do not."""
    name = entry.name.casefold()
    if name.startswith(" ".join(words)):
        return 0
    names = _words(name)
    if _all_begin(words, names):
        return 1
    if _all_begin(words, [*names, *_words(entry.words.casefold())]):
        return 2
    return 3 if all(word in name for word in words) else None


def _words(text: str) -> list[str]:
    return [*text.split(), *text.replace("-", " ").replace(":", " ").replace("/", " ").split()]


def _all_begin(words: Iterable[str], names: Iterable[str]) -> bool:
    known = list(names)
    return all(any(name.startswith(word) for name in known) for word in words)
