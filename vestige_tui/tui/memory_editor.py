"""Editing one memory in the user's editor: again while it cannot be saved, until it is saved or the user gives up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from textual.app import SuspendNotSupported

from vestige_tui.core.editor import EditedText
from vestige_tui.core.errors import Refused, Usage, VestigeError
from vestige_tui.core.memory_template import MemoryForm, read_template, write_template
from vestige_tui.tui.dialogs.editor import EditAgain, EditorWait

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vestige_tui.core.memories import Change
    from vestige_tui.tui.place import Place


async def edit_in_editor(
    place: Place, before: MemoryForm, name: str, save: Callable[[MemoryForm], Awaitable[Change]]
) -> tuple[MemoryForm, Change] | None:
    """Edit a form in a file called ``name`` and ``save`` it; return the new form and its change, None without one.

    A form that is refused can be edited again. Raises Refused if the user gives up, and the error of ``save``; both
    name the file, which then keeps the text.
    """
    edited = EditedText(write_template(before), name)
    while await _run(place, edited):
        try:
            form = read_template(edited.text, before)
            if form == before:
                break
            change = await save(form)
        except Usage as error:
            await _ask_to_edit_again(place, edited, error.message)
            continue
        except VestigeError as error:
            raise type(error)(f"{error.message} {edited.kept}") from error
        except Exception as error:
            raise VestigeError(f"The text could not be saved; it is kept in {edited.path}.") from error
        edited.discard()
        return form, change
    edited.discard()
    return None


async def _run(place: Place, edited: EditedText) -> bool:
    """Let the user edit the file; return whether it has changed. Raises Refused if the change is not to be used."""
    try:
        taken = await edited.edit(place.app.suspend)
        if edited.returned_at_once:
            taken = await place.app.push_screen_wait(EditorWait(edited))
    except SuspendNotSupported:
        raise Refused("No editor can be opened in this terminal; `vestige-tui edit ID` does it in a shell.") from None
    except asyncio.CancelledError:
        _keep_or_discard(place, edited)
        raise
    if not taken and edited.changed:
        raise Refused(f"Nothing was saved. {edited.kept}")
    return taken


async def _ask_to_edit_again(place: Place, edited: EditedText, fault: str) -> None:
    """Ask whether to open the editor again. Raises Refused, which names the file, if not."""
    try:
        again = await place.app.push_screen_wait(EditAgain(fault))
    except asyncio.CancelledError:
        _keep_or_discard(place, edited)
        raise
    if not again:
        raise Refused(f"Nothing was saved. {edited.kept}")


def _keep_or_discard(place: Place, edited: EditedText) -> None:
    """Name the file on stderr once the console has ended, or delete it if it holds nothing new."""
    if edited.changed:
        place.console.last_words.append(edited.kept)
    else:
        edited.discard()
