"""constraints.txt: every dependency has one version for each Python, within the bounds of pyproject.toml."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, distribution

import pytest
from packaging.requirements import Requirement

from tests.newest_dependencies import ROOT, canonical, pinned, requirements, table, unbounded

LINES = [
    line
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
PYTHONS = ("3.11", "3.12", "3.13")


def pins_for(python: str) -> dict[str, str]:
    """Return the pins that count for a Python, by name. Raises AssertionError where two count."""
    pins: dict[str, str] = {}
    for line in LINES:
        pin = Requirement(line)
        if pin.marker is None or pin.marker.evaluate({"python_version": python, "python_full_version": f"{python}.1"}):
            assert canonical(pin.name) not in pins, line
            pins[canonical(pin.name)] = str(pin.specifier).removeprefix("==")
    return pins


def test_a_line_is_a_name_a_version_and_a_marker_for_the_python() -> None:
    form = re.compile(r'[\w.-]+==[\w.]+(?:; python_version (?:<|>=) "3\.\d+")?')
    assert [line for line in LINES if not form.fullmatch(line)] == []
    assert [line.lower() for line in LINES] == sorted(
        (line.lower() for line in LINES), key=lambda line: line.split("==")[0]
    )
    assert "://" not in (ROOT / "constraints.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("python", PYTHONS)
def test_the_versions_are_within_the_bounds(python: str) -> None:
    pins = pins_for(python)
    outside = []
    for line in requirements():
        requirement = Requirement(line)
        if not requirement.specifier.contains(pins[canonical(requirement.name)]):
            outside.append(f"{line} has {pins[canonical(requirement.name)]}")
    assert outside == []


def test_every_dependency_that_is_installed_has_a_version() -> None:
    pins, missing, waiting, seen = pinned(), set(), [Requirement(line) for line in requirements()], set()
    while waiting:
        requirement = waiting.pop()
        key = (canonical(requirement.name), *sorted(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        try:
            requires = distribution(requirement.name).requires or []
        except PackageNotFoundError:
            continue  # of an extra that is not installed here
        if key[0] not in pins:
            missing.add(key[0])
        for each in map(Requirement, requires):
            extras = requirement.extras or {""}
            if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(each)
    assert missing == set()
    assert len(seen) > len(requirements())


def test_every_install_of_the_makefile_keeps_to_it() -> None:
    installs = [
        line for line in (ROOT / "Makefile").read_text(encoding="utf-8").splitlines() if " pip install " in line
    ]
    assert installs
    assert all(" -c constraints.txt " in line for line in installs)


def test_the_newest_are_asked_for_without_bounds() -> None:
    lines = ["textual==8.2.8", "psycopg[binary,pool]>=3.3.9,<3.4", "pytest>=8.4,<9", "onnxruntime<1.33", "textual>=1"]
    assert unbounded(lines) == ["onnxruntime", "psycopg[binary,pool]", "pytest", "textual"]


def test_one_table_says_which_version_changed_and_what_broke() -> None:
    assert table(
        {"rich": "14.3", "gone": "1.0", "same": "2"}, {"rich": "15.0", "new": "0.1", "same": "2"}, ["a.py::b"]
    ) == [
        "dependency  constraints.txt  newest",
        "gone        1.0              -",
        "new         -                0.1",
        "rich        14.3             15.0",
        "",
        "broke  a.py::b",
    ]
    assert table({"rich": "1"}, {"rich": "1"}, [])[1:] == ["none has changed", "", "nothing broke"]
