"""Dialog for an editor that ended at once: it watches the file until the user takes the text."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from vestige_tui.core.editor import EditedText
from vestige_tui.core.errors import Refused
from vestige_tui.core.text import grouped, plain
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
        size = grouped(len(self._edited.text))
        self._show(f"The text has changed: {size} characters." if self._edited.changed else "The text is unchanged.")

    def _show(self, sentence: str) -> None:
        self.query_one("#sheet-state", Static).update(Content(plain(sentence)))

    def action_take(self) -> None:
        self._watch()
        self.dismiss(self._edited.changed)

    def action_leave(self) -> None:
        self.dismiss(False)
