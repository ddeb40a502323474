"""Orders of a list in words."""

from __future__ import annotations

from collections.abc import Mapping

from vestige_tui.core.memories import Sort
from vestige_tui.core.text import grouped

SORTS: Mapping[Sort, str] = {
    "created": "newest first",
    "oldest": "oldest first",
    "updated": "last updated first",
    "due": "next due first",
    "recall": "lowest recall first",
    "type": "by type, newest first",
}
_MISSING: Mapping[Sort, str] = {"due": "due date", "recall": "review"}


def sort_sentence(sort: Sort, last: int = 0) -> str:
    """Return an order in words; ``last`` is the number of memories that stand last because they have no key of it."""
    return f"{SORTS[sort]}, {grouped(last)} without a {_MISSING[sort]} last" if last else SORTS[sort]
