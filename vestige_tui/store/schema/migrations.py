"""Migrations of the schema: each is applied under a lock, in one transaction with its record."""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from vestige_tui.core.errors import ForeignStore, Refused, SchemaBroken
from vestige_tui.core.health import MigrationInfo
from vestige_tui.core.text import grouped
from vestige_tui.store.schema.named_sql import Dialect, sql_folder
from vestige_tui.store.schema.rows import as_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vestige_tui.store.backends.protocol import Backend, Row, Transaction

log = logging.getLogger(__name__)

_FILE = re.compile(r"(\d{4})_(\w+)\.up\.sql")
_BATCHES = re.compile(r"^-- @batches (within|apart)\n", re.MULTILINE)
BATCH_ROWS = 1_000
"""Memories of one batch of a migration."""

# Queries that count, by kind, the user data which undoing a migration would delete; each ends with its name.
_COUNT_QUERIES = {
    query.removeprefix("count_precious_"): query
    for query in (
        "count_precious_init",
        "count_precious_supersession",
        "count_precious_ledger",
        "count_precious_journal",
        "count_precious_pinned",
        "count_precious_review_weights",
        "count_precious_jobs",
        "count_precious_sync_state",
    )
}
_KIND_NAMES = {
    "memories": ("memory", "memories"),
    "reviews": ("review", "reviews"),
    "links": ("link", "links"),
    "domains": ("domain", "domains"),
    "users": ("user", "users"),
    "groups": ("group", "groups"),
    "supersessions": ("supersession event", "supersession events"),
    "marks": ("suspended or buried mark", "suspended or buried marks"),
    "pins": ("pinned mark", "pinned marks"),
    "applied_weights": ("set of applied weights", "sets of applied weights"),
    "journal_entries": ("journal entry", "journal entries"),
    "kept_vectors": ("vector of another model", "vectors of another model"),
    "changes_of_model": ("model change", "model changes"),
    "jobs": ("job", "jobs"),
    "findings": ("finding", "findings"),
    "sync_states": ("sync state of a copy", "sync states of copies"),
}


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema. A ``staged`` one needs the dimension of a model before it can be applied."""

    version: int
    name: str
    path: Path
    up: str
    down: str
    checksum: str

    @property
    def staged(self) -> bool:
        return "{vector}" in self.up

    @property
    def parts(self) -> tuple[str, str]:
        """Return the statements before the batches of memories, and those after them where they changed any."""
        before, *rest = _BATCHES.split(self.up, maxsplit=1)
        return before, rest[1] if rest else ""

    @property
    def batches(self) -> Literal["", "within", "apart"]:
        """Return whether memories are changed in batches, within one transaction or each batch in its own.

        Those in transactions of their own can be done twice, so that the next attempt takes up one that was ended.
        """
        match = _BATCHES.search(self.up)
        return "" if match is None else "within" if match[1] == "within" else "apart"


@dataclass(frozen=True, slots=True)
class MigrationProgress:
    """Progress of a migration that changes memories in batches."""

    step: str
    """Number and name of the migration."""
    done: int
    total: int


Progress: TypeAlias = Callable[[MigrationProgress], None]
"""Receives the progress of a migration before each batch."""


@cache
def migrations(dialect: Dialect) -> tuple[Migration, ...]:
    """Return all migrations of a dialect, in order; the checksum covers the unmodified file."""
    steps: list[Migration] = []
    for path in sorted((sql_folder() / dialect / "migrations").glob("*.up.sql")):
        match = _FILE.fullmatch(path.name)
        if match is None:
            raise SchemaBroken(f"{path.name} is not a valid name for a migration.")
        text = path.read_text(encoding="utf-8")
        down = path.with_name(path.name.replace(".up.", ".down.")).read_text(encoding="utf-8")
        checksum = hashlib.sha256(text.encode()).hexdigest()
        steps.append(Migration(int(match[1]), match[2], path, text, down, checksum))
    return tuple(steps)


async def is_ours(backend: Backend) -> bool:
    """Check whether the store has the table of applied migrations."""
    [row] = await backend.fetch("find_bookkeeping")
    return bool(row["n"])


async def refuse_foreign_tables(backend: Backend) -> None:
    """Raise ForeignStore if another program's tables have the names of ours."""
    if clashes := [str(row["name"]) for row in await backend.fetch("list_taken_names")]:
        raise ForeignStore(f"{backend.title} already has a table {clashes[0]} of another program; nothing was changed.")


async def status(backend: Backend) -> tuple[MigrationInfo, ...]:
    """Return every migration with its state. Raises SchemaBroken if the store does not match the migration files."""
    if backend.foreign:
        return ()
    applied = (
        {int(row["version"]): row for row in await backend.fetch("list_applied")} if await is_ours(backend) else {}
    )
    steps = migrations(backend.dialect)
    _check(steps, applied)
    waits_for = await _waits_for(backend, applied)
    return tuple(_info(migration, applied.get(migration.version), waits_for) for migration in steps)


async def _waits_for(backend: Backend, applied: Mapping[int, Row]) -> str:
    ledger = {migration.version for migration in migrations(backend.dialect) if migration.name == "ledger"}
    if ledger & applied.keys() and (rows := await backend.fetch("find_unfinished_copy")):
        return f"job {str(rows[0]['delegation_id'])[:8]}"
    return "a model"


def _info(migration: Migration, row: Row | None, waits_for: str) -> MigrationInfo:
    if row is not None:
        return MigrationInfo(
            migration.version,
            migration.name,
            "applied",
            migration.checksum,
            as_time(row["applied_at"]),
            float(row["duration_ms"]),
        )
    if migration.staged:
        return MigrationInfo(migration.version, migration.name, "waiting", migration.checksum, waits_for=waits_for)
    return MigrationInfo(migration.version, migration.name, "pending", migration.checksum)


def _check(steps: Sequence[Migration], applied: Mapping[int, Row]) -> None:
    by_version = {migration.version: migration for migration in steps}
    for version, row in sorted(applied.items()):
        migration = by_version.get(version)
        if migration is None:
            raise SchemaBroken(
                f"The store has migration {version:04d}_{row['name']}, which this program does not know; "
                "update vestige-tui."
            )
        if row["sha256"] != migration.checksum:
            raise SchemaBroken(
                f"{migration.path.name} has changed since it was applied to this store; reinstall vestige-tui."
            )
    newest = max(applied, default=0)
    for migration in steps:
        if migration.version < newest and migration.version not in applied and not migration.staged:
            raise SchemaBroken(
                f"The store lacks {migration.path.name}, but later migrations are applied; restore it from a backup."
            )


async def up(
    backend: Backend, *, to: int | None = None, dry_run: bool = False, progress: Progress | None = None
) -> tuple[MigrationInfo, ...]:
    """Apply pending migrations up to a version, except the staged one; return those applied (or to apply).

    Cancelled between two batches, one that changes memories leaves a store that works and is taken up by the next call.
    """
    if not await is_ours(backend):
        await refuse_foreign_tables(backend)
        pending = [_info(migration, None, "a model") for migration in migrations(backend.dialect)]
    else:
        pending = [info for info in await status(backend) if info.state != "applied"]
    selected = [info for info in pending if info.state == "pending" and (to is None or info.version <= to)]
    if dry_run or not selected:
        return tuple(selected)
    try:
        for info in selected:
            await _apply_pending(backend, _by_version(backend.dialect, info.version), progress)
    finally:
        backend.waits.note_migration("")
    await backend.reopen()
    return tuple(info for info in await status(backend) if info.version in {each.version for each in selected})


async def _apply_pending(backend: Backend, migration: Migration, progress: Progress | None) -> None:
    started = time.perf_counter()
    suspects = await _change_apart(backend, migration, progress) if migration.batches == "apart" else 0
    async with backend.write() as transaction:
        await transaction.fetch("lock_schema")
        await transaction.execute("create_bookkeeping")
        if migration.version in await _applied_versions(transaction):
            return
        if migration.batches == "apart":
            if suspects:
                await transaction.script(migration.parts[1])
            await _record(transaction, migration, started)
        else:
            await _apply(backend, transaction, migration, progress=progress)


async def _applied_versions(transaction: Transaction) -> set[int]:
    return {int(row["version"]) for row in await transaction.fetch("list_applied")}


async def _change_apart(backend: Backend, migration: Migration, progress: Progress | None) -> int:
    """Apply a migration but for its record, each batch of memories in a transaction of its own.

    A search finds each memory throughout: by the words of before until its batch is done. Returns how many memories may
    have changed, in this attempt or in one that was ended.
    """
    async with backend.write() as transaction:
        await transaction.fetch("lock_schema")
        if migration.version in await _applied_versions(transaction):
            return 0
        await transaction.script(migration.parts[0])
    [total] = await backend.fetch("count_memories")
    suspects, done, after = 0, 0, None
    while True:
        _report(backend, progress, migration, done, int(total["n"]))
        async with backend.write() as transaction:
            page = await _change_batch(transaction, after)
        if page is None:
            return suspects
        suspects, done, after = suspects + int(page["suspects"]), done + int(page["n"]), page["last"]


async def _change_within(
    backend: Backend, transaction: Transaction, migration: Migration, progress: Progress | None
) -> None:
    [total] = await transaction.fetch("count_memories")
    done, after = 0, None
    while True:
        _report(backend, progress, migration, done, int(total["n"]))
        page = await _change_batch(transaction, after)
        if page is None:
            return
        done, after = done + int(page["n"]), page["last"]


async def _change_batch(transaction: Transaction, after: object) -> Row | None:
    """Fold the memories behind a key; return the figures of the batch, None after the last one."""
    [page] = await transaction.fetch("find_folding_batch", {"after": after, "limit": BATCH_ROWS})
    if page["last"] is None:
        return None
    if page["suspects"]:
        await transaction.execute("fold_memories", {"after": after, "last": page["last"]})
    return page


def _report(backend: Backend, progress: Progress | None, migration: Migration, done: int, total: int) -> None:
    step = f"{migration.version:04d}_{migration.name}"
    # Tenths, so that a sentence is not said for each batch.
    backend.waits.note_migration(f"{step}: {10 * (10 * done // max(total, 1))} %")
    if progress is not None:
        progress(MigrationProgress(step, done, total))


async def _apply(
    backend: Backend,
    transaction: Transaction,
    migration: Migration,
    settings: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> None:
    started = time.perf_counter()
    # The last SET wins: insert after the settings of the file, directly before the index is built.
    settings_sql = "".join(f"SET LOCAL {name} = '{value}';\n" for name, value in (settings or {}).items())
    if migration.up:
        await transaction.script(
            migration.up.replace("CREATE INDEX", f"{settings_sql}CREATE INDEX", 1) if settings_sql else migration.up
        )
    if migration.batches:
        await _change_within(backend, transaction, migration, progress)
    await _record(transaction, migration, started)


async def _record(transaction: Transaction, migration: Migration, started: float) -> None:
    await transaction.execute(
        "record_applied",
        {
            "version": migration.version,
            "name": migration.name,
            "sha256": migration.checksum,
            "applied_at": datetime.now(UTC),
            "duration_ms": (time.perf_counter() - started) * 1000,
        },
    )
    log.info("Applied migration %04d_%s in %.1f s", migration.version, migration.name, time.perf_counter() - started)


async def finalize(backend: Backend, settings: Mapping[str, str] | None = None) -> bool:
    """Apply the staged migration, once a model sets the dimension of the vectors; True if this call applied it.

    ``settings`` are server settings for this transaction and override those in the migration's file.
    """
    is_applied_now = False
    for migration in migrations(backend.dialect):
        if not migration.staged:
            continue
        async with backend.write() as transaction:
            await transaction.fetch("lock_schema")
            applied = {int(row["version"]) for row in await transaction.fetch("list_applied")}
            if migration.version in applied:
                continue
            # An index built by hand serves as well; a second one would only take time and space.
            has_index = any(row["valid"] for row in await transaction.fetch("find_index"))
            await _apply(backend, transaction, replace(migration, up="") if has_index else migration, settings)
            is_applied_now = True
    return is_applied_now


async def down(backend: Backend, *, to: int = 0, yes: bool = False, dry_run: bool = False) -> tuple[MigrationInfo, ...]:
    """Undo migrations, newest first. Raises Refused if that deletes user data, unless ``yes``; see ``losses``."""
    selected = [info for info in reversed(await status(backend)) if info.state == "applied" and info.version > to]
    if dry_run or not selected:
        return tuple(selected)
    if not yes and (counts := await losses(backend, selected)):
        raise Refused(f"This would delete {losses_text(counts)} from {backend.title}; add --yes to confirm.")
    for info in selected:
        async with backend.write() as transaction:
            await transaction.fetch("lock_schema")
            await transaction.script(_by_version(backend.dialect, info.version).down)
            await transaction.execute("forget_applied", {"version": info.version})
        log.info("Undid migration %04d_%s", info.version, info.name)
    await backend.reopen()
    return tuple(selected)


async def losses(backend: Backend, undone: Sequence[MigrationInfo]) -> dict[str, int]:
    """Count by kind the rows that undoing these applied migrations would delete and that cannot be computed again."""
    counts: dict[str, int] = {}
    for info in undone:
        if info.name in _COUNT_QUERIES:
            [row] = await backend.fetch(_COUNT_QUERIES[info.name])
            for kind, count in row.items():
                # Two steps may count the same rows, of which the earlier step deletes the rest.
                counts[kind] = max(counts.get(kind, 0), int(count))
    return {kind: counts[kind] for kind in _KIND_NAMES if counts.get(kind)}


def losses_text(counts: Mapping[str, int]) -> str:
    """Return counts of ``losses`` in words: ``2 memories, 1 review and 3 model changes``."""
    words = [f"{grouped(count)} {_KIND_NAMES[kind][count != 1]}" for kind, count in counts.items()]
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def _by_version(dialect: Dialect, version: int) -> Migration:
    return next(migration for migration in migrations(dialect) if migration.version == version)


def version_of(infos: Sequence[MigrationInfo]) -> int:
    """Return the newest applied version, or 0."""

    return max((info.version for info in infos if info.state == "applied"), default=0)
