"""Terminal console for the memory stores of AI agents, and the store service behind it.

The public API is imported lazily, on first access: ``import vestige_tui`` alone stays cheap.
"""

from __future__ import annotations

from importlib import import_module

# Not from typing, whose import is a third of the time that `--version` takes.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from vestige_tui.core.embeddings import ModelSignature
    from vestige_tui.core.errors import VestigeError
    from vestige_tui.core.links import Edge
    from vestige_tui.core.memories import Draft, Filter, Memory, Page, Patch
    from vestige_tui.core.reviews import Rating, Review, Scheduling
    from vestige_tui.core.scheduling import Policy
    from vestige_tui.core.search import Answer, Hit, SearchQuery
    from vestige_tui.embedding.embedder_source import EmbedderSource
    from vestige_tui.store.open import open_store
    from vestige_tui.store.store import Store

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "Draft",
    "Edge",
    "EmbedderSource",
    "Filter",
    "Hit",
    "Memory",
    "ModelSignature",
    "Page",
    "Patch",
    "Policy",
    "Rating",
    "Review",
    "Scheduling",
    "SearchQuery",
    "Store",
    "VestigeError",
    "__version__",
    "open_store",
]

_MODULES = {
    "core.embeddings": ("ModelSignature",),
    "core.errors": ("VestigeError",),
    "core.links": ("Edge",),
    "core.memories": ("Draft", "Filter", "Memory", "Page", "Patch"),
    "core.reviews": ("Rating", "Review", "Scheduling"),
    "core.scheduling": ("Policy",),
    "core.search": ("Answer", "Hit", "SearchQuery"),
    "embedding.embedder_source": ("EmbedderSource",),
    "store.open": ("open_store",),
    "store.store": ("Store",),
}
_MODULE_OF = {name: f"{__name__}.{module}" for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
