"""Stand-ins for programs of the desktop: scripts on a PATH of their own, which note what they were given."""

from __future__ import annotations

import os
from pathlib import Path


class StandIns:
    """A folder of stand-ins. Each writes its arguments and its standard input into files that are read here."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def path(self) -> str:
        """The PATH on which the stand-ins come before all real programs."""
        return f"{self.folder}{os.pathsep}{os.environ['PATH']}"

    def add(self, name: str, then: str = "exit 0") -> None:
        """Add a program that notes its arguments and input, and then runs ``then``."""
        note = f'printf "%s\\n" "$@" > {self.folder / name}.args\ncat > {self.folder / name}.input'
        self._write(name, f"{note}\nmv {self.folder / name}.input {self.folder / name}.given\n{then}")

    def add_deaf(self, name: str) -> None:
        """Add a program that never reads and never ends by itself."""
        self._write(name, "exec sleep 1000")

    def _write(self, name: str, body: str) -> None:
        script = self.folder / name
        script.write_text(f"#!/bin/sh\n{body}\n")
        script.chmod(0o755)

    def given(self, name: str) -> str | None:
        """Return what a program was given on its standard input; None while it was not."""
        file = self.folder / f"{name}.given"
        return file.read_text(encoding="utf-8") if file.exists() else None

    def arguments(self, name: str) -> list[str]:
        """Return the arguments of the last run of a program; none if it never ran."""
        file = self.folder / f"{name}.args"
        return file.read_text(encoding="utf-8").splitlines() if file.exists() else []
