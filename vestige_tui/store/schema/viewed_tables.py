"""Tables as one user may see them, in place of the tables of a store that is viewed as that user.

No query asks for a viewer: it names its tables as ever, and finds only what the user may see in them.
"""

from __future__ import annotations

import re

from vestige_tui.store.schema.named_sql import compose
from vestige_tui.store.schema.stand_ins import with_definitions

BLOCKS = (
    "viewed_knowledge_nodes",
    "viewed_node_embeddings",
    "viewed_spare_embeddings",
    "viewed_scheduling",
    "viewed_review_events",
    "viewed_review_marks",
    "viewed_edges",
    "viewed_supersession_events",
    "viewed_journal",
)
"""Named queries of the tables that hold memories, or rows about them."""


def table_of(block: str) -> str:
    """Return the table that a block stands in place of."""
    return block.removeprefix("viewed_")


def view(block: str) -> str:
    """Return the SQLite statement that creates a viewed table as a temporary view."""
    return f"CREATE TEMP VIEW {table_of(block)} AS {compose('sqlite', block)}"


def with_viewed_tables(statement: str) -> str:
    """Return a PostgreSQL query that reads the viewed tables in place of the tables that it names."""
    blocks = [block for block in BLOCKS if re.search(rf"\b{table_of(block)}\b", statement)]
    return with_definitions(
        statement, [f"{table_of(block)} AS NOT MATERIALIZED ({compose('postgres', block)})" for block in blocks]
    )
