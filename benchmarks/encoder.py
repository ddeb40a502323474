"""Encoder: our loop beside fastembed's own, and an import of many texts, each in a separate process.

``python -m benchmarks.encoder ours|fastembed|import COUNT`` measures one of them and prints it as JSON.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.corpus import texts
from benchmarks.table import Figure

SAMPLE_TEXTS, IMPORT_TEXTS = 300, 5_000
IMPORT_BATCH_TEXTS = 64
MEMORY_GOAL_MB = 800.0


@dataclass(frozen=True, slots=True)
class EncoderRun:
    """Result of one process: ``rate`` in texts a second without loading the model, ``peak`` resident memory in MB."""

    rate: float
    peak: float


def measure() -> list[Figure]:
    """Measure our loop beside ``TextEmbedding.embed`` with its defaults, which takes gigabytes for a minute."""
    ours, raw = _in_process("ours", SAMPLE_TEXTS), _in_process("fastembed", SAMPLE_TEXTS)
    beside = "fastembed, batches of 256"
    return [
        Figure("encoder", f"{SAMPLE_TEXTS} texts", "texts/s", ours.rate, raw.rate, beside, goal=">= 2"),
        Figure("encoder", "peak resident memory", "MB", ours.peak, raw.peak, beside),
    ]


def bare(count: int) -> float:
    """Return texts a second of our loop alone."""
    return _in_process("ours", count).rate


def measure_import() -> list[Figure]:
    """Import thousands of texts into a store, with the real model; takes minutes."""
    encoder, stored = _in_process("ours", SAMPLE_TEXTS), _in_process("import", IMPORT_TEXTS)
    name = f"import of {IMPORT_TEXTS:,} texts"
    return [
        Figure(
            "encoder",
            name,
            "texts/s",
            stored.rate,
            encoder.rate,
            f"our encoder alone, {SAMPLE_TEXTS} texts",
            goal=">= .95",
        ),
        Figure("encoder", f"{name}, peak", "MB", stored.peak, MEMORY_GOAL_MB, "the memory it may take", goal="<= 1"),
    ]


def _in_process(name: str, count: int) -> EncoderRun:
    process = subprocess.run(
        [sys.executable, "-m", "benchmarks.encoder", name, str(count)], check=True, stdout=subprocess.PIPE, text=True
    )
    return EncoderRun(**json.loads(process.stdout))


def _ours(texts: Sequence[str]) -> float:
    from vestige_tui.embedding.loaders import load_embedder

    embedder = load_embedder()
    embedder.embed(texts[:4])
    began = time.perf_counter()
    embedder.embed(texts)
    return time.perf_counter() - began


def _fastembed(texts: Sequence[str]) -> float:
    from vestige_tui.embedding.loaders import fastembed_class, load_embedder

    load_embedder()  # registers the same model with fastembed
    TextEmbedding = fastembed_class()
    [model] = [
        each["model"] for each in TextEmbedding.list_supported_models() if each["model"].startswith("vestige-tui/")
    ]
    encoder = TextEmbedding(model, specific_model_path=str(_model_folder()))
    list(encoder.embed(texts[:4]))
    began = time.perf_counter()
    list(encoder.embed(texts))
    return time.perf_counter() - began


def _model_folder() -> Path:
    import vestige_tui

    return Path(vestige_tui.__file__).parent / "models" / "all-MiniLM-L6-v2"


async def _import(texts: Sequence[str]) -> float:
    from vestige_tui.core.memories import Draft
    from vestige_tui.embedding.embedder_source import EmbedderSource
    from vestige_tui.store.open import open_store

    embedders = EmbedderSource()
    with tempfile.TemporaryDirectory() as folder:
        async with open_store(f"sqlite:{folder}/store.db", create=True, embedders=embedders) as store:
            await store.memories.insert_many([Draft(content=text) for text in texts[:4]])
            began = time.perf_counter()
            for start in range(0, len(texts), IMPORT_BATCH_TEXTS):
                await store.memories.insert_many(
                    [Draft(content=text) for text in texts[start : start + IMPORT_BATCH_TEXTS]]
                )
            seconds = time.perf_counter() - began
    embedders.close()
    return seconds


def _peak_mb() -> float:
    status = Path("/proc/self/status")
    if status.is_file():
        # On Linux getrusage may return the peak of the parent process.
        [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024


def main(arguments: Sequence[str]) -> None:
    name, count = arguments[0], int(arguments[1])
    corpus_texts = texts(count)
    work: dict[str, Callable[[Sequence[str]], float]] = {
        "ours": _ours,
        "fastembed": _fastembed,
        "import": lambda each: asyncio.run(_import(each)),
    }
    seconds = work[name](corpus_texts)
    print(json.dumps({"rate": count / seconds, "peak": _peak_mb()}))


if __name__ == "__main__":
    main(sys.argv[1:])
