"""Parts of the doctor that a server answers in its own way: its text index, and tables that are not shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from vestige_tui.core.doctor import TableNotShown
from vestige_tui.store.backends.postgres_rows import statement_on
from vestige_tui.store.schema.named_sql import created_tables

if TYPE_CHECKING:
    from vestige_tui.store.backends.protocol import Params, Row


class InspectedServer(Protocol):
    """Store on a server, as its inspection queries it."""

    async def fetch(self, name: str, params: Params | None = None) -> list[Row]:
        """Return the rows of a named query."""
        ...

    async def ask(self, name: str, statement: bytes | str) -> list[Row]:
        """Return the rows of a read-only statement, timed as ``name``."""
        ...


class PostgresInspection:
    """Inspection of a store on a server for the doctor."""

    def __init__(self, backend: InspectedServer) -> None:
        self._backend = backend

    async def stale_texts(self, seconds: float) -> tuple[str, ...] | None:
        """Return the memories whose words the text index does not have; the caller limits the time."""
        return tuple(str(row["id"]) for row in await self._backend.fetch("list_stale_texts"))

    async def other_tables(self) -> tuple[TableNotShown, ...]:
        """Return the tables of the schema beside those of the store, with the rows that the role may count."""
        records = await self._backend.fetch("list_other_tables", {"shown": sorted(created_tables("postgres"))})
        return tuple(
            [
                TableNotShown(name := str(row["name"]), await self._count(name) if row["readable"] else None)
                for row in records
            ]
        )

    async def _count(self, table: str) -> int:
        [row] = await self._backend.ask("count_rows", statement_on(table, "count_rows"))
        return int(row["n"])

    def exposed_files(self) -> Sequence[str]:
        """Return nothing: the files are the server's."""
        return ()

    def protect_files(self) -> None:
        """Do nothing: the files are the server's."""
