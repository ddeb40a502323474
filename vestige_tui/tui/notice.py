"""Notice: one message of the status line, identified by itself and not by its words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Severity: TypeAlias = Literal["quiet", "done", "waiting", "bad"]
"""quiet: a state; done: a change just made; waiting: amber; bad: a failure."""


@dataclass(frozen=True, slots=True, eq=False)
class Notice:
    """Message of the status line: a sentence, a key with its label, and the cause. Equal to itself only."""

    text: str = ""
    hint: str = ""
    """Key and label of the next step, such as ``u undo``."""
    severity: Severity = "quiet"
    error: BaseException | None = None
    """Error that the sentence is about."""
    action: str = ""
    """Disabled action that the sentence gives the reason for."""


NO_NOTICE = Notice()
