"""What became of single rows of a job: the outcome in a word, the row, and the reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.message import Message

from vestige_tui.model import JobFinding
from vestige_tui.text import plain
from vestige_tui.widgets.row_list import Ink, Piece, RowList, fit

OUTCOMES: dict[str, tuple[str, Ink]] = {
    "failed": ("■ failed", "bad"),
    "repaired": ("◪ repaired", "waiting"),
    "left_behind": ("□ left behind", "muted"),
    "zero_vector": ("○ zero vector", "muted"),
}
OUTCOME_CELLS, SUBJECT_CELLS, KEY_CELLS = 14, 12, 14


class FindingList(RowList):
    """One line for each finding, in the order in which the job met them; a finding opens in full."""

    head_height: ClassVar[int] = 1
    DEFAULT_CSS = "FindingList { height: auto; max-height: 14; }"

    @dataclass
    class FindingChosen(Message):
        """A finding was opened."""

        finding: JobFinding

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._findings: tuple[JobFinding, ...] = ()
        self._all = 0

    def show(self, findings: Sequence[JobFinding], total: int) -> None:
        """Show these, the first of ``total``; the cursor stays where it is."""
        self._findings, self._all = tuple(findings), total
        self.styles.height = len(self._findings) + self.head_height
        self._resize_to(len(self._findings))

    def row_chosen(self) -> None:
        self.post_message(self.FindingChosen(self._findings[self._cursor]))

    def draw_head(self, width: int) -> Iterable[Piece]:
        shown = len(self._findings)
        said = f"the first {shown} of {self._all:,} findings" if shown < self._all else "findings"
        return [(fit(said, width), "faint")]

    def draw_row(self, index: int, line: int, width: int) -> Iterable[Piece]:
        finding = self._findings[index]
        word, ink = OUTCOMES.get(finding.outcome, (plain(finding.outcome), "muted"))
        pieces: list[Piece] = [(fit(word, OUTCOME_CELLS), ink)]
        if width >= 50:
            pieces.append((fit(plain(finding.subject), SUBJECT_CELLS - 1) + " ", "muted"))
        key = min(KEY_CELLS, width // 4)
        pieces.append((fit(plain(finding.source_key), key) + "  ", "text"))
        room = width - sum(len(text) for text, _ in pieces)
        return [*pieces, (fit(plain(finding.reason), max(4, room)), "muted")]
