"""Files that no reader understands: each is named by its content, with the formats that are known and their signs."""

from __future__ import annotations

import json
from collections.abc import Sequence

from vestige_tui.core.errors import Refused, Usage
from vestige_tui.core.text import cut, quoted
from vestige_tui.import_formats.detection import first_keys
from vestige_tui.import_formats.formats import FORMATS, SIGNS_OF_FOLDERS, SIGNS_OF_OURS, TITLE_OF_OURS
from vestige_tui.import_formats.portable_archive import SIGNS, TITLE

KINDS = ("memory", "edge", "review", "supersession", "domain", "mark", "user", "group", "membership")
"""Kinds of line of our own format."""
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_PACKED = {
    b"\x1f\x8b": "compressed (gzip)",
    b"PK\x03\x04": "a ZIP archive",
    b"BZh": "compressed (bzip2)",
    b"\xfd7zXZ\x00": "compressed (xz)",
    b"\x28\xb5\x2f\xfd": "compressed (zstd)",
}
_MAX_BEGINNING_CELLS = 60


def refuse_binary(head: bytes, title: str) -> None:
    """Raise Usage for a file that is no text in UTF-8, Refused for a database, by its first bytes."""
    if head.startswith(b"SQLite format 3"):
        raise Refused(
            f"{title} is a SQLite database, not a file to import. Open it with `vestige-tui --store {title}`, or copy "
            f"it into another store with `vestige-tui migrate copy`."
        )
    for sign, form in _PACKED.items():
        if head.startswith(sign):
            raise Usage(f"{title} is {form}; unpack it and import what is in it.")
    if head.startswith(_UTF_16) or _has_zeros_of_utf_16(head):
        raise Usage(f"{title} is UTF-16, and import reads UTF-8; convert it with `iconv -f UTF-16 -t UTF-8`.")
    if b"\0" in head:
        raise Usage(f"{title} is a binary file, not a text; import reads text in UTF-8.")


def _has_zeros_of_utf_16(head: bytes) -> bool:
    """Check whether every second byte is zero: English text in UTF-16 without a mark."""
    beginning = head[: len(head[:64]) // 2 * 2]
    if not beginning:
        return False
    even, odd = beginning[::2], beginning[1::2]
    return (not any(even) and all(odd)) or (not any(odd) and all(even))


def is_ours(lines: Sequence[bytes]) -> bool:
    """Check whether one of the first lines, or the beginning of a document, has a key by which our format is known."""
    for line in lines:
        try:
            data = json.loads(line.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            keys = first_keys([line])
            if line.lstrip(b"\xef\xbb\xbf \t[")[:1] == b"{" and {"content", "kind"} & set(keys):
                return True
            continue
        first = data[0] if isinstance(data, list) and data else data
        if isinstance(first, dict) and ("content" in first or first.get("kind") in KINDS):
            return True
    beginning = b"".join(lines).lstrip(b"\xef\xbb\xbf \t\r\n")
    return beginning[:1] in (b"[", b"{") and first_keys([beginning])[:1] in (["content"], ["kind"])


def unknown_format(lines: Sequence[bytes], title: str) -> Usage:
    """Return the error on a file in no format that is known, from its first lines with content."""
    keys = first_keys(lines)
    if keys and lines[0].lstrip(b"\xef\xbb\xbf \t")[:1] in (b"{", b"["):
        seen = f"its first keys are {', '.join(map(quoted, keys))}"
    else:
        beginning = lines[0].decode("utf-8-sig", "replace").strip()
        seen = f"it begins with {quoted(cut(beginning, _MAX_BEGINNING_CELLS))}"
    known = [(TITLE_OF_OURS, SIGNS_OF_OURS), *((each.title, each.signs) for each in FORMATS.values()), (TITLE, SIGNS)]
    signs = "; ".join(f"{name} ({sign})" for name, sign in [*known, SIGNS_OF_FOLDERS])
    return Usage(
        f"{title} has no format that import knows: {seen}. Nothing was imported. Known formats are: {signs}. "
        "A text is read with --format texts."
    )
