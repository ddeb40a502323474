"""Ordinary use that must reach no address but the store's, and leave no file outside the program's own folders."""

from __future__ import annotations

from tests.faults.lab import Lab
from tests.faults.registry import Attempt, FaultResult, fault, summarize
from tests.network_check import check, ensure_watchable


@fault(53, "use that could send something", needs=("strace",))
def network_use(lab: Lab) -> FaultResult:
    ensure_watchable(lab.folder)
    offences = check(lab.folder)
    assert not offences, "; ".join(offences[:5])
    return summarize([Attempt("No connection but the store's own.")] * 2)
