"""List of the domains of a store: name, number of memories, age of the centroid, label."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from textual.message import Message

from vestige_tui.core.domains import DomainSummary
from vestige_tui.core.text import cells, grouped, plain
from vestige_tui.presenters.domains import centroid_age
from vestige_tui.tui.widgets.row_list import Piece, RowList, fit

NAME_CELLS = 24
COUNT_CELLS = 8
AGE_CELLS = 10
MIN_LABEL_CELLS = 8


class DomainList(RowList):
    """One line for each domain, most memories first. The cursor keeps its domain."""

    head_height: ClassVar[int] = 1

    @dataclass
    class DomainHighlighted(Message):
        """Another domain came under the cursor, or the domain has changed."""

        domain: DomainSummary | None

    @dataclass
    class DomainChosen(Message):
        """A domain was opened."""

        domain: DomainSummary

    def __init__(self, *, clock: Callable[[], datetime], id: str | None = None) -> None:
        super().__init__(id=id)
        self._clock = clock
        self._domains: tuple[DomainSummary, ...] = ()
        self._longest_name = 0

    @property
    def domains(self) -> Sequence[DomainSummary]:
        return self._domains

    @property
    def current(self) -> DomainSummary | None:
        """Domain under the cursor, None for an empty list."""
        return self._domains[self._cursor] if self._cursor < len(self._domains) else None

    def show(self, domains: Sequence[DomainSummary], *, go_to: str | None = None) -> None:
        """Replace the domains; the cursor goes to a name, or stays on its domain."""
        wanted = go_to or (self.current.name if self.current is not None else "")
        self._domains = tuple(domains)
        self._longest_name = max((cells(plain(each.name)) for each in domains), default=0)
        self._resize_to(len(self._domains))
        index = next((index for index, each in enumerate(self._domains) if each.name == wanted), None)
        if index is not None:
            self._cursor = index
        self._reveal()
        self.post_message(self.DomainHighlighted(self.current))

    def cursor_moved(self) -> None:
        self.post_message(self.DomainHighlighted(self.current))

    def row_chosen(self) -> None:
        if (domain := self.current) is not None:
            self.post_message(self.DomainChosen(domain))

    # Painting

    def _widths(self, width: int) -> tuple[int, int]:
        """Return the cells of the name and of the label; the label is left out where it has no room."""
        rest = width - COUNT_CELLS - AGE_CELLS - 4
        name = max(6, min(NAME_CELLS, max(self._longest_name, len("domain")), rest))
        label = rest - name - 2
        return (name, label) if label >= MIN_LABEL_CELLS else (rest, 0)

    def draw_head(self, width: int) -> Iterable[Piece]:
        name, label = self._widths(width)
        yield fit("domain", name) + "  ", "head"
        yield fit("memories", COUNT_CELLS, right=True) + "  ", "head"
        yield fit("centroid", AGE_CELLS), "head"
        if label:
            yield "  " + fit("label", label), "head"

    def draw_row(self, index: int, line: int, width: int) -> Iterable[Piece]:
        domain = self._domains[index]
        name, label = self._widths(width)
        yield fit(plain(domain.name), name) + "  ", "text"
        yield fit(grouped(domain.memories), COUNT_CELLS, right=True) + "  ", "text"
        yield fit(centroid_age(domain, self._clock()), AGE_CELLS), "muted" if domain.dimension else "faint"
        if label:
            yield "  " + fit(plain(domain.label), label), "muted"
