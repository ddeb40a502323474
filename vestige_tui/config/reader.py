"""Reading of the settings file, and the check of each value."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from datetime import time
from pathlib import Path
from typing import Any

from vestige_tui.config.directories import default_path, expand_home
from vestige_tui.config.keymap import key_name, similar_key
from vestige_tui.config.settings import DEFAULT_THEME, Config
from vestige_tui.config.settings_file import SettingsFile, did_you_mean, is_number, parse, read_text
from vestige_tui.core.errors import HomeUnknown, Usage
from vestige_tui.core.filter_syntax import read_chips, upgraded_text
from vestige_tui.core.paths import user_path
from vestige_tui.core.scheduling import DEFAULT_WEIGHTS, MAX_RETENTION, MIN_RETENTION
from vestige_tui.core.text import REPLACEMENT, file_name, plain, redact, redact_url, safe

_BACKENDS = ("sqlite", "postgres")
PROVIDERS = ("fastembed",)
MAX_NAME_CHARS = 40
"""Maximum length of the name of a saved filter."""


def load_config(path: Path | None = None, env: Mapping[str, str] = os.environ) -> Config:
    """Load ``path``, else ``$VESTIGE_CONFIG``, else ``~/.vestige/vestige.toml``, else return the defaults.

    Raises ``ConfigError`` if the file is invalid, or if it was named and does not exist.
    """
    named_path = path or (Path(env["VESTIGE_CONFIG"]) if env.get("VESTIGE_CONFIG") else None)
    try:
        file = user_path(str(expand_home(named_path, env))) if named_path else default_path(env)
    except HomeUnknown:
        if named_path is not None:
            raise
        return Config()
    if named_path is None and not os.path.lexists(file):
        return Config()
    source = read_text(file)
    config = read_config(source, file, env)
    urls = [url for url in (config.postgres_url, config.direct_url, config.postgres_read_url) if url]
    has_password = any(redact_url(url) != url for url in urls)
    if has_password and os.name == "posix" and stat.S_IMODE(file.stat().st_mode) & 0o077:
        warning = f"{file_name(file)} contains a password, and other users can read it; run `chmod 600` on it."
        return replace(config, warnings=(warning,))
    return config


def read_config(source: str, file: Path, env: Mapping[str, str]) -> Config:
    """Return the settings of a file's text. Raises ConfigError for the first invalid value."""
    settings = SettingsFile(parse(source, file).unwrap(), source, file)
    settings.check_names()
    backend, sqlite_path, postgres_url = _storage(settings, file, env)
    filters, outdated_filters = _filters(settings)
    return Config(
        backend=backend,
        sqlite_path=sqlite_path,
        postgres_url=postgres_url,
        direct_url=_server_url(settings, "storage.postgres.direct_url"),
        postgres_read_url=_server_url(settings, "storage.postgres.read_url"),
        max_connections=int(settings.number("storage.postgres.max_connections", 10, 1, 10_000, whole=True)),
        acquire_timeout_secs=settings.number("storage.postgres.acquire_timeout_secs", 30, 0.001, 86_400),
        provider=_provider(settings),
        model=settings.text("embeddings.model"),
        desired_retention=settings.number("review.desired_retention", 0.9, MIN_RETENTION, MAX_RETENTION),
        weights=_weights(settings),
        new_per_day=int(settings.number("review.new_per_day", 10, 0, 1_000_000, whole=True)),
        day_starts_at=settings.clock_time("review.day_starts_at", time.min),
        keys=_keys(settings),
        filters=filters,
        outdated_filters=outdated_filters,
        theme=settings.text("ui.theme") or DEFAULT_THEME,
        history=settings.flag("ui.history", True),
        path=file,
    )


def _storage(settings: SettingsFile, file: Path, env: Mapping[str, str]) -> tuple[str | None, Path | None, str | None]:
    if not settings.at("storage"):
        return None, None, None
    backend = settings.text("storage.backend")
    if backend is None:
        settings.fail("storage", 'storage.backend is missing: set it to "sqlite" or "postgres"')
    if backend not in _BACKENDS:
        excerpt = plain(redact(backend))[:40]
        settings.fail("storage.backend", f'storage.backend is "{excerpt}", but must be "sqlite" or "postgres"')
    section = f"storage.{backend}"
    if settings.at(section) is None:
        settings.fail("storage.backend", f'storage.backend is "{backend}", but the section [{section}] is missing')
    key = f"{section}.path" if backend == "sqlite" else f"{section}.url"
    value = settings.text(key)
    if value is None:
        settings.fail(section, f"{key} is missing")
    if backend == "sqlite":
        return backend, file.parent / expand_home(Path(value), env), None
    if not re.match(r"(?:postgres(?:ql)?://|pgembed:).", value):
        settings.fail(key, f"{key} must start with postgresql:// (or be pgembed: and a folder)")
    return backend, None, value


def _provider(settings: SettingsFile) -> str:
    key = "embeddings.provider"
    provider = settings.text(key) or PROVIDERS[0]
    if provider not in PROVIDERS:
        hint = did_you_mean(provider, PROVIDERS) or f'; it must be "{PROVIDERS[0]}"'
        settings.fail(key, f'{key} is "{plain(redact(provider))[:40]}", which is not a provider of models{hint}')
    return provider


def check_theme(config: Config, names: Collection[str]) -> None:
    """Check the theme against the names of all themes. Raises ConfigError."""
    if config.theme not in names:
        hint = did_you_mean(config.theme, list(names)) or "; `vestige-tui themes list` prints all themes"
        problem = f'ui.theme is "{plain(redact(config.theme))[:40]}", which is not a theme{hint}'
        SettingsFile.of(config.path, "[ui]").fail("ui.theme", problem)


def _server_url(settings: SettingsFile, key: str) -> str | None:
    value = settings.text(key) if settings.at("storage.postgres") else None
    if value is not None and not re.match(r"postgres(?:ql)?://.", value):
        settings.fail(key, f"{key} must start with postgresql://")
    return value


def _weights(settings: SettingsFile) -> tuple[float, ...]:
    key = "review.weights"
    weights = settings.at(key)
    if weights is None:
        return DEFAULT_WEIGHTS
    if not isinstance(weights, list) or len(weights) != len(DEFAULT_WEIGHTS) or not all(map(is_number, weights)):
        settings.fail(key, f"{key} must be a list of {len(DEFAULT_WEIGHTS)} numbers")
    from fsrs.scheduler import LOWER_BOUNDS_PARAMETERS, UPPER_BOUNDS_PARAMETERS

    for index, (low, weight, high) in enumerate(
        zip(LOWER_BOUNDS_PARAMETERS, weights, UPPER_BOUNDS_PARAMETERS, strict=True)
    ):
        if not low <= weight <= high:
            settings.fail(key, f"{key}[{index}] is {weight}, but must be between {low:g} and {high:g}")
    return tuple(map(float, weights))


def _keys(settings: SettingsFile) -> dict[str, str]:
    bindings: dict[str, str] = {}
    for command, value in _flatten(settings.at("keys") or {}):
        key = f"keys.{command}"
        excerpt = plain(key)
        entries = value.split(",") if isinstance(value, str) else value
        if not isinstance(entries, list) or not entries or not all(isinstance(name, str) for name in entries):
            settings.fail(key, f'{excerpt} must be a key such as "ctrl+f", or several keys separated by commas')
        names: list[str] = []
        for name in entries:
            textual_name = key_name(name.strip())
            if textual_name is None:
                problem = f'"{plain(redact(name.strip()))[:40]}" is not a key' if name.strip() else "a key is empty"
                similar = similar_key(name)
                hint = f"did you mean {similar}?" if similar else 'keys are written like "a", "ctrl+f", "f3" or "slash"'
                settings.fail(key, f"{excerpt}: {problem}; {hint}")
            names.append(textual_name)
        bindings[command] = ",".join(dict.fromkeys(names))
    return bindings


def filter_name_fault(name: str) -> str | None:
    """Return the fault of a name for a saved filter; None if it is valid."""
    if not name.strip() or name != name.strip():
        return "is empty, or starts or ends with a space"
    if len(name) > MAX_NAME_CHARS or safe(name) != name or REPLACEMENT in name:
        return f"must be at most {MAX_NAME_CHARS} printable characters"
    return None


def _filters(settings: SettingsFile) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the saved filters by name in today's form, and the names of those that have an earlier one."""
    filters: dict[str, str] = {}
    outdated: list[str] = []
    for name, value in _flatten(settings.at("filters") or {}):
        key = f"filters.{name}"
        excerpt = plain(key)[:80]
        if fault := filter_name_fault(name):
            settings.fail(key, f"the name in {excerpt} {fault}")
        if not isinstance(value, str):
            settings.fail(key, f'{excerpt} must be a filter in quotes, such as "type:decision since:-30d"')
        try:
            read_chips(value)
        except Usage as error:
            settings.fail(key, f"{excerpt}: {error.message.removesuffix('.')}")
        filters[name] = upgraded_text(value)
        if filters[name] != value:
            outdated.append(name)
    return filters, tuple(outdated)


def _flatten(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Flatten nested tables: TOML reads ``search.open = "o"`` as a table in a table, here it is one command id."""
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
