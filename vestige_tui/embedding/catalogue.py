"""The catalogue of embedding models, those on this machine first."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from vestige_tui.embedding.loaders import fastembed_class, model_folder
from vestige_tui.embedding.models import DEFAULT_DIMENSION, DEFAULT_MODEL, same_model

_DEFAULT_DESCRIPTION = "The default, in int8; no download. English, 256 input tokens truncation."
_TOKENS = re.compile(r"(\d+) input tokens")
_NUMBER = re.compile(r"multi-?lingual[^,]*?\(~?(\d+)", re.IGNORECASE)
_LANGUAGES = ("Chinese", "English", "German", "Spanish")
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True, slots=True)
class CatalogModel:
    """Model of the catalogue; ``offline``: it is on this machine already. ``size_mb`` in megabytes."""

    name: str
    dimension: int
    size_mb: float | None
    licence: str
    description: str
    offline: bool

    @property
    def language(self) -> str:
        """Languages of its texts: ``English``, ``100 languages``, ``several``; empty if unknown."""
        return language_of(self.description)

    @property
    def max_tokens(self) -> int:
        """Tokens of a text that it reads, 0 if unknown; longer texts are cut."""
        tokens = _TOKENS.search(self.description)
        return int(tokens[1]) if tokens else 0

    @property
    def is_for_images(self) -> bool:
        """True for a model of texts and images."""
        return "image" in self.description

    @property
    def is_for_code(self) -> bool:
        """True for a model of source code."""
        return "programming languages" in self.description


def catalog() -> list[CatalogModel]:
    """List the models: the default first, then those on this machine. Imports fastembed: call it in a thread."""
    TextEmbedding = fastembed_class()

    default = CatalogModel(DEFAULT_MODEL, DEFAULT_DIMENSION, 22.0, "apache-2.0", _DEFAULT_DESCRIPTION, True)
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
    cache, hub = model_folder(), str((model.get("sources") or {}).get("hf") or "")
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


def language_of(description: str) -> str:
    """Return the languages that the description of a model names, in a few words; empty if it names none."""
    if number := _NUMBER.search(description):
        return f"{number[1]} languages"
    # The word English within the parentheses of a multilingual model is one of its languages.
    named = [language for language in _LANGUAGES if language in description]
    if len(named) > 1:
        return " and ".join(named)
    if re.search(r"multi-?lingual", description, re.IGNORECASE):
        return "several languages" if "programming" not in description else "English and code"
    return named[0] if named else ""
