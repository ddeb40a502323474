"""Command about: versions, terminal and paths, as a bug report needs them. Opens no store."""

from __future__ import annotations

import os
import platform
import sys
from argparse import Namespace

from vestige_tui import __version__
from vestige_tui.cli.output import Output, terminal_size
from vestige_tui.cli.parser import Commands

_PACKAGES = (
    "textual",
    "psycopg",
    "pgvector",
    "aiosqlite",
    "fastembed",
    "onnxruntime",
    "numpy",
    "fsrs",
    "tomlkit",
)
_MULTIPLEXERS = {"TMUX": "tmux", "STY": "screen", "ZELLIJ": "zellij"}
"""Variable that a terminal multiplexer sets, and its name."""


def add_commands(commands: Commands) -> None:
    commands.add("about", _about, "print versions, terminal and paths for a bug report; opens no store")


async def _about(args: Namespace, output: Output) -> int:
    facts = {**_versions(), **_surroundings(), **_paths(args)}
    if output.as_json:
        output.document(facts)
        return 0
    output.table([(name.replace("_", " "), value or "not set") for name, value in facts.items()], flexible=1, wrap=True)
    return 0


def _versions() -> dict[str, str | None]:
    from importlib.metadata import PackageNotFoundError, version

    from vestige_tui.store.backends.driver_versions import libpq_version, sqlite_version

    def installed(package: str) -> str:
        try:
            return version(package)
        except PackageNotFoundError:
            return "not installed"

    packages = {name: installed(name) for name in _PACKAGES}
    return {
        "vestige-tui": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": platform.platform(),
        **packages,
        "libpq": libpq_version(),
        "sqlite": sqlite_version(),
    }


def _surroundings() -> dict[str, str | None]:
    """Return the facts of terminal and locale that decide how a screen looks."""
    import locale

    columns, rows = terminal_size(sys.stdout, (0, 0))
    program = " ".join(filter(None, map(os.environ.get, ("TERM_PROGRAM", "TERM_PROGRAM_VERSION"))))
    return {
        "term": os.environ.get("TERM"),
        "colorterm": os.environ.get("COLORTERM"),
        "terminal": program or None,
        "multiplexer": next((name for variable, name in _MULTIPLEXERS.items() if os.environ.get(variable)), None),
        "size": f"{columns}x{rows}" if columns else None,
        "locale": ".".join(filter(None, locale.getlocale())) or None,
        "encoding": f"{sys.stdout.encoding}, files {sys.getfilesystemencoding()}",
    }


def _paths(args: Namespace) -> dict[str, str | None]:
    from vestige_tui.cli.config import settings_path
    from vestige_tui.config.directories import state_dir
    from vestige_tui.config.log import log_path
    from vestige_tui.core.text import below_home

    paths = {"settings": settings_path(args), "state": state_dir(), "log": log_path()}
    return {name: below_home(str(path)) for name, path in paths.items()}
