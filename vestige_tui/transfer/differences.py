"""Differences of a comparison in words: the findings of single rows, the limit of their list, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from vestige_tui.core.jobs import JobFinding, TableProgress
from vestige_tui.core.text import grouped
from vestige_tui.transfer.sanitize import sentence
from vestige_tui.transfer.table_spec import BY_NAME

if TYPE_CHECKING:
    from vestige_tui.core.jobs import FindingKind
    from vestige_tui.transfer.codecs import TextDecoder
    from vestige_tui.transfer.convert import TransferRow
    from vestige_tui.transfer.protocols import RowComparison

DIFFERENCES: tuple[FindingKind, ...] = ("differs", "only_source", "only_target")
"""Findings of a comparison that are differences; the others are rows that no copy can write."""
LISTED_ROWS = 10_000
"""Limit of listed differences and failed rows of a table; more are only counted."""
SHOWN_CHARS = 60
"""Longest value that is shown in a finding."""


def listable(table: str, before: int, findings: Sequence[JobFinding]) -> Sequence[JobFinding]:
    """Return the findings within the limit; the last one then says that there are more."""
    if before + len(findings) <= LISTED_ROWS:
        return findings
    if before > LISTED_ROWS:
        return ()
    kind: FindingKind = findings[LISTED_ROWS - before].outcome
    text = f"There are more than {grouped(LISTED_ROWS)}; the others are only counted."
    return [*findings[: LISTED_ROWS - before], JobFinding(table, kind, "", text)]


def difference_text(table: str, row: TransferRow, comparison: RowComparison, position: int) -> str:
    """Describe the columns that differ, with both values where they are short."""
    differing_columns = comparison.differ[position]
    names = list(dict.fromkeys("undoes" if each.startswith("undone_") else each for each in differing_columns))
    columns_text = " and ".join(filter(None, (", ".join(names[:-1]), names[-1]))).replace("_", " ")
    text = f"{columns_text} {'differs' if len(names) == 1 else 'differ'}"
    target_values = comparison.target_values.get(position)
    if target_values is None:
        return sentence(text)
    sides: list[str] = []
    for column, ours, theirs in zip(BY_NAME[table].columns, row.values, target_values, strict=False):
        if column.name in differing_columns and column.shown and column.codec.text is not None:
            source_text, target_text = _value_text(column.codec.text, ours), _value_text(column.codec.text, theirs)
            if max(len(source_text), len(target_text)) <= SHOWN_CHARS:
                prefix = f"{column.name.replace('_', ' ')} is " if len(names) > 1 else ""
                sides.append(f"{prefix}{source_text} in the source, {target_text} in the target")
    return sentence(f"{text}: {'; '.join(sides)}" if sides else text)


def _value_text(decode: TextDecoder, value: bytes | None) -> str:
    if value is None:
        return "nothing"
    try:
        return decode(value) or "empty"
    except ValueError:
        return "unreadable"


def verdict(tables: Mapping[str, TableProgress]) -> str:
    """Return the result of a comparison in words."""
    differ = sum(table.differ for table in tables.values())
    source_only = sum(table.only_source for table in tables.values())
    target_only = sum(table.only_target for table in tables.values())
    parts = [
        f"{grouped(count)} {words}"
        for count, words in (
            (differ, "differ"),
            (source_only, "only in the source"),
            (target_only, "only in the target"),
        )
        if count
    ]
    if parts:
        return ", ".join(parts)
    refused = any(table.failed for table in tables.values())
    return "every row that could be copied is equal" if refused else "every row is equal"


def equal(tables: Mapping[str, TableProgress]) -> bool:
    """Check whether a comparison found no difference."""
    return not any(table.differ or table.only_source or table.only_target for table in tables.values())
