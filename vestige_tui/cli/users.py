"""Command that lists users and groups, and the commands that can be run as one of them."""

from __future__ import annotations

from argparse import Namespace

from vestige_tui.cli.global_options import chosen_store
from vestige_tui.cli.output import Output
from vestige_tui.cli.parser import Commands
from vestige_tui.core.errors import Refused, Usage
from vestige_tui.core.text import plain
from vestige_tui.presenters import accounts

_OF_THE_STORE = frozenset(
    {
        *("search", "list", "show", "journal", "due", "forecast", "history", "edges", "neighbors", "export", "users"),
        *("stats", "add", "edit", "tag", "delete", "undo", "redo", "review", "suspend", "bury", "resume", "pin"),
        *("unpin", "supersede", "unsupersede", "link", "unlink", "import"),
    }
)
"""Commands that read the open store by its services alone, or are refused, as a viewed store is read-only."""


def add_commands(commands: Commands) -> None:
    users = commands.add("users", None, "list the users and groups of the store")
    steps = commands.subcommands(users, "step")
    steps.add("list", _list, "list the users, with their groups and the number of their memories by visibility")


def refuse_viewer(args: Namespace) -> None:
    """Raise Usage for a command that would read more than a viewer may see."""
    if args.command is not None and args.command not in _OF_THE_STORE:
        raise Usage(f"{args.command} works on the whole store; leave out --viewer.")


async def _list(args: Namespace, output: Output) -> int:
    async with chosen_store(args) as store:
        if not store.accounts.are_kept:
            raise Refused(accounts.NO_ACCOUNTS)
        users, groups = await store.accounts.list_users(), await store.accounts.list_groups()
    if output.as_json:
        output.document(accounts.accounts_document(users, groups))
        return 0
    head = ("user", "name", "groups", "memories", "private", "group", "public")
    lines = [
        (plain(user.account.handle), accounts.full_name(user), accounts.group_names(user), *accounts.figures(user))
        for user in users
    ]
    output.table(lines, flexible=2, header=head, right=range(3, 7))
    for group in groups:
        output.line(accounts.group_line(group))
    return 0
