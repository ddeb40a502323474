"""The one source of vectors of a console or command: loads a store's model once, encodes in a thread."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

from vestige_tui.core.embeddings import RAW, ModelSignature
from vestige_tui.core.errors import EmbedderUnavailable, ModelMismatch
from vestige_tui.embedding import loaders
from vestige_tui.embedding.models import BATCH, DEFAULT_MODEL, Embedder, same_model

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import Vector

log = logging.getLogger(__name__)


RETRY_SECONDS = 30.0
State: TypeAlias = Literal["idle", "loading", "ready", "failed"]


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

    @property
    def loaded_hash(self) -> str:
        """Hash of the model that is loaded; empty before the first."""
        embedder = self._preset or self._loaded
        return embedder.hash if embedder is not None else ""

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
                f"The store uses {registered.name}, but {configured} is configured; "
                f"set model under [embeddings] to {registered.name}."
            )
        if self._preset and self._preset.dimension != registered.dimension:
            raise ModelMismatch(
                f"The store's vectors have {registered.dimension} dimensions, "
                f"but {self._preset.name} gives {self._preset.dimension}."
            )
        return registered.name, registered.dimension

    async def _load(self, name: str, dimension: int | None) -> Embedder:
        key, stop = (name, dimension), self._stop

        def note(message: str) -> None:
            self._message = message

        started = time.monotonic()
        load = partial(loaders.load_embedder, name, dimension=dimension, progress=note, stop=stop)
        try:
            embedder = await asyncio.get_running_loop().run_in_executor(self._worker(), load)
        except EmbedderUnavailable as error:
            log.warning("Loading the model failed after %.1f s: %s", time.monotonic() - started, error)
            self._failed = (key, time.monotonic(), error)
            if self._is_last(key):
                self._state, self._message = "failed", error.message
            raise
        else:
            log.info(
                "Loaded the model %s with %s dimensions in %.1f s",
                embedder.name,
                embedder.dimension,
                time.monotonic() - started,
            )
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
        """Return vectors for these texts, in order; a query gets its turn after every few texts of a long list.

        The texts are encoded by the templates of the registered model.
        """
        embedder = await self.get(registered)
        templates = registered.templates if registered is not None else RAW
        loop, items = asyncio.get_running_loop(), [templates.render(text, query=query) for text in texts]
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
