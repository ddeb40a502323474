"""Settings from ``vestige.toml``, and the directories of this program.

The file is shared with the memory server: only the tables storage, embeddings, review, keys, filters and ui are read.
Every error is a ``ConfigError`` of one sentence with file, key and, if known, line, and never contains a password.
"""

from __future__ import annotations

import math
import os
import re
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from vestige_tui.core import files
from vestige_tui.core.errors import ConfigError, Refused, Unavailable, Usage
from vestige_tui.core.filter_syntax import read_chips
from vestige_tui.core.scheduling import DEFAULT_WEIGHTS, Policy
from vestige_tui.core.text import plain, redact

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

_KNOWN_KEYS: Mapping[str, tuple[str, ...]] = {
    "storage": ("backend", "sqlite", "postgres"),
    "storage.sqlite": ("path",),
    "storage.postgres": ("url", "max_connections", "acquire_timeout_secs"),
    "embeddings": ("provider", "model"),
    "review": ("desired_retention", "weights", "new_per_day"),
    "ui": ("theme",),
}
_BACKENDS = ("sqlite", "postgres")
MAX_NAME_CHARS = 40
"""Maximum length of the name of a saved filter."""

DEFAULT_FILE = """\
# Settings of vestige-tui. What starts with "#" shows a default; remove the "#" to change it.

# [storage]
# backend = "sqlite"                # or "postgres"

# [storage.sqlite]
# path = "~/memories/vestige.db"    # relative paths start at this file's folder

# [storage.postgres]
# url = "postgresql://me@localhost/vestige"   # better no password here: libpq also reads ~/.pgpass
# max_connections = 10
# acquire_timeout_secs = 30

# [embeddings]
# provider = "fastembed"
# model = "nomic-ai/nomic-embed-text-v1.5"   # without a model, the one that the store belongs to is used

# [review]
# desired_retention = 0.9
# new_per_day = 10

# [keys]                            # a command's id and its key, or several keys with commas
# place.search = "f2,ctrl+f"

# [filters]                         # a name and what it stands for; the key f lists them, --filter NAME takes one
# recent = "type:decision since:-30d"

# [ui]
# theme = "textual-dark"
"""


@dataclass(frozen=True, slots=True)
class Config:
    """All settings. ``path`` is the file that they were read from; ``warnings`` are sentences for the user."""

    backend: str | None = None
    """``sqlite``, ``postgres``, or None if no store is configured."""
    sqlite_path: Path | None = None
    postgres_url: str | None = field(default=None, repr=False)
    max_connections: int = 10
    acquire_timeout_secs: float = 30.0
    provider: str = "fastembed"
    model: str | None = None
    """None: the model that the store belongs to."""
    desired_retention: float = 0.9
    weights: tuple[float, ...] = DEFAULT_WEIGHTS
    new_per_day: int = 10
    keys: Mapping[str, str] = field(default_factory=dict)
    """Keys by command id, in Textual's names, separated by commas."""
    filters: Mapping[str, str] = field(default_factory=dict)
    """Saved filters by name, in written form: ``type:decision tag:keys since:-30d``."""
    theme: str | None = None
    path: Path | None = None
    warnings: tuple[str, ...] = ()

    @property
    def store_url(self) -> str | None:
        """URL of the configured store."""
        if self.backend == "postgres":
            return self.postgres_url
        return f"sqlite:{self.sqlite_path}" if self.sqlite_path else None

    def policy(self) -> Policy:
        return Policy(self.desired_retention, self.weights, self.new_per_day)


def load_config(path: Path | None = None, env: Mapping[str, str] = os.environ) -> Config:
    """Load ``path``, else ``$VESTIGE_CONFIG``, else ``~/.vestige/vestige.toml``, else return the defaults.

    Raises ``ConfigError`` if the file is invalid, or if it was named and does not exist.
    """
    named_path = path or (Path(env["VESTIGE_CONFIG"]) if env.get("VESTIGE_CONFIG") else None)
    file = _expand_home(named_path, env) if named_path else default_path(env)
    if named_path is None and not os.path.lexists(file):
        return Config()
    source = _read_text(file)
    config = _read_config(source, file, env)
    has_password = redact(config.postgres_url or "") != (config.postgres_url or "")
    if has_password and os.name == "posix" and stat.S_IMODE(file.stat().st_mode) & 0o077:
        warning = f"{file} holds a password and can be read by others; `chmod 600` closes it."
        return replace(config, warnings=(warning,))
    return config


def default_path(env: Mapping[str, str] = os.environ) -> Path:
    """Return the path of the settings if none is given."""
    return _home(env) / ".vestige" / "vestige.toml"


def default_store_url(config: Config, env: Mapping[str, str] = os.environ, platform: str = sys.platform) -> str:
    """Return the store to open without a URL: the configured one, else Vestige's existing one, else our own."""
    if config.store_url:
        return config.store_url
    for file in _vestige_databases(env, platform):
        if os.path.isfile(file):
            return f"sqlite:{file}"
    return f"sqlite:{data_dir(env, platform) / 'vestige.db'}"


def _vestige_databases(env: Mapping[str, str], platform: str) -> Iterator[Path]:
    home = _home(env)
    if env.get("VESTIGE_DATA_DIR"):
        yield _expand_home(Path(env["VESTIGE_DATA_DIR"]), env) / "vestige.db"
    if platform == "darwin":
        yield home / "Library" / "Application Support" / "com.vestige.core" / "vestige.db"
    elif platform == "win32":
        roaming = Path(env.get("APPDATA") or home / "AppData" / "Roaming") / "vestige" / "core"
        yield roaming / "data" / "vestige.db"
        yield roaming / "vestige.db"
    else:
        share = _xdg(env, "XDG_DATA_HOME") or home / ".local" / "share"
        yield share / "core" / "vestige.db"
        yield share / "vestige" / "core" / "vestige.db"
    yield home / ".vestige" / "vestige.db"


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
    home = _home(env)
    if platform == "win32":
        return Path(env.get("LOCALAPPDATA") or home / "AppData" / "Local") / "vestige-tui" / windows
    default = home / mac if platform == "darwin" else home / linux / "vestige-tui"
    base = _xdg(env, variable)
    return base / "vestige-tui" if base else default


def _xdg(env: Mapping[str, str], variable: str) -> Path | None:
    # The XDG specification ignores relative paths.
    path = Path(env.get(variable) or ".")
    return path if path.is_absolute() else None


def _home(env: Mapping[str, str]) -> Path:
    home = env.get("HOME") or env.get("USERPROFILE")
    return Path(home) if home else Path.home()


def _expand_home(path: Path, env: Mapping[str, str]) -> Path:
    return _home(env).joinpath(*path.parts[1:]) if path.parts[:1] == ("~",) else path


def make_private_dir(path: Path) -> None:
    """Create ``path`` and its missing parents with mode 700; existing directories keep their mode."""
    if not path.is_dir():
        make_private_dir(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)


def write_default(path: Path) -> None:
    """Write a commented file of defaults with mode 600. Raises ``Refused`` if ``path`` exists."""
    with _as_config_error(path):
        make_private_dir(Path(os.path.realpath(path)).parent)
        target = files.examine(path)
        if target.status is not None:
            raise Refused(f"{path} exists already; nothing was changed.")
        files.write(target, DEFAULT_FILE)


def set_value(path: Path, dotted_key: str, value: str | int | float | Sequence[float] | None) -> None:
    """Set one value in the file, None to remove it; comments, order and foreign tables stay. Creates a missing file.

    The part after ``keys.`` or ``filters.`` is one name, dots included. Raises ``ConfigError`` without writing if the
    result would be invalid, ``Refused`` if ``path`` is no settings file or was changed meanwhile.
    """
    with _as_config_error(path):
        target = files.examine_document(path) if path.exists() else None
    source = _read_text(path) if target else ""
    _read_config(source, path, os.environ)
    document = _parsed(source, path)
    names = dotted_key.split(".", 1) if dotted_key.startswith(("keys.", "filters.")) else dotted_key.split(".")
    _assign(document, names, value)
    text = document.as_string()
    _read_config(text, path, os.environ)
    with _as_config_error(path):
        if target is None:
            make_private_dir(Path(os.path.realpath(path)).parent)
        files.write(target or files.examine_document(path), text, overwrite=target is not None)


@contextmanager
def _as_config_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{path} could not be written: {error.strerror or error}.") from None
    except Unavailable as error:
        raise ConfigError(error.message) from None


def _assign(document: TOMLDocument, names: Sequence[str], value: object) -> None:
    from tomlkit import table

    parent: Any = document
    for name in names[:-1]:
        if name not in parent:
            if value is None:
                return
            parent[name] = table()
        parent = parent[name]
    if value is not None:
        parent[names[-1]] = value
    elif names[-1] in parent:
        del parent[names[-1]]


def _read_text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"The configuration file {file} does not exist.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file} is not UTF-8 text.") from None
    except OSError as error:
        raise ConfigError(f"{file} could not be read: {error.strerror}.") from None


def _parsed(source: str, file: Path) -> TOMLDocument:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        return tomlkit.parse(source)
    except (TOMLKitError, ValueError, RecursionError):
        # The parser's message may quote the line, and the line may hold a password.
        line = _invalid_line(source)
        raise ConfigError(f"{file}{f', line {line}' if line else ''}: this is not valid TOML.") from None


def _invalid_line(source: str) -> int | None:
    """Return the line of the standard library's parse error; tomlkit names none for a duplicate key."""
    import tomllib

    try:
        tomllib.loads(source)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        if match := re.search(r"\(at line ([0-9]+), column [0-9]+\)$", str(error)):
            return int(match[1])
        return len(source.rstrip().split("\n"))
    return None


def _read_config(source: str, file: Path, env: Mapping[str, str]) -> Config:
    settings = _SettingsFile(_parsed(source, file).unwrap(), source, file)
    settings.check_names()
    backend, sqlite_path, postgres_url = _storage(settings, file, env)
    return Config(
        backend=backend,
        sqlite_path=sqlite_path,
        postgres_url=postgres_url,
        max_connections=int(settings.number("storage.postgres.max_connections", 10, 1, 10_000, whole=True)),
        acquire_timeout_secs=settings.number("storage.postgres.acquire_timeout_secs", 30, 0.001, 86_400),
        provider=settings.text("embeddings.provider") or "fastembed",
        model=settings.text("embeddings.model"),
        desired_retention=settings.number("review.desired_retention", 0.9, 0.5, 0.99),
        weights=_weights(settings),
        new_per_day=int(settings.number("review.new_per_day", 10, 0, 1_000_000, whole=True)),
        keys=_keys(settings),
        filters=_filters(settings),
        theme=settings.text("ui.theme"),
        path=file,
    )


def _storage(settings: _SettingsFile, file: Path, env: Mapping[str, str]) -> tuple[str | None, Path | None, str | None]:
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
        return backend, file.parent / _expand_home(Path(value), env), None
    if not re.match(r"(?:postgres(?:ql)?://|pgembed:).", value):
        settings.fail(key, f"{key} must begin with postgresql:// (or pgembed: and a folder)")
    return backend, None, value


def _weights(settings: _SettingsFile) -> tuple[float, ...]:
    key = "review.weights"
    weights = settings.at(key)
    if weights is None:
        return DEFAULT_WEIGHTS
    if not isinstance(weights, list) or len(weights) != len(DEFAULT_WEIGHTS) or not all(map(_is_number, weights)):
        settings.fail(key, f"{key} must be a list of {len(DEFAULT_WEIGHTS)} numbers")
    from fsrs.scheduler import LOWER_BOUNDS_PARAMETERS, UPPER_BOUNDS_PARAMETERS

    for index, (low, weight, high) in enumerate(
        zip(LOWER_BOUNDS_PARAMETERS, weights, UPPER_BOUNDS_PARAMETERS, strict=True)
    ):
        if not low <= weight <= high:
            settings.fail(key, f"{key}[{index}] is {weight}, but must lie between {low:g} and {high:g}")
    return tuple(map(float, weights))


def _keys(settings: _SettingsFile) -> dict[str, str]:
    bindings: dict[str, str] = {}
    for command, value in _flatten(settings.at("keys") or {}):
        key = f"keys.{command}"
        excerpt = plain(key)
        entries = value.split(",") if isinstance(value, str) else value
        if not isinstance(entries, list) or not entries or not all(isinstance(name, str) for name in entries):
            settings.fail(key, f'{excerpt} must be a key such as "ctrl+f", or several with commas')
        names: list[str] = []
        for name in entries:
            textual_name = key_name(name.strip())
            if textual_name is None:
                problem = f'"{plain(redact(name.strip()))[:40]}" is no key' if name.strip() else "a key is empty"
                settings.fail(key, f'{excerpt}: {problem}; keys are written like "a", "ctrl+f", "f3" or "slash"')
            names.append(textual_name)
        bindings[command] = ",".join(dict.fromkeys(names))
    return bindings


def filter_name_fault(name: str) -> str | None:
    """Return the fault of a name for a saved filter; None if it is valid."""
    if not name.strip() or name != name.strip():
        return "is empty or begins or ends with a space"
    if len(name) > MAX_NAME_CHARS or plain(name) != name:
        return f"must be at most {MAX_NAME_CHARS} characters that can all be shown"
    return None


def _filters(settings: _SettingsFile) -> dict[str, str]:
    filters: dict[str, str] = {}
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
        filters[name] = value
    return filters


def _flatten(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Flatten nested tables: TOML reads ``search.open = "o"`` as a table in a table, here it is one command id."""
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


_MODIFIERS = ("ctrl", "alt", "super", "hyper", "meta", "shift")
_NAMED_KEYS = frozenset(
    (
        *("up", "down", "left", "right", "home", "end", "insert", "delete", "pageup", "pagedown"),
        *("tab", "enter", "escape", "space", "backspace"),
    )
) | {f"f{number}" for number in range(1, 25)}
"""Keys with a name of more than one character."""
_KEY_ALIASES = {
    "esc": "escape",
    "return": "enter",
    "pgup": "pageup",
    "pgdn": "pagedown",
    "del": "delete",
    "ins": "insert",
    "solidus": "slash",
    "reverse_solidus": "backslash",
    "commercial_at": "at",
    "hyphen_minus": "minus",
    "plus_sign": "plus",
    "low_line": "underscore",
}
# Pairs for which a terminal sends the same byte.
_EQUAL_KEYS = {"ctrl+i": "tab", "ctrl+m": "enter", "ctrl+left_square_bracket": "escape", "ctrl+space": "ctrl+at"}


def key_name(key: str) -> str | None:
    """Return Textual's name of a typed key (``?``: ``question_mark``, ``Ctrl+F``: ``ctrl+f``), else None."""
    *prefixes, last = (f"{key[:-1]}plus" if key.endswith("+") else key).split("+")
    modifiers = {modifier.strip().lower() for modifier in prefixes}
    if not modifiers <= set(_MODIFIERS) or len(modifiers) != len(prefixes):
        return None
    base = _base_name(last.strip())
    if base is None:
        return None
    if len(base) == 1 and base.isalpha():
        if modifiers == {"shift"}:
            return base.upper()
        if modifiers:
            base = base.lower()
    name = "+".join([*(modifier for modifier in _MODIFIERS if modifier in modifiers), base])
    return _EQUAL_KEYS.get(name, name)


def _base_name(key: str) -> str | None:
    import unicodedata

    if len(key) == 1:
        if key.isalnum():
            return key
        name = unicodedata.name(key, "").lower().replace("-", "_").replace(" ", "_") if key.isprintable() else ""
        return _KEY_ALIASES.get(name, name) or None
    lowered = _KEY_ALIASES.get(key.lower(), key.lower())
    if lowered in _NAMED_KEYS or lowered in {_base_name(chr(code)) for code in range(0x21, 0x7F)}:
        return lowered
    return None


def check_keys(config: Config, default_keys: Mapping[str, str]) -> None:
    """Check ``[keys]`` against the commands, id to default keys; raises ``ConfigError``.

    An id must exist, and a key newly bound to one command must not belong to another.
    """
    if not config.keys:
        return
    source = ""
    if config.path is not None and config.path.is_file():
        source = _read_text(config.path)
    settings = _SettingsFile({}, source, config.path or Path("[keys]"))
    for command in config.keys:
        if command not in default_keys:
            settings.fail(
                f"keys.{command}", f"keys.{plain(command)} is no command{_did_you_mean(command, default_keys)}"
            )
    owners: dict[str, list[str]] = {}
    for command, default in default_keys.items():
        for key in _key_names(config.keys.get(command, default)):
            owners.setdefault(key, []).append(command)
    for key, commands in owners.items():
        gained = [command for command in commands if key not in _key_names(default_keys[command])]
        if gained and len(commands) > 1:
            other = next(command for command in commands if command != gained[0])
            settings.fail(f"keys.{gained[0]}", f'keys.{gained[0]} and {other} are both bound to "{key}"')


def _key_names(keys: str) -> list[str]:
    return [key_name(key.strip()) or key for key in keys.split(",")]


def _did_you_mean(name: str, candidates: Mapping[str, Any] | Sequence[str]) -> str:
    from difflib import get_close_matches

    matches = get_close_matches(name, list(candidates), n=1)
    return f"; did you mean {matches[0]}?" if matches else ""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True, slots=True)
class _SettingsFile:
    """Parsed file, read by dotted key, with its text, so that an error can name the line."""

    data: Mapping[str, Any]
    source: str
    file: Path

    def at(self, dotted: str) -> Any:
        value: Any = self.data
        for name in dotted.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        return value

    def check_names(self) -> None:
        """Check that every key in our tables is known, and that each of our tables is a table."""
        for table, names in (*_KNOWN_KEYS.items(), ("keys", ()), ("filters", ())):
            content = self.at(table)
            if content is None:
                continue
            if not isinstance(content, Mapping):
                self.fail(table, f"{table} must be a table")
            for name in content:
                if table not in ("keys", "filters") and name not in names:
                    key = f"{table}.{name}"
                    self.fail(key, f"{plain(redact(key))[:80]} is not known{_did_you_mean(name, names)}")

    def text(self, key: str) -> str | None:
        value = self.at(key)
        if value is not None and not isinstance(value, str):
            self.fail(key, f"{key} must be text in quotes")
        if value is not None and not value.strip():
            self.fail(key, f"{key} is empty")
        if value is not None and "\0" in value:
            self.fail(key, f"{key} holds a NUL character")
        return value

    def number(self, key: str, default: float, low: float, high: float, *, whole: bool = False) -> float:
        value = self.at(key)
        if value is None:
            return default
        if not _is_number(value) or (whole and not isinstance(value, int)) or not low <= value <= high:
            kind = "whole number" if whole else "number"
            self.fail(key, f"{key} must be a {kind} from {low:,} to {high:,}")
        return float(value)

    def fail(self, key: str, problem: str) -> NoReturn:
        line = _line_of(self.source, key)
        position = f"{self.file}, line {line}" if line else f"{self.file}"
        raise ConfigError(f"{position}: {problem}{'' if problem.endswith('?') else '.'}")


_HEADER = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(?:#.*)?")
_ASSIGNMENT = re.compile(
    r"\s*((?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*'))*)\s*="
)


def _line_of(source: str, key: str) -> int | None:
    """Return the line, from 1, of ``key`` or of its table header; else that of the table around or below it."""
    table, around, below = "", None, None
    for number, line in enumerate(source.split("\n"), start=1):
        if header := _HEADER.fullmatch(line.rstrip("\r")):
            table = _strip_quotes(header[1])
            here = table
        elif assignment := _ASSIGNMENT.match(line):
            here = f"{table}.{_strip_quotes(assignment[1])}" if table else _strip_quotes(assignment[1])
        else:
            continue
        if here == key:
            return number
        if key.startswith(f"{here}."):
            around = number
        elif below is None and here.startswith(f"{key}."):
            below = number
    return around or below


def _strip_quotes(dotted: str) -> str:
    return re.sub(r"\s*\.\s*(?=(?:[^\"']|\"[^\"]*\"|'[^']*')*$)", ".", dotted).replace('"', "").replace("'", "")
