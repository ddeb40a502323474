"""Checkpoint of a re-embedding: its phase, the position of its encoding, and the figures for its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import Enum
from typing import Any

from vestige_tui.core.errors import CheckpointUnreadable
from vestige_tui.jobs.checkpoints import version_of

VERSION = 1
"""Version of the stored form. Version 0 had the same fields without ``version``. An older program that continues a
job keeps fields that it does not know: so the phase follows from ``begun``, ``taken`` and ``report``."""


class ReembedPhase(Enum):
    """Progress of a re-embedding: the model that its store belongs to, and the work that is done."""

    WAITING = "waiting"
    """Nothing is written yet."""
    ENCODING = "encoding"
    """The store belongs to its old model; vectors of the new one may lie beside its own."""
    TAKEN_OVER = "taken over"
    """The store belongs to the model of this job: after the swap, or in place from the beginning."""
    DONE = "done"


@dataclass(frozen=True, slots=True)
class ReembedResult:
    """Result of a re-embedding."""

    rows_updated: int
    duration_secs: float
    index_rebuild_secs: float
    swap_ms: float | None
    """Time that searches and writes waited; None without a swap, or if the worker died before it measured it."""


@dataclass(frozen=True, slots=True)
class ReembedCheckpoint:
    """State of a re-embedding between two steps.

    ``after`` is the id of the last memory that was written in the first pass, None before it and in later passes.
    ``domains`` still need a centroid of the new vectors. ``seconds`` is the work of all attempts, ``index_seconds`` the
    part of it for the vector index, ``swap_ms`` the duration of the swap in milliseconds.
    """

    phase: ReembedPhase = ReembedPhase.WAITING
    after: str | None = None
    domains: tuple[str, ...] = ()
    seconds: float = 0.0
    index_seconds: float = 0.0
    swap_ms: float | None = None
    result: ReembedResult | None = None
    """Only in phase DONE."""

    @property
    def taken_over(self) -> bool:
        """True if this plan has taken the store to the model of this job already."""
        return self.phase in (ReembedPhase.TAKEN_OVER, ReembedPhase.DONE)

    def begun(self, domains: tuple[str, ...], *, in_place: bool, continues: bool) -> ReembedCheckpoint:
        """Return the checkpoint after the store is prepared; ``continues``: with the vectors of an earlier attempt."""
        phase = ReembedPhase.TAKEN_OVER if in_place else ReembedPhase.ENCODING
        begun = replace(self, phase=phase, domains=domains, result=None)
        return begun if continues else replace(begun, after=None, index_seconds=0.0, swap_ms=None)

    def swapped(self, domains: tuple[str, ...]) -> ReembedCheckpoint:
        """Return the checkpoint after the swap, with the domains whose centroids it has deleted."""
        return replace(self, phase=ReembedPhase.TAKEN_OVER, domains=domains)

    def done(self, result: ReembedResult) -> ReembedCheckpoint:
        """Return the last checkpoint."""
        return replace(self, phase=ReembedPhase.DONE, result=result)

    def to_json(self) -> dict[str, Any]:
        """Return the stored form."""
        return {
            "version": VERSION,
            "begun": self.phase is not ReembedPhase.WAITING,
            "taken": self.taken_over,
            "after": self.after,
            "centred": list(self.domains),
            "seconds": self.seconds,
            "index_secs": self.index_seconds,
            "swap_ms": self.swap_ms,
            **({"report": asdict(self.result)} if self.result is not None else {}),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> ReembedCheckpoint:
        """Read the stored form of any version; an empty one is that of a job that waits.

        Raises CheckpointUnreadable.
        """
        version_of(stored, newest=VERSION)
        try:
            after, swap_ms, phase = stored.get("after"), stored.get("swap_ms"), _phase(stored)
            return cls(
                phase=phase,
                after=None if after is None else str(after),
                domains=tuple(str(domain) for domain in stored.get("centred") or ()),
                seconds=float(stored.get("seconds") or 0.0),
                index_seconds=float(stored.get("index_secs") or 0.0),
                swap_ms=None if swap_ms is None else float(swap_ms),
                result=_result(stored["report"]) if phase is ReembedPhase.DONE else None,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointUnreadable(
                "The checkpoint of this re-embedding cannot be read, so it cannot continue."
            ) from error


def _result(report: Mapping[str, Any]) -> ReembedResult:
    return ReembedResult(**{each.name: report[each.name] for each in fields(ReembedResult)})


def _phase(stored: Mapping[str, Any]) -> ReembedPhase:
    # Without ``taken`` a result is one of an attempt before the store was taken to another model.
    if stored.get("taken"):
        return ReembedPhase.DONE if stored.get("report") else ReembedPhase.TAKEN_OVER
    return ReembedPhase.ENCODING if stored.get("begun") else ReembedPhase.WAITING
