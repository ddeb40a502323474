"""The file in which a memory is written or edited: a block of its fields, one fixed line, and its text below it.

type: decision
domain: auth
codebase: api
tag: security
tag: two words
--- text of the memory below this line ---
The text, byte for byte.

The fields owner, visibility and group are written where memories are shared, and read everywhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vestige_tui.core.errors import Usage
from vestige_tui.core.memories import LOCAL_USER, VISIBILITIES, Draft, Patch
from vestige_tui.core.storable import check_labels
from vestige_tui.core.text import quoted, safe

if TYPE_CHECKING:
    from vestige_tui.core.memories import Memory

TEXT_LINE = "--- text of the memory below this line ---"
"""The fixed line. Only its first occurrence ends the block, so that a text may contain it."""
FIELDS = ("type", "domain", "codebase", "tag", "owner", "visibility", "group")
SINGLE = ("type", "codebase", "owner", "visibility")
"""Fields of one value; the others may occur several times, one value a line."""
_LONE_LINE_FEED = re.compile(r"(?<!\r)\n")


@dataclass(frozen=True, slots=True)
class Sharing:
    """Owner, visibility and groups by their handles; a part that is None is not named and stays as it is."""

    owner: str | None = None
    visibility: str | None = None
    groups: tuple[str, ...] | None = None

    def shared_with(self, groups: tuple[str, ...]) -> Sharing:
        """Return the same with these groups; a private memory gets the visibility by which they see it."""
        is_private = self.visibility in (None, "private")
        return replace(self, groups=groups, visibility="group" if groups and is_private else self.visibility)


UNNAMED = Sharing()


@dataclass(frozen=True, slots=True)
class MemoryForm:
    """Fields of a memory that its template holds. ``codebase`` is empty where the memory has none."""

    content: str = ""
    node_type: str = "fact"
    domains: tuple[str, ...] = ()
    codebase: str = ""
    tags: tuple[str, ...] = ()
    sharing: Sharing = UNNAMED

    @classmethod
    def of(cls, memory: Memory, sharing: Sharing = UNNAMED) -> MemoryForm:
        """Return the form of a stored memory."""
        return cls(memory.content, memory.node_type, memory.domains, memory.codebase or "", memory.tags, sharing)

    def draft(self) -> Draft:
        """Return the new memory of this form, with the handles of its owner and groups in place of their ids."""
        return Draft(
            self.content,
            node_type=self.node_type,
            domains=self.domains,
            codebase=self.codebase or None,
            tags=self.tags,
            owner_user_id=self.sharing.owner or LOCAL_USER,
            visibility=self.sharing.visibility or "private",
            shared_with_groups=self.sharing.groups or (),
        )

    def patch(self, before: MemoryForm) -> Patch:
        """Return the changes from ``before``, with handles as ``draft``; a field that is equal is None."""
        new, old = self.sharing, before.sharing
        return Patch(
            content=None if self.content == before.content else self.content,
            node_type=None if self.node_type == before.node_type else self.node_type,
            domains=None if self.domains == before.domains else self.domains,
            codebase=None if self.codebase == before.codebase else self.codebase,
            tags=None if self.tags == before.tags else self.tags,
            owner_user_id=None if new.owner == old.owner else new.owner,
            visibility=None if new.visibility == old.visibility else new.visibility,
            shared_with_groups=None if new.groups == old.groups else new.groups,
        )


def write_template(form: MemoryForm) -> str:
    """Return the file of a form. Its block has the line breaks of the text, so that no editor converts them."""
    # An empty line of a field shows where a value may be written.
    lines = [
        f"{field}: {write_label(value)}".rstrip()
        for field, values in _values_by_field(form).items()
        for value in values or [""]
    ]
    end = "\r\n" if "\r\n" in form.content and not _LONE_LINE_FEED.search(form.content) else "\n"
    return "".join(line + end for line in [*lines, TEXT_LINE]) + form.content


def _values_by_field(form: MemoryForm) -> dict[str, Sequence[str]]:
    sharing = form.sharing
    return {
        "type": [form.node_type],
        "domain": form.domains,
        "codebase": [form.codebase],
        "tag": form.tags,
        **({} if sharing.owner is None else {"owner": [sharing.owner]}),
        **({} if sharing.visibility is None else {"visibility": [sharing.visibility]}),
        **({} if sharing.groups is None else {"group": sharing.groups}),
    }


def read_template(text: str, before: MemoryForm) -> MemoryForm:
    """Return the form that an edited file holds; ``before`` is the one that it was written from.

    Raises Usage with the line that cannot be read.
    """
    block, content = _split(text)
    values: dict[str, list[str]] = {field: [] for field in FIELDS}
    for number, line in enumerate(block, start=1):
        if not line.strip():
            continue
        field, value = _read_field(number, line)
        if field in SINGLE and values[field]:
            raise Usage(f"Line {number}: {field} occurs twice; a memory has one {field}.")
        if value or field in SINGLE:
            values[field].append(value)
    form = MemoryForm(
        _as_typed(content, before.content),
        values["type"][0] if values["type"] else "",
        _once(values["domain"]),
        values["codebase"][0] if values["codebase"] else "",
        _once(values["tag"]),
        _read_sharing(values, before.sharing),
    )
    # An untouched value stays as it is stored, also empty and repeated labels.
    if form.domains == _once(before.domains):
        form = replace(form, domains=before.domains)
    if form.tags == _once(before.tags):
        form = replace(form, tags=before.tags)
    _check(form, before)
    return form


def _read_sharing(values: Mapping[str, Sequence[str]], before: Sharing) -> Sharing:
    """Return owner, visibility and groups; a removed line of owner or visibility changes nothing."""
    owner = values["owner"][0] if values["owner"] else before.owner
    visibility = values["visibility"][0] if values["visibility"] else before.visibility
    sharing = Sharing(owner, visibility, before.groups)
    groups = _once(values["group"])
    if groups == _once(before.groups or ()):
        return sharing
    return sharing.shared_with(groups) if visibility == before.visibility else replace(sharing, groups=groups)


def _split(text: str) -> tuple[list[str], str]:
    """Return the lines of the block, and the text below the first fixed line."""
    block: list[str] = []
    position = 0
    while position < len(text):
        end = text.find("\n", position)
        end = len(text) if end < 0 else end
        line = text[position:end].removesuffix("\r")
        position = end + 1
        if line.rstrip() == TEXT_LINE:
            return block, text[position:]
        block.append(line)
    raise Usage(f'The line "{TEXT_LINE}" is missing; it separates the fields from the text.')


def _read_field(number: int, line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    field = name.strip().casefold()
    if not colon or field not in FIELDS:
        fields = ", ".join(FIELDS)
        raise Usage(f"Line {number}: {quoted(line)} is none of the fields {fields}; the text belongs below its line.")
    try:
        return field, read_label(value)
    except Usage as error:
        raise Usage(f"Line {number}: {error.message}") from None


def _as_typed(content: str, before: str) -> str:
    """Return the text without the line break that an editor adds at the end of a file, which ``before`` lacks."""
    if encodable(before) == content:
        return before
    if before.endswith("\n"):
        return content
    for line_break in ("\r\n", "\n"):
        if content == encodable(before) + line_break:
            return before
    return content.removesuffix("\n").removesuffix("\r") if content.endswith("\n") else content


def encodable(text: str) -> str:
    """Return a text as a file holds it: without half surrogate pairs."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _once(labels: Iterable[str]) -> tuple[str, ...]:
    """Return labels as an untouched file gives them back."""
    return tuple(dict.fromkeys(filter(None, labels)))


def _check(form: MemoryForm, before: MemoryForm) -> None:
    if not form.content.strip():
        raise Usage("The text is empty; a memory needs one.")
    if not form.node_type and before.node_type:
        raise Usage("The type is empty; a memory needs one, such as fact.")
    if form.sharing.owner == "" and before.sharing.owner != "":
        raise Usage("The owner is empty; a memory needs one, such as local.")
    if form.sharing.visibility != before.sharing.visibility and form.sharing.visibility not in VISIBILITIES:
        raise Usage(f"The visibility must be {', '.join(VISIBILITIES[:-1])} or {VISIBILITIES[-1]}.")
    check_labels("type", [form.node_type], [before.node_type])
    check_labels("domain", form.domains, before.domains)
    check_labels("codebase", [form.codebase], [before.codebase])
    check_labels("tag", form.tags, before.tags)


# Labels ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def write_label(label: str) -> str:
    """Return a tag or another label as one line: as it is, or quoted as JSON where it could be misread."""
    if label == label.strip() and not label.startswith('"') and safe(label) == label:
        return label
    return escaped_json(label)


def escaped_json(value: Any) -> str:
    """Return a value as JSON, with escapes for characters that a terminal does not simply show."""
    return "".join(
        character if safe(character) == character else json.dumps(character)[1:-1]
        for character in json.dumps(value, ensure_ascii=False)
    )


def read_label(text: str) -> str:
    """Return the label that a line holds. Raises Usage for a quote that does not end."""
    text = text.strip()
    if not text.startswith('"'):
        return text
    try:
        label = json.loads(text)
    except ValueError:
        label = None
    if not isinstance(label, str):
        raise Usage(f'{quoted(text)} is not a quoted text; write "two words", or leave the quotes out.')
    return label
