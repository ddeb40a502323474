"""Domains in words and as JSON: their rows, the age of a centroid, and the domains near a memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from vestige_tui.core.domains import Classification, DomainScore, DomainSummary
from vestige_tui.core.text import ago, grouped, plain
from vestige_tui.presenters import json_shapes
from vestige_tui.presenters.json_shapes import Document

if TYPE_CHECKING:
    from vestige_tui.core.search import Hit

NO_DOMAINS = "No domains yet. Set the domain of a memory, or create one with `vestige-tui domains set NAME`."
_EXACT_DIGITS = 3
"""Digits of similarities whose difference is shown beside them."""


def centroid_age(domain: DomainSummary, now: datetime) -> str:
    """Return how long ago a centroid was computed: ``3 d ago``, ``undated``, ``none``."""
    if domain.dimension is None:
        return "none"
    return ago(domain.centroid_at, now) if domain.centroid_at is not None else "undated"


def members(domain: DomainSummary) -> str:
    """Return the number of a domain's memories: ``34``, ``34, 2 of them replaced``."""
    count = grouped(domain.memories)
    return f"{count}, {grouped(domain.replaced)} of them replaced" if domain.replaced else count


def near_reason(domain: DomainSummary, key: str) -> str:
    """Return why no memory is listed as near a domain, with the key that changes it."""
    if domain.dimension is None:
        return f"It has no centroid; {key} computes one." if key else "It has no centroid."
    return "No other memory has a vector that its centroid can be compared with."


def terms(domain: DomainSummary) -> str:
    return ", ".join(map(plain, domain.top_terms))


def similarity(value: float, digits: int = 2) -> str:
    """Return a cosine without its zero: ``.84``, ``-.05``, ``1.00``."""
    text = f"{value:.{digits}f}"
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def exact_similarity(value: float) -> str:
    return similarity(value, _EXACT_DIGITS)


def classification_sentence(classification: Classification) -> str:
    """Return the best domain of a memory with its margin: ``Nearest domain: auth .621, .112 ahead of infra.``"""
    best, margin = classification.best, classification.margin
    sentence = f"Nearest domain: {plain(best.name)} {exact_similarity(best.similarity)}"
    if margin is None:
        return f"{sentence}, the only one with a centroid."
    return f"{sentence}, {exact_similarity(margin)} ahead of {plain(classification.scores[1].name)}."


def domain_document(domain: DomainSummary) -> Document:
    centroid = None
    if domain.dimension is not None:
        centroid = {"dimension": domain.dimension, "computed_at": json_shapes.time(domain.centroid_at)}
    return {
        "name": domain.name,
        "label": domain.label or None,
        "memories": domain.memories,
        "replaced": domain.replaced,
        "has_row": domain.has_row,
        "top_terms": list(domain.top_terms),
        "centroid": centroid,
        "created_at": json_shapes.time(domain.created_at),
    }


def near_documents(hits: Sequence[Hit]) -> list[Document]:
    return [
        {
            "id": hit.memory.id,
            "content": hit.memory.content,
            "domains": list(hit.memory.domains),
            "similarity": json_shapes.number(hit.vector_score),
        }
        for hit in hits
    ]


def classification_document(classification: Classification) -> Document:
    return {
        "memory_id": classification.memory_id,
        "domains": list(classification.domains),
        "scores": [_score_document(score) for score in classification.scores],
        "margin": json_shapes.number(classification.margin),
    }


def _score_document(score: DomainScore) -> Document:
    return {"name": score.name, "label": score.label, "similarity": json_shapes.number(score.similarity)}
