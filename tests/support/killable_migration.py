"""Migration of a store, killed at its n-th call of a database: ``python -m tests.support.killable_migration URL N``.

Prints the number of calls where it is not killed.
"""

from __future__ import annotations

import asyncio
import sys

from tests.support.killable_worker import Calls, count_calls
from vestige_tui.store.open import open_store


async def migrate(url: str) -> None:
    async with open_store(url, create=True):
        pass


if __name__ == "__main__":
    counter = Calls()
    count_calls(counter)
    counter.die_at = int(sys.argv[2])
    asyncio.run(migrate(sys.argv[1]))
    print(counter.count)
