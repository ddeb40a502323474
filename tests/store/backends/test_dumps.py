"""A dump of a store, restored into a new database, is the same store."""

from __future__ import annotations

import subprocess

import psycopg
import pytest
from psycopg import sql

from tests.support.command_line import SENTENCES, fill_sample
from tests.support.pgbouncer import past_pooler
from tests.support.postgres import new_database
from tests.support.postgres_variant import as_superuser
from tests.support.store_rows import read_rows
from vestige_tui.core.search import SearchQuery
from vestige_tui.store.backends.embedded_programs import find_programs
from vestige_tui.store.open import open_store


def restore_dump(source: str, target: str) -> None:
    """Copy a database as an administrator does: a dump of everything, restored into an empty database."""
    with psycopg.connect(source) as connection:
        programs = find_programs(connection.info.server_version // 10_000)
    assert programs is not None
    dump = subprocess.run([programs / "pg_dump", f"--dbname={source}"], capture_output=True, check=True)
    with psycopg.connect(target, autocommit=True) as connection:
        [schema] = connection.execute("SELECT current_schema()").fetchone() or [""]
        if schema != "public":
            # It is made by the dump.
            connection.execute(sql.SQL("DROP SCHEMA {}").format(sql.Identifier(schema)))
    command = [str(programs / "psql"), "--quiet", "--set=ON_ERROR_STOP=1", f"--dbname={target}"]
    done = subprocess.run(command, input=dump.stdout, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.slow
async def test_a_dump_is_restored_whole(postgres_server: str, postgres_database: str) -> None:
    await fill_sample(postgres_database)
    with new_database(postgres_server) as restored:
        restore_dump(*(past_pooler(as_superuser(url)) for url in (postgres_database, restored)))
        assert read_rows(restored) == read_rows(postgres_database)
        async with open_store(restored) as store:
            assert not store.maintenance.pending
            hits = (await store.search(SearchQuery("nightly backup", mode="text"))).hits
            assert hits[0].memory.content == SENTENCES[1]
