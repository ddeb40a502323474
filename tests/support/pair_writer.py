"""A second program that writes a memory and its schedule in one transaction, again and again: run as a module."""

from __future__ import annotations

import sqlite3
import sys
import uuid
from contextlib import closing


def main() -> None:
    with closing(sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)) as connection:
        print("writing", flush=True)
        while True:
            memory_id, at = str(uuid.uuid4()), "2026-01-01T00:00:00.000000+00:00"
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(
                "INSERT INTO knowledge_nodes (id, content, created_at, updated_at) VALUES (?, 'of the writer', ?, ?)",
                (memory_id, at, at),
            )
            connection.execute("INSERT INTO review_marks (memory_id) VALUES (?)", (memory_id,))
            connection.execute("COMMIT")


if __name__ == "__main__":
    main()
