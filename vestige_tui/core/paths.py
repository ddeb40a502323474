"""Paths that a user wrote."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from vestige_tui.core.errors import Unavailable, Usage
from vestige_tui.core.text import quoted, redact_url


def refuse_unnamable(text: str) -> None:
    """Raise Usage for a text that no file can be named by: a NUL ends a name, and a lone surrogate has no bytes."""
    shown = quoted(redact_url(text))
    if "\0" in text:
        raise Usage(f"{shown} contains a NUL character, which no file or server name can contain.")
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise Usage(f"{shown} contains half a character, which no file or server name can contain.") from None


def user_path(text: str) -> Path:
    """Return a path with a leading ``~`` expanded. Raises Usage for a text that can name no file.

    Raises Unavailable for a relative path in a directory that was deleted.
    """
    refuse_unnamable(text)
    path = os.path.expanduser(text)
    if text.startswith("~") and path == text:
        raise Usage(
            f"There is no home directory for {quoted(text)}; write the path from /, or ./~ for a file of this name."
        )
    if not os.path.isabs(path):
        try:
            os.getcwd()
        except FileNotFoundError:
            raise Unavailable("The working directory was deleted; change to another one and try again.") from None
    return Path(path)


def kind_of(path: Path, title: str) -> int:
    """Return the kind of a file as ``stat.S_IFMT`` does, 0 where there is none; symlinks are followed.

    Raises Unavailable with ``title`` where it cannot be seen: ``Path.exists`` differs there between Pythons.
    """
    try:
        return stat.S_IFMT(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except OSError as error:
        raise Unavailable(f"{title} cannot be opened: {error.strerror}.") from None
