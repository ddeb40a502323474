"""What a person is told before the model before is gone back to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.console import open_console
from vestige_tui.core.embeddings import ModelSignature
from vestige_tui.reembed import plan
from vestige_tui.reembed.plan import Estimate
from vestige_tui.store.store import Store
from vestige_tui.tui.registry.place import RegistryPlace


@pytest.mark.slow
@pytest.mark.parametrize(
    ("memories", "said"),
    [
        (1, "1 memory added or edited since then gets a new vector."),
        (2, "2 memories added or edited since then get a new vector."),
    ],
)
async def test_how_many_get_a_vector(corpus: Path, monkeypatch: pytest.MonkeyPatch, memories: int, said: str) -> None:
    async def estimated(store: Store) -> Estimate:
        now, then = ModelSignature("now", 64), ModelSignature("then", 32)
        return Estimate("rollback", now, then, memories, None, None, 0, None)

    monkeypatch.setattr(plan, "estimate_rollback", estimated)
    async with open_console(corpus) as console:
        await console.press("f6")
        await console.until(lambda: isinstance(console.app.screen, RegistryPlace))
        place = console.app.screen
        assert isinstance(place, RegistryPlace)
        place.action_roll_back()
        await console.until(said)
