"""Databases whose store lies in a schema of any name, and whose pgvector may lie in another one."""

from __future__ import annotations

from urllib.parse import quote

import psycopg
from psycopg import sql

from vestige_tui.store.backends.postgres_settings import Setting, as_options

ODD_SCHEMA = """My "Own" schema's 100% \\ größe.x"""
"""A name with every character that a statement, an option or a URL spells otherwise."""


def search_path(*schemas: str) -> Setting:
    """Return the setting of a search path of these schemas."""
    return Setting("search_path", ", ".join(sql.Identifier(schema).as_string(None) for schema in schemas))


def with_settings(url: str, *settings: Setting) -> str:
    """Return the URL with settings of its own."""
    return f"{url}{'&' if '?' in url else '?'}options={quote(as_options(settings))}"


def in_schema(url: str, schema: str, *, vector_schema: str = "", create: bool = True) -> str:
    """Create the schema, and pgvector in another one, if need be; return the URL of a store in the schema."""
    with psycopg.connect(url, autocommit=True) as connection:
        for name in (schema, vector_schema):
            if create and name and name != "public":
                connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(name)))
        if vector_schema:
            connection.execute(sql.SQL("CREATE EXTENSION vector SCHEMA {}").format(sql.Identifier(vector_schema)))
    return with_settings(url, search_path(schema))


def tables_of(url: str, schema: str) -> set[str]:
    """Return the names of the tables in a schema."""
    with psycopg.connect(url) as connection:
        return {
            str(name)
            for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", [schema])
        }
