"""A command of the program, run on the console's store in a process of its own: export and import."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import unquote

from vestige_tui.core.errors import Refused
from vestige_tui.core.server_url import read_server_url
from vestige_tui.jobs.known_stores import without_password

if TYPE_CHECKING:
    from vestige_tui.config.settings import Config

LINES_FAILED_STATUS = 4
"""Exit status of a command that is done, with lines that failed; its output counts them."""


async def run_command(config: Config, url: str, words: Sequence[str], env: Mapping[str, str] = os.environ) -> str:
    """Run a command on the store at ``url``; return what it prints. Raises Refused with its error.

    A password goes by the environment: the arguments of a process can be read by every user. The process ends with the
    wait for it.
    """
    options = ["--store", without_password(url)]
    if config.path is not None and config.path.exists():
        options += ["--config", str(config.path)]
    password = _password_of(url)
    secret = {"PGPASSWORD": password} if password else {}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "vestige_tui", *options, *words),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**env, **secret},
    )
    try:
        out, err = await process.communicate()
    except BaseException:
        process.terminate()
        await process.wait()
        raise
    if process.returncode not in (0, LINES_FAILED_STATUS):
        lines = err.decode("utf-8", "replace").strip().splitlines()
        raise Refused(lines[-1] if lines else f"The command ended with status {process.returncode}.")
    return out.decode("utf-8", "replace").strip()


def _password_of(url: str) -> str:
    """Return the password of a server's URL, decoded; empty where it has none."""
    parts = read_server_url(url)
    if parts is None:
        return ""
    spans = [span for name, span in parts.params if name == "password"]
    first, last = parts.password or (spans[0] if spans else (0, 0))
    return unquote(url[first:last])
