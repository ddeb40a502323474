"""Names of keys, and the check of rebound keys against the commands."""

from __future__ import annotations

from collections.abc import Mapping

from vestige_tui.config.settings import Config
from vestige_tui.config.settings_file import SettingsFile, did_you_mean
from vestige_tui.core.text import plain

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


def similar_key(key: str) -> str | None:
    """Return the key that a misspelt one may stand for (``ctlr+f``: ``ctrl+f``); None if none is close."""
    # Only a misspelt key needs it, and each start would pay for its import.
    from difflib import get_close_matches

    *modifiers, last = key.strip().lower().split("+")
    parts = [(each, _MODIFIERS) for each in modifiers] + [(last, (*_NAMED_KEYS, *_KEY_ALIASES))]
    words: list[str] = []
    for part, known in parts:
        if len(part) > 1:
            words += get_close_matches(part, known, n=1) or [part]
        else:
            words.append(part)
    similar = "+".join(words)
    return similar if key_name(similar) and similar != key else None


def spelling(key: str) -> str:
    """Return a key as ``[keys]`` may spell it: the character for Textual's name of it (``question_mark``: ``?``)."""
    *modifiers, last = key.split("+")
    characters = (chr(code) for code in range(0x21, 0x7F))
    written = next((character for character in characters if _base_name(character) == last), last)
    return "+".join([*modifiers, written])


def check_keys(config: Config, default_keys: Mapping[str, str]) -> None:
    """Check ``[keys]`` against the commands, id to default keys; raises ``ConfigError``.

    An id must exist, and a key newly bound to one command must not belong to another.
    """
    if not config.keys:
        return
    settings = SettingsFile.of(config.path, "[keys]")
    for command in config.keys:
        if command not in default_keys:
            hint = did_you_mean(command, default_keys) or "; `vestige-tui keys list` prints all ids"
            settings.fail(f"keys.{command}", f"keys.{plain(command)} is not a command{hint}", of_name=True)
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
