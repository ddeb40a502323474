"""The registered faults, each a function that provokes one and returns its result."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from tests.faults.lab import Lab

Requirement: TypeAlias = Literal["root", "strace", "tmux"]

_NO_SENTENCE = re.compile(r"(?i:traceback|\bunexpected\b)|\b[A-Z]\w*(?:Error|Exception)\b")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
MAX_SENTENCE_CHARACTERS = 600


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a fault: rows that were lost or doubled, and the sentence that a person read."""

    message: str
    lost: int = 0
    doubled: int = 0


@dataclass(frozen=True, slots=True)
class FaultResult:
    """Sum of all tries of a fault."""

    tries: int
    lost: int
    doubled: int
    message: str
    untried: str = ""
    """The part that this machine has no means for, such as ``a read-only mount needs root``."""

    @property
    def failure(self) -> str:
        """The reason why the result is bad, or an empty text."""
        if self.tries < 1:
            return "nothing was tried"
        if self.lost or self.doubled:
            return f"{self.lost} lost, {self.doubled} doubled"
        return sentence_fault(self.message)


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of docs/faults.md with the function that provokes it."""

    number: int
    title: str
    provoke: Callable[[Lab], FaultResult]
    needs: tuple[Requirement, ...] = ()

    @property
    def function(self) -> str:
        return self.provoke.__name__

    @property
    def missing(self) -> tuple[Requirement, ...]:
        """The requirements that this machine does not meet."""
        return tuple(each for each in self.needs if not is_met(each))


FAULTS: dict[int, Fault] = {}


def fault(
    number: int, title: str, *, needs: tuple[Requirement, ...] = ()
) -> Callable[[Callable[[Lab], FaultResult]], Callable[[Lab], FaultResult]]:
    """Register a function under the number and the title that docs/faults.md gives the fault."""

    def register(provoke: Callable[[Lab], FaultResult]) -> Callable[[Lab], FaultResult]:
        assert number not in FAULTS, f"fault {number} is registered twice"
        FAULTS[number] = Fault(number, title, provoke, needs)
        return provoke

    return register


def is_met(requirement: Requirement) -> bool:
    """Check whether this machine meets a requirement."""
    return os.geteuid() == 0 if requirement == "root" else shutil.which(requirement) is not None


def summarize(attempts: Sequence[Attempt], *, untried: str = "") -> FaultResult:
    """Add up the tries; the message is the first that is no sentence, else the first."""
    messages = [each.message for each in attempts]
    message = next(filter(sentence_fault, messages), messages[0] if messages else "")
    lost, doubled = sum(each.lost for each in attempts), sum(each.doubled for each in attempts)
    return FaultResult(len(attempts), lost, doubled, message, untried)


def sentence_fault(message: str) -> str:
    """Return why a message is not one sentence for a person, or an empty text."""
    if not message.strip():
        return "no sentence"
    if _NO_SENTENCE.search(message):
        return "an error of the program"
    if "\n" in message.strip():
        return "several paragraphs"
    if _CONTROL.search(message.strip()):
        return "control characters"
    return "too long for a sentence" if len(message) > MAX_SENTENCE_CHARACTERS else ""
