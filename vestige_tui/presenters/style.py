"""Style of shown text: its role, without a colour."""

from __future__ import annotations

from typing import TypeAlias

Ink: TypeAlias = str
"""Role of a piece of text, a key of the console's ``INKS``."""
