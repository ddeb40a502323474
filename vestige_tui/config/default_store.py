"""The store that is opened without a URL: the configured one, Vestige's, or our own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from vestige_tui.config.directories import data_dir, expand_home, home_dir, xdg_dir
from vestige_tui.config.settings import Config


def default_store_url(config: Config, env: Mapping[str, str] = os.environ, platform: str = sys.platform) -> str:
    """Return the store to open without a URL: the configured one, else Vestige's existing one, else our own."""
    if config.store_url:
        return config.store_url
    for file in _vestige_databases(env, platform):
        if os.path.isfile(file):
            return f"sqlite:{file}"
    return f"sqlite:{data_dir() / 'vestige.db'}"


def _vestige_databases(env: Mapping[str, str], platform: str) -> Iterator[Path]:
    home = home_dir(env)
    if env.get("VESTIGE_DATA_DIR"):
        yield expand_home(Path(env["VESTIGE_DATA_DIR"]), env) / "vestige.db"
    if platform == "darwin":
        yield home / "Library" / "Application Support" / "com.vestige.core" / "vestige.db"
    elif platform == "win32":
        roaming = Path(env.get("APPDATA") or home / "AppData" / "Roaming") / "vestige" / "core"
        yield roaming / "data" / "vestige.db"
        yield roaming / "vestige.db"
    else:
        share = xdg_dir(env, "XDG_DATA_HOME") or home / ".local" / "share"
        yield share / "core" / "vestige.db"
        yield share / "vestige" / "core" / "vestige.db"
    yield home / ".vestige" / "vestige.db"
