"""Command line: parser and runner of all commands, and the reporting of errors."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import re
import signal
import sys
import traceback
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from types import FrameType
from typing import Any

from vestige_tui import __version__
from vestige_tui.cli import (
    about,
    adoption,
    backups,
    changes,
    completion,
    config,
    console_names,
    demo,
    domains,
    jobs,
    journal,
    links,
    maintenance,
    memories,
    migrate,
    moments,
    portable,
    registry,
    review_statistics,
    reviews,
    supersession,
    users,
)
from vestige_tui.cli.console import open_console, refuse_without_terminal
from vestige_tui.cli.examples import examples_text
from vestige_tui.cli.global_options import refuse_moment, start_log
from vestige_tui.cli.output import Output, Unwritable, say
from vestige_tui.cli.parser import PROGRAM, Commands, Parser
from vestige_tui.cli.waits import note_waits
from vestige_tui.core.errors import Unavailable, Usage, VestigeError
from vestige_tui.core.json_text import dumps
from vestige_tui.core.log import log_suppressed
from vestige_tui.core.paths import refuse_unnamable
from vestige_tui.core.storable import is_escaped
from vestige_tui.core.text import MAX_QUOTED_CHARS

INTERRUPTED_STATUS = 130
_PATH_ARGUMENTS = frozenset(
    {"config", "store", "file", "dir", "sqlite_path", "postgres_url", "source", "target", "backup_file"}
)
"""Arguments that name a file or a server: passed on with their original bytes."""
_NEGATIVE_TIME = re.compile(r"-[0-9]+(?:s|min|h|d|w|mo|y)")

log = logging.getLogger(__name__)

_FAMILIES = (
    about,
    demo,
    memories,
    changes,
    journal,
    reviews,
    review_statistics,
    supersession,
    moments,
    links,
    domains,
    portable,
    users,
    maintenance,
    adoption,
    backups,
    migrate,
    registry,
    jobs,
    config,
    console_names,
)


def parser() -> Parser:
    """Build the whole parser. Global options are accepted before and after the command."""
    program = Parser(
        prog=PROGRAM,
        description="A console for the memory stores of AI agents. Without a command, the console opens.",
        epilog=examples_text(""),
        allow_abbrev=False,
    )
    program.add_argument(
        "--version",
        action="version",
        version=f"vestige-tui {__version__}",
        help="print the version; with --verbose, same as `about`",
    )
    _add_common(program, None)
    shared = Parser(add_help=False, allow_abbrev=False)
    _add_common(shared, argparse.SUPPRESS)
    commands = Commands(program.add_subparsers(title="commands", metavar="COMMAND", dest="command"), shared)
    for family in _FAMILIES:
        family.add_commands(commands)
    completion.add_commands(commands, parser)
    return program


def _add_common(target: Parser, default: object) -> None:
    false = default if default is argparse.SUPPRESS else False
    target.add_argument(
        "--config", metavar="FILE", default=default, help="settings file (default ~/.vestige/vestige.toml)"
    )
    target.add_argument(
        "--store",
        metavar="URL",
        default=default,
        help="store to open: sqlite:PATH, postgresql://… or pgembed:DIR (an embedded PostgreSQL with its data in DIR)",
    )
    target.add_argument(
        "--read-only", action="store_true", default=false, help="never write to a store, source or target"
    )
    target.add_argument(
        "--viewer",
        metavar="USER",
        default=default,
        help="read as this user: only what the user may see; the store is read-only",
    )
    target.add_argument(
        "--as-of",
        metavar="TIME",
        default=default,
        help="show the store at a past moment, without changing it: 2026-11-01, -7d, -1mo or an RFC 3339 time",
    )
    target.add_argument(
        "--debug", action="store_true", default=false, help="write a more detailed log; `about` prints its path"
    )
    target.add_argument("--json", action="store_true", default=false, help="print one JSON document on stdout")


def _wants_json(arguments: Sequence[str]) -> bool:
    before = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in before


def run(arguments: Sequence[str]) -> int:
    """Run a command line; return the exit status."""
    _open_closed_streams()
    output = Output(as_json=_wants_json(arguments))
    try:
        try:
            status = _run(arguments, output)
        except SystemExit as system_exit:  # --help and --version
            status = system_exit.code if isinstance(system_exit.code, int) else 0
        output.flush()
        output.note_loss()
        return status
    except (KeyboardInterrupt, asyncio.CancelledError):
        log.info("Interrupted")
        return _report_error(output, VestigeError.code, "Interrupted.", INTERRUPTED_STATUS)
    except BrokenPipeError:
        _drop_stdout()
        return 0
    except Unwritable as error:
        _drop_stdout()
        say(error.message)
        return error.exit_status
    except VestigeError as error:
        log.info("Ended with status %s: %s", error.exit_status, error)
        return _report_error(output, error.code, error.message, error.exit_status)
    except OSError as error:
        # A file or directory that no command looks after by itself.
        log.error("The system refused something", exc_info=error)
        return _report_error(output, Unavailable.code, _system_error(error), Unavailable.exit_status)
    except MemoryError as error:
        log.error("Out of memory", exc_info=error)
        return _report_error(output, Unavailable.code, "Out of memory; try with less data.", 1)
    except Exception as error:
        log.critical("Uncaught exception", exc_info=error)
        return _report_error(output, VestigeError.code, _log_unexpected(error), 1)


def _open_closed_streams() -> None:
    """Open the null device for each closed standard stream: Python sets it to None.

    Its descriptor is opened, too, so that no other file gets that number, and no child process is without it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest number that is free is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    sys.stdin = sys.stdin or os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)


def join_negative_times(arguments: Sequence[str]) -> list[str]:
    """Join ``--since -7d`` to ``--since=-7d``: argparse would parse the time as an option."""
    words: list[str] = []
    for argument in arguments:
        if _NEGATIVE_TIME.fullmatch(argument) and words and words[-1].startswith("--") and "=" not in words[-1]:
            words[-1] += f"={argument}"
        else:
            words.append(argument)
    return words


def _decode_argument(value: Any) -> Any:
    """Decode an argument: in a locale without UTF-8, Python keeps its bytes as lone surrogates. Raises Usage."""
    if isinstance(value, list):
        return [_decode_argument(each) for each in value]
    if isinstance(value, str) and not value.isascii():
        with contextlib.suppress(UnicodeError):
            return value.encode("ascii", "surrogateescape").decode("utf-8")
        if any("\ud800" <= character <= "\udfff" for character in value):
            # Half a surrogate pair that stands for no byte comes from a caller within the process.
            raw = value[:MAX_QUOTED_CHARS].encode("utf-8", "surrogateescape" if is_escaped(value) else "surrogatepass")
            raise Usage(f"The argument {repr(raw).removeprefix('b')} is not UTF-8; nothing was changed.")
    return value


def _run(arguments: Sequence[str], output: Output) -> int:
    program = parser()
    args, extra = program.parse_known_args(join_negative_times(arguments))
    unknown = [word for word in extra if word.startswith("--") or args.command is None or not args.dashed_words]
    if unknown:
        program.error(f"unrecognized arguments: {' '.join(unknown)}")
    args.extra = extra
    for name, value in list(vars(args).items()):
        if name not in _PATH_ARGUMENTS:
            setattr(args, name, _decode_argument(value))
        elif isinstance(value, str):
            refuse_unnamable(value)
    _warn_of_passwords(args)
    with contextlib.ExitStack() as stack:
        if "home" in args:
            from vestige_tui.config.directories import private_home

            stack.enter_context(private_home(args.home(args)))
        start_log(args)
        if args.read_only:
            from vestige_tui.store.open import only_reading

            stack.enter_context(only_reading())
        if args.viewer is not None:
            users.refuse_viewer(args)
        return _run_command(args, output)


def _run_command(args: argparse.Namespace, output: Output) -> int:
    if args.command is None:
        return _console(args, output)
    refuse_moment(args)
    status: int = asyncio.run(_cancel_on_signals(args.run(args, output)))
    if status == 0 and "afterwards" in args:
        status = args.afterwards(args, output)
    return status


def _warn_of_passwords(args: argparse.Namespace) -> None:
    """Print that a password on the command line is no secret."""
    from vestige_tui.core.text import redact

    values = (value for name, value in vars(args).items() if name in _PATH_ARGUMENTS and isinstance(value, str))
    if any(redact(value) != value for value in values):
        say(
            "Other users of this machine can see the password on the command line (with ps); put it into "
            "~/.pgpass, a service file or PGPASSWORD."
        )


async def _cancel_on_signals(command: Coroutine[Any, Any, int]) -> int:
    """Run a command; cancel it on SIGTERM and SIGHUP, so that it closes its stores.

    An embedded server stops with its last client. A long wait for a store is noted on stderr.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def cancel(number: int, frame: FrameType | None) -> None:
        # At once, as asyncio does for ctrl-C, so that ``interruptible`` sees it; then the loop is woken.
        task.cancel()
        loop.call_soon_threadsafe(lambda: None)

    with contextlib.ExitStack() as stack:
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                stack.callback(signal.signal, number, signal.signal(number, cancel))
        stack.callback(asyncio.create_task(note_waits()).cancel)
        return await command


def _console(args: argparse.Namespace, output: Output) -> int:
    from vestige_tui.cli.global_options import chosen_moment, settings, store_url

    if output.as_json:
        raise Usage("--json works only with a command; see `vestige-tui --help`.")
    refuse_without_terminal()
    config = settings(args)
    moment = chosen_moment(args, config)
    url = store_url(args, config)
    return open_console(config, url, read_only=args.read_only, viewer=args.viewer, moment=moment)


def _report_error(output: Output, code: str, message: str, status: int) -> int:
    from vestige_tui.core.text import redact, shortened

    sentence = shortened(redact(message))
    say(sentence)
    if output.as_json and not output.answered:
        with contextlib.suppress(OSError):
            sys.stdout.write(dumps({"error": {"code": code, "message": sentence}}, indent=2, ascii_only=True) + "\n")
            sys.stdout.flush()
    return status


def _drop_stdout() -> None:
    # Python flushes stdout once more at exit, and would report the closed pipe.
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _system_error(error: OSError) -> str:
    """Return a sentence that names the file, if there is one, and the system's reason."""
    reason = error.strerror or type(error).__name__
    return (
        f"{error.filename} cannot be used: {reason}."
        if error.filename
        else f"The operating system refused this: {reason}."
    )


def _log_unexpected(error: Exception) -> str:
    """Write the traceback of an unexpected error to a private file; return a sentence that names the file."""
    from vestige_tui.config.directories import make_private_dir, state_dir
    from vestige_tui.core import file_targets, files
    from vestige_tui.core.text import plain, redact

    name = type(error).__name__
    report = plain(redact("".join(traceback.format_exception(error))), newlines=True)
    now = datetime.now(UTC)
    head = f"vestige-tui {__version__}, Python {sys.version.split()[0]}, {sys.platform}\n"
    try:
        folder = state_dir()
        path = folder / f"failure-{now:%Y%m%dT%H%M%S%f}-{os.getpid()}.log"
        make_private_dir(folder)
        files.write(file_targets.examine_document(path), (head + report).encode("utf-8", "replace").decode("utf-8"))
    except (OSError, VestigeError) as failure:
        log_suppressed(log, "write the report of an unexpected error", failure)
        return f"Unexpected error ({name}); its report could not be written."
    return f"Unexpected error ({name}); details are in {path}."
