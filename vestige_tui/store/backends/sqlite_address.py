"""Address (URI) at which SQLite only reads a file."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote


def address_of(path: Path, *, idle: bool = False) -> str:
    """Return the address at which a file is only read. An ``idle`` one is opened by no other program meanwhile."""
    # Without a -wal no pages are missing in this mode; beside an idle file SQLite would leave an empty one.
    fixed = (idle or not os.access(path.parent, os.W_OK)) and not Path(f"{path}-wal").exists()
    return f"file:{quote(bytes(path))}?{'mode=ro&immutable=1' if fixed else 'mode=ro'}"
