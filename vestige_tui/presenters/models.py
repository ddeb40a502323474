"""Names of embedding models, the same for console and command line; every string is safe to show."""

from __future__ import annotations

from vestige_tui.core.embeddings import ModelSignature
from vestige_tui.core.text import grouped, plain


def short_name(name: str) -> str:
    """Return a model's name without its publisher."""
    return plain(name).strip().rsplit("/", 1)[-1]


def dimensions(dimension: int) -> str:
    """Return the width of vectors with its unit, ``384 dimensions``."""
    return f"{grouped(dimension)} dimension{'' if dimension == 1 else 's'}"


def full_name(model: ModelSignature) -> str:
    """Return the name of a model with its publisher and its dimension."""
    return f"{plain(model.name)}, {dimensions(model.dimension)}"


def distinct_names(one: ModelSignature, other: ModelSignature, *, cut: bool = False) -> tuple[str, str]:
    """Return short names of two models; with their dimensions if only these differ, or one is ``cut``."""
    # The catalogue's module is slow to import.
    from vestige_tui.embedding.models import same_model

    names = short_name(one.name), short_name(other.name)
    if not cut and not same_model(one.name, other.name):
        return names
    return f"{names[0]}, {dimensions(one.dimension)}", f"{names[1]}, {dimensions(other.dimension)}"
