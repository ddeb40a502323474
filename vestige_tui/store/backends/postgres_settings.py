"""Settings of every session with a PostgreSQL server, as startup options or as a statement."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import pq, sql
from psycopg.conninfo import make_conninfo

TRANSACTION_TIMEOUT_VERSION = 170_000
"""First server_version_num that knows transaction_timeout; an older server refuses a session that sets it."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of the server, with its value as text."""

    name: str
    value: str


# A search is planned with its parameters: a generic plan takes a LIMIT for a tenth of the table.
TUNING = (
    Setting("plan_cache_mode", "force_custom_plan"),
    Setting("jit", "off"),
    Setting("hnsw.ef_search", "200"),
    Setting("hnsw.iterative_scan", "relaxed_order"),
    Setting("ivfflat.probes", "10"),
    Setting("ivfflat.iterative_scan", "relaxed_order"),
    Setting("lock_timeout", "15s"),
)
"""Settings that a URL, a service file or PGOPTIONS may override."""

ENCODING = "UTF8"
REPORTED = (
    Setting("client_encoding", ENCODING),
    Setting("DateStyle", "ISO"),
    Setting("IntervalStyle", "postgres"),
    Setting("TimeZone", "UTC"),
    Setting("standard_conforming_strings", "on"),
)
"""Settings that the server reports to every session at its start, and after each change."""

# Environment, service file, URL, role and database may each set others.
FIXED = (
    *REPORTED,
    Setting("extra_float_digits", "1"),
    Setting("bytea_output", "hex"),
    Setting("array_nulls", "on"),
    # A row that is read after its lock must be the one that was locked.
    Setting("default_transaction_isolation", "read committed"),
    Setting("default_transaction_deferrable", "off"),
    # Conflicts are answers, and no reason to end a session.
    Setting("exit_on_error", "off"),
    # Any other value makes a text search leave out rows at random.
    Setting("gin_fuzzy_search_limit", "0"),
)
"""Settings that stored values, results and transactions depend on; nothing overrides them."""

READ_ONLY = Setting("default_transaction_read_only", "on")


def lifted_timeouts(server_version: int) -> tuple[Setting, ...]:
    """Return the settings of a session whose work may take as long as it likes."""
    names = ["statement_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout"]
    if server_version >= TRANSACTION_TIMEOUT_VERSION:
        names.append("transaction_timeout")
    return tuple(Setting(name, "0") for name in names)


def store_path(schema: str, vector_schema: str) -> Setting:
    """Return the search path of a store: its own schema, and that of pgvector; both are quoted identifiers.

    A name that the store's schema lacks is so never looked for in another store's.
    """
    names = [schema] if vector_schema in ("", schema) else [schema, vector_schema]
    return Setting("search_path", ", ".join(names))


def as_options(settings: Iterable[Setting]) -> str:
    """Return settings as libpq's ``options``; of two values of one setting the last one wins."""
    return " ".join(f"-c {_escaped(f'{setting.name}={setting.value}')}" for setting in settings)


def _escaped(argument: str) -> str:
    return re.sub(r"([\s\\])", r"\\\1", argument, flags=re.ASCII)


def as_statement(settings: Iterable[Setting], *, local: bool = False) -> str:
    """Return a statement, to be run without parameters, that sets them for the session or the transaction."""
    calls = [
        f"set_config({_literal(setting.name)}, {_literal(setting.value)}, {str(local).lower()})" for setting in settings
    ]
    return f"SELECT {', '.join(calls)}"


def _literal(text: str) -> str:
    return sql.Literal(text).as_string(None)


def given_options(parts: Mapping[str, Any]) -> str:
    """Return the ``options`` of a connection: of its URL, else of its service file, else of PGOPTIONS."""
    if "options" in parts:
        return str(parts["options"] or "")
    # libpq itself reads the service file, and tells after an attempt that can reach no server.
    nowhere = {"host": "/nonexistent", "hostaddr": "", "port": "", "password": "-"}
    attempt = pq.PGconn.connect_start(make_conninfo("", **{**parts, **nowhere}).encode())
    try:
        values = {option.keyword: option.val for option in attempt.info}
    finally:
        attempt.finish()
    return (values.get(b"options") or b"").decode(errors="replace")
