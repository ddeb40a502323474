"""Directories of this program: stores, state, downloaded models, and the settings."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path


def default_path(env: Mapping[str, str] = os.environ) -> Path:
    """Return the path of the settings if none is given."""
    return home_dir(env) / ".vestige" / "vestige.toml"


def data_dir(env: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """Return the directory of own stores, without creating it."""
    return _program_dir(
        env, platform, "XDG_DATA_HOME", ".local/share", "Library/Application Support/vestige-tui", "data"
    )


def state_dir(env: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """Return the directory of the index of jobs and stores, without creating it."""
    mac = "Library/Application Support/vestige-tui/state"
    return _program_dir(env, platform, "XDG_STATE_HOME", ".local/state", mac, "state")


def cache_dir(env: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """Return the directory of downloaded models, without creating it."""
    return _program_dir(env, platform, "XDG_CACHE_HOME", ".cache", "Library/Caches/vestige-tui", "cache")


def _program_dir(env: Mapping[str, str], platform: str, variable: str, linux: str, mac: str, windows: str) -> Path:
    home = home_dir(env)
    if platform == "win32":
        return Path(env.get("LOCALAPPDATA") or home / "AppData" / "Local") / "vestige-tui" / windows
    default = home / mac if platform == "darwin" else home / linux / "vestige-tui"
    base = xdg_dir(env, variable)
    return base / "vestige-tui" if base else default


def xdg_dir(env: Mapping[str, str], variable: str) -> Path | None:
    """Return the base directory of an XDG variable; None where it is unset."""
    # The XDG specification ignores relative paths.
    path = Path(env.get(variable) or ".")
    return path if path.is_absolute() else None


def home_dir(env: Mapping[str, str]) -> Path:
    """Return the home directory of the user."""
    home = env.get("HOME") or env.get("USERPROFILE")
    return Path(home) if home else Path.home()


def expand_home(path: Path, env: Mapping[str, str]) -> Path:
    """Return a path with a leading ``~`` replaced by the home directory."""
    return home_dir(env).joinpath(*path.parts[1:]) if path.parts[:1] == ("~",) else path


def make_private_dir(path: Path) -> None:
    """Create ``path`` and its missing parents with mode 700; existing directories keep their mode."""
    if not path.is_dir():
        make_private_dir(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
