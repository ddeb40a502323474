"""Registry: the embedding model of the store, its vectors, and other models."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from vestige_tui.config.directories import default_path
from vestige_tui.config.writer import set_value
from vestige_tui.core.errors import ReadOnly, Usage
from vestige_tui.core.text import below_home, grouped, plain
from vestige_tui.embedding.catalogue import CatalogModel, catalog
from vestige_tui.embedding.models import DEFAULT_MODEL
from vestige_tui.presenters.models import model_hint
from vestige_tui.presenters.reembedding import fill_result
from vestige_tui.presenters.stores import read_only_sentence
from vestige_tui.tui import layout_widths
from vestige_tui.tui.command_screen import NOT_OPEN
from vestige_tui.tui.commands.catalogue import IN_PLACE
from vestige_tui.tui.commands.command import bindings
from vestige_tui.tui.commands.jobs import Reembed
from vestige_tui.tui.commands.lists import MOTIONS, LeaveLine
from vestige_tui.tui.commands.places import GoToRegistry
from vestige_tui.tui.commands.registry import (
    ConfigureModel,
    DropOldVectors,
    FillVectors,
    LeaveModelCard,
    ReadModelCard,
    RollBack,
)
from vestige_tui.tui.filters.saved import Configured
from vestige_tui.tui.jobs.place import show_job
from vestige_tui.tui.place import Place
from vestige_tui.tui.registry.card import (
    ModelSnapshot,
    brief,
    card,
    configured_otherwise,
    has_second,
    history,
    not_open,
    parts,
    titled_second,
    widths,
)
from vestige_tui.tui.registry.model_list import ModelList
from vestige_tui.tui.widgets.glyphs import level
from vestige_tui.tui.widgets.panels import Panels
from vestige_tui.tui.widgets.section import Section
from vestige_tui.tui.widgets.stacked_bar import StackedBar
from vestige_tui.tui.wizards.reembed import (
    UNDER_WAY,
    ReembeddingUnderWay,
    drop_old,
    no_model_yet,
    of_store,
    preview_of,
    reembed_from,
    roll_back,
    under_way,
)
from vestige_tui.tui.workers import work

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import ModelChange, ModelSignature, SpareVectors, VectorCensus
    from vestige_tui.core.jobs import Job
    from vestige_tui.store.store import Store

LOOK_SECONDS = 0.5
MAX_CHANGE_ROWS = 12
KEYS = {
    "write": ConfigureModel,
    "back": RollBack,
    "drop": DropOldVectors,
    "again": Reembed,
    "fill": FillVectors,
    "card": ReadModelCard,
}
"""Commands with keys that the card names."""


class ModelCard(Panels, inherit_bindings=False):
    """Panel with the full text on the store's model."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(LeaveModelCard, *MOTIONS)

    @dataclass
    class Closed(Message):
        """The user left the card for the models."""

    def action_leave_card(self) -> None:
        self.post_message(self.Closed())


class NarrowLine(Input):
    """Line that narrows the list of models; ``down`` and ``enter`` go to the list."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(LeaveLine)

    def action_leave_line(self) -> None:
        self.post_message(self.Submitted(self, self.value))


class RegistryPlace(Place):
    """Card of the registered model, its vectors and history below, and other models beside it.

    In a narrow terminal the short form of the card is above the models, and the full card replaces both.
    """

    GO_TO = GoToRegistry
    CSS_PATH: ClassVar[list[str | PurePath]] = ["../widgets/panels.tcss", "place.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = bindings(*IN_PLACE["registry"])
    HELP = """\
Vectors of two models cannot be compared, so a store uses one model. Vector search needs it; where it is not available,
searches use text only and say so.

`/` narrows the list by words, such as `german` or `384`; the line below it tells what the model under the cursor is
good for.

Another model: `enter` or `p` compares both models for the same queries, `r` re-embeds with it, as a job, while
searches continue. The vectors of the previous model are kept: `b` rolls back to them, `D` deletes them. `f` computes
missing vectors. `tab` switches between the list of models and the card of this store's model.
"""

    def __init__(self) -> None:
        super().__init__()
        self._catalog: Sequence[CatalogModel] | None = None
        self._looked = False
        self._narrowing = False
        self._keys = {name: command.key for name, command in KEYS.items()}
        self._model: ModelSignature | None = None
        self._census: VectorCensus | None = None
        self._spare: SpareVectors | None = None
        self._changes: tuple[ModelChange, ...] = ()
        self._standing: tuple[object, ...] | None = None

    def compose_body(self) -> ComposeResult:
        with Container(id="registry-sides"):
            yield Section("", id="brief")
            with ModelCard(id="panels"):
                yield Section("registered model", id="model")
                yield Section("vectors in this store", id="vectors-title")
                yield StackedBar(id="vectors")
                yield Section("", id="second")
                yield Section("model history", id="history")
            with Vertical(id="models-side"):
                yield NarrowLine(placeholder="name, language, dimensions, licence", compact=True, id="narrow")
                yield ModelList(id="models")
                yield Static(id="model-hint", markup=False)

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#vectors").display = False
        self.query_one(ModelList).focus()
        self.every(LOOK_SECONDS, self._look_at_model)

    def on_screen_resume(self) -> None:
        # Another process may have fetched a model meanwhile.
        self._catalog = None
        super().on_screen_resume()

    def action_place(self, place: str) -> None:
        if place == self.GO_TO.place:
            self._catalog = None
            self.refresh_place()
        super().action_place(place)

    def action_refresh_place(self) -> None:
        self._catalog = None
        super().action_refresh_place()

    def refresh_place(self) -> None:
        self._look()

    def _frame_changed(self, nothing: None) -> None:
        super()._frame_changed(nothing)
        if self.is_mounted and self.store is None and self.is_current:
            self._look()
        elif self.is_mounted:
            self._look_at_model()

    def _look_at_model(self) -> None:
        """Poll the state of the model, which loads in the background, and show it if it has changed."""
        store, source = self.store, self.store_session.embedders
        if store is None:
            return
        job = self._reembedding()
        # A silent job changes only its age.
        stale = job is not None and job.silence(store.present()) is not None
        standing = (source.state, self.store_session.banner, source.message, job, stale)
        if standing != self._standing:
            self._standing = standing
            if self._looked:
                self._show(store)
            if under_way(self.store_session, store) is None:
                self._withdraw_under_way()

    def _withdraw_under_way(self) -> None:
        """Clear the message that a re-embedding stands in the way, once none does."""
        notice = self._status.notice
        if isinstance(notice.error, ReembeddingUnderWay) or (notice.action and not self.why_not(notice.action)):
            self._status.clear()

    # Painting

    def _snapshot(self, store: Store) -> ModelSnapshot:
        source = self.store_session.embedders
        return ModelSnapshot(
            self._model,
            store.present(),
            source.state,
            message=source.message,
            loaded_hash=source.loaded_hash,
            banner=self.store_session.banner,
            mismatch=configured_otherwise(self._model, source),
            first=source.configured or DEFAULT_MODEL,
            listed=self.query_one(ModelList).knows_used,
            census=self._census,
            spare=self._spare,
            job=self._reembedding(),
            changes=self._changes,
            read_only=store.read_only,
            recorded=store.kind != "vestige",
        )

    def _show(self, store: Store) -> None:
        snapshot = self._snapshot(store)
        shown = self._keys_of({command.id: command.key for command in KEYS.values()})
        keys = self._keys = {name: shown[command.id] for name, command in KEYS.items()}
        census = snapshot.census if snapshot.memories else None
        self.query_one("#brief", Section).fill(lambda width: brief(snapshot, width, keys))
        self.query_one("#model", Section).fill(lambda width: card(snapshot, width, keys))
        self.query_one("#vectors-title", Section).fill(
            (lambda width: widths(census, width)) if census is not None else None
        )
        bar = self.query_one(StackedBar)
        bar.parts = parts(snapshot)
        bar.display = bool(bar.parts)
        self.query_one("#second", Section).fill(
            (lambda width: titled_second(snapshot, width, keys)) if has_second(snapshot) else None
        )
        self.query_one("#history", Section).fill((lambda width: history(snapshot, width)) if snapshot.changes else None)
        self._show_hint()
        self.refresh_bindings()

    def _reembedding(self) -> Job | None:
        """Return the re-embedding of this store that has not ended."""
        jobs = of_store(self.store_session, self.store) if self.store is not None else ()
        return jobs[0] if jobs else None

    @work(group="look", exclusive=True, exit_on_error=False)
    async def _look(self) -> None:
        store = self.store
        if store is None:
            state = self.store_session.state
            for section in ("#brief", "#model"):
                self.query_one(section, Section).fill(lambda width: not_open(state))
            await self._list_models(None)
            return
        from vestige_tui.reembed.spare_vectors import history as changes_of
        from vestige_tui.reembed.spare_vectors import spare

        model = await store.models.registered()
        if self._looked and model != self._model:
            self._catalog = None
        second_vectors, changes = await spare(store), await changes_of(store, MAX_CHANGE_ROWS)
        # All at once, so that the text does not move while it is read; only counting the vectors takes long.
        self._model, self._spare, self._changes = model, second_vectors, changes
        if self._looked:
            self._show(store)
        self._census = await store.models.census()
        self._looked = True
        self._show(store)
        await self._list_models(model)
        self._show(store)

    async def _list_models(self, used: ModelSignature | None) -> None:
        if self._catalog is None:
            # The catalog imports the encoder's library, which is slow.
            self._catalog = await asyncio.to_thread(catalog)
        models = self.query_one(ModelList)
        fetched = models.is_away
        models.show(self._catalog, used.name if used is not None else "")
        self._show_hint()
        if fetched and not models.is_away and self.store_session.banner is not None:
            # The store's own model has been downloaded meanwhile.
            self.store_session.prepare_model()
        self.refresh_bindings()

    # The card and the models

    @property
    def is_page_open(self) -> bool:
        return self.query_one(ModelCard).has_focus and not layout_widths.is_wide(self.size.width)

    def on_descendant_focus(self) -> None:
        self.set_class(self.query_one(ModelCard).has_focus, "-reading")

    def action_back(self) -> None:
        if self.is_page_open:
            self.on_model_card_closed()
        elif self._narrowing:
            self._end_narrowing()
        else:
            super().action_back()

    def action_read_card(self) -> None:
        self.add_class("-reading")
        self.set_focus(self.query_one(ModelCard))

    def on_model_card_closed(self) -> None:
        self.remove_class("-reading")
        self.set_focus(self.query_one(ModelList))

    # Models

    def on_model_list_model_highlighted(self) -> None:
        self._show_hint()
        self.refresh_bindings()

    def _show_hint(self) -> None:
        """Show below the list who should choose the model under the cursor."""
        models = self.query_one(ModelList)
        model = models.current
        if model is None:
            text = "No model matches these words." if self.query_one("#narrow", Input).value.strip() else ""
        else:
            text = model_hint(model)
            if not models.knows_used:
                text += " This store's own model is not in this list."
        self.query_one("#model-hint", Static).update(Content.styled(plain(text), "$text-muted"))

    # Narrowing the list

    def action_narrow_models(self) -> None:
        self.remove_class("-reading")
        self._narrowing = True
        self.add_class("-narrowing")
        self.query_one("#narrow", Input).focus()

    @on(Input.Changed, "#narrow")
    def _narrowed(self, event: Input.Changed) -> None:
        event.stop()
        self.query_one(ModelList).narrow(event.value)
        self._show_hint()
        self.refresh_bindings()

    @on(Input.Submitted, "#narrow")
    def _to_the_models(self, event: Input.Submitted) -> None:
        event.stop()
        self.query_one(ModelList).focus()

    def _end_narrowing(self) -> None:
        self.query_one("#narrow", Input).value = ""
        self._narrowing = False
        self.remove_class("-narrowing")
        self.query_one(ModelList).focus()

    def on_model_list_model_chosen(self) -> None:
        if not self.say_why_not("preview_model"):
            self.action_preview_model()

    def why_not(self, action: str) -> str:
        """Return the reason against a command on the chosen model or the vectors, or an empty string."""
        if reason := super().why_not(action):
            return reason
        if action == "preview_model":
            return self._not_compared()
        if action == "reembed":
            if self._looked and self._model is None:
                return no_model_yet(self._without, self._keys["fill"])
            return self._not_now()
        if action in ("roll_back", "drop_old"):
            if self._spare is None or (self._spare.role != "kept" and action == "roll_back"):
                return "This store keeps no vectors of a previous model."
            return self._not_now()
        if action == "configure_model" and not configured_otherwise(self._model, self.store_session.embedders):
            return self._against_configuring()
        return ""

    def _against_configuring(self) -> str:
        if self._model is None:
            return no_model_yet(self._without, self._keys["fill"]) if self._looked else "The model is still being read."
        if self.store_session.embedders.configured:
            return "Your settings already name this store's model."
        return "Your settings name no model, so the store's own is used."

    @property
    def _without(self) -> int:
        return self._census.without if self._census is not None else 0

    def _not_compared(self) -> str:
        chosen = self.query_one(ModelList).current
        if chosen is None:
            return "No model is selected."
        width = self._model.dimension if self._model is not None else None
        if self.query_one(ModelList).uses(chosen) and chosen.dimension == width:
            return "This store uses this model; choose another one to compare."
        return "" if self._model is not None else "This store has no model yet to compare with."

    def _not_now(self) -> str:
        store = self.store
        return UNDER_WAY if store is not None and under_way(self.store_session, store) is not None else ""

    @work(group="begin", exclusive=True, exit_on_error=False)
    async def action_preview_model(self) -> None:
        if (chosen := self.query_one(ModelList).current) is not None:
            await preview_of(self, chosen)

    @work(group="begin", exclusive=True, exit_on_error=False)
    async def action_reembed(self) -> None:
        models = self.query_one(ModelList)
        chosen = models.current
        await reembed_from(self, show_job, chosen.name if chosen is not None and not models.uses(chosen) else "")

    @work(group="begin", exclusive=True, exit_on_error=False)
    async def action_roll_back(self) -> None:
        await roll_back(self, show_job)

    @work(group="begin", exclusive=True, exit_on_error=False)
    async def action_drop_old(self) -> None:
        if self._spare is not None and await drop_old(self, self._spare):
            self.refresh_place()

    # Missing vectors

    @work(group="fill", exclusive=True, exit_on_error=False)
    async def action_fill_vectors(self) -> None:
        store = self.store
        if store is None:
            raise Usage(NOT_OPEN)
        if store.read_only:
            raise ReadOnly(read_only_sentence(store.read_only_reason))
        self.say("Counting memories without a vector…", severity="quiet")
        try:
            count = await store.models.fill(self._show_fill_progress)
        except BaseException:
            self.say("")
            raise
        if count:
            self.say(fill_result(count))
            self.store_session.note_change()
        else:
            self.say(fill_result(count), severity="quiet")
        self.refresh_place()

    def _show_fill_progress(self, count: int, total: int) -> None:
        full, rest = level(count / total if total else 1.0, 20)
        self.say(f"{full}{rest}  {grouped(count)} of {grouped(total)} vectors computed", severity="quiet")

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
        self.store_session.embedders.configured = model.name
        self.store_session.prepare_model()
        self.say(f"Saved the model in {below_home(str(path))}.")
        self.refresh_place()
