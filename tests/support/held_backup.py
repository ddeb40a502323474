"""A backup that stops at its first step until a line is typed: run as a module, in a process of its own."""

from __future__ import annotations

import asyncio
import sys

from vestige_tui.core.backups import BackupStep
from vestige_tui.transfer.backups import back_up


def main() -> None:
    url, file = sys.argv[1:3]
    steps = 0

    def hold(step: BackupStep) -> None:
        nonlocal steps
        steps += 1
        if steps == 1:
            print("held", flush=True)
            sys.stdin.readline()

    asyncio.run(back_up(url, file, hold))
    print("written")


if __name__ == "__main__":
    main()
