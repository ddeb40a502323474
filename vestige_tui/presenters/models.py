"""Names of embedding models, the same for console and command line; every string is safe to show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vestige_tui.core.embeddings import RAW, ModelSignature
from vestige_tui.core.text import grouped, plain

if TYPE_CHECKING:
    from vestige_tui.embedding.catalogue import CatalogModel


MEDIUM_MB, LARGE_MB = 200.0, 1_000.0
"""Sizes from which a model is slower on a usual machine, and from which it needs a fast one."""
LONG_TOKENS = 2_048


def short_name(name: str) -> str:
    """Return a model's name without its publisher."""
    return plain(name).strip().rsplit("/", 1)[-1]


def dimensions(dimension: int) -> str:
    """Return the width of vectors with its unit, ``384 dimensions``."""
    return f"{grouped(dimension)} dimension{'' if dimension == 1 else 's'}"


def full_name(model: ModelSignature) -> str:
    """Return the name of a model with its publisher and its dimension."""
    return f"{plain(model.name)}, {dimensions(model.dimension)}"


def template_rows(model: ModelSignature) -> list[tuple[str, str]]:
    """Return the templates of a text and of a query, as labelled rows; none where a model reads them as they are."""
    if model.templates == RAW:
        return []
    return [("text template", plain(model.templates.document)), ("query template", plain(model.templates.query))]


def hash_note(registered: ModelSignature | None, loaded_hash: str) -> str:
    """Return the note on a loaded model whose hash alone differs from the registered one; empty where they are equal.

    A Vestige server computes its hash otherwise, and another one after each of its releases.
    """
    if registered is None or not registered.hash or not loaded_hash or registered.hash == loaded_hash:
        return ""
    return (
        f"The model loaded here has another hash, {plain(loaded_hash[:12])}: another build, or a hash computed by "
        "another program. The name and the dimensions are the same."
    )


def model_hint(model: CatalogModel) -> str:
    """Return in one line who should choose a model of the catalogue: by its subject, its languages and its size."""
    tokens, size = model.max_tokens, model.size_mb or 0.0
    if model.is_for_images:
        subject = "For comparing text with images; other models are better for text alone"
    elif model.is_for_code:
        subject = "For memories with much source code"
    elif model.language == "English":
        subject = "For English memories"
    else:
        subject = f"For memories in {model.language}" if model.language else "For general text"
    length = f", also long ones (up to {grouped(tokens)} tokens)" if tokens >= LONG_TOKENS else ""
    if size >= LARGE_MB:
        effort = "best with a fast machine and plenty of RAM"
    elif size >= MEDIUM_MB:
        effort = "slower, and often better"
    else:
        effort = "fast on any machine"
    return f"{subject}{length}; {effort}."


def distinct_names(one: ModelSignature, other: ModelSignature, *, cut: bool = False) -> tuple[str, str]:
    """Return short names of two models; with their dimensions if only these differ, or one is ``cut``."""
    # The catalogue's module is slow to import.
    from vestige_tui.embedding.models import same_model

    names = short_name(one.name), short_name(other.name)
    if not cut and not same_model(one.name, other.name):
        return names
    return f"{names[0]}, {dimensions(one.dimension)}", f"{names[1]}, {dimensions(other.dimension)}"
