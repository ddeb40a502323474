"""A real PgBouncer in front of the server under test: one pool mode, all other settings their defaults."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

PORT = 6432
START_SECONDS = 60.0
STOP_SECONDS = 30.0
ADMINISTRATOR = "pgbouncer"
"""User of the console of PgBouncer itself."""
MISSING = "the program pgbouncer is missing"
CHOICE = "VESTIGE_TEST_POSTGRES_THROUGH"
"""Environment variable of the pooler through which all tests reach their databases: pgbouncer-MODE."""

_chosen: list[PgBouncer] = []
"""The pooler of this run, if one is chosen."""


@dataclass(frozen=True, slots=True)
class PgBouncer:
    """A running PgBouncer."""

    server: str
    directory: Path
    process: subprocess.Popen[bytes]

    def url(self, server: str) -> str:
        """Return the URL of a database of the server through this pooler."""
        parts = urlsplit(server)
        given = conninfo_to_dict(server)
        user = quote(str(given.get("user") or ""), safe="")
        kept = [pair for pair in parts.query.split("&") if pair and not pair.startswith(("host=", "port="))]
        query = "&".join([f"host={quote(str(self.directory), safe='')}", f"port={PORT}", *kept])
        return f"postgresql://{user}@/{quote(str(given['dbname']), safe='')}?{query}"

    @property
    def console(self) -> str:
        """Return the URL of the pooler's own console."""
        return f"postgresql://{ADMINISTRATOR}@/pgbouncer?host={quote(str(self.directory), safe='')}&port={PORT}"


def program() -> str | None:
    """Return the path of the program; it lies beside other daemons, where not every PATH leads."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")


def require_pgbouncer() -> str:
    """Return the path of the program; leave the test out where there is none."""
    found = program()
    if found is None:
        pytest.skip(MISSING)
    return found


@contextmanager
def pgbouncer(server: str, mode: str, **settings: str) -> Iterator[PgBouncer]:
    """Run a PgBouncer in this pool mode in front of a server, for the block."""
    path = require_pgbouncer()
    # Not a folder of pytest: the path of a socket is short, and another user has to reach it.
    directory = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
    try:
        identity = _identity(server)
        _write_settings(directory, server, {"pool_mode": mode, **settings})
        if identity is not None:
            for each in (directory, *directory.iterdir()):
                os.chown(each, *identity)
        uid, gid = identity or (None, None)
        with (directory / "output").open("wb") as output:
            process = subprocess.Popen(
                [path, str(directory / "pgbouncer.ini")],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                user=uid,
                group=gid,
                extra_groups=None if uid is None else [],
            )
        try:
            running = PgBouncer(server, directory, process)
            _wait_until_it_listens(running)
            yield running
        finally:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            process.wait(STOP_SECONDS)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def chosen_pooler(server: str) -> Iterator[None]:
    """Run the pooler that the environment names for the block, if any."""
    choice = os.environ.get(CHOICE)
    if not choice:
        yield
        return
    product, _, mode = choice.partition("-")
    assert product == "pgbouncer", f"{CHOICE} must be pgbouncer-transaction or pgbouncer-session"
    with pgbouncer(server, mode) as running, _tests_connect_past(running, server):
        _chosen.append(running)
        try:
            yield
        finally:
            _chosen.remove(running)


@contextmanager
def _tests_connect_past(running: PgBouncer, server: str) -> Iterator[None]:
    """Let the connections that tests themselves make, with the driver alone, go to the server directly."""
    connect, connect_async = psycopg.connect, psycopg.AsyncConnection.connect
    place = {name: value for name, value in conninfo_to_dict(server).items() if name in ("host", "port", "password")}

    def past(conninfo: str) -> str:
        to_pooler = conninfo_to_dict(conninfo).get("host") == str(running.directory)
        return make_conninfo(conninfo, **place) if to_pooler else conninfo

    def directly(conninfo: str = "", **options: Any) -> Any:
        return connect(past(conninfo), **options)

    async def directly_async(cls: Any, /, conninfo: str = "", **options: Any) -> Any:
        own = past(conninfo) if cls is psycopg.AsyncConnection else conninfo
        return await connect_async.__func__(cls, own, **options)  # type: ignore[attr-defined]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg, "connect", directly)
        patch.setattr(psycopg.AsyncConnection, "connect", classmethod(directly_async))
        yield


def through_pooler(url: str) -> str:
    """Return the URL of a store through the chosen pooler; the same one where none is chosen."""
    return _chosen[-1].url(url) if _chosen else url


def past_pooler(url: str) -> str:
    """Return the URL of a store past the chosen pooler, for a test of what only a session of its own does."""
    if not _chosen:
        return url
    given = conninfo_to_dict(_chosen[-1].server)
    place = f"host={quote(str(given['host']), safe='')}&port={given.get('port') or 5432}"
    return url.replace(f"host={quote(str(_chosen[-1].directory), safe='')}&port={PORT}", place)


def _write_settings(directory: Path, server: str, settings: dict[str, str]) -> None:
    given = conninfo_to_dict(server)
    line = " ".join(f"{name}={given[name]}" for name in ("host", "port") if given.get(name))
    user, password = str(given.get("user") or ""), str(given.get("password") or "")
    (directory / "users").write_text(f'"{user}" "{password}"\n"{ADMINISTRATOR}" ""\n')
    lines = [
        "[databases]",
        # Users that a test makes are looked up on the server.
        f"* = {line} auth_user={user}",
        "[pgbouncer]",
        f"listen_port = {PORT}",
        f"unix_socket_dir = {directory}",
        "auth_type = trust",
        f"auth_file = {directory / 'users'}",
        f"admin_users = {ADMINISTRATOR}",
        f"logfile = {directory / 'log'}",
        *(f"{name} = {value}" for name, value in settings.items()),
    ]
    (directory / "pgbouncer.ini").write_text("\n".join(lines) + "\n")


def _identity(server: str) -> tuple[int, int] | None:
    """Return the user that runs the pooler for root: the owner of the server's socket, else an unprivileged one."""
    if os.geteuid() != 0:
        return None
    host = str(conninfo_to_dict(server).get("host") or "")
    if host.startswith("/") and (state := os.stat(host)).st_uid != 0:
        return state.st_uid, state.st_gid
    user = pwd.getpwnam("nobody")
    return user.pw_uid, user.pw_gid


def _wait_until_it_listens(running: PgBouncer) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with socket.socket(socket.AF_UNIX) as line, suppress(OSError):
            line.connect(str(running.directory / f".s.PGSQL.{PORT}"))
            return
        output = (running.directory / "output").read_text(errors="replace")
        assert running.process.poll() is None, f"PgBouncer ended: {output}"
        assert time.monotonic() < deadline, f"PgBouncer does not listen: {output}"
        time.sleep(0.01)
