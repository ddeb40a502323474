"""The commands of the program, read from its parser: a new command is fuzzed without being listed."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

from vestige_tui.cli.program import parser


@dataclass(frozen=True, slots=True)
class LeafCommand:
    """A command without subcommands: its words, and the arguments that its parser knows."""

    words: tuple[str, ...]
    positionals: tuple[argparse.Action, ...]
    options: tuple[argparse.Action, ...]

    @property
    def name(self) -> str:
        return " ".join(self.words)


def leaf_commands() -> tuple[LeafCommand, ...]:
    """Return every command of the program, in the order of its help."""
    return tuple(_leaves((), parser()))


def _leaves(words: tuple[str, ...], command: argparse.ArgumentParser) -> Iterator[LeafCommand]:
    groups = [action for action in command._actions if isinstance(action, argparse._SubParsersAction)]
    for group in groups:
        for name, subcommand in group.choices.items():
            yield from _leaves((*words, name), subcommand)
    if not groups:
        actions = [action for action in command._actions if not isinstance(action, argparse._HelpAction)]
        yield LeafCommand(
            words,
            tuple(action for action in actions if not action.option_strings),
            tuple(action for action in actions if action.option_strings),
        )
