"""The encoder: our loop beside fastembed's own, and an import of many texts, each in a process of its own.

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

FEW, MANY = 300, 5_000
IMPORT_BATCH = 64
MEMORY_GOAL_MB = 800.0


@dataclass(frozen=True, slots=True)
class Run:
    """What one process did: ``rate`` in texts a second without the load of the model, ``peak`` resident in MB."""

    rate: float
    peak: float


def measure() -> list[Figure]:
    """Our loop beside ``TextEmbedding.embed`` as it comes; that one takes gigabytes for a minute."""
    ours, raw = _in_process("ours", FEW), _in_process("fastembed", FEW)
    beside = "fastembed, batches of 256"
    return [
        Figure("encoder", f"{FEW} texts", "texts/s", ours.rate, raw.rate, beside, goal=">= 2"),
        Figure("encoder", "peak resident memory", "MB", ours.peak, raw.peak, beside),
    ]


def bare(count: int) -> float:
    """Texts a second of our loop alone."""
    return _in_process("ours", count).rate


def measure_import() -> list[Figure]:
    """Thousands of texts through the store, with the real model; takes minutes."""
    encoder, stored = _in_process("ours", FEW), _in_process("import", MANY)
    name = f"import of {MANY:,} texts"
    return [
        Figure("encoder", name, "texts/s", stored.rate, encoder.rate, f"our encoder alone, {FEW} texts", goal=">= .95"),
        Figure("encoder", f"{name}, peak", "MB", stored.peak, MEMORY_GOAL_MB, "the memory it may take", goal="<= 1"),
    ]


def _in_process(what: str, count: int) -> Run:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.encoder", what, str(count)], check=True, stdout=subprocess.PIPE, text=True
    )
    return Run(**json.loads(done.stdout))


def _ours(found: Sequence[str]) -> float:
    from vestige_tui.embedding.models import load_embedder

    embedder = load_embedder()
    embedder.embed(found[:4])
    began = time.perf_counter()
    embedder.embed(found)
    return time.perf_counter() - began


def _fastembed(found: Sequence[str]) -> float:
    from fastembed import TextEmbedding

    from vestige_tui.embedding.models import load_embedder

    load_embedder()  # makes the same model known to fastembed
    [own] = [
        each["model"] for each in TextEmbedding.list_supported_models() if each["model"].startswith("vestige-tui/")
    ]
    encoder = TextEmbedding(own, specific_model_path=str(_model_folder()))
    list(encoder.embed(found[:4]))
    began = time.perf_counter()
    list(encoder.embed(found))
    return time.perf_counter() - began


def _model_folder() -> Path:
    import vestige_tui

    return Path(vestige_tui.__file__).parent / "models" / "all-MiniLM-L6-v2"


async def _import(found: Sequence[str]) -> float:
    from vestige_tui.core.memories import Draft
    from vestige_tui.embedding.models import EmbedderSource
    from vestige_tui.store.open import open_store

    embedders = EmbedderSource()
    with tempfile.TemporaryDirectory() as folder:
        async with open_store(f"sqlite:{folder}/store.db", create=True, embedders=embedders) as store:
            await store.insert_many([Draft(content=text) for text in found[:4]])
            began = time.perf_counter()
            for start in range(0, len(found), IMPORT_BATCH):
                await store.insert_many([Draft(content=text) for text in found[start : start + IMPORT_BATCH]])
            took = time.perf_counter() - began
    embedders.close()
    return took


def _peak_mb() -> float:
    status = Path("/proc/self/status")
    if status.is_file():
        # What getrusage gives on Linux may be the peak of the process that started this one.
        [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024


def main(arguments: Sequence[str]) -> None:
    what, count = arguments[0], int(arguments[1])
    found = texts(count)
    work: dict[str, Callable[[Sequence[str]], float]] = {
        "ours": _ours,
        "fastembed": _fastembed,
        "import": lambda each: asyncio.run(_import(each)),
    }
    took = work[what](found)
    print(json.dumps({"rate": count / took, "peak": _peak_mb()}))


if __name__ == "__main__":
    main(sys.argv[1:])
