"""PostgreSQL databases of other locales than the server's."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import errors, sql

from tests.support.postgres import on_database


@contextmanager
def localized_database(server: str, locale: str) -> Iterator[str]:
    """Create an empty database of a locale for the block; a test that needs one the server lacks is left out."""
    name = sql.Identifier(f"test_{secrets.token_hex(8)}")
    create = sql.SQL(
        "CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER libc LC_COLLATE {} LC_CTYPE {}"
    )
    with psycopg.connect(server, autocommit=True) as connection:
        try:
            connection.execute(create.format(name, locale, locale))
        except errors.WrongObjectType as error:
            if locale.startswith("C"):
                raise
            pytest.skip(f"The server's machine has no locale {locale}: {error.diag.message_primary}")
    try:
        yield on_database(server, name._obj[0])
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
