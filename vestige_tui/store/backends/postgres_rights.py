"""Rights that a role lacks on a PostgreSQL store, and the statements that grant them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vestige_tui.core.errors import ReadOnly, VestigeError

READER_RIGHTS = ("SELECT",)
WRITER_RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE")
_ALLOWED_BY_PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "COPY")
"""Beginnings of the statements that privileges of tables allow."""


class RightMissing(ReadOnly):
    """A statement that the role may not run; ``refusal`` is the server's own line about it."""

    def __init__(self, message: str, *, refusal: str = "", statement: str = "") -> None:
        super().__init__(message)
        self.refusal = refusal
        self.statement = statement
        """SQL of the statement; empty where it is not known."""

    def with_remedy(self, title: str, rows: Sequence[Mapping[str, Any]]) -> RightMissing:
        """Return the same error with the statements that grant the missing rights.

        ``rows`` are those of ``list_missing_rights``.
        """
        database, tables = rows[0], rows[1:]
        remedy = _remedy(database, tables, self.statement)
        message = f"The role {database['role']} may not do this on {title} ({self.refusal}); {remedy}."
        return RightMissing(message, refusal=self.refusal, statement=self.statement)


def of_statement(error: VestigeError, statement: str) -> VestigeError:
    """Note the statement of an error about a missing right; return the error, also any other one."""
    if isinstance(error, RightMissing):
        error.statement = statement
    return error


def _remedy(database: Mapping[str, Any], tables: Sequence[Mapping[str, Any]], statement: str) -> str:
    role = str(database["role"])
    missing = [table for table in tables if table["rights"]]
    # A trigger may have needed more than the statement names.
    grants = _grants(_named(missing, statement), role) or _grants(missing, role)
    if grants and not _takes_owner(statement):
        return f"run {grants}"
    if not database["may_stage"] and not statement:
        return f"run GRANT TEMPORARY ON DATABASE {database['database']} TO {role}"
    if not database["has_vector"]:
        return "ask an administrator to run CREATE EXTENSION vector in this database"
    owners = sorted({str(table["owner"]) for table in tables if not table["owned"]})
    if owners:
        return f"only the owner of the tables may: run {'; '.join(f'GRANT {owner} TO {role}' for owner in owners)}"
    if not database["may_create"]:
        return f"run GRANT CREATE ON SCHEMA {database['schema']} TO {role}"
    return "only a superuser can grant this"


def _takes_owner(statement: str) -> bool:
    """Check for a statement that privileges of tables do not allow: one that defines or maintains them."""
    lines = [line for line in statement.splitlines() if line.strip() and not line.startswith("--")]
    return bool(lines) and not lines[0].lstrip("( ").upper().startswith(_ALLOWED_BY_PRIVILEGES)


def _named(tables: Iterable[Mapping[str, Any]], statement: str) -> list[Mapping[str, Any]]:
    """Return the tables whose names the statement contains."""
    words = set(re.findall(r"\w+", statement))
    return [table for table in tables if table["name"] in words]


def _grants(tables: Iterable[Mapping[str, Any]], role: str) -> str:
    """Return the GRANT statements for missing rights, one for each set of rights."""
    objects: dict[tuple[str, str], list[str]] = {}
    for table in tables:
        objects.setdefault((str(table["kind"]), str(table["rights"])), []).append(str(table["object"]))
    return "; ".join(
        f"GRANT {rights} ON {'SEQUENCE ' if kind == 'sequence' else ''}{', '.join(sorted(names))} TO {role}"
        for (kind, rights), names in objects.items()
    )
