"""One kind of fault in full: the problem, the effect of its fix, and examples that open their memories."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from vestige_tui.core.doctor import KINDS
from vestige_tui.core.errors import VestigeError
from vestige_tui.core.text import grouped, one_line, plain, short_id
from vestige_tui.presenters.doctor import KIND_WORDS, fix_sentence, problem
from vestige_tui.tui.commands.doctor import FixFault
from vestige_tui.tui.dialogs.modals import Dialog

if TYPE_CHECKING:
    from vestige_tui.core.doctor import Finding
    from vestige_tui.core.memories import Memory
    from vestige_tui.store.store import Store

log = logging.getLogger(__name__)

FIX = "fix"
"""Answer of the sheet where the key to fix was pressed; any other answer is the id of a memory."""
MAX_TEXT_CELLS = 200


async def examples_of(store: Store, finding: Finding) -> tuple[Memory, ...]:
    """Return the memories of a finding's examples; none where they are rows of another kind, or cannot be read."""
    if not KINDS[finding.kind].of_memories:
        return ()
    try:
        return await store.memories.get_many(list(finding.examples))
    except VestigeError as error:
        log.debug("The examples of a finding could not be read: %s", error)
        return ()


class FaultSheet(Dialog[str | None]):
    """Dialog on one kind of fault: ``enter`` returns the id of an example, the key to fix returns ``FIX``."""

    DEFAULT_CSS = """
    FaultSheet #sheet { width: 84; }
    FaultSheet Static.fault-line { height: auto; margin: 0 0 1 0; }
    FaultSheet OptionList { margin: 0 0 1 0; text-wrap: nowrap; text-overflow: ellipsis; }
    FaultSheet OptionList:focus { border: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding(FixFault.key, "fix", FixFault.label, id=FixFault.id, show=False)]

    def __init__(self, finding: Finding, memories: Sequence[Memory], *, fix_key: str, why_not: str = "") -> None:
        """``fix_key`` is the key to fix as it is displayed, ``why_not`` the reason why the store is not written."""
        opens = [("enter", "open the memory")] if memories else []
        fixes = [(fix_key, "fix…")] if finding.fixable and not why_not else []
        super().__init__(KIND_WORDS[finding.kind].label.capitalize(), (*opens, *fixes, ("esc", "back")))
        self._finding, self._memories, self._why_not = finding, memories, why_not

    def compose_body(self) -> ComposeResult:
        finding = self._finding
        yield _line(Content(problem(finding)))
        yield _line(Content.assemble(("Fix  " if finding.fixable else "", "$accent bold"), fix_sentence(finding)))
        if finding.fixable and self._why_not:
            yield _line(Content.styled(plain(self._why_not), "$warning"))
        if self._memories:
            options = [Option(_example(memory), id=memory.id) for memory in self._memories]
            yield OptionList(*options, markup=False)
        else:
            yield _line(Content.styled("\n".join(map(plain, finding.examples)), "$text-muted"))
        more = finding.count - len(finding.examples)
        if more > 0 and finding.examples:
            yield _line(Content.styled(f"and {grouped(more)} more", "$text-disabled"))

    def on_mount(self) -> None:
        for options in self.query(OptionList):
            options.focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.dismiss(event.option_id)

    def action_fix(self) -> None:
        if self._finding.fixable and not self._why_not:
            self.dismiss(FIX)


def _line(content: Content) -> Static:
    return Static(content, classes="fault-line", markup=False)


def _example(memory: Memory) -> Content:
    return Content.assemble(
        (f"{short_id(plain(memory.id))}  ", "$text-disabled"), one_line(memory.content, MAX_TEXT_CELLS)
    )
