"""Log lines: the format, the parts of an error that may be logged, and a trace of each error that is suppressed.

The log holds no stored text, no typed text and no password. An error is logged as its class, its code and the line that
raised it, with its causes; its message only if its class is in ``SAFE_MESSAGES``. This module is the mechanism;
``config.log`` sets it up for a process.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from types import TracebackType

from vestige_tui.core.errors import (
    Busy,
    DiskFull,
    EmbedderUnavailable,
    FitUnavailable,
    ForeignStore,
    HomeUnknown,
    ModelMismatch,
    OutOfResources,
    ReadOnly,
    SchemaBroken,
    SchemaPending,
    StoreMissing,
    StoreReplaced,
    TablesChanged,
    TooFewReviews,
    Unavailable,
    Unreachable,
    Unsure,
    VestigeError,
)
from vestige_tui.core.text import plain, redact

PACKAGE = "vestige_tui"

SAFE_MESSAGES: frozenset[type[BaseException]] = frozenset(
    {
        Busy,
        DiskFull,
        EmbedderUnavailable,
        FitUnavailable,
        ForeignStore,
        HomeUnknown,
        ModelMismatch,
        OutOfResources,
        ReadOnly,
        SchemaBroken,
        SchemaPending,
        StoreMissing,
        StoreReplaced,
        TablesChanged,
        TooFewReviews,
        Unavailable,
        Unreachable,
        Unsure,
    }
)
"""Classes whose messages name stores, files, models and servers only; they are logged after ``redact``.

A subclass is not included. All others may quote a memory, a query or a setting: Usage quotes arguments, Conflict the
driver, ConfigError a filter of the settings.
"""

MAX_MESSAGE_CHARS = 2_000
REPEAT_SECONDS = 60.0
"""Time in which the same suppressed error is counted instead of logged again: some are met by polls."""


def describe(error: BaseException, *, quote: bool = False) -> str:
    """Return an error and its causes in one line: class, code, function, file and line; a message only if safe.

    ``quote`` adds the message of each ``VestigeError``, without passwords.
    """
    return ", caused by ".join(_describe_one(each, quote) for each in chain_of(error))


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes, as a traceback shows them."""
    seen: set[int] = set()
    next_error: BaseException | None = error
    while next_error is not None and id(next_error) not in seen:
        seen.add(id(next_error))
        yield next_error
        next_error = next_error.__cause__ or (None if next_error.__suppress_context__ else next_error.__context__)


def _describe_one(error: BaseException, quote: bool) -> str:
    code = _code(error)
    frames = _frames(error.__traceback__)
    ours = [frame for frame in frames if frame[1].startswith(f"{PACKAGE}/")]
    origin = ""
    if frames:
        function, file, line = (ours or frames)[-1]
        origin = f" in {function}, {file} line {line}"
    is_quoted = type(error) in SAFE_MESSAGES or (quote and isinstance(error, VestigeError))
    message = f": {plain(redact(str(error)))}" if is_quoted else ""
    return f"{type(error).__name__}{f' ({code})' if code else ''}{origin}{message}"


def _code(error: BaseException) -> str:
    """Return the code of an error of ours, of the operating system, of PostgreSQL or of SQLite; empty without one."""
    if isinstance(error, OSError):
        return errno.errorcode.get(error.errno or 0, "")
    for attribute in ("code", "sqlstate", "sqlite_errorname"):
        if isinstance(code := getattr(error, attribute, None), str):
            return code
    return ""


def _frames(trace: TracebackType | None) -> list[tuple[str, str, int]]:
    """Return function, file and line of each frame of a traceback; files begin at their package."""
    return [
        (frame.f_code.co_name, _short_file(frame.f_code.co_filename), line) for frame, line in traceback.walk_tb(trace)
    ]


def _short_file(path: str) -> str:
    """Shorten a path to its part from the package on: the rest may name the user."""
    path = path.replace(os.sep, "/")
    for start in (f"/{PACKAGE}/", "/site-packages/", f"/python{sys.version_info.major}.{sys.version_info.minor}/"):
        _, found, tail = path.rpartition(start)
        if found:
            return f"{PACKAGE}/{tail}" if start == f"/{PACKAGE}/" else tail
    return path.rsplit("/", 1)[-1]


class LogFormatter(logging.Formatter):
    """Formatter of every log of this program: one line for a record, then the frames of its exception.

    Errors among the arguments are described by ``describe``, with ``quote``; passwords and control characters never
    pass.
    """

    def __init__(self, *, quote: bool = False) -> None:
        super().__init__()
        self._quote = quote

    def format(self, record: logging.LogRecord) -> str:
        text = _own_message(record, self._quote) if record.name.split(".")[0] == PACKAGE else _foreign_message(record)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        head = f"{stamp}.{int(record.msecs):03d}Z {record.levelname} {record.process} {record.name}: "
        lines = [head + plain(redact(text))[:MAX_MESSAGE_CHARS]]
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            lines.extend(_traceback(error, self._quote))
        return "\n".join(lines)


def _own_message(record: logging.LogRecord, quote: bool) -> str:
    arguments = record.args if isinstance(record.args, tuple) else ()
    safe = tuple(describe(each, quote=quote) if isinstance(each, BaseException) else each for each in arguments)
    return str(record.msg) % safe if safe else str(record.msg)


def _foreign_message(record: logging.LogRecord) -> str:
    """Return the message of another library up to its first value, and the errors among its arguments.

    Its values may quote stored text, as those of asyncio do.
    """
    match = re.match(r"[\w .,!']*", str(record.msg))
    arguments = record.args if isinstance(record.args, tuple) else ()
    errors = [describe(each) for each in arguments if isinstance(each, BaseException)]
    return ": ".join([match[0].strip() if match else "", *errors])


def _traceback(error: BaseException, quote: bool) -> Iterator[str]:
    """Yield an exception with all frames of it and its causes: no source lines, no locals, no unsafe message."""
    for position, each in enumerate(chain_of(error)):
        yield f"  {'caused by ' if position else ''}{_describe_one(each, quote)}"
        for function, file, line in _frames(each.__traceback__):
            yield f"    {function}, {file} line {line}"


class suppressed:
    """Context manager that suppresses errors of these kinds, and logs one line: "Could not ``action``"."""

    def __init__(self, log: logging.Logger, action: str, *kinds: type[BaseException]) -> None:
        self._log, self._action, self._kinds = log, action, kinds

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> bool:
        if not isinstance(error, self._kinds):
            return False
        log_suppressed(self._log, self._action, error)
        return True


def log_suppressed(log: logging.Logger, action: str, error: BaseException) -> None:
    """Log at WARNING that ``action`` failed and the program goes on; a repetition is counted, not logged again."""
    repetitions = _REPETITIONS.count((log.name, action, type(error)), time.monotonic())
    if repetitions is not None:
        log.warning("Could not %s: %s%s", action, error, f" ({repetitions} more like this)" if repetitions else "")


class _Repetitions:
    """Counter of equal log lines. Keys are texts of the program and classes, so that their number is bounded."""

    def __init__(self) -> None:
        self._logged: dict[tuple[str, str, type], tuple[float, int]] = {}
        self._lock = threading.Lock()

    def count(self, key: tuple[str, str, type], now: float) -> int | None:
        """Return the number of lines left out since the last one, None if this one is to be left out, too."""
        with self._lock:
            logged_at, left_out = self._logged.get(key, (-REPEAT_SECONDS, 0))
            if now - logged_at < REPEAT_SECONDS:
                self._logged[key] = (logged_at, left_out + 1)
                return None
            self._logged[key] = (now, 0)
            return left_out


_REPETITIONS = _Repetitions()
