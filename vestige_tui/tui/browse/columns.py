"""Columns of the table of memories, by the width that it has."""

from __future__ import annotations

from dataclasses import dataclass

from vestige_tui.core.memories import Sort


@dataclass(frozen=True, slots=True)
class Columns:
    """Widths of the columns in cells; 0 for a column that is hidden in favour of the text."""

    kind: int
    domain: int
    text: int
    tags: int
    age: int
    recall: int
    due: int

    @classmethod
    def of(cls, width: int, sort: Sort | None = None) -> Columns:
        """Return the columns of a table of this width in cells, in this order."""
        kind = 10 if width >= 72 else 0
        domain = 0 if width < 110 else 10 if width < 140 else 14
        tags = 0 if width < 110 else 12 if width < 140 else 24
        due_cells = 10 if width >= 92 else 0
        recall = 9 if width >= 110 else 6 if width >= 66 else 3
        age_cells = 10 if sort == "due" else 9
        rest = sum(cells + 2 for cells in (kind, domain, tags, due_cells, recall, age_cells) if cells)
        return cls(kind, domain, max(4, width - 4 - rest), tags, age_cells, recall, due_cells)
