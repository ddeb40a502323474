"""What a person is told before the model before is gone back to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.screens.corpus import opened
from vestige_tui.jobs import reembed
from vestige_tui.jobs.reembed import Estimate
from vestige_tui.model import ModelSignature
from vestige_tui.screens.registry import RegistryPlace
from vestige_tui.store.service import Store


@pytest.mark.parametrize(
    ("memories", "said"),
    [
        (1, "1 memory written or edited since gets a vector of it."),
        (2, "2 memories written or edited since get a vector of it."),
    ],
)
async def test_how_many_get_a_vector(corpus: Path, monkeypatch: pytest.MonkeyPatch, memories: int, said: str) -> None:
    async def estimated(store: Store) -> Estimate:
        now, then = ModelSignature("now", 64), ModelSignature("then", 32)
        return Estimate("rollback", now, then, memories, None, None, 0, None)

    monkeypatch.setattr(reembed, "estimate_rollback", estimated)
    async with opened(corpus) as console:
        await console.press("f6")
        await console.until(lambda: isinstance(console.app.screen, RegistryPlace))
        place = console.app.screen
        assert isinstance(place, RegistryPlace)
        place.action_roll_back()
        await console.until(said)
