"""Write docs/cheat-sheet.md from the commands of the console and of the shell: ``python -m tests.cheat_sheet``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tests.support.source_tree import ROOT
from vestige_tui.cli.completed_commands import completed_commands
from vestige_tui.cli.examples import COMMENT, EXAMPLES
from vestige_tui.cli.program import parser
from vestige_tui.config.keymap import spelling
from vestige_tui.tui.commands.catalogue import catalogue, places_of

PATH = ROOT / "docs" / "cheat-sheet.md"
HEAD = """\
# Cheat sheet

Made from the commands of the program by `make cheat-sheet`. `?` in the console lists the keys of the open screen;
`vestige-tui keys list` prints all keys as your settings set them, `vestige-tui COMMAND --help` all options.
"""


def cheat_sheet() -> str:
    """Return the text of the cheat sheet."""
    return "\n".join(
        [HEAD, "## Keys", *_keys(), "", "## Commands", "", *_table(("command", "use", "example"), _commands()), ""]
    )


def _keys() -> Iterator[str]:
    """Yield a table for each group of the help, with the places where its keys work."""
    commands = list(catalogue().values())
    for group in dict.fromkeys(command.group for command in commands):
        rows = []
        for command in commands:
            if command.group == group:
                keys = " ".join(f"`{spelling(key.strip())}`" for key in command.key.split(","))
                where = ", ".join(places_of(command))
                rows.append((keys, command.help.rstrip("."), "" if where == group.lower() else where))
        yield from ("", f"### {group}", "", *_table(("key", "use", "where"), rows))


def _commands() -> Iterator[Sequence[str]]:
    for command in completed_commands(parser()):
        if command.words and not command.commands:
            example = EXAMPLES[command.words][0].partition(COMMENT)[0]
            yield f"`{command.words}`", _help_of(command.words), f"`{example}`"


def _help_of(words: str) -> str:
    """Return the sentence that the list of commands shows for a command."""
    group, _, name = words.rpartition(" ")
    [parent] = [each for each in completed_commands(parser()) if each.words == group]
    return dict(parent.commands)[name]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


if __name__ == "__main__":
    PATH.write_text(cheat_sheet(), encoding="utf-8")
    print(PATH.relative_to(ROOT))
