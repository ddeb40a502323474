"""Explore the command line at random, on both databases at once: ``python -m tests.fuzz.explore --seconds 600``.

Each finding is printed with the seed of its round, the least command line that shows it, and what surrounds it;
``--backend``, ``--seed`` and ``--command`` repeat a round.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import os
import re
import subprocess
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
from tests.support.postgres import running_server

BACKENDS = ("sqlite", "postgres")
EXAMPLES_PER_ROUND = 12
_STDERR = os.dup(2)
"""Descriptor of stderr that no run replaces."""
HANG_SECONDS = 240.0
"""Time after which a run counts as hung; it was interrupted long before."""


def main() -> int:
    """Explore until the time is over; return 1 if anything was found."""
    program = argparse.ArgumentParser(description=__doc__)
    program.add_argument("--seconds", type=float, default=600)
    program.add_argument("--backend", choices=BACKENDS, help="only this one, in this process")
    program.add_argument("--seed", type=int, default=int(time.time()), help="the first round's")
    program.add_argument("--command", help="only this one")
    program.add_argument("--last", type=Path, default=os.devnull, help="file for the case that runs")
    args = program.parse_args()
    if args.backend is not None:
        return explore_backend(args)
    with tempfile.TemporaryDirectory(prefix="vestige-fuzz-") as folder:
        again = [*sys.argv[1:], "--seed", str(args.seed)]
        command = [sys.executable, "-m", "tests.fuzz.explore", *again]
        last = {backend: Path(folder, backend) for backend in BACKENDS}
        processes = {
            backend: subprocess.Popen([*command, "--backend", backend, "--last", str(path)])
            for backend, path in last.items()
        }
        statuses = {backend: process.wait() for backend, process in processes.items()}
        for backend in [each for each, status in statuses.items() if status not in (0, 1)]:
            print(f"FOUND: {backend} ended with {statuses[backend]} at {last[backend].read_text()}", flush=True)
    return 1 if any(statuses.values()) else 0


def explore_backend(args: argparse.Namespace) -> int:
    """Explore one database; return 1 if anything was found."""
    # A run that ctrl-C does not end is a finding, too: the program waits where it cannot be interrupted.
    faulthandler.enable()
    commands = [command for command in leaf_commands() if args.command in (None, command.name)]
    findings: set[str] = set()
    deadline = time.monotonic() + args.seconds
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vestige-fuzz-")))
        if args.backend == "postgres":
            store = stack.enter_context(postgres_sample(stack.enter_context(running_server(folder / "server"))))
        else:
            store = stack.enter_context(sqlite_sample(folder))
        runner = CommandRunner(store, folder / "runs")
        runs, seed = 0, args.seed
        while time.monotonic() < deadline:
            runs += explore(runner, commands[seed % len(commands)], seed, findings, args.last)
            seed += 1
    print(f"{args.backend}: {runs:,} runs, seeds {args.seed} to {seed - 1}, {len(findings)} findings", flush=True)
    return 1 if findings else 0


def explore(runner: CommandRunner, command: LeafCommand, seed: int, findings: set[str], last: Path) -> int:
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
        last.write_text(f"{command.name}, seed {seed}: {shown(case)}", encoding="utf-8", errors="replace")
        faulthandler.dump_traceback_later(HANG_SECONDS, exit=True, file=_STDERR)
        run = runner.run(case, endless=is_endless(command))
        faulthandler.cancel_dump_traceback_later()
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
