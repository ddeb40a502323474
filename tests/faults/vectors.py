"""Vectors that no index takes, blobs that are no vectors, and an encoder that dies or changes."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from contextlib import closing

import numpy as np

from tests.faults.damaged_rows import copy_damaged
from tests.faults.lab import Lab, answer, job_of, refusal
from tests.faults.registry import Attempt, FaultResult, fault, summarize
from tests.faults.rows import against_acknowledged, texts
from tests.support.full_store import MODEL, fill
from vestige_tui.core.embeddings import ModelSignature
from vestige_tui.core.errors import VestigeError
from vestige_tui.core.memories import Draft
from vestige_tui.store.open import open_store

WIDTH = 16
BAD_VECTORS = {
    "too short": np.ones(WIDTH - 1),
    "too long": np.ones(WIDTH + 1),
    "not a number": np.full(WIDTH, np.nan),
    "infinite": np.full(WIDTH, np.inf),
}
ODD_VECTORS = {"zero": np.zeros(WIDTH), "too small for float32": np.full(WIDTH, 1e-46)}


async def _insert_vectors(url: str) -> tuple[list[str], list[str]]:
    """Insert memories with bad vectors, which are refused, and odd ones; return the stored texts and the refusals."""
    refusals, stored = [], []
    async with open_store(url, create=True) as store:
        await store.models.register(ModelSignature(MODEL.name, WIDTH, MODEL.hash))
        for name, vector in {**BAD_VECTORS, **ODD_VECTORS}.items():
            try:
                await store.insert(Draft(name), embedding=vector.astype(np.float32))
                stored.append(name)
            except VestigeError as error:
                refusals.append(error.message)
    return stored, refusals


@fault(12, "vector of a wrong width, or not finite, or zero")
def bad_vectors(lab: Lab) -> FaultResult:
    source, attempts = lab.path("source.db"), []
    asyncio.run(fill(source, 20, dimension=WIDTH))
    bad = [np.ones(WIDTH - 1), np.full(WIDTH, np.nan), np.full(WIDTH, np.inf)]
    with closing(sqlite3.connect(source)) as connection, connection:
        for seq, vector in enumerate([*bad, np.zeros(WIDTH)], start=3):
            blob = vector.astype("<f4").tobytes()
            connection.execute("UPDATE node_embeddings SET embedding = ? WHERE seq = ?", (blob, seq))
    with lab.database() as server, lab.database() as other:
        for url in (server, f"sqlite:{lab.path('inserted.db')}"):
            stored, refusals = asyncio.run(_insert_vectors(url))
            assert stored == list(ODD_VECTORS), f"stored: {stored}"
            attempts += [Attempt(each) for each in refusals]
            attempts.append(Attempt(refusals[0], *against_acknowledged(stored, texts(url))))
        for target in (other, f"sqlite:{lab.path('copied.db')}"):
            attempts += copy_damaged(lab, source, target, failed=len(bad))
    return summarize(attempts)


@fault(13, "blob that is no vector")
def bad_blobs(lab: Lab) -> FaultResult:
    source, attempts = lab.path("source.db"), []
    asyncio.run(fill(source, 20, dimension=WIDTH))
    whole = np.arange(1, WIDTH + 1, dtype="<f4").tobytes()
    swapped = np.full(WIDTH, np.nan, dtype=">f4").tobytes()[:-4] + b"\xff\xff\x7f\x7f"
    blobs: list[object] = [whole[:-1], whole[: len(whole) // 2], b"", whole + b"\0", "a text", swapped + whole]
    with closing(sqlite3.connect(source)) as connection, connection:
        for seq, blob in enumerate(blobs, start=3):
            connection.execute("UPDATE node_embeddings SET embedding = ? WHERE seq = ?", (blob, seq))
    with lab.database() as server:
        for target in (server, f"sqlite:{lab.path('target.db')}"):
            attempts += copy_damaged(lab, source, target, failed=len(blobs))
    return summarize(attempts)
