"""Encoders as a job starts them, with a model that some texts are too much for: ``python -m tests.support.fragile``.

What a text must hold for it: ``undone`` raises, ``hollow`` gives numbers that are none, ``deadly`` ends the process.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vestige_tui.embedding import encoder_pool
from vestige_tui.embedding.models import Embedder, TestEmbedder

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import Vector


class Fragile(TestEmbedder):
    __test__ = False

    def embed(self, texts: Sequence[str], *, query: bool = False) -> list[Vector]:
        found = super().embed(texts, query=query)
        for place, text in enumerate(texts):
            if "deadly" in text:
                os._exit(1)
            if "undone" in text:
                raise RuntimeError("no such token")
            if "hollow" in text:
                found[place] = found[place] * float("nan")
        return found


def load(name: str | None = None, *, dimension: int | None = None, threads: int | None = None) -> Embedder:
    return Fragile(dimension or 8)


if __name__ == "__main__":
    vars(encoder_pool)["load_embedder"] = load
    sys.exit(encoder_pool.serve())
