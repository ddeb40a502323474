"""Report of a change: a sentence that names its memories and the command that undoes it, or one JSON document."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from vestige_tui.cli.output import Output
from vestige_tui.core.errors import VestigeError
from vestige_tui.core.log import suppressed
from vestige_tui.core.memories import Change, Memory
from vestige_tui.core.text import grouped, one_line, short_id
from vestige_tui.presenters import json_shapes
from vestige_tui.presenters.changes import redo_sentence, undo_sentence

if TYPE_CHECKING:
    from vestige_tui.store.store import Store

log = logging.getLogger(__name__)

_MAX_QUOTED_CELLS = 48


def named(memory: Memory) -> str:
    """Return a memory as a sentence names it: its id and its first words."""
    return f'{short_id(memory.id)} "{one_line(memory.content, _MAX_QUOTED_CELLS)}"'


async def names(store: Store, ids: Iterable[str]) -> dict[str, str]:
    """Return the names of memories by id; of one that is gone, or cannot be read, its short id."""
    by_id = {memory_id: short_id(memory_id) for memory_id in ids}
    # The change is committed: a failed read must not look like a failed change.
    with suppressed(log, "read the changed memories", VestigeError):
        by_id |= {memory.id: named(memory) for memory in await store.memories.get_many(list(by_id))}
    return by_id


async def print_change(output: Output, store: Store, change: Change, verb: str, detail: str = "", **extra: Any) -> int:
    """Print a change as verb, memories and detail; return the exit status. ``extra`` goes to the JSON document."""
    if not is_answered(output, change, **extra):
        print_sentence(output, change, f"{verb} {await _subject(store, change)}{detail}")
    return 0


def print_undo(output: Output, change: Change, **extra: Any) -> int:
    """Print the change that an undo has reversed; return the exit status. ``extra`` goes to the JSON document."""
    if not is_answered(output, change, **extra):
        print_sentence(output, change, undo_sentence(change, with_id=True))
    return 0


def print_redo(output: Output, change: Change) -> int:
    """Print the change that a redo has made again; return the exit status."""
    if not is_answered(output, change):
        print_sentence(output, change, redo_sentence(change, with_id=True))
    return 0


def is_answered(output: Output, change: Change, **extra: Any) -> bool:
    """Print warnings, then the JSON document or that nothing changed; return whether a sentence is needless."""
    for warning in change.warnings:
        output.note(warning)
    if output.as_json:
        output.document({**json_shapes.change(change), **extra})
        return True
    # A change of a domain's row alone changes no memory.
    if not change.changed and (change.undo, change.undone, change.redone) == (None, None, None):
        output.line("Nothing changed.")
        return True
    return False


def print_sentence(output: Output, change: Change, sentence: str) -> None:
    """Print one sentence and the command that undoes the change."""
    undo = f"  Undo: vestige-tui undo {change.undo}" if change.undo is not None else ""
    output.line(f"{sentence}{undo}")


async def _subject(store: Store, change: Change) -> str:
    if len(change.changed) > 1:
        return f"{grouped(len(change.changed))} memories"
    return (await names(store, change.changed))[change.changed[0]]
