"""Decision of a catch-up pass about one row of the source, from facts alone; ``follow`` carries it out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from vestige_tui.transfer.sync_state import DELETED, EDIT_REFUSED, REFUSED, REPORTED, SYNCED, RowState


class RowRecord(Enum):
    """Record that a copy has of a row: the part of its sync state that decides."""

    NONE = "none"
    """The row is new to this copy."""
    FAILED = "failed"
    """No state, but a failure: the row could not be read or converted."""
    REFUSED = "refused"
    """The target has refused the row."""
    DELETED = "deleted"
    """An earlier pass did not find the row in the source, and this copy keeps it no longer."""
    UNSYNCED = "unsynced"
    """The row was in the target before this copy, and belongs to the target."""
    SYNCED = "synced"
    EDIT_REFUSED = "edit refused"
    """Synced, but the target has refused a later edit."""
    REPORTED = "reported"
    """Synced, but a finding has reported that it stays as it is in the target."""


class TargetRow(Enum):
    """Row of the target that has the key of a row of the source."""

    MISSING = "missing"
    EQUAL = "equal"
    DIFFERENT = "different"
    TAKEN = "taken"
    """Different, because the key occurs twice in the source and the first row with it counts."""


class RowAction(Enum):
    """Action of a catch-up pass for one row of the source."""

    NOTHING = "nothing"
    INSERT = "insert"
    RETRY = "retry"
    """Insert again a row that was counted as failed."""
    UPDATE = "update"
    COUNT_PRESENT = "count present"
    """Count a row that is new in the source and that the target has already."""
    RECORD_EQUAL = "record equal"
    REPORT_DELETED = "report deleted"
    """Report a row that was deleted in the target and is not inserted again."""
    REPORT_EDITED = "report edited"
    """Report a row that was edited in the target and is not overwritten."""
    REPORT_EDITED_TWICE = "report edited twice"
    """Report a row that was edited on both sides and is not overwritten."""


@dataclass(frozen=True, slots=True)
class RowFacts:
    """Facts about one row of the source.

    ``edited``: its values differ from the recorded ones; true of a row without a recorded state. ``owned_table``: rows
    of its table belong to rows of other tables. ``blind``: the sync state of earlier attempts is lost.
    """

    target: TargetRow
    record: RowRecord
    edited: bool
    owned_table: bool
    blind: bool


def record_of(state: RowState | None, *, failed: bool) -> RowRecord:
    """Return the record of a row with this sync state; ``failed``: it was reported as failed."""
    if state is None:
        return RowRecord.FAILED if failed else RowRecord.NONE
    if state.flags & DELETED:
        return RowRecord.DELETED
    if state.flags & SYNCED:
        if state.flags & REPORTED:
            return RowRecord.REPORTED
        return RowRecord.EDIT_REFUSED if state.flags & EDIT_REFUSED else RowRecord.SYNCED
    return RowRecord.REFUSED if state.flags & REFUSED else RowRecord.UNSYNCED


def decide(facts: RowFacts) -> RowAction:
    """Return the action for a row of the source."""
    if facts.target is TargetRow.MISSING:
        return _decide_missing(facts)
    if not facts.blind:
        if facts.record in (RowRecord.NONE, RowRecord.DELETED):
            return RowAction.COUNT_PRESENT
        if facts.record is RowRecord.FAILED:
            return RowAction.RETRY
    if facts.target is TargetRow.EQUAL:
        is_recorded = facts.record is RowRecord.SYNCED and not facts.edited
        return RowAction.NOTHING if is_recorded else RowAction.RECORD_EQUAL
    if facts.target is TargetRow.TAKEN or facts.record not in (RowRecord.SYNCED, RowRecord.EDIT_REFUSED):
        return RowAction.NOTHING
    if facts.edited:
        return RowAction.UPDATE
    return RowAction.REPORT_EDITED if facts.record is RowRecord.SYNCED else RowAction.NOTHING


def _decide_missing(facts: RowFacts) -> RowAction:
    if facts.record in (RowRecord.SYNCED, RowRecord.EDIT_REFUSED):
        # Rows that belong to another one were deleted with it.
        return RowAction.NOTHING if facts.owned_table else RowAction.REPORT_DELETED
    if facts.record is RowRecord.REPORTED:
        return RowAction.NOTHING
    if facts.record in (RowRecord.REFUSED, RowRecord.FAILED):
        # Its owner may have arrived meanwhile, or its values may be valid now.
        return RowAction.RETRY if facts.owned_table or facts.edited else RowAction.NOTHING
    return RowAction.INSERT


def decide_update(target_stamp: int | None, recorded_stamp: int) -> RowAction:
    """Return the action for a row to update, from its stamp in the target just before; None: missing, or equal by now.

    The target may have been edited since the first comparison.
    """
    if target_stamp is None:
        # The next pass tells which.
        return RowAction.NOTHING
    return RowAction.UPDATE if target_stamp == recorded_stamp else RowAction.REPORT_EDITED_TWICE
