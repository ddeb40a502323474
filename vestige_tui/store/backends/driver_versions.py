"""Versions of the libraries in which the drivers are linked to their databases, for a bug report."""

from __future__ import annotations


def sqlite_version() -> str:
    """Return the version of the SQLite library."""
    import sqlite3

    return sqlite3.sqlite_version


def libpq_version() -> str:
    """Return the version of libpq, and the build of psycopg that uses it; "not found" without one."""
    try:
        from psycopg import pq
    except ImportError:
        return "not found"
    number = pq.version()
    return f"{number // 10_000}.{number % 10_000} ({pq.__impl__})"
