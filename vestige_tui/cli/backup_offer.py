"""Backup that a command offers before it deletes something: an option, and a question at a terminal."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from vestige_tui.cli.consent import ask, may_ask
from vestige_tui.core.text import below_home

if TYPE_CHECKING:
    from pathlib import Path

    from vestige_tui.cli.output import Output
    from vestige_tui.cli.parser import Parser
    from vestige_tui.core.backups import Backup


def add_option(parser: Parser) -> None:
    """Add the option that names the file of a backup."""
    parser.add_argument(
        "--backup", dest="backup_file", metavar="FILE", help="first write a backup of the store to this new file"
    )


async def offered_backup(args: Namespace, output: Output, url: str) -> Backup | None:
    """Write the backup that --backup names, or that the user agrees to; None if there is to be none.

    With --yes, or without a terminal, only --backup writes one.
    """
    from datetime import UTC, datetime

    from vestige_tui.transfer.backups import suggested_path

    path: str | Path | None = args.backup_file
    if path is None:
        if args.yes or not may_ask(args):
            return None
        path = suggested_path(url, datetime.now(UTC))
        if not await ask(f"Write a backup to {below_home(str(path))} first?", default=True):
            return None
    return await written_backup(output, url, path)


async def written_backup(output: Output, url: str, path: str | Path) -> Backup:
    """Write a backup with its progress on stderr, and note its result."""
    from vestige_tui.presenters.backups import backup_sentences, step_in_words
    from vestige_tui.transfer.backups import back_up

    progress = output.progress("backup")
    try:
        backup = await back_up(url, path, lambda step: progress.show(step_in_words(step), step.done))
    finally:
        progress.end()
    for sentence in backup_sentences(backup):
        output.note(sentence)
    return backup
