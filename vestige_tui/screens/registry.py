"""Registry: the embedding model that the store belongs to, the vectors that are really there, and other models."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content

from vestige_tui.commands import IN_PLACE, GoToRegistry, bindings
from vestige_tui.embedding import catalog, same_model
from vestige_tui.errors import ReadOnly
from vestige_tui.screens.base import Place
from vestige_tui.text import ago, cut, grouped, plain
from vestige_tui.widgets.memory_card import Section
from vestige_tui.widgets.stacked_bar import Part, StackedBar

if TYPE_CHECKING:
    from datetime import datetime

    from vestige_tui.embedding import CatalogModel
    from vestige_tui.model import ModelSignature, VectorCensus

SHOWN_MODELS = 40


class RegistryPlace(Place):
    """The registered model as a card, beneath it what is really there, then what could be used."""

    GO_TO = GoToRegistry
    CSS_PATH: ClassVar[list[str | PurePath]] = ["panels.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = bindings(*IN_PLACE["registry"])
    HELP = """\
Vectors of two models cannot be compared, so a store belongs to one. Searches by meaning use that model; where it is not
available here, they answer by words alone and say so.

`f` makes the vectors that are missing.
"""

    def __init__(self) -> None:
        super().__init__()
        self._catalog: Sequence[CatalogModel] | None = None

    def compose_body(self) -> ComposeResult:
        with VerticalScroll(id="panels", can_focus=True):
            yield Section("registered model", id="model")
            yield Section("vectors in this store", id="vectors-title")
            yield StackedBar(id="vectors")
            yield Section("models", id="models")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#panels").focus()

    def refresh_place(self) -> None:
        self._look()

    @work(group="look", exclusive=True, exit_on_error=False)
    async def _look(self) -> None:
        store = self.store
        if store is None:
            return
        model, now = await store.registered_model(), store.now()
        source = self.console.embedders
        state = self.console.banner or source.message
        self.query_one("#model", Section).fill(lambda width: _model(model, now, state, source.state, width))
        census = await store.vector_census()
        self.query_one("#vectors-title", Section).fill(lambda width: _widths(census, model))
        self.query_one(StackedBar).parts = _parts(census, model)
        if self._catalog is None:
            # Asking for the list imports the encoder's library, which takes its time.
            self._catalog = await asyncio.to_thread(catalog)
        known = self._catalog
        self.query_one("#models", Section).fill(lambda width: _models(known, model, width))

    @work(group="fill", exclusive=True, exit_on_error=False)
    async def action_fill_vectors(self) -> None:
        store = self.store
        if store is None:
            return
        if store.read_only:
            raise ReadOnly(f"This store is read-only: {store.read_only_reason}.")
        done = await store.fill_embeddings(
            lambda done, total: self.say(f"Made {grouped(done)} of {grouped(total)} vectors.", severity="quiet")
        )
        self.say(f"Made {grouped(done)} vectors." if done else "Every memory has a vector already.")
        self.console.note_change()
        self.refresh_place()


def _model(model: ModelSignature | None, now: datetime, state: str, loading: str, width: int) -> Content:
    if model is None:
        return Content.styled("None yet: the first memory with a vector registers its model.", "$text-muted")
    lines = [Content.styled(cut(plain(model.name), width), "$text bold")]
    parts = [f"{grouped(model.dimension)} dimensions"]
    if model.hash:
        parts.append(f"hash {plain(model.hash[:12])}")
    if model.created_at:
        parts.append(f"since {model.created_at:%Y-%m-%d} ({ago(model.created_at, now)})")
    lines.append(Content.styled("   ".join(parts), "$text-muted"))
    words = {
        "ready": "● loaded in this console",
        "loading": "◐ loading",
        "failed": "■ not usable here",
        "idle": "○ not loaded yet",
    }
    said = words.get(loading, loading) + (f": {plain(state)}" if state and loading != "ready" else "")
    lines.append(Content.styled(said, "$warning" if loading == "failed" else "$text-muted"))
    return Content("\n").join(lines)


def _parts(census: VectorCensus, model: ModelSignature | None) -> tuple[Part, ...]:
    right = census.by_width.get(model.dimension, 0) if model else 0
    other = sum(census.by_width.values()) - right
    return (
        Part("searched by meaning", right - census.zero - census.non_finite, "$accent"),
        Part("without a vector", census.without, "$text-muted"),
        Part("of another width, never searched", other, "$warning"),
        Part("zero or not finite, never searched", census.zero + census.non_finite, "$error"),
    )


def _widths(census: VectorCensus, model: ModelSignature | None) -> Content:
    said = "   ".join(f"{grouped(count)} of width {width}" for width, count in census.by_width.items())
    return Content.styled(said or "none", "$text-muted")


def _models(models: Sequence[CatalogModel], registered: ModelSignature | None, width: int) -> Content:
    names = max(20, min(52, width - 44))
    lines = [Content.styled(f"  {'':<{names}}{'width':>7}{'size':>10}  licence", "$text-disabled")]
    here = [model for model in models if model.offline]
    away = [model for model in models if not model.offline]
    for title, group in (("here", here), ("to download on first use", away[:SHOWN_MODELS])):
        if group:
            lines.append(Content.styled(title, "$text-muted"))
        for model in group:
            used = registered is not None and same_model(model.name, registered.name)
            size = f"{model.size_mb:,.0f} MB" if model.size_mb else ""
            lines.append(
                Content.assemble(
                    ("● " if used else "  ", "$accent"),
                    (f"{cut(plain(model.name), names):<{names}}", "$text" if model.offline else "$text-muted"),
                    (f"{model.dimension:>7}{size:>10}  {cut(plain(model.licence), 18)}", "$text-muted"),
                )
            )
    return Content("\n").join(lines)
