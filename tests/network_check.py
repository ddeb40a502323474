"""Watches ordinary use of a store with strace: no connection but the store's own.

``python -m tests.network_check``: import, search, review, re-embedding, console and library call, on a SQLite file and
on an embedded PostgreSQL, with an empty home. Exit status: 0 nothing was sent, 1 something was, 2 strace cannot watch.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from tests.support.ordinary_use import bare_env, foreign_files, run_step, search_in_console, steps
from vestige_tui.store.backends import embedded_postgres

CALLS = "connect,bind,sendto,sendmsg,sendmmsg"
_CALL = re.compile(r"^(?:\d+\s+)?(?P<call>connect|bind|sendto|sendmsg|sendmmsg)\((?P<arguments>.*)")
_INTERNET = re.compile(
    r"sa_family=AF_INET6?, sin6?_port=htons\((?P<port>\d+)\)"
    r'.*?(?:inet_addr\("(?P<ipv4>[^"]+)"\)|inet_pton\(AF_INET6, "(?P<ipv6>[^"]+)")'
)
_UNIX = re.compile(r'sa_family=AF_UNIX, sun_path=(?P<path>@?"[^"]*")')
_NAME_SERVICES = ("/run/nscd/", "/var/run/nscd/", "/run/systemd/userdb/")
"""Sockets of the C library for names of users."""
_PROBE = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('127.0.0.1', 9))"
"""Program with one address on a socket, to which it sends nothing."""


class NotWatchable(Exception):
    """strace is not here, or may not trace a process."""


def addresses(trace: Iterable[str], own_sockets: str = "") -> Iterator[str]:
    """Return each call of a trace that names an address, but for sockets of the store below ``own_sockets``.

    A socket that is bound to any port of this machine itself reaches nothing: urllib3 does so to learn whether there is
    IPv6.
    """
    for line in trace:
        if not (match := _CALL.match(line)):
            continue
        call, arguments = match["call"], match["arguments"]
        if internet := _INTERNET.search(arguments):
            host = internet["ipv4"] or internet["ipv6"]
            if call != "bind" or internet["port"] != "0" or host not in ("127.0.0.1", "::1"):
                yield f"{call} {host} port {internet['port']}"
        elif local := _UNIX.search(arguments):
            path = local["path"].replace('"', "")
            is_own = bool(own_sockets) and path.startswith(f"{own_sockets}/")
            if call != "bind" and not is_own and not path.startswith(_NAME_SERVICES):
                yield f"{call} {path}"


def tracer(trace: Path) -> list[str]:
    """Return the command that runs another one, and writes each call of it and its children that has an address."""
    return ["strace", "-f", "-q", "-e", f"trace={CALLS}", "-e", "signal=none", "-o", str(trace)]


def ensure_watchable(folder: Path) -> None:
    """Trace a program with an address. Raises NotWatchable where that address is not in the trace."""
    if shutil.which("strace") is None:
        raise NotWatchable("strace is not installed (on Debian: apt-get install strace)")
    trace = folder / "probe"
    done = subprocess.run([*tracer(trace), sys.executable, "-c", _PROBE], capture_output=True, text=True, check=False)
    lines = trace.read_text().splitlines() if trace.exists() else []
    if done.returncode or list(addresses(lines)) != ["connect 127.0.0.1 port 9"]:
        reason = (done.stderr.strip().splitlines() or ["it saw nothing"])[0]
        raise NotWatchable(f"strace cannot trace a process ({reason})")


def watch(store: str, folder: Path, own_sockets: str = "") -> list[str]:
    """Use a store under strace; return each address that is not the store's, and each file left in the home."""
    folder.mkdir()
    home = folder / "home"
    env, offences = bare_env(home), []
    for number, command in enumerate([*steps(store, folder), []]):
        trace = folder / f"trace-{number}"
        if command:
            run_step(command, env, tracer(trace))
        else:
            search_in_console(store, env, tracer(trace))
        name = " ".join(command[5:7] if "-m" in command else ["library"] if command else ["console"])
        lines = trace.read_text(errors="replace").splitlines()
        offences += [f"{name}: {address}" for address in dict.fromkeys(addresses(lines, own_sockets))]
        print(f"  {name}: {len(lines)} calls seen", flush=True)
    return offences + [f"left in the home: {path}" for path in foreign_files(home)]


def check(folder: Path) -> list[str]:
    """Watch a SQLite file, then an embedded PostgreSQL, whose server runs meanwhile."""
    print("SQLite", flush=True)
    offences = watch(f"sqlite:{folder / 'store.db'}", folder / "sqlite")
    print("embedded PostgreSQL", flush=True)
    lease = embedded_postgres.acquire_now(folder / "server")
    try:
        sockets = str(conninfo_to_dict(lease.url)["host"])
        return offences + watch(f"pgembed:{folder / 'server'}", folder / "postgres", sockets)
    finally:
        embedded_postgres.release_now(lease)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="vestige-net-") as name:
        folder = Path(name)
        try:
            ensure_watchable(folder)
        except NotWatchable as reason:
            print(f"network-check did NOT run: {reason}.", file=sys.stderr)
            return 2
        offences = check(folder)
    for offence in offences:
        print(offence, file=sys.stderr)
    print("network-check failed" if offences else "network-check passed: no connection but the store's own")
    return 1 if offences else 0


if __name__ == "__main__":
    sys.exit(main())
