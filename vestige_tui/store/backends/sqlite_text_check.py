"""Comparison of the text index of a SQLite file with its texts, word by word; on a connection of its own."""

from __future__ import annotations

import logging
import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote

from vestige_tui.core.log import log_suppressed
from vestige_tui.store.schema.named_sql import load

log = logging.getLogger(__name__)

Word: TypeAlias = tuple[str | None, int, str, int]
"""Word of a text index, row, column, and position in it."""

_DEFINITION = re.compile(r"fts5\s*\((.*)\)\s*;?\s*$", re.DOTALL | re.IGNORECASE)
_ARGUMENT = re.compile(r"""\s*((?:"(?:[^"]|"")*"|'(?:[^']|'')*'|[^,"'])+)\s*(?:,|$)""")
_BUSY_SECONDS = 5.0
_WORDS = ("read_stored_words", "read_fresh_words")


def stale_rows(path: Path, mode: str, seconds: float, *, folds: bool) -> list[int] | None:
    """Return the numbers of the rows that differ between index and texts, sorted; None if the time ran out.

    ``folds``: the texts are folded before they are indexed. Blocks. Raises sqlite3's errors.
    """
    address = f"file:{quote(bytes(path))}?{mode}"
    opened = "file::memory:" if folds else address
    with closing(sqlite3.connect(opened, uri=True, timeout=_BUSY_SECONDS, check_same_thread=False)) as connection:
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.text_factory = _decode
        timer = threading.Timer(seconds, connection.interrupt)
        timer.start()
        try:
            if folds:
                connection.execute(load("sqlite", "rows")["attach_store"], [address])
                _index_folded(connection)
            elif not _index_texts(connection):
                return []
            return sorted(_differing(*(iter(connection.execute(load("sqlite", "rows")[name])) for name in _WORDS)))
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                log_suppressed(log, "compare the text index in time", error)
                return None
            raise
        finally:
            # Joined, as it must not interrupt a connection that is closed.
            timer.cancel()
            timer.join()


def _index_folded(connection: sqlite3.Connection) -> None:
    """Index the texts of an attached store in memory, folded by copies of its own triggers."""
    blocks = load("sqlite", "rows")
    connection.execute("BEGIN")
    connection.execute(blocks["create_text_source"])
    objects = connection.execute(blocks["text_objects"]).fetchall()
    for name, kind, sql, sort in objects:
        if kind == "table":
            connection.execute(sql)
            if sort == "table":
                connection.execute(blocks["copy_text_table"].replace("{table}", name))
    for _, kind, sql, _ in objects:
        if kind != "table":
            connection.execute(sql)
    connection.execute(blocks["fill_folded_index"])
    connection.execute(blocks["create_folded_words"])
    connection.execute(blocks["create_attached_words"])


def _index_texts(connection: sqlite3.Connection) -> bool:
    """Index the texts of a Vestige file in an index of the same kind; return False for a file without one."""
    blocks = load("sqlite", "rows")
    row = connection.execute(blocks["index_definition"]).fetchone()
    if row is None:
        return False
    columns, options = _parts(str(row[0]))
    names = ", ".join(f'"{name}"' for name in columns)
    connection.execute("BEGIN")
    connection.execute(blocks["create_fresh_index"].replace("{columns}", names).replace("{options}", options))
    connection.execute(blocks["fill_fresh_index"].replace("{columns}", names).replace("{values}", names))
    connection.execute(blocks["create_fresh_words"])
    connection.execute(blocks["create_stored_words"])
    return True


def _parts(definition: str) -> tuple[list[str], str]:
    """Return the columns of a text index, and its options but those of its content."""
    match = _DEFINITION.search(definition)
    arguments = [part.strip() for part in _ARGUMENT.findall(match[1])] if match else []
    options = [part for part in arguments if "=" in part and not part.lower().startswith("content")]
    return [part for part in arguments if "=" not in part], "".join(f", {option}" for option in options)


def _decode(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _differing(stored: Iterator[Word], fresh: Iterator[Word]) -> set[int]:
    """Return the rows of words that only one of two sorted lists has."""
    rows: set[int] = set()
    left, right = next(stored, None), next(fresh, None)
    while left is not None or right is not None:
        if left == right:
            left, right = next(stored, None), next(fresh, None)
        elif right is None or (left is not None and _order(left) < _order(right)):
            assert left is not None
            rows.add(left[1])
            left = next(stored, None)
        else:
            rows.add(right[1])
            right = next(fresh, None)
    return rows


def _order(word: Word) -> tuple[bytes, int, str, int]:
    term, row, column, position = word
    # A word that ends before its first letter, at a NUL, has no term.
    return (term or "").encode("utf-8", "surrogateescape"), row, column, position
