"""Argument parser that raises Usage errors, and the registration of commands."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from vestige_tui.cli.examples import EXAMPLES_HEADING, aligned, examples_text
from vestige_tui.cli.output import terminal_size, writing
from vestige_tui.core.encodings import encodable, encoding_of
from vestige_tui.core.errors import Usage
from vestige_tui.core.scheduling import MAX_RETENTION, MIN_RETENTION
from vestige_tui.core.text import quoted

if TYPE_CHECKING:
    from vestige_tui.cli.output import Output

    Run: TypeAlias = Callable[[argparse.Namespace, Output], Awaitable[int]]
    Subparsers: TypeAlias = "argparse._SubParsersAction[Parser]"


ID_HELP = "id of a memory, or its first characters (6 or more)"
PROGRAM = "vestige-tui"
MAX_COUNT = 2**31 - 1
MAX_ENTRY = 2**63 - 1
MAX_DAYS = 36_500
_NO_COMMAND = re.compile(r"argument COMMAND: invalid choice: '(.*?)' \(choose from")


class _HelpFormatter(argparse.HelpFormatter):
    """Formatter as wide as the terminal; argparse would take COLUMNS, which may be exported by another one."""

    def __init__(self, prog: str, **options: Any) -> None:
        super().__init__(prog, **{"width": terminal_size(sys.stdout)[0] - 2, **options})

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        # Lines of examples are commands to copy, so they are not wrapped.
        if text.startswith(EXAMPLES_HEADING):
            return aligned(text, width)
        return super()._fill_text(text, width, indent)


class Parser(argparse.ArgumentParser):
    """Argument parser that raises ``Usage`` instead of exiting."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": _HelpFormatter, **options})

    def _print_message(self, message: str, file: Any = None) -> None:
        # That of argparse ignores a full disk, and fails on a stream that is not UTF-8.
        stream = file or sys.stderr
        with writing():
            stream.write(encodable(message, encoding_of(stream)))

    def error(self, message: str) -> NoReturn:
        if choice_error := _NO_COMMAND.match(message):
            names = re.findall(r"'([\w-]+)'", message[choice_error.end() :])
            from difflib import get_close_matches

            matches = get_close_matches(choice_error[1], names, n=1)
            hint = f"did you mean {matches[0]}?" if matches else f"see `{self.prog} --help`."
            raise Usage(f"Unknown command {quoted(choice_error[1])}; {hint}")
        raise Usage(f"{message[:1].upper()}{message[1:]}; see `{self.prog} --help`.")


class Commands:
    """Group of commands; each family adds its own."""

    def __init__(self, commands: Subparsers, shared: Parser, words: str = "") -> None:
        """``words``: the commands above this group."""
        self._commands = commands
        self._shared = shared
        self._words = words

    def add(self, name: str, run: Run | None, help: str, *, dashed_words: bool = False) -> Parser:
        """Add a command; its parser also accepts the global options, and its help ends with its ``EXAMPLES``.

        ``dashed_words``: words such as -this go to ``args.extra`` instead of being parsed as options.
        """
        parser = self._commands.add_parser(
            name,
            help=help,
            description=f"{help[:1].upper()}{help[1:]}.",
            epilog=examples_text(f"{self._words} {name}".strip()),
            parents=[self._shared],
            allow_abbrev=False,
            add_help=not dashed_words,
        )
        parser.set_defaults(dashed_words=dashed_words)
        if dashed_words:
            # No -h: it would match a word such as -hello.
            parser.add_argument("--help", action="help", help="show this help message and exit")
        if run is not None:
            parser.set_defaults(run=run)
        return parser

    def subcommands(self, parser: Parser, dest: str, *, required: bool = True) -> Commands:
        """Add a group of subcommands to a command."""
        subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", dest=dest, required=required)
        words = parser.prog.removeprefix(f"{PROGRAM} ")
        return Commands(subparsers, self._shared, words)


def whole(text: str) -> int:
    """Parse a count: an integer from 1 to MAX_COUNT."""
    return _integer(text, 1, MAX_COUNT)


def entry_number(text: str) -> int:
    """Parse the number of an entry in the journal."""
    return _integer(text, 1, MAX_ENTRY)


def days(text: str) -> int:
    """Parse a number of days, from 1 to MAX_DAYS."""
    return _integer(text, 1, MAX_DAYS)


def seconds(text: str) -> int:
    """Parse a time in seconds, from 1; the command bounds it."""
    return _integer(text, 1, MAX_ENTRY)


def version(text: str) -> int:
    """Parse a version of the schema: an integer from 0."""
    return _integer(text, 0, MAX_COUNT)


def _integer(text: str, low: int, high: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if value < low:
        raise argparse.ArgumentTypeError(f"{quoted(text)} is not a whole number of at least {low}")
    if value > high:
        raise argparse.ArgumentTypeError(f"{quoted(text)} is more than the maximum {high:,}")
    return value


def desired_retention(text: str) -> float:
    """Parse a desired retention: a number from MIN_RETENTION to MAX_RETENTION."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not MIN_RETENTION <= value <= MAX_RETENTION:
        raise argparse.ArgumentTypeError(f"{quoted(text)} is not a number from {MIN_RETENTION} to {MAX_RETENTION}")
    return value


def share(text: str) -> float:
    """Parse a number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{quoted(text)} is not a number from 0 to 1")
    return value
