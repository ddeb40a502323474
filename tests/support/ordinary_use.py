"""Ordinary use of a store by the program itself: import, search, review, re-embedding, console, and a library call."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.terminal import Terminal, console
from vestige_tui.embedding.runtime import NO_TELEMETRY

MEMORIES = 70
"""Number of memories: enough that two encoder processes share a re-embedding."""
OWN_FOLDERS = (".vestige", ".local/share/vestige-tui", ".local/state/vestige-tui", ".cache/vestige-tui")
"""Folders of this program in a home, where no XDG variable moves them."""
TIMEOUT_SECONDS = 150
FIRST = str(uuid.UUID(int=1))
LIBRARY_CALL = """
import asyncio, sys
from vestige_tui import SearchQuery, open_store

async def search():
    async with open_store(sys.argv[1]) as store:
        assert (await store.search(SearchQuery(text="rotate the keys", mode="vector")))[0].vector_rank == 1

asyncio.run(search())
"""


def bare_env(home: Path) -> dict[str, str]:
    """Return an environment with an empty home, in which nothing has switched telemetry off."""
    home.mkdir(exist_ok=True)
    dropped = {*NO_TELEMETRY, "FASTEMBED_CACHE_PATH"}
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in dropped and not name.startswith(("XDG_", "HF_", "VESTIGE_", "ORT_"))
    }
    return kept | {"HOME": str(home)}


def steps(store: str, folder: Path) -> list[list[str]]:
    """Return the commands, in their order; ``folder`` gets the file that is imported."""
    lines = folder / "memories.jsonl"
    memories = ({"id": str(uuid.UUID(int=n)), "content": f"Note {n}: rotate the keys."} for n in range(1, MEMORIES + 1))
    lines.write_text("".join(json.dumps(memory) + "\n" for memory in memories))
    ours = [sys.executable, "-m", "vestige_tui", "--store", store]
    return [
        [*ours, "schema", "up"],
        [*ours, "import", str(lines)],
        [*ours, "search", "how often do we rotate keys", "--mode", "vector"],
        [*ours, "review", FIRST, "good"],
        [*ours, "migrate", "reembed", "--model", "all-MiniLM-L6-v2", "--dimension", "128", "--yes"],
        [sys.executable, "-c", LIBRARY_CALL, store],
    ]


def run_step(command: Sequence[str], env: Mapping[str, str], prefix: Sequence[str] = ()) -> None:
    """Run one command. Raises AssertionError with its output where it fails."""
    done = subprocess.run([*prefix, *command], env=env, capture_output=True, timeout=TIMEOUT_SECONDS, check=False)
    assert done.returncode == 0, f"{command} ended with {done.returncode}: {done.stderr.decode(errors='replace')}"


def search_in_console(store: str, env: Mapping[str, str], prefix: Sequence[str] = ()) -> None:
    """Open the console, search by vector, and quit."""
    with Terminal([*prefix, *console(store)], env=env) as terminal:
        terminal.until(f"{MEMORIES} memories")
        terminal.send("rotate the keys")
        terminal.until("Note 1:")
        terminal.until("vector #1")
        terminal.press("ctrl+q")
        assert terminal.wait() == 0


def foreign_files(home: Path) -> list[str]:
    """Return each file and folder below a home that is neither in a folder of this program nor above one."""
    paths = (path.relative_to(home) for path in home.rglob("*"))
    own = tuple(map(Path, OWN_FOLDERS))
    return sorted(
        str(path)
        for path in paths
        if not any(path.is_relative_to(folder) or folder.is_relative_to(path) for folder in own)
    )
