"""Comparison of the text index of a SQLite file with its texts, word by word; on a connection of its own."""

from __future__ import annotations

import logging
import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

from vestige_tui.core.log import log_suppressed
from vestige_tui.store.schema.named_sql import load
from vestige_tui.store.search.folding import fold_words

log = logging.getLogger(__name__)

Word: TypeAlias = tuple[str, int, str, int]
"""Word of a text index, row, column, and position in it."""

_DEFINITION = re.compile(r"fts5\s*\((.*)\)\s*;?\s*$", re.DOTALL | re.IGNORECASE)
_ARGUMENT = re.compile(r"""\s*((?:"(?:[^"]|"")*"|'(?:[^']|'')*'|[^,"'])+)\s*(?:,|$)""")
_BUSY_SECONDS = 5.0


def stale_rows(path: Path, mode: str, seconds: float, *, folds: bool) -> list[int] | None:
    """Return the numbers of the rows that differ between index and texts, sorted; None if the time ran out.

    ``folds``: the texts are folded before they are indexed. Blocks. Raises sqlite3's errors.
    """
    address = f"file:{quote(bytes(path))}?{mode}"
    with closing(sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS, check_same_thread=False)) as connection:
        connection.execute("PRAGMA temp_store = MEMORY")
        timer = threading.Timer(seconds, connection.interrupt)
        timer.start()
        try:
            return sorted(_stale(connection, folds=folds))
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                log_suppressed(log, "compare the text index in time", error)
                return None
            raise
        finally:
            # Joined, as it must not interrupt a connection that is closed.
            timer.cancel()
            timer.join()


def _stale(connection: sqlite3.Connection, *, folds: bool) -> set[int]:
    blocks = load("sqlite", "rows")
    connection.create_function("folded", 1, _folded, deterministic=True)
    connection.text_factory = _decode
    row = connection.execute(blocks["index_definition"]).fetchone()
    if row is None:
        return set()
    columns, options = _parts(str(row[0]))
    names = ", ".join(f'"{name}"' for name in columns)
    # Texts that are no UTF-8 pass through SQLite alone.
    values = ", ".join(f'folded("{name}")' for name in columns) if folds else names
    connection.execute("BEGIN")
    connection.execute(blocks["create_fresh_index"].replace("{columns}", names).replace("{options}", options))
    connection.execute(blocks["fill_fresh_index"].replace("{columns}", names).replace("{values}", values))
    connection.execute(blocks["create_fresh_words"])
    connection.execute(blocks["create_stored_words"])
    return _differing(
        iter(connection.execute(blocks["read_stored_words"])), iter(connection.execute(blocks["read_fresh_words"]))
    )


def _parts(definition: str) -> tuple[list[str], str]:
    """Return the columns of a text index, and its options but those of its content."""
    match = _DEFINITION.search(definition)
    arguments = [part.strip() for part in _ARGUMENT.findall(match[1])] if match else []
    options = [part for part in arguments if "=" in part and not part.lower().startswith("content")]
    return [part for part in arguments if "=" not in part], "".join(f", {option}" for option in options)


def _folded(value: Any) -> Any:
    return fold_words(value) if isinstance(value, str) and not value.isascii() else value


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
    return term.encode("utf-8", "surrogateescape"), row, column, position
