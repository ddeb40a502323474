"""Asking for a line and using it: a line that is refused stays in the dialog, with the error beneath it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from vestige_tui.core.errors import Cancelled, VestigeError
from vestige_tui.core.text import plain
from vestige_tui.tui.dialogs.modals import Ask

if TYPE_CHECKING:
    from textual.screen import Screen

log = logging.getLogger(__name__)

T = TypeVar("T")


async def ask_and_use(
    screen: Screen[Any],
    ask: Callable[[str, str], Ask],
    use: Callable[[str], Awaitable[T]],
    *,
    may_be_empty: bool = False,
) -> T | None:
    """Ask over ``screen`` until the line could be used; return the result of ``use``, None if the user cancels.

    ``ask`` makes the dialog with the line as it was typed and the error of the last attempt. Where the user has gone on
    to another screen meanwhile, the error quotes the line.
    """
    line = fault = ""
    while True:
        typed = await screen.app.push_screen_wait(ask(line, fault))
        if typed is None or not (typed.strip() or may_be_empty):
            return None
        try:
            return await use(typed)
        except Cancelled:
            raise
        except VestigeError as error:
            if screen.app.screen is not screen:
                raise type(error)(f"{error.message} Your text: {plain(typed)}") from error
            log.info("What was typed into a dialog was refused: %s", type(error).__name__)
            line, fault = typed, error.message
