"""Fit of weights in a process of its own: fsrs-rs holds the interpreter for parts of it, and cannot be stopped.

``python -m vestige_tui.store.fit_process`` reads one line of JSON, the grades and the weights in force. It answers with
lines of JSON: the steps as they begin, then the fit or a refusal.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from vestige_tui.core.errors import FitUnavailable, Refused, TooFewReviews, VestigeError
from vestige_tui.core.review_statistics import GradeInForce
from vestige_tui.core.reviews import Rating
from vestige_tui.core.weight_fit import FitStep, WeightFit, fit_weights
from vestige_tui.core.weights import Weights

# Without -P the working directory would come first on the module path.
FIT_COMMAND = (sys.executable, "-P", "-m", "vestige_tui.store.fit_process")
_REFUSALS: dict[str, type[Refused]] = {each.__name__: each for each in (FitUnavailable, TooFewReviews)}
_EPOCH = datetime.fromtimestamp(0, UTC)
_TICK = timedelta(microseconds=1)


async def fit_in_a_process(
    grades: Sequence[GradeInForce], current: Sequence[float], report: Callable[[FitStep], None]
) -> WeightFit:
    """Fit weights as ``fit_weights`` does. If the caller is cancelled, the process is killed."""
    request = await asyncio.to_thread(_request, grades, current)
    # What a library prints would spoil the screen of a console.
    process = await asyncio.create_subprocess_exec(*FIT_COMMAND, stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
    try:
        return await _fit_of(process, request, report)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _fit_of(process: Process, request: bytes, report: Callable[[FitStep], None]) -> WeightFit:
    """Send the request, and read the answers of the process until the fit."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(request)
        await process.stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        raise _ended() from None
    async for line in process.stdout:
        answer = json.loads(line)
        if "step" in answer:
            report(FitStep(answer["step"]))
        elif "refusal" in answer:
            raise _REFUSALS[answer["refusal"]](answer["message"])
        else:
            return _fit(answer["fit"])
    raise _ended()


def _ended() -> VestigeError:
    return VestigeError(
        "The process that fits the weights ended early; nothing was changed. "
        "Check that this machine has enough free RAM."
    )


def _request(grades: Sequence[GradeInForce], current: Sequence[float]) -> bytes:
    numbers: dict[str, int] = {}
    rows = [
        (numbers.setdefault(each.memory_id, len(numbers)), (each.at - _EPOCH) // _TICK, int(each.rating), each.first)
        for each in grades
    ]
    return json.dumps({"grades": rows, "current": list(current)}).encode() + b"\n"


def _fit(fields: dict[str, Any]) -> WeightFit:
    weights = Weights(tuple(fields["weights"]["values"]), fields["weights"]["algorithm"])
    return WeightFit(**{**fields, "weights": weights})


# Process of the fit


def _answer(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


def main() -> int:
    """Fit weights to the grades of the first line of stdin."""
    request = json.loads(sys.stdin.buffer.readline())
    grades = [
        GradeInForce(str(memory), _EPOCH + at * _TICK, Rating(rating), first)
        for memory, at, rating, first in request["grades"]
    ]
    try:
        fit = fit_weights(grades, request["current"], lambda step: _answer({"step": step}))
    except (FitUnavailable, TooFewReviews) as error:
        _answer({"refusal": type(error).__name__, "message": error.message})
        return 1
    _answer({"fit": asdict(fit)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
