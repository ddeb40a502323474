"""The tests that use PostgreSQL, on each variant of it: ``python -m tests.postgres_variants [--only 16,grants]``.

Prints a table at the end, and exits with 1 where a test failed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

FOLDERS = ("tests/store", "tests/transfer", "tests/jobs", "tests/reembed")
PROCESSES = "2"

VARIANTS: Mapping[str, Mapping[str, str]] = {
    "16": {"VESTIGE_TEST_POSTGRES_MAJOR": "16"},
    "18": {"VESTIGE_TEST_POSTGRES_MAJOR": "18"},
    "search-path": {"VESTIGE_TEST_POSTGRES_SCHEMA": 'Other "schema", 100%'},
    "grants": {"VESTIGE_TEST_POSTGRES_ROLE": "The owner"},
    "c-locale": {"VESTIGE_TEST_POSTGRES_LOCALE": "C"},
    "pgbouncer": {"VESTIGE_TEST_POSTGRES_THROUGH": "pgbouncer-transaction"},
}
"""Environment of the tests by the name of a variant."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Counts of one variant; ``failures`` are the ids of tests."""

    variant: str
    passed: int
    failures: tuple[str, ...]
    seconds: float

    @property
    def line(self) -> str:
        return f"{self.variant:<12} {self.passed:>6} {len(self.failures):>6} {self.seconds:>7.0f}"


def run(variant: str, arguments: Sequence[str]) -> Outcome:
    """Run the tests on a variant; their output goes to the terminal."""
    print(f"── {variant}", flush=True)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-n", PROCESSES, "--dist", "loadfile", f"--junitxml={report}"]
        environment = {**os.environ, **VARIANTS[variant], "VESTIGE_TEST_ONLY_POSTGRES": "1"}
        subprocess.run([*command, *(arguments or FOLDERS)], env=environment, check=False)
        passed, failures = _read(report)
    return Outcome(variant, passed, failures, time.monotonic() - start)


def _read(report: Path) -> tuple[int, tuple[str, ...]]:
    """Return the number of tests that passed, and the ids of the others; a run without a report is a failure."""
    if not report.exists():
        return 0, ("no test was run",)
    cases = list(ElementTree.parse(report).iter("testcase"))
    failures = {
        f"{case.get('classname')}::{case.get('name')}"
        for case in cases
        if any(child.tag in ("failure", "error", "skipped") for child in case)
    }
    # Nothing passed where nothing was collected.
    return len(cases) - len(failures), tuple(sorted(failures)) if cases else ("no test was run",)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.postgres_variants")
    parser.add_argument("--only", default="", help=f"variants, separated by commas: {', '.join(VARIANTS)}")
    parser.add_argument("tests", nargs="*", help="files or folders; by default those that use PostgreSQL")
    options = parser.parse_args()
    chosen = [name for name in options.only.split(",") if name] or list(VARIANTS)
    if unknown := sorted(set(chosen) - VARIANTS.keys()):
        parser.error(f"no variant is named {', '.join(unknown)}; there are {', '.join(VARIANTS)}")
    outcomes = [run(variant, options.tests) for variant in chosen]
    print(f"\n{'variant':<12} {'passed':>6} {'failed':>6} {'seconds':>7}")
    for outcome in outcomes:
        print(outcome.line)
        for failure in outcome.failures:
            print(f"             {failure}")
    return 1 if any(outcome.failures for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
