"""Registry: the embedding model that the store belongs to, the vectors that are really there, and other models."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container

from vestige_tui.commands import IN_PLACE, ConfigureModel, DropOldVectors, GoToRegistry, Reembed, RollBack, bindings
from vestige_tui.config import default_path, set_value
from vestige_tui.embedding import CatalogModel, catalog
from vestige_tui.errors import ReadOnly, Usage
from vestige_tui.screens.base import Place
from vestige_tui.screens.reembedding import drop_old, preview_of, reembed_from, roll_back
from vestige_tui.screens.registry_card import card, configured_otherwise, history, not_open, parts, second, widths
from vestige_tui.screens.saved_filters import Configured
from vestige_tui.text import below_home, grouped
from vestige_tui.widgets.glyphs import level
from vestige_tui.widgets.memory_card import Section
from vestige_tui.widgets.model_list import ModelList
from vestige_tui.widgets.panels import Panels
from vestige_tui.widgets.stacked_bar import StackedBar

if TYPE_CHECKING:
    from vestige_tui.model import Job, ModelChange, ModelSignature, SpareVectors
    from vestige_tui.store.service import Store

LOOK_SECONDS = 0.5
SHOWN_CHANGES = 12


class RegistryPlace(Place):
    """The registered model as a card, beneath it what is really there and what was before; beside it other models."""

    GO_TO = GoToRegistry
    CSS_PATH: ClassVar[list[str | PurePath]] = ["panels.tcss", "registry.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = bindings(*IN_PLACE["registry"])
    HELP = """\
Vectors of two models cannot be compared, so a store belongs to one. Searches by meaning use that model; where it is not
available here, they answer by words alone and say so.

Choose another model: `enter` or `p` asks the same questions of both, `r` makes the vectors anew with it, as a job,
while searches go on. The vectors of the model before are kept: `b` goes back to them, `D` deletes them. `f` makes the
vectors that are missing. `tab` goes from the models to what stands beside them.
"""

    def __init__(self) -> None:
        super().__init__()
        self._catalog: Sequence[CatalogModel] | None = None
        self._model: ModelSignature | None = None
        self._spare: SpareVectors | None = None
        self._changes: tuple[ModelChange, ...] = ()
        self._standing: tuple[object, ...] | None = None

    def compose_body(self) -> ComposeResult:
        with Container(id="registry-sides"):
            with Panels(id="panels"):
                yield Section("registered model", id="model")
                yield Section("vectors in this store", id="vectors-title")
                yield StackedBar(id="vectors")
                yield Section("second vectors", id="second")
                yield Section("models so far", id="history")
            yield ModelList(id="models")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#vectors").display = False
        self.query_one(ModelList).focus()
        self.every(LOOK_SECONDS, self._look_at_model)

    def refresh_place(self) -> None:
        self._look()

    def _frame_changed(self, nothing: None) -> None:
        super()._frame_changed(nothing)
        if self.is_mounted and self.store is None and self.is_current:
            self._look()
        elif self.is_mounted:
            self._look_at_model()

    def _look_at_model(self) -> None:
        """Show anew how the model stands, where that has changed: it loads in the background."""
        store, source = self.store, self.console.embedders
        job = self._reembedding()
        standing = (source.state, self.console.banner or source.message, job)
        if store is not None and standing != self._standing:
            self._standing = standing
            self._show_model(store)

    def _show_model(self, store: Store) -> None:
        model, source, banner, now = self._model, self.console.embedders, self.console.banner, store.now()
        key = self._key_of(ConfigureModel.id, ConfigureModel.key)
        self.query_one("#model", Section).fill(lambda width: card(store, model, source, banner, now, width, key))
        spare, job = self._spare, self._reembedding()
        named = {"back": RollBack, "drop": DropOldVectors, "again": Reembed}
        keys = {name: self._key_of(command.id, command.key) for name, command in named.items()}
        self.query_one("#second", Section).fill(
            (lambda width: second(spare, job, now, width, keys)) if spare is not None or job is not None else None
        )
        self.refresh_bindings()

    def _reembedding(self) -> Job | None:
        """The re-embedding of this store that is in flight."""
        location = self.store.location if self.store is not None else None
        jobs = self.console.jobs
        return next((job for job in jobs if job.kind == "reembed" and job.in_flight and job.store == location), None)

    @work(group="look", exclusive=True, exit_on_error=False)
    async def _look(self) -> None:
        store = self.store
        if store is None:
            link = self.console.facts.link
            self.query_one("#model", Section).fill(lambda width: not_open(link))
            await self._list_models("")
            return
        from vestige_tui.jobs.spare import history as changes_of
        from vestige_tui.jobs.spare import spare

        self._model = await store.registered_model()
        self._spare = await spare(store)
        self._show_model(store)
        model, census = self._model, await store.vector_census()
        self.query_one("#vectors-title", Section).fill(lambda width: widths(census, width))
        bar = self.query_one(StackedBar)
        bar.parts, bar.display = parts(census, model), True
        changes, now = await changes_of(store, SHOWN_CHANGES), store.now()
        self.query_one("#history", Section).fill((lambda width: history(changes, now, width)) if changes else None)
        await self._list_models(model.name if model is not None else "")

    async def _list_models(self, used: str) -> None:
        if self._catalog is None:
            # Asking for the list imports the encoder's library, which takes its time.
            self._catalog = await asyncio.to_thread(catalog)
        self.query_one(ModelList).show(self._catalog, used)
        self.refresh_bindings()

    # Models

    def on_model_list_model_highlighted(self) -> None:
        self.refresh_bindings()

    def on_model_list_model_chosen(self) -> None:
        if why := self.why_not("preview_model"):
            self.say(why, severity="quiet")
        else:
            self.action_preview_model()

    def why_not(self, action: str) -> str:
        """Why something cannot be done with the chosen model, or with the vectors that are there."""
        if action in ("preview_model", "reembed"):
            return self._not_chosen(action)
        if action in ("roll_back", "drop_old"):
            if self._spare is None or (self._spare.role != "kept" and action == "roll_back"):
                return "No vectors of a model before are kept in this store."
            return self._not_written()
        if action == "configure_model" and not configured_otherwise(self._model, self.console.embedders):
            return "Your settings name no other model than the one that this store belongs to."
        return ""

    def _not_chosen(self, action: str) -> str:
        chosen = self.query_one(ModelList).current
        if action == "reembed":
            return self._not_written()
        if chosen is None:
            return "No model is chosen yet."
        if self.query_one(ModelList).uses(chosen):
            return "The store belongs to this model; choose another one to compare it with."
        return "" if self._model is not None else "This store has no model yet that another one could be compared with."

    def _not_written(self) -> str:
        if self.store is not None and self.store.read_only:
            return f"This store is read-only ({self.store.read_only_reason})."
        return "A re-embedding of this store is under way; F5 shows it." if self._reembedding() is not None else ""

    @work(group="begin", exclusive=True, exit_on_error=False)
    async def action_preview_model(self) -> None:
        if (chosen := self.query_one(ModelList).current) is not None:
            await preview_of(self, chosen)

    @work(group="begin", exclusive=True, exit_on_error=False)
    async def action_reembed(self) -> None:
        models = self.query_one(ModelList)
        chosen = models.current
        await reembed_from(self, chosen if chosen is not None and not models.uses(chosen) else None)

    @work(group="begin", exclusive=True, exit_on_error=False)
    async def action_roll_back(self) -> None:
        await roll_back(self)

    @work(group="begin", exclusive=True, exit_on_error=False)
    async def action_drop_old(self) -> None:
        if self._spare is not None and await drop_old(self, self._spare):
            self.refresh_place()

    # What is missing

    @work(group="fill", exclusive=True, exit_on_error=False)
    async def action_fill_vectors(self) -> None:
        store = self.store
        if store is None:
            raise Usage("The store is not open yet.")
        if store.read_only:
            raise ReadOnly(f"This store is read-only ({store.read_only_reason}), so it gets no vectors from here.")
        self.say("Counting the memories without a vector…", severity="quiet")
        try:
            done = await store.fill_embeddings(self._filled)
        except BaseException:
            self.say("")
            raise
        if done:
            self.say(f"Made {grouped(done)} {'vector' if done == 1 else 'vectors'}.")
            self.console.note_change()
        else:
            self.say("Every memory has a vector already.", severity="quiet")
        self.refresh_place()

    def _filled(self, done: int, total: int) -> None:
        full, rest = level(done / total if total else 1.0, 20)
        self.say(f"{full}{rest}  {grouped(done)} of {grouped(total)} vectors made", severity="quiet")

    # Settings

    @work(group="write", exclusive=True, exit_on_error=False)
    async def action_configure_model(self) -> None:
        model, app = self._model, self.app
        if model is None or not isinstance(app, Configured):
            return
        path = app.config.path or default_path()
        # The file may lie on a slow disk.
        await asyncio.to_thread(set_value, path, "embeddings.model", model.name)
        app.config = replace(app.config, model=model.name, path=path)
        self.console.embedders.configured = model.name
        self.console.prepare_model()
        self.say(f"Wrote the model into {below_home(str(path))}.")
        self.refresh_place()
