"""Question before a loss that a backup can prevent: agree, or write the backup first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType

from vestige_tui.tui.dialogs.modals import Confirm


class ConfirmLoss(Confirm):
    """Confirm with a third answer, ``b``: a backup of the store is written first."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("b", "back_up_first", "back up first", show=False)]

    def __init__(self, title: str, rows: Sequence[str], *, verb: str, notes: Sequence[str] = ()) -> None:
        super().__init__(title, rows, verb=verb, notes=notes)
        self._keys = (("y", verb), ("b", f"back up, then {verb}"), ("esc", "cancel"))
        self.wants_backup = False
        """True once the user has asked for a backup."""

    def action_back_up_first(self) -> None:
        self.wants_backup = True
        self.dismiss(True)
