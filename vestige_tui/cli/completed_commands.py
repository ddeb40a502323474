"""Commands, options and values of a parser, as shell completion and the cheat sheet need them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

from vestige_tui.cli.parser import Parser

FILE_METAVARS = frozenset({"FILE", "PATH", "DIR", "URL"})
"""Names of values that are files, or often are."""
_WORDS_BY_METAVAR = {"GRADE": ("again", "hard", "good", "easy")}
"""Words that a name of a value stands for."""


@dataclass(frozen=True, slots=True)
class CompletedArgument:
    """An option, or a positional argument: its flags, help and values."""

    flags: tuple[str, ...]
    help: str
    takes_value: bool
    words: tuple[str, ...] = ()
    """Values to offer."""
    is_file: bool = False


@dataclass(frozen=True, slots=True)
class CompletedCommand:
    """A command, or a group of commands: the words and options that may follow its words."""

    words: str
    """The words of the command, separated by spaces; empty for the program itself."""
    commands: tuple[tuple[str, str], ...]
    """Names and help of the commands below it."""
    options: tuple[CompletedArgument, ...]
    positionals: tuple[CompletedArgument, ...]


def completed_commands(parser: argparse.ArgumentParser, words: str = "") -> Iterator[CompletedCommand]:
    """Yield a parser and all parsers below it, the outermost first."""
    groups: list[argparse._SubParsersAction[Parser]] = []
    options: list[CompletedArgument] = []
    positionals: list[CompletedArgument] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            groups.append(action)
        elif action.help != argparse.SUPPRESS:
            (options if action.option_strings else positionals).append(_argument(action))
    yield CompletedCommand(
        words,
        tuple((choice.dest, choice.help or "") for group in groups for choice in group._choices_actions),
        tuple(options),
        tuple(positionals),
    )
    for group in groups:
        for name, below in group.choices.items():
            yield from completed_commands(below, f"{words} {name}".strip())


def _argument(action: argparse.Action) -> CompletedArgument:
    metavar = action.metavar if isinstance(action.metavar, str) else ""
    words = tuple(map(str, action.choices or ())) or _words(metavar)
    return CompletedArgument(
        tuple(action.option_strings), action.help or "", action.nargs != 0, words, metavar in FILE_METAVARS
    )


def _words(metavar: str) -> tuple[str, ...]:
    """Return the fixed values in a name such as ``ID|undo|suspend``, in which other values are in capitals."""
    words: list[str] = []
    for part in metavar.split("|") if "|" in metavar else ():
        words += [part] if part.islower() else _WORDS_BY_METAVAR.get(part, ())
    return tuple(words)
