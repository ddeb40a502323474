"""Protocols of an inspection, by which the doctor examines a database beyond its named queries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    import sqlite3

    from vestige_tui.core.doctor import TableNotShown

T = TypeVar("T")


class Inspection(Protocol):
    """Examination of a database by the doctor, beyond the named queries."""

    async def stale_texts(self, seconds: float) -> tuple[str, ...] | None:
        """Return the memories that the text index has with other words, and entries without one; None if too slow."""
        ...

    async def other_tables(self) -> tuple[TableNotShown, ...]:
        """Return the tables beside those of the console."""
        ...

    def exposed_files(self) -> Sequence[str]:
        """Return the names of the files that every user of the machine can read; none on a server."""
        ...

    def protect_files(self) -> None:
        """Let only the owner read and write these files. Raises Refused."""
        ...


class InspectedFile(Protocol):
    """Store in a SQLite file, as its inspection queries it."""

    foreign: bool
    """Whether the tables are those of a Vestige server."""

    @property
    def look_mode(self) -> str:
        """Mode of another connection that only reads the file."""
        ...

    @property
    def view_script(self) -> str:
        """Views over the tables of a Vestige file; empty for a store of our own."""
        ...

    async def fetch(self, name: str, params: Mapping[str, Any] | None = None) -> list[Mapping[str, Any]]:
        """Return the rows of a named query."""
        ...

    async def run(self, name: str, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run work on a read-only connection, timed under this name."""
        ...


class InspectedServer(Protocol):
    """Store on a server, as its inspection queries it."""

    async def fetch(self, name: str, params: Mapping[str, Any] | None = None) -> list[Mapping[str, Any]]:
        """Return the rows of a named query."""
        ...

    async def ask(self, name: str, statement: bytes | str) -> list[Mapping[str, Any]]:
        """Return the rows of a read-only statement, timed as ``name``."""
        ...
