"""A store's report in words, the same on the screen and on the command line; all of it is safe to show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

from vestige_tui.core.health import PostgresServer
from vestige_tui.core.text import ago, below_home, bytes_size, duration, grouped, plain

if TYPE_CHECKING:
    from vestige_tui.core.health import (
        Connections,
        Health,
        Session,
        SqliteFile,
        StoreReport,
        TableSize,
        Vacuumed,
        VectorsHeld,
    )

Pair: TypeAlias = tuple[str, str]
"""A name and its value."""

_VACUUMING = {
    "sqlite": (
        "The file is written anew without its unused pages.",
        "Meanwhile nobody can write to it; reading goes on.",
        "The disk needs room for a second copy for that time.",
        "Stopping it leaves the file as it is.",
    ),
    "postgres": (
        "Table by table, the room of dead rows becomes usable.",
        "Reading and writing go on; schema changes wait.",
        "Files shrink only where the room is at their end.",
        "Stopping it keeps what is done by then.",
    ),
}
_STATES = {"idle in transaction": "in a transaction", "idle in transaction (aborted)": "in a failed transaction"}


def concerns(health: Health) -> list[str]:
    """What is the matter, and what to do about it, a line each."""
    return [plain(f"{each.what} {each.remedy}".rstrip()) for each in health.concerns]


def server(found: PostgresServer | SqliteFile, now: datetime) -> list[Pair]:
    """What the store runs on; notes have no name."""
    return _postgres(found, now) if isinstance(found, PostgresServer) else _sqlite(found)


def _postgres(found: PostgresServer, now: datetime) -> list[Pair]:
    address = found.host or "a socket on this machine"
    if found.host and found.port:
        address = f"{found.host}, port {found.port}"
    pairs = [
        ("PostgreSQL", found.version),
        ("pgvector", found.vector_version or "not installed yet"),
        ("host", address),
        ("database", f"{found.database}, as {found.user}"),
        ("encoding", found.encoding),
    ]
    if found.started_at is not None:
        pairs.append(("up for", duration(max(0.0, (now - found.started_at).total_seconds()))))
    pairs.append(("recovery", "a standby, which only reads" if found.recovering else "no"))
    return _shown(pairs)


def _sqlite(found: SqliteFile) -> list[Pair]:
    free = found.free_pages * found.page_size
    pairs = [
        ("SQLite", found.version),
        ("file", below_home(found.path)),
        ("mode", f"{found.mode}, others may read it" if found.mode[7:8] == "r" else found.mode or "unknown"),
        (
            "journal",
            f"write-ahead log, {bytes_size(found.wal_bytes)}" if found.journal_mode == "wal" else found.journal_mode,
        ),
        ("pages", f"{grouped(found.pages)} of {grouped(found.page_size)} B"),
        ("free pages", f"{grouped(found.free_pages)}, {bytes_size(free)}" if found.free_pages else "none"),
        ("encoding", found.encoding),
    ]
    if found.line:
        pairs += [("made by", found.line), ("left alone", "all of it: only read, through views")]
    return _shown([*pairs, *(("", note) for note in found.notes)])


def _shown(pairs: list[Pair]) -> list[Pair]:
    return [(name, plain(value)) for name, value in pairs]


def connections(report: StoreReport) -> list[Pair]:
    """The connections of this process, and how many others there are."""
    found = report.connections
    others = sum(not each.mine for each in report.sessions)
    if not isinstance(report.server, PostgresServer):
        pairs = [
            ("readers", f"{found.in_use} of {found.opened} in use"),
            ("writer", "one" if found.writer else "none"),
        ]
        if report.sessions:
            pairs.append(("others", f"{others} with the file open" if others else "nobody else has the file open"))
        return pairs
    return [
        ("pool", f"{found.opened} open, {found.idle} idle, at most {found.most}"),
        ("waiting", _waiting(found)),
        ("others", f"{others} on this database" if others else "nobody else is on this database"),
    ]


def _waiting(found: Connections) -> str:
    now = f"{grouped(found.waiting)} now" if found.waiting else "none now"
    if not found.waited:
        return f"{now}, none before"
    return f"{now}, {grouped(found.waited)} before for {milliseconds(found.waited_ms)} in all"


def vectors(held: VectorsHeld | None) -> list[Pair]:
    """The vectors in memory; nothing where the database measures by itself."""
    if held is None:
        return []
    if held.too_large:
        return [("in memory", f"none: {grouped(held.too_large)} vectors pass the limit of {bytes_size(held.limit)}")]
    if not held.count:
        return [("in memory", "none yet; the first search by meaning loads them")]
    return [
        ("in memory", f"{grouped(held.count)} vectors of {grouped(held.dimension)}"),
        ("they take", f"{bytes_size(held.bytes)} of {bytes_size(held.limit)} at most"),
    ]


def state(found: Session, now: datetime) -> str:
    """What a session does, and for how long; a process does it since it was started."""
    if found.state is None:
        return "not shown to this role"
    said = plain(_STATES.get(found.state, found.state))
    if found.since is None:
        return said
    return f"{said}, {duration((now - found.since).total_seconds())}"


def states(found: Sequence[Session], now: datetime) -> str:
    """What several sessions do together; of a single one, also for how long."""
    if len(found) == 1:
        return state(found[0], now)
    counted = Counter(state(replace(each, since=None), now) for each in found)
    return ", ".join(f"{count} {said}" for said, count in counted.most_common())


def upkeep(found: TableSize, now: datetime) -> tuple[str, str, str]:
    """The dead rows of a table, and how long ago it was vacuumed and analyzed; empty where nobody knows."""
    if found.dead_rows is None:
        return "", "", ""
    return grouped(found.dead_rows), _when(found.vacuumed_at, now), _when(found.analyzed_at, now)


def _when(moment: datetime | None, now: datetime) -> str:
    return "never" if moment is None else ago(moment, now).removeprefix("just ").removesuffix(" ago")


def vacuuming(kind: str) -> tuple[str, ...]:
    """What a vacuum does and whom it keeps waiting, said before it is begun."""
    return _VACUUMING[kind]


def vacuumed(done: Vacuumed) -> str:
    """What a vacuum gave back."""
    before, now = bytes_size(done.before), bytes_size(done.after)
    if done.after < done.before:
        return f"Gave back {bytes_size(done.before - done.after)}: {before} before, {now} now."
    return f"There was nothing to give back to the disk: {before} before, {now} now."


def milliseconds(span: float) -> str:
    """A short time with as many digits as it is worth: ``0.04 ms``, ``3.1 ms``, ``120 ms``, ``2.4 s``."""
    if span >= 999.5:
        return duration(span / 1000)
    return f"{span:.2f} ms" if span < 0.995 else f"{span:.1f} ms" if span < 9.95 else f"{span:.0f} ms"
