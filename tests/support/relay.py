"""A relay in front of a server: it keeps the numbers of its sessions, and does not pass startup options on."""

from __future__ import annotations

import socket
import struct
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote, urlsplit

from psycopg.conninfo import conninfo_to_dict

PORT = 5432
CANCEL_REQUEST = 80877102


@contextmanager
def relay(server: str, *, refuses: bool) -> Iterator[str]:
    """Run a relay for the block, and return the URL of a database through it.

    It drops the startup parameter ``options``, or ``refuses`` it in words of its own.
    """
    given = conninfo_to_dict(server)
    with tempfile.TemporaryDirectory(prefix="relay-") as directory, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{directory}/.s.PGSQL.{PORT}")
        listening.listen(64)
        threading.Thread(target=_accept, args=(listening, given, refuses), daemon=True).start()
        parts = urlsplit(server)
        query = f"host={quote(directory, safe='')}&port={PORT}&client_encoding=UTF8"
        yield f"{parts.scheme}://{quote(str(given['user']))}@/{given['dbname']}?{query}"
        # Wakes the thread that accepts.
        listening.shutdown(socket.SHUT_RDWR)


def _accept(listening: socket.socket, given: dict[str, object], refuses: bool) -> None:
    with suppress(OSError):
        while True:
            client, _ = listening.accept()
            threading.Thread(target=_serve, args=(client, given, refuses), daemon=True).start()


def _serve(client: socket.socket, given: dict[str, object], refuses: bool) -> None:
    with client, socket.socket(socket.AF_UNIX) as server, suppress(OSError):
        packet = client.recv(int.from_bytes(client.recv(4, socket.MSG_WAITALL), "big") - 4, socket.MSG_WAITALL)
        [code] = struct.unpack_from("!i", packet)
        if code != CANCEL_REQUEST:
            words = packet[4:].split(b"\0")
            pairs = dict(zip(words[::2], words[1::2], strict=False))
            if pairs.pop(b"options", None) and refuses:
                fields = b"SFATAL\0VFATAL\0C0A000\0MFeature not supported: no command-line options here\0\0"
                client.sendall(b"E" + struct.pack("!i", len(fields) + 4) + fields)
                return
            kept = b"".join(name + b"\0" + value + b"\0" for name, value in pairs.items() if name)
            packet = packet[:4] + kept + b"\0"
        server.connect(str(Path(str(given["host"])) / f".s.PGSQL.{given['port']}"))
        server.sendall(struct.pack("!i", len(packet) + 4) + packet)
        threading.Thread(target=_copy, args=(server, client), daemon=True).start()
        _copy(client, server)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while part := source.recv(65_536):
            target.sendall(part)
        target.shutdown(socket.SHUT_RDWR)
