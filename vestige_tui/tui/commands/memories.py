"""Commands on a memory, and on the card that shows one."""

from __future__ import annotations

from vestige_tui.tui.commands.command import Command


class CopyMemory(Command):
    id, key, label, action = "memory.copy", "y", "copy", "copy_memory"
    group, footer = "Memory", True
    help = "Copy the text of the memory or the selection to the clipboard."
    words = "clipboard"


class CopyId(Command):
    id, key, label, action = "memory.copy_id", "Y", "copy id", "copy_id"
    group = "Memory"
    help = "Copy the full id of the memory or the selection to the clipboard."


class OpenWebLink(Command):
    id, key, label, action = "memory.open_web_link", "O", "open web link", "open_web_link"
    group = "Memory"
    help = "Show the full address of a web link, then open it in the browser; over ssh, copy it."


class AddMemory(Command):
    id, key, label, action = "memory.add", "a", "add", "add_memory"
    group = "Memory"
    help = "Write a new memory in your editor, with its type, domain, codebase and tags."
    words = "new create insert"
    writes = True


class EditMemory(Command):
    id, key, label, action = "memory.edit", "e", "edit", "edit_memory"
    group, footer = "Memory", True
    help = "Edit the memory in your editor: its fields and its text."
    words = "change"
    writes = True


class EditFields(Command):
    id, key, label, action = "memory.fields", "E", "fields", "edit_fields"
    group, footer = "Memory", True
    help = "Change type, codebase, domains, tags, owner, visibility and metadata of the memory or the selection."
    writes = True


class MarkMemory(Command):
    id, key, label, action = "memory.mark", "M", "marks", "mark_memory"
    group = "Memory"
    help = "Suspend, bury or resume the memory or the selection in reviews."
    writes = True


class TagMemory(Command):
    id, key, label, action = "memory.tag", "t", "tag", "tag_memory"
    group, footer = "Memory", True
    help = 'Add and remove tags of the memory or the selection: +security -draft +"two words".'
    writes = True


class DeleteMemory(Command):
    id, key, label, action = "memory.delete", "d", "delete", "delete_memory"
    group, footer = "Memory", True
    help = "Delete the memory or the selection; first shows what else is deleted."
    words = "remove"
    writes = True


class GradeMemory(Command):
    id, key, label, action = "memory.grade", "R", "review now", "grade_memory"
    group = "Memory"
    help = "Grade this memory now, due or not."
    words = "grade"
    writes = True


class LinkMemory(Command):
    id, key, label, action = "memory.link", "l", "link", "link_memory"
    group = "Memory"
    help = "Link this memory to another one."
    writes = True


class SupersedeMemory(Command):
    id, key, label, action = "memory.supersede", "S", "replace", "supersede_memory"
    group = "Memory"
    help = "Mark the memory or the selection as replaced by another memory, or make it active again."
    words = "supersede"
    writes = True


class PinMemory(Command):
    id, key, label, action = "memory.pin", "p", "pin", "pin_memory"
    group, writes = "Memory", True
    help = "Pin the memory or the selection, or unpin it; deleting several memories at once keeps pinned ones."


class ClearMarks(Command):
    id, key, label, action = "memory.clear_marks", "X", "clear marks", "clear_marks"
    group, writes = "Memory", True
    help = "Clear the marks suspended, buried, leech and pinned of the memory or the selection."


class UndoChange(Command):
    id, key, label, action = "memory.undo", "u", "undo", "undo"
    group, footer = "Memory", True
    help = "Undo the last change of this console; without one, open the journal."
    words = "revert"
    writes = True


class RedoChange(Command):
    id, key, label, action = "memory.redo", "U", "redo", "redo"
    group = "Memory"
    help = "Redo the change that this console undid last; not possible after a newer change."
    writes = True


class LeaveCard(Command):
    id, key, label, action = "card.leave", "escape", "back", "leave_card"
    group, footer, display = "Memory", True, "esc"
    help = "Go back from the memory to the list."


class OpenLink(Command):
    id, key, label, action = "card.open_link", "enter", "open link", "open_link"
    group, footer, display = "Memory", True, "enter"
    help = "Open the memory of the highlighted link; without one, highlight the first. Esc goes back."


class NextLink(Command):
    id, key, label, action = "card.next_link", "tab", "next link", "next_link"
    group, footer, display = "Memory", True, "tab"
    help = "Highlight the next link or replaced memory; after the last one, leave the card."


class PreviousLink(Command):
    id, key, label, action = "card.previous_link", "shift+tab", "previous link", "previous_link"
    group = "Memory"
    help = "Highlight the previous link or replaced memory."


class ToggleMetadata(Command):
    id, key, label, action = "card.metadata", "i", "metadata", "toggle_metadata"
    group = "Memory"
    help = "Unfold the metadata of the memory, or fold it into one line."


class ToggleCard(Command):
    id, key, label, action = "card.hide", "z", "hide card", "toggle_card"
    group = "Memory"
    help = "Hide the card, so that the list has the whole width, or show it again; kept until the console quits."


class ToggleRaw(Command):
    id, key, label, action = "card.raw", "r", "raw", "toggle_raw"
    group = "Memory"
    help = "Switch between Markdown and the plain text."


class ShowWhole(Command):
    id, key, label, action = "card.whole", "w", "full text", "show_whole"
    group = "Memory"
    help = "Show the full text of a very long memory."


ON_A_MEMORY: tuple[type[Command], ...] = (
    EditMemory,
    TagMemory,
    EditFields,
    MarkMemory,
    CopyMemory,
    CopyId,
    OpenWebLink,
    DeleteMemory,
    GradeMemory,
    LinkMemory,
    SupersedeMemory,
    PinMemory,
    ClearMarks,
    UndoChange,
    RedoChange,
)
"""Commands of a place with memories, on the selection or on the memory under the cursor."""

BESIDE_A_CARD: tuple[type[Command], ...] = (ToggleCard, ToggleMetadata)
"""Commands of a place with a list and a card beside it."""
