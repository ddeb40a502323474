"""A backup or restore in a process of its own, which kills itself at one of its steps: run as a module."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from vestige_tui.core.backups import BackupStep
from vestige_tui.transfer.backups import back_up, restore


def main() -> None:
    verb, file, url, last = *sys.argv[1:4], int(sys.argv[4])
    steps = 0

    def tell(step: BackupStep) -> None:
        nonlocal steps
        steps += 1
        if steps == last:
            os.kill(os.getpid(), signal.SIGKILL)

    asyncio.run(back_up(url, file, tell) if verb == "backup" else restore(file, url, tell))
    print(steps)


if __name__ == "__main__":
    main()
