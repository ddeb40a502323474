"""Choosing an embedding model: those that are here first, then those to fetch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from vestige_tui.embedding import CatalogModel
from vestige_tui.screens.wizard import Step, Wizard
from vestige_tui.text import cut, plain
from vestige_tui.widgets.model_list import ModelList

LONGEST_SAID = 300


class ModelStep(Step):
    """The models of the catalog; what is known of the one under the cursor stands beneath them."""

    word = "model"
    keys = (("enter", "choose"), ("↑↓", "move"))

    def __init__(self, models: Sequence[CatalogModel], used: str, chosen: Callable[[CatalogModel], None]) -> None:
        super().__init__()
        self._models, self._used, self._chosen = models, used, chosen

    def compose(self) -> ComposeResult:
        yield ModelList()
        yield Static(id="model-said", markup=False)

    def on_mount(self) -> None:
        self.query_one(ModelList).show(self._models, self._used)
        self._describe()

    def begin(self) -> None:
        self.query_one(ModelList).focus()

    @on(ModelList.ModelHighlighted)
    def _describe(self) -> None:
        model = self.query_one(ModelList).current
        said = cut(plain(model.description), LONGEST_SAID) if model is not None else ""
        self.query_one("#model-said", Static).update(Content.styled(said, "$text-muted"))

    @on(ModelList.ModelChosen)
    def _take(self, event: ModelList.ModelChosen) -> None:
        event.stop()
        if self.query_one(ModelList).uses(event.model):
            screen = self.screen
            assert isinstance(screen, Wizard)
            screen.say("The store belongs to this model already; choose another one.", "waiting")
        else:
            self._chosen(event.model)
