"""Explore the command line at random: ``python -m tests.fuzz.explore --seconds 600 --backend sqlite``.

Each finding is printed with the seed of its round, the least command line that shows it, and what surrounds it.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
import tempfile
import time
from pathlib import Path

import hypothesis
from hypothesis import HealthCheck, Phase, settings

from tests.fuzz.cases import cases, is_endless
from tests.fuzz.command_runner import Case, CommandRunner
from tests.fuzz.command_tree import LeafCommand, leaf_commands
from tests.fuzz.invariants import faults
from tests.fuzz.sample_stores import postgres_sample, sqlite_sample
from tests.support.postgres import server_url

EXAMPLES_PER_ROUND = 12


def main() -> int:
    """Explore until the time is over; return 1 if anything was found."""
    program = argparse.ArgumentParser(description=__doc__)
    program.add_argument("--seconds", type=float, default=600)
    program.add_argument("--backend", choices=("sqlite", "postgres"), default="sqlite")
    program.add_argument("--seed", type=int, default=int(time.time()), help="the first round's")
    program.add_argument("--command", help="only this one")
    args = program.parse_args()
    commands = [command for command in leaf_commands() if args.command in (None, command.name)]
    findings: set[str] = set()
    deadline = time.monotonic() + args.seconds
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vestige-fuzz-")))
        if args.backend == "postgres":
            store = stack.enter_context(postgres_sample(stack.enter_context(server_url(folder / "server"))))
        else:
            store = stack.enter_context(sqlite_sample(folder))
        runner = CommandRunner(store, folder / "runs")
        runs = 0
        seed = args.seed
        while time.monotonic() < deadline:
            command = commands[seed % len(commands)]
            runs += explore(runner, command, seed, findings)
            seed += 1
    print(f"{args.backend}: {runs:,} runs, seeds {args.seed} to {seed - 1}, {len(findings)} findings", flush=True)
    return 1 if findings else 0


def explore(runner: CommandRunner, command: LeafCommand, seed: int, findings: set[str]) -> int:
    """Run one round of cases of a command, print each new finding; return the number of runs."""
    failing: list[tuple[Case, str]] = []
    runs = 0

    @hypothesis.seed(seed)
    @settings(
        max_examples=4 if is_endless(command) else EXAMPLES_PER_ROUND,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @hypothesis.given(cases(command))
    def check(case: Case) -> None:
        nonlocal runs
        runs += 1
        run = runner.run(case, endless=is_endless(command))
        new = [fault for fault in faults(command.name, run) if kind_of(command, fault) not in findings]
        if new:
            failing.append((case, f"status {run.result.status}; {new[0]}\nstderr: {run.result.err[-600:]}"))
            raise AssertionError(kind_of(command, new[0]))

    try:
        check()
    except AssertionError as error:
        findings.add(str(error))
        case, fault = failing[-1]
        print(f"FOUND ({command.name}, seed {seed}): {shown(case)}\n{fault}\n", flush=True)
    return runs


def kind_of(command: LeafCommand, fault: str) -> str:
    """Return the kind of a fault: the same for equal exceptions of equal origin, in whichever command."""
    if fault.startswith("an uncaught exception"):
        return f"{fault[:60]} at {fault.split()[-1]}"
    return f"{command.name}: {re.sub('[0-9]+', 'N', fault)[:60]}"


def shown(case: Case) -> str:
    words = [word if len(word) <= 200 else f"{word[:40]}…({len(word)})" for word in case.arguments]
    return f"{words!a} environment {dict(case.environment)!a} stdin {case.stdin[:60]!r}"


if __name__ == "__main__":
    sys.exit(main())
