"""The named SQL: every query, with every fragment it can take, is prepared on fresh schemas of both dialects."""

from __future__ import annotations

import itertools
import re
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg
import pytest

from vestige_tui.store.backends.sqlite_connection import add_functions
from vestige_tui.store.schema.additions import CREATE, named_blocks
from vestige_tui.store.schema.migrations import migrations
from vestige_tui.store.schema.named_sql import Dialect, compose, load

FILTERS = tuple(name for name in load("sqlite") if name.startswith("filter_"))
SORTS = ("created", "updated", "due", "oldest", "type", "recall", "recall_at", "due_at")
ONLY_SQLITE = {
    "read_signature",
    "branch_vector_given",
    "rank_matching",
    "rank_matching_among",
    "list_matching_seqs",
    "list_passing_seqs",
    "list_replaced_seqs",
    "list_embeddings_after",
    "list_embedding_seqs",
    "measure_embeddings",
    "measure_stored_embeddings",
    "still_the_same",
    "optimize_text",
    "optimize",
    "checkpoint",
    "create_viewer",
    "put_viewer",
    "list_stored_embedding_seqs",
    "list_stored_embeddings_after",
    "list_text_lengths",
    "read_text_totals",
    "insert_spare",
    "list_domain_vectors",
    "list_centroids",
    "forget_spare_trigger",
    "lay_vectors_aside",
    "put_spare_in_place",
    "keep_laid_aside",
    "make_spare_trigger",
}
ONLY_POSTGRES = {
    "build_spare_index_at_once",
    "locate_store",
    "branch_vector_index",
    "branch_vector_either",
    "branch_vector_exact",
    "branch_text_common",
    "weigh_words",
    "weigh_viewed_words",
    "weighed_words",
    "score_text",
    "score_vector",
    "score_none",
    "count_terms",
    "lock_terms",
    "clear_terms",
    "fill_terms",
    "analyze",
    "preflight",
    "store_tables",
    "path_schemas",
    "list_row_security",
    "list_missing_rights",
    "find_channel",
    "hold_channel",
    "find_horizon",
    "find_unheard",
    "list_databases",
    "list_all_tables",
    "list_unrestorable",
    "identify_store",
    "read_position",
    "compare_position",
    "find_index",
    "list_sessions",
    "list_blockers",
    "list_vacuumable",
    "hold_unchanged",
    "load_spare",
    "average_domain",
    "rank_domains",
    "stamp_spare",
    "wait_briefly",
    "wait_long",
    "lock_tables",
    "swap_tables",
    "find_spare_index",
    "prepare_build",
    "notice_hangup",
    "build_spare_index",
    "drop_spare_index",
    "drop_spare_index_concurrently",
    "build_index",
    "build_index_concurrently",
    "drop_index",
    "drop_index_concurrently",
    "analyze_spare",
}
UNPREPARED = ("VACUUM", "ANALYZE", "ALTER", "CREATE", "DROP", "TRUNCATE", "LOCK", "COPY", "DO", "SET")
"""What PostgreSQL prepares no statement for."""
FRAGMENTS = (
    "filter_",
    "branch_",
    "order_",
    "sort_key_",
    "after_",
    "memory_",
    "only_",
    "without_",
    "elapsed",
    "due_time_at",
    "not_resting",
    "is_",
    "chosen_",
    "score_",
    "still_",
    "weighed_",
    "store_tables",
    "path_schemas",
    "journal_columns",
    "weights_columns",
    "journal_line",
    "further_snapshots",
    "not_undone",
    "entries_",
    "visible",
    "viewed_",
    "create_viewer",
    "put_viewer",
)


def _scores(vector: str, text: str, blocks: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """What asks a branch for the score of a memory that only the other one found, where a dialect has it."""
    if "score_none" not in blocks:
        return {}
    return {
        "text_score": ("score_text" if text in ("branch_text", "branch_text_common") else "score_none",),
        "vector_score": ("score_none" if vector == "branch_vector_none" else "score_vector",),
    }


def statements(dialect: Dialect) -> Iterator[tuple[str, str]]:
    """Every query that can be asked, with a label."""
    blocks = load(dialect)
    filter_sets = [(), *((name,) for name in FILTERS), *itertools.pairwise(FILTERS), FILTERS]
    for name, sql in blocks.items():
        if name.startswith(FRAGMENTS):
            continue
        slots = set(re.findall(r"/\*(\w+)\*/", sql))
        fillings: list[dict[str, tuple[str, ...]]] = [{}]
        if "vector_branch" in slots:
            vectors = [block for block in blocks if block.startswith("branch_vector_")]
            texts = [block for block in blocks if block.startswith("branch_text")]
            fillings = [
                {"vector_branch": (v,), "text_branch": (t,), "chosen": (c,), **_scores(v, t, blocks)}
                for v in vectors
                for t in texts
                for c in ("chosen_best", "chosen_one")
            ]
            slots.add("filters")
        elif "order" in slots:
            keys = {"oldest": "created"}
            fillings = [{"order": (f"order_{s}",), "sort_key": (f"sort_key_{keys.get(s, s)}",)} for s in SORTS]
            if "after" in slots:
                fillings += [{**filling, "after": (f"after_{s}",)} for filling, s in zip(fillings, SORTS, strict=True)]
        elif "after" in slots:
            fillings = [{}, {"after": ("after_due",)}]
        elif "entries" in slots:
            conditions = tuple(block for block in blocks if block.startswith("entries_"))
            fillings = [{"entries": chosen} for chosen in ((), *zip(conditions, strict=True), conditions)]
        for filling in fillings:
            for chosen in filter_sets if "filters" in slots else [()]:
                label = f"{name} {filling} {chosen}"
                yield label, compose(dialect, name, {**filling, "filters": chosen})


def numbered(sql: str) -> str:
    """A query with $1, $2 … in the places of its named parameters, as PREPARE wants it."""
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", sql)))
    return re.sub(r"%\((\w+)\)s", lambda match: f"${names.index(match[1]) + 1}", sql).replace("%%", "%")


def test_both_dialects_have_the_same_names() -> None:
    sqlite, postgres = set(load("sqlite")), set(load("postgres"))
    assert sqlite - postgres == ONLY_SQLITE
    assert postgres - sqlite == ONLY_POSTGRES


def test_every_block_says_why(request: pytest.FixtureRequest) -> None:
    from vestige_tui.store.schema.named_sql import sql_folder

    for dialect in ("sqlite", "postgres"):
        for path in sorted((sql_folder() / dialect).glob("*.sql")):
            text = path.read_text(encoding="utf-8")
            for match in re.finditer(r"^-- (\w+) --\n(.*)\n", text, re.MULTILINE):
                assert re.match(r"-- \S", match[2]), f"{path.name}: {match[1]}"


@pytest.mark.slow
def test_sqlite_prepares_every_query() -> None:
    connection = sqlite3.connect(":memory:")
    add_functions(connection)
    connection.executescript(compose("sqlite", "create_bookkeeping"))
    for migration in migrations("sqlite"):
        connection.executescript(migration.up)
    # Of adopted files alone.
    connection.execute(named_blocks(CREATE)["console_extra"])
    count = 0
    for label, sql in statements("sqlite"):
        if sql.startswith(("VACUUM", "PRAGMA", "ALTER", "DROP", "CREATE")):
            connection.execute(sql)
            continue
        parameters = dict.fromkeys(re.findall(r":([a-z_]\w*)", sql), 1)
        try:
            connection.execute(f"EXPLAIN {sql}", parameters)
        except sqlite3.Error as error:
            pytest.fail(f"{label}: {error}")
        count += 1
    connection.close()
    assert count > 1_000


@pytest.mark.slow
def test_postgres_prepares_every_query(bare_postgres_database: str) -> None:
    def typed(sql: str) -> str:
        return sql.replace("{vector}", "vector").replace("{width}", "8").replace("{schema}", "public")

    count = 0
    with psycopg.connect(bare_postgres_database, autocommit=True) as connection:
        connection.execute(compose("postgres", "create_bookkeeping").encode())
        for migration in migrations("postgres"):
            if migration.staged:
                connection.execute(
                    compose("postgres", "stamp_width").replace("{vector}", "vector").replace("{width}", "8").encode()
                )
            connection.execute(typed(migration.up).encode())
        for label, sql in statements("postgres"):
            if sql.startswith(UNPREPARED):
                continue
            try:
                connection.execute(f"PREPARE probe AS {numbered(typed(sql))}".encode())
            except psycopg.Error as error:
                pytest.fail(f"{label}: {error}")
            connection.execute(b"DEALLOCATE probe")
            count += 1
    assert count > 1_000


def test_migrations_go_up_and_down_to_nothing(tmp_path: Path) -> None:
    connection = sqlite3.connect(":memory:")
    for migration in migrations("sqlite"):
        connection.executescript(migration.up)
    for migration in reversed(migrations("sqlite")):
        connection.executescript(migration.down)
    left = [row[0] for row in connection.execute("SELECT name FROM sqlite_master") if not row[0].startswith("sqlite_")]
    connection.close()
    assert left == []
