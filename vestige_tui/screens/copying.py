"""Starting a copy from the console: where to, what it would bring, and only then the job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vestige_tui.errors import Usage
from vestige_tui.screens.modals import Ask, Confirm
from vestige_tui.text import grouped, redact

if TYPE_CHECKING:
    from vestige_tui.model import TableProgress
    from vestige_tui.screens.base import Place


async def copy_from(place: Place) -> bool:
    """Ask for the target, show the dry run, start the worker; tells whether a job runs now.

    Raises what stands in the way as one sentence, before anything was asked or made.
    """
    from vestige_tui.jobs.launch import Work, dry_run, start

    store = place.store
    if store is None:
        raise Usage("The store is not open yet.")
    if store.kind == "postgres":
        raise Usage("A copy goes from a SQLite store to PostgreSQL; this one is on PostgreSQL already.")
    target = await place.app.push_screen_wait(
        Ask(
            "Copy this store to PostgreSQL",
            placeholder="postgresql://user@host/database",
            note=f"From {store.title}, which is only read. The target is a PostgreSQL URL, or pgembed:DIR for a "
            "server of its own in a folder. A password is best left to libpq's own file.",
        )
    )
    if target is None or not target.strip():
        return False
    shown = redact(target.strip())
    place.say(f"Asking {shown}, and counting what would be copied…", severity="quiet")
    plan = Work("copy", store.location, target.strip())
    tables = await dry_run(plan)
    agreed = await place.app.push_screen_wait(
        Confirm(
            f"Copy to {shown}?",
            _rows(tables),
            verb="start the copy",
            notes=["Rows that are there already are left alone. The job goes on when this console is closed."],
        )
    )
    if not agreed:
        place.say("Nothing was copied.", severity="quiet")
        return False
    place.say("Starting the copy…", severity="quiet")
    launched = await start(plan)
    place.say("This copy is running already." if launched.already_running else "The copy has started.")
    return True


def _rows(tables: dict[str, TableProgress]) -> list[str]:
    brought = {name: each.total for name, each in tables.items() if each.total}
    left = {name: each.left_behind for name, each in tables.items() if each.left_behind}
    names = max((len(name) for name in (*brought, *left)), default=0)
    rows = [f"{name:<{names}}  {grouped(count):>11}" for name, count in brought.items()]
    rows += [f"{name:<{names}}  {grouped(count):>11}  left behind" for name, count in left.items()]
    return rows or ["This store is empty; only its tables are made."]
