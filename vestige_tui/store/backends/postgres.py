"""The PostgreSQL backend: a store on a server with pgvector, or on an embedded server."""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import AsyncConnection, AsyncCursor, errors, sql
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from vestige_tui.core.embeddings import MAX_VECTOR_DIMENSIONS
from vestige_tui.core.errors import ReadOnly, Refused, Unsure
from vestige_tui.core.log import log_suppressed
from vestige_tui.core.storable import is_plain_uuid
from vestige_tui.store.backends import postgres_pooler as pooler
from vestige_tui.store.backends.postgres_connection import ServerConnection, adapt_params
from vestige_tui.store.backends.postgres_errors import translate
from vestige_tui.store.backends.postgres_listener import ChangeListener
from vestige_tui.store.backends.postgres_parents import ForeignKeys
from vestige_tui.store.backends.postgres_pool import PostgresPool
from vestige_tui.store.backends.postgres_replica import QUERIES, ReadReplica
from vestige_tui.store.backends.postgres_rights import READER_RIGHTS, WRITER_RIGHTS, RightMissing, of_statement
from vestige_tui.store.backends.postgres_rows import PostgresRows
from vestige_tui.store.backends.postgres_search import PostgresSearch
from vestige_tui.store.backends.postgres_settings import as_statement
from vestige_tui.store.backends.postgres_word_weights import WordWeights
from vestige_tui.store.backends.protocol import (
    BackendQuery,
    BackendReport,
    BackendResult,
    BackendStatus,
    BeforeImages,
    Capabilities,
    Params,
    Row,
    Transaction,
    VacuumStep,
    Write,
)
from vestige_tui.store.backends.query_timings import Timings
from vestige_tui.store.direct_lines import direct_line
from vestige_tui.store.schema import rows
from vestige_tui.store.schema.named_sql import Dialect, Slots, compose
from vestige_tui.store.schema.stand_ins import StandIn, stand_ins, with_common_tables
from vestige_tui.store.schema.viewed_tables import with_viewed_tables
from vestige_tui.store.waits import Waits, long_work

if TYPE_CHECKING:
    from vestige_tui.core.doctor import Image, RowKey
    from vestige_tui.core.embeddings import ModelSignature
    from vestige_tui.core.errors import VestigeError
    from vestige_tui.core.health import HealthProblem
    from vestige_tui.store.backends.postgres_inspection import PostgresInspection

log = logging.getLogger(__name__)

MAX_HALFVEC_DIMENSIONS = 4_000
"""Most dimensions that pgvector can index as halfvec."""
_UUID_HEX_CHARS = 32
OWN_INDEX_DEFINITION = "hnsw (embedding {vector}_cosine_ops) WITH (m = 16, ef_construction = 64)"


SESSION_LIMIT = 50
"""Number of sessions of other programs in a report."""


class PostgresTransaction:
    """A write in progress on one connection of the pool."""

    foreign = False

    def __init__(self, connection: AsyncConnection[dict[str, Any]], backend: PostgresBackend) -> None:
        self.connection = connection
        self._backend = backend
        self._rows = PostgresRows(connection)

    async def fetch(self, name: str, params: Params | None = None, slots: Slots | None = None) -> list[Row]:
        try:
            with self._backend.timings.of(name):
                cursor = await self.connection.execute(self._backend.sql(name, slots), adapt_params(params))
                return list(await cursor.fetchall()) if cursor.description else []
        except psycopg.Error as error:
            raise self._translated(error, name, slots) from error

    async def execute(self, name: str, params: Params | None = None, slots: Slots | None = None) -> int:
        try:
            with self._backend.timings.of(name):
                return (await self.connection.execute(self._backend.sql(name, slots), adapt_params(params))).rowcount
        except psycopg.Error as error:
            raise self._translated(error, name, slots) from error

    async def execute_many(self, name: str, many: Sequence[Params]) -> int:
        if not many:
            return 0
        try:
            async with self.connection.cursor() as cursor:
                with self._backend.timings.of(name):
                    await cursor.executemany(self._backend.sql(name), [adapt_params(params) for params in many])
                return cursor.rowcount
        except psycopg.Error as error:
            raise self._translated(error, name) from error

    def _translated(self, error: psycopg.Error, name: str, slots: Slots | None = None) -> VestigeError:
        return of_statement(translate(error, self._backend.title), compose("postgres", name, slots))

    async def row_keys(self, keys: Sequence[RowKey]) -> list[RowKey]:
        return list(keys)

    async def read_rows(self, keys: Sequence[RowKey]) -> list[Image | None]:
        with self._translating():
            return await self._rows.read(keys)

    async def write_rows(self, rows: Sequence[tuple[RowKey, Image | None]]) -> None:
        with self._translating():
            await self._rows.write(rows)

    @asynccontextmanager
    async def orphans_allowed(self, tables: Sequence[str]) -> AsyncIterator[None]:
        with self._translating():
            async with ForeignKeys(self.connection).lifted(tables):
                yield

    async def note_parents(self, tables: Sequence[str]) -> None:
        with self._translating():
            await ForeignKeys(self.connection).note_kept(tables)

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise translate(error, self._backend.title) from error

    async def images_of(self, entry: int) -> BeforeImages:
        return {}

    async def restore_images(self, images: BeforeImages, without_vector: Collection[str]) -> None:
        """Do nothing: a snapshot restores every value."""

    async def script(self, sql: str) -> None:
        try:
            with long_work():
                await self.connection.execute(self._backend.lift_timeouts(local=True))
                await self.connection.execute(self._backend.typed(sql).encode())
        except psycopg.Error as error:
            raise of_statement(translate(error, self._backend.title), sql) from error


class PostgresBackend:
    """A store on a PostgreSQL server. ``target`` is a libpq URL, or the directory of an embedded server."""

    dialect: Dialect = "postgres"
    capabilities = Capabilities(
        product="PostgreSQL",
        is_server=True,
        typed_vectors=True,
        computes_vectors=True,
        binary_copy=True,
        revised_stems=False,
        reports_progress=True,
        no_answer_remedy="Check that the server is running and that this machine can connect to it.",
    )
    lowest_id = "00000000-0000-0000-0000-000000000000"
    foreign = False
    adoptable = False
    logs_reviews = True
    keeps_accounts = True

    def __init__(
        self,
        target: str | Path,
        *,
        create: bool = False,
        read_only: bool = False,
        max_connections: int = 10,
        acquire_timeout: float = 30.0,
        read_url: str = "",
        long_work: bool = False,
    ) -> None:
        self._target = target
        self._twin: PostgresBackend | None = None
        """The backend whose store this must be, too."""
        self._pool = PostgresPool(
            target,
            create=create,
            read_only=read_only,
            max_connections=max_connections,
            acquire_timeout=acquire_timeout,
            long_work=long_work,
        )
        self._vector_type = "vector"
        self._width = 0
        self._index_definition, self._index_kind = OWN_INDEX_DEFINITION, "hnsw"
        self._statements: dict[str, bytes] = {}
        self._stand_ins: tuple[StandIn, ...] = ()
        self._viewer_id: str | None = None
        self.timings = Timings()
        self._changes = ChangeListener(self._pool, self.change_token)
        self._weights = WordWeights(self)
        self._search = PostgresSearch(self, self._weights)
        self._replica: ReadReplica | None = None
        if read_url:
            self._replica = ReadReplica(
                read_url,
                max_connections=max_connections,
                acquire_timeout=acquire_timeout,
                ask_primary=self._ask_primary,
                timings=self.timings,
            )

    @property
    def title(self) -> str:
        return self._pool.title

    @property
    def waits(self) -> Waits:
        return self._pool.waits

    @property
    def read_only(self) -> bool:
        return self._pool.read_only

    @property
    def reason(self) -> str:
        return self._pool.reason

    def location(self) -> str:
        return self._pool.location()

    def conninfo(self) -> str:
        """Return the conninfo for another connection to the same server; with the password, where there is one."""
        return self._pool.conninfo()

    # Opening and closing

    @property
    def pooled(self) -> bool:
        return self._pool.pooled

    def second_backend(self) -> PostgresBackend | None:
        target = self._target
        if self.pooled:
            line = direct_line(self._pool.url)
            if line is None:
                return None
            target = line
        second = PostgresBackend(target, max_connections=1, long_work=True)
        second._twin = self
        return second

    async def open(self) -> None:
        await self._pool.open()
        if self._replica is not None:
            await self._replica.open()
        if self._twin is not None and self._twin.pooled:
            try:
                await self._check_direct_line(self._twin)
            except BaseException:
                await self.close()
                raise

    async def _check_direct_line(self, twin: PostgresBackend) -> None:
        """Check that this is the same store, with sessions of its own. Raises Refused."""
        if self.pooled:
            raise Refused(
                "storage.postgres.direct_url also leads to a pooler; set it to the address of the PostgreSQL "
                f"server behind {twin.title}."
            )
        if await self.fetch("locate_store") != await twin.fetch("locate_store"):
            raise Refused(f"storage.postgres.direct_url does not lead to the store at {twin.title}; correct it.")

    async def reopen(self) -> None:
        await self._changes.stop()
        self._changes.polls = False
        await self._pool.reopen()
        self._look_at_replica()

    def _look_at_replica(self) -> None:
        if self._replica is not None:
            self._replica.look_again()

    def _note_change(self) -> None:
        if self._replica is not None:
            self._replica.note_change()

    async def _ask_primary(self, name: str) -> Row:
        [row] = await self.fetch(name)
        return row

    async def read_without(self, versions: Sequence[int], reason: str) -> None:
        self._pool.read_only_for(reason)
        self._stand_ins = stand_ins("postgres", versions)
        self._statements.clear()

    async def view_as(self, user_id: str, reason: str) -> None:
        self._pool.read_only_for(reason)
        self._viewer_id = user_id
        self._weights.viewed = self._search.viewed = True
        self._statements.clear()

    async def close(self) -> None:
        await self._weights.close()
        await self._changes.stop()
        if self._replica is not None:
            await self._replica.close()
        await self._pool.close()

    # SQL

    def typed(self, sql: str) -> str:
        """Return a statement with this store's schema, index, vector type and width in its placeholders."""
        typed = self.indexed(sql).replace("{vector}", self._vector_type).replace("{width}", str(self._width))
        return typed.replace("{schema}", self._pool.schema)

    def indexed(self, sql: str) -> str:
        return sql.replace("{index}", self._index_definition).replace("{kind}", self._index_kind)

    def lift_timeouts(self, *, local: bool) -> bytes:
        """Return the statement that lets a session, or the transaction, take as long as it likes."""
        return as_statement(self._pool.lifted, local=local).encode()

    def sql(self, name: str, slots: Slots | None = None) -> bytes:
        composed = compose("postgres", name, slots)
        statement = self._statements.get(composed)
        if statement is None:
            readable = with_common_tables(composed, self._stand_ins, "{schema}")
            if self._viewer_id is not None:
                readable = with_viewed_tables(readable)
            # Its values are placeholders that begin with a percent sign, as a name may.
            schema = self._pool.schema.replace("%", "%%")
            statement = self._statements[composed] = self.typed(readable.replace("{schema}", schema)).encode()
        return statement

    def use_model(self, model: ModelSignature | None) -> None:
        self._statements.clear()
        if model is None:
            self._vector_type, self._width = "vector", 0
            return
        if model.dimension > MAX_HALFVEC_DIMENSIONS:
            raise Refused(
                f"{model.name} has {model.dimension} dimensions; pgvector can index at most "
                f"{MAX_HALFVEC_DIMENSIONS:,}. Choose a model with fewer."
            )
        self._vector_type = "vector" if model.dimension <= MAX_VECTOR_DIMENSIONS else "halfvec"
        self._width = model.dimension

    def use_index(self, definition: str) -> None:
        self._statements.clear()
        self._index_kind = "other"  # part of its name: what is ours may be dropped and built again
        self._index_definition = re.sub(r"\b(?:half)?vec(?:tor)?_cosine_ops\b", "{vector}_cosine_ops", definition)

    # Reading

    async def fetch(self, name: str, params: Params | None = None, slots: Slots | None = None) -> list[Row]:
        return await self.ask(name, self.sql(name, slots), params)

    async def ask(self, name: str, statement: bytes | str, params: Params | None = None) -> list[Row]:
        """Return the rows of a read-only statement, timed as ``name``."""
        encoded = statement.encode() if isinstance(statement, str) else statement
        if self._replica is not None and name in QUERIES:
            rows_of_replica = await self._replica.fetch(name, encoded, self._with_viewer(params))
            if rows_of_replica is not None:
                return rows_of_replica
        async with self._translating(encoded.decode()):
            try:
                return await self._fetch_once(name, encoded, params)
            except (errors.QueryCanceled, errors.LockNotAvailable, errors.InsufficientResources):
                raise
            except psycopg.OperationalError as error:
                # A read is idempotent: retry it once, on a connection that outlived the cause.
                log_suppressed(log, "read; reading again", error)
                return await self._fetch_once(name, encoded, params)
        raise AssertionError("an error is raised")

    def _with_viewer(self, params: Params | None) -> Params | None:
        """Return parameters with that of the viewed tables."""
        return params if self._viewer_id is None else {**(params or {}), "viewer": self._viewer_id}

    async def _fetch_once(self, name: str, statement: bytes, params: Params | None) -> list[Row]:
        # The wait for a connection is not the query's time; the pool counts it.
        async with self._pool.connection() as connection:
            with self.timings.of(name):
                return await pooler.fetch(connection, statement, adapt_params(self._with_viewer(params)))

    # Writing

    @asynccontextmanager
    async def write(self, *, orphans: bool = False) -> AsyncIterator[Transaction]:
        """Begin a write. Rows without parents are allowed within it, for some tables (``orphans_allowed``)."""
        async with self.transaction() as transaction:
            yield transaction

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[PostgresTransaction]:
        """Begin a write as ``write`` does, with the connection exposed for COPY."""
        if self.read_only:
            raise ReadOnly(f"{self.title} is open read-only: {self.reason}.")
        committing = False
        try:
            async with self._translating(), self._pool.connection() as connection:
                try:
                    async with pooler.transaction(connection):
                        yield PostgresTransaction(connection, self)
                        committing = True
                except psycopg.OperationalError as error:
                    if committing and connection.closed:
                        raise self._unsure() from error
                    raise
        finally:
            self._note_change()

    @asynccontextmanager
    async def _translating(self, statement: str = "") -> AsyncIterator[None]:
        """Translate errors of driver and pool; one about a missing right gets the statements that grant it."""
        try:
            yield
        except RightMissing as error:
            raise await self._with_remedy(error) from error.__cause__
        except (psycopg.Error, PoolTimeout, TooManyRequests, PoolClosed) as error:
            translated = of_statement(translate(error, self.title), statement)
            # The connection that met the error is free again.
            raise await self._with_remedy(translated) from error

    async def _with_remedy(self, error: VestigeError) -> VestigeError:
        if not isinstance(error, RightMissing):
            return error
        name, rights = "list_missing_rights", READER_RIGHTS if self.read_only else WRITER_RIGHTS
        try:
            return error.with_remedy(self.title, await self._fetch_once(name, self.sql(name), {"rights": list(rights)}))
        except (psycopg.Error, PoolTimeout, TooManyRequests, PoolClosed) as failure:
            log_suppressed(log, "list the rights that the role lacks", failure)
            return error

    async def write_all(self, writes: Sequence[Write]) -> list[list[Row]]:
        if self.read_only:
            raise ReadOnly(f"{self.title} is open read-only: {self.reason}.")
        try:
            async with self._translating(), self._pool.connection() as connection:
                try:
                    with self.timings.of(_trip_name(writes)):
                        async with pooler.trip(connection):
                            cursors = [await self._enqueue(connection, write) for write in writes]
                except psycopg.OperationalError as error:
                    # The whole pipeline was sent at once, with its commit.
                    if connection.closed:
                        raise self._unsure() from error
                    raise
                return [list(await cursor.fetchall()) if cursor and cursor.description else [] for cursor in cursors]
        finally:
            self._note_change()

    def _unsure(self) -> Unsure:
        return Unsure(
            f"The connection to {self.title} broke while saving; "
            "check whether the change was saved before you repeat it."
        )

    async def _enqueue(
        self, connection: AsyncConnection[dict[str, Any]], write: Write
    ) -> AsyncCursor[dict[str, Any]] | None:
        if write.many is None:
            return await connection.execute(self.sql(write.name), adapt_params(write.params))
        if len(write.many) == 1:
            await connection.execute(self.sql(write.name), adapt_params(write.many[0]))
        elif write.many:
            await connection.cursor().executemany(self.sql(write.name), [adapt_params(params) for params in write.many])
        return None

    async def maintain(self, name: str, table: str = "") -> None:
        if table and self.pooled and (second := self.second_backend()):
            await second.open()
            try:
                await second.maintain(name, table)
            finally:
                await second.close()
            return
        async with self._translating(), self._pool.connection() as connection:
            quoted = f"{self._pool.schema}.{sql.Identifier(table).as_string(connection)}".replace("%", "%%")
            statement = self.sql(name).replace(b"{table}", quoted.encode())
            with self.timings.of(name), long_work():
                if connection.local_settings is None:
                    await self._maintain(connection, statement)
                else:
                    await self._maintain_pooled(connection, statement, in_transaction=not table)

    async def _maintain(self, connection: ServerConnection, statement: bytes) -> None:
        await connection.execute(self.lift_timeouts(local=False))
        try:
            # With parameters, though it takes none: percent signs of names are doubled.
            await connection.execute(statement, {})
        finally:
            if not connection.closed:
                for setting in self._pool.lifted:
                    await connection.execute(f"RESET {setting.name}".encode())

    async def _maintain_pooled(self, connection: ServerConnection, statement: bytes, *, in_transaction: bool) -> None:
        if in_transaction:
            async with pooler.under_settings(connection):
                await connection.execute(self.lift_timeouts(local=True))
                await connection.execute(statement, {})
            return
        try:
            await connection.execute(statement, {})
        except errors.ActiveSqlTransaction:
            raise Refused(
                f"{self.title} is behind a pooler that runs everything in transactions, where this cannot run; "
                "set storage.postgres.direct_url to the server itself."
            ) from None

    # Search

    async def search(self, query: BackendQuery) -> BackendResult:
        return await self._search.run(query)

    async def word_counts(self, words: Sequence[str]) -> list[tuple[int, float]]:
        return await self._weights.counts(words)

    async def warm(self) -> None:
        """Count the words where that is due: the only thing that a search may have to wait for."""
        await self._weights.ensure_counted()

    def match(self, words: Sequence[str], *, every: bool) -> object:
        return list(words)

    # Changes

    @cached_property
    def inspection(self) -> PostgresInspection:
        """The inspection of the database; loaded by the doctor alone."""
        from vestige_tui.store.backends.postgres_inspection import PostgresInspection

        return PostgresInspection(self)

    async def wait_for_change(self, seconds: float) -> bool:
        roles = self._pool.role_changes
        has_changed = await self._changes.wait(seconds)
        if self._pool.role_changes != roles:
            self._look_at_replica()
            has_changed = True
        if has_changed:
            self._note_change()
        return has_changed

    async def change_token(self) -> object:
        [row] = await self.fetch("read_change_token")
        return row["token"]

    # Ids

    def is_id(self, text: str) -> bool:
        return is_plain_uuid(text)

    def prefix_range(self, prefix: str) -> tuple[str, str] | None:
        digits = prefix.replace("-", "").lower()
        if not re.fullmatch(r"[0-9a-f]{1,32}", digits):
            return None
        low, high = digits.ljust(_UUID_HEX_CHARS, "0"), digits.ljust(_UUID_HEX_CHARS, "f")
        return str(uuid.UUID(low)), str(uuid.UUID(high))

    # State and maintenance

    async def describe(self, *, thorough: bool) -> BackendReport:
        [row] = await self.fetch("describe_server")
        params = {"mine": list(self.status().sessions), "limit": SESSION_LIMIT}
        sessions = tuple(map(rows.session, await self.fetch("list_sessions", params)))
        replica = "" if self._replica is None else self._replica.describe()
        index = rows.foreign_index(await self.fetch("find_index"))
        server = replace(rows.postgres_server(row, replica, index), pooler=self.pooled)
        return BackendReport(server, sessions, measurable=True)

    def file_problems(self) -> Sequence[HealthProblem]:
        return () if self._replica is None else self._replica.problems()

    async def find_damage(self, seconds: float) -> str:
        """Return nothing: the server checks its pages."""
        return ""

    async def vacuum_steps(self) -> Sequence[VacuumStep]:
        names = [str(row["name"]) for row in await self.fetch("list_vacuumable")]
        if not names:
            refusal = "it may not vacuum any table"
            error = RightMissing(
                f"The role may not vacuum any table of {self.title}; use the owner of the tables.", refusal=refusal
            )
            raise await self._with_remedy(of_statement(error, "VACUUM"))
        return [VacuumStep(f"{name} ({n} of {len(names)})", "vacuum", name) for n, name in enumerate(names, 1)]

    def pool_state(self) -> str:
        return self._pool.in_use()

    def status(self) -> BackendStatus:
        return BackendStatus(self._pool.connections(), sessions=self._pool.own_sessions())


def _trip_name(writes: Sequence[Write]) -> str:
    """Return a name for the timing of a pipeline: only the sum of its writes is known."""
    first = writes[0].name if writes else "nothing"
    return first if len(writes) < 2 else f"{first} and {len(writes) - 1} more"
