"""Lines of a shell script that works as an editor: it gets the file of a memory as ``$1``."""

from __future__ import annotations

import shlex
from pathlib import Path

from vestige_tui.core.memory_template import TEXT_LINE

_BLOCK = f'sed -n "1,/^{TEXT_LINE}/p" "$1" > "$1.new"'


def writes(command: str) -> str:
    """Replace the text by what a command prints; the fields stay."""
    return f'{_BLOCK}; {command} >> "$1.new"; mv "$1.new" "$1"'


def types(text: str) -> str:
    """Replace the text; the fields stay."""
    return writes(f"printf %s {shlex.quote(text)}")


def sets(field: str, *values: str) -> str:
    """Replace the lines of a field; the text stays."""
    lines = " ".join(shlex.quote(f"{field}: {value}") for value in values)
    return f'{{ printf \'%s\\n\' {lines}; grep -v \'^{field}:\' "$1"; }} > "$1.new"; mv "$1.new" "$1"'


def drafts_left(folder: Path) -> list[Path]:
    """Return the files of editors that are still in the folder ``drafts`` of a test."""
    return sorted((folder / "drafts").glob("vestige-*/*"))
