"""The lines of the log: errors without what they quote, and a trace of each one that is suppressed."""

from __future__ import annotations

import json
import logging

import pytest

from vestige_tui.core.errors import Conflict, Unavailable, Unreachable, Usage, VestigeError
from vestige_tui.core.log import REPEAT_SECONDS, LogFormatter, describe, log_suppressed, suppressed

log = logging.getLogger("vestige_tui.tests.log")
MEMORY = "zebra-heart remembers"


@pytest.fixture
def lines() -> list[str]:
    """Return the list that receives every line, as it would be in the file."""
    return []


@pytest.fixture(autouse=True)
def collected(lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    collector = Collector()
    collector.setFormatter(LogFormatter())
    monkeypatch.setattr(log, "handlers", [collector])
    monkeypatch.setattr(log, "level", logging.DEBUG)
    monkeypatch.setattr(logging.getLogger("asyncio"), "handlers", [collector])


def fail(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        if cause is not None:
            try:
                raise cause
            except type(cause) as raised:
                raise error from raised
        raise error
    except type(error) as raised:
        return raised


def test_an_error_is_described_by_class_code_and_line_with_its_causes() -> None:
    line = describe(fail(Conflict(f"refused: {MEMORY}"), ValueError(MEMORY)))
    assert MEMORY not in line
    assert line.startswith("Conflict (conflict) in fail, test_log.py line ")
    assert ", caused by ValueError in fail, test_log.py line " in line
    assert describe(PermissionError(13, "no", "/home/me/secret")) == "PermissionError (EACCES)"


def test_a_message_is_logged_only_if_its_class_is_in_the_table() -> None:
    class Special(Unreachable):
        """A subclass is decided for itself."""

    error = Unreachable("postgresql://me:s3cret@db/x cannot be reached\x1b[2J")
    assert describe(error).startswith("Unreachable (unavailable): postgresql://me:***@db/x cannot be reached")
    assert "\x1b" not in describe(error)
    for silent in (Special(MEMORY), Usage(MEMORY), VestigeError(MEMORY), RuntimeError(MEMORY)):
        assert MEMORY not in describe(silent)
    assert describe(Usage(f"{MEMORY} password=s3cret"), quote=True) == f"Usage (usage): {MEMORY} password=***"
    assert MEMORY not in describe(RuntimeError(MEMORY), quote=True)


def test_a_circle_of_causes_ends() -> None:
    one, two = Unavailable("one"), Unavailable("two")
    one.__cause__, two.__cause__ = two, one
    assert describe(one) == "Unavailable (unavailable): one, caused by Unavailable (unavailable): two"


def test_a_traceback_names_functions_and_lines_alone(lines: list[str]) -> None:
    def parse(stored: str) -> None:
        json.loads(stored)

    try:
        parse(f"{MEMORY} {{")
    except ValueError as error:
        log.error("Uncaught", exc_info=error)
    [text] = lines
    assert MEMORY not in text
    assert "zebra" not in text
    assert "    parse, test_log.py line " in text
    assert "    raw_decode, json/decoder.py line " in text
    assert "loads(" not in text


def test_a_record_is_one_line_with_time_level_process_and_module(lines: list[str]) -> None:
    log.warning("one\ntwo %s", "postgresql://me:s3cret@db/x\x1b")
    [line] = lines
    assert line.count("\n") == 0
    assert " WARNING " in line
    assert " vestige_tui.tests.log: one two postgresql://me:***@db/x" in line
    assert line[4] == line[7] == "-"
    assert "Z WARNING" in line


def test_values_of_other_libraries_are_left_out(lines: list[str]) -> None:
    error = fail(ValueError(MEMORY))
    foreign = logging.getLogger("asyncio")
    foreign.error("Exception in callback f('%s')\nhandle: <Handle f('%s')>", MEMORY, MEMORY, exc_info=error)
    foreign.warning("error connecting in %r: %s", MEMORY, error)
    assert MEMORY not in "".join(lines)
    assert "asyncio: Exception in callback f\n  ValueError in fail, test_log.py line " in lines[0]
    assert "asyncio: error connecting in: ValueError in fail, test_log.py line " in lines[1]


def test_a_suppressed_error_leaves_one_line(lines: list[str]) -> None:
    with suppressed(log, "read the list", Usage, OSError):
        raise Usage(MEMORY)
    with suppressed(log, "read the list", Usage):
        pass
    [line] = lines
    assert "WARNING" in line
    assert "Could not read the list: Usage (usage) in test_a_suppressed_error_leaves_one_line, test_log.py" in line
    with pytest.raises(VestigeError), suppressed(log, "read the list", Usage):
        raise VestigeError("another kind")


def test_a_repeated_one_is_counted(lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    monkeypatch.setattr("vestige_tui.core.log.time.monotonic", lambda: now)
    for _ in range(5):
        log_suppressed(log, "poll a store", Unreachable("db cannot be reached"))
    log_suppressed(log, "poll a store", Usage("another kind"))
    assert len(lines) == 2
    now += REPEAT_SECONDS
    for _ in range(2):
        log_suppressed(log, "poll a store", Unreachable("db cannot be reached"))
    assert len(lines) == 3
    assert lines[2].endswith("db cannot be reached (4 more like this)")
