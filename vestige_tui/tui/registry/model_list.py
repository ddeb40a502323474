"""Embedding models to choose from: usable ones first, then those to download, with width, size and licence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from textual.binding import BindingType
from textual.message import Message

from vestige_tui.core.text import plain
from vestige_tui.embedding.catalogue import CatalogModel
from vestige_tui.embedding.models import same_model
from vestige_tui.presenters.models import model_hint
from vestige_tui.tui.commands.command import bindings
from vestige_tui.tui.commands.lists import MOTIONS, ChooseRow
from vestige_tui.tui.widgets.grouped_list import GroupedList
from vestige_tui.tui.widgets.row_list import Piece, fit

HERE, AWAY = "usable here", "downloaded on first use"
WIDTH_CELLS, SIZE_CELLS, LANGUAGE_CELLS, MAKER_CELLS, LICENCE_CELLS = 6, 6, 13, 13, 12
COLUMN_GAP_CELLS = 2
"""Gap between two columns of words."""
MIN_NAME_CELLS = 26
"""Width that a name keeps before a column beside it is dropped."""


class ModelList(GroupedList, inherit_bindings=False):
    """List of the catalog's models; a dot marks the store's own."""

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
        self._all: tuple[CatalogModel, ...] = ()
        self._models: tuple[CatalogModel, ...] = ()
        self._words: tuple[str, ...] = ()
        self._used = ""

    @property
    def current(self) -> CatalogModel | None:
        """Model under the cursor."""
        return self._models[self._cursor] if self._cursor < len(self._models) else None

    def show(self, models: Sequence[CatalogModel], used: str = "") -> None:
        """Show these models; ``used`` is the name of the store's own."""
        before = self.current
        self._all = tuple(sorted(models, key=lambda model: not model.offline))
        self._used = used
        self._list(before)

    def narrow(self, text: str) -> None:
        """List the models with all these words in their name, language, dimensions, licence or hint."""
        before = self.current
        self._words = tuple(text.casefold().split())
        self._list(before)
        self.cursor_moved()

    def _list(self, before: CatalogModel | None) -> None:
        self._models = tuple(model for model in self._all if all(word in _text(model) for word in self._words))
        if before is not None:
            names = [model.name for model in self._models]
            self._cursor = names.index(before.name) if before.name in names else 0
        self.group([HERE if model.offline else AWAY for model in self._models])

    def go_to(self, name: str) -> None:
        """Put the cursor on a model, or without one of that name on the first that is not the store's own."""
        places = [place for place, model in enumerate(self._models) if model.name == name]
        places += [place for place, model in enumerate(self._models) if not self.uses(model)]
        self.move_to(places[0] if places else 0)

    def uses(self, model: CatalogModel) -> bool:
        """Check whether this is the store's own model."""
        return bool(self._used) and same_model(model.name, self._used)

    @property
    def knows_used(self) -> bool:
        """False if the list lacks the store's own model."""
        return not self._used or not self._all or any(self.uses(model) for model in self._all)

    @property
    def is_away(self) -> bool:
        """True if the list has the store's own model, and it is not downloaded."""
        return any(self.uses(model) and not model.offline for model in self._all)

    def cursor_moved(self) -> None:
        if self.current is not None:
            self.post_message(self.ModelHighlighted(self.current))

    def row_chosen(self) -> None:
        if self.current is not None:
            self.post_message(self.ModelChosen(self.current))

    def _room(self, width: int) -> tuple[int, int, int, int]:
        """Return the cells of name, language, maker and licence; 0 for a column without room."""
        room = width - 2 - WIDTH_CELLS - SIZE_CELLS
        columns = []
        for cells in (LANGUAGE_CELLS, LICENCE_CELLS, MAKER_CELLS):
            fits = room - cells - COLUMN_GAP_CELLS >= MIN_NAME_CELLS
            columns.append(cells if fits else 0)
            room -= cells + COLUMN_GAP_CELLS if fits else 0
        language, licence, maker = columns
        return max(8, room), language, maker, licence

    def draw_head(self, width: int) -> Iterable[Piece]:
        name, language, maker, licence = self._room(width)
        heading = fit("models", name)
        for column, cells in (("maker", maker), ("language", language)):
            heading += " " * COLUMN_GAP_CELLS + fit(column, cells) if cells else ""
        figures = f"{'dims':>{WIDTH_CELLS}}{'MB':>{SIZE_CELLS}}" + (
            " " * COLUMN_GAP_CELLS + "licence" if licence else ""
        )
        return [(f"  {heading}{figures}", "faint")]

    def draw_item(self, index: int, line: int, width: int) -> Iterable[Piece]:
        model = self._models[index]
        name, language, maker, licence = self._room(width)
        used = self.uses(model)
        house, _, short_name = plain(model.name).rpartition("/")
        size = f"{model.size_mb:,.0f}" if model.size_mb else "─"
        pieces: list[Piece] = [
            ("● " if used else "  ", "accent"),
            (fit(short_name, name), "strong" if used else "text" if model.offline else "muted"),
        ]
        if maker:
            pieces.append((" " * COLUMN_GAP_CELLS + fit(house, maker), "muted"))
        if language:
            pieces.append((" " * COLUMN_GAP_CELLS + fit(plain(model.language) or "─", language), "muted"))
        pieces.append((f"{model.dimension:>{WIDTH_CELLS},}{size:>{SIZE_CELLS}}", "muted"))
        if licence:
            pieces.append((" " * COLUMN_GAP_CELLS + fit(plain(model.licence), licence), "muted"))
        return pieces


def _text(model: CatalogModel) -> str:
    """Return the text in which the words of a narrowed list are searched."""
    parts = (model.name, model.language, str(model.dimension), model.licence, model_hint(model))
    return " ".join(parts).casefold()
