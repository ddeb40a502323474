"""The SQLite backend: one writer, several read-only readers, and the vector index in memory."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import stat
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing, suppress
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from vestige_tui.core.errors import ForeignStore, ReadOnly, StoreMissing, Unavailable, Unreachable, VestigeError
from vestige_tui.core.file_targets import refuse_side_name
from vestige_tui.core.health import Connections, HealthProblem
from vestige_tui.core.log import suppressed
from vestige_tui.core.text import below_home
from vestige_tui.process.private_directory import make_private_dir
from vestige_tui.store.backends.change_polling import TokenPoller
from vestige_tui.store.backends.open_files import open_files
from vestige_tui.store.backends.protocol import (
    BackendQuery,
    BackendReport,
    BackendResult,
    BackendStatus,
    Capabilities,
    Params,
    Row,
    Transaction,
    VacuumStep,
    Write,
)
from vestige_tui.store.backends.query_timings import Timings
from vestige_tui.store.backends.sqlite_connection import (
    Connection,
    adapt_params,
    connect,
    fetch_rows,
    open_for_look,
    prepare,
    prepare_for_writing,
)
from vestige_tui.store.backends.sqlite_file import OpenedFile, page_damage, refuse_log_without_file
from vestige_tui.store.backends.sqlite_readers import Readers
from vestige_tui.store.backends.sqlite_search import SqliteSearch
from vestige_tui.store.backends.sqlite_wal import is_stale
from vestige_tui.store.backends.sqlite_writer import SqliteWriter
from vestige_tui.store.health_checks import of_exposed, of_replaced, of_stale_log, of_successor
from vestige_tui.store.schema import rows
from vestige_tui.store.schema.migrations import migrations
from vestige_tui.store.schema.named_sql import Dialect, Script, Slots, compose, load
from vestige_tui.store.schema.stand_ins import stand_ins
from vestige_tui.store.schema.vestige_files import Survey, survey
from vestige_tui.store.schema.viewed_tables import BLOCKS, view
from vestige_tui.store.waits import Waits

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import ModelSignature
    from vestige_tui.store.backends.sqlite_inspection import SqliteInspection

log = logging.getLogger(__name__)

READER_COUNT = 3
"""Number of read-only connections."""

WATCH_SECONDS = 0.1
"""Pause between two reads of the change token."""

MAX_MEASURED_FILE_BYTES = 256_000_000
"""Size of a SQLite file up to which its table sizes are measured by default; measuring reads every page."""
_VACUUM_STEPS = (
    VacuumStep("the text index", "optimize_text"),
    VacuumStep("the file", "vacuum"),
    VacuumStep("the planner statistics", "optimize"),
    VacuumStep("the write-ahead log", "checkpoint"),
)


T = TypeVar("T")


def _schema_cookie(connection: sqlite3.Connection) -> object:
    return next(iter(connection.execute(load("sqlite", "vestige")["read_schema_cookie"]).fetchone().values()))


def _unadopted(file: Survey) -> str:
    """Return why the file of a server is read-only."""
    if file.incomplete:
        return f"its server has rebuilt it since the adoption ({file.line} now); adopt it again"
    return f"a {file.line} file"


class SqliteBackend:
    """A store in one SQLite file, our own or a Vestige file (then read-only)."""

    dialect: Dialect = "sqlite"
    capabilities = Capabilities(
        product="SQLite",
        is_server=False,
        typed_vectors=False,
        computes_vectors=False,
        binary_copy=False,
        revised_stems=True,
        reports_progress=False,
        no_answer_remedy="Check that the file exists and that no other program has it locked.",
    )
    lowest_id = ""

    def __init__(self, path: Path, *, create: bool = False, read_only: bool = False) -> None:
        self.path = path.expanduser().absolute()
        self.create = create
        self.file = OpenedFile(self.path)
        """The file behind every connection."""
        self._read_only_reason = "opened with --read-only" if read_only else ""
        self.foreign = self.adoptable = False
        self.logs_reviews = True
        self.line = ""
        self.notes: tuple[str, ...] = ()
        self._successor = ""
        self._scripts: Mapping[str, Script] = {}
        self.timings = Timings()
        self._script = ""
        self._survey_seen: tuple[object, Survey] | None = None
        """Tables that the views and writes are made for, with the number that a change of tables moves."""
        self._is_immutable = False
        """Read without the write-ahead log and its index."""
        self._has_stale_log = False
        self.waits = Waits(lambda: self.title)
        self.readers = Readers(self.file, self.timings, self.waits)
        self._search = SqliteSearch(self, self.readers)
        self._writer: SqliteWriter | None = None
        self._watch: Connection | None = None
        self._watch_lock = asyncio.Lock()
        self._token_poller = TokenPoller(self._watched_token, WATCH_SECONDS)
        self._connections: list[Connection] = []

    @property
    def title(self) -> str:
        return below_home(str(self.path))

    def location(self) -> str:
        return f"sqlite:{self.path}"

    pooled = False

    def second_backend(self) -> SqliteBackend:
        return SqliteBackend(self.path, read_only=self.read_only)

    @property
    def keeps_accounts(self) -> bool:
        return not self.foreign or bool(self._scripts)

    @property
    def read_only(self) -> bool:
        return bool(self.reason)

    @property
    def reason(self) -> str:
        return self.file.fault or self._read_only_reason

    # Opening and closing

    async def open(self) -> None:
        try:
            created = await asyncio.to_thread(self._prepare)
        except OSError as error:
            raise Unreachable(f"{self.title} cannot be opened: {error.strerror}.") from error
        if not self.read_only:
            writer = await self._connect("rw")
            try:
                await prepare_for_writing(writer, created=created)
                if self._scripts:
                    from vestige_tui.store.backends.server_images import watch

                    await writer.run(watch)
            except sqlite3.Error as error:
                raise self._translate(error) from error
            self._writer = SqliteWriter(writer, self.file, self.timings, self.waits, self._scripts)
        mode = "ro&immutable=1" if self._is_immutable else "ro"
        self._watch = await self._connect(mode)
        for _ in range(READER_COUNT):
            self.readers.add(await self._connect(mode))
        self.file.refuse_replaced()
        await self._follow_server()
        log.info("Opened %s: SQLite %s%s", self.title, sqlite3.sqlite_version, ", of Vestige" if self.foreign else "")

    def _prepare(self) -> bool:
        """Check the file before any connection opens it for writing; return whether it was created just now."""
        created = False
        refuse_side_name(self.path)
        if not self.path.exists():
            if not self.create or self.read_only:
                raise StoreMissing(
                    f"There is no store at {self.title}. Name another one with `--store`, create this one with "
                    "`vestige-tui add TEXT`, or try the sample store with `vestige-tui demo`."
                )
            refuse_log_without_file(self.path)
            try:
                make_private_dir(self.path.parent)
                os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
                created = True
            except OSError as error:
                # Another process may have created it just now; a dangling link does not exist.
                if not (isinstance(error, FileExistsError) and self.path.exists()):
                    raise Unavailable(f"{self.title} cannot be created: {error.strerror}.") from error
        if self.path.is_dir():
            raise ForeignStore(f"{self.title} is a directory, not a store.")
        if not self.path.is_file():
            # A pipe would be waited for.
            raise ForeignStore(f"{self.title} is a pipe, a socket or a device, not a store.")
        if not os.access(self.path, os.R_OK):
            raise Unavailable(f"{self.title} cannot be read: permission denied.")
        self.file.note_opened()
        self._read_only_reason = self._read_only_reason or self._obstacle()
        # Only where SQLite cannot create its -shm, and no -wal holds pages that this mode would not read.
        is_fixed = not os.access(self.path.parent, os.W_OK) and not Path(f"{self.path}-wal").exists()
        self._is_immutable = self._is_immutable or (is_fixed and self.read_only)
        file = self._survey()
        if file.kind == "foreign":
            raise ForeignStore(f"{self.title} is a SQLite file, but not a memory store; it was not touched.")
        if file.kind == "empty" and not self.create:
            # Opening it for writing would make a database of it.
            self._read_only_reason = self._read_only_reason or "it contains no memory store yet"
        if file.kind == "empty" and self.path.stat().st_size == 0:
            # An empty file becomes a store only where one may be created; a refused command leaves it as it is.
            created = self.create
        if file.kind == "vestige":
            self.foreign = self.file.is_of_server = True
            self._search.folds = False
            self.adoptable = not file.adopted and not self._read_only_reason
            self.logs_reviews = file.adopted
            if not file.adopted:
                self._read_only_reason = _unadopted(file)
            self._scripts = file.writes
        self.line, self.notes, self._script = file.line, file.notes, file.script
        self._successor = file.successor
        return created

    def _obstacle(self) -> str:
        """Return why the file cannot be written; empty where it can."""
        if is_stale(self.path):
            # Without the log: applied to this file, it would damage it.
            self._is_immutable = self._has_stale_log = True
            name = self.path.name
            return (
                f"{name}-wal beside it was written for another file and is ignored; move {name}-wal and {name}-shm "
                "away, and open it again"
            )
        if not os.access(self.path, os.W_OK):
            return "the file cannot be written"
        return "" if os.access(self.path.parent, os.W_OK) else "its directory cannot be written"

    def _survey(self) -> Survey:
        try:
            with closing(open_for_look(self.path, immutable=self._is_immutable)) as connection:
                # The number first: tables that change meanwhile are seen again.
                [number] = connection.execute(load("sqlite", "vestige")["read_schema_cookie"]).fetchone()
                self._survey_seen = number, survey(connection)
                return self._survey_seen[1]
        except sqlite3.Error as error:
            raise self._translate(error) from error

    async def _connect(self, mode: str) -> Connection:
        try:
            connection = await connect(self.path, mode)
            self._connections.append(connection)
            await prepare(connection, self._script)
        except sqlite3.Error as error:
            raise self._translate(error) from error
        return connection

    async def close(self) -> None:
        writer = self._writer.connection if self._writer is not None else None
        connections = list(self._connections)
        self.readers.clear()
        try:
            await self._search.close()
            # The last connection checkpoints the write-ahead log when it closes, but only one that may write.
            is_last = writer is not None and await asyncio.to_thread(self.file.may_checkpoint)
            connections.sort(key=lambda each: (each is writer) == is_last)
            for connection in connections:
                with suppressed(log, "close a connection", sqlite3.Error, ValueError):
                    await connection.close()
        except BaseException:
            # A thread that is not stopped would keep the whole process from ending.
            for connection in connections:
                connection.stop()
            raise
        finally:
            self._connections.clear()
            self._writer = self._watch = None

    async def read_without(self, versions: Sequence[int], reason: str) -> None:
        self._read_only_reason = reason
        if any(step.name == "folding" and step.version in versions for step in migrations("sqlite")):
            self._search.folds = False
        try:
            for connection in self._connections:
                for table in stand_ins("sqlite", versions):
                    await connection.execute(table.view())
        except sqlite3.Error as error:
            raise self._translate(error) from error

    async def view_as(self, user_id: str, reason: str) -> None:
        self._read_only_reason = reason
        self._search.view()
        try:
            for connection in self._connections:
                await connection.execute(compose("sqlite", "create_viewer"))
                await connection.execute(compose("sqlite", "put_viewer"), {"id": user_id})
                for block in BLOCKS:
                    await connection.execute(view(block))
        except sqlite3.Error as error:
            raise self._translate(error) from error

    async def reopen(self) -> None:
        """Keep the connections: SQLite has no types to register."""

    # Reading

    async def fetch(self, name: str, params: Params | None = None, slots: Slots | None = None) -> list[Row]:
        return await self.readers.run(name, partial(fetch_rows, compose("sqlite", name, slots), adapt_params(params)))

    async def run(self, name: str, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run work on a read-only connection, timed under this name."""
        return await self.readers.run(name, work)

    # Writing

    def _get_writer(self) -> SqliteWriter:
        if not self._connections:
            raise Unreachable(f"{self.title} is not open.")
        if self._writer is None or self.read_only:
            raise ReadOnly(f"{self.title} is open read-only: {self.reason}.")
        return self._writer

    @asynccontextmanager
    async def write(self, *, orphans: bool = False) -> AsyncIterator[Transaction]:
        async with self._get_writer().transaction(orphans=orphans) as transaction:
            yield transaction

    async def write_all(self, writes: Sequence[Write]) -> list[list[Row]]:
        return await self._get_writer().write_all(writes)

    async def maintain(self, name: str, table: str = "") -> None:
        await self._get_writer().maintain(name)

    # Search

    def use_index(self, definition: str) -> None:
        """Do nothing: no index of vectors is part of a file."""

    def indexed(self, sql: str) -> str:
        return sql

    def use_model(self, model: ModelSignature | None) -> None:
        self._search.use_model(model)

    async def warm(self) -> None:
        await self._search.warm()

    async def search(self, query: BackendQuery) -> BackendResult:
        return await self._search.run(query)

    async def word_counts(self, words: Sequence[str]) -> list[tuple[int, float]]:
        return await self._search.word_counts(words)

    def match(self, words: Sequence[str], *, every: bool) -> object:
        return self._search.match(words, every=every)

    @cached_property
    def inspection(self) -> SqliteInspection:
        """The inspection of the file; loaded by the doctor alone."""
        from vestige_tui.store.backends.sqlite_inspection import SqliteInspection

        return SqliteInspection(self, self.file)

    # Changes

    async def wait_for_change(self, seconds: float) -> bool:
        changed = await self._token_poller.wait(seconds)
        if changed:
            await self._refuse_other_tables()
            await self._follow_server()
        return changed

    async def _refuse_other_tables(self) -> None:
        """Raise TablesChanged once a server has changed tables that the views and writes of its file name."""
        if not self.foreign or self._watch is None or self._survey_seen is None:
            return
        async with self._watch_lock:
            try:
                number = await self._watch.run(_schema_cookie)
            except sqlite3.Error as error:
                raise self._translate(error) from error
        seen, before = self._survey_seen
        if number == seen:
            return
        file = await asyncio.to_thread(self._survey)
        if (file.script, file.writes, file.adopted) != (before.script, before.writes, before.adopted):
            self._survey_seen = seen, before
            raise self.file.tables_changed()

    async def _follow_server(self) -> None:
        """Log the decisions of the server of an adopted file about its memories."""
        if not self._scripts or self.read_only:
            return
        from vestige_tui.store.schema.adoption import has_new_winners, import_winners

        if not await self.readers.run("new_winners", has_new_winners):
            return
        async with self._get_writer().transaction() as transaction:
            await transaction.run("import_winners", import_winners)

    async def _watched_token(self) -> object:
        """Return the change token. Raises StoreReplaced once another file stands in place of the store's."""
        # A connection that only reads can damage nothing.
        await self.file.watch(pages=self._writer is not None)
        return await self.change_token()

    async def change_token(self) -> object:
        if self._watch is None:
            return None
        async with self._watch_lock:
            try:
                [row] = await self._watch.execute_fetchall(compose("sqlite", "read_change_token"))
            except sqlite3.Error as error:
                raise self._translate(error) from error
        return row["data_version"]

    # Ids

    def is_id(self, text: str) -> bool:
        return bool(text)

    def prefix_range(self, prefix: str) -> tuple[str, str] | None:
        # The highest code point sorts after every id with this prefix.
        return prefix, prefix + "\U0010ffff"

    def pool_state(self) -> str:
        free = self.readers.free
        return f"{READER_COUNT - free} of {READER_COUNT} readers in use, " + (
            "read-only" if self._writer is None else "one writer"
        )

    def status(self) -> BackendStatus:
        vectors = self._search.vectors_held()
        connections = Connections(READER_COUNT, self.readers.free, READER_COUNT, writer=self._writer is not None)
        mode, wal_bytes = "", 0
        with suppress(OSError):
            mode = stat.filemode(os.stat(self.path).st_mode)
            wal_bytes = os.stat(f"{self.path}-wal").st_size
        return BackendStatus(connections, (), vectors, str(self.path), mode, wal_bytes, self.line, self.notes)

    async def describe(self, *, thorough: bool) -> BackendReport:
        [row] = await self.fetch("describe_server")
        file = rows.sqlite_file(row, self.status())
        small = file.page_size * file.pages <= MAX_MEASURED_FILE_BYTES
        sessions = await asyncio.to_thread(open_files, str(self.path))
        return BackendReport(file, sessions, bool(row["measured"]) and (thorough or small))

    def file_problems(self) -> Sequence[HealthProblem]:
        problems = []
        if self.file.event:
            problems.append(of_replaced(self.file.event))
        if self._has_stale_log:
            problems.append(of_stale_log(self.path.name))
        if self._successor:
            problems.append(of_successor(self._successor))
        exposed = self.inspection.exposed_files()
        return [*problems, of_exposed(exposed)] if exposed else problems

    async def find_damage(self, seconds: float) -> str:
        return await asyncio.to_thread(page_damage, self.path, seconds, self.look_mode) or ""

    @property
    def look_mode(self) -> str:
        """Mode of another connection that only reads the file."""
        return "mode=ro&immutable=1" if self._is_immutable else "mode=ro"

    @property
    def view_script(self) -> str:
        """Views over the tables of a Vestige file; empty for a store of our own."""
        return self._script

    async def vacuum_steps(self) -> Sequence[VacuumStep]:
        return _VACUUM_STEPS

    def _translate(self, error: sqlite3.Error) -> VestigeError:
        return self.file.error_of(error)
