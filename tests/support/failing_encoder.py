"""Encoder process that fails on some texts: ``python -m tests.support.failing_encoder``, started as a job starts it.

A text with ``undone`` raises, one with ``hollow`` gets a vector that is not finite, and ``deadly`` ends the process.
Each process appends the name of its model to the file that ``VESTIGE_TEST_ENCODERS`` names, and every text that it is
given to the one that ``VESTIGE_TEST_TEXTS`` names.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vestige_tui.embedding import encoder_pool
from vestige_tui.embedding.models import Embedder, TestEmbedder

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import Vector

FAILING_ENCODER = (sys.executable, "-m", "tests.support.failing_encoder")
LOG_VARIABLE = "VESTIGE_TEST_ENCODERS"
TEXTS_VARIABLE = "VESTIGE_TEST_TEXTS"


class FailingEmbedder(TestEmbedder):
    __test__ = False

    def embed(self, texts: Sequence[str], *, query: bool = False) -> list[Vector]:
        vectors = super().embed(texts, query=query)
        _append(TEXTS_VARIABLE, *texts)
        for place, text in enumerate(texts):
            if "deadly" in text:
                os._exit(1)
            if "undone" in text:
                raise RuntimeError("no such token")
            if "hollow" in text:
                vectors[place] = vectors[place] * float("nan")
        return vectors


def load(name: str | None = None, *, dimension: int | None = None, threads: int | None = None) -> Embedder:
    _append(LOG_VARIABLE, str(name))
    return FailingEmbedder(dimension or 8)


def _append(variable: str, *lines: str) -> None:
    if log := os.environ.get(variable):
        with Path(log).open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)


def encoded_texts(log: Path) -> list[str]:
    """Return every text that an encoder was given, also again after a failure."""
    return log.read_text(encoding="utf-8").splitlines()


def started_models(log: Path) -> list[str]:
    """Return the model of each process that has been started."""
    return log.read_text(encoding="utf-8").splitlines() if log.exists() else []


if __name__ == "__main__":
    sys.exit(encoder_pool.serve(load))
