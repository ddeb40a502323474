"""Export of the memories of a target from the console, by the clipboard or as a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vestige_tui.core import file_targets, files
from vestige_tui.core.errors import NotFound, Refused
from vestige_tui.core.file_permissions import is_readable_by_others
from vestige_tui.core.json_text import dumps
from vestige_tui.core.paths import user_path
from vestige_tui.core.text import below_home, grouped, plain
from vestige_tui.presenters.export_lines import exported_lines

if TYPE_CHECKING:
    from vestige_tui.core.bulk import Target
    from vestige_tui.core.memories import Memory
    from vestige_tui.store.store import Store

MAX_COPIED_MEMORIES = 1_000
EXPORT_INSTEAD = "ctrl+p, Export selection"
"""Way to a file for a text that is too long for the clipboard."""


async def memories_to_copy(store: Store, target: Target) -> tuple[Memory, ...]:
    """Return the memories of a target with their whole texts.

    Raises Refused for more than ``MAX_COPIED_MEMORIES``, NotFound if none exists any more.
    """
    if target.filter is None:
        _refuse_many(len(target.ids))
        memories = await store.memories.get_many(target.ids)
    else:
        memories = (await store.page(target.filter, limit=MAX_COPIED_MEMORIES + 1)).items
        _refuse_many(len(memories))
    if not memories:
        raise NotFound("Nothing was copied: what was selected has been deleted elsewhere.")
    return memories


def _refuse_many(count: int) -> None:
    if count > MAX_COPIED_MEMORIES:
        raise Refused(
            f"Not copied: the selection has more than {grouped(MAX_COPIED_MEMORIES)} memories. "
            f"Write it to a file: {EXPORT_INSTEAD}."
        )


async def export_to_file(store: Store, target: Target, name: str) -> str:
    """Write the memories of a target as JSON Lines into a new file; return the sentence on it.

    Raises Refused for a file that exists, and Unavailable for one that cannot be written.
    """
    path = user_path(name).absolute()
    file = file_targets.examine(path, store=store.file)
    file_targets.refuse_stream(file)
    count = 0
    async with files.written(file) as sink:
        async for line in exported_lines(store, target):
            await sink.write(dumps(line) + "\n")
            count += 1
    warning = ""
    if is_readable_by_others(file.path):
        warning = " Every user of this machine can read it; restrict it with `chmod 600`."
    return f"Wrote {grouped(count)} lines to {plain(below_home(str(path)))}.{warning}"
