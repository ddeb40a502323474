"""Directories of this program: stores, state, downloaded models, and the settings."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from vestige_tui.core.errors import HomeUnknown
from vestige_tui.process.private_directory import make_private_dir as make_private_dir

HOME_VARIABLE = "VESTIGE_TUI_HOME"
"""Environment variable with one folder for settings, state and own stores. Downloaded models stay shared."""


def own_home(env: Mapping[str, str] = os.environ) -> Path | None:
    """Return the folder of HOME_VARIABLE; None where it is unset."""
    return Path(env[HOME_VARIABLE]).absolute() if env.get(HOME_VARIABLE) else None


@contextmanager
def private_home(folder: Path) -> Iterator[None]:
    """Keep settings, state and own stores in a folder meanwhile, also in the processes that are started."""
    before = os.environ.get(HOME_VARIABLE)
    os.environ[HOME_VARIABLE] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ[HOME_VARIABLE]
        else:
            os.environ[HOME_VARIABLE] = before


def default_path(env: Mapping[str, str] = os.environ) -> Path:
    """Return the path of the settings if none is given. Raises HomeUnknown, as every function here."""
    if home := own_home(env):
        return home / "vestige.toml"
    return home_dir(env) / ".vestige" / "vestige.toml"


def data_dir() -> Path:
    """Return the directory of own stores, without creating it."""
    home = own_home()
    return home / "data" if home else _platform_dir("user_data_path")


def state_dir() -> Path:
    """Return the directory of the index of jobs and stores, without creating it."""
    home = own_home()
    return home / "state" if home else _platform_dir("user_state_path")


def cache_dir() -> Path:
    """Return the directory of downloaded models, without creating it."""
    return _platform_dir("user_cache_path")


def _platform_dir(name: str) -> Path:
    """Return a directory that the platform has for this program; on Linux one of the XDG specification."""
    from platformdirs import PlatformDirs

    try:
        path: Path = getattr(PlatformDirs("vestige-tui", appauthor=False), name)
    except RuntimeError:
        raise HomeUnknown from None
    return path


def xdg_dir(env: Mapping[str, str], variable: str) -> Path | None:
    """Return the base directory of an XDG variable; None where it is unset."""
    # The XDG specification ignores relative paths.
    path = Path(env.get(variable) or ".")
    return path if path.is_absolute() else None


def home_dir(env: Mapping[str, str]) -> Path:
    """Return the home directory of the user."""
    home = env.get("HOME") or env.get("USERPROFILE")
    if home:
        return Path(home)
    try:
        return Path.home()
    except RuntimeError:
        raise HomeUnknown from None


def expand_home(path: Path, env: Mapping[str, str]) -> Path:
    """Return a path with a leading ``~`` replaced by the home directory."""
    return home_dir(env).joinpath(*path.parts[1:]) if path.parts[:1] == ("~",) else path
