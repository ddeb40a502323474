"""Commands for the settings: config show, path, init."""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path

from vestige_tui.cli.global_options import settings, store_url
from vestige_tui.cli.output import Output
from vestige_tui.cli.parser import Commands
from vestige_tui.config.settings import Config


def add_commands(commands: Commands) -> None:
    config = commands.add("config", None, "show or create the settings file")
    steps = commands.subcommands(config, "step")
    steps.add("show", _show, "print all settings")
    steps.add("path", _path, "print the path of the settings file")
    steps.add("init", _init, "create a settings file that states every default")


async def _show(args: Namespace, output: Output) -> int:
    from vestige_tui.core.text import redact_url

    config = settings(args)
    _check_names(config)
    values = {
        "path": str(config.path) if config.path else None,
        "store": redact_url(store_url(args, config)),
        "backend": config.backend,
        "direct_url": redact_url(config.direct_url) if config.direct_url else None,
        "read_url": redact_url(config.postgres_read_url) if config.postgres_read_url else None,
        "max_connections": config.max_connections,
        "acquire_timeout_secs": config.acquire_timeout_secs,
        "provider": config.provider,
        "model": config.model,
        "desired_retention": config.desired_retention,
        "weights": list(config.weights),
        "new_per_day": config.new_per_day,
        "day_starts_at": f"{config.day_starts_at:%H:%M}",
        "keys": dict(config.keys),
        "theme": config.theme,
        "history": config.history,
    }
    if output.as_json:
        output.document(values)
        return 0
    texts = {**values, "weights": ", ".join(f"{weight:g}" for weight in config.weights)}
    texts["keys"] = ", ".join(f"{command} = {key}" for command, key in config.keys.items()) or None
    output.table([(name, "not set" if value is None else str(value)) for name, value in texts.items()], flexible=1)
    return 0


def _check_names(config: Config) -> None:
    """Check the names that only the console knows. Raises ConfigError."""
    if config == Config(path=config.path):
        return
    from vestige_tui.config.keymap import check_keys
    from vestige_tui.config.reader import check_theme
    from vestige_tui.tui.commands.catalogue import default_keys
    from vestige_tui.tui.themes import themes

    check_keys(config, default_keys())
    check_theme(config, themes())


def settings_path(args: Namespace) -> Path:
    from vestige_tui.config.directories import default_path
    from vestige_tui.core.paths import user_path

    name = args.config or os.environ.get("VESTIGE_CONFIG")
    return user_path(name) if name else default_path()


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)


async def _path(args: Namespace, output: Output) -> int:
    path = settings_path(args)
    if output.as_json:
        output.document({"path": str(path), "exists": _is_file(path)})
    output.line(str(path))
    return 0


async def _init(args: Namespace, output: Output) -> int:
    from vestige_tui.config.writer import write_default

    path = settings_path(args)
    write_default(path)
    if output.as_json:
        output.document({"changed": [str(path)], "undo": None})
    output.line(f"Wrote {path}.")
    return 0
