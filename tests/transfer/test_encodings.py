"""Texts stay what they are in whatever encoding a person's environment, server, or file is set up."""

from __future__ import annotations

import asyncio
import sqlite3
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from tests.support.jobs import run_here
from tests.support.pgbouncer import past_pooler
from tests.support.postgres import new_database, with_any_encoding
from tests.support.postgres_variant import as_superuser
from vestige_tui.core.errors import Refused
from vestige_tui.core.memories import Draft
from vestige_tui.core.reviews import Scheduling
from vestige_tui.core.search import SearchQuery
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.embedding.models import TestEmbedder
from vestige_tui.jobs.context import Meter
from vestige_tui.jobs.start import JobRequest, start
from vestige_tui.store.backends import postgres_connection
from vestige_tui.store.open import open_store
from vestige_tui.transfer.comparison_reporters import StdoutReporter
from vestige_tui.transfer.convert import TransferContext
from vestige_tui.transfer.open import open_source
from vestige_tui.transfer.postgres_source import PostgresSource
from vestige_tui.transfer.protocols import Source
from vestige_tui.transfer.table_spec import TABLES
from vestige_tui.transfer.target_readers import target_reader_of
from vestige_tui.transfer.verify import prepare

TEXTS = (
    "café crème",
    "漢字かな交じり文",
    "rocket 🚀 launch",
    "combining e\u0301 a\u030a",
    "line\u2028separator",
    "four bytes 𠀋 \U0001d4b3",
    "Ã© is no é",
    "plain",
)
MADE = datetime(2026, 3, 29, 1, 30, 0, 123456, UTC)
FINE = 3.2500000000000004
"""A number that needs all its digits."""


async def fill(url: str, texts: Sequence[str] = TEXTS) -> None:
    """Memories whose every text is beyond ASCII, with all that hangs on them."""
    embedders = EmbedderSource(embedder=TestEmbedder(16))
    async with open_store(url, create=True, embedders=embedders) as store:
        drafts = [
            Draft(
                text,
                node_type=f"type {text}",
                tags=(f"tag {text}", 'quoted " \\ {a,b} NULL', ""),
                domains=(f"domain {text}",),
                domain_scores={f"domain {text}": 0.5},
                codebase=f"code {text}",
                metadata={f"key {text}": [text]},
                created_at=MADE + timedelta(hours=place),
                scheduling=Scheduling(stability=FINE, difficulty=5.0, last_review=MADE, next_review=MADE, reps=1),
            )
            for place, text in enumerate(texts)
        ]
        await store.memories.insert_many(drafts)
    embedders.close()


async def contents(url: str) -> list[tuple[Any, ...]]:
    """What a store says of its memories."""
    async with open_store(url, read_only=True) as store:
        page = await store.page(limit=100)
        return sorted(
            (
                memory.content,
                memory.node_type,
                tuple(memory.tags),
                tuple(memory.domains),
                memory.codebase,
                repr(memory.metadata),
                memory.created_at,
                memory.scheduling and memory.scheduling.stability,
            )
            for memory in page.items
        )


def stored(url: str) -> list[str]:
    """The contents in a database, seen by a session of UTF-8."""
    with psycopg.connect(url, client_encoding="UTF8") as connection:
        return sorted(row[0] for row in connection.execute("SELECT content FROM knowledge_nodes").fetchall())


async def fill_file(path: Path, texts: Sequence[str] = TEXTS) -> str:
    """A SQLite store with texts beyond ASCII in every table that has any."""
    url = f"sqlite:{path}"
    await fill(url, texts)
    at = "2026-01-01T00:00:00.000000+00:00"
    with closing(sqlite3.connect(path)) as connection, connection:
        ids = [row[0] for row in connection.execute("SELECT id FROM knowledge_nodes ORDER BY seq")]
        for place, text in enumerate(texts):
            person = f"00000000-0000-4000-8000-{place:012}"
            for table in ("users", "groups"):
                connection.execute(
                    f"INSERT INTO {table} (id, handle, display_name, created_at, metadata) VALUES (?, ?, ?, ?, ?)",
                    (person, text, text, at, f'{{"name": "{text}"}}'),
                )
            connection.execute(
                "INSERT INTO domains (id, label, top_terms, created_at, metadata) VALUES (?, ?, ?, ?, ?)",
                (text, text, f'["{text}"]', at, f'{{"name": "{text}"}}'),
            )
            connection.execute(
                "INSERT INTO edges (source_id, target_id, edge_type, created_at) VALUES (?, ?, ?, ?)",
                (ids[0], ids[1], text, at),
            )
            connection.execute(
                "INSERT INTO review_events (memory_id, timestamp, rating, prior_state, new_state)"
                " VALUES (?, ?, 3, ?, '{}')",
                (ids[place], at, f'{{"note": "{text}"}}'),
            )
    return url


@asynccontextmanager
async def source_of(url: str) -> AsyncIterator[Source]:
    source = await asyncio.to_thread(open_source, url)
    try:
        yield source
    finally:
        await asyncio.to_thread(source.close)


async def compare(source: str, target: str) -> dict[str, tuple[int, int, int]]:
    """What differs, is in the source only, and in the target only, of the tables where anything is."""
    report = StdoutReporter(Meter(), lambda meter: None)
    async with source_of(source) as opened, open_store(target, read_only=True) as store:
        await (await prepare(opened, store, report)).run()
    found = {name: (each.differ, each.only_source, each.only_target) for name, each in report.meter.tables.items()}
    assert all(each.read == each.total for each in report.meter.tables.values())
    assert report.meter.tables["memories"].read
    return {name: counts for name, counts in found.items() if any(counts)}


Copy = Callable[..., Awaitable[str]]


@pytest.fixture
def copy() -> Copy:
    """Copy a store in this process; gives what the job says of it."""

    async def copy(source: str, target: str, **options: Any) -> str:
        job = await run_here(JobRequest("copy", source, target, options))
        assert (job.status, job.error) == ("completed", None)
        return job.result or ""

    return copy


# Sessions

Setup = Callable[[str, pytest.MonkeyPatch, Path], str]
_ODD = {
    "client_encoding": "LATIN1",
    "DateStyle": "German, DMY",
    "IntervalStyle": "sql_standard",
    "TimeZone": "America/Sao_Paulo",
    "standard_conforming_strings": "off",
    "extra_float_digits": "-5",
}
_OPTIONS = " ".join(f"-c {name}={value}" for name, value in _ODD.items()).replace(", ", ",")


def of_environment(url: str, environment: pytest.MonkeyPatch, folder: Path) -> str:
    environment.setenv("PGCLIENTENCODING", "LATIN1")
    environment.setenv("PGDATESTYLE", "German, DMY")
    environment.setenv("PGTZ", "America/Sao_Paulo")
    return url


def of_options_in_the_environment(url: str, environment: pytest.MonkeyPatch, folder: Path) -> str:
    environment.setenv("PGOPTIONS", _OPTIONS)
    return url


def of_a_parameter(url: str, environment: pytest.MonkeyPatch, folder: Path) -> str:
    return f"{url}&client_encoding=LATIN1"


def of_options(url: str, environment: pytest.MonkeyPatch, folder: Path) -> str:
    return f"{url}&options={quote(_OPTIONS)}"


def of_a_service(url: str, environment: pytest.MonkeyPatch, folder: Path) -> str:
    (folder / "services").write_text(f"[odd]\nclient_encoding=LATIN1\noptions={_OPTIONS}\n")
    environment.setenv("PGSERVICEFILE", str(folder / "services"))
    return f"{url}&service=odd"


def _altered(url: str, statement: str) -> str:
    with psycopg.connect(as_superuser(url), autocommit=True) as connection:
        database = sql.Identifier(connection.info.dbname)
        role = sql.Identifier(str(conninfo_to_dict(url)["user"]))
        for name, value in _ODD.items():
            names = {"role": role, "database": database, "name": sql.Identifier(name)}
            connection.execute(sql.SQL(statement).format(**names, value=value))
    return url


def of_the_role(url: str, environment: pytest.MonkeyPatch, folder: Path) -> str:
    return _altered(url, "ALTER ROLE {role} IN DATABASE {database} SET {name} = {value}")


def of_the_database(url: str, environment: pytest.MonkeyPatch, folder: Path) -> str:
    return _altered(url, "ALTER DATABASE {database} SET {name} = {value}")


SETUPS = (
    of_environment,
    of_options_in_the_environment,
    of_a_parameter,
    of_options,
    of_a_service,
    of_the_role,
    of_the_database,
)


@pytest.fixture(params=SETUPS, ids=lambda setup: setup.__name__)
def odd(request: pytest.FixtureRequest, postgres_database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The URL of an empty database whose sessions would be of another encoding, and write times and numbers oddly."""
    setup: Setup = request.param
    url = setup(with_any_encoding(postgres_database), monkeypatch, tmp_path)
    with psycopg.connect(url) as connection:
        assert connection.info.parameter_status("client_encoding") == "LATIN1"
    return url


@pytest.mark.slow
async def test_texts_go_through_every_session_as_they_are(
    odd: str, postgres_server: str, tmp_path: Path, copy: Copy
) -> None:
    source = await fill_file(tmp_path / "source.db")
    assert "every row is equal" in await copy(source, odd)
    assert stored(odd) == sorted(TEXTS)
    assert await contents(odd) == await contents(source)
    assert await compare(source, odd) == {}
    assert await compare(odd, source) == {}
    back = f"sqlite:{tmp_path / 'back.db'}"
    assert "every row is equal" in await copy(odd, back)
    assert await contents(back) == await contents(source)
    with new_database(postgres_server) as other:
        assert "every row is equal" in await copy(odd, other)
        assert stored(other) == sorted(TEXTS)
        assert await compare(odd, other) == {}


async def test_a_store_takes_gives_and_finds_texts_in_every_session(odd: str, tmp_path: Path) -> None:
    await fill(odd)
    await fill(f"sqlite:{tmp_path / 'same.db'}")
    assert stored(odd) == sorted(TEXTS)
    assert await contents(odd) == await contents(f"sqlite:{tmp_path / 'same.db'}")
    async with open_store(odd) as store:
        for text in TEXTS:
            answer = await store.search(SearchQuery(text, mode="text"))
            assert text in {hit.memory.content for hit in answer.hits}
        [memory] = [each for each in (await store.page()).items if each.content == TEXTS[0]]
        # What is heard over a session of its own, and what is asked after the sessions broke.
        assert await store.wait_for_change(0.0)
        with psycopg.connect(odd, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        assert (await store.get(memory.id)).tags == memory.tags


# Databases


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "EUC_JP"])
async def test_a_database_of_another_encoding_is_refused(encoding: str, postgres_server: str, tmp_path: Path) -> None:
    source = await fill_file(tmp_path / "source.db")
    with new_database(postgres_server, encoding) as url:
        message = f"has the encoding {encoding}, .*ENCODING 'UTF8' TEMPLATE template0"
        with pytest.raises(Refused, match=message):
            await fill(url)
        with pytest.raises(Refused, match=message):
            await start(JobRequest("copy", source, url))
        with pytest.raises(Refused, match=message):
            await start(JobRequest("copy", url, f"sqlite:{tmp_path / 'new.db'}"))
        with pytest.raises(Refused, match=message):
            await asyncio.to_thread(PostgresSource, url)
        with psycopg.connect(url) as connection:
            cursor = connection.execute(
                "SELECT count(*) FROM pg_class WHERE relnamespace = quote_ident(current_schema())::regnamespace"
            )
            assert cursor.fetchone() == (0,)
            assert connection.execute("SELECT count(*) FROM pg_extension").fetchone() == (1,)
    assert not (tmp_path / "new.db").exists()


# Sessions that are set up otherwise in spite of all


@pytest.fixture
def behind_a_pooler(postgres_database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The URL of a database whose sessions start without anything that was asked of them."""
    url = of_the_role(with_any_encoding(past_pooler(postgres_database)), monkeypatch, tmp_path)
    monkeypatch.setattr(postgres_connection, "make_conninfo", lambda conninfo, **settings: url)
    return url


async def test_what_the_start_of_a_session_did_not_take_is_set_afterwards(behind_a_pooler: str, tmp_path: Path) -> None:
    await fill(behind_a_pooler)
    assert stored(behind_a_pooler) == sorted(TEXTS)
    await fill(f"sqlite:{tmp_path / 'same.db'}")
    assert await contents(behind_a_pooler) == await contents(f"sqlite:{tmp_path / 'same.db'}")
    async with source_of(behind_a_pooler) as source:
        assert source.count("memories").rows == len(TEXTS)


async def test_a_session_that_keeps_another_encoding_is_refused(
    behind_a_pooler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_connection, "_SETTLE", "SELECT 1")
    with pytest.raises(Refused, match="answers in the encoding LATIN1"):
        await fill(behind_a_pooler)
    with pytest.raises(Refused, match="answers in the encoding LATIN1"):
        await asyncio.to_thread(PostgresSource, behind_a_pooler)


async def test_a_source_whose_session_changes_is_not_read_on(postgres_database: str) -> None:
    url = past_pooler(postgres_database)
    await fill(url)
    async with source_of(url) as source:
        assert isinstance(source, PostgresSource)
        transfer_context = TransferContext(MADE, duplicate_ids={}, width=16, half=False, users=set())
        [memories] = [table for table in TABLES if table.name == "memories"]
        assert source.read(memories, source.start("memories"), 10, 10**6, transfer_context).read == len(TEXTS)
        source._connection.execute("SET client_encoding = 'GB18030'")
        with pytest.raises(Refused, match="answers in the encoding GB18030"):
            source.read(memories, source.start("memories"), 1, 10**6, transfer_context)


# Comparisons


@pytest.fixture
def spoilt(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every session of a store is one of LATIN1, and nothing has noticed."""
    connect = postgres_connection.ServerConnection.connect

    async def spoil(*args: Any, **named: Any) -> Any:
        connection = await connect(*args, **named)
        await connection.execute("SET client_encoding = 'LATIN1'")
        return connection

    with monkeypatch.context() as patched:
        patched.setattr(postgres_connection.ServerConnection, "connect", spoil)
        yield


@pytest.mark.slow
async def test_a_comparison_finds_what_a_session_of_another_encoding_stored(
    tmp_path: Path, postgres_database: str, copy: Copy, request: pytest.FixtureRequest
) -> None:
    """Also in such a session, where a text that is sent and one that is read are mistaken alike."""
    latin = ("café crème", "Ã© is no é", "naïve")
    source = await fill_file(tmp_path / "source.db", latin)
    request.getfixturevalue("spoilt")
    assert "every row is equal" not in await copy(source, past_pooler(postgres_database))
    with psycopg.connect(postgres_database) as connection:
        [found] = connection.execute("SELECT content FROM knowledge_nodes WHERE content LIKE 'caf%'").fetchall()
    assert found == ("cafÃ© crÃ¨me",)
    differing = await compare(source, postgres_database)
    several = len(latin)
    assert differing == {
        "users": (several, 0, 0),
        "groups": (several, 0, 0),
        "domains": (0, several, several),
        "memories": (several, 0, 0),
        "edges": (0, several, several),
        "reviews": (several, 0, 0),
    }


COLUMNS = {
    "content": "'cafÃ©'",
    "node_type": "'cafÃ©'",
    "tags": "ARRAY['cafÃ©']",
    "domains": "ARRAY['cafÃ©']",
    "codebase": "'cafÃ©'",
    "metadata": """'{"a": "cafÃ©"}'""",
    "domain_scores": """'{"cafÃ©": 1}'""",
}


@pytest.mark.parametrize("spoil", [False, True], ids=["UTF8", "LATIN1"])
@pytest.mark.parametrize("column", COLUMNS)
async def test_a_text_that_was_read_in_another_encoding_differs(
    column: str, spoil: bool, tmp_path: Path, postgres_database: str, request: pytest.FixtureRequest
) -> None:
    source = f"sqlite:{tmp_path / 'source.db'}"
    draft = Draft(
        "café",
        str(uuid.UUID(int=7)),
        node_type="café",
        tags=("café",),
        domains=("café",),
        domain_scores={"café": 1.0},
        codebase="café",
        metadata={"a": "café"},
        created_at=MADE,
        updated_at=MADE,
    )
    for url in (source, postgres_database):
        async with open_store(url, create=True) as store:
            await store.insert(draft, embed=False)
    if spoil:
        request.getfixturevalue("spoilt")
    assert await compare(source, postgres_database) == {}
    with psycopg.connect(postgres_database) as connection:
        connection.execute(f"UPDATE knowledge_nodes SET {column} = {COLUMNS[column]}".encode())
    assert await compare(source, postgres_database) == {"memories": (1, 0, 0)}


# Files


def utf16(path: Path, encoding: str) -> Path:
    """An empty SQLite file of that encoding, which is settled with its first table."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"PRAGMA encoding = '{encoding}'; CREATE TABLE t (a); DROP TABLE t")
    return path


@pytest.mark.parametrize("encoding", ["UTF-16le", "UTF-16be"])
async def test_every_row_of_a_file_of_utf16_is_read_once(encoding: str, tmp_path: Path) -> None:
    url = await fill_file(utf16(tmp_path / "source.db", encoding))
    transfer_context = TransferContext(MADE, duplicate_ids={}, width=16, half=False, users=set())
    async with source_of(url) as source, open_store(url, read_only=True) as store:
        target_reader = target_reader_of(store)
        for table in TABLES:
            read = 0
            after = source.start(table.name)
            while (batch := await asyncio.to_thread(source.read, table, after, 3, 10**6, transfer_context)).read:
                read += batch.read
                after = batch.after
            rows = source.count(table.name).rows
            assert read == rows, table.name
            keys: list[bytes] = []
            while page := await target_reader.keys(table.name, keys[-1] if keys else None, 3):
                keys += page
            assert len(keys) == len(set(keys)) == rows, table.name


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["UTF-16le", "UTF-16be"])
async def test_a_file_of_utf16_is_copied_compared_and_searched(
    encoding: str, tmp_path: Path, postgres_database: str, copy: Copy
) -> None:
    plain = await fill_file(tmp_path / "plain.db")
    source = await fill_file(utf16(tmp_path / "source.db", encoding))
    target = f"sqlite:{utf16(tmp_path / 'target.db', encoding)}"
    assert "every row is equal" in await copy(source, postgres_database, batch=3)
    assert stored(postgres_database) == sorted(TEXTS)
    assert "every row is equal" in await copy(postgres_database, target, batch=3)
    for one, other in ((source, postgres_database), (postgres_database, target), (source, target), (target, source)):
        assert await compare(one, other) == {}
    assert await contents(source) == await contents(target) == await contents(plain)
    async with open_store(target) as store:
        for text in TEXTS:
            for mode in ("text", "literal"):
                answer = await store.search(SearchQuery(text, mode=mode))
                assert text in {hit.memory.content for hit in answer.hits}
    for file in (source, target):
        with closing(sqlite3.connect(file.removeprefix("sqlite:"))) as connection:
            assert connection.execute("PRAGMA encoding").fetchone() == (encoding,)
