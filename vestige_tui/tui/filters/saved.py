"""Saved filters, kept by name in the settings file; the dialogs that save and delete one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol, runtime_checkable

from textual.screen import Screen

from vestige_tui.config.directories import default_path
from vestige_tui.config.reader import filter_name_fault
from vestige_tui.config.settings import Config
from vestige_tui.config.writer import set_value
from vestige_tui.core.errors import Usage
from vestige_tui.core.filter_syntax import Chip, read_chips, saved_text
from vestige_tui.tui.dialogs.asking import ask_and_use
from vestige_tui.tui.dialogs.modals import Ask, Confirm


@runtime_checkable
class Configured(Protocol):
    """Protocol of an app with settings."""

    config: Config


class SavedFilters:
    """Saved filters by name, as in the settings file of this console."""

    def __init__(self, app: object) -> None:
        self._app = app

    @property
    def by_name(self) -> Mapping[str, str]:
        """Name → text of the chips."""
        return self._app.config.filters if isinstance(self._app, Configured) else {}

    def chips(self, name: str) -> tuple[Chip, ...]:
        """Return the chips of a saved filter; none if the name is unknown."""
        text = self.by_name.get(name)
        return read_chips(text) if text is not None else ()

    async def put(self, name: str, chips: Sequence[Chip]) -> None:
        """Save chips under a name, replacing the filter of that name. Raises Usage, ConfigError or Refused."""
        if fault := filter_name_fault(name):
            raise Usage(f"The name of a saved filter {fault}.")
        text = saved_text(chips)
        read_chips(text)
        await self._set(name, text)

    async def drop(self, name: str) -> None:
        """Delete a saved filter. Raises ConfigError or Refused."""
        await self._set(name, None)

    async def _set(self, name: str, text: str | None) -> None:
        if not isinstance(self._app, Configured):
            return
        path = self._app.config.path or default_path()
        # In a thread, because the disk may be slow.
        await asyncio.to_thread(set_value, path, f"filters.{name}", text)
        filters = {key: value for key, value in self.by_name.items() if key != name}
        if text is not None:
            filters[name] = text
        self._app.config = replace(self._app.config, filters=filters, path=path)


class SaveResult(NamedTuple):
    """Sentence for the status line, empty if cancelled; and whether the filter was saved."""

    sentence: str
    saved: bool = False


async def ask_to_save(screen: Screen[None], saved: SavedFilters, chips: Sequence[Chip]) -> SaveResult:
    """Ask for a name and save the chips under it."""
    if not chips:
        return SaveResult("There are no filters to save.")
    text = saved_text(chips)
    read_chips(text)

    async def save(typed: str) -> SaveResult:
        name = typed.strip()
        before = saved.by_name.get(name)
        if before is not None and before != text:
            lines = [f"old  {before}", f"new  {text}"]
            question = Confirm(f"Replace the saved filter {name}?", lines, verb="replace")
            if not await screen.app.push_screen_wait(question):
                return SaveResult("")
        await saved.put(name, chips)
        return SaveResult(f"Saved as {name}.", saved=True)

    result = await ask_and_use(
        screen,
        lambda line, fault: Ask(
            "Save these filters as", value=line, fault=fault, placeholder="a name", note=text[:400], verb="save"
        ),
        save,
    )
    return result or SaveResult("")


async def ask_to_drop(screen: Screen[None], saved: SavedFilters, name: str) -> str:
    """Delete a saved filter after asking; return a sentence for the status line, empty if cancelled."""
    if not await screen.app.push_screen_wait(Confirm(f"Delete the saved filter {name}?", [saved.by_name[name]])):
        return ""
    await saved.drop(name)
    return f"Deleted the saved filter {name}."
