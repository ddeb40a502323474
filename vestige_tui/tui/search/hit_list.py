"""Hits of a search, two lines each: the memory's text, and the reason for its position."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from textual.binding import BindingType
from textual.message import Message

from vestige_tui.core.memories import Memory
from vestige_tui.core.scheduling import retrievability
from vestige_tui.core.search import NO_TERMS, Hit, MatchTerms
from vestige_tui.core.text import cells, cut, grouped, plain
from vestige_tui.presenters.passages import marked_parts, passage_parts
from vestige_tui.tui.commands.command import bindings
from vestige_tui.tui.commands.lists import ClearSelection, SelectRow
from vestige_tui.tui.widgets.glyphs import FULL, NEW, age, figure, state_cells, state_of
from vestige_tui.tui.widgets.memory_rows import MemoryRows
from vestige_tui.tui.widgets.row_list import Piece, fit

INDENT_CELLS = 6
RANK_CELLS = {"text": 10, "vector": 12}
SCORE_CELLS = 8
MIN_DOMAIN_CELLS = 9


class HitList(MemoryRows):
    """List of hits, best first; ``show`` replaces them."""

    row_height: ClassVar[int] = 2
    BINDINGS: ClassVar[list[BindingType]] = bindings(SelectRow, ClearSelection)

    @dataclass
    class HitHighlighted(Message):
        """Another hit came under the cursor; None for an empty list."""

        hit: Hit | None

    @dataclass
    class HitChosen(Message):
        """A hit was opened."""

        hit: Hit

    def __init__(
        self, *, clock: Callable[[], datetime] | None = None, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(clock=clock, id=id, classes=classes)
        self._hits: tuple[Hit, ...] = ()
        self._terms = NO_TERMS
        self._branches: tuple[str, ...] = ()
        """Branches of the search that rank one of the hits."""

    def show(
        self,
        hits: Sequence[Hit],
        *,
        keep_cursor: bool = False,
        terms: MatchTerms = NO_TERMS,
        edited: Collection[str] = (),
    ) -> None:
        """Show these hits; the cursor goes to the best one, or with ``keep_cursor`` stays on its memory or row.

        Each hit shows the passage that matches the ``terms`` of the search. ``edited`` are the ids of the memories
        whose text was another one at the past moment that is shown.
        """
        self._edited = set(edited)
        before = self.current
        self._terms = terms
        self._hits = tuple(hits)
        self._branches = tuple(name for name in RANK_CELLS if any(_rank(hit, name) is not None for hit in hits))
        ids = [hit.memory.id for hit in self._hits]
        line = self._cursor * self.row_height - round(self.scroll_y)
        stays = keep_cursor and before is not None and before.memory.id in ids
        if stays and before is not None:
            self._cursor = ids.index(before.memory.id)
        elif not keep_cursor:
            self._cursor = 0
        lost = [id for id in self._selected if id not in ids]
        for id in lost:
            del self._selected[id]
        renewed = self._renew(hit.memory for hit in self._hits)
        self._resize_to(len(self._hits))
        if stays and self.scroll_y > 0:
            # New hits above must not move the visible rows, except at the top of the list.
            self.scroll_to(y=self._cursor * self.row_height - line, animate=False, force=True)
        self._reveal()
        if lost or renewed:
            self.post_message(self.SelectionChanged(self.selected, lost=len(lost)))
        self.post_message(self.HitHighlighted(self.current))

    @property
    def hits(self) -> tuple[Hit, ...]:
        """Hits in the list."""
        return self._hits

    @property
    def current(self) -> Hit | None:
        """Hit under the cursor."""
        return self._hits[self._cursor] if self._cursor < len(self._hits) else None

    def memory_at(self, index: int) -> Memory | None:
        """Return the memory of hit ``index``."""
        return self._hits[index].memory if index < len(self._hits) else None

    def cursor_moved(self) -> None:
        self.post_message(self.HitHighlighted(self.current))

    def row_chosen(self) -> None:
        if self.current is not None:
            self.post_message(self.HitChosen(self.current))

    def draw_row(self, index: int, line: int, width: int) -> Iterable[Piece]:
        hit = self._hits[index]
        yield from self._draw_reason(hit, width) if line else self._draw_text(hit, index, width)

    def _draw_text(self, hit: Hit, index: int, width: int) -> Iterable[Piece]:
        memory = hit.memory
        room = max(4, width - INDENT_CELLS)
        yield ("■" if self.is_selected(index) else " "), "accent"
        # A first row without a rank is no hit.
        number = index + _is_ranked(self._hits[0])
        yield fit(str(number) if _is_ranked(hit) else "", 2, right=True) + " ", "muted"
        yield from state_cells(memory, self._clock())
        mark = self.edited_mark(memory)
        yield from mark
        room = max(4, room - sum(cells(text) for text, _ in mark))
        ink = "muted" if memory.superseded_by is not None else "text"
        for text, matched in passage_parts(memory.content, self._terms, room):
            yield text, "match" if matched else ink
            room -= cells(text)
        yield " " * room, ink

    def _draw_reason(self, hit: Hit, width: int) -> Iterable[Piece]:
        now, memory = self._clock(), hit.memory
        scored = _is_ranked(hit) and not self._terms.characters
        tail = self._tail(memory, now)
        room = width - INDENT_CELLS - sum(len(text) for text, _ in tail)
        ranks = sum(RANK_CELLS[name] for name in self._branches) if scored else 0
        ranks = ranks if room >= ranks + 6 else 0
        room -= ranks
        bar = SCORE_CELLS + 2 if ranks and room >= SCORE_CELLS + 14 else 0
        room -= bar
        yield " " * INDENT_CELLS, "text"
        yield from _labels(memory, max(0, room), self._terms, tags=not scored)
        if ranks:
            for name in self._branches:
                rank = _rank(hit, name)
                label = f"{name} #{grouped(rank)}" if rank is not None else f"{name} ─"
                yield fit(label, RANK_CELLS[name]), "muted" if rank else "faint"
        if bar:
            full = max(1, round(min(hit.score, 1.0) * SCORE_CELLS))
            yield FULL * full, "accent"
            yield " " * (bar - full), "text"
        yield from tail

    def _tail(self, memory: Memory, now: datetime) -> list[Piece]:
        recall = retrievability(memory.scheduling, now) if memory.scheduling is not None else None
        status = f"R {figure(recall)}" if recall is not None else "new" if state_of(memory, now) is NEW else "R ─"
        if memory.superseded_by is not None:
            status = "replaced"
        return [(fit(age(memory.created_at, now), 6, right=True), "muted"), (fit(status, 7, right=True), "muted")]


def _rank(hit: Hit, branch: str) -> int | None:
    return hit.text_rank if branch == "text" else hit.vector_rank


def _is_ranked(hit: Hit) -> bool:
    """Check whether a branch ranked this hit; the list of the newest memories has no ranks."""
    return any(_rank(hit, branch) is not None for branch in RANK_CELLS)


def _labels(memory: Memory, width: int, terms: MatchTerms, *, tags: bool) -> Iterable[Piece]:
    """Yield the memory's type, domains and matching tags, with ``tags`` all of them, in exactly ``width`` cells."""
    kind, domains = plain(memory.node_type), [plain(name) for name in memory.domains]
    room = max(0, width - 2)
    # A cut domain name cannot be recognised.
    while len(domains) > 1 and cells(kind) + 2 + cells(", ".join(domains)) > room:
        domains.pop()
    text = "  ".join(filter(None, (kind, ", ".join(domains))))
    if cells(text) > room and room - cells(kind) < MIN_DOMAIN_CELLS:
        text = kind
    text = cut(text, room)
    yield text, "muted"
    left = width - cells(text)
    for tag in memory.tags:
        parts = marked_parts(tag, terms)
        taken = 3 + sum(cells(part) for part, _ in parts)
        if taken > left - 2 or not (tags or any(matched for _, matched in parts)):
            continue
        yield "  #", "muted"
        yield from ((part, "match" if matched else "muted") for part, matched in parts)
        left -= taken
    yield " " * left, "muted"
