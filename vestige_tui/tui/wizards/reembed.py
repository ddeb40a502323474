"""Re-embedding a store from the console: with which model, how they compare, what it costs, and only then the job."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from vestige_tui.core.embeddings import SpareVectors
from vestige_tui.core.errors import Refused, Usage
from vestige_tui.core.text import grouped
from vestige_tui.embedding.models import CatalogModel, catalog, same_model
from vestige_tui.jobs.start import JobRequest, StartedJob, start
from vestige_tui.presenters.jobs import short_model
from vestige_tui.tui.commands import DropOldVectors, FillVectors
from vestige_tui.tui.dialogs.modals import Confirm
from vestige_tui.tui.wizards.cost_step import CostStep, going
from vestige_tui.tui.wizards.model_step import ModelStep
from vestige_tui.tui.wizards.preview_step import PreviewStep
from vestige_tui.tui.wizards.start_step import StartStep, Switch
from vestige_tui.tui.wizards.store_step import with_password
from vestige_tui.tui.wizards.two_stores import shown
from vestige_tui.tui.wizards.wizard import Wizard, WizardStep

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import ModelSignature
    from vestige_tui.core.jobs import Job
    from vestige_tui.reembed.plan import Estimate
    from vestige_tui.store.store import Store
    from vestige_tui.tui.place import Console, Place
    from vestige_tui.tui.wizards.wizard import ShowJob

UNDER_WAY = "A re-embedding of this store is under way; the Jobs place shows it."
BACK_UP = "Back the store up first: its memories, vectors, schedules, and which model it belongs to."
IN_PLACE, DROP_OLD, CONCURRENTLY, DROP_INDEX = "in_place", "drop_old", "concurrent_index", "drop_hnsw_first"


class PreviewWizard(Wizard[None]):
    """Only the comparison, with nothing after it."""

    trail: ClassVar[Sequence[str]] = ("compare",)

    def __init__(self, store: Store, model: CatalogModel, used: ModelSignature) -> None:
        super().__init__("Compare two models")
        self._store, self._model, self._used = store, model, used

    def first(self) -> WizardStep:
        return PreviewStep(self._store, self._model, self._model.dimension, self._used, None)


class ReembedWizard(Wizard[StartedJob]):
    """Model, compare, cost, start; the cursor begins ``at`` a model."""

    trail: ClassVar[Sequence[str]] = ("model", "compare", "cost", "start")

    def __init__(
        self, console: Console, store: Store, used: ModelSignature, models: Sequence[CatalogModel] = (), at: str = ""
    ) -> None:
        super().__init__("Re-embed this store")
        self.console, self.store, self._models, self._used, self._at = console, store, models, used, at

    def first(self) -> WizardStep:
        return ModelStep(self._models, self._used, self._choose, self._at)

    def _choose(self, model: CatalogModel, dimension: int) -> None:
        def ask() -> None:
            said = f"loading {short_model(model.name)}, and measuring how fast it is …"
            self.busy(said, lambda: self._ask_cost(model.name, dimension))

        self.go_on(PreviewStep(self.store, model, dimension, self._used, ask))

    # What it costs

    async def _ask_cost(self, name: str, dimension: int) -> None:
        found = await self.estimate(name, dimension)
        in_use = (await self.store.get_stats()).memories_with_embeddings
        # In place it is the same work; only what goes is another.
        other = replace(found, kind="in_place", drops=SpareVectors(found.before, "kept", in_use))
        await self.go(CostStep((found, other), self.notes(found.after.name), self.ask_start))

    async def estimate(self, name: str, dimension: int) -> Estimate:
        """What it takes to make the vectors of this model beside those in use."""
        from vestige_tui.reembed.plan import estimate

        loop = asyncio.get_running_loop()

        def tell(said: str) -> None:
            # It is told in the thread that loads the model.
            loop.call_soon_threadsafe(self._heard, said)

        found = await estimate(self.store, name, dimension=dimension, tell=tell)
        if found is None:
            raise Refused("The store belongs to this model already; there is nothing to change.")
        return found

    def _heard(self, said: str) -> None:
        if self.is_mounted and self.is_busy:
            self.say(f"◌ {said} …")

    def notes(self, name: str) -> tuple[tuple[str, str], ...]:
        """What to think of before the vectors are those of this model, each with its look."""
        configured = self.console.embedders.configured
        notes = [(BACK_UP, "$text")]
        if configured and not same_model(configured, name):
            said = (
                f"Your settings name {configured}; once this is done, the Registry place offers to write the new model."
            )
            notes.append((said, "$text-muted"))
        return tuple(notes)

    # The start

    def ask_start(self, found: Estimate, kept: SpareVectors | None, begun: Mapping[str, Any] | None = None) -> None:
        """Show what will be done; ``begun`` is what an attempt before was told, which then goes on."""
        in_place, server = found.kind == IN_PLACE, self.store.kind == "postgres"
        how = "in place; search by meaning pauses until it is done" if in_place else "beside the old vectors"
        rows = [
            ("store", shown(self.store.location)),
            ("from", _named(found.before)),
            ("to", _named(found.after)),
            ("how", how if begun is None else f"{how}, from where it was left"),
        ]
        offered = []
        if server and in_place:
            offered.append((DROP_INDEX, "d", "drop the index first, and build it again at the end"))
            # Beside the old vectors nobody has to wait for it anyway.
            offered.append((CONCURRENTLY, "c", "build the index without keeping writers waiting"))
        if not in_place:
            offered.append((DROP_OLD, "o", "delete the old vectors at the end; no way back"))
        switches = [Switch(name, key, says, bool(begun and begun.get(name))) for name, key, says in offered]

        def warned(turned: Mapping[str, bool]) -> Sequence[str]:
            said = going(found, kept)
            if turned.get(DROP_OLD):
                said.append(
                    f"The present vectors of {_named(found.before)}, are deleted at the end; there is no way back."
                )
            return (*said, BACK_UP) if said else ()

        def agreed(turned: Mapping[str, bool]) -> None:
            options = {
                "model": found.after.name,
                "dimension": found.after.dimension,
                **{name: True for name, on in turned.items() if on},
            }
            if in_place:
                options[IN_PLACE] = True
            self.busy("starting the re-embedding …", lambda: self._begin(options))

        self.go_on(StartStep(rows, switches, "start re-embedding", agreed, warned=warned))

    async def _begin(self, options: Mapping[str, Any]) -> None:
        self.dismiss(await start(_work(self.console, self.store, options)))


class GoOnWizard(ReembedWizard):
    """Cost and start of a re-embedding that was left unfinished; ``drop`` is the key that drops what it made."""

    trail: ClassVar[Sequence[str]] = ("cost", "start")

    def __init__(self, console: Console, store: Store, used: ModelSignature, made: SpareVectors, drop: str) -> None:
        super().__init__(console, store, used)
        self._made, self._drop = made, drop

    def first(self) -> WizardStep:
        model = self._made.model
        known = [
            ("from", _named(self._used)),
            ("to", _named(model)),
        ]
        made = f"{grouped(self._made.vectors)} {'vector' if self._made.vectors == 1 else 'vectors'}"
        other = (
            f"This goes on with a re-embedding that is not done; {made} were made so far. For another model, drop them "
            f"first: {self._drop} in the Registry place."
        )
        notes = ((other, "$text"), *self.notes(model.name))
        return CostStep((), notes, self._go_on, known=known, measure=self._measure)

    def _measure(self) -> None:
        self.busy(f"loading {short_model(self._made.model.name)}, and measuring how fast it is …", self._show_cost)

    async def _show_cost(self) -> None:
        found = await self.estimate(self._made.model.name, self._made.model.dimension)
        step = self.step
        if isinstance(step, CostStep):
            step.show(found)
        self.say("")

    def _go_on(self, found: Estimate, kept: SpareVectors | None) -> None:
        model = self._made.model
        begun: Mapping[str, Any] = next(
            (
                job.options
                for job in sorted(self.console.jobs, key=lambda job: job.attempt, reverse=True)
                if job.kind == "reembed"
                and job.store == self.store.location
                and job.options.get("dimension") == model.dimension
                and same_model(str(job.options.get("model") or ""), model.name)
            ),
            {},
        )
        self.ask_start(found, kept, begun)


def under_way(console: Console, store: Store) -> Job | None:
    """The re-embedding of a store that somebody is at just now."""
    now = store.now()
    return next((job for job in of_store(console, store) if job.silence(now) is None), None)


def of_store(console: Console, store: Store) -> Sequence[Job]:
    """The re-embeddings of a store that nobody has ended, also those that give no sign of life."""
    return [job for job in console.jobs if job.kind == "reembed" and job.in_flight and job.store == store.location]


def no_model_yet(memories: int | None, fill: str) -> str:
    """Why a store without a model cannot get another one, and what gives it its first; ``fill`` is the key for that."""
    if memories:
        return f"This store has no model yet; {fill} in the Registry place makes its first vectors."
    return "This store has no model yet: the first memory that is written decides it."


def _work(console: Console, store: Store, options: Mapping[str, Any]) -> JobRequest:
    url = with_password(console, store.location)
    return JobRequest("reembed", url, url, dict(options))


def _opened(place: Place) -> Store:
    if place.store is None:
        raise Usage("The store is not open yet.")
    return place.store


async def preview_of(place: Place, model: CatalogModel) -> None:
    """Show how a model and the store's own rank the same memories."""
    store = _opened(place)
    used = await store.registered_model()
    if used is not None:
        await place.app.push_screen_wait(PreviewWizard(store, model, used))


async def reembed_from(place: Place, show_job: ShowJob, at: str = "") -> bool:
    """Lead through a re-embedding, and show the job that it began; tells whether one runs now.

    One that was left unfinished is gone on with; else the models are offered, the cursor ``at`` one of them.
    """
    from vestige_tui.reembed.spare_vectors import refuse_unwritable, spare

    store = _opened(place)
    refuse_unwritable(store)
    if under_way(place.console, store) is not None:
        raise Refused(UNDER_WAY)
    used = await store.registered_model()
    if used is None:
        raise Refused(no_model_yet((await store.get_stats()).total_memories, place.key_named(FillVectors)))
    made = await spare(store)
    if made is not None and made.role == "building":
        wizard: ReembedWizard = GoOnWizard(place.console, store, used, made, place.key_named(DropOldVectors))
    else:
        place.say("Looking which models there are…", severity="quiet")
        models = await asyncio.to_thread(catalog)
        place.say("")
        wizard = ReembedWizard(place.console, store, used, models, at)
    launched = await place.app.push_screen_wait(wizard)
    if launched is None:
        place.say("Nothing was re-embedded.", severity="quiet")
        return False
    said = "This re-embedding is running already." if launched.already_running else "The re-embedding has started."
    await show_job(place.app, launched.job_id, said)
    return True


async def roll_back(place: Place, show_job: ShowJob) -> bool:
    """Go back to the model before, after saying what that does; tells whether a job does it now."""
    from vestige_tui.reembed.plan import estimate_rollback

    store = _opened(place)
    place.say("Looking what there is to go back to…", severity="quiet")
    try:
        found = await estimate_rollback(store)
    finally:
        place.say("")
    missing = f"{grouped(found.memories)} {'memory' if found.memories == 1 else 'memories'} written or edited since"
    if not found.memories:
        then = "Every memory has a vector of it."
    elif found.loadable:
        then = f"{missing} {'gets' if found.memories == 1 else 'get'} a vector of it."
    else:
        then = f"{missing} will have none: the model is not to be had here."
    rows = [f"from {_named(found.before)}", f"to   {_named(found.after)}", then]
    note = "Searches use the model before from then on; the vectors of now are kept, so that you can come back."
    asked = Confirm("Go back to the model before?", rows, verb="roll back", notes=[note])
    if not await place.app.push_screen_wait(asked):
        return False
    place.say("Starting to roll back…", severity="quiet")
    options = {"rollback": True, **({} if found.loadable else {"partial": True})}
    try:
        launched = await start(_work(place.console, store, options))
    finally:
        place.say("")
    await show_job(place.app, launched.job_id, "The way back has begun.")
    return True


def _named(model: ModelSignature) -> str:
    return f"{model.name}, {grouped(model.dimension)} dimensions"


async def drop_old(place: Place, spare: SpareVectors) -> bool:
    """Delete the vectors of a second model, after asking; tells whether it was done."""
    from vestige_tui.reembed.spare_vectors import drop_spare

    store = _opened(place)
    rows = [_named(spare.model), f"{grouped(spare.vectors)} {'vector' if spare.vectors == 1 else 'vectors'}"]
    if spare.role == "kept":
        note = "The vectors that searches use stay. There is no way back to this model then, but re-embedding."
    else:
        note = "The vectors that searches use stay. What was made so far has to be made again."
    if not await place.app.push_screen_wait(Confirm("Delete these vectors?", rows, verb="delete them", notes=[note])):
        return False
    dropped = await drop_spare(store)
    place.say("The vectors were deleted." if dropped is not None else "They were gone already.")
    place.console.note_change()
    return True
