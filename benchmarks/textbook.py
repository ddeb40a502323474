"""Textbook search for PostgreSQL: one statement, every filter behind a guard, ranks by window function."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vestige_tui.core.search import Mode

_PARAMS = """
WITH params AS (
    SELECT %(vector)s::vector AS q_vec, websearch_to_tsquery('english', %(text)s) AS q_fts,
        %(tags)s::text[] AS tags, %(domains)s::text[] AS domains, %(node_types)s::text[] AS node_types,
        %(codebase)s::text AS codebase, %(owner)s::uuid AS owner, %(since)s::timestamptz AS since
)"""

_GUARDS = """
        AND m.superseded_by IS NULL
        AND (p.tags IS NULL OR m.tags && p.tags)
        AND (p.domains IS NULL OR m.domains && p.domains)
        AND (p.node_types IS NULL OR m.node_type = ANY (p.node_types))
        AND (p.codebase IS NULL OR m.codebase = p.codebase)
        AND (p.owner IS NULL OR m.owner_user_id = p.owner)
        AND (p.since IS NULL OR m.created_at >= p.since)"""

_BRANCHES = {
    "fts": f""", fts AS (
    SELECT m.id, row_number() OVER (ORDER BY ts_rank_cd(m.search_vec, p.q_fts) DESC) AS rank
    FROM knowledge_nodes m, params p
    WHERE m.search_vec @@ p.q_fts{_GUARDS}
    ORDER BY rank LIMIT 3 * %(limit)s
)""",
    "vec": f""", vec AS (
    SELECT m.id, row_number() OVER (ORDER BY e.embedding <=> p.q_vec) AS rank
    FROM knowledge_nodes m JOIN node_embeddings e ON e.node_id = m.id, params p
    WHERE true{_GUARDS}
    ORDER BY rank LIMIT 3 * %(limit)s
)""",
}

_ALONE = ", fused AS (SELECT id, 1.0 / (60 + rank) AS score FROM {branch})"
_FUSED = """, fused AS (
    SELECT coalesce(f.id, v.id) AS id,
        coalesce(1.0 / (60 + f.rank), 0) + coalesce(1.0 / (60 + v.rank), 0) AS score
    FROM fts f FULL JOIN vec v ON v.id = f.id
)"""

_MEMORIES = """
SELECT m.*, s.*, fused.score FROM fused JOIN knowledge_nodes m ON m.id = fused.id
LEFT JOIN scheduling s ON s.memory_id = m.id
ORDER BY fused.score DESC, m.id LIMIT %(limit)s"""


def statement(mode: Mode) -> str:
    """Return the statement of a mode; its parameters are the columns of ``params``, and ``limit``."""
    if mode == "hybrid":
        return _PARAMS + _BRANCHES["fts"] + _BRANCHES["vec"] + _FUSED + _MEMORIES
    branch = "fts" if mode == "text" else "vec"
    return _PARAMS + _BRANCHES[branch] + _ALONE.format(branch=branch) + _MEMORIES
