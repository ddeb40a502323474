"""Notes on ids: a row that is stored under the UUID of its id has the text in ``metadata.vestige.original``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vestige_tui.core.storable import new_id
from vestige_tui.store.backends import pgbinary_decode, pgbinary_encode
from vestige_tui.transfer.codecs import UUIDS

if TYPE_CHECKING:
    from vestige_tui.transfer.kept_ids import KeptIds
    from vestige_tui.transfer.table_spec import Table

_dump = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def with_note(metadata: str, text: str) -> str:
    """Return metadata with the text of an id that is stored as its UUID."""
    data, note, original = _parsed(metadata)
    return _dump({**data, "vestige": {**note, "original": {**original, "id": text}}})


def without_notes(metadata: str, originals: Mapping[str, str]) -> str:
    """Return metadata without these originals; unchanged where it has none of them."""
    if '"original"' not in metadata:
        return metadata
    data, note, original = _parsed(metadata)
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
    *_, original = _parsed(text)
    originals: dict[str, str] = {}
    if (own := kept_ids.text(values[0])) is not None:
        originals["id"] = own
    for at, column, _ in table.id_columns:
        spelt, value = original.get(column.name), values[at]
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


def _parsed(metadata: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return metadata of a converted row, the notes of a copy in it, and the originals among these."""
    data: dict[str, Any] = json.loads(metadata)
    note = data.get("vestige")
    if not isinstance(note, dict):
        return data, {} if note is None else {"vestige": note}, {}
    original = note.get("original")
    return data, note, original if isinstance(original, dict) else {}
