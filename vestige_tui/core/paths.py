"""Paths that a user wrote."""

from __future__ import annotations

import os
from pathlib import Path

from vestige_tui.core.errors import Usage
from vestige_tui.core.text import quoted


def refuse_unnamable(text: str) -> None:
    """Raise Usage for a text that no file can be named by: a NUL ends a name, and a lone surrogate has no bytes."""
    if "\0" in text:
        raise Usage(f"{quoted(text)} holds a NUL character, which no name of a file or server can.")
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise Usage(f"{quoted(text)} holds half a character, which no name of a file or server can.") from None


def user_path(text: str) -> Path:
    """Return a path with a leading ``~`` expanded. Raises Usage for a text that can name no file."""
    refuse_unnamable(text)
    path = os.path.expanduser(text)
    if text.startswith("~") and path == text:
        raise Usage(f"There is no home directory for {quoted(text)}; write the path from / on, or ./~ for such a name.")
    return Path(path)
