"""Registry: the embedding model that the store belongs to, the vectors that are really there, and other models."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content

from vestige_tui.commands import IN_PLACE, GoToRegistry, bindings
from vestige_tui.embedding import catalog, same_model
from vestige_tui.errors import ReadOnly, Usage
from vestige_tui.screens.base import Place
from vestige_tui.text import ago, cells, cut, grouped, plain
from vestige_tui.widgets.glyphs import level
from vestige_tui.widgets.memory_card import Section
from vestige_tui.widgets.panels import Panels
from vestige_tui.widgets.stacked_bar import Part, StackedBar

if TYPE_CHECKING:
    from datetime import datetime

    from vestige_tui.embedding import CatalogModel, EmbedderSource
    from vestige_tui.model import ModelSignature, VectorCensus
    from vestige_tui.store.service import Store

LICENCE_CELLS = 14
LOOK_SECONDS = 0.5
FILLING = "Making the vectors"


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
        self._model: ModelSignature | None = None
        self._standing: tuple[str, str] | None = None

    def compose_body(self) -> ComposeResult:
        with Panels(id="panels"):
            yield Section("registered model", id="model")
            yield Section("vectors in this store", id="vectors-title")
            yield StackedBar(id="vectors")
            yield Section("models", id="models")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#vectors").display = False
        self.query_one("#panels").focus()
        self.every(LOOK_SECONDS, self._look_at_model)

    def refresh_place(self) -> None:
        self._look()

    def _frame_changed(self, nothing: None) -> None:
        super()._frame_changed(nothing)
        if self.is_mounted:
            self._look_at_model()

    def _look_at_model(self) -> None:
        """Show anew how the model stands, where that has changed: it loads in the background."""
        store, source = self.store, self.console.embedders
        standing = (source.state, self.console.banner or source.message)
        if store is not None and standing != self._standing:
            self._standing = standing
            self._show_model(store)

    def _show_model(self, store: Store) -> None:
        model, source, banner, now = self._model, self.console.embedders, self.console.banner, store.now()
        self.query_one("#model", Section).fill(lambda width: _card(store, model, source, banner, now, width))

    @work(group="look", exclusive=True, exit_on_error=False)
    async def _look(self) -> None:
        store = self.store
        if store is None:
            return
        model = self._model = await store.registered_model()
        self._show_model(store)
        census = await store.vector_census()
        self.query_one("#vectors-title", Section).fill(lambda width: _widths(census, model))
        bar = self.query_one(StackedBar)
        bar.parts, bar.display = _parts(census, model), True
        if self._catalog is None:
            # Asking for the list imports the encoder's library, which takes its time.
            self._catalog = await asyncio.to_thread(catalog)
        known = self._catalog
        self.query_one("#models", Section).fill(lambda width: _models(known, model, width))

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


def _card(
    store: Store, model: ModelSignature | None, source: EmbedderSource, banner: str, now: datetime, width: int
) -> Content:
    if model is None:
        lines = [
            Content.styled("none yet", "$text bold"),
            Content.styled("The first memory that gets a vector registers its model here.", "$text-muted"),
        ]
    else:
        lines = [Content.styled(cut(plain(model.name), width), "$text bold")]
        parts = [f"{grouped(model.dimension)} dimensions"]
        if model.hash:
            parts.append(f"hash {plain(model.hash[:12])}")
        if model.created_at is not None:
            parts.append(f"since {model.created_at:%Y-%m-%d}, {ago(model.created_at, now)}")
        elif store.kind == "vestige":
            parts.append("as its vectors tell")
        lines += [Content.styled(line, "$text-muted") for line in _flow(parts, width)]
    return Content("\n").join([*lines, Content(""), *_state(model, source, banner)])


def _flow(parts: Sequence[str], width: int) -> list[str]:
    """Parts beside each other, three cells apart, on as many lines as they need."""
    lines = [""]
    for part in parts:
        if lines[-1] and cells(lines[-1]) + 3 + cells(part) > width:
            lines.append("")
        lines[-1] += f"   {part}" if lines[-1] else part
    return lines


def _state(model: ModelSignature | None, source: EmbedderSource, banner: str) -> list[Content]:
    """How the model stands in this console and, where it cannot be used, the ways out."""
    filling = banner.startswith(FILLING)
    if banner and not filling:
        mismatch = model is not None and source.configured and not same_model(source.configured, model.name)
        word = "◐ not the configured model" if mismatch else "◐ not usable here"
        return [
            Content.styled(word, "$warning bold"),
            Content.styled(plain(banner), "$text"),
            Content(""),
            *_ways_out(model, bool(mismatch)),
        ]
    words = {
        "ready": ("●", "loaded in this console; searches use it", "$text"),
        "loading": ("◌", plain(source.message) or "loading; until then searches answer by words alone", "$text-muted"),
        "failed": ("◐", plain(source.message), "$warning"),
        "idle": ("○", "not loaded yet", "$text-muted"),
    }
    glyph, said, ink = words[source.state]
    lines = [Content.styled(f"{glyph} {said}", ink)]
    if filling:
        lines.append(Content.styled(f"◌ {plain(banner)}", "$text-muted"))
    return lines


def _ways_out(model: ModelSignature | None, mismatch: bool) -> list[Content]:
    if model is None:
        return []
    name = plain(model.name)
    ways = []
    if mismatch:
        ways.append(("use it", f"set model under [embeddings] to {name}, or leave it out"))
    else:
        ways.append(("fetch it", "it is downloaded on first use; with a network, open the console again"))
    ways.append(("go on", "searches answer by words alone, and nothing is lost"))
    return [Content.assemble((f"  {way:<9} ", "$accent"), (said, "$text-muted")) for way, said in ways]


def _parts(census: VectorCensus, model: ModelSignature | None) -> tuple[Part, ...]:
    right = census.by_width.get(model.dimension, 0) if model else 0
    other = sum(census.by_width.values()) - right
    return (
        Part("searched by meaning", right - census.zero - census.non_finite, "$accent"),
        Part("without a vector", census.without, "$text-muted"),
        Part("of another width, never searched", other, "$warning"),
        Part("zero, never searched", census.zero, "$warning"),
        Part("not finite, never searched", census.non_finite, "$error"),
    )


def _widths(census: VectorCensus, model: ModelSignature | None) -> Content:
    said = "   ".join(f"{grouped(count)} of width {grouped(width)}" for width, count in census.by_width.items())
    return Content.styled(said or "none", "$text-muted")


def _models(models: Sequence[CatalogModel], registered: ModelSignature | None, width: int) -> Content:
    licences = LICENCE_CELLS if width >= 64 else 0
    names = max(16, min(56, width - 2 - 7 - 11 - (licences + 2 if licences else 0)))
    head = f"  {'':<{names}}{'width':>7}{'size MB':>11}" + ("  licence" if licences else "")
    lines = [Content.styled(head, "$text-disabled")]
    here = [model for model in models if model.offline]
    away = [model for model in models if not model.offline]
    for title, group in (("usable here", here), ("to download on first use", away)):
        if not group:
            continue
        if len(lines) > 1:
            lines.append(Content(""))
        lines.append(Content.styled(f"  {title}", "$text-disabled"))
        for model in group:
            used = registered is not None and same_model(model.name, registered.name)
            size = f"{model.size_mb:,.0f}" if model.size_mb else "─"
            name = cut(plain(model.name), names)
            lines.append(
                Content.assemble(
                    ("● " if used else "  ", "$accent"),
                    (f"{name:<{names}}", "$text" if model.offline or used else "$text-muted"),
                    (f"{grouped(model.dimension):>7}{size:>11}", "$text-muted"),
                    (f"  {cut(plain(model.licence), licences)}" if licences else "", "$text-muted"),
                )
            )
    return Content("\n").join(lines)
