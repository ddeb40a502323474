"""Entries of the palette that belong to the console: stores, themes, export, import, screenshot, settings and log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from textual.app import SuspendNotSupported

from vestige_tui.config.directories import default_path
from vestige_tui.config.log import log_path
from vestige_tui.core import file_targets, files
from vestige_tui.core.bulk import Target
from vestige_tui.core.editor import edit_in_place
from vestige_tui.core.errors import Refused
from vestige_tui.core.memories import Filter
from vestige_tui.core.paths import user_path
from vestige_tui.core.text import below_home, plain
from vestige_tui.presenters.accounts import NO_ACCOUNTS
from vestige_tui.presenters.moments import past_moment_reason
from vestige_tui.presenters.stores import location, read_only_sentence
from vestige_tui.tui.another_store import other_stores
from vestige_tui.tui.command_screen import NOT_OPEN
from vestige_tui.tui.commands.palette import Kind, PaletteEntry
from vestige_tui.tui.dialogs.asking import ask_and_use
from vestige_tui.tui.dialogs.modals import Ask, Message
from vestige_tui.tui.memory_place import STILL_SELECTING, MemoryPlace
from vestige_tui.tui.place import Place
from vestige_tui.tui.program_command import run_command
from vestige_tui.tui.taken_out import export_to_file
from vestige_tui.tui.themes import THEMES

if TYPE_CHECKING:
    from vestige_tui.store.store import Store
    from vestige_tui.tui.console_app import ConsoleApp

RECENT_ROWS = 8
LOG_LINES = 200
_Offer: TypeAlias = tuple[str, str, Callable[["ConsoleApp", Place], Awaitable[None]], str, str]
"""Name and sentence of an entry, its command, further words to find it by, and the reason if it is disabled."""
COLOURS = "colours dark light contrast"
EXPORTED, IMPORTED = "memories.jsonl", "a JSON Lines file"


def console_offers(app: ConsoleApp) -> Iterator[PaletteEntry]:
    """Yield the entries of the console."""
    for url in other_stores(app)[:RECENT_ROWS]:
        yield PaletteEntry(
            Kind.STORE,
            f"Open {location(url)}",
            "Switch to this store; the current one stays open until the new one is open.",
            partial(_as_coroutine, partial(app.action_open_store, url)),
            words="store recent",
        )
    place = app.place_in_front
    store, moment = app.session.store, app.session.moment
    no_store = "" if store is not None else NOT_OPEN
    against = read_only_sentence(store.read_only_reason) if store is not None and store.read_only else no_store
    if moment is not None:
        against = past_moment_reason(moment)
    for name, sentence, run, words, reason in (
        (*_export_offer(place), export_memories, "save backup jsonl selection", no_store or _still_selecting(place)),
        (
            "Import…",
            "Add the memories of a JSON Lines file.",
            import_memories,
            "load jsonl",
            against,
        ),
        *_adoption_offer(store),
        *_viewer_offers(store, no_store),
        ("Screenshot", "Write this screen as an SVG file into the current folder.", take_screenshot, "picture svg", ""),
        ("Settings file", "Edit the settings file in your editor.", edit_settings, "config preferences options", ""),
        ("Log", "Show the last lines of the log, and where it is.", show_log, "errors debug", ""),
    ):
        yield PaletteEntry(Kind.CONSOLE, name, sentence, partial(_in_worker, app, run), words=words, reason=reason)
    # The present one comes last: it is not the one to take next.
    for theme in sorted(THEMES, key=lambda theme: theme.name == app.theme):
        is_current = theme.name == app.theme
        sentence = "The current theme." if is_current else "Use this theme, now and at the next start."
        yield PaletteEntry(
            Kind.THEME,
            f"Theme: {theme.name}",
            sentence,
            partial(_set_theme, app, theme.name),
            words=COLOURS,
        )


def _adoption_offer(store: Store | None) -> Iterator[_Offer]:
    """Yield the entry that adopts the open file, where it is one of a Vestige server that is not adopted."""
    if store is not None and store.moment is None and store.maintenance.adoptable:
        sentence = "Let this console write to the file of the Vestige server; a preview comes first."
        yield "Adopt this file…", sentence, adopt, "vestige write read-only backup", ""


def _viewer_offers(store: Store | None, no_store: str) -> Iterator[_Offer]:
    """Yield the entries that show the store as one user sees it, and as everybody does."""
    reason = no_store or ("" if store is not None and store.accounts.are_kept else NO_ACCOUNTS)
    sentence = "Show what one user may see; the store is read-only then."
    yield "View as…", sentence, view_as, "viewer user owner visibility", reason
    if store is not None and store.viewer is not None:
        yield "View as everybody", "Show the memories of all users again.", view_all, "viewer user all", ""


async def view_as(app: ConsoleApp, place: Place) -> None:
    """Ask for a user, and show the memories that this user may see."""
    app.action_view_as()


async def view_all(app: ConsoleApp, place: Place) -> None:
    """Show the memories of all users again."""
    app.action_view_as("")


async def adopt(app: ConsoleApp, place: Place) -> None:
    """Adopt the open file after a preview."""
    app.action_adopt()


def _export_offer(place: Place | None) -> tuple[str, str]:
    """Return name and sentence of the export, which is of the selection where there is one."""
    if isinstance(place, MemoryPlace) and place.selection() is not None:
        return "Export selection…", f"Write the selection ({place.chosen_subject()}) to a JSON Lines file."
    return "Export…", "Write all memories to a JSON Lines file."


def _still_selecting(place: Place | None) -> str:
    """Return the reason against an export of a selection that is still growing."""
    return STILL_SELECTING if isinstance(place, MemoryPlace) and place.still_selecting else ""


async def _as_coroutine(run: Callable[[], object]) -> None:
    run()


async def _set_theme(app: ConsoleApp, name: str) -> None:
    app.theme = name


async def _in_worker(app: ConsoleApp, run: Callable[[ConsoleApp, Place], Awaitable[None]]) -> None:
    """Run an entry that waits, in a worker of the place in front, which shows its error."""
    place = app.place_in_front
    if place is not None:
        place.run_offer(partial(run, app, place))


async def take_screenshot(app: ConsoleApp, place: Place) -> None:
    """Write the screen as SVG into the current folder."""
    path = Path.cwd() / f"vestige-{datetime.now():%Y%m%d-%H%M%S}.svg"
    svg = app.export_screenshot()
    await asyncio.to_thread(files.write, file_targets.examine(path), svg)
    place.say(f"Saved the screen in {plain(below_home(str(path)))}.")


async def edit_settings(app: ConsoleApp, place: Place) -> None:
    """Edit the settings file in place; without an editor, or without the file, say where it is."""
    path = app.config.path or default_path()
    shown = plain(below_home(str(path)))
    if not path.exists():
        place.say(f"There is no settings file yet; `vestige-tui config init` writes {shown}.", severity="quiet")
        return
    try:
        await edit_in_place(path, app.suspend)
    except (Refused, SuspendNotSupported) as error:
        reason = f"{error.message} " if isinstance(error, Refused) else ""
        place.say(f"{reason}The settings are in {shown}.", severity="waiting")
        return
    app.read_settings(path)
    place.say(f"Read {shown}: theme and saved filters apply now, all else at the next start.")


async def show_log(app: ConsoleApp, place: Place) -> None:
    """Show the end of the log."""
    path = log_path()

    def read() -> str:
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    lines = (await asyncio.to_thread(read)).splitlines()
    text = "\n".join(lines[-LOG_LINES:]) or "The log is empty."
    app.push_screen(Message(f"Log: {plain(below_home(str(path)))}", text, at_end=True))


async def export_memories(app: ConsoleApp, place: Place) -> None:
    """Ask for a file and export the selection into it, or all memories."""
    selection = place.selection() if isinstance(place, MemoryPlace) else None
    subject = place.chosen_subject() if isinstance(place, MemoryPlace) and selection is not None else "all memories"
    target = selection or Target(filter=Filter(superseded=True))

    def ask(line: str, fault: str) -> Ask:
        return Ask(f"Export {subject} to", value=line or EXPORTED, fault=fault, note=EXPORT_NOTE, verb="export")

    async def run(line: str) -> str:
        store = place.store
        if store is None:
            raise Refused(NOT_OPEN)
        place.say("Exporting…", severity="quiet")
        return await export_to_file(store, target, line.strip())

    place.say(await ask_and_use(place, ask, run) or "Nothing was exported.")


async def import_memories(app: ConsoleApp, place: Place) -> None:
    """Ask for a file and import its memories."""

    async def run(line: str) -> str:
        path = user_path(line.strip()).absolute()
        place.say("Importing…", severity="quiet")
        options = ["--read-only"] if app.session.opened_read_only else []
        return await run_command(app.config, app.session.url, [*options, "import", str(path)])

    text = await ask_and_use(place, _ask_import, run)
    place.say(plain(text.splitlines()[-1]) if text else "Nothing was imported.")
    app.session.note_change()


def _ask_import(line: str, fault: str) -> Ask:
    return Ask("Import memories from", value=line, fault=fault, placeholder=IMPORTED, note=IMPORT_NOTE, verb="import")


EXPORT_NOTE = "JSON Lines, with links, reviews, replacements and review marks. An existing file is not replaced."
IMPORT_NOTE = "JSON Lines, as export writes it. Existing memories are not changed."
