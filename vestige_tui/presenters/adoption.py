"""Adoption of a Vestige file in words and as JSON: its additions, the further writes of its server, and its undo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vestige_tui.core.backups import Backup
from vestige_tui.core.text import grouped
from vestige_tui.store.schema.additions import COLUMNS
from vestige_tui.store.schema.adoption import Adoption, AdoptionPlan, WithdrawalPlan

_WRITTEN = {
    "reviews": ("review of the log", "reviews of the log"),
    "supersessions": ("supersession event", "supersession events"),
    "marks": ("suspended or buried mark", "suspended or buried marks"),
    "journal_entries": ("journal entry, with its undo", "journal entries, with their undo"),
    "extras": ("memory's metadata", "memories' metadata"),
    "users": ("user", "users"),
    "groups": ("group", "groups"),
    "labelled": ("memory's codebase or visibility", "memories' codebase or visibility"),
}
SERVER_NOTES = (
    "Its server keeps writing to the file. If you and the server change the same memory, the console says so and "
    "overwrites nothing.",
    "It may still merge or delete memories by itself; a memory that it deletes and inserts again loses its codebase, "
    "and is then private and owned by the local user.",
)


def plan_lines(plan: AdoptionPlan, file: Path, backup: Path) -> list[str]:
    """Return the additions of an adoption, a sentence each, without the names."""
    if plan.is_done:
        return [f"{file.name} is adopted already; nothing is missing."]
    added = [_count(len(names), noun) for names, noun in ((plan.columns, "column"), (plan.tables, "table")) if names]
    lines = [
        f"{file.name} is a file of {plan.line} with {_count(plan.memories, 'memory', 'memories')}.",
        f"Adopting it adds {_listed(added)}; every row of its server stays as it is.",
    ]
    if plan.is_again:
        lines.insert(1, "It was adopted before; its server has since removed part of what adopting added.")
    if plan.versions is not None:
        lines.append(f"Its schema version goes from {plan.versions[0]} to {plan.versions[1]}.")
    return [*lines, f"A backup is written first: {backup.name}"]


def added_names(plan: AdoptionPlan) -> list[str]:
    """Return the columns and tables that are added."""
    columns = [f"column {COLUMNS[name]}.{name}" for name in plan.columns]
    return [*columns, *(f"table {name}" for name in plan.tables)]


def adopted_sentence(done: Adoption, file: Path) -> str:
    """Return the sentence on an adoption that is done, with the rows counted before and after."""
    rows = grouped(sum(done.rows.values()))
    return (
        f"Adopted {file.name}: {rows} rows of its server's {len(done.rows)} tables, as many as before. "
        f"Backup: {done.backup.name}"
    )


def withdrawal_lines(plan: WithdrawalPlan) -> list[str]:
    """Return the columns, tables and rows that undoing an adoption drops, a sentence each."""
    lines = [f"Drops the tables {_listed(plan.tables)}."] if plan.tables else []
    if plan.columns:
        lines.append(f"Drops the columns {_listed(plan.columns)}.")
    if plan.versions is not None:
        lines.append(f"Sets the schema version from {plan.versions[1]} back to {plan.versions[0]}.")
    if losses := losses_of(plan):
        lines.append(f"This deletes {losses}.")
    lines.append("What was changed in the server's own columns stays: texts, types, tags, schedules, links.")
    return lines


def losses_of(plan: WithdrawalPlan) -> str:
    """Return the rows that undoing an adoption deletes; empty if the console has written nothing of its own."""
    parts = [f"{grouped(count)} {_WRITTEN[kind][count != 1]}" for kind, count in plan.written.items()]
    return _listed(parts)


def plan_document(plan: AdoptionPlan, backup: Path, *, done: Adoption | None = None) -> dict[str, Any]:
    """Return an adoption as JSON; ``changed`` is empty before it is done."""
    added = [*plan.columns, *plan.tables]
    return {
        "changed": added if done is not None else [],
        "undo": None,
        "adds": added,
        "line": plan.line,
        "memories": plan.memories,
        "schema_version": list(plan.versions) if plan.versions is not None else None,
        "backup": str(backup),
        "rows": dict(done.rows) if done is not None else None,
    }


def withdrawal_document(plan: WithdrawalPlan, *, done: bool, backup: Backup | None = None) -> dict[str, Any]:
    """Return the undoing of an adoption as JSON; ``changed`` is empty before it is done."""
    dropped = [*plan.columns, *plan.tables]
    return {
        "changed": dropped if done else [],
        "undo": None,
        "drops": dropped,
        "deletes": dict(plan.written),
        "backup": str(backup.path) if backup is not None else None,
    }


def _count(count: int, one: str, many: str = "") -> str:
    return f"1 {one}" if count == 1 else f"{grouped(count)} {many or one + 's'}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + (f" and {names[-1]}" if len(names) > 1 else "".join(names))
