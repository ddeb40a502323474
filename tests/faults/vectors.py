"""Vectors that no index takes, blobs that are no vectors, and an encoder that dies or changes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import time
from contextlib import closing, suppress

import numpy as np

from tests.faults.damaged_rows import copy_damaged
from tests.faults.lab import PROGRAM_SECONDS, Lab
from tests.faults.registry import Attempt, FaultResult, fault, summarize
from tests.faults.rows import against_acknowledged, texts
from tests.support.attempts import change
from tests.support.full_store import MODEL, fill
from tests.support.kill_points import KILLED_STATUS, Workers, killable_workers
from vestige_tui.core.embeddings import ModelSignature
from vestige_tui.core.errors import VestigeError
from vestige_tui.core.memories import Draft
from vestige_tui.embedding.models import TestEmbedder
from vestige_tui.jobs.start import JobRequest, start
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


async def _store_to_reembed(url: str, count: int) -> None:
    async with open_store(url, create=True) as store:
        embedder = TestEmbedder(WIDTH)
        await store.models.register(ModelSignature(embedder.name, WIDTH, embedder.hash))
        drafts = [Draft(f"memory {number} that gets another vector") for number in range(count)]
        await store.memories.insert_many(drafts, embeddings=embedder.embed([draft.content for draft in drafts]))


def _kill_encoders(lab: Lab, kills: int, process: subprocess.Popen[bytes]) -> int:
    """Kill encoder processes of a running command, one after the other; return how many."""
    killed: set[int] = set()
    while process.poll() is None and len(killed) < kills:
        encoders = {pid for pid, command in lab.processes() if "vestige_tui.embedding.encoder_pool" in command}
        for pid in sorted(encoders - killed)[:1]:
            # It is killed at work, not while it loads.
            time.sleep(0.2)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            killed.add(pid)
        time.sleep(0.02)
    return len(killed)


def _vectors_by_width(url: str) -> dict[int, int]:
    async def census() -> dict[int, int]:
        async with open_store(url, read_only=True) as store:
            return dict((await store.models.census()).by_width)

    return asyncio.run(census())


@fault(26, "encoder that dies, or has other files than before")
def dying_encoder(lab: Lab) -> FaultResult:
    attempts, count = [], 1_200
    with lab.database() as server, killable_workers() as workers:
        for url in (server, f"sqlite:{lab.path('store.db')}"):
            asyncio.run(_store_to_reembed(url, count))
            command = (
                "--store",
                url,
                "migrate",
                "reembed",
                "--model",
                "test-embedder-24",
                "--yes",
                "--batch-size",
                "2",
            )
            process = lab.start(*command, "--json")
            killed = _kill_encoders(lab, lab.tries(3), process)
            out, err = process.communicate(timeout=PROGRAM_SECONDS)
            assert process.returncode == 0, f"ended with {process.returncode}: {err[-300:]!r}"
            assert killed, "no encoder was killed"
            message = str(json.loads(out)["job"]["result"])
            lost = count - _vectors_by_width(url).get(24, 0)
            attempts += [Attempt(message)] * (killed - 1) + [Attempt(message, lost)]
            attempts.append(Attempt(asyncio.run(_resume_with_other_files(url, workers))))
            assert _vectors_by_width(url) == {24: count}
    return summarize(attempts)


async def _spare_role(url: str) -> str:
    async with open_store(url, read_only=True) as store:
        [spare] = await store.backend.fetch("get_spare")
    return str(spare["role"])


async def _resume_with_other_files(url: str, workers: Workers) -> str:
    """Kill a re-embedding, change the hash that it has noted, and start it again; return the refusal."""
    request = JobRequest("reembed", url, url, {"model": "test-embedder-32", "batch": 2})
    await workers.start(request)
    assert workers.run(200)[0] == KILLED_STATUS
    assert await _spare_role(url) == "building", "it was killed before its first vector"
    change(url, "UPDATE spare_model SET hash = 'another'")
    try:
        await start(request)
    except VestigeError as error:
        return error.message
    raise AssertionError("vectors of two builds of a model would be mixed")
