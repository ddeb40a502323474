"""Metadata as rows of text, ``key: JSON``, as a person edits it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from vestige_tui.core.errors import Usage
from vestige_tui.core.memory_template import escaped_json, write_label
from vestige_tui.core.text import quoted


def write_metadata(metadata: Mapping[str, Any]) -> str:
    """Return metadata one key a line; ``read_metadata`` reads it back."""
    return "\n".join(f"{_key(name)}: {escaped_json(value)}" for name, value in metadata.items())


def _key(name: str) -> str:
    return escaped_json(name) if ":" in name or not name else write_label(name)


def read_metadata(text: str) -> dict[str, Any]:
    """Return the metadata of such rows; a value that is not JSON is a text. Raises Usage with the line of a fault."""
    metadata: dict[str, Any] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        name, value = _parts(number, line.strip())
        if name in metadata:
            raise Usage(f"Metadata, line {number}: the key {quoted(name)} occurs twice.")
        metadata[name] = json_or_text(name, value)
    return metadata


def _parts(number: int, line: str) -> tuple[str, str]:
    if line.startswith('"'):
        try:
            name, end = json.JSONDecoder().raw_decode(line)
        except ValueError:
            name, end = None, 0
        rest = line[end:].lstrip()
        if not isinstance(name, str) or not rest.startswith(":"):
            raise Usage(f"Metadata, line {number}: write key: value; a key in quotes must be JSON, then a colon.")
        return name, rest[1:].strip()
    name, colon, value = line.partition(":")
    if not colon or not name.strip():
        raise Usage(f"Metadata, line {number}: {quoted(line)} has no key; write key: value.")
    return name.strip(), value.strip()


def json_or_text(name: str, text: str) -> Any:
    """Return the value of a text as JSON, else the text itself. Raises Usage, with ``name``, if it is too deep."""
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite_float)
    except ValueError:
        return text
    except RecursionError:
        raise Usage(f"{name[:40]} is nested too deeply; nothing was changed.") from None


def _refuse_constant(name: str) -> object:
    raise ValueError(name)


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value
