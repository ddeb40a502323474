"""Changes of memories and their undo in one sentence each, the same for console and command line.

A change is said as ``Tagged "TEXT": +tag``, its undo as ``Undid: tag +tag on "TEXT"``. Every string is safe to show.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from vestige_tui.core.reviews import Rating
from vestige_tui.core.text import cut, grouped, one_line, plain, short_id
from vestige_tui.core.times import parse_stored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vestige_tui.core.memories import Change, JournalEntry, Memory, UndoneChange

TITLE_CELLS = 40
VALUE_CELLS = 60
_LONGEST_DAY = timedelta(hours=25)
"""Longest local day, that on which a clock is set back."""


@dataclass(frozen=True, slots=True)
class VerbWords:
    """Sentences on one verb of the journal: on a change and on its undo, each with its subject and value."""

    change: str
    undo: str


VERB_WORDS: Mapping[str, VerbWords] = {
    "add": VerbWords("Added {subject}", "add {subject}"),
    "import": VerbWords("Imported {subject}", "import {subject}"),
    "edit": VerbWords("Edited {subject}", "edit on {subject}"),
    "tag": VerbWords("Tagged {subject}: {value}", "tag {value} on {subject}"),
    "delete": VerbWords("Deleted {subject}", "delete {subject}"),
    "supersede": VerbWords("{subject} is now replaced by {value}", "replacement of {subject}"),
    "unsupersede": VerbWords("{subject} is active again", "making {subject} active again"),
    "link": VerbWords("Linked {subject}: {value}", "link {value} on {subject}"),
    "unlink": VerbWords("Unlinked {subject}: {value}", "unlink {value} on {subject}"),
    "review": VerbWords("Graded {subject} {value}", "grade {value} on {subject}"),
    "suspend": VerbWords("Suspended {subject} {value}", "suspend on {subject}"),
    "bury": VerbWords("Buried {subject} {value}", "bury {value} on {subject}"),
    "resume": VerbWords("Resumed {subject}", "resume on {subject}"),
}
"""Words of each verb that undo accepts."""


def title(content: str, width: int = TITLE_CELLS) -> str:
    """Return the quoted first line of a memory."""
    return f'"{one_line(content, width)}"'


def subject(memories: Sequence[Memory], width: int = TITLE_CELLS) -> str:
    """Return the quoted first line of one memory, or the number of several."""
    return title(memories[0].content, width) if len(memories) == 1 else _count(len(memories))


def tags_value(added: Sequence[str], removed: Sequence[str]) -> str:
    """Return tags as they are typed: ``+added -removed``."""
    return cut(" ".join([*(f"+{plain(tag)}" for tag in added), *(f"-{plain(tag)}" for tag in removed)]), VALUE_CELLS)


def change_sentence(verb: str, subject: str, value: str = "") -> str:
    """Return the sentence on a change without its full stop, such as ``Tagged "TEXT": +tag``."""
    sentence = VERB_WORDS[verb].change.format(subject=subject, value=value)
    return sentence if value else sentence.rstrip(": ")


def undo_sentence(change: Change, *, with_id: bool = False) -> str:
    """Return the sentence on an undo, such as ``Undid: tag +tag on "TEXT"``; ``with_id`` adds the id to the text."""
    if change.undone is None:
        return f"Undid: the last change of {_count(len(change.changed))}"
    entry = change.undone.entry
    words = VERB_WORDS[entry.verb].undo.format(value=value_of(entry), subject=_undone_subject(change.undone, with_id))
    return f"Undid: {words}"


def _undone_subject(undone: UndoneChange, with_id: bool) -> str:
    ids = list(dict.fromkeys(undone.entry.ids))
    if len(ids) != 1:
        return _count(len(ids))
    parts = [title(undone.content)] if undone.content.strip() else []
    return " ".join([short_id(ids[0]), *parts] if with_id or not parts else parts)


def value_of(entry: JournalEntry) -> str:
    """Return the value of a journal entry: its tags, grade, type of link or time of burial; empty for other verbs."""
    state = _first(entry.after) or _first(entry.before)
    match entry.verb:
        case "tag":
            return tags_value(list(dict.fromkeys(_new_tags(entry))), list(dict.fromkeys(_old_tags(entry))))
        case "review":
            rating = state.get("rating")
            return Rating(rating).name.capitalize() if rating in set(Rating) else ""
        case "link" | "unlink":
            return cut(plain(str(state["edge"]["edge_type"])), VALUE_CELLS)
        case "bury":
            return _until(entry, state)
        case _:
            return ""


def _until(entry: JournalEntry, state: Mapping[str, Any]) -> str:
    until = parse_stored(state["marks"]["buried_until"])
    assert until is not None
    return "until tomorrow" if until - entry.at <= _LONGEST_DAY else f"until {until.astimezone():%Y-%m-%d}"


def _new_tags(entry: JournalEntry) -> Iterator[str]:
    for old, new in _tags(entry):
        yield from (tag for tag in new if tag not in old)


def _old_tags(entry: JournalEntry) -> Iterator[str]:
    for old, new in _tags(entry):
        yield from (tag for tag in old if tag not in new)


def _tags(entry: JournalEntry) -> Iterator[tuple[Sequence[str], Sequence[str]]]:
    for before, after in zip(entry.before, entry.after, strict=True):
        yield before["memory"]["tags"], after["memory"]["tags"]


def _first(snapshots: Sequence[Mapping[str, Any]] | None) -> Mapping[str, Any]:
    return snapshots[0] if snapshots else {}


def _count(count: int) -> str:
    return "1 memory" if count == 1 else f"{grouped(count)} memories"
