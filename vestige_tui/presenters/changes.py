"""Changes of memories and their undo in one sentence each, the same for console and command line.

A change is said as ``Tagged "TEXT": +tag``, its undo as ``Undid: tag +tag on "TEXT"``, with the same verb,
value and text for every kind of change, and its redo as ``Redid: …``. Every string is safe to show.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from vestige_tui.core.journal import REDO, REPAIR, REVERSALS, UNDO, UNFINISHED, entry_of
from vestige_tui.core.reviews import Rating
from vestige_tui.core.text import cut, grouped, one_line, plain, short_id
from vestige_tui.core.times import parse_stored

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from vestige_tui.core.journal import JournalLine
    from vestige_tui.core.memories import Change, Memory, UndoneChange

NOTHING_TO_REDO = "There is nothing to redo: the last change of this console is not an undo."
NEW_REVIEWS = "new reviews"
"""Subject of weights that were applied without rescheduling."""
TITLE_CELLS = 40
VALUE_CELLS = 60
SHORT_HASH_CHARS = 8
"""Characters of a hash of weights that a sentence gives."""
_LONGEST_DAY = timedelta(hours=25)
"""Longest local day, that on which a clock is set back."""


class Journaled(Protocol):
    """Part of a journal entry that its sentences need; ``before`` and ``after`` are snapshots."""

    @property
    def verb(self) -> str: ...
    @property
    def at(self) -> datetime: ...
    @property
    def ids(self) -> tuple[str, ...]: ...
    @property
    def before(self) -> Any: ...
    @property
    def after(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class VerbWords:
    """Words on one verb of the journal: the sentence on a change, and its verb where it is undone or redone."""

    change: str
    verb: str


VERB_WORDS: Mapping[str, VerbWords] = {
    "add": VerbWords("Added {subject}", "add"),
    "import": VerbWords("Imported {subject} {value}", "import"),
    "edit": VerbWords("Edited {subject}: {value}", "edit"),
    "tag": VerbWords("Tagged {subject}: {value}", "tag"),
    "delete": VerbWords("Deleted {subject}", "delete"),
    "supersede": VerbWords("{subject} is now replaced by {value}", "replace"),
    "unsupersede": VerbWords("{subject} is active again", "make active"),
    "link": VerbWords("Linked {subject}: {value}", "link"),
    "unlink": VerbWords("Unlinked {subject}: {value}", "unlink"),
    "review": VerbWords("Graded {subject} {value}", "grade"),
    "suspend": VerbWords("Suspended {subject} {value}", "suspend"),
    "bury": VerbWords("Buried {subject} {value}", "bury"),
    "resume": VerbWords("Resumed {subject}", "resume"),
    "pin": VerbWords("Pinned {subject}", "pin"),
    "unpin": VerbWords("Unpinned {subject}", "unpin"),
    "clear_marks": VerbWords("Cleared the marks of {subject}: {value}", "clear"),
    "set_domain": VerbWords("Set domain {value}", "set domain"),
    "rename_domain": VerbWords("Renamed domain {value} in {subject}", "rename domain"),
    "merge_domains": VerbWords("Merged domains {value} in {subject}", "merge domains"),
    "delete_domain": VerbWords("Deleted domain {value} from {subject}", "delete domain"),
    "optimize": VerbWords("Applied FSRS weights {value} to {subject}", "apply FSRS weights"),
    REPAIR: VerbWords("Repaired {subject}", "repair"),
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


def move_value(names: Sequence[str], into: str | None) -> str:
    """Return names of domains and the one that they become: ``auth, login → identity``."""
    old = ", ".join(map(plain, names))
    return cut(f"{old} → {plain(into)}" if into is not None else old, VALUE_CELLS)


def change_sentence(verb: str, subject: str, value: str = "") -> str:
    """Return the sentence on a change without its full stop, such as ``Tagged "TEXT": +tag``."""
    sentence = VERB_WORDS[verb].change.format(subject=subject, value=value)
    return sentence if value else sentence.rstrip(": ")


def with_warning(sentence: str, change: Change) -> str:
    """Return a sentence without its full stop, and after it the first warning of its change, if there is one."""
    return f"{sentence}. {change.warnings[0]}" if change.warnings else sentence


def undo_sentence(change: Change, *, with_id: bool = False) -> str:
    """Return the sentence on an undo, such as ``Undid: tag +tag on "TEXT"``; ``with_id`` adds the id to the text."""
    return _reversal("Undid", change.undone, len(change.changed), with_id=with_id)


def redo_sentence(change: Change, *, with_id: bool = False) -> str:
    """Return the sentence on a redo, such as ``Redid: tag +tag on "TEXT"``; ``with_id`` adds the id to the text."""
    return _reversal("Redid", change.redone, len(change.changed), with_id=with_id)


def _reversal(word: str, reversed_change: UndoneChange | None, count: int, *, with_id: bool) -> str:
    if reversed_change is None:
        return f"{word}: a change of {_count(count)}"
    entry = reversed_change.entry
    return f"{word}: {named_change(entry, reversed_change.content, reversed_change.other, with_id=with_id)}"


def named_change(
    entry: Journaled, content: str = "", other: str = "", *, with_id: bool = False, width: int = TITLE_CELLS
) -> str:
    """Return a change as its undo names it: ``tag +tag on "TEXT"``.

    ``content`` is the text of its only memory, ``other`` that of the other memory of a link or a replacement; each is
    cut to ``width`` cells.
    """
    verb = VERB_WORDS[entry.verb].verb if entry.verb in VERB_WORDS else plain(entry.verb)
    value = _value_with_other(entry, other, width)
    # A change of a domain's row alone names no memory.
    has_subject = entry.ids or entry.verb == "optimize"
    subject = f"on {_subject(entry, content, with_id=with_id, width=width)}" if has_subject else ""
    return " ".join(filter(None, (verb, value, subject)))


def _value_with_other(entry: Journaled, other: str, width: int) -> str:
    value, text = value_of(entry), title(other, width) if other.strip() else short_id(plain(_other_id(entry)))
    match entry.verb:
        case "link" | "unlink":
            return f"{value} to {text}" if text else value
        case "supersede":
            return f"by {text}" if text else value
        case _:
            return value


def journal_sentence(line: JournalLine, *, with_id: bool = False, width: int = TITLE_CELLS) -> str:
    """Return the sentence on an entry of the journal: ``Tagged "TEXT": +tag``, or ``Undid: tag +tag on "TEXT"``.

    Each text is cut to ``width`` cells.
    """
    if line.verb in REVERSALS:
        word = "Undid" if line.verb == UNDO else "Redid"
        if line.target is None:
            return f"{word}: a change of {_count(len(set(line.ids)))}"
        target = line.target
        return f"{word}: {named_change(target, target.content, target.other, with_id=with_id, width=width)}"
    subject_text, other = _subject(line, line.content, with_id=with_id, width=width), line.other
    if line.verb not in VERB_WORDS:
        return f"{plain(line.verb)}: {subject_text}"
    other_text = title(other, width) if other.strip() else short_id(plain(_other_id(line)))
    if line.verb in ("link", "unlink"):
        return change_sentence(line.verb, f"{subject_text} to {other_text}", value_of(line))
    value = other_text if line.verb == "supersede" else value_of(line)
    return change_sentence(line.verb, subject_text, value)


def not_undoable(line: JournalLine) -> str:
    """Return why an entry of the journal cannot be undone, as a sentence; empty if it can, as far as the line tells."""
    if line.undone_by is not None:
        done = "redone" if line.verb == UNDO else "undone"
        return f"Change {line.id} is already {done} (by {line.undone_by})."
    if line.verb == REDO:
        target = line.target.id if line.target is not None else entry_of(line.before)
        return f"Change {line.id} is a redo; undo change {target} instead."
    if line.verb != UNDO and line.verb not in VERB_WORDS:
        return f"A change of the kind '{plain(line.verb)}' cannot be undone."
    return ""


def _subject(entry: Journaled, content: str, *, with_id: bool, width: int = TITLE_CELLS) -> str:
    ids = list(dict.fromkeys(entry.ids))
    if entry.verb == "optimize" and not ids:
        return NEW_REVIEWS
    if len(ids) != 1:
        # A fix also changes rows that belong to no memory.
        return f"{grouped(len(ids))} memories or rows" if entry.verb == REPAIR else _count(len(ids))
    parts = [title(content, width)] if content.strip() else []
    if entry.verb == REPAIR and not parts:
        return cut(plain(ids[0]), width)
    return " ".join([short_id(plain(ids[0])), *parts] if with_id or not parts else parts)


def _other_id(entry: Journaled) -> str:
    """Return the id of the other memory of a link or a replacement; empty for other verbs."""
    state = _first(entry.after) or _first(entry.before)
    edge = state.get("edge")
    return str(edge["target_id"] if edge else state.get("superseded_by") or "")


def value_of(entry: Journaled) -> str:
    """Return the value of an entry: tags, edited fields, grade, type of link, time of burial; empty for other verbs."""
    state = _first(entry.after) or _first(entry.before)
    match entry.verb:
        case "tag":
            return tags_value(*_changed_values(entry, "tags"))
        case "edit":
            return cut(", ".join(_edited_fields(entry)), VALUE_CELLS)
        case "review":
            rating = state.get("rating")
            return Rating(rating).name.capitalize() if rating in set(Rating) else ""
        case "link" | "unlink":
            return cut(plain(str(state["edge"]["edge_type"])), VALUE_CELLS)
        case "bury":
            return _until(entry, state)
        case "import":
            return "(unfinished)" if state.get(UNFINISHED) else ""
        case "optimize":
            return plain(str(state["weights"]["hash"]))[:SHORT_HASH_CHARS] if "weights" in state else ""
        case "clear_marks":
            return ", ".join(_cleared_marks(entry))
        case "set_domain" | "rename_domain" | "merge_domains" | "delete_domain":
            return _domain_value(entry)
        case _:
            return ""


def _edited_fields(entry: Journaled) -> Iterator[str]:
    """Yield the changes of the fields by an edit: ``type fact → decision``, of several memories ``type decision``.

    Nothing where the text alone was edited.
    """
    pairs = list(_snapshots(entry))
    for key, name in (("node_type", "type"), ("codebase", "codebase"), ("visibility", "visibility")):
        changes = [(old.get(key), new.get(key)) for old, new in pairs if old.get(key) != new.get(key)]
        if changes:
            # An edit of several memories gives all of them the same value.
            values = changes[0] if len(set(entry.ids)) == 1 else changes[0][1:]
            yield f"{name} {' → '.join(plain(value or 'none') for value in values)}"
    for key in ("domains", "tags"):
        added, removed = _changed_values(entry, key)
        if added or removed:
            yield f"{key} {tags_value(added, removed)}"
    for key, name in (("owner_user_id", "owner"), ("shared_with_groups", "groups")):
        if any(old.get(key) != new.get(key) for old, new in pairs):
            yield name
    if any(old.get("metadata") != new.get("metadata") for old, new in pairs):
        yield "metadata"


def _until(entry: Journaled, state: Mapping[str, Any]) -> str:
    until = parse_stored(state["marks"]["buried_until"])
    if until is None:
        return ""
    return "until tomorrow" if until - entry.at <= _LONGEST_DAY else f"until {until.astimezone():%Y-%m-%d}"


def _domain_value(entry: Journaled) -> str:
    names, into = _first(entry.before).get("names", ()), _first(entry.after).get("into")
    return cut(plain(str(into)), VALUE_CELLS) if entry.verb == "set_domain" else move_value(names, into)


def _cleared_marks(entry: Journaled) -> tuple[str, ...]:
    """Return the marks that an entry took off its memories, each once."""
    marks: dict[str, None] = {}
    for before, after in zip(entry.before, entry.after, strict=True):
        old, new = before["marks"], after["marks"]
        names = {"suspended": old.get("suspended"), "buried": old.get("buried_until"), "pinned": old.get("pinned")}
        names["leech"] = old.get("cleared_lapses") != new.get("cleared_lapses")
        marks |= dict.fromkeys(name for name, was_set in names.items() if was_set)
    return tuple(marks)


def _changed_values(entry: Journaled, key: str) -> tuple[list[str], list[str]]:
    """Return the values that a change added to a list of its memories, and those that it removed, each once."""
    pairs = list(_snapshots(entry))
    added = dict.fromkeys(value for old, new in pairs for value in new.get(key, ()) if value not in old.get(key, ()))
    removed = dict.fromkeys(value for old, new in pairs for value in old.get(key, ()) if value not in new.get(key, ()))
    return list(added), list(removed)


def _snapshots(entry: Journaled) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Yield the fields of each memory before and after a change."""
    for before, after in zip(entry.before, entry.after, strict=True):
        # Of a change of very many memories, only the first is at hand.
        if "memory" in before:
            yield before["memory"], after["memory"]


def _first(snapshots: Sequence[Mapping[str, Any]] | None) -> Mapping[str, Any]:
    return snapshots[0] if snapshots else {}


def _count(count: int) -> str:
    return "1 memory" if count == 1 else f"{grouped(count)} memories"
