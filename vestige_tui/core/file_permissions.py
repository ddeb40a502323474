"""Permissions of files that hold memories: whether other users of the machine can read them."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def is_readable_by_others(path: Path) -> bool:
    """Check whether any user can read a file: by its mode, and through every folder above it. False if missing."""
    real = Path(os.path.realpath(path))
    try:
        if not real.stat().st_mode & stat.S_IROTH:
            return False
        return all(folder.stat().st_mode & stat.S_IXOTH for folder in real.parents)
    except OSError:
        return False
