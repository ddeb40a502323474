"""Backups and restores in words and as JSON: the written file, and the rows that a restore deletes or overwrites."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vestige_tui.core.backups import Backup, BackupStep, RestorePlan, TableLoss
from vestige_tui.core.text import below_home, bytes_size, grouped, one_line
from vestige_tui.transfer.table_spec import MEMORIES, TABLES

NOUNS: Mapping[str, tuple[str, str]] = {
    "memories": ("memory", "memories"),
    "vectors": ("vector", "vectors"),
    "scheduling": ("schedule", "schedules"),
    "edges": ("link", "links"),
    "reviews": ("review", "reviews"),
    "supersession": ("replacement", "replacements"),
    "marks": ("review mark", "review marks"),
    "users": ("user", "users"),
    "groups": ("group", "groups"),
    "memberships": ("group membership", "group memberships"),
    "domains": ("domain", "domains"),
    "journal": ("journal entry", "journal entries"),
    "delegations": ("job", "jobs"),
}
"""Nouns for the rows of a table, by its name in a copy or in the store."""
SUMMARIZED = frozenset({"memories", "edges", "reviews", "journal"})
"""Tables that a sentence about a whole backup counts."""
_NAMES = {table.stored_as: table.name for table in TABLES}
MEMORIES_TABLE = MEMORIES.stored_as
_ORDER = {table.stored_as: place for place, table in enumerate(sorted(TABLES, key=lambda table: table is not MEMORIES))}
EXAMPLE_CELLS = 60
STAGES = {
    "copying": "copying",
    "comparing": "comparing",
    "restoring": "restoring",
    "indexing": "building the indexes",
    "replacing": "replacing the file",
}


def quantity(table: str, count: int) -> str:
    """Return a number of rows of a table, as in ``3 memories``."""
    name = _NAMES.get(table, table)
    if name in NOUNS:
        return f"{grouped(count)} {NOUNS[name][count != 1]}"
    return f"{grouped(count)} {'row' if count == 1 else 'rows'} of {name}"


def listed(counts: Mapping[str, int]) -> str:
    """Return numbers of rows in a sentence, memories first; empty for none."""
    tables = sorted((table for table, count in counts.items() if count), key=lambda name: (_ORDER.get(name, 99), name))
    parts = [quantity(table, counts[table]) for table in tables]
    return ", ".join(parts[:-1]) + (f" and {parts[-1]}" if len(parts) > 1 else "".join(parts))


def step_in_words(step: BackupStep) -> str:
    """Return how far a backup or restore is."""
    of = f" of {grouped(step.total)}" if step.total else ""
    unit = _NAMES.get(step.table, step.table) or "pages"
    return f"{STAGES[step.stage]} {unit}: {grouped(step.done)}{of}" if step.done else f"{STAGES[step.stage]} …"


def backup_sentences(backup: Backup) -> list[str]:
    """Return the size and place of a backup, and the rows that it lacks."""
    memories = quantity(MEMORIES_TABLE, backup.rows.get(MEMORIES_TABLE, 0))
    place = f"{backup.path.name} in {_title(backup.path.parent)}"
    lines = [f"Backed up {memories}, compared with the store: {bytes_size(backup.bytes)}, {place}"]
    if left := listed(backup.left_behind):
        lines.append(f"Not in the backup, because the file has no table for them: {left}.")
    if failed := listed(backup.failed):
        lines.append(f"Not in the backup, because the file cannot hold them: {failed}.")
    return lines


def restore_lines(plan: RestorePlan) -> list[str]:
    """Return the consequences of a restore, a sentence each."""
    rows = {table: count for table, count in plan.rows.items() if _NAMES.get(table, table) in SUMMARIZED}
    lines = [f"{plan.backup.name} contains {listed(rows) or 'no memories'}."]
    if plan.damage:
        lines.append(f"{plan.title} cannot be compared: {plan.damage}. It is kept beside the restored file.")
    if deleted := listed(_counts(plan.losses, missing=True)):
        lines.append(f"Deletes what only {plan.title} has: {deleted}.")
    lines += [f'deleted: "{one_line(text, EXAMPLE_CELLS)}"' for text in plan.examples]
    if changed := listed(_counts(plan.losses, missing=False)):
        lines.append(f"Overwrites what differs from the backup: {changed}.")
    if not plan.loses:
        lines.append(f"{plan.title} has nothing that the backup lacks.")
    return lines


def effect(plan: RestorePlan) -> str:
    """Return the loss of a restore as a clause, for a refusal or a question."""
    if plan.damage:
        return f"This would replace {plan.title}"
    parts = (
        ("delete", listed(_counts(plan.losses, missing=True))),
        ("overwrite", listed(_counts(plan.losses, missing=False))),
    )
    return f"This would {' and '.join(f'{verb} {rows}' for verb, rows in parts if rows)} in {plan.title}"


def restored_sentence(backup: Backup, title: str) -> str:
    """Return the sentence on a restore that is done."""
    memories = quantity(MEMORIES_TABLE, backup.rows.get(MEMORIES_TABLE, 0))
    return f"Restored {title} from {_title(backup.path)}: {memories}, compared with the backup."


def backup_document(backup: Backup) -> dict[str, Any]:
    return {
        "backup": {
            "path": str(backup.path),
            "bytes": backup.bytes,
            "rows": dict(backup.rows),
            "verified": True,
            "left_behind": dict(backup.left_behind),
            "failed": dict(backup.failed),
        }
    }


def restore_document(plan: RestorePlan, *, done: Backup | None, saved: Backup | None = None) -> dict[str, Any]:
    """Return a restore as JSON; ``saved`` is the backup of the store that was written before it."""
    return {
        "restore": {
            "path": str(plan.backup),
            "store": plan.title,
            "done": done is not None,
            "rows": dict(plan.rows),
            "verified": done is not None,
            "deletes": {loss.table: loss.missing for loss in plan.losses if loss.missing},
            "sets_back": {loss.table: loss.changed for loss in plan.losses if loss.changed},
            "examples": list(plan.examples),
            "damage": plan.damage or None,
            "backup": str(saved.path) if saved is not None else None,
        }
    }


def loss_rows(plan: RestorePlan) -> Sequence[str]:
    """Return the losses of a restore one by one, for a dialog: kinds of rows first, then some memories."""
    rows = [f"deletes {quantity(loss.table, loss.missing)}" for loss in _ordered(plan.losses) if loss.missing]
    rows += [f"overwrites {quantity(loss.table, loss.changed)}" for loss in _ordered(plan.losses) if loss.changed]
    return [*rows, *(f'deletes "{one_line(text, EXAMPLE_CELLS)}"' for text in plan.examples)]


def _ordered(losses: Iterable[TableLoss]) -> list[TableLoss]:
    return sorted(losses, key=lambda loss: (_ORDER.get(loss.table, 99), loss.table))


def _counts(losses: Iterable[TableLoss], *, missing: bool) -> dict[str, int]:
    return {loss.table: loss.missing if missing else loss.changed for loss in losses}


def _title(path: Path) -> str:
    return below_home(str(path))
