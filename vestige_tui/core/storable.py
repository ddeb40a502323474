"""Storable forms of texts, ids and JSON data: values that every database accepts, and the bounds of a memory.

TEXT of a SQLite file arrives with invalid UTF-8 as half surrogates (``surrogateescape``), JSON with lone ones.
"""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vestige_tui.core.errors import Usage

if TYPE_CHECKING:
    from vestige_tui.core.memories import Draft

MAX_LABEL_CHARS = 255
"""Longest tag, type, domain, codebase or type of a link, in characters: the rows of an index are bounded."""
MAX_TAG_COUNT = 1_000
"""Most tags, and most domains, of one memory."""
MAX_INTEGER = 2**31 - 1
"""Largest value of a PostgreSQL integer."""
MAX_METADATA_DEPTH = 200
"""Deepest nesting of metadata that is written, in containers; a fifth of the depth at which Python 3.11 gives up."""
EXACT_FLOAT = 1e16
"""Floats from here on are written with an exponent by Python and as a whole number by PostgreSQL."""

_NUL, _NUL_SYMBOL = "\0", "\u2400"
_CANONICAL = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_DIGITS = "[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}"
_PLAIN = re.compile(_DIGITS, re.IGNORECASE)
_SPELLING = re.compile(rf"(?:urn:uuid:)?\{{?({_DIGITS})\}}?", re.IGNORECASE)


def encode(text: str) -> bytes | None:
    """Return the text as UTF-8; None where it must be cleaned first."""
    if _NUL in text:
        return None
    try:
        return text.encode()
    except UnicodeEncodeError:
        return None


def clean(text: str) -> str:
    """Return the text with NUL as its symbol and invalid UTF-8 replaced."""
    if encode(text) is not None:
        return text
    raw = text.encode("utf-8", "surrogateescape") if is_escaped(text) else text.encode("utf-8", "replace")
    return raw.decode("utf-8", "replace").replace(_NUL, _NUL_SYMBOL)


def clean_note(text: str) -> str:
    """Return the reason for which a text must be cleaned; empty where it need not."""
    if encode(text) is not None:
        return ""
    return "contained NUL characters" if _NUL in text else "was not valid UTF-8"


def is_escaped(text: str) -> bool:
    """Check whether all half surrogates stand for single bytes."""
    return all(not "\ud800" <= character <= "\udfff" or "\udc80" <= character <= "\udcff" for character in text)


def as_uuid(raw: str) -> uuid.UUID | None:
    """Parse a UUID, also one in braces or with ``urn:uuid:``; None for other texts.

    ``uuid.UUID`` takes more: underscores, digits of other scripts, and hyphens anywhere.
    """
    match = _SPELLING.fullmatch(raw)
    return uuid.UUID(match[1].replace("-", "")) if match else None


def is_plain_uuid(text: str) -> bool:
    """Check for a UUID without braces and prefix, a spelling that every server takes."""
    return _PLAIN.fullmatch(text) is not None


def is_canonical(raw: object) -> bool:
    return isinstance(raw, str) and _CANONICAL.fullmatch(raw) is not None


def new_id(raw: object) -> bytes:
    """Return the 16 bytes of the UUID for a source id, the same wherever the id occurs."""
    if isinstance(raw, str):
        if _CANONICAL.fullmatch(raw):
            return bytes.fromhex(raw.replace("-", ""))
        if parsed := as_uuid(raw):
            return parsed.bytes
    name = raw.decode("utf-8", "surrogateescape") if isinstance(raw, bytes) else str(raw)
    try:
        return uuid.uuid5(uuid.NAMESPACE_URL, f"vestige:{name}").bytes
    except UnicodeEncodeError:
        return uuid.uuid5(uuid.NAMESPACE_URL, f"vestige:{clean(name)}").bytes


def stored_id(raw: str, is_id: Callable[[str], bool]) -> str:
    """Return an id as a store holds it: a UUID in its canonical spelling, another text if the store takes it.

    Of a text that the store does not take it is the UUID that a copy gives it.
    """
    if is_canonical(raw):
        return raw
    if parsed := as_uuid(raw):
        return str(parsed)
    text = clean(raw)
    return text if is_id(text) else str(uuid.UUID(bytes=new_id(raw)))


def is_kept_id(raw: str) -> bool:
    """Check for an id that is no UUID and that a store of texts takes as it is."""
    return bool(raw) and as_uuid(raw) is None and clean(raw) == raw


def rebuilt(data: Any, scalar: Callable[[Any], Any], *, sort_keys: bool = False) -> Any:
    """Return JSON data with every scalar and every key converted, at any depth: a recursion would end at a limit."""
    root = [data]
    pending: list[Any] = [root]
    while pending:
        container = pending.pop()
        for key, value in list(container.items()) if isinstance(container, dict) else enumerate(container):
            if isinstance(value, Mapping):
                items = ((str(scalar(str(name))), inner) for name, inner in value.items())
                container[key] = dict(sorted(items, key=lambda item: item[0]) if sort_keys else items)
                pending.append(container[key])
            elif isinstance(value, list | tuple):
                container[key] = list(value)
                pending.append(container[key])
            else:
                container[key] = scalar(value)
    return root[0]


def storable_json(data: Any) -> Any:
    """Return JSON data whose texts, keys and numbers every store accepts."""
    return rebuilt(data, _storable)


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def is_deep(data: Any, limit: int = MAX_METADATA_DEPTH) -> bool:
    """Check whether containers are nested deeper than ``limit``."""
    level = [data]
    for _ in range(limit):
        inner = (each.values() if isinstance(each, Mapping) else each for each in level)
        level = [item for items in inner for item in items if isinstance(item, Mapping | list | tuple)]
        if not level:
            return False
    return True


def replacement_warning(*values: Any) -> tuple[str, ...]:
    """Return a warning if texts or JSON data hold characters or numbers that no store takes; else nothing."""
    if storable_json(values) == rebuilt(values, lambda value: value):
        return ()
    return ("Some characters cannot be stored; they were replaced (NUL by U+2400, half a surrogate pair by ?).",)


def check_draft(draft: Draft) -> None:
    """Raise Usage for a memory that a store of another kind could not hold."""
    check_labels("type", [draft.node_type])
    check_labels("tag", draft.tags)
    check_labels("domain", draft.domains)
    if draft.codebase is not None:
        check_labels("codebase", [draft.codebase])
    check_depth(draft.metadata)


def check_labels(name: str, labels: Sequence[str], existing: Sequence[str] = ()) -> None:
    """Raise Usage for a label that is too long or one too many; those that a memory has already may stay."""
    if len(labels) > max(MAX_TAG_COUNT, len(existing)):
        raise Usage(f"A memory can have at most {MAX_TAG_COUNT:,} {name}s, not {len(labels):,}.")
    longest = max(set(labels) - set(existing), key=len, default="")
    if len(longest) > MAX_LABEL_CHARS:
        raise Usage(f"A {name} can have at most {MAX_LABEL_CHARS} characters, not {len(longest):,}.")


def check_depth(metadata: Mapping[str, Any]) -> None:
    """Raise Usage for metadata that is nested too deeply."""
    if is_deep(metadata):
        raise Usage(f"Metadata can be nested at most {MAX_METADATA_DEPTH} levels deep; this is deeper.")
