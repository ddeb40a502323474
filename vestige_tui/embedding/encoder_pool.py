"""Encoders in processes of their own: several at once, and one that dies takes neither the job nor other texts along.

``python -m vestige_tui.embedding.encoder_pool`` takes lines of JSON on stdin: first which model, then lists of texts.
It answers each with a line of JSON, and behind it the vectors as float32. It ends with its stdin, so that none outlives
its job.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO, TYPE_CHECKING, Any, TypeAlias

from vestige_tui.core.errors import EmbedderUnavailable, Refused, VestigeError
from vestige_tui.core.text import short_id
from vestige_tui.embedding.models import MOST_CHARACTERS, Embedder, load_embedder, same_model

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import ModelSignature, Vector

log = logging.getLogger("vestige_tui.jobs")

PROCESSES = 2
MOST_THREADS = 4
MOST_DEATHS = 8
"""So many times in a row an encoder may die before the job gives up."""
WORTH_ANOTHER = 64
"""Fewer texts are encoded before a second process has loaded its model."""

Encoded: TypeAlias = "Vector | str"
"""A vector, or why there is none."""

# Without -P the folder that a person stands in would come first among those that modules are looked for in.
_COMMAND = (sys.executable, "-P", "-m", "vestige_tui.embedding.encoder_pool")


class _Died(Exception):
    """The process is gone."""


class _Encoder:
    """One process with the model loaded. Its methods block and are called in threads, one at a time."""

    def __init__(self, model: ModelSignature, *, any_build: bool, threads: int) -> None:
        self._model = model
        self._any_build = any_build
        self._threads = threads
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Raises _Died where the process ends before it answers, and what loading the model raises."""
        process = self._process or self._start()
        told, body = self._ask(process, texts)
        import numpy as np

        vectors = np.frombuffer(body, dtype="<f4").reshape(len(texts), -1)
        return [told.get(str(place), vectors[place]) for place in range(len(texts))]

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(_COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=-1)
        self._process = process
        if self._closed:
            self.close()
        asked = {"model": self._model.name, "dimension": self._model.dimension, "threads": self._threads}
        told, _ = self._ask(process, asked)
        if "error" in told:
            self.close()
            raise EmbedderUnavailable(str(told["error"]))
        same = same_model(told["name"], self._model.name) and told["dimension"] == self._model.dimension
        if not same or (told["hash"] != self._model.hash and not self._any_build):
            self.close()
            raise Refused(other_build(self._model, str(told["hash"])))
        return process

    def _ask(self, process: subprocess.Popen[bytes], question: Any) -> tuple[dict[str, Any], bytes]:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(question).encode() + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
            told = json.loads(line) if line.endswith(b"\n") else None
            body = process.stdout.read(told["bytes"]) if told else b""
        except (OSError, ValueError):
            told, body = None, b""
        if told is None or len(body) < told["bytes"]:
            self.close()
            raise _Died
        return told["told"], body

    def close(self) -> None:
        """End the process; may be called from another thread, where it ends what waits for an answer."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError, ValueError):
                    if pipe is not None:
                        pipe.close()

    def close_for_good(self) -> None:
        self._closed = True
        self.close()


def other_build(model: ModelSignature, found: str) -> str:
    """What is said of a model whose files are not those that the vectors so far were made with."""
    return (
        f"{model.name} has other files here ({short_id(found)}) than those that this was begun with "
        f"({short_id(model.hash)}); vectors of two builds are not mixed."
    )


class Encoders:
    """Processes that share the texts of a job. ``any_build``: the model may have other files than its hash says."""

    def __init__(self, model: ModelSignature, *, texts: int, any_build: bool = False) -> None:
        cores = os.cpu_count() or 1
        count = min(PROCESSES, cores) if texts >= WORTH_ANOTHER else 1
        threads = max(1, min(MOST_THREADS, cores // count))
        self._model = model
        self._all = [_Encoder(model, any_build=any_build, threads=threads) for _ in range(count)]
        self._idle: asyncio.LifoQueue[_Encoder] = asyncio.LifoQueue()
        for each in self._all:
            self._idle.put_nowait(each)
        self._threads = ThreadPoolExecutor(max_workers=count, thread_name_prefix="encoder")
        self._deaths = 0
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        return len(self._all)

    async def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """For each text its vector, or why it has none; waits until a process is free.

        Raises EmbedderUnavailable where the model cannot be loaded, Refused where it is another build, VestigeError
        where its processes die again and again.
        """
        encoder = await self._idle.get()
        try:
            work = asyncio.get_running_loop().run_in_executor(self._threads, self._encode, encoder, list(texts))
            return await work
        finally:
            self._idle.put_nowait(encoder)

    def _encode(self, encoder: _Encoder, texts: Sequence[str]) -> list[Encoded]:
        try:
            found = encoder.encode(texts)
        except _Died:
            self._count_death()
            if len(texts) == 1:
                return [self._once_more(encoder, texts)]
            # One of them may be the reason: each for itself, so that the others get their vectors.
            return [each for text in texts for each in self._encode(encoder, [text])]
        with self._lock:
            self._deaths = 0
        return found

    def _once_more(self, encoder: _Encoder, texts: Sequence[str]) -> Encoded:
        try:
            [found] = encoder.encode(texts)
        except _Died:
            self._count_death()
            return "The encoder died of it, twice."
        return found

    def _count_death(self) -> None:
        with self._lock:
            self._deaths += 1
            deaths = self._deaths
        log.warning("an encoder of %s has died", self._model.name)
        if deaths > MOST_DEATHS or any(each._closed for each in self._all):
            raise VestigeError(f"The processes that encode with {self._model.name} die again and again.")

    def close(self) -> None:
        """End all processes, also in the middle of a text."""
        for each in self._all:
            each.close_for_good()
        self._threads.shutdown(wait=True, cancel_futures=True)


# The other side


def _answer(answers: IO[bytes], told: dict[str, Any], body: bytes = b"") -> None:
    answers.write(json.dumps({"told": told, "bytes": len(body)}).encode() + b"\n" + body)
    answers.flush()


def _encode(embedder: Embedder, texts: list[str]) -> tuple[dict[str, Any], bytes]:
    """The vectors as bytes, and why some are missing, by their place."""
    import numpy as np

    matrix = np.zeros((len(texts), embedder.dimension), dtype="<f4")
    failed: dict[str, Any] = {}
    try:
        for place, vector in enumerate(embedder.embed(texts)):
            matrix[place] = vector
    except Exception:  # a model's runtime raises whatever it likes
        for place, text in enumerate(texts):
            try:
                matrix[place] = embedder.embed([text])[0]
            except Exception as error:
                failed[str(place)] = f"The model cannot encode it ({type(error).__name__})."
    for broken in np.flatnonzero(~np.isfinite(matrix).all(axis=1)):
        failed.setdefault(str(broken), "The model gave numbers for it that are not finite.")
    return failed, matrix.tobytes()


def serve() -> int:
    """Load the model that the first line names, and encode what comes after it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    lines = sys.stdin.buffer
    asked = json.loads(lines.readline())
    try:
        embedder = load_embedder(asked["model"], dimension=asked["dimension"], threads=asked["threads"])
    except EmbedderUnavailable as error:
        _answer(answers, {"error": error.message})
        return 1
    _answer(answers, {"name": embedder.name, "dimension": embedder.dimension, "hash": embedder.hash})
    for line in lines:
        _answer(answers, *_encode(embedder, json.loads(line)))
    return 0


def shortened(text: str) -> str:
    """As much of a text as any model reads."""
    return text.lstrip()[:MOST_CHARACTERS]


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):  # whoever asked is gone
        sys.exit(serve())
