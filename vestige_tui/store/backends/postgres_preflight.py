"""Checks of a PostgreSQL server before a store is opened there, and the settings that only it could tell."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from vestige_tui.core.errors import Refused
from vestige_tui.store.backends.postgres_settings import Setting, lifted_timeouts, store_path

Server = Mapping[str, Any]
"""The row of the query ``preflight``."""

MIN_SERVER_VERSION = 160_000
MIN_VECTOR_VERSION = (0, 8)

_READ_ONLY_REMEDIES: Final[Mapping[str, str]] = {
    "user": "ALTER ROLE {role} SET default_transaction_read_only = off",
    "database": "ALTER DATABASE {database} SET default_transaction_read_only = off",
    "database user": "ALTER ROLE {role} IN DATABASE {database} SET default_transaction_read_only = off",
}
"""Statement that undoes the setting, by the source that pg_settings names."""


def check_server(server: Server, title: str) -> None:
    """Raise Refused where the server cannot hold a store, or the role may not use its schemas."""
    if server["server_version_num"] < MIN_SERVER_VERSION:
        raise Refused(f"{title} runs PostgreSQL {server['server_version']}; 16 or newer is needed.")
    if not server["installed"] and not server["available"]:
        raise Refused(
            f"{title} has no pgvector; install the extension on the server, then run CREATE EXTENSION vector."
        )
    version = vector_version(server)
    if _numbers(version) < MIN_VECTOR_VERSION:
        raise Refused(f"{title} has pgvector {version}; 0.8 or newer is needed. Run ALTER EXTENSION vector UPDATE.")
    _check_schemas(server, title)


def vector_version(server: Server) -> str:
    """Return the version of pgvector that is installed, or would be."""
    return str(server["installed"] or server["available"])


def _check_schemas(server: Server, title: str) -> None:
    role = server["role"]
    if server["closed_schema"]:
        raise Refused(
            f"The role {role} may not use the schema {server['closed_schema']} of {title}; "
            f"run GRANT USAGE ON SCHEMA {server['closed_schema']} TO {role}."
        )
    if not server["schema"]:
        raise Refused(
            f"{title} has none of the schemas in its search_path ({server['search_path'] or 'empty'}); "
            "create one with CREATE SCHEMA, or set another search_path."
        )
    if server["installed"] and not server["may_use_vector"]:
        raise Refused(
            f"The role {role} may not use pgvector, which is in the schema {server['vector_schema']} of {title}; "
            f"run GRANT USAGE ON SCHEMA {server['vector_schema']} TO {role}."
        )


def server_settings(server: Server, *, long_work: bool) -> tuple[Setting, ...]:
    """Return the settings of further sessions: the search path of the store, and no timeouts for long work."""
    path = store_path(server["schema"], server["vector_schema"] or "")
    return (path, *(lifted_timeouts(server["server_version_num"]) if long_work else ()))


def why_read_only(server: Server) -> str:
    """Return the reason for which a server, or this role there, only accepts reads; empty if there is none."""
    if server["standby"]:
        return "the server is a standby, which accepts only reads"
    if server["read_only"]:
        remedy = _READ_ONLY_REMEDIES.get(server["read_only_source"], "").format_map(server)
        return "the server accepts only reads (default_transaction_read_only)" + (remedy and f"; run {remedy} to write")
    if server["replica_session"]:
        return "session_replication_role is replica, which disables the triggers of the store"
    return _lack(server)


def _lack(server: Server) -> str:
    role, schema = server["role"], server["schema"]
    match server["lacks"]:
        case "changes":
            return (
                f"the role {role} may only read; run GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} "
                f"TO {role}; GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {role} to write"
            )
        case "journal":
            return (
                f"the role {role} may not write to the journal, which every change needs; "
                f"run GRANT INSERT ON {schema}.{server['journal']} TO {role}"
            )
        case "journal sequence":
            return (
                f"the role {role} may not use the sequence of the journal, which every change needs; "
                f"run GRANT USAGE ON SEQUENCE {schema}.{server['journal_sequence']} TO {role}"
            )
    return ""


def check_row_security(tables: Sequence[Mapping[str, Any]], server: Server, title: str) -> str:
    """Return the reason to be read-only where policies may refuse changes. Raises Refused where they may hide rows.

    ``tables`` are the rows of ``list_row_security``. A store that is seen in part would be copied, counted and changed
    in part.
    """
    hidden = [table for table in tables if table["hidden"]]
    if hidden:
        names = ", ".join(str(table["name"]) for table in hidden)
        raise Refused(
            f"Row-level security of {names} may hide rows of {title} from the role {server['role']}; "
            f"run {_row_security_remedy(hidden, server)}."
        )
    if tables:
        names = ", ".join(str(table["name"]) for table in tables)
        return (
            f"row-level security of {names} may refuse changes of the role {server['role']}; "
            f"run {_row_security_remedy(tables, server)}"
        )
    return ""


def _row_security_remedy(tables: Sequence[Mapping[str, Any]], server: Server) -> str:
    statements = "; ".join(
        f"ALTER TABLE {table['name']} {'NO FORCE' if table['owned'] else 'DISABLE'} ROW LEVEL SECURITY"
        for table in tables
    )
    return f"ALTER ROLE {server['role']} BYPASSRLS, or {statements}"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
