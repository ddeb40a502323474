"""Plan of a re-embedding, of a rollback, and the comparison of two models, in words for console and command line.

Every string is safe to show.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vestige_tui.core.text import bytes_size, duration, grouped
from vestige_tui.presenters.job_progress import quantity
from vestige_tui.presenters.models import dimensions, full_name, short_name
from vestige_tui.presenters.style import Fact

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import SpareVectors
    from vestige_tui.reembed.plan import Estimate
    from vestige_tui.reembed.preview import Preview, Ranking

NOTHING_TO_CHANGE = "This store already uses this model; there is nothing to change."
ROLLBACK_QUESTION = "Roll back to the previous model?"
ROLLBACK_NOTE = "Searches then use the previous model; the current vectors are kept, so you can roll back again."
_SHADOW_TABLE = "in a second table: searches use the current vectors until it is complete"
_IN_PLACE = "in place, for small disks: deletes the current vectors first; vector search pauses until it is done"


def model_facts(estimate: Estimate) -> list[Fact]:
    """Return the model in use and the one after the change."""
    return [Fact("from", full_name(estimate.before)), Fact("to", full_name(estimate.after), "text")]


def cost_facts(estimate: Estimate, kept: SpareVectors | None, *, measured: bool = True) -> list[Fact]:
    """Return the models, the mode, the cost of a re-embedding, and the vectors that it deletes.

    ``kept`` are those of an earlier model; ``measured`` is False if its speed was not asked for.
    """
    facts = [
        *model_facts(estimate),
        Fact("how", _IN_PLACE if estimate.kind == "in_place" else _SHADOW_TABLE, "text"),
        Fact("vectors", f"{grouped(estimate.memories)} to compute", "text"),
    ]
    if estimate.texts_per_second is not None and estimate.seconds is not None:
        rate = estimate.texts_per_second
        figure = f"{rate:,.1f}" if rate < 10 else grouped(round(rate))
        facts += [
            Fact("speed", f"{figure} texts per second, measured just now", "text"),
            Fact("time", f"about {duration(estimate.seconds)} plus index build", "strong"),
        ]
    elif measured:
        facts.append(Fact("time", "unknown: there is no text to measure"))
    facts.append(Fact("disk", f"{bytes_size(estimate.bytes)} for the new vectors and their index", "text"))
    for index, text in enumerate(deleted_first(estimate, kept)):
        facts.append(Fact("deletes" if not index else "", text, "waiting"))
    return facts


def deleted_first(estimate: Estimate, kept: SpareVectors | None) -> list[str]:
    """Return sentences on the vectors that are deleted first; ``kept`` are those of an earlier model."""
    sentences = []
    if estimate.kind == "in_place" and estimate.drops is not None:
        sentences.append(
            f"The current vectors, {vector_count(estimate.drops)}, are deleted first; no rollback is possible."
        )
    if kept is not None:
        sentences.append(f"The kept vectors of the previous model, {vector_count(kept)}, are deleted at the start.")
    return sentences


def deleted_last(estimate: Estimate) -> str:
    """Return the sentence on the current vectors, if they are deleted at the end."""
    return f"{present_vectors(estimate)}, are deleted at the end; no rollback is possible."


def present_vectors(estimate: Estimate) -> str:
    """Return the subject of a sentence on the current vectors; a comma and the verb follow."""
    return f"The current vectors of {full_name(estimate.before)}"


def vector_count(spare: SpareVectors) -> str:
    """Return the number of vectors of a second model, with its short name."""
    return f"{quantity(spare.vectors, 'vector')} of {short_name(spare.model.name)}, {dimensions(spare.model.dimension)}"


def spare_vectors(spare: SpareVectors, *, being_made: bool = False) -> str:
    """Return the number of vectors of a second model and their state: kept, being computed, or left unfinished."""
    if spare.role == "building" and not being_made:
        return quantity(spare.vectors, "unfinished vector")
    return f"{quantity(spare.vectors, 'vector')} {'kept for a rollback' if spare.role == 'kept' else 'being computed'}"


def missing_after_rollback(estimate: Estimate) -> str:
    """Return the sentence on the memories without a vector of the previous model."""
    if not estimate.memories:
        return "Every memory has a vector of this model."
    is_one = estimate.memories == 1
    missing = f"{grouped(estimate.memories)} {'memory' if is_one else 'memories'} added or edited since then"
    if estimate.loadable:
        return f"{missing} {'gets' if is_one else 'get'} a new vector."
    return f"{missing} will have no vector: the model is not available here."


def fill_result(count: int) -> str:
    """Return the result of computing the missing vectors."""
    return f"Computed {quantity(count, 'vector')}." if count else "Every memory already has a vector."


# Comparison of two models


def overlap(preview: Preview) -> tuple[str, str]:
    """Return the share of hits that both models find, and the size of the sample."""
    count = len(preview.rankings)
    queries = "1 query" if count == 1 else f"{grouped(count)} queries"
    sample = f"{grouped(preview.sampled)} of {grouped(preview.memories)} memories"
    return f"{preview.overlap:.0%} of the hits are the same", f"over {queries}, {sample}"


def shared_hits(ranking: Ranking) -> str:
    """Return how many hits of one query both models find."""
    return f"{sum(hit.shared for hit in ranking.current)} of {len(ranking.current)} the same"
