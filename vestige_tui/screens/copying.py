"""Copying a store from the console: from where, where to, what would come along, and only then the job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from vestige_tui.errors import ModelMismatch, Usage
from vestige_tui.jobs.launch import check, dry_run
from vestige_tui.screens.choice_step import ChoiceStep, Way
from vestige_tui.screens.count_step import CountStep
from vestige_tui.screens.start_step import StartStep, Switch
from vestige_tui.screens.two_stores import BetweenStores, shown
from vestige_tui.text import grouped
from vestige_tui.widgets.job_words import where

if TYPE_CHECKING:
    from vestige_tui.model import TableProgress
    from vestige_tui.screens.base import Console, Place

FOLLOW, VERIFY, REEMBED = "follow", "verify", "reembed"


class CopyWizard(BetweenStores):
    """From, to, what comes along, start."""

    trail: ClassVar[Sequence[str]] = ("from", "to", "what comes along", "start")
    kind = "copy"
    source_note = "The store to copy, which is only read."
    target_note = "Where to? Rows that are there already are left alone; a password is best left to libpq's own file."

    def __init__(self, console: Console) -> None:
        super().__init__("Copy a store", console)

    async def settle(self) -> None:
        await self._count({})

    async def _count(self, options: Mapping[str, Any]) -> None:
        """Show what would come along, or where the models differ the ways out."""
        work = self.work(options)
        try:
            checked = await check(work, dry=True)
        except ModelMismatch as error:
            if options:
                raise
            why = error.message.partition("; nothing was copied")[0].removesuffix(".")
            await self.go(ChoiceStep(self.trail[2], f"{why}. Vectors of two models cannot be compared.", self._ways()))
            return
        tables = await dry_run(work)
        notes = [f"From {where(self.source)} to {where(self.target)}."]
        if options:
            notes.append("Its vectors are made anew with the target's model, which takes its time.")
        elif checked.model:
            notes.append(f"Its vectors are of {checked.model}.")
        await self.go(CountStep(self.trail[2], notes, tables, lambda: self._ask_start(tables, options)))

    def _ways(self) -> Sequence[Way]:
        return (
            Way(
                "re-embed while copying",
                "make the vectors anew with the target's model; that takes longer",
                lambda: self.busy("counting …", lambda: self._count({REEMBED: True})),
            ),
            Way("another target", "go back; nothing was made", self.action_leave),
        )

    def _ask_start(self, tables: Mapping[str, TableProgress], options: Mapping[str, Any]) -> None:
        rows = sum(each.total or 0 for each in tables.values())
        left = sum(bool(each.left_behind) for each in tables.values())
        lines = [
            ("from", shown(self.source)),
            ("to", shown(self.target)),
            ("rows", grouped(rows) + (f", {left} {'table' if left == 1 else 'tables'} left behind" if left else "")),
            *([("vectors", "made anew with the target's model")] if options else []),
        ]
        switches = (
            Switch(VERIFY, "v", "compare every row at the end", True),
            Switch(FOLLOW, "f", "bring later changes too, until stopped", False),
        )

        def agreed(turned: Mapping[str, bool]) -> None:
            told = {**options, FOLLOW: turned[FOLLOW], VERIFY: turned[VERIFY]}
            self.busy("starting the copy …", lambda: self.begin(told))

        self.go_on(StartStep(lines, switches, "start the copy", agreed))


async def copy_from(place: Place) -> bool:
    """Lead through a copy, and show the job that it began; tells whether one runs now."""
    from vestige_tui.screens.jobs import show_job

    if place.store is None:
        raise Usage("The store is not open yet.")
    launched = await place.app.push_screen_wait(CopyWizard(place.console))
    if launched is None:
        place.say("Nothing was copied.", severity="quiet")
        return False
    said = "This copy is running already." if launched.already_running else "The copy has started."
    await show_job(place.app, launched.job_id, said)
    return True
