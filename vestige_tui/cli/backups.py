"""Commands that write a backup of a whole store, and put one back: backup, restore."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from vestige_tui.cli.backup_offer import add_option, offered_backup, written_backup
from vestige_tui.cli.consent import confirmed, refuse_unasked
from vestige_tui.cli.global_options import settings, store_url
from vestige_tui.cli.output import Output
from vestige_tui.cli.parser import Commands
from vestige_tui.core.errors import Refused

if TYPE_CHECKING:
    from vestige_tui.core.backups import Backup, RestorePlan

FAILED_ROWS_STATUS = 4
DECLINED_STATUS = 1


def add_commands(commands: Commands) -> None:
    backup = commands.add("backup", _backup, "write a backup of the whole store into one new SQLite file")
    backup.add_argument("file", metavar="FILE", help="file to write; an existing file is not replaced")
    restore = commands.add("restore", _restore, "make the store equal to a backup, after a list of what it would lose")
    restore.add_argument("file", metavar="FILE", help="backup to read, as `backup` writes it")
    restore.add_argument("--dry-run", action="store_true", help="list what would be lost, change nothing")
    restore.add_argument("--yes", action="store_true", help="confirm the loss of what the backup lacks")
    add_option(restore)


async def _backup(args: Namespace, output: Output) -> int:
    from vestige_tui.presenters.backups import backup_document

    backup = await written_backup(output, store_url(args, settings(args)), args.file)
    if output.as_json:
        output.document(backup_document(backup))
    output.line(str(backup.path))
    return FAILED_ROWS_STATUS if backup.failed else 0


async def _restore(args: Namespace, output: Output) -> int:
    from vestige_tui.presenters.backups import effect, restore_document, restore_lines
    from vestige_tui.transfer.backups import plan_restore

    if args.read_only and not args.dry_run:
        raise Refused("restore writes to the store; remove --read-only.")
    url = store_url(args, settings(args))
    plan = await plan_restore(args.file, url)
    if args.dry_run:
        if output.as_json:
            output.document(restore_document(plan, done=None))
        for line in restore_lines(plan):
            output.line(line)
        return 0
    for line in restore_lines(plan):
        output.note(line)
    if plan.loses:
        refuse_unasked(args, effect(plan))
        if not await confirmed(args, f"{effect(plan)}. Restore?"):
            return DECLINED_STATUS
    # A damaged file is kept as it is.
    is_offered = bool(args.backup_file) or (plan.loses and not plan.damage)
    saved = await offered_backup(args, output, url) if is_offered else None
    return await _restored(args, output, url, plan, saved)


async def _restored(args: Namespace, output: Output, url: str, plan: RestorePlan, saved: Backup | None) -> int:
    from vestige_tui.presenters.backups import restore_document, restored_sentence, step_in_words
    from vestige_tui.transfer.backups import restore

    progress = output.progress("restored")
    try:
        done = await restore(args.file, url, lambda step: progress.show(step_in_words(step), step.done))
    finally:
        progress.end()
    if output.as_json:
        output.document(restore_document(plan, done=done, saved=saved))
    output.line(restored_sentence(done, plan.title))
    return 0
