"""Portable archives of Vestige: one JSON document of tables with typed values, read row by row.

Memories, links, pins and replacements have a place here; rows of all other tables are counted by table.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from vestige_tui.core.errors import Refused
from vestige_tui.core.text import quoted
from vestige_tui.core.times import format_time, parse_stored
from vestige_tui.import_formats.items import Item, Read, Unreadable
from vestige_tui.import_formats.json_stream import JsonStream

FORMAT = "vestige.portable.v1"
TITLE = "a portable archive of Vestige"
SIGNS = "a document with archiveFormat"
_STATE = ("stability", "difficulty", "reps", "lapses", "next_review")
_TIMES = ("created_at", "updated_at")
_LISTS: Mapping[str, type[list[Any]] | type[dict[str, Any]]] = {"tags": list, "domains": list, "domain_scores": dict}
_TYPES: Mapping[str, tuple[type, ...]] = {"integer": (int,), "real": (int, float), "text": (str,), "blob": (str,)}
_MAX_SCHEDULED_DAYS = 36_500


class PortableArchive:
    """Reader of one archive. ``left_behind`` counts rows of tables without a place, as far as it was read."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._stream = JsonStream(pieces)
        self.left_behind: Counter[str] = Counter()
        self._ids: set[str] = set()
        self._winners: list[tuple[int, str, str, str]] = []
        self._number = 0

    def read(self) -> Read:
        """Yield all that has a place here. Raises Unavailable for broken JSON, Refused for another format."""
        for key in self._stream.object_keys():
            if key == "tables":
                for _ in self._stream.array_items():
                    yield from self._table()
            elif (value := self._stream.value()) != FORMAT and key == "archiveFormat":
                raise Refused(f"The archive has the format {quoted(str(value))}; import reads {FORMAT}.")
        yield from self._replacements()

    def _table(self) -> Read:
        name = ""
        columns: list[str] = []
        for key in self._stream.object_keys():
            if key == "rows":
                yield from self._rows(name, columns)
            elif key == "name":
                name = str(self._stream.value())
            elif key == "columns":
                value = self._stream.value()
                columns = [str(each) for each in value] if isinstance(value, list) else []
            else:
                self._stream.value()

    def _rows(self, table: str, columns: list[str]) -> Read:
        readers = {"knowledge_nodes": self._memory, "memory_connections": self._link}
        for position, _ in enumerate(self._stream.array_items(), start=1):
            cells = self._stream.value()
            if table not in readers:
                self.left_behind[table] += 1
                continue
            self._number += 1
            row = _row(columns, cells)
            if row is None:
                yield Unreadable(self._number, f"(row {position} of {table}) is not a row of its columns")
            else:
                yield from readers[table](row)

    def _memory(self, row: Mapping[str, Any]) -> Iterator[Item]:
        line, kept = _memory_line(row)
        memory_id, winner = row.get("id"), row.get("superseded_by")
        if isinstance(memory_id, str):
            self._ids.add(memory_id)
            if isinstance(winner, str) and winner != memory_id:
                moments = (row.get("valid_until"), row.get("updated_at"), row.get("created_at"))
                at = next((format_time(time) for each in moments if (time := parse_stored(_text(each)))), "")
                self._winners.append((self._number, memory_id, winner, at))
            elif winner is not None:
                kept["superseded_by"] = winner
        yield Item(self._number, {**line, "metadata": {"vestige": kept}} if kept else line)
        if row.get("protected") and isinstance(memory_id, str):
            yield Item(self._number, {"kind": "mark", "memory_id": memory_id, "pinned": True})

    def _link(self, row: Mapping[str, Any]) -> Iterator[Item]:
        names = {"source_id": "source_id", "target_id": "target_id", "link_type": "edge_type", "strength": "weight"}
        line = {ours: row[theirs] for theirs, ours in names.items() if row.get(theirs) is not None}
        if parse_stored(_text(row.get("created_at"))):
            line["created_at"] = row["created_at"]
        yield Item(self._number, {"kind": "edge", **line})

    def _replacements(self) -> Read:
        """Yield the decisions that a winner of the archive stands for; the archive has no log of them."""
        for number, loser, winner, at in self._winners:
            if winner not in self._ids:
                yield Unreadable(number, f"names {quoted(winner)} as its replacement, which is not in the archive")
            elif not at:
                yield Unreadable(number, "was replaced at no time that can be read")
            else:
                event = {"loser_id": loser, "winner_id": winner, "event": "imported", "decided_at": at}
                yield Item(number, {"kind": "supersession", **event})


def _memory_line(row: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a memory's line without its metadata, and the columns that have no place of their own."""
    kept = {name: value for name, value in row.items() if value is not None and name not in ("protected",)}
    kept.pop("superseded_by", None)
    line: dict[str, Any] = {name: kept.pop(name) for name in ("id", "content", "node_type") if name in kept}
    for name in _TIMES:
        if parse_stored(_text(kept.get(name))):
            line[name] = kept.pop(name)
    for name, kind in _LISTS.items():
        if name in kept and isinstance(value := _parsed(kept[name]), kind):
            line[name] = value
            del kept[name]
    if row.get("reps"):
        line["scheduling"] = {name: kept.pop(name) for name in _STATE if name in kept} | _last_review(row)
    else:
        for name in ("reps", "lapses", "next_review"):
            if not kept.get(name):
                kept.pop(name, None)
    return line, kept


def _last_review(row: Mapping[str, Any]) -> dict[str, str]:
    due, days = parse_stored(_text(row.get("next_review"))), row.get("scheduled_days")
    if due is None or not isinstance(days, int) or not 0 <= days <= _MAX_SCHEDULED_DAYS:
        return {}
    try:
        return {"last_review": format_time(due - timedelta(days=days))}
    except OverflowError:
        return {}


def _row(columns: list[str], cells: object) -> dict[str, Any] | None:
    """Return the values of a row by column; None for one that does not fit the columns."""
    if not isinstance(cells, list) or len(cells) != len(columns):
        return None
    values: dict[str, Any] = {}
    for column, cell in zip(columns, cells, strict=True):
        if not isinstance(cell, dict) or "type" not in cell:
            return None
        value = cell.get("value")
        kind = _TYPES.get(str(cell["type"]))
        # A blob stays the hexadecimal text that it is in the archive; infinities have no other form than text.
        values[column] = value if kind is None or isinstance(value, kind) or value is None else str(value)
        if cell["type"] == "null":
            values[column] = None
    return values


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _parsed(value: object) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else None
    except (ValueError, RecursionError):
        return None
