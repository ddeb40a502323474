"""Commands for names that the settings take: themes list, keys list."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from vestige_tui.cli.global_options import settings
from vestige_tui.cli.output import Output
from vestige_tui.cli.parser import Commands

if TYPE_CHECKING:
    from vestige_tui.tui.commands.command import Command


def add_commands(commands: Commands) -> None:
    themes = commands.add("themes", None, "list the themes of the console")
    commands.subcommands(themes, "step").add("list", _themes, "list the names that `theme` in [ui] takes")
    keys = commands.add("keys", None, "list the keys of the console")
    commands.subcommands(keys, "step").add("list", _keys, "list all keys with the ids that [keys] takes")


async def _themes(args: Namespace, output: Output) -> int:
    from vestige_tui.tui.themes import themes

    config = settings(args)
    rows = [
        {"name": theme.name, "dark": theme.dark, "current": theme.name == config.theme} for theme in themes().values()
    ]
    if output.as_json:
        output.document({"items": rows, "next": None})
        return 0
    table = [("*" if row["current"] else "", str(row["name"]), "dark" if row["dark"] else "light") for row in rows]
    output.table(table, flexible=1, header=("", "theme", "kind"))
    output.note(
        "* is the current theme. To change it, set theme in [ui] of the settings, or press ctrl+p in the console."
    )
    return 0


async def _keys(args: Namespace, output: Output) -> int:
    from vestige_tui.config.keymap import spelling
    from vestige_tui.tui.commands.catalogue import catalogue, places_of

    bound = settings(args).keys
    rows = [_key_row(command, places_of(command), bound) for command in catalogue().values()]
    if output.as_json:
        output.document({"items": rows, "next": None})
        return 0
    table = [(row["id"], " ".join(map(spelling, row["keys"])), ", ".join(row["where"]), row["help"]) for row in rows]
    output.table(table, flexible=3, header=("id", "key", "where", "use"), wrap=True)
    return 0


def _key_row(command: type[Command], where: tuple[str, ...], bound: Mapping[str, str]) -> dict[str, Any]:
    keys = bound.get(command.id, command.key)
    return {
        "id": command.id,
        "keys": list(_split(keys)),
        "default": list(_split(command.key)),
        "where": list(where),
        "help": command.help,
    }


def _split(keys: str) -> Iterator[str]:
    return (key.strip() for key in keys.split(","))
