"""Kept ids: ids that are no UUIDs, which a SQLite target spells as its source does.

In wire form, keys, digests and sync state such an id is its UUID (``new_id``); only the statements on a SQLite file
take the text. A file that an older version has written may hold the UUID instead: it is the same row.
"""

from __future__ import annotations

from vestige_tui.core.storable import is_kept_id
from vestige_tui.store.backends import pgbinary_decode


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
