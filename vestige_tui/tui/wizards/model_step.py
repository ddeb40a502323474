"""Choosing an embedding model, and how many dimensions its vectors get: those that are here first, then the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Input, Static

from vestige_tui.core.text import cut, grouped, plain
from vestige_tui.embedding.models import CatalogModel
from vestige_tui.presenters.jobs import short_model
from vestige_tui.tui.registry.model_list import ModelList
from vestige_tui.tui.wizards.wizard import Wizard, WizardStep

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import ModelSignature

LONGEST_SAID = 300


class ModelStep(WizardStep):
    """The models of the catalog; beneath them what is known of the one under the cursor, and the width to be made.

    The cursor begins ``at`` a model, else at the first that is not the store's own.
    """

    word = "model"
    keys = (("enter", "choose"), ("w", "width"), ("↑↓", "move"))
    DEFAULT_CSS = """
    ModelStep #model-said { height: auto; max-height: 3; }
    ModelStep #model-width { height: 1; }
    ModelStep #model-width > Static { width: auto; color: $text-muted; }
    ModelStep #model-width > Input { width: 8; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("w", "ask_width", "width", show=False),
        Binding("up,down", "list_models", "models", show=False),
    ]

    def __init__(
        self,
        models: Sequence[CatalogModel],
        used: ModelSignature,
        chosen: Callable[[CatalogModel, int], None],
        at: str = "",
    ) -> None:
        super().__init__()
        self._models, self._used, self._chosen, self._at = models, used, chosen, at

    def compose(self) -> ComposeResult:
        yield ModelList()
        yield Static(id="model-said", markup=False)
        with Horizontal(id="model-width"):
            yield Static("width ", markup=False)
            yield Input(restrict=r"\d{0,5}", compact=True)
            yield Static(id="model-widths", markup=False)

    def on_mount(self) -> None:
        # One line beneath the list, also where a line to type into is set off elsewhere.
        self.query_one(Input).styles.margin = 0
        models = self.query_one(ModelList)
        models.show(self._models, self._used.name)
        models.go_to(self._at)
        self._describe()

    def begin(self) -> None:
        self.query_one(ModelList).focus()

    @on(ModelList.ModelHighlighted)
    def _describe(self) -> None:
        model = self.query_one(ModelList).current
        if model is None:
            return
        said = cut(plain(model.description), LONGEST_SAID)
        if self._is_used(model):
            said = f"The store has its vectors, {grouped(self._used.dimension)} dimensions. {said}"
        self.query_one("#model-said", Static).update(Content.styled(said, "$text-muted"))
        self.query_one(Input).value = str(model.dimension)
        self.query_one("#model-widths", Static).update(f" of {grouped(model.dimension)} dimensions")
        self._wizard.say("")

    @property
    def _wizard(self) -> Wizard[object]:
        screen = self.screen
        assert isinstance(screen, Wizard)
        return screen

    def _is_used(self, model: CatalogModel) -> bool:
        return self.query_one(ModelList).uses(model)

    def action_ask_width(self) -> None:
        line = self.query_one(Input)
        line.focus()
        line.select_all()
        self._wizard.say("Fewer dimensions take less room; a model that was not made to be cut loses by it.")

    def action_list_models(self) -> None:
        self.query_one(ModelList).focus()

    @on(Input.Submitted)
    @on(ModelList.ModelChosen)
    def _take(self, event: Input.Submitted | ModelList.ModelChosen) -> None:
        event.stop()
        model = self.query_one(ModelList).current
        if model is None:
            return
        from vestige_tui.reembed.plan import LEAST_DIMENSION

        wide, typed = model.dimension, self.query_one(Input).value
        dimension = int(typed) if typed else 0
        if not min(LEAST_DIMENSION, wide) <= dimension <= wide:
            said = f"{short_model(model.name)} makes vectors of {LEAST_DIMENSION} to {grouped(wide)} dimensions."
            self._wizard.say(said, "waiting")
        elif self._is_used(model) and dimension == self._used.dimension:
            self._wizard.say(
                "The store belongs to this model already; choose another one, or another width.", "waiting"
            )
        else:
            self._chosen(model, dimension)
