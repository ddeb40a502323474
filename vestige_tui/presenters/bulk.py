"""Bulk changes in words, the same for console and command line: the preview, its rows, and the change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vestige_tui.core.bulk import (
    BulkPreview,
    Deletion,
    DomainEdit,
    DomainMove,
    FieldEdit,
    MarkEdit,
    Operation,
    Replacement,
    TagEdit,
)
from vestige_tui.core.tag_syntax import write_tag
from vestige_tui.core.text import cut, grouped, plain
from vestige_tui.presenters.changes import VALUE_CELLS, change_sentence, move_value, tags_value, title
from vestige_tui.presenters.job_progress import quantity

if TYPE_CHECKING:
    from vestige_tui.core.memories import Patch

MAX_TYPES = 6
MOVE_WORDS = {
    "rename_domain": "Rename domain",
    "merge_domains": "Merge domains",
    "delete_domain": "Delete domain",
}
MARK_VALUES = {"suspend": "until resumed", "bury": "until tomorrow"}


def many(count: int) -> str:
    """Return a number of memories: ``1 memory``, ``1,234 memories``."""
    return "1 memory" if count == 1 else f"{grouped(count)} memories"


def bulk_subject(preview: BulkPreview) -> str:
    """Return the quoted first line of the only memory of a preview, or the number of several."""
    if len(preview.ids) == 1 and preview.first is not None:
        return title(preview.first.content)
    return many(len(preview.ids))


def preview_title(preview: BulkPreview) -> str:
    """Return the question of a preview, such as ``Tag 34 memories: +keys?``."""
    subject, value = bulk_subject(preview), operation_value(preview.operation)
    match preview.operation:
        case Replacement():
            winner = title(preview.winner.content) if preview.winner else "another memory"
            return f"Replace {subject} by {winner}?"
        case MarkEdit(verb="clear_marks"):
            return f"Clear the marks of {subject}?"
        case MarkEdit(verb=verb):
            return f"{verb.capitalize()} {subject} {value}".rstrip() + "?"
        case DomainMove(verb=verb):
            return f"{MOVE_WORDS[verb]} {value} {'from' if verb == 'delete_domain' else 'in'} {subject}?"
        case TagEdit() | FieldEdit() | DomainEdit():
            return f"{preview.operation.verb.capitalize()} {subject}: {value}?"
    return f"Delete {subject}?"


def action_verb(preview: BulkPreview) -> str:
    """Return the verb of the key that agrees."""
    verb = preview.operation.verb
    return {"supersede": "replace", "clear_marks": "clear"}.get(verb, verb.partition("_")[0])


def preview_notes(preview: BulkPreview, key: str = "") -> list[str]:
    """Return the sentences of a preview: types, consequences, and the memories left out.

    ``key`` is the one that keeps the memories replaced which a deletion would make active again.
    """
    notes = [types_line(preview)] if len(preview.ids) > 1 else []
    if preview.resurrected_count:
        more = preview.resurrected_count - len(preview.resurrected)
        names = ", ".join(title(memory.content) for memory in preview.resurrected)
        notes.append(f"Becomes active again: {names}" + (f" and {grouped(more)} more" if more else ""))
        notes += beside_notes(preview, key)
    return [*notes, *followed_notes(preview), *loss_notes(preview), *left_out_notes(preview)]


def beside_notes(preview: BulkPreview, way: str) -> list[str]:
    """Return a sentence for each memory that would be active beside the one that replaced its deleted winner.

    ``way`` is the key or the option that keeps it replaced.
    """
    return [
        f"{title(memory.content)} is then active beside {title(preview.beside[memory.id].content)}, which replaced the "
        f"deleted memory; {way} keeps it replaced, by that one."
        for memory in preview.resurrected
        if memory.id in preview.beside
    ]


def followed_notes(preview: BulkPreview) -> list[str]:
    """Return a sentence for each memory that stays replaced, by the one that replaced its deleted winner."""
    notes = [
        f"{title(memory.content)} stays replaced, by {title(preview.beside[memory.id].content)}."
        for memory in preview.followed
        if memory.id in preview.beside
    ]
    more = preview.followed_count - len(preview.followed)
    return [*notes, f"{many(more)} more {'stays' if more == 1 else 'stay'} replaced."] if more else notes


def loss_notes(preview: BulkPreview) -> list[str]:
    """Return the sentence on the links and reviews that a deletion deletes, if any."""
    losses = [quantity(preview.edges, "link")] * bool(preview.edges)
    losses += [quantity(preview.reviews, "review")] * bool(preview.reviews)
    return [f"Also deletes {' and '.join(losses)}."] if losses else []


def left_out_notes(preview: BulkPreview) -> list[str]:
    """Return a sentence for each reason for which memories are left out."""
    notes = [f"Left out: {many(len(each.ids))}, because {each.reason}." for each in preview.left_out]
    if preview.missing:
        verb = "memory was" if preview.missing == 1 else "memories were"
        number = "One" if preview.missing == 1 else grouped(preview.missing)
        notes.append(f"{number} {verb} deleted elsewhere.")
    return notes


def types_line(preview: BulkPreview) -> str:
    """Return the number of memories of each type: ``20 decision, 14 fact``."""
    types = list(preview.types.items())
    parts = [f"{grouped(count)} {cut(plain(name), 24)}" for name, count in types[:MAX_TYPES]]
    rest = sum(count for _, count in types[MAX_TYPES:])
    return ", ".join(parts) + (f", {grouped(rest)} of other types" if rest else "")


def nothing_sentence(preview: BulkPreview) -> str:
    """Return why a bulk change changes nothing."""
    if reasons := left_out_notes(preview):
        return f"Nothing to change. {' '.join(reasons)}"
    return "Nothing to change."


def bulk_sentence(preview: BulkPreview, subject: str = "") -> str:
    """Return the sentence on an applied bulk change, such as ``Tagged 34 memories: +keys``, without its full stop."""
    operation, subject = preview.operation, subject or bulk_subject(preview)
    value = operation_value(operation)
    if isinstance(operation, Replacement):
        value = title(preview.winner.content) if preview.winner else "another memory"
        if len(preview.ids) > 1:
            return f"{subject} are now replaced by {value}"
    sentence = change_sentence(operation.verb, subject, value)
    left_out = sum(len(each.ids) for each in preview.left_out)
    additions = [f"{grouped(left_out)} left out"] * bool(left_out)
    additions += [f"{many(preview.followed_count)} kept replaced"] * bool(preview.followed_count)
    return sentence.rstrip() + (f" ({', '.join(additions)})" if additions else "")


def operation_value(operation: Operation) -> str:
    """Return the values that an operation sets: its tags, fields or time."""
    match operation:
        case TagEdit(add=add, remove=remove):
            return tags_value([write_tag(tag) for tag in add], [write_tag(tag) for tag in remove])
        case FieldEdit(patch=patch):
            return cut(", ".join(_fields(patch)), VALUE_CELLS)
        case MarkEdit(verb=verb, until=until):
            return f"until {until.astimezone():%Y-%m-%d}" if until else MARK_VALUES.get(verb, "")
        case DomainEdit(add=add, remove=remove):
            return f"domains {tags_value(add, remove)}"
        case DomainMove(names=names, into=into):
            return move_value(names, into)
        case Deletion() | Replacement():
            return ""


def _fields(patch: Patch) -> Sequence[str]:
    fields: list[str] = []
    for name, value in (("type", patch.node_type), ("codebase", patch.codebase), ("visibility", patch.visibility)):
        if value is not None:
            fields.append(f"{name} {plain(value)}" if value else f"no {name}")
    if patch.owner_user_id is not None:
        fields.append("owner")
    if patch.shared_with_groups is not None:
        count = len(patch.shared_with_groups)
        fields.append(f"shared with {count} group{'' if count == 1 else 's'}" if count else "no groups")
    for name, labels in (("domain", patch.domains), ("tags", patch.tags)):
        if labels is not None:
            fields.append(f"{name} {', '.join(map(plain, labels))}" if labels else f"no {name}")
    if patch.metadata is not None:
        fields.append("metadata")
    return fields
