"""Runner of the faults: ``python -m tests.faults [--only 6,10] [--json FILE]``; status 1 where one of them failed."""

from __future__ import annotations

import argparse
import json
import os
import pkgutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from types import FrameType

import tests.faults
from tests.faults.lab import Lab, processes_below, set_up_environment
from tests.faults.registry import FAULTS, Fault, FaultResult
from tests.support.signals import hear_signals

FAULT_SECONDS = 600
MAX_REASON_CHARACTERS = 400
HEADER = (
    f"{'no':>3}  {'fault':<48} {'tries':>5} {'lost':>4} {'doubled':>7} {'s':>5}  {'state':<10}  what the person read"
)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the table."""

    number: int
    fault: str
    function: str
    state: str
    tries: int = 0
    lost: int = 0
    doubled: int = 0
    message: str = ""
    reason: str = ""
    untried: str = ""
    seconds: float = 0.0

    @property
    def text(self) -> str:
        counts = f"{self.tries:>5} {self.lost:>4} {self.doubled:>7} {self.seconds:>5.0f}"
        lines = [f"{self.number:>3}  {self.fault:<48} {counts}  {self.state:<10}  {self.message}".rstrip()]
        if self.reason:
            lines.append(f"     failed: {self.reason}")
        if self.untried:
            lines.append(f"     not tried: {self.untried}")
        return "\n".join(lines)


def load_faults() -> None:
    """Import every module of the package, so that its faults are registered."""
    for module in pkgutil.iter_modules(tests.faults.__path__):
        if module.name != "__main__":
            import_module(f"tests.faults.{module.name}")


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """Raise TimeoutError in a block that takes longer."""

    def expire(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"not done after {seconds} s")

    began = time.monotonic()
    before = signal.signal(signal.SIGALRM, expire)
    # A test has a limit of its own by the same timer.
    outer, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if outer:
            signal.setitimer(signal.ITIMER_REAL, max(0.1, outer - (time.monotonic() - began)))


def end_leftovers(root: Path) -> None:
    """End the workers that faults have left: processes that were started with the home in this folder."""
    for pid, _ in processes_below(root):
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def provoke(fault: Fault, lab: Lab) -> Line:
    """Provoke one fault; an exception of its function is a failure, too."""
    if fault.missing:
        return Line(fault.number, fault.title, fault.function, f"needs {' and '.join(fault.missing)}")
    began = time.monotonic()
    try:
        with time_limit(FAULT_SECONDS):
            result = fault.provoke(lab)
        reason = result.failure
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"
        result = FaultResult(0, 0, 0, "")
    return Line(
        fault.number,
        fault.title,
        fault.function,
        "FAILED" if reason else "ok",
        **{name: value for name, value in asdict(result).items()},
        reason=" ".join(reason.split())[:MAX_REASON_CHARACTERS],
        seconds=round(time.monotonic() - began, 1),
    )


def run(numbers: Sequence[int], scale: float) -> list[Line]:
    """Provoke the faults of these numbers, and print a line for each."""
    lines = []
    with (
        tempfile.TemporaryDirectory(prefix="vestige-faults-", ignore_cleanup_errors=True) as name,
        ExitStack() as stack,
    ):
        root = Path(name)
        stack.callback(end_leftovers, root)
        # Reached by the users that some faults run the program as.
        root.chmod(0o755)
        home = root / "home"
        home.mkdir()
        set_up_environment(home)
        hear_signals()
        print(HEADER, flush=True)
        server = None
        for number in numbers:
            folder = root / f"fault-{number}"
            folder.mkdir()
            lab = Lab(folder, scale, stack, server)
            line = provoke(FAULTS[number], lab)
            server = lab.server_url
            lines.append(line)
            print(line.text, flush=True)
    return lines


def main(arguments: Sequence[str]) -> int:
    load_faults()
    parser = argparse.ArgumentParser(prog="tests.faults", description=__doc__)
    parser.add_argument("--only", metavar="N,N", help="the numbers of the faults to provoke")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table there as JSON, too")
    options = parser.parse_args(arguments)
    try:
        numbers = [int(each) for each in options.only.split(",")] if options.only else sorted(FAULTS)
    except ValueError:
        parser.error("--only takes numbers, with commas between them")
    if unknown := sorted(set(numbers) - set(FAULTS)):
        parser.error(f"there is no fault {unknown[0]}")
    began = time.monotonic()
    lines = run(numbers, float(os.environ.get("FAULT_TRIES", "1")))
    failed = [line for line in lines if line.state == "FAILED"]
    print(f"{len(lines)} faults in {time.monotonic() - began:.0f} s, {len(failed)} failed", flush=True)
    if options.json:
        options.json.write_text(json.dumps([asdict(line) for line in lines], indent=2, ensure_ascii=False) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
