"""Tally of an import: counts, failed and repaired lines, and the journal entry that undoes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vestige_tui.cli.line_values import ParsedLine, shown_name

MAX_ERRORS_COUNT = 1_000
"""Most failed and most repaired lines that are listed; all are counted."""
MAX_KEY_NAMES_COUNT = 100
"""Most names of unknown keys that are counted each on its own."""
OTHER_KEYS = "other keys"


@dataclass(slots=True)
class ImportTally:
    """Counts of an import, its failed and repaired lines, and the journal entry that undoes it."""

    read: int = 0
    inserted: int = 0
    present: int = 0
    failed: int = 0
    repaired: int = 0
    errors: list[tuple[int, str]] = field(default_factory=list)
    repairs: list[tuple[int, str]] = field(default_factory=list)
    unknown_keys: dict[str, int] = field(default_factory=dict)
    warnings: dict[str, None] = field(default_factory=dict)
    left_behind: Mapping[str, int] = field(default_factory=dict)
    """Rows by tables of an archive that have no place here."""
    undo: int | None = None

    def fail(self, line: int, message: str) -> None:
        self.failed += 1
        if len(self.errors) < MAX_ERRORS_COUNT:
            self.errors.append((line, message))

    def note(self, line: int, parsed: ParsedLine) -> None:
        """Count the repairs and unknown keys of a line that was inserted."""
        for name in parsed.unknown_keys:
            name = shown_name(name)
            if name not in self.unknown_keys and len(self.unknown_keys) >= MAX_KEY_NAMES_COUNT:
                name = OTHER_KEYS
            self.unknown_keys[name] = self.unknown_keys.get(name, 0) + 1
        if parsed.notes:
            self.repaired += 1
            if len(self.repairs) < MAX_ERRORS_COUNT:
                self.repairs.append((line, "; ".join(parsed.notes)))

    @property
    def done(self) -> int:
        return self.inserted + self.present + self.failed

    def document(self) -> dict[str, Any]:
        return {
            "read": self.read,
            "inserted": self.inserted,
            "present": self.present,
            "failed": self.failed,
            "repaired": self.repaired,
            "errors": [{"line": line, "message": message} for line, message in sorted(self.errors)],
            "repairs": [{"line": line, "message": message} for line, message in sorted(self.repairs)],
            "unknown_keys": dict(self.unknown_keys),
            "left_behind": dict(self.left_behind),
            "undo": self.undo,
        }
