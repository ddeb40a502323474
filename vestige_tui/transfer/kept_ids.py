"""Kept ids: ids that are no UUIDs, which a SQLite target spells as its source does.

In wire form, keys, digests and sync state such an id is its UUID (``new_id``); only the statements on a SQLite file
take the text. A file that an older version has written may hold the UUID instead, and then notes the text in
``metadata.vestige.original.id``: it is the same row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vestige_tui.core.storable import is_kept_id, new_id
from vestige_tui.store.backends import pgbinary_decode, pgbinary_encode
from vestige_tui.transfer.codecs import UUIDS

if TYPE_CHECKING:
    from vestige_tui.transfer.table_spec import Table

_dump = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class KeptIds:
    """Texts of ids by their UUIDs; ids that are UUIDs are not among them."""

    def __init__(self) -> None:
        self._texts: dict[bytes, str] = {}

    @property
    def empty(self) -> bool:
        return not self._texts

    def add(self, key: bytes, raw: object) -> None:
        """Add an id of either store, if a store of texts keeps it."""
        if key not in self._texts and isinstance(raw, str) and is_kept_id(raw):
            self._texts[key] = raw

    def text(self, key: bytes | None) -> str | None:
        """Return the text of an id; None for a UUID, and for an id that no store keeps."""
        return self._texts.get(key) if key is not None else None


def spellings(key: bytes, kept_ids: KeptIds | None) -> list[str]:
    """Return the spellings that a store may have of an id: its UUID, then its text."""
    text = kept_ids.text(key) if kept_ids is not None else None
    canonical = pgbinary_decode.uuid(key)
    return [canonical] if text is None else [canonical, text]


def with_note(metadata: str, text: str) -> str:
    """Return metadata with the text of an id that is stored as its UUID."""
    data = json.loads(metadata)
    note, original = _note(data)
    return _dump({**data, "vestige": {**note, "original": {**original, "id": text}}})


def without_notes(metadata: str, originals: Mapping[str, str]) -> str:
    """Return metadata without these originals; unchanged where it has none of them."""
    data = json.loads(metadata)
    note, original = _note(data)
    rest = {name: value for name, value in original.items() if originals.get(name) != value}
    if rest == original:
        return metadata
    others = {name: value for name, value in note.items() if name != "original"}
    note = {**others, "original": rest} if rest else others
    data.pop("vestige")
    return _dump({**data, "vestige": note} if note else data)


def comparable(table: Table, values: tuple[bytes | None, ...], kept_ids: KeptIds) -> tuple[bytes | None, ...]:
    """Return a row without the notes that ids are UUIDs only in the store that it is of."""
    position = table.own_metadata_position
    metadata = values[position] if position is not None else None
    if position is None or metadata is None or kept_ids.empty or b'"original"' not in metadata:
        return values
    text = pgbinary_decode.jsonb(metadata).decode()
    _, original = _note(json.loads(text))
    originals: dict[str, str] = {}
    if (own := kept_ids.text(values[0])) is not None:
        originals["id"] = own
    for column, _ in table.id_columns:
        spelt, value = original.get(column.name), values[table.position(column.name)]
        if (
            column.codec is UUIDS
            and isinstance(spelt, str)
            and value
            and _ids_in(spelt) == pgbinary_decode.uuids(value)
        ):
            originals[column.name] = spelt
    value = pgbinary_encode.jsonb(without_notes(text, originals).encode())
    return (*values[:position], value, *values[position + 1 :])


def _ids_in(spelt: str) -> list[bytes]:
    """Return the ids of a JSON list; none where it is no list of texts."""
    try:
        ids = json.loads(spelt)
    except (ValueError, RecursionError):
        return []
    return list(map(new_id, ids)) if isinstance(ids, list) and all(isinstance(each, str) for each in ids) else []


def _note(data: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the notes of a copy in metadata, and the originals among them."""
    note = data.get("vestige") if isinstance(data, dict) else None
    if not isinstance(note, dict):
        return {} if note is None else {"vestige": note}, {}
    original = note.get("original")
    return note, original if isinstance(original, dict) else {}
