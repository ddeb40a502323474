"""Changes of a domain from its page: ask for a value, show every memory that changes, write."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from vestige_tui.core.bulk import BulkPreview, DomainEdit, DomainMove, Target
from vestige_tui.core.errors import Conflict
from vestige_tui.core.text import cut, plain, quoted
from vestige_tui.presenters.bulk import bulk_sentence, nothing_sentence
from vestige_tui.presenters.changes import change_sentence
from vestige_tui.tui.dialogs.asking import ask_and_use
from vestige_tui.tui.dialogs.modals import Ask, Choice, Pick
from vestige_tui.tui.dialogs.preview import PreviewDialog

if TYPE_CHECKING:
    from textual.screen import Screen

    from vestige_tui.core.domains import DomainSummary
    from vestige_tui.core.memories import Change
    from vestige_tui.store.store import Store

log = logging.getLogger(__name__)

NAME_CELLS = 40


async def rename(screen: Screen[None], store: Store, domain: DomainSummary) -> tuple[Change, str] | None:
    """Ask for a new name and rename a domain; return the change and its sentence, None if the user cancels."""

    async def use(name: str) -> tuple[Change, str] | None:
        return await _move(screen, store, DomainMove("rename_domain", (domain.name,), name))

    title = f"Rename domain {cut(plain(domain.name), NAME_CELLS)}"
    return await ask_and_use(
        screen, lambda line, fault: Ask(title, value=line or domain.name, fault=fault, verb="preview"), use
    )


async def merge(
    screen: Screen[None], store: Store, domain: DomainSummary, others: Sequence[DomainSummary]
) -> tuple[Change, str] | None:
    """Ask for another domain and for the name of both, and merge them, as ``rename`` does. The name may be new."""
    choices = [Choice(each.name, plain(each.name), each.memories) for each in others if each.name != domain.name]
    title = f"Merge domain {cut(plain(domain.name), NAME_CELLS)} into"
    other = await screen.app.push_screen_wait(Pick(title, choices))
    if other is None:
        return None

    async def use(name: str) -> tuple[Change, str] | None:
        # Of the two, the one that has the name already keeps it.
        old = tuple(each for each in (domain.name, other) if each != name.strip())
        return await _move(screen, store, DomainMove("merge_domains", old, name))

    question, note = (
        "Name of the merged domain",
        f"It holds the memories of {_quoted(domain.name)} and {_quoted(other)}.",
    )
    return await ask_and_use(
        screen, lambda line, fault: Ask(question, value=line or other, fault=fault, note=note, verb="preview"), use
    )


async def delete(screen: Screen[None], store: Store, domain: DomainSummary) -> tuple[Change, str] | None:
    """Delete a domain, as ``rename`` does."""
    return await _move(screen, store, DomainMove("delete_domain", (domain.name,)))


async def set_row(screen: Screen[None], store: Store, domain: DomainSummary) -> tuple[Change, str] | None:
    """Ask for a label, and write the row of a domain with its centroid and top terms."""

    async def use(label: str) -> tuple[Change, str]:
        change = await store.domains.put(domain.name, label=label)
        return change, change_sentence("set_domain", "", cut(plain(domain.name), NAME_CELLS))

    title = f"Label of domain {cut(plain(domain.name), NAME_CELLS)}"
    note = "Its centroid and its top terms are computed again from its memories."
    value = domain.label or domain.name
    return await ask_and_use(
        screen, lambda line, fault: Ask(title, value=line or value, fault=fault, note=note, verb="save"), use
    )


async def assign(
    screen: Screen[None], store: Store, domain: DomainSummary, ids: Sequence[str]
) -> tuple[Change, str] | None:
    """Add a domain to memories after their preview, as ``rename`` does."""
    target, operation = Target(tuple(ids)), DomainEdit(add=(domain.name,))
    return await _confirm(screen, store, lambda: store.bulk.preview(target, operation), store.bulk.apply)


async def _move(screen: Screen[None], store: Store, move: DomainMove) -> tuple[Change, str] | None:
    return await _confirm(screen, store, lambda: store.domains.preview(move), store.domains.apply)


async def _confirm(
    screen: Screen[None],
    store: Store,
    read: Callable[[], Awaitable[BulkPreview]],
    apply: Callable[[BulkPreview], Awaitable[Change]],
) -> tuple[Change, str] | None:
    """Show a preview until the user agrees to one that still holds; return the change and its sentence."""
    fault = ""
    while True:
        preview = await read()
        if not preview.ids and isinstance(preview.operation, DomainEdit):
            raise Conflict(nothing_sentence(preview))
        dialog = PreviewDialog(preview, store.memories.get_many, fault=fault)
        if not await screen.app.push_screen_wait(dialog):
            return None
        try:
            return await apply(preview), bulk_sentence(preview)
        except Conflict as error:
            log.info("A previewed change was refused: %s", type(error).__name__)
            fault = f"{error.message} Below are the memories as they are now."


def _quoted(name: str) -> str:
    return quoted(cut(plain(name), NAME_CELLS))
