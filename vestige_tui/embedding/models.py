"""Embedding models: the protocol of an embedder, names of models, and one for tests."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from vestige_tui.core.embeddings import ModelSignature

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import Vector


DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
DEFAULT_DIMENSION = 384
BATCH = 4
"""Texts encoded at once: on few cores larger batches are slower, because short texts are padded to the longest."""
MAX_TOKENS = 512
"""Limit of a text in every model: the memory of a model grows with the square of the length."""
MAX_CHARACTERS = 64_000
"""Rarely exceeded by 512 tokens: a tokenizer keeps no ordinary word of more than 100 characters."""


class Embedder(Protocol):
    """Model that turns texts into unit vectors. ``hash`` is the SHA-256 over its files."""

    @property
    def name(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    @property
    def hash(self) -> str: ...

    def embed(self, texts: Sequence[str], *, query: bool = False) -> list[Vector]:
        """Return one float32 vector of shape (dimension,) for each text, in order; memory use is bounded."""
        ...


def signature(embedder: Embedder) -> ModelSignature:
    """Return an embedder's signature, as the registry of a store holds it."""
    return ModelSignature(embedder.name, embedder.dimension, embedder.hash)


def same_model(one: str, other: str) -> bool:
    """Check whether two names are one model: ``nomic-ai/nomic-embed-text-v1.5`` and ``nomic-embed-text-v1.5`` are."""
    return short_name(one).casefold() == short_name(other).casefold()


def short_name(name: str) -> str:
    """Return a model's name without its organisation."""
    return name.strip().rsplit("/", 1)[-1]


TEST_MODEL = re.compile(r"test-embedder-([1-9]\d{0,3})")


class TestEmbedder:
    """Deterministic embedder of any width: texts that share words are near. No model, no file."""

    __test__ = False  # not a test case

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self.name = f"test-embedder-{dimension}"
        self.hash = hashlib.sha256(self.name.encode()).hexdigest()

    def embed(self, texts: Sequence[str], *, query: bool = False) -> list[Vector]:
        import numpy as np

        vectors: list[Vector] = []
        for text in texts:
            total = np.zeros(self.dimension, dtype=np.float32)
            for word in re.findall(r"\w+", text.casefold()) or [""]:
                total += _direction(word, self.dimension)
            norm = float(np.linalg.norm(total))
            vectors.append(total / np.float32(norm) if norm else _direction("", self.dimension))
        return vectors


@lru_cache(maxsize=50_000)
def _direction(word: str, dimension: int) -> Vector:
    import numpy as np

    seed = int.from_bytes(hashlib.sha256(word.encode("utf-8", "replace")).digest()[:8], "big")
    vector = np.random.default_rng(seed).standard_normal(dimension).astype(np.float32)
    return vector / np.linalg.norm(vector)
