"""What holds for every run of every command, whatever it was given."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from tests.fuzz.command_runner import Run
from tests.fuzz.values import SECRET
from tests.support.command_line import FORBIDDEN_CHARACTERS
from vestige_tui.core.text import safe

STATUS_OF_CODE = {
    "not_found": {1},
    "usage": {2},
    "refused": {3},
    "mismatch": {3},
    "conflict": {1},
    "busy": {1},
    "unavailable": {1},
    "failed": {1, 130},
}
WRITING_COMMANDS = frozenset(
    {
        "add", "edit", "tag", "delete", "undo", "redo", "review", "supersede", "unsupersede", "link", "unlink",
        "import", "schema up", "schema down", "vacuum", "doctor", "restore", "migrate copy", "migrate verify",
        "suspend", "bury", "resume", "pin", "unpin",
        "domains set", "domains rename", "domains merge", "domains delete", "classify",
        "migrate reembed", "registry fill", "registry rollback", "jobs retry",
    }
)  # fmt: skip
"""Commands that may change the rows of a store. A new one that does so is named here, deliberately."""
OWN_DOCUMENT_STATUSES = (1, 4)
"""Statuses of a command that may print a document of its own instead of an error."""
MAX_SENTENCE_CHARS = 1_500
"""A sentence may name a path of any length that the system takes, and little else."""

# A hidden password may be the last word.
_SENTENCE = re.compile(r"\S.*(?:[.?]|\*\*\*)")
_FRAME = re.compile(r'File ".*?(vestige_tui/[^"]*)", line (\d+)')


def faults(command: str, run: Run, *, writes_a_file: bool = False) -> Iterator[str]:
    """Yield what is wrong with a run, one clause each."""
    status, out, err = run.result.status, run.result.out, run.result.err
    if status not in (0, 1, 2, 3, 4) and not (status == 130 and run.interrupted):
        yield f"status {status}"
    if run.reports:
        yield f"an uncaught exception: {_origin(run.reports[-1])}"
    for name, text in (("stdout", out), ("stderr", err)):
        if not run.reports and ("Traceback (most recent" in text or "Unexpected error (" in text):
            yield f"a traceback or no sentence on {name}"
        if set(text) & (FORBIDDEN_CHARACTERS - {"\t"}):
            yield f"a control character on {name}"
    for name, text in (("stdout", out), ("stderr", err), ("the log", run.log), ("a report", "".join(run.reports))):
        if SECRET in text:
            yield f"a password in {name}"
    yield from _faults_of_answer(command, run)
    reads = command not in WRITING_COMMANDS or status in (1, 2, 3) or "--read-only" in run.arguments
    if run.changed_rows and reads:
        yield "rows of the store changed"
    if run.changed_files and status in (2, 3):
        yield f"files changed by a refused command: {sorted(run.changed_files)}"


def _origin(report: str) -> str:
    """Return the exception of a report, and the last lines of the program that it came through."""
    frames = [f"{file}:{line}" for file, line in _FRAME.findall(report)]
    return f"{report.strip().splitlines()[-1][:200]} at {' '.join(frames[-3:])}"


def _faults_of_answer(command: str, run: Run) -> Iterator[str]:
    """Yield what is wrong with the streams: one JSON document, or one sentence of an error."""
    status, out, err = run.result.status, run.result.out, run.result.err
    lines = err.splitlines()
    before = run.arguments[: run.arguments.index("--")] if "--" in run.arguments else run.arguments
    if any(len(line) > MAX_SENTENCE_CHARS for line in lines):
        yield f"a sentence of {max(map(len, lines))} characters"
    if "--help" in before or "--version" in before or "-h" in before:
        return
    document = None
    if "--json" in before and not (command == "jobs watch" and status in (0, 130)):
        try:
            document = json.loads(out)
        except ValueError as error:
            yield f"stdout is not one JSON document ({error})"
            return
        yield from _faults_of_document(document, run)
    if status in (1, 2, 3) and not (document is not None and "error" not in document):
        if not lines and not (status == 1 and out):
            yield "no sentence on stderr"
        elif lines and not _SENTENCE.fullmatch(lines[-1]):
            yield "the last line of stderr is no sentence"


def _faults_of_document(document: Any, run: Run) -> Iterator[str]:
    status, lines = run.result.status, run.result.err.splitlines()
    if not isinstance(document, dict):
        yield "the document is no object"
    elif "error" in document and set(document) == {"error"}:
        error = document["error"]
        if set(error) != {"code", "message"} or status not in STATUS_OF_CODE.get(error["code"], ()):
            yield f"status {status} with the error {error.get('code')}"
        if not lines or lines[-1] != safe(str(error.get("message"))):
            yield "the message of the document is not the one on stderr"
    elif status not in (0, *OWN_DOCUMENT_STATUSES, 130):
        yield f"status {status} without an error in the document"
