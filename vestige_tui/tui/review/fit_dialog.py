"""Dialog of a fit of the weights: its progress, then its figures, and the question whether to apply it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from vestige_tui.core.errors import Cancelled, VestigeError
from vestige_tui.core.text import plain, redact
from vestige_tui.core.weight_fit import FitStep
from vestige_tui.presenters.weights import FitRow, fit_notes, fit_table, step_sentence
from vestige_tui.tui.dialogs.modals import Dialog
from vestige_tui.tui.workers import work

if TYPE_CHECKING:
    from vestige_tui.core.weight_fit import WeightFit
    from vestige_tui.core.weights import Weights
    from vestige_tui.store.store import Store
    from vestige_tui.store.weights import ReschedulePreview

log = logging.getLogger(__name__)

COLUMN_CELLS = 12


@dataclass(frozen=True, slots=True)
class FitAnswer:
    """Weights to put in force, and whether due dates move with them."""

    weights: Weights
    reschedule: bool


@dataclass(frozen=True, slots=True)
class FitResult:
    """Finished fit with the weights in force before it, and the effect of rescheduling."""

    fit: WeightFit
    current: Weights
    preview: ReschedulePreview


FitState: TypeAlias = FitStep | FitResult | VestigeError
"""Running step, result, or the error that ended the fit."""


class FitDialog(Dialog[FitAnswer | None]):
    """Fit of a store's weights. Escape ends it while it runs; afterwards ``y`` and ``r`` apply it."""

    DEFAULT_CSS = "FitDialog #fit { height: auto; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "apply(False)", "apply", show=False),
        Binding("r", "apply(True)", "apply and reschedule", show=False),
    ]

    def __init__(self, store: Store) -> None:
        super().__init__("Fit the FSRS weights to the review log", (("esc", "cancel"),))
        self._store = store
        self._state: FitState = FitStep.READ

    def compose_body(self) -> ComposeResult:
        yield Static(id="fit", markup=False)

    def on_mount(self) -> None:
        self._show(self._state)
        self._fit_weights()

    @work(group="fit", exclusive=True, exit_on_error=False)
    async def _fit_weights(self) -> None:
        # The end of this screen cancels the worker, and with it the process of the fit.
        weights = self._store.weights
        try:
            fit = await weights.fit(self._show)
            current = weights.current
            self._show(FitResult(fit, current, await weights.preview(fit.weights, self._show)))
        except Cancelled as error:
            log.debug("A fit was cancelled: %s", error)
            self.dismiss(None)
        except VestigeError as error:
            self._show(error)

    def _show(self, state: FitState) -> None:
        if not self.is_mounted:
            return
        self._state = state
        apply = (("y", "apply"), ("r", "apply and reschedule")) if isinstance(state, FitResult) else ()
        ends = "back" if isinstance(state, VestigeError) else "cancel"
        self._keys = (*apply, ("esc", ends))
        self.query_one("#fit", Static).update(_body(state))
        self.query_one("#sheet-keys", Static).update(self._key_line())

    def action_apply(self, reschedule: bool) -> None:
        if isinstance(self._state, FitResult):
            self.dismiss(FitAnswer(self._state.fit.weights, reschedule))


def _body(state: FitState) -> Content:
    if isinstance(state, VestigeError):
        return Content.styled(redact(plain(state.message)), "$error")
    if isinstance(state, FitStep):
        return Content.styled(step_sentence(state), "$text-muted")
    table = _table(fit_table(state.fit, state.current, state.preview))
    reviews = Content.styled(f"Fitted to {state.fit.reviews:,} reviews.", "$text")
    notes = [Content.styled(note, "$text-muted") for note in fit_notes(state.fit, state.preview)]
    return Content("\n").join([reviews, Content(""), *table, Content(""), *notes])


def _table(rows: Sequence[FitRow]) -> list[Content]:
    label_cells = max(len(row.label) for row in rows)
    head = f"{'':<{label_cells}}{'in force':>{COLUMN_CELLS}}{'fitted':>{COLUMN_CELLS}}"
    return [
        Content.styled(head, "$text-disabled"),
        *(
            Content.assemble(
                (f"{row.label:<{label_cells}}", "$text-muted"),
                (f"{row.before:>{COLUMN_CELLS}}", "$text"),
                (f"{row.after:>{COLUMN_CELLS}}", "$accent"),
            )
            for row in rows
        ),
    ]
