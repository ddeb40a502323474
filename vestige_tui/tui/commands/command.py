"""A command of the console: its key, footer, palette entry, help and keymap id follow from one class.

A place or widget declares ``BINDINGS = bindings(EditMemory, CopyMemory)`` and writes ``action_copy_memory``.
"""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.keys import format_key


class Command:
    """Base class of all commands. ``action`` is the Textual action of the widget or screen that binds it."""

    id: ClassVar[str]
    """Name in the keymap, ``family.verb``."""
    key: ClassVar[str]
    """One key, or several with commas."""
    label: ClassVar[str]
    """One or two words for the footer."""
    help: ClassVar[str]
    """One sentence for help and palette."""
    action: ClassVar[str]
    group: ClassVar[str]
    """Heading in help."""
    footer: ClassVar[bool] = False
    """True if the footer shows it."""
    display: ClassVar[str | None] = None
    """Spelling of the key, where Textual's own is too long."""
    priority: ClassVar[bool] = False
    """True if it works while the user types into a line."""
    words: ClassVar[str] = ""
    """Further names by which the palette finds it: ``remove`` for delete."""
    writes: ClassVar[bool] = False
    """True if it writes to the open store; a read-only store disables it, with the reason."""
    writes_elsewhere: ClassVar[bool] = False
    """True if it writes to a store of its own choice, or to the job log of one."""
    only_now: ClassVar[bool] = False
    """True if it opens a page whose figures are those of now; a past moment disables it, with the reason."""

    @classmethod
    def binding(cls) -> Binding:
        """Return the Textual binding of this command."""
        return Binding(
            cls.key,
            cls.action,
            cls.label,
            show=cls.footer,
            key_display=cls.display,
            priority=cls.priority,
            tooltip=cls.help,
            id=cls.id,
        )


def key_display(binding: Binding) -> str:
    """Return a key as the documentation writes it: ``ctrl+q``, ``F1``, ``?``."""
    if binding.key_display:
        return binding.key_display
    *modifiers, key = binding.key.split("+")
    shown = format_key(key)
    is_function_key = key[:1] == "f" and key[1:].isdigit()
    return "+".join([*modifiers, shown.upper() if is_function_key else shown])


def bindings(*commands: type[Command]) -> list[BindingType]:
    """Return the bindings of these commands, for a class's ``BINDINGS``, in footer order."""
    return [command.binding() for command in commands]
