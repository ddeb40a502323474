"""Paths that a user wrote."""

from __future__ import annotations

import os
from pathlib import Path

from vestige_tui.core.errors import Usage
from vestige_tui.core.text import quoted


def user_path(text: str) -> Path:
    """Return a path with a leading ``~`` expanded. Raises Usage for a text that can name no file."""
    if "\0" in text:
        raise Usage(f"{quoted(text)} holds a NUL character and can name no file.")
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise Usage(f"{quoted(text)} holds a character without a code in file names, and can name no file.") from None
    path = os.path.expanduser(text)
    if text.startswith("~") and path == text:
        raise Usage(f"There is no home directory for {quoted(text)}; write the path from / on, or ./~ for such a name.")
    return Path(path)
