"""Parts of an import file of any format: lines of this program's own format, or the reason why one cannot be read."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from vestige_tui.cli.jsonl import MAX_LINE_BYTES, read_line
from vestige_tui.cli.line_values import BadLine
from vestige_tui.core.errors import Unavailable, Usage
from vestige_tui.core.json_text import dumps
from vestige_tui.core.memories import Draft
from vestige_tui.core.text import file_name

if TYPE_CHECKING:
    from pathlib import Path

    from vestige_tui.import_formats.items import Read
    from vestige_tui.import_formats.portable_archive import PortableArchive

MARKDOWN = "markdown"
FORMAT_NAMES = ("vestige", "portable", "mem0", "mcp", MARKDOWN, "texts")
"""Formats of other programs, as ``--format`` names them."""
MAX_LISTED = 100
_DOCUMENT = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:\{|\[|\[\s*\{.*)\s*$", re.DOTALL)
"""First line of one JSON document: an array of objects, or an object over several lines."""
Part: TypeAlias = tuple[int, bytes | BadLine]
"""Number of a line with its content, or with the reason why it cannot be read."""


@dataclass(slots=True)
class ImportPreview:
    """Counts of the contents of a file: lines by kind, memories by type, keys without a place, and unreadable lines."""

    kinds: Counter[str] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)
    without_place: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    errors: list[tuple[int, str]] = field(default_factory=list)
    left_behind: Mapping[str, int] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "kinds": dict(sorted(self.kinds.items())),
            "types": dict(sorted(self.types.items())),
            "without_place": dict(self.without_place.most_common(MAX_LISTED)),
            "failed": self.failed,
            "errors": [{"line": line, "message": message} for line, message in self.errors],
            "left_behind": dict(self.left_behind),
        }


def parts_of(lines: Iterable[tuple[int, bytes]], name: str) -> Iterator[Part]:
    """Yield the parts of a file in the format of this name."""
    from vestige_tui.import_formats.formats import FORMATS
    from vestige_tui.import_formats.items import read_document

    if name in FORMATS:
        yield from _encoded(FORMATS[name].read(lines))
        return
    numbered = iter(lines)
    for number, raw in numbered:
        if _DOCUMENT.match(raw):
            yield from _encoded(read_document(itertools.chain([(number, raw)], numbered)))
            return
        yield number, raw
        if raw.strip():
            yield from numbered


def folder_parts(folder: Path) -> Iterator[Part]:
    """Yield the parts of a folder of Markdown notes."""
    from vestige_tui.import_formats.markdown_notes import read_markdown

    if not any(folder.rglob("*.md")):
        raise Usage(f"{file_name(str(folder))} is a folder without Markdown notes (*.md). Nothing was imported.")
    try:
        yield from _encoded(read_markdown(folder))
    except OSError as error:
        raise Unavailable(f"{file_name(str(folder))} cannot be read: {error.strerror}.") from None


def archive_parts(archive: PortableArchive) -> Iterator[Part]:
    """Yield the parts of a portable archive."""
    yield from _encoded(archive.read())


def _encoded(read: Read) -> Iterator[Part]:
    from vestige_tui.import_formats.items import Item

    for each in read:
        yield each.number, _line_of(each.line) if isinstance(each, Item) else BadLine(each.reason)


def _line_of(line: Mapping[str, Any]) -> bytes | BadLine:
    from vestige_tui.import_formats.items import plain_values

    try:
        try:
            return dumps(line).encode()
        except ValueError:
            return dumps(plain_values(line)).encode()
    except RecursionError:
        return BadLine("is nested too deeply")


def preview(parts: Iterable[Part], left_behind: Mapping[str, int]) -> ImportPreview:
    """Count the lines that an import would read, without a store. ``left_behind`` grows while the parts are read."""
    found = ImportPreview(left_behind=left_behind)
    for number, raw in parts:
        if isinstance(raw, bytes) and not raw.strip():
            continue
        try:
            if isinstance(raw, BadLine):
                raise raw
            if len(raw) > MAX_LINE_BYTES:
                raise BadLine("is longer than 64 MiB")
            parsed = read_line(raw, bool)
        except BadLine as error:
            found.failed += 1
            if len(found.errors) < MAX_LISTED:
                found.errors.append((number, error.message))
            continue
        entry = parsed.entry
        if not isinstance(entry, Draft):
            found.kinds[parsed.kind] += 1
            continue
        found.kinds["memory"] += 1
        found.types[entry.node_type or ""] += 1
        kept = (entry.metadata.get(name) for name in ("imported", "vestige"))
        found.without_place.update(itertools.chain(*(each for each in kept if isinstance(each, dict))))
    return found
