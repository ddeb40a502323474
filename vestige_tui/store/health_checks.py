"""Health checks: rules that find problems of a store, each with a message and a remedy for the user."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from vestige_tui.core.health import (
    SQLITE_RECOVERY,
    ContentFault,
    HealthProblem,
    MigrationInfo,
    PostgresServer,
    Session,
    SqliteFile,
    TableSize,
    VectorsHeld,
)
from vestige_tui.core.text import bytes_size, duration, grouped

MAX_WAL_BYTES = 256_000_000
MIN_DEAD_ROWS = 10_000
MAX_IDLE_IN_TRANSACTION = timedelta(minutes=10)
DOCTOR = "Run `vestige-tui doctor --fix`, or press d on the Store screen: both show the changes before."
"""Remedy of faults in rows that the doctor fixes."""
_VECTOR_TROUBLE = {
    "width": "{verb} a different number of dimensions than the model ({dimension})",
    "infinite": "{verb} a number that is not finite",
    "zero": "{verb} only zeros",
}


def version(text: str) -> tuple[int, ...]:
    """Parse a version into at most three numbers."""
    return tuple(int(part) for part in text.split(".")[:3] if part.isdecimal())


_MENDED_IN = {"hnsw": (0, 8, 4), "ivfflat": (0, 8, 7)}
"""First pgvector without known defects of an index method."""


def of_pgvector(installed: str, available: str, method: str = "hnsw") -> Iterator[HealthProblem]:
    """Yield known defects of the installed pgvector with the method of the vector index.

    ``available`` is the version that the server could install. Methods of other extensions have none.
    """
    numbers, mended = version(installed), _MENDED_IN.get(method, ())
    if not numbers or numbers >= mended:
        return
    if version(available) >= mended:
        remedy = f"The server offers {available}: run ALTER EXTENSION vector UPDATE."
    else:
        needed = ".".join(map(str, mended))
        remedy = f"Install {needed} or newer on the server, then run ALTER EXTENSION vector UPDATE."
    if method == "ivfflat":
        yield HealthProblem(f"pgvector {installed} can overflow its memory in an IVFFlat index.", remedy)
        return
    if numbers < (0, 8, 2):
        yield HealthProblem(
            f"pgvector {installed} can write beyond its memory while it builds an index in parallel.", remedy
        )
    yield HealthProblem(f"pgvector {installed} can corrupt its index, so that searches miss memories.", remedy)


def of_schema(pending: Sequence[MigrationInfo]) -> HealthProblem:
    """Health check: migrations are pending, and the store may not be written."""
    names = ", ".join(f"{info.version:04d}_{info.name}" for info in pending)
    return HealthProblem(
        f"The schema is behind: {names} {'is' if len(pending) == 1 else 'are'} pending, and the store is read-only.",
        "Run `vestige-tui schema up` as a user that may write.",
    )


def of_extension(available: str) -> HealthProblem:
    """Health check: the extension of the vectors was dropped, and its columns with it."""
    remedy = "Restore the database from a backup; without one, run `vestige-tui export` and import into a new store."
    if not available:
        remedy = f"Install pgvector on the server. {remedy}"
    return HealthProblem(
        "The extension vector and all vectors are missing from the database: vector search fails, and so does adding "
        "memories.",
        remedy,
    )


def of_damage(damage: str) -> HealthProblem:
    """Health check: SQLite finds damage in the pages of the file."""
    return HealthProblem(
        f"The file is damaged ({damage}); it is read-only.",
        f"Open a backup, or recover it with the sqlite3 tool: {SQLITE_RECOVERY}, then open NEW_FILE.",
    )


def of_replaced(event: str) -> HealthProblem:
    """Health check: another file is where the store was opened."""
    return HealthProblem(f"The store is now read-only: {event}.", "Quit, find the right file, and open it.")


def of_stale_log(name: str) -> HealthProblem:
    """Health check: the write-ahead log beside the file was written for another file."""
    return HealthProblem(
        f"{name}-wal was written for another file than this {name}; it is ignored, and the store is read-only.",
        f"Move {name}-wal and {name}-shm away, and open the store again.",
    )


def of_successor(sentence: str) -> HealthProblem:
    """Health check: the server of a Vestige file now writes elsewhere, as the sentence says."""
    return HealthProblem(sentence, "Memories that it writes there do not appear here.")


def of_exposed(names: Sequence[str]) -> HealthProblem:
    """Health check: other users of the machine can read files of the store."""
    listed = " and ".join(names)
    return HealthProblem(
        f"Every user of this machine can read {listed}.", f"Run chmod 600 on {listed}.", ("file_mode",)
    )


def of_content(faults: Iterable[ContentFault], dimension: int, *, foreign: bool = False) -> Iterator[HealthProblem]:
    """Yield the problems of rows that cannot be used; ``dimension`` is that of the store's model.

    A ``foreign`` store is written by another program alone.
    """
    copied = "A copy of the store (`vestige-tui migrate copy`) repairs or reports it." if foreign else ""
    for fault in faults:
        is_one = fault.count == 1
        memory = f"the memory {fault.memory_id}" if is_one else f"the first is {fault.memory_id}"
        if fault.kind == "time":
            subject = "1 memory has a time" if is_one else f"{grouped(fault.count)} memories have times"
            yield HealthProblem(
                f"{subject} that cannot be read: {memory}.",
                copied or DOCTOR,
                ("time",),
            )
        elif fault.kind == "json":
            subject = "1 memory has" if is_one else f"{grouped(fault.count)} memories have"
            yield HealthProblem(
                f"{subject} tags, domains or metadata that cannot be read and are treated as empty: {memory}.",
                copied or DOCTOR,
                ("json",),
            )
        else:
            verb = "has" if is_one else "have"
            trouble = _VECTOR_TROUBLE[fault.kind].format(verb=verb, dimension=grouped(dimension))
            subject = "1 vector" if is_one else f"{grouped(fault.count)} vectors"
            yield HealthProblem(
                f"{subject} {trouble}; vector search cannot find {'it' if is_one else 'them'}: {memory}.",
                copied or DOCTOR,
                (f"vector_{fault.kind}", "vector_orphan"),
            )


def of_index(waits_for: str | None, *, exists: bool = True, statement: str = "") -> HealthProblem:
    """Health check: the store has a model, but its vector index is missing or invalid.

    ``statement`` builds a missing one.
    """
    if waits_for:
        return HealthProblem(
            f"The vector index is not built yet; it waits for {waits_for}.",
            "It is built afterwards; until then vector search compares every vector.",
        )
    if not exists:
        return HealthProblem(
            "The vector index is missing; vector search compares every vector.",
            f"As the owner of the tables, run {statement}.",
        )
    return HealthProblem(
        "The vector index is broken; vector search compares every vector.",
        "Run REINDEX INDEX idx_node_embeddings_hnsw, as the owner of the tables.",
    )


def of_model(configured: str, registered: str) -> HealthProblem:
    """Health check: the configured model differs from the store's."""
    return HealthProblem(
        f"The configured model {configured} is not the store's {registered}; vector search is off.",
        f"Set model under [embeddings] to {registered}, or leave it out.",
    )


def of_report(
    server: PostgresServer | SqliteFile,
    vectors: VectorsHeld | None,
    sizes: Sequence[TableSize] | None,
    sessions: Sequence[Session],
    now: datetime,
) -> Iterator[HealthProblem]:
    """Yield the problems that the figures of a store's report show."""

    if vectors is not None and vectors.too_large:
        yield HealthProblem(
            f"The {grouped(vectors.too_large)} vectors exceed the limit of {bytes_size(vectors.limit)} of memory; "
            "searches give text results only.",
            "Copy the store to PostgreSQL with `vestige-tui migrate copy`.",
        )
    if isinstance(server, SqliteFile):
        if server.wal_bytes > MAX_WAL_BYTES:
            yield HealthProblem(
                f"The write-ahead log has grown to {bytes_size(server.wal_bytes)}: another program still reads an "
                "old state of the file.",
                "Close the other programs that have the file open, then vacuum the store.",
            )
        return
    if server.encoding and server.encoding != "UTF8":
        yield HealthProblem(
            f"The database is encoded as {server.encoding}; text that it cannot represent is refused.",
            "Copy the store into a database created with ENCODING 'UTF8'.",
        )
    for table in sizes or ():
        if table.dead_rows is not None and table.dead_rows > max(MIN_DEAD_ROWS, (table.rows or 0) // 2):
            yield HealthProblem(
                f"{table.name} has {grouped(table.dead_rows)} dead rows and {grouped(table.rows or 0)} live ones.",
                "Vacuum the store; if they return, autovacuum is off or blocked.",
            )
    for session in sessions:
        idle = now - session.since if session.since else timedelta()
        if (
            not session.mine
            and (session.state or "").startswith("idle in transaction")
            and idle > MAX_IDLE_IN_TRANSACTION
        ):
            yield HealthProblem(
                f"{session.application or f'Session {session.pid}'} has had an idle transaction open for "
                f"{duration(idle.total_seconds())}; until it ends, dead rows cannot be removed.",
                f"End it in that program, or run SELECT pg_terminate_backend({session.pid}).",
            )
