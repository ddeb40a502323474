"""What arguments are made of here: a parser whose faults are ours, and how a command is added to it."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from vestige_tui.core.errors import Usage

if TYPE_CHECKING:
    from vestige_tui.cli.output import Output

    Run: TypeAlias = Callable[[argparse.Namespace, Output], Awaitable[int]]
    Subparsers: TypeAlias = "argparse._SubParsersAction[Parser]"


_NO_COMMAND = re.compile(r"argument COMMAND: invalid choice: '(.*?)' \(choose from")


class Parser(argparse.ArgumentParser):
    """Arguments whose faults are ``Usage`` errors."""

    def error(self, message: str) -> NoReturn:
        if unknown := _NO_COMMAND.match(message):
            known = re.findall(r"'([\w-]+)'", message[unknown.end() :])
            close = difflib.get_close_matches(unknown[1], known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"see `{self.prog} --help`."
            raise Usage(f"There is no command {unknown[1]!r}; {hint}")
        raise Usage(f"{message[:1].upper()}{message[1:]}; see `{self.prog} --help`.")


class Commands:
    """A group of commands that one family after the other adds its own to."""

    def __init__(self, commands: Subparsers, shared: Parser) -> None:
        self._commands = commands
        self._shared = shared

    def add(self, name: str, run: Run | None, help: str, *, dashed_words: bool = False) -> Parser:
        """A command; its parser takes the options that stand before every command, too.

        ``dashed_words``: words such as -this are left in ``args.extra`` instead of being taken for options.
        """
        made = self._commands.add_parser(
            name,
            help=help,
            description=f"{help[:1].upper()}{help[1:]}.",
            parents=[self._shared],
            allow_abbrev=False,
            add_help=not dashed_words,
        )
        made.set_defaults(dashed_words=dashed_words)
        if dashed_words:
            # Without a -h, which would swallow a word that begins so.
            made.add_argument("--help", action="help", help="show this help message and exit")
        if run is not None:
            made.set_defaults(run=run)
        return made

    def below(self, parser: Parser, dest: str, *, required: bool = True) -> Commands:
        """A group of commands that follow another one's name."""
        commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest=dest, required=required)
        return Commands(commands, self._shared)


def whole(text: str) -> int:
    """A count: 1 or more."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1")
    return value


def share(text: str) -> float:
    """A number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 to 1")
    return value
