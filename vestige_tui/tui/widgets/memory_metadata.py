"""Metadata of a memory: one line while folded, its JSON unfolded; and its statements on origin and ownership."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from textual import events
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from vestige_tui.core.memories import LOCAL_USER, Memory
from vestige_tui.core.text import ago, cells, cut, grouped, plain, short_id
from vestige_tui.core.times import parse_stored
from vestige_tui.tui.widgets.memory_detail import MemoryDetail

SHOWN_CHARACTERS = 20_000
SHOWN_LINES = 500
SUMMARY_CHARACTERS = 400
VALUE_CELLS = 80
VESTIGE = "vestige"
"""Key of the columns of a Vestige file that have no counterpart here."""


class MetadataView(Widget):
    """Metadata of one memory; a click folds or unfolds it."""

    DEFAULT_CSS = """
    MetadataView { height: auto; width: 1fr; margin: 1 0 0 0; display: none; }
    MetadataView.-filled { display: block; }
    """

    metadata: reactive[Mapping[str, Any]] = reactive(dict, layout=True)
    unfolded: reactive[bool] = reactive(False, layout=True)
    key: reactive[str] = reactive("")
    """Key that unfolds it, as it is displayed."""

    class Toggled(Message):
        """The user clicked on the metadata."""

    def show(self, metadata: Mapping[str, Any]) -> None:
        """Show this metadata, or hide the view if it is empty."""
        self.metadata = metadata
        self.set_class(bool(metadata), "-filled")

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self.post_message(self.Toggled())

    def render(self) -> Content:
        if not self.metadata:
            return Content("")
        width = self.size.width or 60
        way = f"{self.key} {'folds' if self.unfolded else 'unfolds'}" if self.key else ""
        count = len(self.metadata)
        title = f"metadata, {grouped(count)} {'field' if count == 1 else 'fields'}"
        gap = " " * max(2, width - cells(title) - cells(way))
        head = Content.assemble((title, "$text-disabled bold"), (gap + way, "$text-disabled"))
        body = _pretty(self.metadata) if self.unfolded else summary(self.metadata, width)
        return Content("\n").join([head, Content.styled(body, "$text-muted")])


def summary(metadata: Mapping[str, Any], width: int) -> str:
    """Return the metadata in one line of at most ``width`` cells; of a nested value only its size."""
    return cut(plain("   ".join(_short(metadata))), width)


def _short(metadata: Mapping[str, Any]) -> Iterator[str]:
    length = 0
    for name, value in metadata.items():
        if length > SUMMARY_CHARACTERS:
            return
        if isinstance(value, Mapping):
            text = f"{{{len(value)}}}"
        elif isinstance(value, (list, tuple)):
            text = f"[{len(value)}]"
        else:
            text = str(value)[:SUMMARY_CHARACTERS]
        pair = f"{str(name)[:SUMMARY_CHARACTERS]} {text}"
        length += len(pair)
        yield pair


def _pretty(metadata: Mapping[str, Any]) -> str:
    """Return the metadata as indented JSON, safe to show, cut at its bounds with a note."""
    try:
        text = json.dumps(metadata, ensure_ascii=False, indent=2, default=str)
    except (ValueError, RecursionError):
        return "Nested too deeply to show; export writes it."
    lines = plain(text[:SHOWN_CHARACTERS], newlines=True).split("\n")
    if len(text) > SHOWN_CHARACTERS or len(lines) > SHOWN_LINES:
        lines = [*lines[:SHOWN_LINES], f"The first part of {grouped(len(text))} characters; export writes all."]
    return "\n".join(lines)


def ownership(detail: MemoryDetail, now: datetime, width: int) -> Content:
    """Return owner, visibility and groups, the source, and the time of the last access if the file records it."""
    lines = [_flowing(list(_shared(detail)), width)]
    origin = [(label, text) for label, text in _origin(detail.memory, now) if text]
    if origin:
        lines.append(_flowing(origin, width))
    return Content("\n").join(lines)


def _shared(detail: MemoryDetail) -> Iterator[tuple[str, str]]:
    memory = detail.memory
    owner = memory.owner_user_id
    yield "owner", _name(detail, owner, "local" if owner == LOCAL_USER else short_id(owner))
    yield "visibility", plain(memory.visibility)
    if memory.shared_with_groups:
        groups = (_name(detail, group, short_id(group)) for group in memory.shared_with_groups)
        yield "groups", cut(", ".join(groups), VALUE_CELLS)


def _name(detail: MemoryDetail, id: str, otherwise: str) -> str:
    return cut(plain(detail.names.get(id) or otherwise), VALUE_CELLS)


def _origin(memory: Memory, now: datetime) -> Iterator[tuple[str, str]]:
    columns = memory.metadata.get(VESTIGE)
    of_file: Mapping[str, Any] = columns if isinstance(columns, Mapping) else {}
    source = memory.metadata.get("source") or of_file.get("source")
    yield "source", cut(plain(source[: 4 * VALUE_CELLS]), VALUE_CELLS) if isinstance(source, str) else ""
    accessed = of_file.get("last_accessed")
    moment = parse_stored(accessed) if isinstance(accessed, str) else None
    yield "last access", ago(moment, now) if moment is not None else ""


def _flowing(pairs: list[tuple[str, str]], width: int) -> Content:
    """Return labels with their values, as many in a line as fit."""
    lines: list[list[Content]] = []
    room = 0
    for label, text in pairs:
        text = cut(text, max(8, width - cells(label) - 1))
        pair = Content.assemble((f"{label} ", "$text-disabled"), (text, "$text-muted"))
        taken = cells(label) + 1 + cells(text) + 3
        if not lines or taken - 3 > room:
            lines.append([])
            room = width
        lines[-1].append(pair)
        room -= taken
    return Content("\n").join(Content("   ").join(line) for line in lines)
