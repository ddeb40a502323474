"""Style of shown text: its role, without a colour, and the sentences and labelled facts that have one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

Ink: TypeAlias = str
"""Role of a piece of text, a key of the console's ``INKS``."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """Sentence and the ink of its meaning: good, bad, waiting or plain text."""

    text: str
    ink: Ink = "text"


@dataclass(frozen=True, slots=True)
class Fact:
    """Label and value. ``location``: the value is a store's URL, which may be shortened from the left."""

    label: str
    text: str
    ink: Ink = "muted"
    location: bool = False
