"""Fit of the weights of FSRS-6 to a review log, by fsrs-rs, and its log-loss on reviews that it has not seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from importlib.util import find_spec
from itertools import pairwise
from typing import TYPE_CHECKING

from vestige_tui.core.errors import FitUnavailable, TooFewReviews
from vestige_tui.core.review_statistics import GradeInForce
from vestige_tui.core.text import grouped
from vestige_tui.core.weights import Weights, fitted

if TYPE_CHECKING:
    from types import ModuleType

MIN_FIT_REVIEWS = 400
"""Reviews below which a fit follows chance rather than memory."""
HELD_OUT_SHARE = 0.2
"""Share of the predicted reviews, the latest ones, that the measured fit does not see."""
INSTALL = 'pip install "vestige-tui[optimize]"'
LIBRARY = "fsrs_rs_python"


class FitStep(StrEnum):
    """Step of a fit, in order; the last one belongs to its preview."""

    READ = "read"
    EARLIER = "earlier"
    """Fits to the reviews that are not held out."""
    MEASURE = "measure"
    ALL = "all"
    REPLAY = "replay"


@dataclass(frozen=True, slots=True)
class WeightFit:
    """Fitted weights, and the log-loss (lower is better) on the held-out reviews.

    The losses are those of the weights in force and of weights fitted to the earlier reviews alone; ``weights`` are
    fitted to all reviews.
    """

    weights: Weights
    reviews: int
    """Reviews that the fit has read."""
    held_out: int
    """Reviews on which the losses were measured."""
    loss_before: float
    loss_after: float

    @property
    def improves(self) -> bool:
        """True if the fit predicts the held-out reviews better than the weights in force."""
        return self.loss_after < self.loss_before


@dataclass(frozen=True, slots=True)
class _Prediction:
    """Review to predict, with all reviews of its memory until then; ``delta_days`` are whole days before each."""

    at: datetime
    memory: int
    ratings: tuple[int, ...]
    delta_days: tuple[int, ...]


def fit_weights(
    grades: Iterable[GradeInForce], current: Sequence[float], report: Callable[[FitStep], None] = lambda _: None
) -> WeightFit:
    """Fit weights to the grades in force. Raises FitUnavailable or TooFewReviews.

    Reviews of a memory whose first review is not among them are left out. The same grades give the same weights.
    ``report`` is called before each step.
    """
    library = _library()
    histories = _histories(grades)
    count = sum(map(len, histories))
    predictions = _predictions(histories)
    held_out_count = round(len(predictions) * HELD_OUT_SHARE)
    if count < MIN_FIT_REVIEWS or not held_out_count:
        raise TooFewReviews(
            f"Fitting weights needs {MIN_FIT_REVIEWS} reviews of memories whose first review is in the log; "
            f"this store has {grouped(count)}. Nothing was changed."
        )
    items = [_item(library, each) for each in predictions]
    memories = [each.memory for each in predictions]
    split = len(predictions) - held_out_count
    before = library.FSRS([float(value) for value in current])
    report(FitStep.EARLIER)
    measured = fitted(before.compute_parameters(items[:split], memories[:split]))
    report(FitStep.MEASURE)
    losses = [float(model.evaluate(items[split:]).log_loss) for model in (before, library.FSRS(list(measured.values)))]
    report(FitStep.ALL)
    return WeightFit(fitted(before.compute_parameters(items, memories)), count, held_out_count, *losses)


def require_library() -> None:
    """Raise FitUnavailable if the package that fits weights is not installed; imports nothing."""
    if find_spec(LIBRARY) is None:
        raise _unavailable()


def _library() -> ModuleType:
    try:
        import fsrs_rs_python
    except ImportError:
        raise _unavailable() from None
    return fsrs_rs_python


def _unavailable() -> FitUnavailable:
    return FitUnavailable(f"Fitting weights needs the package fsrs-rs-python; install it with: {INSTALL}")


def _histories(grades: Iterable[GradeInForce]) -> list[list[GradeInForce]]:
    """Return the grades of each memory in order, from each first review on."""
    by_memory: dict[str, list[GradeInForce]] = {}
    for grade in sorted(grades, key=lambda grade: grade.at):
        by_memory.setdefault(grade.memory_id, []).append(grade)
    histories: list[list[GradeInForce]] = []
    for log in by_memory.values():
        known = False
        for grade in log:
            if grade.first:
                histories.append([])
                known = True
            if known:
                histories[-1].append(grade)
    return histories


def _predictions(histories: Sequence[Sequence[GradeInForce]]) -> list[_Prediction]:
    """Return the predictions of FSRS, oldest first: reviews at least a day after the one before."""
    predictions: list[_Prediction] = []
    for number, log in enumerate(histories):
        deltas = [0, *((after.at - before.at).days for before, after in pairwise(log))]
        ratings = [int(grade.rating) for grade in log]
        predictions += (
            _Prediction(log[last].at, number, tuple(ratings[: last + 1]), tuple(deltas[: last + 1]))
            for last in range(1, len(log))
            if deltas[last] > 0
        )
    return sorted(predictions, key=lambda each: (each.at, each.memory))


def _item(library: ModuleType, prediction: _Prediction) -> object:
    pairs = zip(prediction.ratings, prediction.delta_days, strict=True)
    return library.FSRSItem([library.FSRSReview(rating, days) for rating, days in pairs])
