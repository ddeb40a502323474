"""Embedding models to choose from: those that are here first, then those to fetch, with width, size and licence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from textual.binding import BindingType
from textual.message import Message

from vestige_tui.core.text import plain
from vestige_tui.embedding.models import CatalogModel, same_model
from vestige_tui.tui.commands import MOTIONS, ChooseRow, bindings
from vestige_tui.tui.widgets.grouped_list import GroupedList
from vestige_tui.tui.widgets.row_list import Piece, fit

HERE, AWAY = "usable here", "to download on first use"
WIDTH_CELLS, SIZE_CELLS, MAKER_CELLS, LICENCE_CELLS = 6, 6, 13, 12
APART = 2
"""Cells between two columns of words."""
LEAST_NAME = 26
"""Cells that a name keeps before a column beside it goes."""


class ModelList(GroupedList, inherit_bindings=False):
    """Models as the catalog gives them; the one that the store belongs to has a dot before it."""

    head_height: ClassVar[int] = 1
    BINDINGS: ClassVar[list[BindingType]] = [replace(ChooseRow.binding(), description="compare"), *bindings(*MOTIONS)]

    @dataclass
    class ModelChosen(Message):
        """A model was opened."""

        model: CatalogModel

    @dataclass
    class ModelHighlighted(Message):
        """Another model is under the cursor."""

        model: CatalogModel

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._models: tuple[CatalogModel, ...] = ()
        self._used = ""

    @property
    def current(self) -> CatalogModel | None:
        """The model under the cursor."""
        return self._models[self._cursor] if self._cursor < len(self._models) else None

    def show(self, models: Sequence[CatalogModel], used: str = "") -> None:
        """Show these; ``used`` is the model that the store belongs to."""
        before = self.current
        self._models = tuple(sorted(models, key=lambda model: not model.offline))
        self._used = used
        if before is not None:
            names = [model.name for model in self._models]
            self._cursor = names.index(before.name) if before.name in names else 0
        self.group([HERE if model.offline else AWAY for model in self._models])

    def go_to(self, name: str) -> None:
        """Put the cursor on a model; where there is none of that name, on the first that is not the store's own."""
        places = [place for place, model in enumerate(self._models) if model.name == name]
        places += [place for place, model in enumerate(self._models) if not self.uses(model)]
        self.move_to(places[0] if places else 0)

    def uses(self, model: CatalogModel) -> bool:
        """Whether the store belongs to this model."""
        return bool(self._used) and same_model(model.name, self._used)

    @property
    def knows_used(self) -> bool:
        """Whether the model that the store belongs to, if any, is among these."""
        return not self._used or not self._models or any(self.uses(model) for model in self._models)

    @property
    def is_away(self) -> bool:
        """Whether the model that the store belongs to is among these, and would have to be fetched."""
        return any(self.uses(model) and not model.offline for model in self._models)

    def cursor_moved(self) -> None:
        if self.current is not None:
            self.post_message(self.ModelHighlighted(self.current))

    def row_chosen(self) -> None:
        if self.current is not None:
            self.post_message(self.ModelChosen(self.current))

    def _room(self, width: int) -> tuple[int, int, int]:
        """The cells of name, maker and licence; what there is no room for in one row is left out of all."""
        room = width - 2 - WIDTH_CELLS - SIZE_CELLS
        maker = MAKER_CELLS if room - MAKER_CELLS - APART >= LEAST_NAME else 0
        room -= maker + APART if maker else 0
        licence = LICENCE_CELLS if room - LICENCE_CELLS - APART >= LEAST_NAME else 0
        return max(8, room - (licence + APART if licence else 0)), maker, licence

    def draw_head(self, width: int) -> Iterable[Piece]:
        name, maker, licence = self._room(width)
        if self.knows_used:
            named = fit("models", name) + (" " * APART + fit("maker", maker) if maker else "")
        else:
            named = fit("models; the store's own is none of these", name + (maker + APART if maker else 0))
        titles = f"{'width':>{WIDTH_CELLS}}{'MB':>{SIZE_CELLS}}" + (" " * APART + "licence" if licence else "")
        return [(f"  {named}{titles}", "faint")]

    def draw_item(self, index: int, line: int, width: int) -> Iterable[Piece]:
        model = self._models[index]
        name, maker, licence = self._room(width)
        used = self.uses(model)
        house, _, shown = plain(model.name).rpartition("/")
        size = f"{model.size_mb:,.0f}" if model.size_mb else "─"
        pieces: list[Piece] = [
            ("● " if used else "  ", "accent"),
            (fit(shown, name), "strong" if used else "text" if model.offline else "muted"),
        ]
        if maker:
            pieces.append((" " * APART + fit(house, maker), "muted"))
        pieces.append((f"{model.dimension:>{WIDTH_CELLS},}{size:>{SIZE_CELLS}}", "muted"))
        if licence:
            pieces.append((" " * APART + fit(plain(model.licence), licence), "muted"))
        return pieces
