"""One change of the chosen memories from a place: ask for a value, show the preview, write, and report."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from vestige_tui.core.bulk import Deletion, FieldEdit, Operation, Target
from vestige_tui.core.errors import Conflict, NotFound, Usage
from vestige_tui.core.memories import VISIBILITIES, Filter, Patch
from vestige_tui.presenters.bulk import bulk_sentence, nothing_sentence, operation_value
from vestige_tui.presenters.changes import change_sentence, title
from vestige_tui.tui.dialogs.fields import MAX_VALUES, FieldsDialog, FieldTexts
from vestige_tui.tui.dialogs.preview import PreviewDialog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from textual.app import App

    from vestige_tui.core.bulk import BulkPreview
    from vestige_tui.core.memories import Change, Memory
    from vestige_tui.store.memories import FacetName
    from vestige_tui.store.store import Store
    from vestige_tui.tui.notice import Notice, Severity

T = TypeVar("T")

log = logging.getLogger(__name__)

VALUED: dict[str, FacetName] = {"type": "node_types", "codebase": "codebases"}
"""Facets of the fields whose values the dialog names."""
DOING = {
    "tag": ("tagged", "Reading the memories…"),
    "edit": ("edited", "Reading the memories…"),
    "delete": ("deleted", "Reading what would be deleted…"),
    "supersede": ("replaced", "Reading the memories…"),
}


class ChangingPlace(Protocol):
    """Place as far as a change of several memories uses it."""

    @property
    def app(self) -> App[Any]: ...

    def chosen_memories(self) -> Sequence[Memory]: ...

    def chosen_subject(self) -> str: ...

    def will_change(self, memories: Sequence[Memory]) -> None: ...

    def changed(self, change: Change, sentence: str) -> None: ...

    def forget_selection(self) -> None: ...

    def forget_gone(self, ids: Sequence[str]) -> None: ...

    def say(self, text: str, change: Change | None = None, severity: Severity = "done") -> Notice: ...

    async def await_visibly(self, query: Awaitable[T], *, slow: str, gone_on: str) -> T | None: ...


async def change_many(place: ChangingPlace, store: Store, target: Target, operation: Operation) -> bool:
    """Preview an operation, ask where more than one memory changes, and write it; return whether it was written.

    If a memory has changed since the preview, nothing is written, and the new preview is shown.
    """
    done, slow = DOING.get(operation.verb, ("changed", "Reading the memories…"))
    fault = ""
    while True:
        preview = await place.await_visibly(
            store.bulk.preview(target, operation),
            slow=slow,
            gone_on=f"Nothing was {done}: you left while it was loading.",
        )
        if preview is None:
            return False
        _forget_missing(place, target, preview)
        if not preview.ids:
            place.say(f"{nothing_sentence(preview)}", severity="waiting" if preview.missing else "quiet")
            return False
        if needs_question(preview):
            dialog = PreviewDialog(preview, store.memories.get_many, fault=fault)
            if not await place.app.push_screen_wait(dialog):
                return False
            preview = dialog.agreed
        place.will_change(place.chosen_memories())
        try:
            change = await store.bulk.apply(preview)
        except Conflict as error:
            log.info("A previewed change was refused: %s", type(error).__name__)
            fault = f"{error.message} Below are the memories as they are now."
            continue
        if isinstance(operation, Deletion):
            place.forget_selection()
        alone = target.filter is None and len(target.ids) == 1
        place.changed(change, bulk_sentence(preview, place.chosen_subject() if alone else ""))
        return True


def _forget_missing(place: ChangingPlace, target: Target, preview: BulkPreview) -> None:
    """Remove the memories that another process has deleted from the selection."""
    if preview.missing:
        existing = {*preview.ids, *(memory_id for each in preview.left_out for memory_id in each.ids)}
        place.forget_gone([memory_id for memory_id in target.ids if memory_id not in existing])


async def edit_fields(place: ChangingPlace, store: Store, target: Target) -> None:
    """Ask for the fields of the chosen memories, and write those that were changed; ask again while one is refused."""
    typed: dict[str, str] | None = None
    fault = ""
    while True:
        read = await place.await_visibly(
            _read_fields(store, target),
            slow="Reading the fields…",
            gone_on="Nothing was edited: you left while it was loading.",
        )
        if read is None:
            return
        memories, values, handles = read
        if not memories and target.filter is None:
            raise NotFound("The memory was deleted elsewhere; nothing was edited.")
        if target.filter is None:
            fields = FieldTexts.of(memories, handles)
        else:
            fields = FieldTexts.of_any(owned=handles is not None)
        title = f"Fields of {place.chosen_subject()}"
        dialog = FieldsDialog(title, fields, values=values, typed=typed, fault=fault)
        patch = await place.app.push_screen_wait(dialog)
        if patch is None:
            return
        if patch == Patch():
            place.say("No change.", severity="quiet")
            return
        try:
            await _write_fields(place, store, target, memories, await store.accounts.patch_by_id(patch))
        except (Usage, Conflict) as error:
            log.info("Typed fields were refused: %s", type(error).__name__)
            typed, fault = dialog.typed, error.message
            continue
        return


async def _read_fields(
    store: Store, target: Target
) -> tuple[tuple[Memory, ...], dict[str, tuple[str, ...]], dict[str, str] | None]:
    """Return the chosen memories, the values of their fields in the store, and, if it has users, handles by id."""
    values: dict[str, tuple[str, ...]] = {
        field: tuple(each.value for each in await store.memories.facets(facet, Filter(superseded=True), MAX_VALUES))
        for field, facet in VALUED.items()
    }
    handles: dict[str, str] | None = None
    if store.accounts.are_kept:
        users, groups = await store.accounts.list_users(), await store.accounts.list_groups()
        accounts = [*(user.account for user in users), *(group.account for group in groups)]
        handles = {account.id: account.handle for account in accounts}
        values["owner"] = tuple(each.account.handle for each in users)
        values["groups"] = tuple(each.account.handle for each in groups)
        values["visibility"] = VISIBILITIES
    return await store.memories.get_many(target.ids), values, handles


async def _write_fields(
    place: ChangingPlace, store: Store, target: Target, memories: Sequence[Memory], patch: Patch
) -> None:
    if len(memories) != 1 or target.filter is not None:
        await change_many(place, store, target, FieldEdit(patch))
        return
    [memory] = memories
    place.will_change(memories)
    change = await store.update(memory.id, patch, expected=memory.updated_at)
    place.changed(change, change_sentence("edit", title(memory.content), operation_value(FieldEdit(patch))))


def needs_question(preview: BulkPreview) -> bool:
    """Return whether a preview is shown: for several memories, and for one whose deletion deletes more."""
    is_lossy = bool(preview.edges or preview.reviews or preview.resurrected_count)
    return len(preview.ids) > 1 or is_lossy or bool(preview.left_out or preview.missing)
