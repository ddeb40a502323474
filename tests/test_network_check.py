"""The watch over connections: what of a trace is an address, and what is told where nothing can be watched."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import network_check
from tests.network_check import addresses

INTERNET = 'sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("93.184.216.34")}'
IPV6 = (
    "sa_family=AF_INET6, sin6_port=htons({port}), sin6_flowinfo=htonl(0),"
    ' inet_pton(AF_INET6, "::1", &sin6_addr), sin6_scope_id=0}}'
)


@pytest.mark.parametrize(
    ("line", "address"),
    [
        (f"12 connect(3, {{{INTERNET}, 16) = 0", "connect 93.184.216.34 port 443"),
        (f"12  connect(3, {{{INTERNET}, 16 <unfinished ...>", "connect 93.184.216.34 port 443"),
        (f'sendto(5, "x", 1, 0, {{{INTERNET}, 16) = 1', "sendto 93.184.216.34 port 443"),
        (f"sendmsg(5, {{msg_name={{{INTERNET}, msg_namelen=16}}, 0) = 1", "sendmsg 93.184.216.34 port 443"),
        (f"bind(5, {{{INTERNET}, 16) = 0", "bind 93.184.216.34 port 443"),
        (f"connect(3, {{{IPV6.format(port=53)}, 28) = 0", "connect ::1 port 53"),
        (
            'connect(3, {sa_family=AF_UNIX, sun_path="/run/systemd/resolve/io.systemd.Resolve"}, 42) = 0',
            "connect /run/systemd/resolve/io.systemd.Resolve",
        ),
        ('connect(3, {sa_family=AF_UNIX, sun_path=@"hidden"}, 9) = 0', "connect @hidden"),
        ('connect(3, {sa_family=AF_UNIX, sun_path="/own-but-other/s"}, 9) = 0', "connect /own-but-other/s"),
    ],
)
def test_an_address_is_told(line: str, address: str) -> None:
    assert list(addresses([line], "/own")) == [address]


@pytest.mark.parametrize(
    "line",
    [
        f"bind(3, {{{IPV6.format(port=0)}, 28) = 0",
        'connect(3, {sa_family=AF_UNIX, sun_path="/own/.s.PGSQL.5432"}, 20) = 0',
        'connect(3, {sa_family=AF_UNIX, sun_path="/var/run/nscd/socket"}, 110) = -1 ENOENT (No such file or directory)',
        'sendto(3, "\\0\\0", 2, MSG_NOSIGNAL, NULL, 0) = 2',
        "+++ exited with 0 +++",
    ],
)
def test_the_stores_own_sockets_and_those_of_the_machine_are_none(line: str) -> None:
    assert list(addresses([line], "/own")) == []


def test_where_nothing_can_be_watched_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert network_check.main() == 2
    assert capsys.readouterr().err == (
        "network-check did NOT run: strace is not installed (on Debian: apt-get install strace).\n"
    )
    blind = tmp_path / "strace"
    blind.write_text("#!/bin/sh\necho 'strace: ptrace: Operation not permitted' >&2\nexit 1\n")
    blind.chmod(0o755)
    assert network_check.main() == 2
    assert "did NOT run: strace cannot trace a process (strace: ptrace: Operation" in capsys.readouterr().err


def test_an_offence_fails_the_check(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(network_check, "ensure_watchable", lambda folder: None)
    monkeypatch.setattr(network_check, "check", lambda folder: ["search: connect 192.0.2.1 port 443"])
    assert network_check.main() == 1
    captured = capsys.readouterr()
    assert captured.err == "search: connect 192.0.2.1 port 443\n"
    assert captured.out.endswith("network-check failed\n")
