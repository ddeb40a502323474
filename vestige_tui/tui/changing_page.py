"""ChangingPage: base of the pages that change the store, with undo, redo and the sentence on a change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vestige_tui.presenters.changes import NOTHING_TO_REDO, redo_sentence, undo_sentence, with_warning
from vestige_tui.tui.command_screen import CommandScreen
from vestige_tui.tui.commands.memories import RedoChange, UndoChange
from vestige_tui.tui.workers import work

if TYPE_CHECKING:
    from vestige_tui.core.memories import Change
    from vestige_tui.tui.commands.command import Command
    from vestige_tui.tui.notice import Notice, Severity


class ChangingPage(CommandScreen):
    """Page over a place with commands that change the store. A subclass implements ``read_again``.

    Its undo reverses the newest change of this console, and opens the journal where there is none.
    """

    def read_again(self) -> None:
        """Read what the page shows again, after a change or on request."""
        raise NotImplementedError

    def say(self, text: str, change: Change | None = None, severity: Severity = "done") -> Notice:
        """Show one sentence in the status line, with the key that reverses the change, if this page has it."""
        hint = ""
        if change is not None and change.undone is not None:
            hint = self._hint(RedoChange)
        elif change is not None and (change.undo is not None or change.redone is not None):
            hint = self._hint(UndoChange)
        return self._status.say(text, hint, severity)

    def changed(self, change: Change, sentence: str) -> None:
        """Show a committed change with the key that reverses it, and read the store again."""
        self.say(with_warning(sentence, change), change, "waiting" if change.warnings else "done")
        self.store_session.note_change()
        self.read_again()

    def key_of(self, command: type[Command]) -> str:
        """Return the key of a command as it is set; empty for one without a key here."""
        keys = (each.binding for each in self.active_bindings.values() if each.binding.id == command.id)
        return next((self.app.get_key_display(binding) for binding in keys), "")

    def _hint(self, command: type[Command]) -> str:
        key = self.key_of(command)
        return f"{key} {command.label}" if key else ""

    @work(group="write", exit_on_error=False)
    async def action_undo(self) -> None:
        store = self.store
        if store is None:
            return
        change = await self.store_session.own_changes.undo(store)
        if change is None:
            await self.app.run_action("app.show_journal")
        else:
            self.changed(change, undo_sentence(change))

    @work(group="write", exit_on_error=False)
    async def action_redo(self) -> None:
        store = self.store
        if store is None:
            return
        change = await self.store_session.own_changes.redo(store)
        if change is None:
            self.say(NOTHING_TO_REDO, severity="quiet")
        else:
            self.changed(change, redo_sentence(change))

    def action_refresh_place(self) -> None:
        self.read_again()
        self.say("Refreshed.", severity="quiet")

    def action_back(self) -> None:
        self.dismiss(None)
