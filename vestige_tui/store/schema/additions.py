"""Columns and tables that adoption adds to the file of a Vestige server. The script is read on import."""

from __future__ import annotations

from collections.abc import Mapping

from vestige_tui.store.schema.named_sql import load

ADD, CREATE = "add_", "create_"
"""Begin of the names of the blocks that add a column and create a table."""


def additions_script() -> Mapping[str, str]:
    """Return the blocks of the script of adoption, by name."""
    return load("sqlite", "vestige")


def named_blocks(prefix: str) -> dict[str, str]:
    """Return the blocks that begin with a prefix, in the order of the script, by the rest of their names."""
    return {name.removeprefix(prefix): block for name, block in additions_script().items() if name.startswith(prefix)}


COLUMNS: Mapping[str, str] = {
    column: block.split("ALTER TABLE main.")[1].split()[0] for column, block in named_blocks(ADD).items()
}
"""Table of the server by the name of a column that is added to it."""
TABLES = tuple(named_blocks(CREATE))
"""Tables that are added, in an order in which they can be created; ``ADOPTION`` is the last to be dropped."""
MEMORIES, ADOPTION = COLUMNS["codebase"], TABLES[-1]
"""The server's table of memories, and the table of the additions."""
