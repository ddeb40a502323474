"""Page of the doctor: the faults in the rows of the open store, their examples, and fixes after a preview."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import Static

from vestige_tui.core.errors import Conflict, NotFound
from vestige_tui.core.memories import Change
from vestige_tui.core.text import plain, short_id
from vestige_tui.presenters import doctor as words
from vestige_tui.presenters.job_progress import quantity
from vestige_tui.presenters.stores import read_only_sentence
from vestige_tui.tui.backups import confirmed_with_backup
from vestige_tui.tui.changing_page import ChangingPage
from vestige_tui.tui.command_screen import NOT_OPEN
from vestige_tui.tui.commands.command import bindings
from vestige_tui.tui.commands.doctor import OF_THE_DOCTOR, FixFault, LeaveDoctor
from vestige_tui.tui.dialogs.memory_sheet import memory_sheet
from vestige_tui.tui.doctor.fault_list import FaultList
from vestige_tui.tui.doctor.fault_sheet import FIX, FaultSheet, examples_of
from vestige_tui.tui.doctor.fix_dialog import FixDialog
from vestige_tui.tui.shown_keys import shown_key
from vestige_tui.tui.widgets.empty import Empty
from vestige_tui.tui.widgets.key_line import KeyLine
from vestige_tui.tui.workers import work

if TYPE_CHECKING:
    from vestige_tui.core.doctor import DoctorStep, Examination, Finding, Stage
    from vestige_tui.store.store import Store

log = logging.getLogger(__name__)

LOOKING = "Looking at every row of the store…"
NO_FAULTS = "No faults found."
T = TypeVar("T")


class DoctorScreen(ChangingPage):
    """Faults of the open store, by kind. The store is examined when the page opens, after each fix, and on request."""

    CSS_PATH: ClassVar[list[str | PurePath]] = ["page.tcss"]
    AUTO_FOCUS = "FaultList"
    BINDINGS: ClassVar[list[BindingType]] = bindings(*OF_THE_DOCTOR)
    HELP = """\
The doctor looks at every row of the store: vectors that no search can compare, times and tags that cannot be read,
figures beyond their range, replacements that are missing or go in a circle, rows without their parent, ids in two
spellings, the text index, and the permissions of the files.

`enter` opens a kind of fault with examples; `enter` on an example opens its memory. `f` fixes the faults under the
cursor, and `F` all that can be fixed. Each shows every row that it changes, and asks; one `u` brings the rows back.
"""

    def __init__(self) -> None:
        super().__init__()
        self._list = FaultList(id="faults")
        self._examination: Examination | None = None
        self._stage: Stage | None = None
        """Stage of the preview or fix that runs; None while there is none."""

    @property
    def help_title(self) -> str:
        return "Doctor"

    def compose(self) -> ComposeResult:
        yield Static(Content.styled("Doctor", "$text bold"), id="doctor-title", markup=False)
        yield Static(id="doctor-why", markup=False)
        yield self._list
        yield Empty(id="nothing")
        yield Static(id="doctor-notes", markup=False)
        yield self._status
        yield KeyLine()

    def on_mount(self) -> None:
        self.console.frame_changed.subscribe(self, self._frame_changed)
        self._examine()

    def _frame_changed(self, _: None) -> None:
        if self.is_current:
            self.refresh_bindings()

    # Examination

    def read_again(self) -> None:
        self._examine()

    @work(group="examine", exclusive=True, exit_on_error=False)
    async def _examine(self) -> None:
        store = self.store
        if store is None:
            self._say_nothing(NOT_OPEN)
            return
        if self._examination is None:
            self._say_nothing(LOOKING)
        self._show(store, await store.doctor.examine(self._tell_of_checks))

    def _tell_of_checks(self, step: DoctorStep) -> None:
        if self._examination is None and self.is_mounted:
            self._say_nothing(f"{LOOKING} {words.step_in_words(step)}")

    def _show(self, store: Store, examination: Examination) -> None:
        self._examination = examination
        findings = examination.findings
        count = sum(each.count for each in findings)
        facts = f"{quantity(count, 'fault')} of {quantity(len(findings), 'kind')}" if findings else ""
        self.query_one("#doctor-title", Static).update(
            Content.assemble(("Doctor", "$text bold"), (f"   {facts}", "$text-muted"))
        )
        why = self._why_not_written() if findings else ""
        self.query_one("#doctor-why", Static).update(Content(plain(why)))
        self.set_class(bool(why), "-why")
        notes = (words.unfinished(examination), words.other_tables(examination.other_tables))
        self.query_one("#doctor-notes", Static).update(Content("\n".join(filter(None, notes))))
        self._list.show(findings)
        if findings:
            self.set_class(False, "-nothing")
            self._list.focus()
        else:
            self._say_nothing(NO_FAULTS)
        self.refresh_bindings()

    def _say_nothing(self, why: str) -> None:
        self.query_one("#nothing", Empty).say(why, ("esc", "back"))
        self.set_class(True, "-nothing")

    # Disabled commands

    def why_not(self, action: str) -> str:
        if reason := super().why_not(action):
            return reason
        if action in ("fix_fault", "fix_all_faults") and self._examination is None:
            return LOOKING
        if action == "fix_fault":
            finding = self._list.current
            if finding is None:
                return "There is no fault here."
            return "" if finding.fixable else words.fix_sentence(finding)
        if action == "fix_all_faults" and not (self._examination and self._examination.fixable):
            return "There is no fault that can be fixed here."
        return ""

    @on(FaultList.FaultHighlighted)
    def _highlighted(self) -> None:
        self.refresh_bindings()

    # Commands

    @on(FaultList.FaultChosen)
    def _chosen(self, event: FaultList.FaultChosen) -> None:
        event.stop()
        self._open(event.finding)

    @work(group="open", exclusive=True, exit_on_error=False)
    async def _open(self, finding: Finding) -> None:
        store = self.store
        if store is None:
            return
        memories = await examples_of(store, finding)
        why = read_only_sentence(store.read_only_reason) if store.read_only else ""
        fix_key = shown_key(self.app, FixFault)
        while answer := await self.app.push_screen_wait(FaultSheet(finding, memories, fix_key=fix_key, why_not=why)):
            if answer == FIX:
                self.action_fix_fault()
                return
            try:
                await self.app.push_screen_wait(await memory_sheet(store, answer))
            except NotFound as error:
                log.debug("The memory of an example is gone: %s", error)
                self._status.say(f"Memory {short_id(answer)} was deleted meanwhile.", severity="waiting")
                return

    @work(group="write", exclusive=True, exit_on_error=False)
    async def action_fix_fault(self) -> None:
        finding = self._list.current
        if finding is not None:
            await self._fix([finding.kind])

    @work(group="write", exclusive=True, exit_on_error=False)
    async def action_fix_all_faults(self) -> None:
        if self._examination is not None:
            await self._fix(self._examination.fixable)

    async def _fix(self, kinds: Sequence[str]) -> None:
        """Preview a fix, ask, and make it; if a row has changed since, show the new preview."""
        store, fault = self.store, ""
        if store is None:
            return
        while True:
            preview = await self._cancellable(store.doctor.preview(kinds, self._tell))
            if preview.is_empty:
                self._status.say("Nothing to fix: the faults are gone.", severity="quiet")
                break
            if not await confirmed_with_backup(self, FixDialog(preview, fault=fault)):
                return
            try:
                fixed = await self._cancellable(store.doctor.fix(preview, self._tell))
            except Conflict as error:
                log.info("A previewed fix was refused: %s", type(error).__name__)
                fault = f"{error.message} Below are the rows as they are now."
                continue
            self.changed(Change(fixed.subjects, fixed.undo), words.fixed_sentence(fixed))
            return
        self._examine()

    async def _cancellable(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a preview or a fix, which the key of ``back`` cancels, and which changes nothing then."""
        self._stage = "previewing"
        self._status.say("Reading the rows…", self._cancel_hint(), severity="quiet")
        try:
            result = await work
        except asyncio.CancelledError:
            if self.is_mounted:
                self._status.say("Cancelled. Nothing was fixed.", severity="quiet")
            raise
        finally:
            self._stage = None
        self._status.say("")
        return result

    def _cancel_hint(self) -> str:
        return f"{shown_key(self.app, LeaveDoctor)} cancel"

    def _tell(self, step: DoctorStep) -> None:
        self._stage = step.stage
        hint = "" if step.stage == "committing" else self._cancel_hint()
        sentence = words.step_in_words(step)
        self._status.say(f"{sentence[:1].upper()}{sentence[1:]}", hint, severity="quiet")

    def action_back(self) -> None:
        if self._stage is None:
            self.dismiss(None)
        elif self._stage == "committing":
            self._status.say("The fix is being saved.", severity="quiet")
        else:
            self.workers.cancel_group(self, "write")
