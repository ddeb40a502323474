"""The filters that a person has given names, kept in the settings file; also asking for a name, and before a loss."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

from textual.screen import Screen

from vestige_tui.config import Config, default_path, filter_name_fault, set_value
from vestige_tui.core.errors import Usage
from vestige_tui.core.filter_syntax import Chip, read_chips, write_chips
from vestige_tui.tui.dialogs.modals import Ask, Confirm


@runtime_checkable
class Configured(Protocol):
    """What is expected of the app: its settings."""

    config: Config


class SavedFilters:
    """Saved filters by name, as the settings file of this console has them."""

    def __init__(self, app: object) -> None:
        self._app = app

    @property
    def by_name(self) -> Mapping[str, str]:
        """Each as it is typed."""
        return self._app.config.filters if isinstance(self._app, Configured) else {}

    def chips(self, name: str) -> tuple[Chip, ...]:
        """The chips of one of them; none where it is gone."""
        text = self.by_name.get(name)
        return read_chips(text) if text is not None else ()

    async def put(self, name: str, chips: Sequence[Chip]) -> None:
        """Write one down, in place of any other of that name. Raises Usage, ConfigError or Refused."""
        if fault := filter_name_fault(name):
            raise Usage(f"The name of a saved filter {fault}.")
        text = write_chips(chips)
        read_chips(text)
        await self._set(name, text)

    async def drop(self, name: str) -> None:
        """Forget one. Raises ConfigError or Refused."""
        await self._set(name, None)

    async def _set(self, name: str, text: str | None) -> None:
        if not isinstance(self._app, Configured):
            return
        path = self._app.config.path or default_path()
        # The file may lie on a slow disk.
        await asyncio.to_thread(set_value, path, f"filters.{name}", text)
        known = {key: value for key, value in self.by_name.items() if key != name}
        if text is not None:
            known[name] = text
        self._app.config = replace(self._app.config, filters=known, path=path)


async def ask_to_save(screen: Screen[None], saved: SavedFilters, chips: Sequence[Chip]) -> str:
    """Ask for a name and save the chips under it; gives a sentence for the person, empty where they left."""
    if not chips:
        return "There is no filter to save yet."
    text = write_chips(chips)
    read_chips(text)
    typed = await screen.app.push_screen_wait(Ask("Save these filters as", placeholder="a name", note=text[:400]))
    name = (typed or "").strip()
    if not name:
        return ""
    before = saved.by_name.get(name)
    if before is not None and before != text:
        lines = [f"now  {before}", f"then {text}"]
        if not await screen.app.push_screen_wait(Confirm(f"Replace the saved filter {name}?", lines, verb="replace")):
            return ""
    await saved.put(name, chips)
    return f"Saved as {name}."


async def ask_to_drop(screen: Screen[None], saved: SavedFilters, name: str) -> str:
    """Forget a saved filter after asking; gives a sentence for the person, empty where they left."""
    if not await screen.app.push_screen_wait(Confirm(f"Forget the saved filter {name}?", [saved.by_name[name]])):
        return ""
    await saved.drop(name)
    return f"Forgot the saved filter {name}."
