"""Rows of domains that this program writes are copied whole, and an undo in the source is found by a comparison."""

from __future__ import annotations

from pathlib import Path

from tests.support.comparison import compare, differences
from tests.support.jobs import run_here
from vestige_tui.core.bulk import DomainMove
from vestige_tui.core.memories import Draft, Filter
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.embedding.models import TestEmbedder
from vestige_tui.jobs.start import JobRequest
from vestige_tui.store.open import open_store
from vestige_tui.store.schema import rows

NAMES = ["auth", "infra"]


async def test_a_copy_has_the_domains_of_its_source(tmp_path: Path, target: str) -> None:
    source, embedders = f"sqlite:{tmp_path / 'source.db'}", EmbedderSource(embedder=TestEmbedder(8))
    async with open_store(source, create=True, embedders=embedders) as store:
        for number in range(6):
            await store.insert(Draft(f"Memory {number}.", domains=("auth",) if number % 2 else ("login", "infra")))
        for name in ("auth", "infra"):
            await store.domains.put(name, label=f"The {name}", terms=["keys"])
        merged = DomainMove("merge_domains", ("login",), "auth")
        await store.domains.apply(await store.domains.preview(merged))
        originals = [
            rows.domain_with_centroid(row) for row in await store.backend.fetch("get_domains", {"names": NAMES})
        ]
    await run_here(JobRequest("copy", source, target, {"verify": False}))
    assert differences(await compare(source, target)) == {}
    async with open_store(target, embedders=embedders) as store:
        copies = [rows.domain_with_centroid(row) for row in await store.backend.fetch("get_domains", {"names": NAMES})]
        assert copies == originals
        for copy, original in zip(copies, originals, strict=True):
            assert copy.centroid is not None
            assert original.centroid is not None
            assert copy.centroid.tobytes() == original.centroid.tobytes()
        memory = (await store.page(Filter(domains=("infra",)), limit=1)).items[0]
        assert len((await store.domains.classify(memory.id)).scores) == 2
    async with open_store(source, embedders=embedders) as store:
        await store.journal.undo()
    # The undo took the merge back on three memories and in one row.
    assert differences(await compare(source, target)) == {"memories": (3, 0, 0), "domains": (1, 0, 0)}
    embedders.close()
