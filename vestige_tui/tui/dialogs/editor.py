"""Dialogs after an editor: one for an editor that ended at once, one for a text that could not be saved."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from vestige_tui.core.editor import EditedText
from vestige_tui.core.errors import Refused
from vestige_tui.core.text import plain, redact
from vestige_tui.tui.dialogs.modals import Dialog

WATCH_SECONDS = 0.5


class EditorWait(Dialog[bool]):
    """Question whether to take the text of a file that may be open in a window; answers whether it is taken."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "take", "take", show=False)]

    def __init__(self, edited: EditedText) -> None:
        super().__init__("The editor closed at once", (("enter", "use the text"), ("esc", "cancel")))
        self._edited = edited

    def compose_body(self) -> ComposeResult:
        note = f"{self._edited.editor} did not change the text. If it opened a window, edit and save the text there."
        yield Static(Content(plain(note)), id="sheet-notes", markup=False)
        yield Static("The text is unchanged.", id="sheet-state", markup=False)

    def on_mount(self) -> None:
        self.set_interval(WATCH_SECONDS, self._watch)

    def _watch(self) -> None:
        try:
            self._edited.read()
        except Refused as error:
            self._show(error.message)
            return
        self._show(f"The text is {'changed' if self._edited.changed else 'unchanged'}.")

    def _show(self, sentence: str) -> None:
        self.query_one("#sheet-state", Static).update(Content(plain(sentence)))

    def action_take(self) -> None:
        self._watch()
        self.dismiss(self._edited.changed)

    def action_leave(self) -> None:
        self.dismiss(False)


class EditAgain(Dialog[bool]):
    """Question after a text that could not be saved: edit it again, or close and keep the file."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,e", "again", "again", show=False)]

    def __init__(self, fault: str) -> None:
        super().__init__("The memory was not saved", (("enter", "edit again"), ("esc", "close and keep the file")))
        self._fault = fault

    def compose_body(self) -> ComposeResult:
        yield Static(Content(redact(plain(self._fault))), id="sheet-notes", markup=False)

    def action_again(self) -> None:
        self.dismiss(True)

    def action_leave(self) -> None:
        self.dismiss(False)
