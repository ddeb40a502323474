"""Wizard of a copy of a store: source, target, counts, then the start of the job."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from vestige_tui.core.errors import ModelMismatch, SchemaPending, StoreMissing, Usage
from vestige_tui.core.text import grouped
from vestige_tui.jobs.start import check, dry_run
from vestige_tui.presenters.job_outcome import start_sentence
from vestige_tui.presenters.stores import location
from vestige_tui.store.open import open_store
from vestige_tui.tui.wizards.choice_step import ChoiceStep, Way
from vestige_tui.tui.wizards.count_step import CountStep
from vestige_tui.tui.wizards.start_step import StartStep, Switch
from vestige_tui.tui.wizards.two_stores import BetweenStores

if TYPE_CHECKING:
    from vestige_tui.core.jobs import TableProgress
    from vestige_tui.tui.place import Place
    from vestige_tui.tui.store_session import StoreSession
    from vestige_tui.tui.wizards.wizard import ShowJob

log = logging.getLogger(__name__)

FOLLOW, VERIFY, REEMBED = "follow", "verify", "reembed"


class CopyWizard(BetweenStores):
    """Steps from, to, contents, start."""

    trail: ClassVar[Sequence[str]] = ("from", "to", "contents", "start")
    kind = "copy"
    source_note = "The store to copy; it is only read."
    target_note = "Where to? Created if missing; existing rows are never changed."

    def __init__(self, session: StoreSession) -> None:
        super().__init__("Copy a store", session)

    async def settle(self) -> None:
        await self._count({})

    async def _count(self, options: Mapping[str, Any]) -> None:
        """Show the rows that would be copied, or the alternatives if the models differ."""
        work = self.work(options)
        try:
            validated = await check(work, dry=True)
        except ModelMismatch as error:
            if options:
                raise
            why = error.difference.removesuffix(".")
            await self.go(ChoiceStep(self.trail[2], f"{why}. Vectors of two models cannot be compared.", self._ways()))
            return
        tables = await dry_run(work)
        target_state = await target_sentence(self.target)
        rows = [("from", location(self.source)), ("to", location(self.target)), ("", target_state)]
        if options:
            rows.append(("vectors", "re-embedded with the target's model, which takes time"))
        elif validated.model:
            rows.append(("vectors", f"of {validated.model}"))
        rows.append(("rows", f"{grouped(sum(progress.total or 0 for progress in tables.values()))} in total"))
        await self.go(CountStep(self.trail[2], rows, tables, lambda: self._ask_start(tables, options, target_state)))

    def _ways(self) -> Sequence[Way]:
        return (
            Way(
                "re-embed while copying",
                "use the target's model; takes longer",
                lambda: self.busy("counting …", lambda: self._count({REEMBED: True})),
            ),
            Way("another target", "go back; nothing has been written", self.action_leave),
        )

    def _ask_start(self, tables: Mapping[str, TableProgress], options: Mapping[str, Any], target_state: str) -> None:
        rows = sum(progress.total or 0 for progress in tables.values())
        left_behind = sum(bool(progress.left_behind) for progress in tables.values())
        lines = [
            ("from", location(self.source)),
            ("to", location(self.target)),
            ("", target_state),
            (
                "rows",
                grouped(rows)
                + (f", {left_behind} {'table' if left_behind == 1 else 'tables'} not copied" if left_behind else ""),
            ),
            *([("vectors", "re-embedded with the target's model")] if options else []),
        ]
        switches = (
            Switch(VERIFY, "v", "compare every row at the end", True),
            Switch(FOLLOW, "f", "copy later changes too, until stopped", False),
        )

        def start(on: Mapping[str, bool]) -> None:
            job_options = {**options, FOLLOW: on[FOLLOW], VERIFY: on[VERIFY]}
            self.busy("starting the copy …", lambda: self.begin(job_options))

        self.go_on(StartStep(lines, switches, "start the copy", start))


async def target_sentence(url: str) -> str:
    """Return a sentence on a target before a copy: new, empty, or its memories and that they stay."""
    try:
        async with open_store(url, read_only=True, max_connections=1) as store:
            stats = await store.maintenance.stats()
    except StoreMissing as error:
        log.debug("The target does not exist yet: %s", error)
        return "new, will be created"
    except SchemaPending as error:
        log.debug("The target has no tables yet: %s", error)
        return "empty, its tables will be created"
    if not stats.total_memories:
        return "has no memories yet"
    model = f" with vectors of {stats.registered_model_name}" if stats.registered_model_name else ""
    memories = "memory" if stats.total_memories == 1 else "memories"
    return f"has {grouped(stats.total_memories)} {memories}{model}; missing rows are added"


async def copy_from(place: Place, show_job: ShowJob) -> bool:
    """Run the wizard of a copy and show its job; return whether the job runs."""
    if place.store is None:
        raise Usage("The store is not open yet.")
    place.say("")
    started_job = await place.app.push_screen_wait(CopyWizard(place.store_session))
    if started_job is None:
        place.say("Nothing was copied.", severity="quiet")
        return False
    sentence = start_sentence("copy", {}, already_running=started_job.already_running)
    await show_job(place.app, started_job.job_id, sentence)
    return True
