"""Findings of the doctor, its fixes and their previews in words, the same for console and command line.

Every string is safe to show.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vestige_tui.core.text import bytes_size, cut, grouped, one_line, plain
from vestige_tui.presenters.job_progress import quantity

if TYPE_CHECKING:
    from vestige_tui.core.doctor import DoctorStep, Examination, Finding, Fixed, FixPreview, RowChange, TableNotShown

VALUE_CELLS = 36
_VECTOR_FIX = (
    "Deletes the vector; `vestige-tui registry fill`, or f on the Registry screen, computes it from the text again."
)


@dataclass(frozen=True, slots=True)
class KindWords:
    """Words on one kind of fault.

    ``label`` names it in a list, ``one`` and ``many`` are the clauses on one fault and on several, ``fix`` is what a
    fix does, ``remedy`` what the user can do where no fix exists.
    """

    label: str
    one: str
    many: str
    fix: str = ""
    remedy: str = ""


KIND_WORDS: Mapping[str, KindWords] = {
    "vector_width": KindWords(
        "vector width",
        "vector has a different number of dimensions than the model; vector search cannot find its memory",
        "vectors have a different number of dimensions than the model; vector search cannot find their memories",
        _VECTOR_FIX,
    ),
    "vector_infinite": KindWords(
        "vector not finite",
        "vector has a number that is not finite; vector search cannot find its memory",
        "vectors have a number that is not finite; vector search cannot find their memories",
        _VECTOR_FIX,
    ),
    "vector_zero": KindWords(
        "vector of zeros",
        "vector has only zeros; vector search cannot find its memory",
        "vectors have only zeros; vector search cannot find their memories",
        _VECTOR_FIX,
    ),
    "vector_orphan": KindWords(
        "vector without memory",
        "vector belongs to no memory",
        "vectors belong to no memory",
        "Deletes the vector.",
    ),
    "flag_set": KindWords(
        "vector missing",
        "memory is marked as having a vector and has none",
        "memories are marked as having a vector and have none",
        "Clears the mark; `vestige-tui registry fill`, or f on the Registry screen, computes the vector.",
    ),
    "flag_unset": KindWords(
        "vector not marked",
        "memory has a vector and is marked as having none",
        "memories have a vector and are marked as having none",
        "Sets the mark.",
    ),
    "time": KindWords(
        "unreadable time",
        "time cannot be read",
        "times cannot be read",
        "A memory's created time is taken from its updated time, or the other way round; a review's time from its "
        "result, the review before it or its memory; a link's time from the newer of its two memories; without any "
        "of these, it is now. A last review is taken from the log. A due date becomes now, or empty if there "
        "were no reviews.",
    ),
    "json": KindWords(
        "unreadable tags or metadata",
        "memory has tags, domains or metadata that cannot be read and are treated as empty",
        "memories have tags, domains or metadata that cannot be read and are treated as empty",
        "Replaces what cannot be read by an empty list or map.",
    ),
    "schedule": KindWords(
        "schedule out of range",
        "schedule has a figure beyond the range of FSRS",
        "schedules have a figure beyond the range of FSRS",
        "Sets the figure to the nearest one within the range; reviews already use that value.",
    ),
    "winner_missing": KindWords(
        "replacement missing",
        "memory is replaced by one that does not exist",
        "memories are replaced by ones that do not exist",
        "Makes the memory active again.",
    ),
    "winner_circle": KindWords(
        "circle of replacements",
        "circle of memories replace each other, so that all are hidden",
        "circles of memories replace each other, so that all are hidden",
        "Makes the memory that was replaced last active again.",
    ),
    "winner_cache": KindWords(
        "replacement outdated",
        "memory names a different replacement than the log of decisions",
        "memories name a different replacement than the log of decisions",
        "Sets the replacement to that of the latest decision.",
    ),
    "orphan": KindWords(
        "row without parent",
        "row belongs to a row that does not exist",
        "rows belong to rows that do not exist",
        "Deletes the row, empties an optional reference, or gives a memory of a missing owner to the local user.",
        "Delete the row yourself with an SQL tool, or add the row that it belongs to.",
    ),
    "duplicate_id": KindWords(
        "duplicate id",
        "memory has the id of another one in a different spelling",
        "memories have the id of another one in a different spelling",
        remedy="Open them, keep one, and delete the other: only you know which is right.",
    ),
    "text_index": KindWords(
        "text index",
        "memory has words in the text index that differ from its text",
        "memories have words in the text index that differ from their texts",
        "Fills the text index again; an undo does not change it back.",
    ),
    "file_mode": KindWords(
        "file permissions",
        "file of the store can be read by every user of this machine",
        "files of the store can be read by every user of this machine",
        "Runs chmod 600; an undo does not change it back.",
    ),
}
"""Words on each kind of fault."""


def problem(finding: Finding) -> str:
    """Return the sentence on a finding, without its examples."""
    return f"{grouped(finding.count)} {clause(finding)}."


def clause(finding: Finding) -> str:
    """Return the clause on a finding, beside its number."""
    words = KIND_WORDS[finding.kind]
    return words.one if finding.count == 1 else words.many


def fix_sentence(finding: Finding) -> str:
    """Return the effect of the fix of a finding, and the remedy for the rest."""
    words = KIND_WORDS[finding.kind]
    if not finding.fixable:
        return f"Not fixed here. {words.remedy}"
    rest = finding.count - finding.fixable
    return f"{words.fix} {grouped(rest)} cannot be fixed here: {words.remedy}" if rest else words.fix


def examples(finding: Finding) -> str:
    """Return the examples of a finding, and the number of those that are not listed."""
    more = finding.count - len(finding.examples)
    listed = ", ".join(map(plain, finding.examples))
    return f"{listed} and {grouped(more)} more" if more > 0 and finding.examples else listed


def other_tables(tables: tuple[TableNotShown, ...]) -> str:
    """Return the sentence on tables that the console does not show; empty if there are none."""
    filled = [each for each in tables if each.rows != 0]
    parts = [f"{plain(each.name)} ({'unknown' if each.rows is None else grouped(each.rows)})" for each in filled]
    parts += [quantity(len(tables) - len(filled), "empty one")] * (len(tables) > len(filled))
    return f"Tables that are not shown, with their rows: {', '.join(parts)}. They are never changed." if parts else ""


def unfinished(examination: Examination) -> str:
    """Return the sentence on checks that could not be made; empty if all were."""
    if not examination.unfinished:
        return ""
    return f"Not checked: {', '.join(KIND_WORDS[kind].label for kind in examination.unfinished)}."


# Fixes


def step_in_words(step: DoctorStep) -> str:
    """Return how far the doctor is, such as ``fixing: 3,000 of 20,000 rows``."""
    unit = "checks" if step.stage == "checking" else "rows"
    return f"{step.stage}: {grouped(step.done)} of {grouped(step.total)} {unit}"


def fix_question(preview: FixPreview) -> str:
    """Return the question before a fix, such as ``Fix 3 rows and 1 file?``."""
    return f"Fix {_amounts(len(preview.changes), preview.texts, len(preview.files))}?"


def fixed_sentence(fixed: Fixed) -> str:
    """Return the sentence on a fix, without its full stop."""
    return f"Fixed {_amounts(fixed.rows, fixed.texts, len(fixed.files))}"


def _amounts(rows: int, texts: int, files: int) -> str:
    parts = [quantity(rows, "row")] * bool(rows)
    parts += [f"the text index of {'1 memory' if texts == 1 else f'{grouped(texts)} memories'}"] * bool(texts)
    parts += [f"the permissions of {quantity(files, 'file')}"] * bool(files)
    return " and ".join(parts) or "nothing"


def preview_notes(preview: FixPreview) -> list[str]:
    """Return the sentences on the effects of a fix besides its rows."""
    notes = []
    if preview.changes:
        notes.append("All rows change at once, and one undo brings them back.")
    if preview.texts:
        notes.append(KIND_WORDS["text_index"].fix)
    if preview.files:
        notes.append(f"Only the owner can read {' and '.join(map(plain, preview.files))} then.")
    return notes


def change_parts(change: RowChange) -> tuple[str, str, str]:
    """Return a changed row as its kind, table and key, and change: ``tags "[broken" → "[]"``."""
    key = " ".join(_value(value) for _, value in change.row.key)
    return KIND_WORDS[change.kind].label, f"{plain(change.row.table)} {key}", _change(change)


def _change(change: RowChange) -> str:
    if change.after is None:
        return "deleted"
    if change.before is None:
        return "added"
    return ", ".join(
        f"{plain(name)} {_value(old)} → {_value(new)}" for name, (old, new) in change.changed_columns().items()
    )


def _value(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, Mapping) and len(value) == 1 and isinstance(coded := next(iter(value.values())), str):
        return bytes_size(len(coded) // 2) if "blob" in value or "text" in value else coded
    return cut(one_line(str(value)), VALUE_CELLS) if value != "" else '""'


# JSON


def examination_document(examination: Examination) -> dict[str, Any]:
    """Return the findings, the tables that are not shown, and the kinds that were not checked, as JSON."""
    return {
        "findings": [
            {
                "kind": each.kind,
                "count": each.count,
                "fixable": each.fixable,
                "examples": list(each.examples),
                "what": problem(each),
                "fix": fix_sentence(each),
            }
            for each in examination.findings
        ],
        "tables_not_shown": [{"name": each.name, "rows": each.rows} for each in examination.other_tables],
        "not_checked": list(examination.unfinished),
    }


def preview_document(preview: FixPreview) -> dict[str, Any]:
    """Return the changes of a preview as JSON: of each row the columns that change, or null for a row that is not."""
    return {
        "rows": [
            {
                "kind": change.kind,
                "subject": change.subject,
                "table": change.row.table,
                "key": change.row.values,
                "before": _side(change, 0) if change.before is not None else None,
                "after": _side(change, 1) if change.after is not None else None,
            }
            for change in preview.changes
        ],
        "texts": preview.texts,
        "files": list(preview.files),
    }


def _side(change: RowChange, side: int) -> dict[str, Any]:
    return {name: values[side] for name, values in change.changed_columns().items()}
