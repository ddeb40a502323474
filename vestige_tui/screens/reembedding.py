"""Re-embedding a store from the console: with which model, how they compare, what it costs, and only then the job."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from vestige_tui.embedding import CatalogModel, catalog, same_model
from vestige_tui.errors import Refused, Usage
from vestige_tui.jobs.launch import Launched, Work, start
from vestige_tui.screens.cost_step import CostStep
from vestige_tui.screens.modals import Confirm
from vestige_tui.screens.model_step import ModelStep
from vestige_tui.screens.preview_step import PreviewStep
from vestige_tui.screens.start_step import StartStep, Switch
from vestige_tui.screens.store_step import with_password
from vestige_tui.screens.two_stores import shown
from vestige_tui.screens.wizard import Step, Wizard
from vestige_tui.text import grouped
from vestige_tui.widgets.job_words import short_model

if TYPE_CHECKING:
    from vestige_tui.jobs.reembed import Estimate
    from vestige_tui.model import ModelSignature, SpareVectors
    from vestige_tui.screens.base import Console, Place
    from vestige_tui.store.service import Store

BACK_UP = "Back the store up first: its memories, vectors, schedules, and which model it belongs to."
IN_PLACE, DROP_OLD, CONCURRENTLY, DROP_INDEX = "in_place", "drop_old", "concurrent_index", "drop_hnsw_first"


class PreviewWizard(Wizard[None]):
    """Only the comparison, with nothing after it."""

    trail: ClassVar[Sequence[str]] = ("compare",)

    def __init__(self, store: Store, model: CatalogModel, used: str) -> None:
        super().__init__("Compare two models")
        self._store, self._model, self._used = store, model, used

    def first(self) -> Step:
        return PreviewStep(self._store, self._model, self._used, None)


class ReembedWizard(Wizard[Launched]):
    """Model, compare, cost, start; with a ``model`` that is chosen already it begins with comparing."""

    trail: ClassVar[Sequence[str]] = ("model", "compare", "cost", "start")

    def __init__(
        self, console: Console, store: Store, models: Sequence[CatalogModel], used: str, model: CatalogModel | None
    ) -> None:
        super().__init__("Re-embed this store")
        self.console, self._store = console, store
        self._models, self._used, self._model = models, used, model

    def first(self) -> Step:
        return ModelStep(self._models, self._used, self._choose) if self._model is None else self._compare(self._model)

    def _choose(self, model: CatalogModel) -> None:
        self._model = model
        self.go_on(self._compare(model))

    def _compare(self, model: CatalogModel) -> Step:
        return PreviewStep(self._store, model, self._used, lambda: self._ask_cost(model))

    # What it costs

    def _ask_cost(self, model: CatalogModel) -> None:
        self.busy(f"loading {short_model(model.name)}, and measuring how fast it is …", lambda: self._cost(model))

    async def _cost(self, model: CatalogModel) -> None:
        from vestige_tui.jobs.reembed import estimate

        loop = asyncio.get_running_loop()

        def tell(said: str) -> None:
            # It is told in the thread that loads the model.
            loop.call_soon_threadsafe(self._heard, said)

        found = await estimate(self._store, model.name, tell=tell)
        if found is None:
            raise Refused("The store belongs to this model already; there is nothing to change.")
        await self.go(CostStep(found, self._notes(found), self._ask_start, self._turn))

    def _heard(self, said: str) -> None:
        if self.is_mounted and self.is_busy:
            self.say(f"◌ {said} …")

    def _notes(self, found: Estimate) -> tuple[str, ...]:
        configured = self.console.embedders.configured
        notes = [BACK_UP]
        if configured and not same_model(configured, found.after.name):
            notes.append(
                f"Your settings name {configured}; once this is done, the Registry place offers to write the new model."
            )
        return tuple(notes)

    def _turn(self, before: Estimate) -> None:
        self.busy("estimating the other way …", lambda: self._other_way(before))

    async def _other_way(self, before: Estimate) -> None:
        from vestige_tui.jobs.reembed import estimate

        in_place = before.kind != IN_PLACE
        found = await estimate(self._store, before.after.name, in_place=in_place, measure=False)
        if found is None:
            raise Refused("The store belongs to this model already; there is nothing to change.")
        each = before.texts_per_second
        seconds = found.memories / each if each else None
        step = self.step
        if isinstance(step, CostStep):
            step.show(replace(found, texts_per_second=each, seconds=seconds))
        self.say("")

    # The start

    def _ask_start(self, found: Estimate) -> None:
        in_place, server = found.kind == IN_PLACE, self._store.kind == "postgres"
        rows = [
            ("store", shown(self._store.location)),
            ("from", f"{found.before.name}, {grouped(found.before.dimension)} dimensions"),
            ("to", f"{found.after.name}, {grouped(found.after.dimension)} dimensions"),
            ("how", "in place" if in_place else "beside the old vectors"),
        ]
        switches = []
        if server and in_place:
            switches.append(Switch(DROP_INDEX, "d", "drop the index first, and build it again at the end", False))
        if server and not in_place:
            switches.append(Switch(CONCURRENTLY, "c", "build the index without keeping writers waiting", False))
        if not in_place:
            switches.append(Switch(DROP_OLD, "o", "delete the old vectors at the end; no way back then", False))

        def agreed(turned: Mapping[str, bool]) -> None:
            options = {"model": found.after.name, **{name: True for name, on in turned.items() if on}}
            if in_place:
                options[IN_PLACE] = True
            self.busy("starting the re-embedding …", lambda: self._begin(options))

        self.go_on(StartStep(rows, switches, "start re-embedding", agreed))

    async def _begin(self, options: Mapping[str, Any]) -> None:
        self.dismiss(await start(_work(self.console, self._store, options)))


def _work(console: Console, store: Store, options: Mapping[str, Any]) -> Work:
    url = with_password(console, store.location)
    return Work("reembed", url, url, dict(options))


def _opened(place: Place) -> Store:
    if place.store is None:
        raise Usage("The store is not open yet.")
    return place.store


async def preview_of(place: Place, model: CatalogModel) -> None:
    """Show how a model and the store's own rank the same memories."""
    store = _opened(place)
    used = await store.registered_model()
    await place.app.push_screen_wait(PreviewWizard(store, model, used.name if used is not None else ""))


async def reembed_from(place: Place, model: CatalogModel | None = None) -> bool:
    """Lead through a re-embedding, and show the job that it began; tells whether one runs now."""
    from vestige_tui.jobs.spare import refuse_unwritable
    from vestige_tui.screens.jobs import show_job

    store = _opened(place)
    refuse_unwritable(store)
    used = await store.registered_model()
    if used is None:
        raise Refused("This store belongs to no model yet; fill it in the Registry place first.")
    place.say("Looking which models there are…", severity="quiet")
    models = await asyncio.to_thread(catalog)
    place.say("")
    launched = await place.app.push_screen_wait(ReembedWizard(place.console, store, models, used.name, model))
    if launched is None:
        place.say("Nothing was re-embedded.", severity="quiet")
        return False
    said = "This re-embedding is running already." if launched.already_running else "The re-embedding has started."
    await show_job(place.app, launched.job_id, said)
    return True


async def roll_back(place: Place) -> bool:
    """Go back to the model before, after saying what that does; tells whether a job does it now."""
    from vestige_tui.jobs.reembed import estimate_rollback
    from vestige_tui.screens.jobs import show_job

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
        then = f"{missing} get a vector of it."
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
    except BaseException:
        place.say("")
        raise
    await show_job(place.app, launched.job_id, "The store is rolled back.")
    return True


def _named(model: ModelSignature) -> str:
    return f"{model.name}, {grouped(model.dimension)} dimensions"


async def drop_old(place: Place, spare: SpareVectors) -> bool:
    """Delete the vectors of a second model, after asking; tells whether it was done."""
    from vestige_tui.jobs.spare import drop_spare

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
