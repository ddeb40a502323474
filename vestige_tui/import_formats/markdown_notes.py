"""A folder of Markdown notes with YAML front matter: basic-memory's notes, and the memory folder of Claude Code.

Of basic-memory a note is a memory, and its relations ``- type [[Target]]`` are links by title or permalink. Of Claude
Code a topic file is a memory, or each section of one without front matter; ``MEMORY.md`` is an index of the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from vestige_tui.import_formats.items import Item, Read, Unreadable, derived_id, plain_values, rest_of, taken_times

INDEX = "MEMORY.md"
_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(.*?)(?:\r?\n)?^---[ \t]*\r?$\n?", re.MULTILINE | re.DOTALL)
_RELATION = re.compile(r"^\s*[-*]\s+([^\[\n]+?)\s*\[\[([^\]|\n]+)", re.MULTILINE)
_SECTION = re.compile(r"^##[ \t]+(.+?)[ \t]*$", re.MULTILINE)
_LINK_LINE = re.compile(r"^\s*(?:#.*|[-*]\s*\[[^\]]*\]\([^)]*\).*|)$")
"""Line of an index: a heading, a link to a topic, or nothing."""


@dataclass(frozen=True, slots=True)
class MarkdownNote:
    """One file: its place among the others, its front matter, and its text below that."""

    number: int
    name: str
    head: Mapping[str, Any]
    body: str
    relations: tuple[tuple[str, str], ...] = field(default=())


def read_markdown(folder: Path) -> Read:
    """Yield the memories and links of a folder, in the order of its files' names. Raises OSError."""
    notes: list[MarkdownNote] = []
    for number, path in enumerate(sorted(folder.rglob("*.md")), start=1):
        found = _note(number, path, folder)
        if isinstance(found, Unreadable):
            yield found
        else:
            notes.append(found)
    if (folder / INDEX).is_file():
        codebase = folder.resolve().parent.name.strip("-") or None
        for note in notes:
            yield from _topic(note, codebase)
        return
    by_name: dict[str, str] = {}
    for note in notes:
        line = _memory(note)
        yield Item(note.number, line)
        for name in (note.head.get("permalink"), note.head.get("title"), note.name, Path(note.name).name):
            by_name.setdefault(str(name).casefold(), line["id"])
    for note in notes:
        yield from _links(note, by_name)


def _note(number: int, path: Path, folder: Path) -> MarkdownNote | Unreadable:
    name = path.relative_to(folder).with_suffix("").as_posix()
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        return Unreadable(number, f"({name}.md) is not UTF-8")
    head: Any = {}
    if match := _FRONT_MATTER.match(text):
        try:
            head = yaml.safe_load(match[1]) or {}
        except yaml.YAMLError:
            return Unreadable(number, f"({name}.md) has front matter that is not YAML")
        text = text[match.end() :]
    if not isinstance(head, dict):
        return Unreadable(number, f"({name}.md) has front matter that is not a list of keys")
    try:
        values: dict[str, Any] = plain_values(head)
    except RecursionError:
        return Unreadable(number, f"({name}.md) has front matter that is nested too deeply")
    relations = tuple((kind.strip(), target.strip()) for kind, target in _RELATION.findall(text))
    return MarkdownNote(number, name, values, text.strip(), relations)


def _memory(note: MarkdownNote, codebase: str | None = None) -> dict[str, Any]:
    head = note.head
    title = head.get("title") or head.get("name")
    content = note.body or str(head.get("description") or title or "")
    times, no_times = taken_times(head, {"created": "created_at", "modified": "updated_at"})
    rest = rest_of(head, "type", "tags", "created", "modified") | no_times
    if not isinstance(head.get("tags"), str | list | None):
        rest["tags"] = head["tags"]
    line = {
        "id": derived_id("markdown", str(head.get("permalink") or note.name)),
        "content": content,
        "node_type": str(head.get("type") or "note"),
        "tags": _tags(head.get("tags")),
        "codebase": codebase,
        "metadata": {"imported": rest} if rest else {},
    }
    return {name: value for name, value in line.items() if value is not None} | times


def _tags(value: object) -> list[str]:
    if isinstance(value, str):
        return [tag.strip().lstrip("#") for tag in value.split(",") if tag.strip()]
    return [str(tag).lstrip("#") for tag in value if tag is not None] if isinstance(value, list) else []


def _links(note: MarkdownNote, by_name: Mapping[str, str]) -> Read:
    source = derived_id("markdown", str(note.head.get("permalink") or note.name))
    for kind, target in note.relations:
        found = by_name.get(target.casefold())
        if found is None:
            yield Unreadable(note.number, f"({note.name}.md) links to {target!r}, which is no note of this folder")
        elif found != source:
            yield Item(note.number, {"kind": "edge", "source_id": source, "target_id": found, "edge_type": kind})


def _topic(note: MarkdownNote, codebase: str | None) -> Iterator[Item]:
    if note.head:
        yield Item(note.number, _memory(note, codebase))
        return
    if note.name == Path(INDEX).stem and all(map(_LINK_LINE.match, note.body.splitlines())):
        return
    for title, text in _sections(note):
        line = {
            "id": derived_id("markdown", f"{note.name}\n{title}\n{text}"),
            "content": f"{title}\n\n{text}" if text else title,
            "node_type": "note",
            "codebase": codebase,
        }
        yield Item(note.number, {name: value for name, value in line.items() if value is not None})


def _sections(note: MarkdownNote) -> Iterator[tuple[str, str]]:
    """Yield the second-level sections of a file with their titles; the text before the first has the file's name."""
    parts = _SECTION.split(note.body)
    # The heading of a file alone says nothing that its name does not.
    if any(line.strip() and not line.startswith("# ") for line in parts[0].splitlines()):
        yield note.name, parts[0].strip()
    for title, text in zip(parts[1::2], parts[2::2], strict=True):
        if text.strip() or title.strip():
            yield title.strip(), text.strip()
