"""Scripts of SQLite: split into single statements. PostgreSQL runs its own in one call."""

from __future__ import annotations

import sqlite3


def statements(script: str) -> list[str]:
    """Split a script into single statements; a trigger's body stays in one piece."""
    parts: list[str] = []
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if line.rstrip().endswith(";") and sqlite3.complete_statement(pending):
            parts.append(pending.strip())
            pending = ""
    if pending.strip() and any(line.strip() and not line.lstrip().startswith("--") for line in pending.splitlines()):
        parts.append(pending.strip())
    return parts
