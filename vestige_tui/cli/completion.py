"""Command completion: the script that completes commands, options and values in bash, zsh or fish.

A script holds all names, taken from the parser: completing starts no program.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable

from vestige_tui.cli.completed_commands import completed_commands
from vestige_tui.cli.completion_scripts import bash_script, fish_script, zsh_script
from vestige_tui.cli.output import Output
from vestige_tui.cli.parser import Commands, Parser

SCRIPTS = {"bash": bash_script, "zsh": zsh_script, "fish": fish_script}


def add_commands(commands: Commands, build_parser: Callable[[], Parser]) -> None:
    """Add ``completion``. ``build_parser`` returns the whole parser with the names to complete."""
    completion = commands.add("completion", None, "print the script that completes commands in a shell")
    completion.add_argument("shell", choices=tuple(SCRIPTS), help="the shell that reads the script")

    async def run(args: Namespace, output: Output) -> int:
        script = SCRIPTS[args.shell](list(completed_commands(build_parser())))
        if output.as_json:
            output.document({"shell": args.shell, "script": script})
        output.line(script.removesuffix("\n"))
        return 0

    completion.set_defaults(run=run)
