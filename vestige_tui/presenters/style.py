"""Style of shown text: what a piece of it means, without a colour."""

from __future__ import annotations

from typing import TypeAlias

Ink: TypeAlias = str
"""What a piece of text means, one of ``INKS``."""
