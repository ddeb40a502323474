"""Take the README's screenshots of the sample store: ``python screenshots/take.py`` (extra ``pictures``).

Everything on them is real: the real model fills the store, a worker runs the copy into an embedded PostgreSQL. Fira
Code and Noto Sans CJK are used if installed.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vestige_tui.core.jobs import Job

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

COPY_COUNT = 60
"""Repetitions of the sample corpus in the copied store, so that the copy runs long enough to show."""


async def shoot(
    url: str, place: str, name: str, keys: Sequence[str], size: tuple[int, int] = (120, 40), theme: str = "vestige-dark"
) -> None:
    """Open the console on a store, go to a place, press keys, and take a screenshot."""
    from tests.support.pictures import picture
    from vestige_tui.config.settings import Config
    from vestige_tui.tui.app import VestigeApp

    app = VestigeApp(Config(theme=theme), url)
    async with app.run_test(size=size) as pilot:
        while app.session.store is None or app.session.facts.memories is None or app.session.embedders.state != "ready":
            await pilot.pause(0.05)
        if place != "search":
            app.switch_mode(place)
        await pilot.pause(0.5)
        for key in keys:
            if key.startswith("type "):
                for character in key.removeprefix("type "):
                    await pilot.press({" ": "space"}.get(character, character))
                await pilot.pause(1.0)
            elif key == "wait for a running job":
                while not any(job.in_flight and 0.35 < _done(job) < 0.85 for job in app.session.jobs):
                    await pilot.pause(0.02)
            else:
                await pilot.press(key)
        await pilot.pause(0.6)
        await picture(pilot, HERE / f"{name}.png")
        print(f"{name}.png")


def _done(job: Job) -> float:
    tables = job.progress.tables.values()
    total = sum(table.total or 0 for table in tables)
    return sum(table.read for table in tables) / total if total else 0.0


async def make_demo(path: Path) -> str:
    from vestige_tui.sample_store import fill
    from vestige_tui.store.open import open_store

    url = f"sqlite:{path}"
    async with open_store(url, create=True) as store:
        await fill(store, datetime.now(UTC))
    return url


async def make_large(demo: str, path: Path) -> str:
    """Create a store with many copies of the sample corpus, including its vectors."""
    import numpy as np

    from vestige_tui.core.memories import Draft, Filter
    from vestige_tui.store.open import open_store
    from vestige_tui.store.schema.rows import as_vector

    url = f"sqlite:{path}"
    async with open_store(demo, read_only=True) as source, open_store(url, create=True) as target:
        model = await source.models.registered()
        assert model is not None
        await target.models.register(model)
        memories = (await source.page(Filter(superseded=True), limit=1_000)).items
        vectors: list[np.ndarray] = []
        for memory in memories:
            rows = await source.backend.fetch("get_embedding", {"id": memory.id})
            vectors.append(as_vector(rows[0]["embedding"]))
        for number in range(COPY_COUNT):
            drafts = [
                Draft(
                    f"{memory.content} ({number})",
                    node_type=memory.node_type,
                    tags=memory.tags,
                    domains=memory.domains,
                    codebase=memory.codebase,
                    created_at=memory.created_at,
                    scheduling=memory.scheduling,
                )
                for memory in memories
            ]
            await target.memories.insert_many(drafts, embeddings=vectors)
    return url


async def main() -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        # Titles shorten paths below the home directory, and the user's own jobs must not appear.
        home = Path(folder) / "home"
        home.mkdir()
        os.environ.update(HOME=str(home), XDG_STATE_HOME=str(home / "state"), XDG_DATA_HOME=str(home / "data"))
        demo = await make_demo(home / "demo.db")
        question = "type how do we rotate the signing keys"
        await shoot(demo, "search", "search", [question, "down"])
        await shoot(demo, "search", "search-light", [question, "down"], theme="vestige-light")
        await shoot(demo, "search", "search-narrow", [question, "down"], size=(60, 20))
        await shoot(demo, "browse", "browse", ["j", "j", "j"])
        await shoot(demo, "review", "review", ["space"])
        await shoot(demo, "registry", "registry", [])
        await shoot(demo, "store", "store", [])
        from vestige_tui.jobs.start import JobRequest, start

        large = await make_large(demo, home / "agents.db")
        watching = asyncio.create_task(shoot(demo, "jobs", "jobs", ["wait for a running job"]))
        await asyncio.sleep(3)
        await start(JobRequest("copy", large, f"pgembed:{home / 'postgres'}"))
        await watching


if __name__ == "__main__":
    asyncio.run(main())
