"""Protocol of an inspection, by which the doctor examines a database beyond its named queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from vestige_tui.core.doctor import TableNotShown


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
