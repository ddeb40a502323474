"""Embedding models to choose from: those that are here first, then those to fetch, with width, size and licence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.message import Message

from vestige_tui.embedding import CatalogModel, same_model
from vestige_tui.text import cells, cut, plain
from vestige_tui.widgets.grouped_list import GroupedList
from vestige_tui.widgets.row_list import Piece, fit

HERE, AWAY = "usable here", "to download on first use"
WIDTH_CELLS, SIZE_CELLS, LICENCE_CELLS = 7, 8, 14
LEAST_NAME = 16


class ModelList(GroupedList):
    """Models as the catalog gives them; the one that the store belongs to has a dot before it."""

    head_height: ClassVar[int] = 1

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

    def uses(self, model: CatalogModel) -> bool:
        """Whether the store belongs to this model."""
        return bool(self._used) and same_model(model.name, self._used)

    def cursor_moved(self) -> None:
        if self.current is not None:
            self.post_message(self.ModelHighlighted(self.current))

    def row_chosen(self) -> None:
        if self.current is not None:
            self.post_message(self.ModelChosen(self.current))

    def _room(self, width: int) -> tuple[int, int]:
        """The cells of the name, and of the licence where there is room for it."""
        licence = LICENCE_CELLS + 2 if width >= 62 else 0
        return max(LEAST_NAME, width - 2 - WIDTH_CELLS - SIZE_CELLS - licence), max(0, licence - 2)

    def draw_head(self, width: int) -> Iterable[Piece]:
        name, licence = self._room(width)
        titles = f"{'width':>{WIDTH_CELLS}}{'MB':>{SIZE_CELLS}}" + ("  licence" if licence else "")
        return [(fit("  models", name + 2) + titles, "faint")]

    def draw_item(self, index: int, line: int, width: int) -> Iterable[Piece]:
        model = self._models[index]
        name, licence = self._room(width)
        used = self.uses(model)
        shown = plain(model.name)
        if cells(shown) > name:
            # Whose it is matters less than which it is.
            shown = shown.rsplit("/", 1)[-1]
        size = f"{model.size_mb:,.0f}" if model.size_mb else "─"
        pieces: list[Piece] = [
            ("● " if used else "  ", "accent"),
            (fit(shown, name), "strong" if used else "text" if model.offline else "muted"),
            (f"{model.dimension:>{WIDTH_CELLS},}{size:>{SIZE_CELLS}}", "muted"),
        ]
        if licence:
            pieces.append(("  " + cut(plain(model.licence), licence), "muted"))
        return pieces
