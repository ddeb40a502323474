"""The variant of PostgreSQL that the tests run on, chosen by environment variables; none by default."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.support.documented_grants import SCHEMA, grant_as_documented, logged_in

SCHEMA_VARIABLE = "VESTIGE_TEST_POSTGRES_SCHEMA"
"""Name of the schema in which the stores lie: the one of the search path of each database."""
ROLE_VARIABLE = "VESTIGE_TEST_POSTGRES_ROLE"
"""Role with the documented rights of the owner alone, in the documented schema."""
LOCALE_VARIABLE = "VESTIGE_TEST_POSTGRES_LOCALE"
"""Locale of libc of each database."""


def locale_clause() -> sql.Composable:
    """Return the clause of CREATE DATABASE for the chosen locale."""
    locale = os.environ.get(LOCALE_VARIABLE)
    if not locale:
        return sql.SQL("")
    return sql.SQL(" LOCALE_PROVIDER libc LC_COLLATE {0} LC_CTYPE {0}").format(locale)


def as_chosen(url: str, *, is_empty: bool) -> str:
    """Set up a new database, empty or copied from one that was set up; return its URL as the chosen role."""
    schema, role = os.environ.get(SCHEMA_VARIABLE, ""), os.environ.get(ROLE_VARIABLE, "")
    if role and is_empty:
        _create_role(url, role)
        grant_as_documented(url, "administrator", {"owner": role})
        grant_as_documented(url, "owner", {"owner": role})
    if name := schema or (SCHEMA if role else ""):
        with psycopg.connect(url, autocommit=True) as connection:
            identifier = sql.Identifier(name)
            connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(identifier))
            database = sql.Identifier(connection.info.dbname)
            # Sessions of the tests themselves have to find pgvector, too.
            path = sql.SQL(", ").join([identifier, sql.Identifier("public")] if role else [identifier])
            connection.execute(sql.SQL("ALTER DATABASE {} SET search_path = {}").format(database, path))
    return logged_in(url, role) if role else url


def grant_in_store(connection: psycopg.Connection[Any], rights: Mapping[str, str], role: str) -> None:
    """Grant rights on all tables or sequences of the store's schema, wherever that lies, and the use of the schema."""
    [schema] = connection.execute("SELECT current_schema()").fetchone() or [""]
    names = {"schema": sql.Identifier(schema), "role": sql.Identifier(role)}
    connection.execute(sql.SQL("GRANT USAGE ON SCHEMA {schema} TO {role}").format(**names))
    for kind, granted in rights.items():
        statement = f"GRANT {granted} ON ALL {kind} IN SCHEMA {{schema}} TO {{role}}"
        connection.execute(sql.SQL(statement).format(**names))


def _create_role(url: str, role: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).fetchone() is None:
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))


def as_superuser(url: str) -> str:
    """Return the URL of a test's database for what only an administrator may do there."""
    return url.replace(f"://{os.environ[ROLE_VARIABLE].replace(' ', '%20')}@", "://vestige@") if _has_role() else url


def _has_role() -> bool:
    return bool(os.environ.get(ROLE_VARIABLE))


def needs_postgres(item: pytest.Function) -> bool:
    """Check whether a test runs on PostgreSQL, by the database of its parameter, else by its fixtures."""
    if item.get_closest_marker("own_variant") and (os.environ.get(SCHEMA_VARIABLE) or _has_role()):
        return False
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    if "backend" in parameters:
        return bool(parameters["backend"] == "postgres")
    return any("postgres" in name for name in item.fixturenames)
