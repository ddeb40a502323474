"""The rights that docs/postgres.md grants to each role, as statements."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import psycopg
from psycopg import sql

DOCUMENT = Path(__file__).parents[2] / "docs" / "postgres.md"
STEPS = ("administrator", "owner", "writer", "reader")
SCHEMA = "memories"
"""Schema of the documented statements."""


def documented() -> dict[str, str]:
    """Return the statements under "Rights" by who they are for: those of an administrator, then of each role."""
    [rights] = re.findall(r"^## Rights$(.*?)^## ", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return dict(zip(STEPS, re.findall(r"^```sql\n(.*?)^```", rights, re.MULTILINE | re.DOTALL), strict=True))


def grant_as_documented(url: str, step: str, names: Mapping[str, str]) -> None:
    """Run the statements of a step, with these names in place of the documented roles."""
    statements = documented()[step]
    for role, name in names.items():
        statements = statements.replace(f"console_{role}", sql.Identifier(name).as_string(None))
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements.split(";\n"):
            if statement.strip():
                connection.execute(statement.encode())


def logged_in(url: str, role: str) -> str:
    """Return the URL of the same database for a session that the role begins itself."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{role.replace(' ', '%20')}@{rest.partition('@')[2]}"
