"""Copying a store from the console: from where, where to, what would come along, and only then the job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from vestige_tui.core.errors import ModelMismatch, SchemaPending, StoreMissing, Usage
from vestige_tui.core.text import grouped
from vestige_tui.jobs.start import check, dry_run
from vestige_tui.store.open import open_store
from vestige_tui.tui.wizards.choice_step import ChoiceStep, Way
from vestige_tui.tui.wizards.count_step import CountStep
from vestige_tui.tui.wizards.start_step import StartStep, Switch
from vestige_tui.tui.wizards.two_stores import BetweenStores, shown

if TYPE_CHECKING:
    from vestige_tui.core.jobs import TableProgress
    from vestige_tui.tui.place import Console, Place
    from vestige_tui.tui.wizards.wizard import ShowJob

FOLLOW, VERIFY, REEMBED = "follow", "verify", "reembed"


class CopyWizard(BetweenStores):
    """From, to, what comes along, start."""

    trail: ClassVar[Sequence[str]] = ("from", "to", "what comes along", "start")
    kind = "copy"
    source_note = "The store to copy, which is only read."
    target_note = "Where to? A new store is made; of one that is there every row stays as it is."

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
        there = await held(self.target)
        rows = [("from", shown(self.source)), ("to", shown(self.target)), ("", there)]
        if options:
            rows.append(("vectors", "made anew with the target's model, which takes its time"))
        elif checked.model:
            rows.append(("vectors", f"of {checked.model}"))
        rows.append(("rows", f"{grouped(sum(each.total or 0 for each in tables.values()))} in all"))
        await self.go(CountStep(self.trail[2], rows, tables, lambda: self._ask_start(tables, options, there)))

    def _ways(self) -> Sequence[Way]:
        return (
            Way(
                "re-embed while copying",
                "make the vectors anew with the target's model; that takes longer",
                lambda: self.busy("counting …", lambda: self._count({REEMBED: True})),
            ),
            Way("another target", "go back; nothing was made", self.action_leave),
        )

    def _ask_start(self, tables: Mapping[str, TableProgress], options: Mapping[str, Any], there: str) -> None:
        rows = sum(each.total or 0 for each in tables.values())
        left = sum(bool(each.left_behind) for each in tables.values())
        lines = [
            ("from", shown(self.source)),
            ("to", shown(self.target)),
            ("", there),
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


async def held(url: str) -> str:
    """What a target is before a copy, in words: new, empty, or what it holds and what becomes of that."""
    try:
        async with open_store(url, read_only=True, max_connections=1) as store:
            found = await store.get_stats()
    except StoreMissing:
        return "new: it will be made"
    except SchemaPending:
        return "empty: its tables will be made"
    if not found.total_memories:
        return "holds no memories yet"
    model = f" of {found.registered_model_name}" if found.registered_model_name else ""
    memories = "memory" if found.total_memories == 1 else "memories"
    return (
        f"holds {grouped(found.total_memories)} {memories}{model}: what is there stays as it is, "
        "only what is missing is brought"
    )


async def copy_from(place: Place, show_job: ShowJob) -> bool:
    """Lead through a copy, and show the job that it began; tells whether one runs now."""
    if place.store is None:
        raise Usage("The store is not open yet.")
    place.say("")
    launched = await place.app.push_screen_wait(CopyWizard(place.console))
    if launched is None:
        place.say("Nothing was copied.", severity="quiet")
        return False
    said = "This copy is running already." if launched.already_running else "The copy has started."
    await show_job(place.app, launched.job_id, said)
    return True
