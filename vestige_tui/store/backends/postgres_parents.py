"""Rows without a parent, which a foreign key forbids, written again by the undo of a fix of the doctor.

A role that may set ``session_replication_role`` writes them past the foreign keys. The owner of the tables drops the
foreign keys and adds them again within the transaction: they then hold for every later write, but not for these rows.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from psycopg import errors, sql

from vestige_tui.core.errors import Refused
from vestige_tui.core.log import log_suppressed
from vestige_tui.store.schema.named_sql import load

if TYPE_CHECKING:
    from psycopg import AsyncConnection

log = logging.getLogger(__name__)


class ForeignKeys:
    """Foreign keys of the tables that the search path of one connection finds."""

    def __init__(self, connection: AsyncConnection[dict[str, Any]]) -> None:
        self._connection = connection

    @asynccontextmanager
    async def lifted(self, tables: Sequence[str]) -> AsyncIterator[None]:
        """Allow rows of these tables without a parent in the block, which must be within a transaction.

        Raises Refused for a role that neither owns the tables nor may set ``session_replication_role``.
        """
        try:
            async with self._connection.transaction():
                await self._run("lift_parents")
        except errors.InsufficientPrivilege as error:
            log_suppressed(log, "lift the checks of foreign keys", error)
            async with self._dropped(tables):
                yield
            return
        yield
        await self._run("demand_parents")

    @asynccontextmanager
    async def _dropped(self, tables: Sequence[str]) -> AsyncIterator[None]:
        keys = await self._keys(tables)
        if not all(key["is_owned"] for key in keys):
            raise Refused(
                "Undoing this fix writes rows without a parent row, and only the owner of the tables or a superuser "
                "may do that; nothing was changed. Connect as the owner of the tables and undo it there."
            )
        for key in keys:
            await self._run("drop_parent", key)
        yield
        for key in keys:
            await self._run("add_parent", {**key, "definition": key["definition"].removesuffix(" NOT VALID")})
        await self._note_kept([key for key in keys if key["is_kept"]])

    async def note_kept(self, tables: Sequence[str]) -> None:
        """Note of each foreign key that an undo has left in doubt whether all rows keep it now, if the role may."""
        keys = await self._keys(tables)
        await self._note_kept([key for key in keys if key["is_owned"] and not key["is_kept"]])

    async def _note_kept(self, keys: Sequence[dict[str, Any]]) -> None:
        for key in keys:
            try:
                async with self._connection.transaction():
                    await self._run("validate_parent", key)
            except errors.ForeignKeyViolation as error:
                log_suppressed(log, "validate a foreign key", error)

    async def _keys(self, tables: Sequence[str]) -> list[dict[str, Any]]:
        statement = load("postgres", "rows")["list_parents"]
        cursor = await self._connection.execute(statement.encode(), {"tables": sorted(set(tables))})
        return await cursor.fetchall()

    async def _run(self, name: str, key: dict[str, Any] | None = None) -> None:
        statement = load("postgres", "rows")[name]
        if key is not None:
            quoted = {**key, "name": sql.Identifier(key["name"]).as_string(None)}
            for part in ("place", "name", "definition"):
                statement = statement.replace(f"{{{part}}}", quoted[part])
        # Without parameters: a name may contain a percent sign.
        await self._connection.execute(statement.encode())
