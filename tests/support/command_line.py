"""Commands run as a user runs them (arguments in, status and two streams out), and a small store for them."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

from vestige_tui.core.links import Edge
from vestige_tui.core.memories import Draft
from vestige_tui.core.reviews import Rating, Review, Scheduling
from vestige_tui.core.scheduling import review
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.embedding.models import Embedder
from vestige_tui.store.open import open_store

HOSTILE = "\x1b]52;c;ZXZpbA==\x07\x1b[2J\x9b31m \u202edlrow [bold]x[/bold] \x00 \x7f \ud800 evil"


SENTENCES = (
    "Signing keys rotate every 90 days; the old public key stays in the JWKS for one more period.",
    "The nightly backup runs after the retention job, at 03:10 UTC.",
    "Deploys go out behind a flag and are rolled back by turning it off.",
    "Postgres connections are pooled by pgbouncer in transaction mode.",
    "The search index is rebuilt every Sunday.",
    "Old note: signing keys rotate once a year.",
)


FORBIDDEN_CHARACTERS = {*map(chr, range(32)), "\x7f", *map(chr, range(0x80, 0xA0)), "\u202e", "\u2028", "\ud800"} - {
    "\n"
}


def sample_id(position: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"sample {position}"))


@dataclass(frozen=True, slots=True)
class CommandResult:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Command: TypeAlias = Callable[..., CommandResult]


Answer: TypeAlias = Callable[[str], None]


def run_process(
    *arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None, encoding: str = "utf-8"
) -> CommandResult:
    """Run the program as a process of its own, whose streams have this encoding."""
    done = subprocess.run(
        [sys.executable, "-m", "vestige_tui", *arguments],
        input=stdin,
        capture_output=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONWARNINGS": "error", **(env or {})},
    )
    return CommandResult(
        done.returncode, done.stdout.decode(encoding, "backslashreplace"), done.stderr.decode(encoding, "replace")
    )


async def fill_sample(url: str, embedder: Embedder | None = None) -> None:
    """Fill a store with six memories and their vectors: 0 and 1 are due and linked, 0 replaces 5."""
    now = datetime.now(UTC)
    async with open_store(url, create=True, embedders=EmbedderSource(embedder=embedder)) as store:
        drafts = []
        log = []
        for position, text in enumerate(SENTENCES):
            made = now - timedelta(days=60 - position)
            state: Scheduling | None = None
            if position < 2:
                at = now - timedelta(days=40 - position)
                state = review(None, Rating.GOOD, at)
                log.append(Review(position + 1, sample_id(position), at, int(Rating.GOOD), Scheduling(), state))
            drafts.append(
                Draft(
                    text,
                    sample_id(position),
                    ("decision", "procedure")[position % 2],
                    tags=("ops", "security") if position == 0 else ("ops",),
                    domains=("infra",),
                    codebase="auth" if position in (0, 5) else None,
                    metadata={"source": "sample", "n": position},
                    created_at=made,
                    scheduling=state,
                )
            )
        await store.memories.insert_many(drafts)
        await store.reviews.restore(log)
        await store.links.add(Edge(sample_id(0), sample_id(1), "related", 0.8))
        await store.links.supersede(sample_id(5), sample_id(0))
        store.embedders.close()


def copy_store(source: Path, target: Path) -> Path:
    """Copy a SQLite store with its write-ahead log."""
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
    return target


class TtyStream(io.StringIO):
    """Terminal of the width that COLUMNS says; interprets the controls that the program writes."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True

    @property
    def lines(self) -> list[str]:
        lines, row = [""], 0
        for piece in self.getvalue().replace("\x1b[K", "\x00").replace("\x1b[A", "\x01"):
            if piece == "\n":
                row += 1
                lines += [""] * (row + 1 - len(lines))
            elif piece == "\x01":
                row -= 1
            elif piece == "\x00":
                lines[row] = ""
            elif piece != "\r":
                lines[row] += piece
        return lines
