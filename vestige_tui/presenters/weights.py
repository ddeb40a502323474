"""Texts and JSON about the weights of FSRS: a fit, and the due dates that rescheduling by it moves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vestige_tui.core.text import grouped
from vestige_tui.core.weight_fit import FitStep
from vestige_tui.presenters.changes import NEW_REVIEWS, SHORT_HASH_CHARS, change_sentence

if TYPE_CHECKING:
    from vestige_tui.core.memories import Change
    from vestige_tui.core.weight_fit import WeightFit
    from vestige_tui.core.weights import Weights
    from vestige_tui.store.weights import ReschedulePreview


def short_hash(weights: Weights) -> str:
    """Return the beginning of the hash of weights, as sentences name them."""
    return weights.hash[:SHORT_HASH_CHARS]


def in_force_sentence(current: Weights, *, applied: bool) -> str:
    """Return the sentence that names the weights in force, and whether they were applied to the store."""
    return f"In force: weights {short_hash(current)}, {'applied to this store' if applied else 'of the settings'}."


def fit_lines(fit: WeightFit, current: Weights, *, applied: bool) -> Iterator[str]:
    """Yield sentences on a fit: its weights, those in force, and both log-losses."""
    yield f"Fitted weights {short_hash(fit.weights)} to {grouped(fit.reviews)} reviews."
    yield in_force_sentence(current, applied=applied)
    yield (
        f"Log-loss on the latest {grouped(fit.held_out)} reviews (lower is better): {fit.loss_before:.4f} "
        f"by the weights in force, {fit.loss_after:.4f} by a fit to the earlier reviews."
    )


def preview_sentence(preview: ReschedulePreview) -> str:
    """Return the sentence on the due dates that rescheduling would move."""
    moved = moved_sentence(preview)
    if not preview.moved:
        return moved
    return f"{moved} Due today: {grouped(preview.due_before)} before, {grouped(preview.due_after)} after."


def applied_sentence(weights: Weights, change: Change) -> str:
    """Return the sentence on applied weights, without its full stop."""
    count = len(change.changed)
    subject = NEW_REVIEWS if not count else f"{grouped(count)} {'memory' if count == 1 else 'memories'}"
    return change_sentence("optimize", subject, short_hash(weights))


def next_step_sentence(fit: WeightFit) -> str:
    """Return the sentence after a fit that was not applied."""
    if not fit.improves:
        return "Nothing was changed. The fit predicts no better than the weights in force: keep those."
    return "Nothing was changed. --apply schedules the coming reviews by the fit, --reschedule moves due dates too."


def no_better_sentence(fit: WeightFit) -> str:
    """Return the refusal of a fit that predicts the held-out reviews no better."""
    return (
        f"The fit predicts the latest reviews no better (log-loss {fit.loss_after:.4f}, now {fit.loss_before:.4f}); "
        "nothing was changed. Add --yes to apply it anyway."
    )


def fit_document(
    fit: WeightFit, current: Weights, preview: ReschedulePreview | None, *, applied: bool
) -> dict[str, Any]:
    """Return a fit as JSON data; ``reschedule`` is null where nothing was previewed."""
    return {
        "fit": {
            **_weights(fit.weights),
            "reviews": fit.reviews,
            "held_out": fit.held_out,
            "log_loss_before": fit.loss_before,
            "log_loss_after": fit.loss_after,
        },
        "in_force": {**_weights(current), "applied": applied},
        "reschedule": None
        if preview is None
        else {
            "reviewed": preview.reviewed,
            "moved": preview.moved,
            "earlier": preview.earlier,
            "later": preview.later,
            "due_before": preview.due_before,
            "due_after": preview.due_after,
        },
    }


def _weights(weights: Weights) -> dict[str, Any]:
    return {"hash": weights.hash, "algorithm": weights.algorithm, "weights": list(weights.values)}


_STEPS = {
    FitStep.READ: "Reading the review log…",
    FitStep.EARLIER: "Fitting to the earlier reviews…",
    FitStep.MEASURE: "Measuring on the latest reviews…",
    FitStep.ALL: "Fitting to all reviews…",
    FitStep.REPLAY: "Replaying the review log with the fitted weights…",
}


def step_sentence(step: FitStep) -> str:
    """Return the sentence on a running fit, with the number of its step."""
    steps = list(FitStep)
    return f"{steps.index(step) + 1} of {len(steps)}  {_STEPS[step]}"


@dataclass(frozen=True, slots=True)
class FitRow:
    """Line of the table of a fit: a figure by the weights in force, and by the fit."""

    label: str
    before: str
    after: str


def fit_table(fit: WeightFit, current: Weights, preview: ReschedulePreview) -> tuple[FitRow, ...]:
    """Return the figures by the weights in force and by the fit."""
    return (
        FitRow("weights", short_hash(current), short_hash(fit.weights)),
        FitRow("log-loss", f"{fit.loss_before:.4f}", f"{fit.loss_after:.4f}"),
        FitRow("due today if rescheduled", grouped(preview.due_before), grouped(preview.due_after)),
    )


def fit_notes(fit: WeightFit, preview: ReschedulePreview) -> tuple[str, ...]:
    """Return the sentences below the table of a fit."""
    notes = [
        f"Log-loss is that of the latest {grouped(fit.held_out)} reviews; lower is better.",
        moved_sentence(preview),
    ]
    if not fit.improves:
        notes.append("The fit predicts no better than the weights in force: keep those.")
    return tuple(notes)


def moved_sentence(preview: ReschedulePreview) -> str:
    """Return the sentence on the number of due dates that rescheduling would move."""
    if not preview.moved:
        return "Rescheduling would move no due date."
    memories = "memory" if preview.reviewed == 1 else "memories"
    return (
        f"Rescheduling would move {grouped(preview.moved)} of {grouped(preview.reviewed)} reviewed {memories}: "
        f"{grouped(preview.later)} later, {grouped(preview.earlier)} earlier."
    )
