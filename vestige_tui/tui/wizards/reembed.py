"""Wizard of a re-embedding: model, comparison, cost, start; also the rollback, and deleting second vectors."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from vestige_tui.core.embeddings import SpareVectors
from vestige_tui.core.errors import Refused, Usage
from vestige_tui.embedding.catalogue import CatalogModel, catalog
from vestige_tui.embedding.models import same_model
from vestige_tui.jobs.start import JobRequest, StartedJob, start
from vestige_tui.presenters.job_outcome import start_sentence
from vestige_tui.presenters.job_progress import quantity
from vestige_tui.presenters.models import full_name, short_name
from vestige_tui.presenters.reembedding import (
    NOTHING_TO_CHANGE,
    ROLLBACK_NOTE,
    ROLLBACK_QUESTION,
    deleted_first,
    deleted_last,
    missing_after_rollback,
    model_facts,
)
from vestige_tui.presenters.stores import location
from vestige_tui.presenters.style import Fact
from vestige_tui.reembed.index_build import index_note
from vestige_tui.tui.backups import confirmed_with_backup
from vestige_tui.tui.commands.registry import DropOldVectors, FillVectors
from vestige_tui.tui.commands.store import BackUp
from vestige_tui.tui.dialogs.loss import ConfirmLoss
from vestige_tui.tui.dialogs.modals import Confirm
from vestige_tui.tui.wizards.cost_step import CostStep
from vestige_tui.tui.wizards.model_step import ModelStep
from vestige_tui.tui.wizards.preview_step import PreviewStep
from vestige_tui.tui.wizards.start_step import StartStep, Switch
from vestige_tui.tui.wizards.store_step import with_password
from vestige_tui.tui.wizards.wizard import Wizard, WizardStep

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import ModelSignature
    from vestige_tui.core.jobs import Job
    from vestige_tui.reembed.plan import Estimate
    from vestige_tui.store.store import Store
    from vestige_tui.tui.place import Place
    from vestige_tui.tui.store_session import StoreSession
    from vestige_tui.tui.wizards.wizard import ShowJob

UNDER_WAY = "This store is already being re-embedded; the Jobs screen shows the job."


class ReembeddingUnderWay(Refused):
    """Refused for the time of another re-embedding of the same store."""


BACK_UP = f"Back up the store first: {BackUp.key} on the Store screen, or `vestige-tui backup`."
IN_PLACE, DROP_OLD, CONCURRENTLY, DROP_INDEX = "in_place", "drop_old", "concurrent_index", "drop_hnsw_first"


class PreviewWizard(Wizard[None]):
    """Wizard of the comparison of two models alone."""

    trail: ClassVar[Sequence[str]] = ("compare",)

    def __init__(self, store: Store, model: CatalogModel, current: ModelSignature) -> None:
        super().__init__("Compare two models")
        self._store, self._model, self._current = store, model, current

    def first(self) -> WizardStep:
        return PreviewStep(self._store, self._model, self._model.dimension, self._current, None)


class ReembedWizard(Wizard[StartedJob]):
    """Steps model, compare, cost, start; the cursor begins ``at`` a model."""

    trail: ClassVar[Sequence[str]] = ("model", "compare", "cost", "start")

    def __init__(
        self,
        session: StoreSession,
        store: Store,
        current: ModelSignature,
        models: Sequence[CatalogModel] = (),
        at: str = "",
    ) -> None:
        super().__init__("Re-embed this store")
        self.store_session, self.store, self._models, self._current, self._at = session, store, models, current, at

    def first(self) -> WizardStep:
        return ModelStep(self._models, self._current, self._choose, self._at)

    def _choose(self, model: CatalogModel, dimension: int) -> None:
        def ask() -> None:
            sentence = f"loading {short_name(model.name)} and measuring its speed …"
            self.busy(sentence, lambda: self._ask_cost(model.name, dimension))

        self.go_on(PreviewStep(self.store, model, dimension, self._current, ask))

    # Cost

    async def _ask_cost(self, name: str, dimension: int) -> None:
        estimate = await self.estimate(name, dimension)
        in_use = (await self.store.maintenance.stats()).memories_with_embeddings
        # In place takes the same work, but deletes the vectors in use.
        other = replace(estimate, kind="in_place", drops=SpareVectors(estimate.before, "kept", in_use))
        await self.go(CostStep((estimate, other), self.notes(estimate.after.name), self.ask_start))

    async def estimate(self, name: str, dimension: int) -> Estimate:
        """Return the estimate of a re-embedding into a shadow table. Raises Refused if the model is in use."""
        from vestige_tui.reembed.plan import estimate

        loop = asyncio.get_running_loop()

        def tell(sentence: str) -> None:
            # Called in the thread that loads the model.
            loop.call_soon_threadsafe(self._say_progress, sentence)

        result = await estimate(self.store, name, dimension=dimension, tell=tell)
        if result is None:
            raise Refused(NOTHING_TO_CHANGE)
        return result

    def _say_progress(self, sentence: str) -> None:
        if self.is_mounted and self.is_busy:
            self.say(f"◌ {sentence} …")

    def notes(self, name: str) -> tuple[tuple[str, str], ...]:
        """Return the notes on a re-embedding with this model, each with its style."""
        configured = self.store_session.embedders.configured
        notes = [(BACK_UP, "$text")]
        if configured and not same_model(configured, name):
            sentence = (
                f"Your settings name {configured}; once this is done, the Registry screen can save the new model there."
            )
            notes.append((sentence, "$text-muted"))
        if note := index_note(self.store):
            notes.append((note, "$text-muted"))
        return tuple(notes)

    # The start

    def ask_start(
        self, estimate: Estimate, kept: SpareVectors | None, earlier_options: Mapping[str, Any] | None = None
    ) -> None:
        """Go to the step that starts the job; ``earlier_options`` are those of an attempt to continue."""
        in_place, is_server = estimate.kind == IN_PLACE, self.store.kind == "postgres"
        mode = "in place; vector search pauses until it is done" if in_place else "in a second table"
        rows = [
            ("store", location(self.store.location)),
            *((fact.label, fact.text) for fact in model_facts(estimate)),
            ("how", mode if earlier_options is None else f"{mode}, continued"),
        ]
        options_offered = []
        if is_server and in_place:
            options_offered.append((DROP_INDEX, "d", "drop the index first, rebuild it at the end"))
            # The index build on a shadow table keeps no writer waiting.
            options_offered.append((CONCURRENTLY, "c", "build the index concurrently, writers continue"))
        if not in_place:
            options_offered.append((DROP_OLD, "o", "delete the previous model's vectors at the end; no rollback"))
        switches = [
            Switch(name, key, says, bool(earlier_options and earlier_options.get(name)))
            for name, key, says in options_offered
        ]

        def warn(switched: Mapping[str, bool]) -> Sequence[str]:
            sentences = deleted_first(estimate, kept)
            if switched.get(DROP_OLD):
                sentences.append(deleted_last(estimate))
            return (*sentences, BACK_UP) if sentences else ()

        def begin(switched: Mapping[str, bool]) -> None:
            options = {
                "model": estimate.after.name,
                "dimension": estimate.after.dimension,
                **{name: True for name, on in switched.items() if on},
            }
            if in_place:
                options[IN_PLACE] = True
            self.busy("starting the re-embedding …", lambda: self._begin(options))

        self.go_on(StartStep(rows, switches, "start re-embedding", begin, warnings=warn))

    async def _begin(self, options: Mapping[str, Any]) -> None:
        self.dismiss(await start(_work(self.store_session, self.store, options)))


class GoOnWizard(ReembedWizard):
    """Steps cost and start of an unfinished re-embedding; ``drop`` is the key that deletes its vectors."""

    trail: ClassVar[Sequence[str]] = ("cost", "start")

    def __init__(
        self, session: StoreSession, store: Store, current: ModelSignature, spare: SpareVectors, drop: str
    ) -> None:
        super().__init__(session, store, current)
        self._building, self._drop_key = spare, drop

    def first(self) -> WizardStep:
        model = self._building.model
        facts = [Fact("from", full_name(self._current), "text"), Fact("to", full_name(model), "text")]
        vectors = quantity(self._building.vectors, "vector")
        other_model = (
            f"This continues an unfinished re-embedding: {vectors} computed so far. To use another model, delete them "
            f"first: {self._drop_key} on the Registry screen."
        )
        notes = ((other_model, "$text"), *self.notes(model.name))
        return CostStep((), notes, self._go_on, facts=facts, measure=self._measure)

    def _measure(self) -> None:
        self.busy(f"loading {short_name(self._building.model.name)} and measuring its speed …", self._show_cost)

    async def _show_cost(self) -> None:
        estimate = await self.estimate(self._building.model.name, self._building.model.dimension)
        step = self.step
        if isinstance(step, CostStep):
            step.show(estimate)
        self.say("")

    def _go_on(self, estimate: Estimate, kept: SpareVectors | None) -> None:
        model = self._building.model
        options: Mapping[str, Any] = next(
            (
                job.options
                for job in sorted(self.store_session.jobs, key=lambda job: job.attempt, reverse=True)
                if job.kind == "reembed"
                and job.store == self.store.location
                and job.options.get("dimension") == model.dimension
                and same_model(str(job.options.get("model") or ""), model.name)
            ),
            {},
        )
        self.ask_start(estimate, kept, options)


def under_way(session: StoreSession, store: Store) -> Job | None:
    """Return the re-embedding of a store that is running now."""
    now = store.present()
    return next((job for job in of_store(session, store) if job.silence(now) is None), None)


def of_store(session: StoreSession, store: Store) -> Sequence[Job]:
    """Return the unfinished re-embeddings of a store, also those without a heartbeat."""
    return [job for job in session.jobs if job.kind == "reembed" and job.in_flight and job.store == store.location]


def no_model_yet(memories: int | None, fill: str) -> str:
    """Return the sentence for a store without a model: ``fill`` is the key that computes its first vectors."""
    if memories:
        return f"This store has no model yet; {fill} on the Registry screen computes its first vectors."
    return "This store has no model yet: the first memory added sets it."


def _work(session: StoreSession, store: Store, options: Mapping[str, Any]) -> JobRequest:
    url = with_password(session, store.location)
    return JobRequest("reembed", url, url, dict(options))


def _open_store(place: Place) -> Store:
    if place.store is None:
        raise Usage("The store is not open yet.")
    return place.store


async def preview_of(place: Place, model: CatalogModel) -> None:
    """Show the comparison of a model with the store's own."""
    store = _open_store(place)
    current = await store.models.registered()
    if current is not None:
        await place.app.push_screen_wait(PreviewWizard(store, model, current))


async def reembed_from(place: Place, show_job: ShowJob, at: str = "") -> bool:
    """Run the wizard of a re-embedding and show its job; return whether the job runs.

    An unfinished re-embedding is continued; else the wizard offers the models, the cursor ``at`` one of them.
    """
    from vestige_tui.reembed.spare_vectors import refuse_unwritable, spare

    store = _open_store(place)
    refuse_unwritable(store)
    if under_way(place.store_session, store) is not None:
        raise ReembeddingUnderWay(UNDER_WAY)
    current = await store.models.registered()
    if current is None:
        raise Refused(no_model_yet((await store.maintenance.stats()).total_memories, place.key_named(FillVectors)))
    building = await spare(store)
    if building is not None and building.role == "building":
        wizard: ReembedWizard = GoOnWizard(
            place.store_session, store, current, building, place.key_named(DropOldVectors)
        )
    else:
        place.say("Listing models…", severity="quiet")
        models = await asyncio.to_thread(catalog)
        place.say("")
        wizard = ReembedWizard(place.store_session, store, current, models, at)
    started_job = await place.app.push_screen_wait(wizard)
    if started_job is None:
        place.say("Nothing was re-embedded.", severity="quiet")
        return False
    sentence = start_sentence("reembed", {}, already_running=started_job.already_running)
    await show_job(place.app, started_job.job_id, sentence)
    return True


async def roll_back(place: Place, show_job: ShowJob) -> bool:
    """Roll back to the previous model after asking; return whether a job does it."""
    from vestige_tui.reembed.plan import estimate_rollback

    store = _open_store(place)
    place.say("Reading the previous model…", severity="quiet")
    try:
        estimate = await estimate_rollback(store)
    finally:
        place.say("")
    rows = [*(f"{fact.label:<4} {fact.text}" for fact in model_facts(estimate)), missing_after_rollback(estimate)]
    question = Confirm(ROLLBACK_QUESTION, rows, verb="roll back", notes=[ROLLBACK_NOTE])
    if not await place.app.push_screen_wait(question):
        return False
    place.say("Starting the rollback…", severity="quiet")
    options = {"rollback": True, **({} if estimate.loadable else {"partial": True})}
    try:
        started_job = await start(_work(place.store_session, store, options))
    finally:
        place.say("")
    sentence = start_sentence("reembed", options, already_running=started_job.already_running)
    await show_job(place.app, started_job.job_id, sentence)
    return True


async def drop_old(place: Place, spare: SpareVectors) -> bool:
    """Delete the vectors of a second model after asking; return whether they were deleted."""
    from vestige_tui.reembed.spare_vectors import drop_spare

    store = _open_store(place)
    rows = [full_name(spare.model), quantity(spare.vectors, "vector")]
    if spare.role == "kept":
        note = "The vectors in use stay. To return to this model later, re-embed."
    else:
        note = "The vectors in use stay. The vectors computed so far are lost."
    question = ConfirmLoss("Delete these vectors?", rows, verb="delete them", notes=[note])
    if not await confirmed_with_backup(place, question):
        return False
    dropped = await drop_spare(store)
    place.say("Deleted the vectors." if dropped is not None else "The vectors were already deleted.")
    place.store_session.note_change()
    return True
