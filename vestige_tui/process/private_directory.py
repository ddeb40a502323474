"""Directories that only their owner may enter."""

from __future__ import annotations

from pathlib import Path


def make_private_dir(path: Path) -> None:
    """Create ``path`` and its missing parents with mode 700; existing directories keep their mode.

    ``mkdir(parents=True)`` gives its mode to the last one alone.
    """
    if not path.is_dir():
        make_private_dir(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
