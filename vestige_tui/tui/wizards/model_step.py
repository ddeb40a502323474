"""Step that chooses an embedding model and the dimension of its vectors; models on this machine come first."""

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
from vestige_tui.embedding.catalogue import CatalogModel
from vestige_tui.presenters.models import model_hint, short_name
from vestige_tui.tui.registry.model_list import ModelList
from vestige_tui.tui.wizards.wizard import Wizard, WizardStep

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import ModelSignature

DESCRIPTION_CHARS = 300


class ModelStep(WizardStep):
    """List of the catalog's models; below it the description of the one under the cursor and the dimension to make.

    The cursor begins ``at`` a model, else at the first one other than the store's own.
    """

    word = "model"
    keys = (("enter", "choose"), ("w", "dimensions"), ("↑↓", "move"))
    DEFAULT_CSS = """
    ModelStep #model-said { height: auto; max-height: 6; }
    ModelStep #model-width { height: 1; }
    ModelStep #model-width > Static { width: auto; color: $text-muted; }
    ModelStep #model-width > Input { width: 8; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("w", "ask_width", "dimensions", show=False),
        Binding("up,down", "list_models", "models", show=False),
    ]

    def __init__(
        self,
        models: Sequence[CatalogModel],
        current: ModelSignature,
        choose: Callable[[CatalogModel, int], None],
        at: str = "",
    ) -> None:
        super().__init__()
        self._models, self._current, self._choose, self._at = models, current, choose, at

    def compose(self) -> ComposeResult:
        yield ModelList()
        yield Static(id="model-said", markup=False)
        with Horizontal(id="model-width"):
            yield Static("use ", markup=False)
            yield Input(restrict=r"\d{0,5}", compact=True)
            yield Static(id="model-widths", markup=False)

    def on_mount(self) -> None:
        # Keep input and description adjacent: wizard.tcss gives inputs a margin.
        self.query_one(Input).styles.margin = 0
        models = self.query_one(ModelList)
        models.show(self._models, self._current.name)
        models.go_to(self._at)
        self._describe()

    def begin(self) -> None:
        self.query_one(ModelList).focus()

    @on(ModelList.ModelHighlighted)
    def _describe(self) -> None:
        model = self.query_one(ModelList).current
        if model is None:
            return
        text = f"{model_hint(model)} {cut(plain(model.description), DESCRIPTION_CHARS)}"
        if self._is_current(model):
            text = f"This store uses it with {grouped(self._current.dimension)} dimensions. {text}"
        self.query_one("#model-said", Static).update(Content.styled(text, "$text-muted"))
        self.query_one(Input).value = str(model.dimension)
        self.query_one("#model-widths", Static).update(f" of {grouped(model.dimension)} dimensions")
        self._wizard.say("")

    @property
    def _wizard(self) -> Wizard[object]:
        screen = self.screen
        assert isinstance(screen, Wizard)
        return screen

    def _is_current(self, model: CatalogModel) -> bool:
        return self.query_one(ModelList).uses(model)

    def action_ask_width(self) -> None:
        line = self.query_one(Input)
        line.focus()
        line.select_all()
        self._wizard.say("Fewer dimensions take less space; only some models keep their accuracy when shortened.")

    def action_list_models(self) -> None:
        self.query_one(ModelList).focus()

    @on(Input.Submitted)
    @on(ModelList.ModelChosen)
    def _take(self, event: Input.Submitted | ModelList.ModelChosen) -> None:
        event.stop()
        model = self.query_one(ModelList).current
        if model is None:
            return
        from vestige_tui.reembed.plan import MIN_DIMENSION

        full_dimension, typed = model.dimension, self.query_one(Input).value
        dimension = int(typed) if typed else 0
        if not min(MIN_DIMENSION, full_dimension) <= dimension <= full_dimension:
            sentence = (
                f"{short_name(model.name)} computes vectors of {MIN_DIMENSION} to {grouped(full_dimension)} dimensions."
            )
            self._wizard.say(sentence, "waiting")
        elif self._is_current(model) and dimension == self._current.dimension:
            self._wizard.say("This store already uses this model; choose another model or other dimensions.", "waiting")
        else:
            self._choose(model, dimension)
