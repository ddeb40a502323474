"""Rows of a store as digests, and the rows that are lost or doubled in another one."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from hashlib import blake2b
from typing import Any

import numpy as np
import psycopg
from pgvector.psycopg import register_vector

from tests.support.equal_stores import TABLES, TIMES, rows
from vestige_tui.core.times import parse_stored

VECTORS = "SELECT node_id, embedding FROM node_embeddings"


def digest(table: str, row: Iterable[object]) -> bytes:
    values = [int(value) if isinstance(value, bool) else value for value in row]
    return blake2b(repr((table, *values)).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def row_digests(url: str) -> Counter[bytes]:
    """Return the digests of all copied rows of a store; equal rows have equal digests on both databases."""
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:"))) as connection:
            return Counter(_digests(connection))
    with psycopg.connect(url) as server:
        register_vector(server)
        return Counter(_digests(server))


def _digests(connection: Any) -> Iterable[bytes]:
    for name, sql in TABLES.items():
        yield from (digest(name, row) for row in rows(connection, sql))
    for name, sql in TIMES.items():
        yield from (digest(f"times of {name}", _times(row)) for row in rows(connection, sql))
    for node, vector in rows(connection, VECTORS):
        stored = vector if isinstance(vector, bytes) else np.asarray(vector.to_numpy(), "<f4").tobytes()
        yield digest("vectors", (node, stored))


def _times(row: tuple[Any, ...]) -> list[object]:
    return [parse_stored(value) if index and isinstance(value, str) else value for index, value in enumerate(row)]


def lost_and_doubled(expected: Counter[bytes], stored: Counter[bytes]) -> tuple[int, int]:
    """Count the rows that are expected and missing, and those that are stored and not expected.

    A row that was altered counts as both.
    """
    return (expected - stored).total(), (stored - expected).total()


def texts(url: str) -> Counter[str]:
    """Return the texts of all memories of a store with the number of memories of each."""
    statement = "SELECT content FROM knowledge_nodes"
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:"))) as connection:
            return Counter(str(text) for (text,) in connection.execute(statement))
    with psycopg.connect(url) as server:
        return Counter(str(text) for (text,) in server.execute(statement))


def against_acknowledged(acknowledged: Iterable[str], stored: Counter[str]) -> tuple[int, int]:
    """Count the acknowledged texts that are missing, and the texts that are stored more than once.

    A text that was written, but not acknowledged, may be there.
    """
    return sum(1 for text in acknowledged if not stored[text]), sum(count - 1 for count in stored.values() if count > 1)
