"""Runs the suite on the newest version of every dependency, and tells which versions changed and what broke.

``python -m tests.newest_dependencies [TESTS]``, in an environment of its own: installs without constraints.txt, and
without the bounds of pyproject.toml. Exit status: that of the tests, or 2 where the dependencies cannot be installed.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path

ROOT = Path(__file__).parent.parent
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install")
_NAME = re.compile(r"[\w.-]+(?:\[[\w,. -]+\])?")
_BROKEN = re.compile(r"^(?:FAILED|ERROR) (?P<test>.+?)(?: - |$)", re.MULTILINE)


def canonical(name: str) -> str:
    """Return a project's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements() -> list[str]:
    """Return every requirement of the project and its extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = (each for extra in project["optional-dependencies"].values() for each in extra)
    return [*project["dependencies"], *extras]


def unbounded(lines: Iterable[str]) -> list[str]:
    """Return requirements without their versions, each once."""
    names = (match[0] for line in lines if (match := _NAME.match(line)))
    return sorted(set(names), key=str.lower)


def pinned() -> dict[str, str]:
    """Return the versions of constraints.txt that count for this Python, by canonical name."""
    from packaging.requirements import Requirement  # comes with pytest

    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {
        canonical(pin.name): str(pin.specifier).removeprefix("==")
        for pin in pins
        if pin.marker is None or pin.marker.evaluate()
    }


def installed() -> dict[str, str]:
    """Return the versions of this environment, by canonical name."""
    own = {"vestige-tui", "pip", "setuptools"}
    return {name: each.version for each in distributions() if (name := canonical(each.name)) not in own}


def table(before: Mapping[str, str], after: Mapping[str, str], broken: Iterable[str]) -> list[str]:
    """Return the lines of one table: each version that changed, then each test that broke."""
    names = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    rows = [("dependency", "constraints.txt", "newest")]
    rows += [(name, before.get(name, "-"), after.get(name, "-")) for name in names]
    rows += [] if names else [("none has changed", "", "")]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    lines = [f"{name:{widths[0]}}  {old:{widths[1]}}  {new}".rstrip() for name, old, new in rows]
    return [*lines, "", *([f"broke  {test}" for test in broken] or ["nothing broke"])]


def main(selection: Sequence[str]) -> int:
    for arguments in (("--no-deps", "-e", str(ROOT)), ("--upgrade", *unbounded(requirements()))):
        if subprocess.run([*PIP, *arguments], cwd=ROOT, check=False).returncode:
            print("deps-newest failed: the newest dependencies cannot be installed", file=sys.stderr)
            return 2
    tests = [sys.executable, "-m", "pytest", "-n", "3", "--dist", "loadfile", "-q", *selection]
    output = []
    with subprocess.Popen(tests, cwd=ROOT, stdout=subprocess.PIPE, text=True, errors="replace") as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            output.append(line)
    broken = _BROKEN.findall("".join(output))
    if process.returncode and not broken:
        broken = [f"the run of the tests: status {process.returncode}"]
    print("\n".join(table(pinned(), installed(), broken)))
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
