"""Adopting the file of a Vestige server in the console: the preview, the question, and the store opened anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vestige_tui.presenters import adoption as words
from vestige_tui.tui.dialogs.modals import Confirm

if TYPE_CHECKING:
    from vestige_tui.store.store import Store
    from vestige_tui.tui.console_app import ConsoleApp


async def ask_and_adopt(app: ConsoleApp, store: Store) -> str:
    """Show the additions of an adoption of the open file, and adopt it; return the result, empty if the user cancels.

    Raises VestigeError, where nothing was added.
    """
    plan, backup = await store.maintenance.adoption_plan()
    file = store.file
    assert file is not None
    notes = [*words.plan_lines(plan, file, backup), *words.SERVER_NOTES]
    question = Confirm(f"Adopt {file.name}, to write to it?", words.added_names(plan), verb="adopt", notes=notes)
    if not await app.push_screen_wait(question):
        return ""
    if (place := app.place_in_front) is not None:
        place.say("Writing the backup, then adding columns and tables…", severity="quiet")
    return words.adopted_sentence(await store.maintenance.adopt(), file)
