"""Command that adopts the file of a Vestige server, so that the console may write there, and undoes it."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from vestige_tui.cli import backup_offer
from vestige_tui.cli.global_options import is_file, settings, store_url
from vestige_tui.cli.output import Output
from vestige_tui.cli.parser import Commands
from vestige_tui.core.errors import Refused, Usage
from vestige_tui.core.paths import user_path
from vestige_tui.core.text import redact_url


def add_commands(commands: Commands) -> None:
    adopt = commands.add("adopt", _adopt, "add what the console needs to write to the file of a Vestige server")
    adopt.add_argument("--undo", action="store_true", help="drop what adopting the file added")
    adopt.add_argument("--dry-run", action="store_true", help="show what would be added or dropped, change nothing")
    adopt.add_argument(
        "--yes", action="store_true", help="with --undo: confirm the loss of reviews, journal or metadata"
    )
    backup_offer.add_option(adopt)


async def _adopt(args: Namespace, output: Output) -> int:
    path = _file(args)
    if args.read_only and not args.dry_run:
        raise Refused("adopt writes to the file; remove --read-only.")
    if args.backup_file is not None and not args.undo:
        raise Usage("--backup works only with --undo; adopt itself always writes a backup beside the file.")
    return await (_undo if args.undo else _add)(args, output, path)


def _file(args: Namespace) -> Path:
    url = store_url(args, settings(args))
    if not is_file(url):
        raise Refused(f"{redact_url(url)} is on a server; only a file of a Vestige server can be adopted.")
    return user_path(url.removeprefix("sqlite:")).absolute()


async def _add(args: Namespace, output: Output, path: Path) -> int:
    import asyncio
    from datetime import UTC, datetime

    from vestige_tui.presenters import adoption as words
    from vestige_tui.store.backends import sqlite_adoption

    now = datetime.now(UTC)
    plan = await asyncio.to_thread(sqlite_adoption.adoption_plan, path)
    backup = sqlite_adoption.backup_path(path, now)
    lines = words.plan_lines(plan, path, backup)
    if args.dry_run or plan.is_done:
        if output.as_json:
            output.document(words.plan_document(plan, backup))
        for line in [*lines, *(() if plan.is_done else (*words.SERVER_NOTES, *words.added_names(plan)))]:
            output.line(line)
        return 0
    for line in (*lines, *words.SERVER_NOTES):
        output.note(line)
    done = await asyncio.to_thread(sqlite_adoption.adopt_file, path, now)
    if output.as_json:
        output.document(words.plan_document(plan, backup, done=done))
    output.line(words.adopted_sentence(done, path))
    return 0


async def _undo(args: Namespace, output: Output, path: Path) -> int:
    import asyncio

    from vestige_tui.presenters import adoption as words
    from vestige_tui.store.backends import sqlite_adoption

    plan = await asyncio.to_thread(sqlite_adoption.withdrawal_plan, path)
    if args.dry_run:
        if output.as_json:
            output.document(words.withdrawal_document(plan, done=False))
        for line in words.withdrawal_lines(plan):
            output.line(line)
        return 0
    if (losses := words.losses_of(plan)) and not args.yes:
        raise Refused(f"Undoing the adoption deletes {losses}; add --yes to confirm.")
    backup = await backup_offer.offered_backup(args, output, f"sqlite:{path}")
    done = await asyncio.to_thread(sqlite_adoption.withdraw_from, path)
    if output.as_json:
        output.document(words.withdrawal_document(done, done=True, backup=backup))
    for line in words.withdrawal_lines(done):
        output.line(line)
    return 0
