"""Set-up of the log of a process: called by the program's entry and by its workers, never by an import."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from types import TracebackType

from vestige_tui.config.directories import home_dir, own_home, state_dir
from vestige_tui.core.errors import HomeUnknown
from vestige_tui.core.log import PACKAGE, LogFormatter
from vestige_tui.process.log_file import SharedLogFile

FOREIGN_LOGGERS = ("psycopg.pool", "asyncio")
"""Loggers of libraries whose warnings are logged, too."""

log = logging.getLogger(__name__)


def log_path() -> Path:
    """Return the path of the log, without creating it."""
    return state_dir() / "vestige-tui.log"


def configure_log(*, debug: bool = False) -> None:
    """Send the records of this process to the log file; the file is opened with the first one.

    A second call replaces the first. Uncaught exceptions are logged, too. Without a home directory nothing is logged,
    and a missing one is not created for the log.
    """
    close_log()
    try:
        path = log_path()
    except HomeUnknown as error:
        log.debug("Logging is off: %s", error)
        return
    if _lies_in_missing_home(path):
        log.debug("Logging is off: there is no home directory")
        return
    handler = SharedLogFile(path)
    handler.setFormatter(LogFormatter())
    handler.addFilter(_is_logged)
    for name in (PACKAGE, *FOREIGN_LOGGERS):
        logging.getLogger(name).addHandler(handler)
    logging.getLogger(PACKAGE).setLevel(logging.DEBUG if debug else logging.INFO)
    sys.excepthook = _log_uncaught


def _lies_in_missing_home(path: Path) -> bool:
    try:
        home = own_home() or home_dir(os.environ)
    except HomeUnknown as error:
        log.debug("No home directory to check: %s", error)
        return False
    return path.is_relative_to(home) and not home.is_dir()


def close_log() -> None:
    """Close the log that ``configure_log`` has opened."""
    for logger in map(logging.getLogger, (PACKAGE, *FOREIGN_LOGGERS)):
        for handler in [each for each in logger.handlers if isinstance(each, SharedLogFile)]:
            logger.removeHandler(handler)
            handler.close()
    logging.getLogger(PACKAGE).setLevel(logging.NOTSET)


def is_debugging() -> bool:
    """Check whether this process logs at DEBUG, so that a worker that it starts does the same."""
    return logging.getLogger(PACKAGE).isEnabledFor(logging.DEBUG)


def _is_logged(record: logging.LogRecord) -> bool:
    return record.name.startswith(PACKAGE) or record.levelno >= logging.WARNING


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    log.critical("Uncaught exception", exc_info=(kind, error, trace))
    sys.__excepthook__(kind, error, trace)
