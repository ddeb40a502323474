"""Pool of encoder processes: several at once, and the death of one ends neither the job nor other texts.

``python -m vestige_tui.embedding.encoder_pool`` reads lines of JSON on stdin: first the model, then lists of texts. It
answers each with a line of JSON, followed by the vectors as float32. It ends with its stdin, so that it never outlives
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
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO, TYPE_CHECKING, Any, TypeAlias

from vestige_tui.core.errors import EmbedderUnavailable, Refused, VestigeError
from vestige_tui.core.text import short_id
from vestige_tui.embedding.loaders import load_embedder
from vestige_tui.embedding.models import MAX_CHARACTERS, Embedder, same_model

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import ModelSignature, Vector

log = logging.getLogger(__name__)

PROCESSES = 2
MAX_THREADS = 4
MAX_DEATHS = 8
"""Deaths of encoders in a row before the job fails."""
MIN_TEXTS_OF_TWO_PROCESSES = 64
"""Fewer texts are encoded before a second process has loaded its model."""

Encoded: TypeAlias = "Vector | str"
"""A vector, or the reason that there is none."""

# Without -P the working directory would come first on the module path.
ENCODER_COMMAND = (sys.executable, "-P", "-m", "vestige_tui.embedding.encoder_pool")


class _Died(Exception):
    """End of the encoder process."""


class _Encoder:
    """One process with the model loaded. Its methods block and are called in threads, one at a time."""

    def __init__(self, model: ModelSignature, *, any_build: bool, threads: int) -> None:
        self._model = model
        self._any_build = any_build
        self._threads = threads
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Encode texts. Raises _Died if the process ends before it answers, and the errors of loading the model."""
        process = self._process or self._start()
        errors, body = self._ask(process, texts)
        import numpy as np

        vectors = np.frombuffer(body, dtype="<f4").reshape(len(texts), -1)
        return [errors.get(str(index), vectors[index]) for index in range(len(texts))]

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(ENCODER_COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=-1)
        self._process = process
        if self._closed:
            self.close()
        request = {"model": self._model.name, "dimension": self._model.dimension, "threads": self._threads}
        answer, _ = self._ask(process, request)
        if "error" in answer:
            self.close()
            raise EmbedderUnavailable(str(answer["error"]))
        is_same = same_model(answer["name"], self._model.name) and answer["dimension"] == self._model.dimension
        if not is_same or (answer["hash"] != self._model.hash and not self._any_build):
            self.close()
            raise Refused(other_build(self._model, str(answer["hash"])))
        return process

    def _ask(self, process: subprocess.Popen[bytes], request: Any) -> tuple[dict[str, Any], bytes]:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
            answer = json.loads(line) if line.endswith(b"\n") else None
            body = process.stdout.read(answer["bytes"]) if answer else b""
        except (OSError, ValueError):
            answer, body = None, b""
        if answer is None or len(body) < answer["bytes"]:
            self.close()
            raise _Died
        return answer["told"], body

    def close(self) -> None:
        """End the process; may be called from another thread, and ends a wait for an answer there."""
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


def other_build(model: ModelSignature, hash: str) -> str:
    """Return the message about a model with other files than those of the vectors so far."""
    return (
        f"The files of {model.name} here (build {short_id(hash)}) differ from those that the work started with "
        f"(build {short_id(model.hash)}); vectors of two builds are never mixed."
    )


class Encoders:
    """Pool of processes that share the texts of a job. ``any_build``: the model's files may not match its hash."""

    def __init__(self, model: ModelSignature, *, texts: int, any_build: bool = False) -> None:
        cores = os.cpu_count() or 1
        count = min(PROCESSES, cores) if texts >= MIN_TEXTS_OF_TWO_PROCESSES else 1
        threads = max(1, min(MAX_THREADS, cores // count))
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
        """Return for each text its vector, or the reason that it has none; waits until a process is free.

        The texts are encoded by the templates of the model.
        Raises EmbedderUnavailable if the model cannot be loaded, Refused if it is another build, VestigeError if its
        processes die again and again.
        """
        encoder = await self._idle.get()
        try:
            read = [self._model.templates.render(text) for text in texts]
            future = asyncio.get_running_loop().run_in_executor(self._threads, self._encode, encoder, read)
            return await future
        finally:
            self._idle.put_nowait(encoder)

    def _encode(self, encoder: _Encoder, texts: Sequence[str]) -> list[Encoded]:
        try:
            vectors = encoder.encode(texts)
        except _Died:
            self._count_death()
            if len(texts) == 1:
                return [self._retry(encoder, texts)]
            # One of them may be the cause: encode each alone, so that the others get their vectors.
            return [each for text in texts for each in self._encode(encoder, [text])]
        with self._lock:
            self._deaths = 0
        return vectors

    def _retry(self, encoder: _Encoder, texts: Sequence[str]) -> Encoded:
        try:
            [vector] = encoder.encode(texts)
        except _Died:
            self._count_death()
            return "The encoder crashed on this text twice."
        return vector

    def _count_death(self) -> None:
        with self._lock:
            self._deaths += 1
            deaths = self._deaths
        log.warning("An encoder process of %s crashed", self._model.name)
        if deaths > MAX_DEATHS or any(each._closed for each in self._all):
            raise VestigeError(
                f"The encoder processes of {self._model.name} keep crashing; "
                "check that this machine has enough free RAM."
            )

    def close(self) -> None:
        """End all processes, also in the middle of a text."""
        for each in self._all:
            each.close_for_good()
        self._threads.shutdown(wait=True, cancel_futures=True)


# Encoder process


def _answer(answers: IO[bytes], answer: dict[str, Any], body: bytes = b"") -> None:
    answers.write(json.dumps({"told": answer, "bytes": len(body)}).encode() + b"\n" + body)
    answers.flush()


def _encode(embedder: Embedder, texts: list[str]) -> tuple[dict[str, Any], bytes]:
    """Return the vectors as bytes, and the errors by position."""
    import numpy as np

    matrix = np.zeros((len(texts), embedder.dimension), dtype="<f4")
    failed: dict[str, Any] = {}
    try:
        for index, vector in enumerate(embedder.embed(texts)):
            matrix[index] = vector
    except Exception as failure:  # a model's runtime may raise any exception
        log.debug("Encoding %s texts one by one: %s", len(texts), failure)
        for index, text in enumerate(texts):
            try:
                matrix[index] = embedder.embed([text])[0]
            except Exception as error:
                failed[str(index)] = f"The model cannot compute a vector of this text ({type(error).__name__})."
    for row in np.flatnonzero(~np.isfinite(matrix).all(axis=1)):
        failed.setdefault(str(row), "The model returned numbers that are not finite for this text.")
    return failed, matrix.tobytes()


def serve(load: Callable[..., Embedder] = load_embedder) -> int:
    """Load the model that the first line names, and encode the texts of the lines that follow."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # keep the output of libraries out of the answers
    lines = sys.stdin.buffer
    request = json.loads(lines.readline())
    try:
        embedder = load(request["model"], dimension=request["dimension"], threads=request["threads"])
    except EmbedderUnavailable as error:
        _answer(answers, {"error": error.message})
        return 1
    _answer(answers, {"name": embedder.name, "dimension": embedder.dimension, "hash": embedder.hash})
    for line in lines:
        _answer(answers, *_encode(embedder, json.loads(line)))
    return 0


def shortened(text: str) -> str:
    """Return as much of a text as any model reads."""
    return text.lstrip()[:MAX_CHARACTERS]


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):  # the job is gone
        sys.exit(serve())
