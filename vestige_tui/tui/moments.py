"""Going to a past moment in the console: asking for it, stepping through decisions, and returning to now."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from vestige_tui.core.errors import Usage
from vestige_tui.core.text import safe
from vestige_tui.core.times import moment_text, parse_argument
from vestige_tui.presenters.changes import title
from vestige_tui.presenters.moments import TODAYS_TEXTS, decision_sentence
from vestige_tui.tui.command_screen import NOT_OPEN, CommandScreen
from vestige_tui.tui.commands.moments import ShowMoment
from vestige_tui.tui.dialogs.asking import ask_and_use
from vestige_tui.tui.dialogs.modals import Ask
from vestige_tui.tui.shown_keys import shown_key

if TYPE_CHECKING:
    from vestige_tui.core.links import SupersessionEvent
    from vestige_tui.store.store import Store

PLACEHOLDER = "2026-11-01, -7d, -1mo, 2026-11-01T14:30"
BACK_TO_NOW = "Back to now."
NO_EARLIER = "No memory was replaced before this moment."
ALREADY_NOW = "The console shows the store as it is now."


async def ask_for_moment(
    screen: CommandScreen, store: Store, question: str, shown: datetime | None, verb: str
) -> tuple[datetime | None] | None:
    """Ask for a past moment; return it, (None,) for now, or None if the user cancels."""

    async def read(typed: str) -> tuple[datetime | None]:
        return (None,) if not typed.strip() else (_past(store, typed),)

    def ask(line: str, fault: str) -> Ask:
        note = "An empty line means now. " + (f"Shown: {moment_text(shown)}." if shown is not None else "")
        return Ask(question, value=line, fault=fault, placeholder=PLACEHOLDER, note=note.strip(), verb=verb)

    return await ask_and_use(screen, ask, read, may_be_empty=True)


def _past(store: Store, typed: str) -> datetime:
    """Return the moment that was typed. Raises Usage for one that is not past."""
    now = store.present()
    moment = parse_argument(safe(typed), now, store.policy.days)
    if moment > now:
        raise Usage("This moment is in the future; give a past one, or an empty line, which means now.")
    return moment


async def choose_moment(screen: CommandScreen) -> None:
    """Ask for the moment at which the console shows the store."""
    store = screen.store
    if store is None:
        screen.hint(NOT_OPEN)
        return
    answer = await ask_for_moment(screen, store, "Show the store as of", store.moment, "show")
    if answer is not None:
        show_moment(screen, answer[0])


def show_moment(screen: CommandScreen, moment: datetime | None, sentence: str = "") -> None:
    """Show the store as of a moment, None for now, and say what is still of today."""
    screen.store_session.show_at(moment)
    if moment is None:
        screen.tell(sentence or BACK_TO_NOW)
    else:
        screen.tell(sentence or TODAYS_TEXTS, f"{shown_key(screen.app, ShowMoment)} now")


async def step_moment(screen: CommandScreen, step: int) -> None:
    """Go to the decision before the moment that is shown, or after it."""
    store = screen.store
    if store is None:
        screen.hint(NOT_OPEN)
        return
    if step > 0 and store.moment is None:
        screen.tell(ALREADY_NOW)
        return
    find = store.history.decision_before if step < 0 else store.history.decision_after
    decision = await find(store.now())
    if decision is None:
        if step < 0:
            screen.tell(NO_EARLIER)
        else:
            show_moment(screen, None)
        return
    show_moment(screen, decision.decided_at, await _named(store, decision))


async def _named(store: Store, decision: SupersessionEvent) -> str:
    """Return a decision as a sentence, with the first words of its memories."""
    ids = [decision.loser_id, *([decision.winner_id] if decision.winner_id else [])]
    memories = await store.at(None).memories.get_many(ids)
    names = {memory.id: title(memory.content) for memory in memories}
    return decision_sentence(decision, names)
