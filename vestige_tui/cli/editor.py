"""Editing a memory in the user's editor, from the command line: again while it cannot be saved."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Awaitable, Callable

from vestige_tui.cli.consent import ask
from vestige_tui.cli.output import Output
from vestige_tui.core.editor import EditedText
from vestige_tui.core.errors import Refused, Usage, VestigeError
from vestige_tui.core.memories import Change
from vestige_tui.core.memory_template import MemoryForm, read_template, write_template

STDERR_FD = 2
"""File descriptor of stderr."""
WATCH_SECONDS = 0.5


async def edit_in_editor(
    before: MemoryForm, output: Output, save: Callable[[MemoryForm], Awaitable[Change]], *, instead: str
) -> Change | None:
    """Edit a form in the user's editor and ``save`` it; return its change, None for an unchanged form.

    A form that is refused can be edited again at a terminal. An error names the file, which then keeps the text.
    ``instead`` is the other way to give the text, for the error without a terminal.
    """
    if not _at_terminal() and not (os.environ.get("VISUAL") or os.environ.get("EDITOR")):
        raise Refused(f"An editor needs a terminal; {instead}.")
    edited = EditedText(write_template(before))
    while await _run(edited, output):
        try:
            form = read_template(edited.text, before)
            if form == before:
                break
            change = await save(form)
        except VestigeError as error:
            if isinstance(error, Usage) and _at_terminal() and await _wants_again(edited, output, error.message):
                continue
            raise type(error)(f"{error.message} {edited.kept}") from error
        edited.discard()
        return change
    edited.discard()
    return None


def _at_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


async def _wants_again(edited: EditedText, output: Output, fault: str) -> bool:
    output.note(fault)
    try:
        return await ask("Edit it again?", default=True)
    except asyncio.CancelledError:
        output.note(edited.kept, fold=False)
        raise


async def _run(edited: EditedText, output: Output) -> bool:
    """Open the file in the user's editor; return whether it has changed. Raises Refused."""
    try:
        # A redirected stdout is reserved for the answer.
        changed = await edited.edit(stdout=None if sys.stdout.isatty() else STDERR_FD)
        if edited.returned_at_once and _at_terminal():
            output.note(
                f"The editor {edited.editor} exited at once without a change. If it opened a window, save the text"
                " there; enter stops waiting."
            )
            changed = await _changed_until_enter(edited)
    except asyncio.CancelledError:
        if edited.changed:
            output.note(edited.kept, fold=False)
        else:
            edited.discard()
        raise
    return changed


async def _changed_until_enter(edited: EditedText) -> bool:
    """Wait until the file has another text, in two polls the same, or the user presses enter."""
    loop, pressed = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), pressed.set)
    try:
        while not pressed.is_set():
            text = edited.text
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WATCH_SECONDS):
                    await pressed.wait()
            edited.read()
            if edited.changed and edited.text == text:
                return True
    finally:
        loop.remove_reader(sys.stdin.fileno())
    sys.stdin.readline()
    return edited.changed
