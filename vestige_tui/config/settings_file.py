"""The settings file, parsed: values by dotted key, and errors that name file, key and line."""

from __future__ import annotations

import math
import os
import re
import select
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from vestige_tui.core.errors import ConfigError
from vestige_tui.core.text import file_name, plain, redact

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

MAX_SETTINGS_BYTES = 4 * 2**20
PIPE_SECONDS = 5.0
"""Wait for the first bytes, and for more, where the file is a pipe."""
KNOWN_KEYS: Mapping[str, tuple[str, ...]] = {
    "storage": ("backend", "sqlite", "postgres"),
    "storage.sqlite": ("path",),
    "storage.postgres": ("url", "direct_url", "read_url", "max_connections", "acquire_timeout_secs"),
    "embeddings": ("provider", "model"),
    "review": ("desired_retention", "weights", "new_per_day", "day_starts_at"),
    "ui": ("theme", "history"),
}
"""Names in each table of the file that this program reads; other tables belong to the memory server."""


Position: TypeAlias = tuple[int, int]
"""Line and column of a file, from 1; column 0 if only the line is known."""


def read_text(file: Path) -> str:
    """Return the text of a settings file. Raises ConfigError."""
    try:
        return _read_bytes(file).decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"The configuration file {file_name(file)} does not exist.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file_name(file)} is not UTF-8 text.") from None
    except OSError as error:
        raise ConfigError(f"{file_name(file)} could not be read: {error.strerror}.") from None


def _read_bytes(file: Path) -> bytes:
    """Return the content of a settings file, which may be a pipe of a shell. Raises OSError and ConfigError."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with open(descriptor, "rb", buffering=0) as stream:
        content = bytearray()
        while len(content) <= MAX_SETTINGS_BYTES:
            if not select.select([descriptor], [], [], PIPE_SECONDS)[0]:
                raise ConfigError(f"{file_name(file)} could not be read: it is a pipe that nothing writes to.")
            part = stream.read(MAX_SETTINGS_BYTES + 1 - len(content))
            if part == b"":
                return bytes(content)
            content += part or b""
    raise ConfigError(
        f"{file_name(file)} is larger than {MAX_SETTINGS_BYTES // 2**20} MiB, too large for a configuration file."
    )


def parse(source: str, file: Path) -> TOMLDocument:
    """Parse TOML with its comments and order. Raises ConfigError with the line, and never quotes the text."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        return tomlkit.parse(source)
    except (TOMLKitError, ValueError, RecursionError):
        # The parser's message may quote the line, and the line may hold a password.
        raise ConfigError(f"{_at(file, _invalid_position(source))}: not valid TOML.") from None


def _at(file: Path, position: Position | None) -> str:
    """Return file, line and column for the beginning of an error."""
    if position is None:
        return file_name(file)
    line, column = position
    return f"{file_name(file)}, line {line}" + (f", column {column}" if column else "")


def _invalid_position(source: str) -> Position | None:
    """Return the position of the standard library's parse error; tomlkit names none for a duplicate key."""
    import tomllib

    try:
        tomllib.loads(source)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        if match := re.search(r"\(at line ([0-9]+), column ([0-9]+)\)$", str(error)):
            return int(match[1]), int(match[2])
        return len(source.rstrip().split("\n")), 0
    return None


def did_you_mean(name: str, candidates: Mapping[str, Any] | Sequence[str]) -> str:
    """Return a question after the closest candidate, to end a message with; empty if none is close."""
    from difflib import get_close_matches

    matches = get_close_matches(name, list(candidates), n=1)
    return f"; did you mean {matches[0]}?" if matches else ""


def is_number(value: object) -> bool:
    """Check for a finite number; a boolean is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    # An integer of any length is finite, and too long for math.isfinite.
    return isinstance(value, int) or math.isfinite(value)


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """Parsed file, read by dotted key, with its text, so that an error can name the line."""

    data: Mapping[str, Any]
    source: str
    file: Path

    @classmethod
    def of(cls, file: Path | None, title: str) -> SettingsFile:
        """Return a file of settings that are already read, for errors about them; ``title`` stands for no file."""
        source = read_text(file) if file is not None and file.is_file() else ""
        return cls({}, source, file or Path(title))

    def at(self, dotted: str) -> Any:
        value: Any = self.data
        for name in dotted.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        return value

    def check_names(self) -> None:
        """Check that every key in our tables is known, and that each of our tables is a table."""
        for table, names in (*KNOWN_KEYS.items(), ("keys", ()), ("filters", ())):
            content = self.at(table)
            if content is None:
                continue
            if not isinstance(content, Mapping):
                self.fail(table, f"{table} must be a table")
            for name in content:
                if table not in ("keys", "filters") and name not in names:
                    key = f"{table}.{name}"
                    problem = f"{plain(redact(key))[:80]} is not a known setting{did_you_mean(name, names)}"
                    self.fail(key, problem, of_name=True)

    def text(self, key: str) -> str | None:
        value = self.at(key)
        if value is not None and not isinstance(value, str):
            self.fail(key, f"{key} must be text in quotes")
        if value is not None and not value.strip():
            self.fail(key, f"{key} is empty")
        if value is not None and "\0" in value:
            self.fail(key, f"{key} contains a NUL character")
        return value

    def number(self, key: str, default: float, low: float, high: float, *, whole: bool = False) -> float:
        value = self.at(key)
        if value is None:
            return default
        if not is_number(value) or (whole and not isinstance(value, int)) or not low <= value <= high:
            kind = "whole number" if whole else "number"
            self.fail(key, f"{key} must be a {kind} from {low:,} to {high:,}")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        value = self.at(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.fail(key, f"{key} must be true or false")
        return value

    def clock_time(self, key: str, default: time) -> time:
        """Return a time of day to the minute, written as text (``"04:00"``) or as TOML's own local time."""
        value = self.at(key)
        if value is None:
            return default
        if isinstance(value, str) and _CLOCK_TIME.fullmatch(value):
            return time.fromisoformat(value)
        if not isinstance(value, time) or value.second or value.microsecond:
            self.fail(key, f'{key} must be a time from "00:00" to "23:59", such as "04:00"')
        return value

    def fail(self, key: str, problem: str, *, of_name: bool = False) -> NoReturn:
        """Raise ConfigError at the value of a key, or at the key itself (``of_name``)."""
        position = _position_of(self.source, key, of_name=of_name)
        raise ConfigError(f"{_at(self.file, position)}: {problem}{'' if problem.endswith('?') else '.'}")


_CLOCK_TIME = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]")
_HEADER = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(?:#.*)?")
_ASSIGNMENT = re.compile(
    r"\s*((?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*'))*)\s*=\s*"
)


def _position_of(source: str, key: str, *, of_name: bool) -> Position | None:
    """Return the position of a key, of its value or of its table header; else that of the table around or below it."""
    table, around, below = "", None, None
    for number, line in enumerate(source.split("\n"), start=1):
        indented = len(line) - len(line.lstrip()) + 1
        value = indented
        if header := _HEADER.fullmatch(line.rstrip("\r")):
            table = _strip_quotes(header[1])
            here = table
        elif assignment := _ASSIGNMENT.match(line):
            here = f"{table}.{_strip_quotes(assignment[1])}" if table else _strip_quotes(assignment[1])
            value = assignment.end() + 1
        else:
            continue
        if here == key:
            return number, indented if of_name else value
        if key.startswith(f"{here}."):
            around = (number, value)
        elif below is None and here.startswith(f"{key}."):
            below = (number, indented)
    return around or below


def _strip_quotes(dotted: str) -> str:
    return re.sub(r"\s*\.\s*(?=(?:[^\"']|\"[^\"]*\"|'[^']*')*$)", ".", dotted).replace('"', "").replace("'", "")
