"""What became of single rows of a job: the outcome in a word, the row, and the reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.message import Message

from vestige_tui.model import JobFinding
from vestige_tui.text import cells, cut, grouped, plain
from vestige_tui.widgets.row_list import Ink, Piece, RowList, fit

OUTCOMES: dict[str, tuple[str, Ink]] = {
    "failed": ("■ failed", "bad"),
    "repaired": ("◪ repaired", "waiting"),
    "left_behind": ("□ left behind", "muted"),
    "zero_vector": ("○ zero vector", "muted"),
    "differs": ("◪ differs", "bad"),
    "only_source": ("◧ source only", "bad"),
    "only_target": ("◨ target only", "bad"),
    "updated": ("▪ updated", "muted"),
    "deleted": ("▫ deleted", "muted"),
}
OUTCOME_CELLS, SUBJECT_CELLS, KEY_CELLS = 14, 12, 14


class FindingList(RowList):
    """One line for each finding, in the order in which the job met them; a finding opens in full.

    Where there are more than it was given it says so, and asks for them once the cursor stands on the last one.
    """

    head_height: ClassVar[int] = 1
    DEFAULT_CSS = "FindingList { height: auto; max-height: 14; }"

    @dataclass
    class FindingChosen(Message):
        """A finding was opened."""

        finding: JobFinding

    @dataclass
    class MoreWanted(Message):
        """The cursor came to the end of what is here, and there is more."""

        held: int

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._findings: tuple[JobFinding, ...] = ()
        self._counts = ""
        self._more = False

    def show(self, findings: Sequence[JobFinding], counts: str = "", *, more: bool = False) -> None:
        """Show these; ``counts`` says how many of each kind there are, ``more`` that these are not all."""
        self._findings, self._counts, self._more = tuple(findings), counts, more
        self.styles.height = len(self._findings) + self.head_height
        self._resize_to(len(self._findings))

    def cursor_moved(self) -> None:
        if self._more and self._cursor == len(self._findings) - 1:
            self.post_message(self.MoreWanted(len(self._findings)))

    def row_chosen(self) -> None:
        self.post_message(self.FindingChosen(self._findings[self._cursor]))

    def draw_head(self, width: int) -> Iterable[Piece]:
        shown = f"the first {grouped(len(self._findings))} are shown, G brings more" if self._more else ""
        said = "   ".join(filter(None, ("findings", self._counts, shown)))
        return [(cut(said, width), "faint")]

    def draw_row(self, index: int, line: int, width: int) -> Iterable[Piece]:
        finding = self._findings[index]
        word, ink = OUTCOMES.get(finding.outcome, (plain(finding.outcome), "muted"))
        pieces: list[Piece] = [(fit(word, OUTCOME_CELLS), ink)]
        if width >= 50:
            pieces.append((fit(plain(finding.subject), SUBJECT_CELLS - 1) + " ", "muted"))
        key = min(KEY_CELLS, width // 4)
        pieces.append((fit(plain(finding.source_key), key) + "  ", "text"))
        room = width - sum(cells(text) for text, _ in pieces)
        return [*pieces, (fit(plain(finding.reason), max(4, room)), "muted")]
