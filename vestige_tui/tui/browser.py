"""Opening a web page in the browser of this machine, from a process of its own that cannot touch the terminal."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import Mapping

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 10.0
"""A browser that still runs after this time has been opened."""
_OPEN = "import sys, webbrowser; sys.exit(0 if webbrowser.open(sys.argv[1]) else 1)"


def is_remote(env: Mapping[str, str] = os.environ) -> bool:
    """Check whether the console runs over ssh, where a browser would open on the other machine."""
    return bool(env.get("SSH_CONNECTION"))


async def open_in_browser(address: str, env: Mapping[str, str] = os.environ) -> bool:
    """Open an address of a web page; return whether a browser took it."""
    return await asyncio.to_thread(_open, address, env)


def _open(address: str, env: Mapping[str, str]) -> bool:
    # Without a terminal: a browser may write to it, and one in text mode would take it over.
    try:
        done = subprocess.run(
            (sys.executable, "-I", "-c", _OPEN, address),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE_SECONDS,
            start_new_session=True,
            env=env,
        )
    except subprocess.TimeoutExpired:
        return True
    except OSError as error:
        log.info("No browser could be started: %s", type(error).__name__)
        return False
    return done.returncode == 0
