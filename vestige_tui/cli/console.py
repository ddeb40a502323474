"""Entry from the command line into the console."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from vestige_tui.core.errors import Refused

if TYPE_CHECKING:
    from datetime import datetime

    from vestige_tui.config.settings import Config


def refuse_without_terminal() -> None:
    """Raise Refused if stdin or stdout is no terminal."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Refused("The console needs a terminal. For commands see `vestige-tui --help`.")


def open_console(
    config: Config, store_url: str, *, read_only: bool, viewer: str | None = None, moment: datetime | None = None
) -> int:
    """Run the console until the user quits; return the exit status."""
    from vestige_tui.tui.app import run_console

    return run_console(config, store_url, read_only=read_only, viewer=viewer, moment=moment)
